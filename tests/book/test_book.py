"""The built book as its readers meet it: over http, from a folder, in both themes, on a phone."""

import functools
import gzip
import re
from pathlib import Path

import pytest
import smallbook
from conftest import ROOT, SETTLED, faults, public, sideways

import vgkit
from tools import pages

PAGES = [*pages.all_pages(), "genindex", "search"]
LIVE = pages.live()
OPEN = "all => all.forEach(e => e.open = true)"


# axe takes seconds: every other page is light when wide and dark when narrow, the rest the reverse.
@pytest.mark.parametrize("page", PAGES)
def test_over_http_accessible_and_within_the_screen(site, open_page, page):
    wide, narrow = [("light", "dark"), ("dark", "light")][PAGES.index(page) % 2]
    opened = open_page(f"{site}/{page}.html", wide)
    assert opened.locator("html").get_attribute("lang") == "en"
    fields = opened.locator("input[type=search]:visible, .search-button__button:visible")
    assert fields.count() == (2 if page == "search" else 1)  # that page is itself a search field
    for image in opened.locator("img").all():
        alt = image.get_attribute("alt")
        assert alt and not alt.startswith("_images"), image.get_attribute("src")
    assert opened.problems == []
    opened.locator(".vg-explorer details").evaluate_all(OPEN)
    for width, theme, check in ((1400, wide, faults), (768, wide, sideways), (380, narrow, faults)):
        opened.emulate_media(color_scheme=theme)
        opened.set_viewport_size({"width": width, "height": 900})
        opened.wait_for_function(SETTLED, arg=theme)
        assert check(opened) == [], width


SMALL = """() => [...document.querySelectorAll(
    'main :is(button, select, summary, textarea, input[type=range], input[type=text]), '
    + 'main label:has(input), .vg-choices label, .bd-header-article :is(button, label)')]
  .filter(e => e.checkVisibility({visibilityProperty: true}))
  .map(e => [e.outerHTML.slice(0, 90), e.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44 || box.width < 44).map(([html]) => html)"""


def test_from_a_folder_on_a_phone(book, open_page):
    """Every page without a server: whole, and to be used by thumb."""
    opened = open_page(
        (book / "index.html").as_uri(), viewport={"width": 380, "height": 900}, has_touch=True
    )
    for page in PAGES:
        opened.goto((book / f"{page}.html").as_uri())
        opened.evaluate("window.MathJax?.startup?.promise")
        assert opened.problems == [], page
        assert opened.locator("mjx-merror").count() == 0, page
        written, shown = opened.locator(".math").count(), opened.locator("mjx-container").count()
        assert shown >= written, page
        explorers = opened.locator(".vg-explorer").all()
        assert bool(explorers) == (page in LIVE), page
        for explorer in explorers:
            assert explorer.get_attribute("data-ready") == "true", page
            assert explorer.locator(".vg-picture svg").count() >= 1, page
        opened.locator(".vg-explorer details").evaluate_all(OPEN)
        assert opened.evaluate(SMALL) == [], page


def test_search(site, open_page):
    page = open_page(f"{site}/search.html?q=saturated")
    page.wait_for_selector("#search-results li")
    assert "gradients.html" in page.locator("#search-results").inner_html()
    assert page.problems == []


MOVING = """() => [...document.querySelectorAll('*')].filter(element => {
  const style = getComputedStyle(element);
  return style.scrollBehavior === 'smooth' || style.animationName !== 'none'
    || /[1-9]/.test(style.transitionDuration);
}).map(element => element.outerHTML.slice(0, 80))"""


def test_no_motion_where_none_is_wanted(site, open_page):
    address = f"{site}/chapters/depth.html"
    assert open_page(address).evaluate(MOVING)  # the theme's own, so the check can fail
    assert open_page(address, reduced_motion="reduce").evaluate(MOVING) == []


SCRIPT = r"<script class=\"vg-script\">.*?</script>|<style>.*?</style>"
TAG = re.compile(r'<(?:script|link)[^>]*?(?:src|href)="([^":#?]+\.(?:js|css))[^>]*>')


