"""What explorers give away: picture, numbers and Python, from a page and by hand."""

import csv
import io
import json
import struct
import xml.etree.ElementTree as ET

import ipywidgets
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from powers import CHART, compute, in_javascript, make

from vgkit import explore
from vgkit.explore import charts

SVG = "{http://www.w3.org/2000/svg}"
PAGE = "<!doctype html><html lang=en data-theme={theme}><meta charset=utf-8><title>x</title><body>"


@pytest.fixture(scope="module")
def fragments():
    """Three explorers, each with a script of its own; two of them are alike."""
    again = charts.chart(
        [charts.series("power", "Power, again")], x=CHART["x"], y={"label": "Value"}, summary=[]
    )
    controls = {
        **make().controls,
        "skip": ipywidgets.ToggleButtons(options=["off", "on"], description="Skip"),
    }

    def shifted(base, mode, skip):
        return compute(base + skip, mode)

    presets = {"Six": {"base": 6, "skip": "on"}}
    second = explore.Explorer('Switch "on"', shifted, controls, [CHART, again], presets).html()
    return make().html() + second + second


@pytest.fixture
def three(open_page, tmp_path, fragments):
    """Opens a page with the three explorers."""

    def open_it(theme="light", **options):
        path = tmp_path / "three.html"
        path.write_text(PAGE.format(theme=theme) + fragments)
        page = open_page(path.as_uri(), **options)
        page.roots = page.locator(".vg-explorer").all()
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
    assert name == "Powers_base=4_mode=whole.svg"
    text = content.decode()
    assert not any(
        word in text for word in ("class=", "style", "var(", "currentColor", "rgb(", "href")
    )
    picture = ET.fromstring(text)
    ground = picture.find(f"{SVG}rect")
    assert (ground.get("width"), ground.get("fill")) == (picture.get("width"), "#ffffff")
    lines = [
        path.get("stroke")
        for path in picture.iter(f"{SVG}path")
        if path.get("stroke-width") == "2.2"
    ]
    assert set(lines) == {"#0072b2"} and len(lines) == 3  # legend, held, now
    words = [text.text for text in picture.iter(f"{SVG}text")]
    assert words[:5] == ["Powers", "Base 4, whole.", "Base 4, Mode whole", "Power",
                         "1 held: Base 3, Mode whole"]  # fmt: skip
    assert {"Exponent", "Value", "10²"} <= set(words)
    drawn = {circle.get("cx") for circle in picture.iter(f"{SVG}circle")}
    assert len(drawn) == 1 + 4  # the legend's, and four exponents
    assert root.locator("[role=status]").text_content() == f"Saved as {name}"
    assert page.locator(".vg-offstage").count() == 0
    assert page.problems == []


def test_the_png_is_the_svg_at_twice_its_size(three, tmp_path):
    page = three(device_scale_factor=1)
    root = page.roots[0]
    _, svg = saved(page, root.locator("[data-export=svg]"), tmp_path / "a.svg")
    name, content = saved(page, root.locator("[data-export=png]"), tmp_path / "a.png")
    assert name == "Powers_base=3_mode=whole.png"
    width, height = struct.unpack(">II", content[16:24])
    picture = ET.fromstring(svg.decode())
    assert (width, height) == (2 * int(picture.get("width")), 2 * int(picture.get("height")))
    colours = Image.open(io.BytesIO(content)).convert("RGB").getcolors(2**20)
    assert max(colours)[1] == (255, 255, 255)
    assert (0x00, 0x72, 0xB2) in {colour for _, colour in colours}


def test_the_csv_holds_the_table(three, tmp_path):
    page = three()
    root = page.roots[0]
    root.locator("[data-control=mode]").select_option(label="first")
    name, content = saved(page, root.locator("[data-export=csv]"), tmp_path / "a.csv")
    assert name == "Powers_base=3_mode=first.csv"
    head, *rows = csv.reader(io.StringIO(content.decode()))
    assert head == ["Exponent", "Power: Value"]
    # 3 for the first power, 0 for those switched off; the last point does not exist.
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert [float(row[1]) for row in rows] == [pytest.approx(3, rel=2.1e-3), 0, 0]


def test_csv_quotes_and_keeps_every_digit():
    chart = charts.chart(
        [charts.series("a", 'A, "so"'), charts.series("b", "B")],
        x={"label": "Step", "name": "step", "start": 0},
        y={"label": "Loss in nats"},
        summary=[],
        columns={"w": "Weight in kg"},
    )
    data = '{"a": [1/3, null, "inf"], "b": [-2.5e-300, 0, 5e-324], "w": [1, 2, 3]}'
    text = in_javascript(f"commaSeparated({json.dumps(chart)}, {data})")
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert head == ["Step", "Weight in kg", 'A, "so": Loss in nats', "B: Loss in nats"]
    assert [[float(cell or "nan") for cell in row[1:]] for row in rows] == [
        [1, 1 / 3, -2.5e-300], [2, pytest.approx(np.nan, nan_ok=True), 0], [3, np.inf, 5e-324],
    ]  # fmt: skip


