"""Pages as a reader sees them: nothing cut off, little code, numbers as they are printed."""

import re

import pytest
from conftest import ROOT

from tools import pages

REWRITTEN = [
    "index",
    "chapters/gradients",
    "chapters/chain-rule",
    "chapters/depth",
    "chapters/causes",
    "chapters/causes/dead-units",
    "chapters/causes/theory",
    "chapters/causes/recurrence",
    "chapters/causes/formats",
    "chapters/causes/research",
]
LESSONS = REWRITTEN[1:]
MOST_LINES, MOST_IN_A_CELL, MOST_COLUMNS = 35, 12, 75
WORDS_A_MINUTE, MINUTES_A_FIGURE = 200, 1.5

# Equations that are too wide, with the widths of the screen; they wait for their pages' rewriting.
WIDE = {
    "chapters/solutions/fewer-layers": (380,),
    "chapters/solutions/leaky-relu": (380,), "chapters/solutions/initialisation": (380,),
    "chapters/solutions/smooth-activations": (380,), "chapters/solutions/residual": (380,),
    "chapters/solutions/clipping": (380,), "chapters/classics": (380,),
    "chapters/solutions": (1280, 380), "chapters/solutions/relu": (1280, 380),
    "chapters/solutions/batch-normalisation": (1280, 380),
    "chapters/solutions/layer-normalisation": (1280, 380),
    "chapters/solutions/gated-cells": (1280, 380), "chapters/solutions/echo-state": (1280, 380),
    "chapters/solutions/rescaling": (1280, 380), "api/theory": (1280, 380), "api/data": (380,),
    "api/nets": (380,), "api/recurrent": (380,), "api/grads": (380,), "api/train": (380,),
    "api/diagnosis": (380,),
}  # fmt: skip
CUT = """() => [...document.querySelectorAll(
    'main :is(pre, table, div.math, mjx-container[display], .output, svg)')]
  .filter(e => e.checkVisibility() && e.clientWidth && e.scrollWidth > e.clientWidth + 1)
  .map(e => `${e.tagName} ${e.scrollWidth} > ${e.clientWidth}: ${e.textContent.slice(0, 60)}`)"""


@pytest.mark.parametrize("width", [1280, 380])
def test_nothing_is_cut_off(book, open_page, width):
    page = open_page((book / "index.html").as_uri(), viewport={"width": width, "height": 900})
    cut = {}
    for name in pages.all_pages():
        page.goto((book / f"{name}.html").as_uri())
        page.evaluate("window.MathJax?.startup?.promise")
        if found := page.evaluate(CUT):
            cut[name] = found
    known = {name for name, widths in WIDE.items() if width in widths}
    assert {name: found for name, found in cut.items() if name not in known} == {}
    assert all("MJX" in one or "DIV" in one for name in known for one in cut.get(name, []))


def visible(text):
    """Code cells that a reader sees, as lists of lines."""
    cells = re.findall(r"^```\{code-cell\}.*?\n(.*?)^```", text, re.M | re.S)
    hidden = ("remove-cell", "remove-input", "hide-input", "hide-cell")
    shown = [cell for cell in cells if not any(tag in cell for tag in hidden)]
    heads = re.compile(r"\A(?:---\n(?:.*\n)*?---\n|(?::.*\n)+)")
    return [heads.sub("", cell).strip("\n").splitlines() for cell in shown]


@pytest.mark.parametrize("page", LESSONS)
def test_the_code_in_view_is_the_idea(page):
    text = (ROOT / f"{page}.md").read_text("utf-8")
    cells = visible(text)
    assert max((len(line) for cell in cells for line in cell), default=0) <= MOST_COLUMNS
    before = visible(text.split("\n## Check yourself")[0])
    assert sum(map(len, before)) <= MOST_LINES
    assert max(map(len, before), default=0) <= MOST_IN_A_CELL


SHOWN = """() => {
  const main = document.querySelector('main article');
  const unseen = '.cell_input, script, style, .vg-quiz, details, [hidden]';
  for (const gone of main.querySelectorAll(unseen)) gone.remove();
  return main.innerText;
}"""


@pytest.mark.parametrize("page", REWRITTEN)
def test_numbers_are_printed_as_powers(book, open_page, page):
    opened = open_page((book / f"{page}.html").as_uri())
    assert re.findall(r"\b\d[\d.]*e[+-]?\d+\b", opened.evaluate(SHOWN)) == []


@pytest.mark.parametrize("page", REWRITTEN)
def test_a_page_shows_the_thing_itself(book, page):
    """A net that moves, or a diagram."""
    text = (book / f"{page}.html").read_text("utf-8")
    assert "vg-diagram" in text or '"view":"network"' in text


@pytest.mark.parametrize("page", LESSONS)
def test_the_time_to_read_is_about_what_it_takes(book, open_page, page):
    text = (ROOT / f"{page}.md").read_text("utf-8")
    reading = int(re.search(r"\*\*Time:\*\* (\d+) minutes to read", text)[1])
    opened = open_page((book / f"{page}.html").as_uri())
    exercises = "document.querySelector('#exercises')?.remove()"
    opened.evaluate(exercises)
    words = len(opened.evaluate(SHOWN).split())
    pictures = opened.locator("main :is(.vg-figure, .vg-explorer, .vg-diagram)").count()
    takes = words / WORDS_A_MINUTE + pictures * MINUTES_A_FIGURE
    assert abs(reading / takes - 1) < 0.2, (reading, takes, words, pictures)
