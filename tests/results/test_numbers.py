"""The numbers kept for the notebooks' text are those that the book has just computed."""

import json

import pytest

from tools import notebooks


def same(kept, computed):
    """Words as they are printed, numbers within 5 %."""
    if isinstance(kept, str) or isinstance(computed, str):
        return kept == computed
    return kept == pytest.approx(computed, rel=0.05)


def test_kept_numbers_are_those_of_the_book(book):
    kept = json.loads(notebooks.NUMBERS.read_text("utf-8"))
    computed = json.loads((book.parent / "numbers.json").read_text("utf-8"))
    wrong = [
        f"{page}: {name} is kept as {kept.get(page, {}).get(name)}, "
        f"but the book says {computed.get(page, {}).get(name)}"
        for page in sorted({*kept, *computed})
        for name in sorted({*kept.get(page, {}), *computed.get(page, {})})
        if not same(kept.get(page, {}).get(name, ""), computed.get(page, {}).get(name, ""))
    ]
    assert not wrong, "Run: make numbers\n" + "\n".join(wrong)
