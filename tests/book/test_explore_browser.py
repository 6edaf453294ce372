"""The explorers of the built book, driven as a reader drives them, and checked against vgkit.

VGKIT_MOVES sets how often they are moved at random; the default keeps the tests short.
"""

import os

import jax
import numpy as np
import pytest
from conftest import ROOT, compilations, heap

import tools.explorers
from tools import grids, pages
from vgkit.explore import views

PAGES = pages.live()
TURNS = [page for page in PAGES if "**Your turn.**" in (ROOT / f"{page}.md").read_text("utf-8")]
MOVES = int(os.environ.get("VGKIT_MOVES", "1000"))
LONG = ["chapters/causes/recurrence", "chapters/detection"]  # two explorers; five charts

# Moves a control of a random explorer to a random place, and now and then holds, clears, points,
# opens a table or chooses a preset. Returns where the controls then stand and, of every tenth
# move, what the tables of that explorer show.
MOVE = """([moves, seed]) => {
  let state = seed;
  const random = (n) => {  // Park and Miller's generator
    state = (state * 48271) % 2147483647;
    return Math.floor((state / 2147483647) * n);
  };
  const roots = [...document.querySelectorAll('.vg-explorer')];
  const fire = (node, type) => node.dispatchEvent(new Event(type, {bubbles: true}));
  const stands = (root) => Object.fromEntries(
    [...root.querySelectorAll('[data-control]')].filter((e) => e.type !== 'radio' || e.checked)
      .map((e) => [e.dataset.control, Number(e.value)]));
  const column = (chart, i) =>
    [...chart.querySelectorAll('.vg-values tbody tr')].map((row) => row.children[i].dataset.value);
  const tables = (root) => [...root.querySelectorAll('.vg-tools')].map((chart) =>
    Object.fromEntries([...chart.querySelectorAll('th[scope=col]')].map(
      (head, i) => [head.textContent, column(chart, i)])));
  for (const details of document.querySelectorAll('details.vg-more')) details.open = true;
  const shown = [];
  for (let move = 0; move < moves; move++) {
    const number = random(roots.length);
    const root = roots[number];
    const inputs = [...root.querySelectorAll('[data-control]')];
    const buttons = [...root.querySelectorAll('.vg-hold, .vg-clear, .vg-presets button, .vg-step')];
    if (buttons.length && random(12) < 3) {
      buttons[random(buttons.length)].click();
    } else {
      const input = inputs[random(inputs.length)];
      if (input.type === 'radio') {
        input.checked = true;
        fire(input, 'change');
      } else {
        input.value = random(input.type === 'range' ? Number(input.max) + 1 : input.options.length);
        fire(input, 'input');
      }
    }
    if (move % 10 === 0) shown.push([number, stands(root), tables(root)]);
  }
  return shown;
}"""


@pytest.fixture(scope="module")
def made():
    """The explorers of every page with the readers' own, made by that page's own code."""
    jax.config.update("jax_numpy_rank_promotion", "allow")  # as in a reader's kernel
    yield {page: tools.explorers.of(page) for page in PAGES}
    jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module")
def explorers(made):
    """The explorers that a page itself makes."""
    return {page: [one for one in all_ if one.title != "Your turn"] for page, all_ in made.items()}


def shipped_with(book, page):
    return grids.shipped((book / f"{page}.html").read_text())


def shown(view):
    """Names of a view's arrays with the words that stand for them."""
    series = [(one["name"], one["label"]) for one in view["series"]]
    return [*series, *map(tuple, view["columns"])]


def settings(shipped, random, count):
    """Random settings: positions of the controls, and the labels there."""
    for _ in range(count):
        options = {control["name"]: control["options"] for control in shipped["controls"]}
        positions = {name: int(random.integers(len(all_))) for name, all_ in options.items()}
        yield positions, {name: options[name][i] for name, i in positions.items()}


