"""Print the built book into one PDF with an outline: python -m tools.pdf [file].

A browser prints each page by the book's style for paper; their links to each other are then made
links within the file. What is folded on the screen stands open, solutions too.
"""

import sys
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import yaml
from playwright.sync_api import Browser, Page, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, Fit, NameObject, TextStringObject

from tools import chromium, pages

HTML = pages.ROOT / "_build" / "html"
HERE = "book:"  # start of the addresses within the file, until all its pages are known
# A browser keeps the places that a printed link leads to; a heading's leads to itself.
STYLE = """html {{ counter-reset: page {printed}; }}
.headerlink {{ display: inline !important; font-size: 1px; color: transparent !important; }}"""
HEADINGS = """() => [...document.querySelectorAll('section > :is(h1, h2)')].map(heading => {
  const text = heading.cloneNode(true);
  text.querySelectorAll('.headerlink').forEach(link => link.remove());
  return [heading.tagName, heading.parentElement.id, text.textContent.trim()];
})"""

Headings = list[tuple[str, str, str]]
Place = tuple[int, Fit]


def printed(page: Page, path: Path, before: int) -> tuple[PdfReader, Headings]:
    """A page of the book on paper, numbered from `before` on, and its headings."""
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    page.evaluate("window.MathJax?.startup?.promise")
    headings = page.evaluate(HEADINGS)
    page.add_style_tag(content=STYLE.format(printed=before))
    return PdfReader(BytesIO(page.pdf(format="A4", prefer_css_page_size=True))), headings


def name_links(reader: PdfReader, name: str, html: Path) -> None:
    """Give the links of a printed page to the book addresses that no other page of it has."""
    for sheet in reader.pages:
        for entry in sheet.get("/Annots", []):
            link = entry.get_object()
            address = link.get("/A", {}).get("/URI", "").removeprefix(f"{html.as_uri()}/")
            if "/Dest" in link:
                address = name + ".html#" + link.pop("/Dest").removeprefix("/")
            if ":" not in address:
                link[NameObject("/A")] = DictionaryObject(
                    {
                        NameObject("/S"): NameObject("/URI"),
                        NameObject("/URI"): TextStringObject(HERE + address),
                    }
                )


def tie_links(writer: PdfWriter, places: dict[str, Place]) -> None:
    """Let links lead to their places in the file; one to what is not in it is none."""
    for sheet in writer.pages:
        kept = ArrayObject()
        for entry in sheet.get("/Annots", []):
            link = entry.get_object()
            address = link.get("/A", {}).get("/URI", "")
            if address.startswith(HERE):
                page, _, part = address.removeprefix(HERE).partition(".html#")
                page = page.removesuffix(".html")
                place = places.get(f"{page}#{part}") or places.get(f"{page}#")
                if not place:
                    continue
                number, fit = place
                del link["/A"]
                target = [writer.pages[number].indirect_reference, fit.fit_type, *fit.fit_args]
                link[NameObject("/Dest")] = ArrayObject(target)
            kept.append(entry)
        sheet[NameObject("/Annots")] = kept


def write(
    browser: Browser, target: Path, names: Iterable[tuple[int, str]], html: Path = HTML
) -> None:
    """Print pages, each with its level in the outline, into one file."""
    writer = PdfWriter()
    places: dict[str, Place] = {}
    parents = []
    page = browser.new_page()
    for level, name in names:
        first = len(writer.pages)
        reader, headings = printed(page, html / f"{name}.html", first)
        places[f"{name}#"] = (first, Fit.xyz())
        for part, place in reader.named_destinations.items():
            number = first + reader.get_destination_page_number(place)
            places[f"{name}#{part.removeprefix('/')}"] = (number, Fit.xyz(place.left, place.top))
        name_links(reader, name, html)
        writer.append(reader, import_outline=False)
        for tag, part, text in headings:
            number, fit = places.get(f"{name}#{part}", places[f"{name}#"])
            depth = level + (tag == "H2")
            above = parents[depth - 1] if depth else None
            parents[depth:] = [
                writer.add_outline_item(title=text, page_number=number, parent=above, fit=fit)
            ]
    page.close()
    tie_links(writer, places)
    config = yaml.safe_load((pages.ROOT / "_config.yml").read_text("utf-8"))
    writer.add_metadata({"/Title": config["title"], "/Author": config["author"]})
    writer.compress_identical_objects()
    writer.write(target)


if __name__ == "__main__":
    if not (HTML / "index.html").exists():
        sys.exit("There is no book yet; run: make book")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HTML.parent / "book.pdf"
    with sync_playwright() as playwright:
        options = {"executable_path": chromium.find(), "args": ["--no-sandbox", "--disable-gpu"]}
        browser = playwright.chromium.launch(**options)
        write(browser, target, pages.outline())
        browser.close()
    print(f"The book is in {target}, {len(PdfReader(target).pages)} pages")
