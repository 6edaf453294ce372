"""What the lessons say of themselves: their labels, minutes, needs, and the routes through them."""

import re

from conftest import ROOT

from tools import pages

CHAPTERS = {p: (ROOT / f"{p}.md").read_text() for p in pages.all_pages() if "chapters/" in p}
LESSONS = {p: text for p, text in CHAPTERS.items() if "**Time:**" in text}
LABEL = {re.search(r"\((\S+)\)=", text)[1]: p for p, text in CHAPTERS.items()}


def minutes(text):
    """To read a page, and for its exercises where it says these apart."""
    stated = r"\*\*Time:\*\* (\d+) minutes(?:\s+to\s+read,\s+(\d+)\s+for\s+the\s+exercises)?"
    return [int(part) for part in re.search(stated, text).groups() if part]


TIME = {p: sum(minutes(text)) for p, text in LESSONS.items()}


def code(page, name):
    """Source of the first code cell of a page that defines a function of this name."""
    cells = re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```", LESSONS[page], re.M | re.S)
    return next(cell for cell in cells if f"def {name}(" in cell)


def needs(page, kind="necessary"):
    """Pages that a page says it needs, or is helped by."""
    before = re.search(r"\*\*Before:\*\* (.*?)\*\*Time:\*\*", LESSONS[page], re.S)[1]
    other = {"necessary": "helpful", "helpful": "necessary"}[kind]
    # What stands between one bracket and the next belongs to the bracket that ends it.
    parts = re.findall(
        rf"((?:(?!\({other}\)|\((?:both )?{kind}\)).)*)\((?:both )?{kind}\)", before, re.S
    )
    return [LABEL[label] for part in parts for label in re.findall(r"\{ref\}`([^`]*)`", part)]


def routes():
    """Lists of pages, by route, as the index has them; a list item may hold several."""
    index = (ROOT / "index.md").read_text()
    for name, text in re.findall(r":::\{div\} vg-route (\w+)\n(.*?):::", index, re.S):
        items = [re.findall(r"`([^`]*)`", line) for line in text.splitlines()]
        yield name, [[LABEL[label] for label in item] for item in items]


ROUTES = dict(routes())
