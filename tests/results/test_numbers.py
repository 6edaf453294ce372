"""The numbers kept for the notebooks' text are those that the book has just computed."""

import json
import re

import pytest

from tools import notebooks

PRINTED = re.compile(r"(−?\d*)\.?(\d*)(?:\s×\s10([⁻\d⁰¹²³⁴⁵⁶⁷⁸⁹]+))?(\s?%)?")


def digits(text):
    """What a printed number counts in units of its last digit, and that digit's place."""
    number = PRINTED.fullmatch(text)
    if not number or not number[1] + number[2]:
        return None
    return int((number[1] + number[2]).replace("−", "-")), (len(number[2]), number[3], number[4])


def same(kept, computed):
    """Printed numbers to a unit of the last digit, which another machine may round otherwise."""
    if not isinstance(kept, str) or not isinstance(computed, str):
        return kept == pytest.approx(computed, rel=0.05)
    one, other = digits(kept), digits(computed)
    if one is None or other is None or one[1] != other[1] or (kept.isdigit() and len(kept) < 3):
        return kept == computed  # words, and small whole numbers, which count something
    return abs(one[0] - other[0]) <= 1


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