def run(code):
    """Value of the last of three lines."""
    *lines, last = code.splitlines()
    assert len(lines) == 2
    scope = {}
    exec("\n".join(lines), scope)
    return scope["explorer"], eval(last, scope)


def test_the_python_makes_what_the_page_shows(three):
    page = three(permissions=["clipboard-read", "clipboard-write"])
    root = page.roots[1]
    root.get_by_role("button", name="Six").click()
    root.locator("[data-control=mode]").select_option(label="first")
    button = root.locator("[data-export=python]")
    assert button.count() == 1  # one for both charts
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('[role=status]')[1].textContent !== ''")
    assert root.locator("[role=status]").first.text_content() == "Three lines of Python are copied."
    code = page.evaluate("navigator.clipboard.readText()")
    assert "the notebook three\n" in code
    explorer, numbers = run(code)
    assert explorer.title == 'Switch "on"'
    assert explorer.names() == {"base": "6", "mode": "first", "skip": "on"}
    np.testing.assert_array_equal(numbers["power"], [7, 0, 0, np.nan])
    assert page.problems == []


def test_python_that_can_not_be_copied_is_shown(three):
    page = three()
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    root = page.roots[0]
    field = root.locator("textarea")
    assert not field.is_visible()
    root.locator("[data-export=python]").click()
    field.wait_for()
    assert field.evaluate("e => e === document.activeElement && e.selectionEnd === e.value.length")
    assert root.locator("[role=status]").text_content() == "Copy these three lines of Python."
    _, numbers = run(field.input_value())
    np.testing.assert_allclose(numbers["power"], [3, 9, 27, np.nan])


def test_python_for_every_kind_of_value():
    options = [("½", 0.5), ("one", 1)]
    controls = {
        "integer": ipywidgets.IntSlider(-3, -5, 5, description="Integer"),
        "number": ipywidgets.SelectionSlider(options=[1e-06, 0.5, 2.0], description="Number"),
        "named": ipywidgets.SelectionSlider(options=options, description="Named"),
        "word": ipywidgets.Dropdown(options=['a "b" \\', "σ, ü"], description="Word"),
    }

    def in_order(integer, number, named, word):
        return {"power": jnp.array([integer, number, named, word])}

    explorer = explore.Explorer("All kinds", in_order, controls, CHART)
    title, quoted = explorer.title, explorer._quoted()
    assert quoted == ["named", "word"]
    for number in (1e-06, 2.0):
        for word in controls["word"].options:
            wanted = {"integer": -2, "number": number, "named": 1, "word": word}
            names = explorer.choose(**wanted).names()
            explorer.choose(integer=5, number=0.5, named="½", word=controls["word"].options[0])
            shown = json.dumps({"title": title, "names": names, "quoted": quoted, "place": "here"})
            found, numbers = run(in_javascript(f"pythonOf({shown})"))
            assert found is explorer
            assert {name: control.value for name, control in controls.items()} == wanted
            np.testing.assert_allclose(
                numbers["power"], [-2, number, 1, controls["word"].options.index(word)]
            )


def test_file_names_tell_settings_apart():
    spec = '{"y": {"label": "Loss; share in %"}}'

    def name(first, **names):
        shown = json.dumps({"title": "A/B: σ?", "names": names, "first": first})
        return in_javascript(f"fileName({{...{shown}, spec: {spec}}}, 'csv')")

    assert name(True, w="-8", init="1/√n") == "A-B-σ_w=-8_init=1-n.csv"
    assert name(False, w="8") == "A-B-σ_Loss-share-in_w=8.csv"
    assert name(True, w="1e-05") != name(True, w="1e05")
    assert len(name(True, w="x" * 500)) < 200


def test_find_and_choose():
    old, explorer = make(), make(Four={"base": 4})
    assert explore.find("Powers") is explorer is not old
    assert explorer.choose(base=5, mode="first") is explorer
    assert explorer.setting() == "Base 5, Mode first"
    with pytest.raises(ValueError, match="base must be one of 1, 2, 3, 4, 5, 6; got 7"):
        explorer.choose(mode="whole", base=7)
    assert explorer.setting() == "Base 5, Mode first"  # nothing was moved
    with pytest.raises(ValueError, match=r"explorer made here, whose cells .*Powers.*; got 'Pow'"):
        explore.find("Pow")


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
    assert first.locator(".vg-summary").inner_text() == "Base 2, whole."
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(set(ids)) == len(ids)
    assert page.problems == []


def test_on_paper_there_are_no_buttons(three):
    page = three()
    page.emulate_media(media="print")
    assert not page.locator(".vg-exports").first.is_visible()


@pytest.mark.parametrize("width", [380, 1400])
def test_export_buttons_fit_a_thumb_and_the_screen(three, width):
    page = three(viewport={"width": width, "height": 900})
    for button in page.locator(".vg-exports button").all():
        box = button.bounding_box()
        assert min(box["width"], box["height"]) >= 44 and box["x"] + box["width"] <= width
        assert button.get_attribute("aria-label").startswith(button.inner_text())
