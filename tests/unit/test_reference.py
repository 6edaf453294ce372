"""Glossary, notation, citation, and the routes through the pages."""

import re
from itertools import chain

import yaml
from conftest import ROOT
from lessons import CHAPTERS, LESSONS, ROUTES, needs

import vgkit

GLOSSARY = (ROOT / "reference" / "glossary.md").read_text()
TERMS = re.findall(r"^(\S.*)\n  \S", GLOSSARY.partition("{glossary}")[2], re.M)


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


def fields(thing):
    """Names of a dataclass's fields, which the class itself need not have."""
    return getattr(thing, "__dataclass_fields__", {})


def test_notation_names_what_exists():
    table = (ROOT / "reference" / "notation.md").read_text()
    rooms = [getattr(vgkit, name) for name in vgkit.__all__]
    names = set(re.findall(r"`(\w+)\.(\w+)`", table))
    assert len(names) > 20
    for first, second in names:
        owners = [vgkit, *rooms]
        things = [getattr(owner, first) for owner in owners if hasattr(owner, first)]
        parts = {*chain(*({*dir(thing), *fields(thing)} for thing in things))}
        assert second in parts, f"{first}.{second}"


def test_the_citation_is_that_of_the_file():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == vgkit.__version__
    page = (ROOT / "reference" / "citing.md").read_text()
    year = str(cited["date-released"])[:4]
    authors = [author["name"] for author in cited["authors"]]
    sentence = f"{', '.join(authors)} ({year}). {cited['title']}. Version {cited['version']}."
    assert sentence in page
    for value in (*authors, cited["title"], year, f"Version {cited['version']}"):
        assert re.search(rf"^  \w+ = \{{+{re.escape(value)}\}}+,$", page, re.M), value


def test_no_page_needs_a_later_one():
    order = list(LESSONS)
    assert needs("chapters/depth") == ["chapters/chain-rule"]
    assert needs("chapters/detection", "helpful") == ["chapters/causes/dead-units"]
    for page in order:
        for before in needs(page) + needs(page, "helpful"):
            assert order.index(before) < order.index(page), f"{page} comes before {before}"


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