def test_what_a_page_loads(book):
    """Bytes as a server sends them; no script that the page waits for; pictures of known size."""

    @functools.cache
    def size(path):
        return len(gzip.compress(path.read_bytes(), 9))

    def part(pattern):
        return len(gzip.compress("".join(re.findall(pattern, text, re.DOTALL)).encode(), 9))

    for page in PAGES:
        path = book / f"{page}.html"
        text = path.read_text()
        assert size(path) <= 340_000, page
        assert part(SCRIPT) <= 25_000, page
        assert part(SCRIPT + r"|<div class=\"vg-explorer\">.*?</script>") <= 250_000, page
        assert text.count('<script class="vg-script"') == (page in LIVE), page
        files = {(path.parent / tag[1]).resolve() for tag in TAG.finditer(text)}
        assert sum(map(size, files)) <= 450_000, page
        scripts = [tag for tag in TAG.finditer(text) if tag[0].startswith("<script")]
        waited = {Path(tag[1]).name for tag in scripts if not re.search("defer|async", tag[0])}
        assert waited == {"documentation_options.js"} or page == "search"
        for image in re.findall("<img[^>]*>", text):
            assert 'width="' in image or "logo__image" in image, page  # the theme's own has its box
    assert size(book / "_static" / "scripts" / "fontawesome.js") < 30_000  # else 540 kB


def test_no_widget_state_no_machine_and_no_address_in_the_pages(book):
    for path in book.rglob("*.html"):
        text = path.read_text()
        assert "application/vnd.jupyter" not in text
        assert str(ROOT) not in text
        assert text.count("const THEBE_JS_URL") <= 1
        assert 'property="og:' not in text and 'rel="canonical"' not in text
    assert not (book / "sitemap.xml").exists() and not (book / "404.html").exists()


DESCRIPTION = re.compile(
    r"<meta\s+(?:content=\"([^\"]*)\"\s+)?name=\"description\"(?: content=\"([^\"]*)\")?"
)


def test_every_page_has_a_description_and_a_title_of_its_own(book):
    texts = [(book / f"{page}.html").read_text() for page in pages.all_pages()]
    found = [["".join(pair) for pair in DESCRIPTION.findall(text)] for text in texts]
    descriptions = [one for (one,) in found]
    assert all(30 <= len(text) <= 320 and "\\" not in text for text in descriptions), descriptions
    titles = [re.search("<title>(.*?)</title>", text, re.DOTALL)[1] for text in texts]
    assert len(set(descriptions)) == len(set(titles)) == len(texts)


def test_every_public_name_has_an_entry(book):
    for room in vgkit.__all__:
        html = (book / "api" / f"{room}.html").read_text()
        entry = r'<dt class="sig sig-object py" id="([\w.]+)">.*?</dt>\s*<dd>(.*?)</dd>'
        texts = dict(re.findall(entry, html, re.DOTALL))
        assert ">Type<" not in html  # a docstring's first words, before a colon, taken for a type
        names = dict(public(getattr(vgkit, room)))
        methods = {name for name in texts if name.rpartition(".")[0] in names}
        assert texts.keys() - methods == names.keys()
        for name in names:
            assert re.search(r"<p>\w", re.sub("<p>Keys: .*?</p>", "", texts[name])), name


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """The folder of a small book that is built, and whose repository is not known."""
    top = tmp_path_factory.mktemp("book")
    smallbook.write(top)
    smallbook.build(top, VGKIT_REPOSITORY="")
    return top


def printed(html):
    return re.search(r"version (\S+) (\d+)", (html / "index.html").read_text()).groups()


def test_no_link_leads_to_an_unknown_repository(small_book):
    html = (small_book / "_build" / "html" / "index.html").read_text()
    assert not re.search(r'href="https://(mybinder\.org|github\.com)', html)
    assert "Run it in the cloud" not in html


def test_sphinx_alone_builds_the_same(small_book):
    """The way out of Jupyter Book 1: its settings as Sphinx's own."""
    html, out = small_book / "_build" / "html", small_book / "_build" / "sphinx"
    for command in (["jupyter-book", "config", "sphinx", "."], ["sphinx-build", "-W", ".", out]):
        smallbook.run(small_book, *command, VGKIT_REPOSITORY="")
    # A first build does not know yet what some styles hold, and a second one does.
    for page in ("index.html", "pages/second.html"):
        one, other = (re.sub(r"\?v=\w+", "", (top / page).read_text()) for top in (out, html))
        assert one == other
    for name in ("book.css", "print.js", "scripts/fontawesome.js", "mathjax/tex-chtml.js"):
        assert (out / "_static" / name).read_bytes() == (html / "_static" / name).read_bytes(), name


def test_a_change_in_vgkit_is_never_stale(small_book):
    first = printed(small_book / "_build" / "html")
    page = small_book / "index.md"
    page.write_text(page.read_text() + "\nMore prose.\n")
    assert printed(smallbook.build(small_book, VGKIT_REPOSITORY="")) == first  # nothing has run
    package = small_book / "vgkit" / "__init__.py"
    package.write_text(package.read_text().replace('__version__ = "', '__version__ = "9.'))
    version, moment = printed(smallbook.build(small_book, VGKIT_REPOSITORY=""))
    assert version.startswith("9.") and moment != first[1]
