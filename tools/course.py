"""What the pages of the book may refer to: each other, terms, works, exercises."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import dirname, relpath
from typing import NamedTuple

from pybtex.backends.markdown import Backend
from pybtex.database import Entry, parse_file
from pybtex.plugin import find_plugin

from tools import pages

FENCE = re.compile(r"(`{3,}|:{3,})(?:\{([\w-]+)\})?\s*(.*)")
LABEL = re.compile(r"^\(([\w-]+)\)=\n+#+ (.*)\n", re.MULTILINE)
EXERCISE = re.compile(r"\{exercise-start\}\n:label: (\S+)")
TERM = re.compile(r"^(\S.*)\n((?:  .*\n|\n)+)", re.MULTILINE)


class Place(NamedTuple):
    """Where a link leads: a page, and a heading on it if it is not the page's own.

    JupyterLab finds a heading by its words, a browser finds it on the book's page by its anchor.
    """

    page: str
    title: str
    heading: str = ""
    anchor: str = ""


class Work(NamedTuple):
    """A cited work: authors and year, as the text has them; in full; where the list has it."""

    short: str
    full: str
    place: Place


@dataclass(frozen=True)
class Course:
    """All pages, and what their text may refer to.

    Attributes:
        root: The folder that they are in.
        texts: The source of every page, in the order of the contents.
        labels: Where the role {ref} leads: pages, sections, exercises.
        terms: Where the role {term} leads, by the term in small letters.
        works: What the roles {cite:p} and {cite:t} name.
    """

    root: Path
    texts: dict[str, str]
    labels: dict[str, Place]
    terms: dict[str, Place]
    works: dict[str, Work]

    def place(self, page: str) -> Place:
        """A page as a whole."""
        return Place(page, title(self.texts[page]))


def blocks(text: str) -> Iterator[tuple[str, str, str]]:
    """Directives, as name, argument and body, and the Markdown between them, without a name.

    Code in a fence is a part of its own, named "code".
    """
    lines, between = iter(text.split("\n")), []
    for line in lines:
        opening = FENCE.fullmatch(line)
        if not opening:
            between.append(line)
            continue
        yield "", "", "\n".join(between)
        fence, name, argument = opening.groups()
        body, between = [], []
        for inner in lines:
            if inner.startswith(fence) and not inner.strip(fence[0]):
                break
            body.append(inner)
        if name:
            yield name, argument, "\n".join(body)
        else:
            yield "code", "", "\n".join([line, *body, fence])
    yield "", "", "\n".join(between)


def title(text: str) -> str:
    """The first heading of a page."""
    return re.search(r"^# (.*)$", text, re.MULTILINE)[1]


def labelled(page: str, text: str) -> Iterator[tuple[str, Place]]:
    """The labels of a page; the one above its first heading stands for the page."""
    for label, heading in LABEL.findall(text):
        yield label, Place(page, heading, "" if heading == title(text) else heading, label)


def defined(page: str, text: str) -> Iterator[tuple[str, Place]]:
    """The terms that a page defines."""
    for directive, _, body in blocks(text):
        if directive == "glossary":
            for term, _ in TERM.findall(f"{body}\n"):
                anchor = re.sub("[^A-Za-z0-9]+", "-", term).strip("-")
                yield term.lower(), Place(page, term, term, f"term-{anchor}")


def short(entry: Entry) -> str:
    """Authors and year of a work, as in the book's citations."""
    names = [
        " ".join(str(name) for name in [*person.rich_prelast_names, *person.rich_last_names])
        for person in entry.persons["author"]
    ]
    authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    return f"{authors}, {entry.fields['year']}"


def bibliography(path: Path, page: str) -> dict[str, Work]:
    """All works of a BibTeX file by key, in the order of their authors, as a page lists them."""
    entries = parse_file(str(path)).entries
    style = find_plugin("pybtex.style.formatting", "plain")()
    works = {}
    for work in style.format_entries(entries.values()):
        name = short(entries[work.key])
        place = Place(page, name, name, f"cite-{work.key}")
        works[work.key] = Work(name, work.text.render(Backend()), place)
    return works


def exercises(page: str, text: str) -> Iterator[tuple[str, Place]]:
    """The labels of a page's exercises, which are numbered from 1."""
    for number, label in enumerate(EXERCISE.findall(text), 1):
        name = f"Exercise {number}"
        yield label, Place(page, name, name, label)


def read(root: Path = pages.ROOT) -> Course:
    """Read the pages and the list of works."""
    texts = {page: (root / f"{page}.md").read_text("utf-8") for page in pages.all_pages()}
    labels = {
        label: place
        for item in texts.items()
        for label, place in [*labelled(*item), *exercises(*item)]
    }
    listing = next(page for page, text in texts.items() if "{bibliography}" in text)
    return Course(
        root=root,
        texts=texts,
        labels=labels,
        terms={term: place for item in texts.items() for term, place in defined(*item)},
        works=bibliography(root / "references.bib", listing),
    )


def beside(page: str, place: Place) -> str:
    """The address of a place in a folder of notebooks, as seen from a page."""
    path = relpath(f"{place.page}.ipynb", dirname(page) or ".")
    words = place.heading.replace(" ", "-")  # JupyterLab's name of a heading
    return f"{path}#{words}" if words else path


def published(base: str, page: str, place: Place) -> str:
    """The address of a place in the book that is published at `base`; empty where it is not."""
    anchor = f"#{place.anchor}" if place.anchor else ""
    return f"{base}{place.page}.html{anchor}" if base else ""
