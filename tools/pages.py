"""The pages of the book, in the order of its table of contents."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def outline() -> list[tuple[int, str]]:
    """Every page that the table of contents names, with its level; the first page comes first."""

    def walk(level: int, entries: list[dict]) -> list[tuple[int, str]]:
        return [
            found
            for entry in entries
            for found in [(level, entry["file"]), *walk(level + 1, entry.get("sections", []))]
        ]

    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    parts = [contents, *contents.get("parts", [])]
    chapters = [found for part in parts for found in walk(0, part.get("chapters", []))]
    return [(0, contents["root"]), *chapters]


def all_pages() -> list[str]:
    """Every page of the book."""
    return [page for _, page in outline()]


def live() -> list[str]:
    """The pages that have an explorer."""
    return _with("explore.Explorer(")


def asking() -> list[str]:
    """The pages that have questions to check oneself by."""
    return _with("selfcheck.show(")


def figures(text: str) -> int:
    """How many pictures a page shows: new ones, and those shown once more."""
    return len(re.findall(r"plt\.subplots\(|^figure$", text, re.MULTILINE))


def _with(call: str) -> list[str]:
    return [page for page in all_pages() if call in (ROOT / f"{page}.md").read_text("utf-8")]
