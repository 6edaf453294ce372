"""Explorers on a page of their own: what they save, and what they show with nothing to draw."""

import csv
import io
import struct
import xml.etree.ElementTree as ET

import ipywidgets
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from powers import CHART, compute, make

from vgkit import explore

PRESS = "all => all.forEach(e => e.click())"
SVG = "{http://www.w3.org/2000/svg}"
PAGE = "<!doctype html><html lang=en data-theme={theme}><meta charset=utf-8><title>x</title><body>"


@pytest.fixture(scope="module")
def second():
    """An explorer with two charts, a switch and a preset."""
    again = explore.chart(
        [explore.series("power", "Power, again")], x=CHART["x"], y={"label": "Value"}
    )
    skip = ipywidgets.ToggleButtons(options=["off", "on"], description="Skip")

    def shifted(base, mode, skip):
        return compute(base + skip, mode)

    presets = {"Six": {"base": 6, "skip": "on"}}
    controls = {**make().controls, "skip": skip}
    return explore.Explorer('Switch "on"', shifted, controls, [CHART, again], presets)


@pytest.fixture(scope="module")
def fragments(second):
    return "".join(one.static()["text/html"] for one in (make(), second, second))


@pytest.fixture
def three(open_page, tmp_path, fragments):
    """Opens a page with three explorers, each with a script of its own; two of them are equal."""

    def open_it(theme="light", **options):
        path = tmp_path / "three.html"
        path.write_text(PAGE.format(theme=theme) + fragments)
        page = open_page(path.as_uri(), **options)
        page.roots = page.locator(".vg-explorer").all()
        page.locator(".vg-more > summary").evaluate_all(PRESS)
        assert len(page.roots) == 3
        return page

    return open_it


def saved(page, button, path):
    with page.expect_download() as download:
        button.click()
    download.value.save_as(path)
    return download.value.suggested_filename, path.read_bytes()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_svg_needs_no_style_sheet_and_is_light(three, tmp_path, theme):
    page = three(theme)
    root = page.roots[0]
    root.locator(".vg-hold").click()
    root.locator("[data-control=base]").fill("3")
    name, content = saved(page, root.locator("[data-export=svg]"), tmp_path / "a.svg")
    assert name == "Powers_base=4_mode=all.svg"
    text = content.decode()
    assert not any(word in text for word in ("class=", "style", "var(", "currentColor", "href"))
    picture = ET.fromstring(text)
    ground = picture.find(f"{SVG}rect")
    assert ground.get("width") == picture.get("width")
    assert ground.get("fill") == "rgb(255, 255, 255)"
    paths = [(path.get("stroke-width"), path.get("stroke")) for path in picture.iter(f"{SVG}path")]
    lines = [stroke for width, stroke in paths if width == "2.2px"]
    assert lines == ["rgb(0, 114, 178)"] * 3  # legend, held, now
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert words[:5] == ["Powers", "Base 4, all.", "Base 4, Mode all", "Power",
                         "1 held: Base 3, Mode all"]  # fmt: skip
    assert {"Exponent", "Value", "10²"} <= set(words)
    drawn = {circle.get("cx") for circle in picture.iter(f"{SVG}circle")}
    assert len(drawn) == 1 + 4  # the legend's, and four exponents
    assert root.locator("[role=status]").text_content() == f"Saved as {name}"
    assert page.locator(".vg-offstage").count() == 0
    assert page.problems == []