@pytest.mark.parametrize("page", PAGES)
def test_the_page_holds_what_jax_computes(book, explorers, page):
    """Nothing compiles for it after the first setting: live sliders never wait."""
    random = np.random.default_rng(0)
    data = shipped_with(book, page)
    assert len(data) == len(explorers[page]) >= 1
    for shipped, explorer in zip(data, explorers[page], strict=True):
        rows = {name: grids.unpack(packed) for name, packed in shipped["grid"].items()}
        seen = views.coarse(explorer.views)  # as brightness alone
        explorer.at()
        with compilations() as compiled:
            results = [(*one, explorer.at(**one[1])) for one in settings(shipped, random, 25)]
        assert compiled == [], explorer.title
        for positions, labels, arrays in results:
            for name, expected in arrays.items():
                value = rows[name][grids.row_of(shipped, name, positions)]
                expected = np.asarray(expected, float)
                np.testing.assert_array_equal(np.isnan(value), np.isnan(expected))
                np.testing.assert_array_equal(value == 0, expected == 0)
                # Two programs round differently: 1e-9 of the largest value of the array.
                floor = 1e-9 * np.nanmax(np.abs(expected[np.isfinite(expected)]), initial=0)
                big = np.isfinite(expected) & (np.abs(expected) > floor)
                error = np.abs(np.log10(np.abs(value[big] / expected[big])))
                allowed = 1.001 * views.STEP / 2 if name in seen else 1e-3
                assert error.max(initial=0) < allowed, (explorer.title, name, labels)
                assert name != "sentence" or np.round(value) == expected


@pytest.mark.parametrize("page", TURNS)
def test_every_explorer_can_be_given_a_reader_s_own_function(made, explorers, page):
    turns = [one for one in made[page] if one.title == "Your turn"]
    assert turns
    for own in turns:
        explorer = next(one for one in explorers[page] if one.views == own.views)
        assert set(own.controls.values()) <= set(explorer.controls.values())
        result, before = own.at(), explorer.at()
        drawn = {name for view in own.views for name, _ in shown(view)}
        assert any(not np.array_equal(result[n], before[n], equal_nan=True) for n in drawn)
        assert np.isfinite(np.concatenate([result[n] for n in drawn])).any()


