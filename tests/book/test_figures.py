"""Figures in the book: one drawing within the page, legible on a light and on a dark ground."""

import gzip
import io
import re
from xml.etree import ElementTree

import figures
import matplotlib.pyplot as plt
import numpy as np
import pytest
import smallbook
from conftest import ROOT, SETTLED
from PIL import Image

from tools import pages
from vgkit import plots

ALT = 'Falls "steeply" & stays < 1.'
WRITTEN = {page: pages.figures((ROOT / f"{page}.md").read_text()) for page in pages.all_pages()}
DRAWN = {page: count for page, count in WRITTEN.items() if count}
GROUNDS = {"000000", "ffffff", "e2e2e2", "ebebeb"}  # text, and what lies behind text and lines


def luminance(rgb):
    """Relative luminance as WCAG 2.2 defines it, of numbers from 0 to 255."""
    share = np.asarray(rgb) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def picture(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def drawing():
    """A figure of matplotlib, as the file that it writes: lines, bands, markers, mathematics."""
    with plt.style.context("vgcourse.course"):
        figure, axes = plt.subplots()
        values = 10.0 ** -np.arange(20) * np.linspace(1, 4, 5)[:, None]
        plots.layers(axes, values, "error signal $2^{-L}$", 0)
        plots.layers(axes, values**0.5, "weight gradient", 1)
        axes.axhline(1e-5, color="0.4", ls="--")
        axes.text(2, 1e-15, "white", color="white")
        axes.legend()
        written = io.StringIO()
        figure.savefig(written, format="svg")
        inches = figure.get_size_inches()
        plt.close(figure)
    return written.getvalue(), inches


def test_alt_text_size_and_colours(drawing):
    text, colours = figures.compact(drawing[0], ALT, "f0-", 110)
    root = ElementTree.fromstring(text)
    assert (root.get("role"), root.get("aria-label")) == ("img", ALT)
    assert [float(root.get(side)) for side in ("width", "height")] == list(drawing[1] * 110)
    expected = {"000000", "ffffff", "e2e2e2", "666666", *(c[1:] for c in plots.COLOURS[:2])}
    assert colours == expected
    bare = re.sub(r"var\(--on-([0-9a-f]{6}), #\1\)", "", text)
    assert not re.search(r"#[0-9a-f]{6}\b", bare)  # no colour is said without its variable


def test_the_compact_drawing_is_matplotlib_s(drawing, browser, monkeypatch):
    """But for the decimals, every pixel is the same."""
    short = figures.compact(drawing[0], ALT, "f", 110)[0]
    monkeypatch.setattr(figures, "DECIMALS", re.compile(r"(\.\d{9})\d+"))
    full = figures.compact(drawing[0], ALT, "f", 110)[0]
    own = drawing[0].replace('width="504pt" height="259.2pt"', 'width="770"')
    page = browser.new_page(viewport={"width": 900, "height": 500})
    shown = []
    for text in (own[own.index("<svg") :], full):
        page.set_content(f"<body style='margin:0'>{text}</body>")
        shown.append(picture(page.screenshot()))
    page.close()
    assert shown[0].std() > 20  # there is a drawing
    assert (shown[0] == shown[1]).all()
    numbers = [np.array(re.findall(r"-?\d+\.\d+", text), float) for text in (short, full)]
    assert np.abs(numbers[0] - numbers[1]).max() < 0.01  # a seventieth of a pixel
    assert len(short) < 0.95 * len(full)


COLOURS = """(svg, names) => names.map(name => {
  const probe = document.createElementNS(svg.namespaceURI, "path");
  probe.style.fill = `var(--on-${name}, #${name})`;
  svg.append(probe);
  const fill = getComputedStyle(probe).fill;
  probe.remove();
  return fill.match(/\\d+/g).slice(0, 3).map(Number);
})"""


def corners_and_all(figure):
    shot = picture(figure.screenshot())
    return shot[[3, 3, -4, -4], [3, -4, 3, -4]], shot


@pytest.mark.parametrize("page", DRAWN)
def test_figures_of_a_page(book, site, open_page, page):
    text = (book / f"{page}.html").read_text("utf-8")
    written = re.findall(r'<svg class="vg-figure".*?</svg>', text, re.DOTALL)
    # A picture of matplotlib's at 110 dots per inch would take 20 to 100 kB.
    assert max(len(gzip.compress(figure.encode(), 9)) for figure in written) < 30_000
    opened = open_page(f"{site}/{page}.html", theme="dark")
    assert opened.problems == []
    opened.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    answered = "e => e.removeAttribute('data-waiting')"  # the figures that wait for a prediction
    opened.evaluate(f"document.querySelectorAll('[data-waiting]').forEach({answered})")
    unfolded = "e => e.classList.remove('toggle-hidden')"  # those of solutions
    opened.evaluate(f"document.querySelectorAll('.toggle-hidden').forEach({unfolded})")
    drawn = opened.locator("svg.vg-figure")
    assert drawn.count() == len(written) == DRAWN[page]
    assert opened.locator(".cell_output img[src*=_images]").count() == 0  # none is left a picture
    ids = opened.evaluate("[...document.querySelectorAll('.vg-figure [id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    ground = opened.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g)")
    for figure in drawn.all():
        width, height = (float(figure.get_attribute(side)) for side in ("width", "height"))
        assert len(figure.get_attribute("aria-label")) > 40
        assert figure.get_attribute("role") == "img"
        opened.emulate_media(media="screen")
        box = figure.bounding_box()
        assert 0 < box["width"] <= width
        assert box["height"] == pytest.approx(height * box["width"] / width, abs=1)
        corners, shot = corners_and_all(figure)
        assert (corners == np.array(ground[:3], int)).all()
        assert not (shot > 240).all(axis=-1).any()  # nothing white
        assert (luminance(shot) > 0.2).mean() > 0.002  # and not all dark
        opened.emulate_media(media="print")
        corners, shot = corners_and_all(figure)
        assert (corners == 255).all()
        assert (shot < 30).all(axis=-1).any()  # black text


def test_figures_follow_the_button_and_have_contrast_on_both_grounds(site, open_page):
    """3:1 for what is drawn and 4.5:1 for text, WCAG 2.2 numbers 1.4.11 and 1.4.3."""
    page = open_page(f"{site}/{next(iter(DRAWN))}.html")
    figure = page.locator("svg.vg-figure").first
    handle, names = figure.element_handle(), list(figures.partners())
    assert {c[1:] for c in plots.COLOURS} | GROUNDS | {"666666"} <= {*names}
    seen = {}
    for _ in range(3):
        theme = page.locator("html").get_attribute("data-theme")
        page.wait_for_function(SETTLED, arg=theme)
        shown = dict(zip(names, map(luminance, handle.evaluate(COLOURS, names)), strict=True))
        seen[theme] = corners_and_all(figure)[0].max()
        for name in {"000000", *names} - (GROUNDS - {"000000"}):
            low, high = sorted((shown[name], shown["ffffff"]))
            least = 4.5 if name == "000000" else 3
            assert (high + 0.05) / (low + 0.05) >= least, (theme, name)
        page.locator(".theme-switch-button:visible").first.click()
    assert seen["light"] == 255 and seen["dark"] < 60
    assert handle.evaluate("e => e.isConnected")


def test_the_build_names_what_a_figure_lacks(tmp_path):
    smallbook.write(tmp_path)
    page = tmp_path / "pages" / "second.md"
    text = page.read_text().replace('color="black"', 'color="#123456"')
    page.write_text(re.sub(r":mystnb: .*\n", "", text))
    with pytest.raises(AssertionError) as failed:
        smallbook.run(tmp_path, "jupyter-book", "build", ".", "-W", "--keep-going")
    assert "a figure has no alt text" in str(failed.value)
    assert re.search("no partner of #123456 on a dark ground", str(failed.value))