def test_the_png_is_the_svg_at_twice_its_size_and_the_csv_the_table(three, tmp_path):
    page = three(device_scale_factor=1)
    root = page.roots[0]
    _, svg = saved(page, root.locator("[data-export=svg]"), tmp_path / "a.svg")
    name, content = saved(page, root.locator("[data-export=png]"), tmp_path / "a.png")
    assert name == "Powers_base=3_mode=all.png"
    width, height = struct.unpack(">II", content[16:24])
    picture = ET.fromstring(svg.decode())
    assert (width, height) == (2 * int(picture.get("width")), 2 * int(picture.get("height")))
    colours = Image.open(io.BytesIO(content)).convert("RGB").getcolors(2**20)
    assert max(colours)[1] == (255, 255, 255)
    assert (0x00, 0x72, 0xB2) in {colour for _, colour in colours}
    root.locator("[data-control=mode]").select_option(label="first")
    name, content = saved(page, root.locator("[data-export=csv]"), tmp_path / "a.csv")
    assert name == "Powers_base=3_mode=first.csv"
    head, *rows = csv.reader(io.StringIO(content.decode()))
    assert head == ["Exponent", "Power: Value"]
    # 3 for the first power, 0 for those switched off; the last point does not exist.
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert [float(row[1]) for row in rows] == [pytest.approx(3, rel=2.1e-3), 0, 0]


def test_the_python_makes_what_the_page_shows(three, second):
    page = three(permissions=["clipboard-read", "clipboard-write"])
    root = page.roots[1]
    root.get_by_role("button", name="Six").click()
    root.locator("[data-control=mode]").select_option(label="first")
    button = root.locator("[data-export=python]")
    assert button.count() == 1  # one for both charts
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "document.querySelectorAll('[role=status]')[1].textContent.includes('Python')"
    )
    assert root.locator("[role=status]").first.text_content() == "Three lines of Python are copied."
    code = page.evaluate("navigator.clipboard.readText()")
    _, move, numbers = code.splitlines()
    exec(move, {"explorer": second})
    assert [c.value for c in second.controls.values()] == [6, "first", "on"]
    powers = eval(numbers, {"explorer": second})["power"]
    np.testing.assert_array_equal(powers, [7, 0, 0, np.nan])
    # Where nothing can be copied, it is shown.
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    field = root.locator("textarea").first
    assert not field.is_visible()
    button.click()
    field.wait_for()
    assert field.evaluate("e => e === document.activeElement && e.selectionEnd === e.value.length")
    assert root.locator("[role=status]").first.text_content() == "Copy these three lines of Python."
    assert field.input_value() == code
    assert page.problems == []


def test_explorers_of_one_page_do_not_disturb_each_other(three):
    page = three()
    first, second, third = page.roots
    before = [root.locator(".vg-summary").first.inner_text() for root in page.roots]
    first.locator("[data-control=base]").fill("1")
    for i, choice in enumerate(second.locator(".vg-choices label").all()):
        choice.click()
        assert third.locator("[data-control=skip]").nth(0).is_checked()
        assert second.locator("[data-control=skip]").nth(i).is_checked()
    second.locator(".vg-hold").first.click()
    assert third.locator(".vg-held").count() == first.locator(".vg-held").count() == 0
    assert third.locator(".vg-summary").first.inner_text() == before[2]
    assert first.locator(".vg-summary").inner_text() == "Base 2, all."
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(set(ids)) == len(ids)
    page.emulate_media(media="print")  # on paper there are no buttons
    assert not page.locator(".vg-exports").first.is_visible()
    assert page.problems == []


def test_nothing_but_nan_is_explained(open_page, tmp_path):
    nothing = explore.Explorer(
        "Nothing",
        lambda base: {"power": jnp.where(base > 2, jnp.nan, 1.0) * jnp.ones(3)},
        {"base": ipywidgets.IntSlider(2, 1, 4, description="Base")},
        {**CHART, "summary": ["Drawn."]},
    )
    path = tmp_path / "nan.html"
    path.write_text(PAGE.format(theme="light") + nothing.static()["text/html"])
    page = open_page(path.as_uri())
    slider, summary = page.locator("[data-control=base]"), page.locator(".vg-summary")
    for value, text in [("2", "every number"), ("1", "Drawn."), ("3", "is NaN, not a number")]:
        slider.fill(value)
        assert text in summary.inner_text()
    # What is saved then is empty, and no error.
    page.locator(".vg-more > summary").click()
    with page.expect_download() as download:
        page.locator("[data-export=svg]").click()
    assert "NaN" not in download.value.path().read_text()
    assert page.problems == []