@pytest.mark.parametrize("page", PAGES)
def test_random_moves_show_what_the_page_holds(book, site, open_page, page):
    """On two pages as many as to see that memory does not grow."""
    shipped = shipped_with(book, page)
    rows = [{n: grids.unpack(p) for n, p in one["grid"].items()} for one in shipped]
    opened = open_page(f"{site}/{page}.html")
    session = opened.context.new_cdp_session(opened)

    def checked(moves, seed):
        count = 0
        for number, positions, tables in opened.evaluate(MOVE, [moves, seed]):
            one = shipped[number]
            for chart, table in zip(one["views"], tables, strict=True):
                for name, label in shown(chart):
                    if label not in table:
                        continue  # a band or a reference curve
                    cells = [float(cell or "nan") for cell in table[label]]
                    row = rows[number][name][grids.row_of(one, name, positions)]
                    np.testing.assert_allclose(cells, row[: len(cells)], rtol=1e-9)
                    count += len(cells)
        return count

    assert checked(max(200, MOVES // 10), 1) > 0  # decodes all arrays, fills what is held
    if page in LONG:
        before = heap(session)
        count = sum(checked(500, seed) for seed in range(2, 2 + MOVES // 500))
        assert count > MOVES
        growth = heap(session) / before - 1
        print(f"{page}: {MOVES} moves, {count} numbers, heap {before / 1e6:.1f} MB {growth:+.1%}")
        assert growth < 0.05
    assert opened.problems == []


@pytest.fixture
def depth(site, open_page):
    page = open_page(f"{site}/chapters/depth.html")
    page.root = page.locator(".vg-explorer")
    page.chart = page.root.locator(".vg-chart").nth(1)  # below the net
    page.root.locator(".vg-more > summary").click()
    return page


def test_keyboard_alone(depth):
    slider = depth.root.locator("[data-control=depth]")
    slider.focus()
    before = depth.root.locator(".vg-summary").first.inner_text()
    depth.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "25"
    assert depth.root.locator("output").first.inner_text() == "25"
    assert depth.root.locator(".vg-summary").first.inner_text() != before
    depth.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "1"
    depth.keyboard.press("End")
    depth.keyboard.press("Tab")
    depth.keyboard.press("ArrowDown")  # activation: sigmoid to tanh
    assert depth.root.locator("[data-control=activation]").evaluate("e => e.value") == "1"
    for _ in range(2):
        depth.keyboard.press("Tab")
    depth.keyboard.press("ArrowRight")  # skip: off to on
    assert depth.root.locator("[data-control=skip]").nth(1).is_checked()
    reader = depth.chart.locator("[role=slider]")
    for _ in range(8):  # past the net and its buttons
        depth.keyboard.press("Tab")
        if reader.evaluate("e => e === document.activeElement"):
            break
    assert reader.evaluate("e => e === document.activeElement")
    depth.keyboard.press("Home")
    assert reader.get_attribute("aria-valuetext").startswith("layer 1: Error signal dL/dz ")
    depth.keyboard.press("ArrowRight")
    assert reader.get_attribute("aria-valuenow") == "2"
    depth.keyboard.press("End")
    assert reader.get_attribute("aria-valuenow") == reader.get_attribute("aria-valuemax") == "40"
    assert depth.problems == []


def test_hold_and_compare(depth):
    hold, clear = depth.root.locator(".vg-hold"), depth.root.locator(".vg-clear")
    assert not clear.is_visible()
    hold.click()
    assert hold.is_disabled()  # the same setting once only
    assert clear.evaluate("e => e === document.activeElement")
    depth.root.locator("[data-control=activation]").select_option(label="tanh")
    held = depth.root.locator(".vg-held-name")
    expected = "1 held: Hidden layers 20, Activation sigmoid, Initialiser Glorot, "
    assert held.text_content().startswith(expected)
    assert depth.root.locator("svg .vg-held").count() == 3
    hold.click()
    assert held.count() == 2
    clear.click()
    assert held.count() == 0 and not clear.is_visible()
    assert hold.evaluate("e => e === document.activeElement")


def test_the_summary_is_announced_once_the_control_rests_and_pointing_reads_values(depth):
    depth.root.locator("[data-control=activation]").select_option(label="ReLU")
    spoken = depth.root.locator("[role=status]").first
    depth.wait_for_function(
        "([a, b]) => a.textContent === b.textContent",
        arg=[spoken.element_handle(), depth.root.locator(".vg-summary").first.element_handle()],
    )
    assert "layer 1" in spoken.inner_text()
    depth.chart.locator(".vg-picture").scroll_into_view_if_needed()
    box = depth.chart.locator(".vg-picture").bounding_box()
    depth.mouse.move(box["x"] + box["width"] - 30, box["y"] + 100)
    assert depth.chart.locator(".vg-readout").inner_text().startswith("layer 20: Error signal")


def test_numbers_that_leave_the_picture_are_marked(site, open_page):
    page = open_page(f"{site}/chapters/gradients.html")
    page.get_by_role("button", name="Always show answers").first.click()
    root = page.locator(".vg-explorer").first
    root.get_by_role("button", name="Too large a step").click()
    assert "overshoot" in root.locator(".vg-summary").inner_text()
    assert root.locator("svg .vg-off").count() > 0
    assert page.problems == []


def test_without_scripts_the_picture_stands(site, open_page):
    page = open_page(f"{site}/chapters/depth.html", java_script_enabled=False)
    image = page.locator(".vg-fallback img")
    assert image.is_visible()
    assert image.get_attribute("alt").startswith("Depth: It vanishes: layer 1 gets ")
