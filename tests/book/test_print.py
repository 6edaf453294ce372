"""The book on paper: what a browser prints of a page, and the whole book as one PDF."""

import re

import pytest
from pypdf import PdfReader

from tools import pdf

PRESSED = "Hold this curve|Clear held|Try:|Save:|Copy|Show code|Previous"
HOLDS = ("A surprise", "It vanishes: layer 1 gets", "Hidden layers 20", "Solution", "fan-in")
BOX = "e => { const b = e.getBoundingClientRect(); return b.width * b.height; }"
CONTROLS = (
    "main :is(button, select, summary, input[type=range], .vg-controls), nav, "
    ".bd-sidebar-primary, .bd-header, .prev-next-footer, input[type=search]"
)


@pytest.mark.parametrize("page", ["chapters/depth", "chapters/claims", "chapters/detection"])
def test_paper_is_light_and_has_nothing_to_press(site, open_page, page):
    opened = open_page(f"{site}/{page}.html", theme="dark")
    root, tables = opened.locator("html"), opened.locator(".vg-more")
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened.emulate_media(media="print")
    assert root.get_attribute("data-theme") == "light"
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    assert opened.locator(CONTROLS).evaluate_all(f"all => all.filter({BOX}).length") == 0
    for chart in opened.locator(".vg-chart").all():
        assert chart.locator(".vg-picture svg").is_visible()
    for tools in opened.locator(".vg-tools").all():
        assert tools.locator("tbody tr").count() > 1
    solutions = opened.locator(".solution.dropdown")
    assert solutions.evaluate_all("all => all.every(e => !e.matches('.toggle-hidden'))")
    opened.emulate_media(media="screen")
    opened.evaluate("dispatchEvent(new Event('afterprint'))")
    assert root.get_attribute("data-theme") == "dark"
    assert tables.evaluate_all("all => all.filter(e => e.open).length") == 0
    assert opened.problems == []


@pytest.fixture(scope="module")
def two_pages(browser, book, tmp_path_factory):
    path = tmp_path_factory.mktemp("pdf") / "two.pdf"
    pdf.write(browser, path, [(0, "chapters/depth"), (1, "reference/glossary")], book)
    return PdfReader(path)


def test_pdf_holds_the_text_and_no_controls(two_pages):
    texts = [sheet.extract_text() for sheet in two_pages.pages]
    whole = re.sub(r"\s+", " ", " ".join(texts))
    assert 8 <= len(texts) <= 20
    assert all(len(text) > 100 for text in texts)  # no empty sheet
    assert [text for text in HOLDS if text not in whole] == []
    assert not re.search(rf"\b({PRESSED})", whole)
    for number, text in enumerate(texts, start=1):
        assert text.split()[-1] == str(number) or text.split()[0] == str(number)


def test_pdf_s_outline_and_links(two_pages):
    reader, (chapter, sections, *_) = two_pages, two_pages.outline
    assert chapter.title.startswith("Depth")
    titles = [entry.title for entry in sections if not isinstance(entry, list)]
    assert titles[0] == "A surprise" and titles[-1] == "Glossary"  # that one of level 1
    for entry in sections[:-1]:
        sheet = reader.pages[reader.get_destination_page_number(entry)]
        assert entry.title in sheet.extract_text()
    first = reader.get_destination_page_number(sections[len(titles) - 1])
    numbers = {sheet.indirect_reference.idnum: i for i, sheet in enumerate(reader.pages)}
    links = [a.get_object() for sheet in reader.pages for a in sheet.get("/Annots", [])]
    addresses = [link["/A"]["/URI"] for link in links if "/A" in link]
    assert all(address.startswith("https://") for address in addresses)
    terms = {numbers[link["/Dest"][0].idnum] for link in links[:40] if "/Dest" in link}
    assert max(terms) > first  # a term leads to its own place in the glossary
