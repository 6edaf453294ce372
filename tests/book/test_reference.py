"""Glossary, notation, citation, and the map of pages with its routes."""

import html
import re

import pytest
import yaml
from conftest import ROOT

import vgkit
from tools import pages

GLOSSARY = (ROOT / "reference" / "glossary.md").read_text()
TERMS = re.findall(r"^(\S.*)\n  \S", GLOSSARY.partition("{glossary}")[2], re.M)
CHAPTERS = {p: (ROOT / f"{p}.md").read_text() for p in pages.all_pages() if "chapters/" in p}
LESSONS = {p: text for p, text in CHAPTERS.items() if "**Time:**" in text}
LABEL = {re.search(r"\((\S+)\)=", text)[1]: p for p, text in CHAPTERS.items()}
TIME = {p: int(re.search(r"\*\*Time:\*\* (\d+) minutes", text)[1]) for p, text in LESSONS.items()}


def linked(text):
    """Terms that a page links, as the glossary has them."""
    roles = re.findall(r"\{term\}`(?:[^`]*<([^`]*)>|([^`]*))`", text)
    return [target or shown for target, shown in roles]


def test_the_glossary_is_in_order_and_short():
    assert 45 <= len(TERMS) == len(set(TERMS))
    assert sorted(TERMS, key=str.casefold) == TERMS
    entries = re.split(r"\n\n", GLOSSARY.partition("{glossary}")[2].removesuffix("```\n").strip())
    assert len(entries) == len(TERMS)
    for entry in entries:
        assert entry.count("{ref}") == 1 and entry.endswith("`")
        assert 1 <= len(re.findall(r"\.(?:\s|$)", entry)) <= 3, entry


def test_every_term_is_linked_from_a_chapter():
    wanted = {term.casefold() for term in TERMS}
    assert {term.casefold() for text in CHAPTERS.values() for term in linked(text)} == wanted


@pytest.mark.parametrize("page", LESSONS)
def test_terms_are_linked_once_and_in_prose(page):
    found = [term.casefold() for term in linked(LESSONS[page])]
    assert 2 <= len(found) == len(set(found)) <= 10
    for place in (r"```\{code-cell\}.*?\n```", r"\$\$.*?\$\$", r"^#.*?$"):
        for text in re.findall(place, LESSONS[page], re.S | re.M):
            assert "{term}" not in text


def test_notation_names_what_exists():
    table = (ROOT / "reference" / "notation.md").read_text()
    rooms = [getattr(vgkit, name) for name in vgkit.__all__]
    names = set(re.findall(r"`(\w+)\.(\w+)`", table))
    assert len(names) > 20
    for first, second in names:
        owners = [vgkit, *rooms]
        found = [getattr(owner, first) for owner in owners if hasattr(owner, first)]
        assert any(hasattr(owner, second) for owner in found), f"{first}.{second}"


def test_notation_has_the_symbols_of_the_chapters():
    table = (ROOT / "reference" / "notation.md").read_text()
    prose = [re.sub(r"```\{code-cell\}.*?\n```", "", text, flags=re.S) for text in LESSONS.values()]
    formulas = " ".join(re.findall(r"\$([^$]+)\$", "\n".join(prose)))
    letters = "alpha beta gamma delta epsilon varepsilon eta lambda mu xi rho sigma phi chi".split()
    greek = {name for name in letters if re.search(rf"\\{name}\b", formulas)}
    assert len(greek) > 10
    assert {name for name in greek if f"\\{name}" not in table} == set()


def test_citation(book):
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == vgkit.__version__
    page = html.unescape(re.sub("<.*?>", "", (book / "reference" / "citing.html").read_text()))
    assert page.count(cited["title"]) >= 2 and page.count(f"Version {cited['version']}") == 2
    assert all(page.count(author["name"]) >= 2 for author in cited["authors"])


