"""A book of two pages, built for an address of its own: as its readers meet it."""

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import nbformat
import pytest
import smallbook
from conftest import SETTLED, faults, serve
from PIL import Image

PAGES = "index.html", "pages/second.html"
HERE = "https://someone.github.io/course/"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages of the book; one more address leads to its second page."""
    top = tmp_path_factory.mktemp("book")
    smallbook.write(top)
    config = top / "_config.yml"
    moved = "redirects: {old/deep/page: /pages/second.html}"
    config.write_text(re.sub(r"redirects: \{\}", moved, config.read_text()))
    return smallbook.build(top, VGKIT_URL=HERE, VGKIT_REPOSITORY="someone/course")


@pytest.fixture(scope="module")
def address(built):
    with serve(built) as address:
        yield address


@pytest.mark.parametrize("width, theme, served", [(1400, "light", True), (380, "dark", False)])
def test_a_page_is_accessible_and_works(built, address, open_page, width, theme, served):
    """From a server, and from a folder without one."""
    url = f"{address if served else built.as_uri()}/pages/second.html"
    page = open_page(url, theme, viewport={"width": width, "height": 900})
    assert page.problems == []
    page.locator(".vg-explorer details").evaluate_all("all => all.forEach(e => e.open = true)")
    page.wait_for_function(SETTLED, arg=theme)
    assert faults(page) == []
    explorer = page.locator(".vg-explorer[data-ready=true]")
    assert explorer.locator("svg .vg-line").count() >= 1
    before = explorer.locator(".vg-summary").text_content()
    explorer.locator("input[type=range]").first.press("ArrowRight")
    assert explorer.locator(".vg-summary").text_content() != before
    assert page.locator("svg.vg-figure").count() == 1
    assert page.get_by_role("img", name="A line that rises from 1 to 2").is_visible()
    assert page.locator(".vg-quiz[data-ready] form").count() == 3
    assert "It is 0.125, and 5.7\xa0×\xa010⁻⁵ or 68\u202f%." in page.locator("main").inner_text()


def test_descriptions_cards_and_sitemap(built):
    second = (built / "pages" / "second.html").read_text()
    card = dict(re.findall(r'<meta property="og:([\w:]+)" content="([^"]*)"', second))
    text = "Second. First sentence. Another one, to the first page and First &amp; only."
    assert card["title"] == "Second" and card["url"] == f"{HERE}pages/second.html"
    assert f'<meta name="description" content="{card["description"]}">' in second
    assert card["description"].startswith(text)
    assert f'<link rel="canonical" href="{card["url"]}"' in second
    assert card["image:alt"] and card["image"].startswith(HERE)
    path = built / card["image"].removeprefix(HERE)
    with Image.open(path) as image:
        assert image.size == (int(card["image:width"]), int(card["image:height"]))
    assert path.stat().st_size < 50_000
    root = ElementTree.parse(built / "sitemap.xml").getroot()
    places = [place.text for place in root.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    assert sorted(places) == [f"{HERE}index.html", f"{HERE}pages/second.html"]


def test_every_page_counts_its_exercises_from_1(built):
    number = '<span class="caption-number">Exercise 1 </span>'
    assert [(built / page).read_text().count(number) for page in PAGES] == [1, 1]
    link = r'<a [^>]*href="pages/second.html#second-ex"[^>]*>(.*?)</a>'
    text = re.search(link, (built / "index.html").read_text())[1]
    assert re.sub("<.*?>", "", text) == "Exercise 1"


def test_a_wrong_address_and_an_old_one(built, browser):
    """Of a server that shows 404.html at every wrong address."""
    context = browser.new_context()

    def answer(route):
        path = built / unquote(urlsplit(route.request.url).path.removeprefix("/course/"))
        found = path.is_file()
        route.fulfill(status=200 if found else 404, path=path if found else built / "404.html")

    context.route(f"{HERE}**", answer)
    page = context.new_page()
    statuses = {}
    page.on("response", lambda r: statuses.update({r.url: r.status}))
    page.goto(f"{HERE}no/such/page.html")
    assert page.locator("h1:visible").inner_text().startswith("Page not found")
    wrong = [url for url, status in statuses.items() if status != 200]
    assert wrong == [f"{HERE}no/such/page.html"]
    page.get_by_role("link", name="Second").first.click()  # in the contents beside the text
    page.wait_for_url(f"{HERE}pages/second.html")
    page.goto(f"{HERE}no/such/page.html")
    page.locator("main").get_by_role("link", name="first page").click()
    page.wait_for_url(f"{HERE}index.html")
    page.goto(f"{HERE}old/deep/page.html#second")
    page.wait_for_url(f"{HERE}pages/second.html#second")
    context.close()


@pytest.mark.parametrize("page", ["index", "pages/second"])
def test_the_launch_link_opens_the_page_s_notebook(built, page):
    text = (built / f"{page}.html").read_text()
    start = "https://mybinder.org/v2/gh/someone/course/main?urlpath=lab/tree/"
    links = set(re.findall(f'href="{re.escape(start)}([^"]+)"', text))
    assert f"notebooks/{page}.ipynb" in links
    whole = "notebooks/index.ipynb"  # the first page also offers the whole course
    assert links <= {f"notebooks/{page}.ipynb", whole}
    elsewhere = re.findall(r'href="https://(?:mybinder\.org/v2/gh|github\.com)/([^"]*)"', text)
    assert elsewhere and all(link.startswith("someone/course") for link in elsewhere)


def test_a_saved_notebook_stands_alone(built):
    notebook = nbformat.read(built / "_sources" / "pages" / "second.ipynb", as_version=4)
    nbformat.validate(notebook)
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert (
        f"to [the first page]({HERE}index.html) and [First & only]({HERE}index.html#first)" in words
    )
    assert f"What [Glorot and Bengio, 2010]({HERE}pages/second.html#cite-glorot2010)" in words
    assert "![a picture](data:image/png;base64," in words
    assert "It is 0.125, and 5.7\xa0×\xa010⁻⁵ or 68\u202f%." in words
    assert "### Exercise 1\nHow many?" in words
    assert "glue" not in code and "myst" not in code and "page.numbers" not in code
    archive = "https://github.com/someone/course/archive/refs/heads/main.zip"
    assert f'%pip install --quiet "vgkit[course] @ {archive}"' in code
    solved = [c.source for c in notebook.cells if "solution" in c.metadata.get("tags", [])]
    heading, first, answer, last = solved
    assert heading == "#### Solution to Exercise 1" and answer == "answer = 3"
    assert "</summary>\n\nThree." in first and "</summary>\n\nSo three." in last
    numbers = json.loads((built.parent / "numbers.json").read_text())
    assert numbers == {"pages/second": {"share": "0.125", "left": 5.68e-5, "part": 0.684}}


def test_the_button_saves_and_does_not_show(built, address, browser):
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.goto(f"{address}/pages/second.html")
    page.get_by_role("button", name="Download this page").press("Enter")
    with page.expect_download() as saved:
        page.get_by_role("link", name=".ipynb").press("Enter")
    assert saved.value.suggested_filename == "second.ipynb"
    kept = Path(saved.value.path()).read_bytes()
    assert kept == (built / "_sources" / "pages" / "second.ipynb").read_bytes()
    assert len(context.pages) == 1
    context.close()
