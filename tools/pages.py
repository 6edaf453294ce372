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
    """The pages that have an explorer: in cells with the tag "explorer"."""
    return _with(r"^:?tags: \[.*\bexplorer\b")


def asking() -> list[str]:
    """The pages that have questions to check oneself by."""
    return _with(r"selfcheck\.show\(")


def figures(text: str) -> int:
    """How many pictures a page shows: new ones, and those shown once more."""
    return len(re.findall(r"plt\.subplots\(|^figure$|^\w+\.figure_\w+\(", text, re.MULTILINE))


def _with(pattern: str) -> list[str]:
    texts = {page: (ROOT / f"{page}.md").read_text("utf-8") for page in all_pages()}
    return [page for page, text in texts.items() if re.search(pattern, text, re.MULTILINE)]