def needs(page, kind="necessary"):
    """Pages that a page says it needs, or is helped by."""
    before = re.search(r"\*\*Before:\*\* (.*?)\*\*Time:\*\*", LESSONS[page], re.S)[1]
    other = {"necessary": "helpful", "helpful": "necessary"}[kind]
    # What stands between one bracket and the next belongs to the bracket that ends it.
    parts = re.findall(
        rf"((?:(?!\({other}\)|\((?:both )?{kind}\)).)*)\((?:both )?{kind}\)", before, re.S
    )
    return [LABEL[label] for part in parts for label in re.findall(r"\{ref\}`([^`]*)`", part)]


def test_no_page_needs_a_later_one():
    order = list(LESSONS)
    assert needs("chapters/depth") == ["chapters/chain-rule"]
    assert needs("chapters/detection", "helpful") == ["chapters/causes/dead-units"]
    for page in order:
        for before in needs(page) + needs(page, "helpful"):
            assert order.index(before) < order.index(page), f"{page} comes before {before}"


def routes():
    """Lists of pages, by route, as the index has them; a list item may hold several."""
    index = (ROOT / "index.md").read_text()
    for name, text in re.findall(r"### For a (\w+)\n.*?:::\{div\} vg-route\n(.*?):::", index, re.S):
        items = [re.findall(r"`([^`]*)`", line) for line in text.splitlines()]
        yield name, [[LABEL[label] for label in item] for item in items]


ROUTES = dict(routes())


def test_routes_reach_every_lesson_in_an_order_that_works():
    assert ROUTES.keys() == {"newcomer", "lecturer", "practitioner"}
    flat = {name: [page for item in items for page in item] for name, items in ROUTES.items()}
    assert set().union(*flat.values()) == LESSONS.keys()
    order = list(LESSONS)
    for name, route in flat.items():
        assert len(route) == len(set(route))
        known = set(order[: order.index(route[0])])  # who starts later knows what comes before
        for page in route:
            assert set(needs(page)) <= known, f"{name}: {page}"
            known.add(page)


def test_the_map_and_the_sums(book):
    text = (book / "index.html").read_text()
    shown = text[text.index("vg-map") :]
    rows = re.findall(
        r'<li[^>]*><a href="([^"]*)\.html">[^<]*</a> <span>(\d+) min</span></li>', shown
    )
    assert {page: int(time) for page, time in rows} == TIME and [p for p, _ in rows] == list(TIME)
    row = r'<tr><th scope="row"><a href="(.*?)\.html">.*?</th>' + "<td>(.*?)</td>" * 3
    cells = re.findall(row, shown)
    assert len(cells) == len(LESSONS)
    for page, *named, time in cells:
        assert int(time) == TIME[page]
        for names, kind in zip(named, ("necessary", "helpful"), strict=True):
            assert len([n for n in names.split(", ") if n != "–"]) == len(needs(page, kind))
    sums = [int(n) for n in re.findall(r"Together (\d+) minutes", text)]
    assert sums == [sum(TIME[p] for item in items for p in item) for items in ROUTES.values()]
    single = [int(n) for n in re.findall(r'class="vg-minutes"> ?(\d+) min', text)]
    assert single == [sum(map(TIME.get, item)) for items in ROUTES.values() for item in items]


@pytest.mark.parametrize("width", [380, 1400])
def test_the_map_in_a_browser(site, open_page, width):
    page = open_page(f"{site}/index.html", viewport={"width": width, "height": 900})
    rows = page.locator(".vg-map li")
    boxes = [rows.nth(i).bounding_box() for i in range(rows.count())]
    assert all(abs(b["height"] - 30) < 0.5 for b in boxes)  # the arcs rely on it
    chart = page.locator(".vg-map svg").bounding_box()
    assert abs(chart["y"] - boxes[0]["y"]) < 1 and abs(chart["height"] - 30 * len(boxes)) < 1
    thick = ".vg-map path.p2"
    plain = page.locator(thick).first.evaluate("e => getComputedStyle(e).strokeWidth")
    rows.nth(2).locator("a").focus()
    assert page.locator(thick).first.evaluate("e => getComputedStyle(e).strokeWidth") > plain
    table = page.locator(".vg-map table")
    page.locator(".vg-map summary").click()
    assert table.is_visible() and table.bounding_box()["width"] <= width
