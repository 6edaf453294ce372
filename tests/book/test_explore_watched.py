"""The network view in a browser: what moves it, what it says, and whom it leaves in peace."""

import re

import pytest
from conftest import faults
from powers import UNITS, network
from test_explore_alone import PAGE

from vgkit.explore import results

STILL = {"reduced_motion": "reduce"}
LAST = 7  # of three layers: the input, three forward, the output, three back


@pytest.fixture(scope="module")
def made():
    return network()


@pytest.fixture(scope="module")
def html(made):
    return made.static()["text/html"]


@pytest.fixture
def view(open_page, tmp_path, html):
    """Opens a page with the view alone."""

    def open_it(theme="light", **options):
        path = tmp_path / "net.html"
        path.write_text(PAGE.format(theme=theme) + f"<main><h1>x</h1>{html}</main>")
        page = open_page(path.as_uri(), theme, **options)
        page.caption = page.locator(".vg-caption")
        page.slider = page.locator(".vg-player input")
        return page

    return open_it


def test_it_plays_once_in_view_and_says_nothing_meanwhile(open_page, tmp_path, html):
    path = tmp_path / "below.html"
    path.write_text(PAGE.format(theme="light") + f"<div style='height:2000px'></div>{html}")
    page = open_page(path.as_uri())
    page.clock.install()
    slider, spoken = page.locator(".vg-player input"), page.locator(".vg-spoken").first
    assert slider.input_value() == str(LAST)  # at rest
    page.clock.run_for(1000)
    said = spoken.text_content()
    page.locator(".vg-player").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.vg-step').title === 'Pause'")
    assert slider.input_value() == "0"
    seen = []
    for _ in range(40):
        page.clock.run_for(250)
        seen.append(int(slider.input_value()))
        assert spoken.text_content() == said
    assert seen == sorted(seen) and {*seen} >= {*range(1, LAST + 1)}
    assert page.locator(".vg-step").first.get_attribute("aria-label") == "Play"
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(1500)
    page.get_by_role("button", name="Pause").click()
    stopped = slider.input_value()
    page.clock.run_for(9000)
    assert slider.input_value() == stopped != str(LAST)
    page.locator("[data-control=depth]").fill("1")  # a new setting: its end
    assert slider.input_value() == slider.get_attribute("max") == "5"
    assert page.problems == []


def test_it_may_rest_halfway_and_play_on(open_page, tmp_path):
    path = tmp_path / "halfway.html"
    html = network(halfway=True).static()["text/html"]
    path.write_text(PAGE.format(theme="light") + f"<main><h1>x</h1>{html}</main>")
    page = open_page(path.as_uri(), **STILL)
    slider, caption = page.locator(".vg-player input"), page.locator(".vg-caption")
    assert slider.input_value() == "3" and caption.text_content().startswith("Layer 3: the act")
    assert page.locator("svg .vg-front.forward").count() == 1
    page.clock.install()
    page.get_by_role("button", name="Play").click()
    assert slider.input_value() == "3"
    page.get_by_role("button", name="Pause").click()
    assert slider.input_value() == "3"
    page.get_by_role("button", name="Play").click()
    page.clock.run_for(9000)
    assert slider.input_value() == str(LAST) and page.get_by_role("button", name="Play").count()
    page.locator("[data-control=depth]").fill("1")  # a new setting: halfway again, of two layers
    assert slider.input_value() == "2"
    assert page.problems == []


def test_keyboard_steps_and_reduced_motion(view, made):
    page = view(**STILL)
    page.wait_for_timeout(300)
    assert page.slider.input_value() == str(LAST)
    sizes = made.at()["error_size"]
    first = f"Layer 1: the error signal is {results.number(float(f'{sizes[0]:.1e}'))}."
    assert page.caption.text_content() == first
    page.slider.focus()
    page.keyboard.press("Home")
    assert page.caption.text_content() == "The input goes in."
    assert page.get_by_role("button", name="Step back").is_disabled()
    forward = page.get_by_role("button", name="Step forward")
    for _ in range(LAST):
        forward.press("Enter")
    assert page.caption.text_content() == first and forward.is_disabled()
    assert page.slider.get_attribute("aria-valuetext") == first
    assert page.locator("svg .vg-front.backward").count() == 1
    page.slider.fill("2")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # on paper: the end
    assert page.caption.text_content() == first


@pytest.mark.parametrize("touch", [False, True])
def test_pointing_and_arrow_keys_read_jax_s_numbers(view, made, touch):
    page = view(has_touch=touch, **STILL)
    at = made.at()

    def unit(layer, number):
        index = (layer - 1) * UNITS + number - 1
        parts = [results.number(at[name][index]) for name in ("activation", "slope", "error")]
        return parts

    def numbers(text):
        return re.search("activation (.*), slope (.*), error signal (.*)", text).groups()

    # The page holds them to 2.4 %, and shows two figures: 5 % of the smallest mantissa.
    def close(text, layer, number):
        assert text.startswith(f"layer {layer}, unit {number}: ")
        for shown, exact in zip(numbers(text), unit(layer, number), strict=True):
            assert value(shown) == pytest.approx(value(exact), rel=0.075)

    def value(text):
        text = text.replace("\u2212", "-")
        mantissa, _, power = text.partition("\xa0×\xa010")
        digits = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
        return float(mantissa) * 10.0 ** int(digits or 0)

    readout = page.locator(".vg-readout")
    picture = page.locator(".vg-picture svg")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    circle = page.locator("svg circle.vg-unit").nth(4)  # layer 2, unit 2
    x, y = (float(circle.get_attribute(name)) for name in ("cx", "cy"))
    point = page.touchscreen.tap if touch else page.mouse.move
    point(box["x"] + x + 2, box["y"] + y - 2)
    close(readout.text_content(), 2, 2)
    reader = page.get_by_role("slider", name="Read the network")
    reader.focus()
    for key, layer, number in [("ArrowRight", 3, 2), ("ArrowDown", 3, 3), ("Home", 1, 1)]:
        page.keyboard.press(key)
        close(reader.get_attribute("aria-valuetext"), layer, number)
    page.keyboard.press("PageDown")
    index = UNITS * UNITS
    text = reader.get_attribute("aria-valuetext")
    start = "weight from layer 1, unit 1 to layer 2, unit 1: weight "
    assert text.startswith(start)
    shown = text.removeprefix(start).split(", weight gradient ")
    for got, name in zip(shown, ("edge_weight", "edge_gradient"), strict=True):
        assert value(got) == pytest.approx(at[name][index], rel=0.075)
    page.keyboard.press("Escape")
    assert readout.text_content().startswith("Point at a unit")
    assert page.problems == []


@pytest.mark.parametrize("theme, width", [("light", 1000), ("dark", 380)])
def test_it_is_accessible_and_fits(view, theme, width):
    page = view(theme, viewport={"width": width, "height": 800}, **STILL)
    assert not page.locator(".vg-exports").is_visible()  # quiet at first
    more = page.locator(".vg-more > summary")
    more.focus()
    page.keyboard.press("Enter")
    page.locator(".vg-values tbody tr").last.wait_for()
    assert page.locator(".vg-values tbody tr").count() == 3
    assert faults(page) == []
    buttons = page.locator("button:visible, summary").evaluate_all(
        "all => all.map((e) => Math.min(e.offsetWidth, e.offsetHeight))"
    )
    assert min(buttons) >= 44
    page.locator("[data-export=csv]").focus()
    page.keyboard.press("Escape")
    assert not page.locator(".vg-exports").is_visible()
    assert more.evaluate("e => e === document.activeElement")
    assert page.problems == []
