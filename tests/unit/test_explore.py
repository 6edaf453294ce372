import csv
import io
import json
import re

import ipywidgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import compilations
from powers import CHART, compute, in_javascript, make, sliders

from tools.grids import DATA, shipped, unpack
from vgkit import explore
from vgkit.explore import grid, results, views


def test_at_computes_there_and_choose_moves_all_or_nothing():
    explorer = make()
    np.testing.assert_allclose(explorer.at()["power"], [3, 9, 27, np.nan])
    np.testing.assert_allclose(explorer.at(base=2, mode="first")["power"], [2, 0, 0, 0])
    assert [v.value for v in explorer.controls.values()] == [3, "all"]  # nothing has moved
    assert explorer.choose(base=5, mode="first") is explorer
    with pytest.raises(ValueError, match="base must be one of 1, 2, 3, 4, 5, 6; got 7"):
        explorer.choose(mode="all", base=7)
    assert [v.value for v in explorer.controls.values()] == [5, "first"]


def test_values_and_labels_choose_alike():
    options = [("½", 0.5), ("one", 1), ("2", 3), ("3", 2.0)]
    slider = ipywidgets.SelectionSlider(options=options, description="Size")
    traced = []

    def sized(size):
        traced.append(size)
        return {"power": size}

    explorer = explore.Explorer("S", sized, {"size": slider}, {**CHART, "summary": []})
    for given, value in [("½", 0.5), (1, 1), ("one", 1), (2, 2), (3, 3), ("2", 3), ("3", 2)]:
        assert explorer.at(size=given)["power"] == [value]
        assert explorer.choose(size=given).controls["size"].value == value
        assert explorer.at()["power"] == [value]
    assert len(traced) == 1  # whole numbers and fractions share a program


def test_using_has_the_same_charts_and_the_controls_that_the_function_takes():
    controls = {name: ipywidgets.IntSlider(1, 0, 5, description=name) for name in "kj"}
    chart = explore.chart([explore.series("y", "Y")], x={"label": "X"}, y={"label": "Y"})
    made = explore.Explorer("All", lambda k, j: {"y": k * jnp.ones(3) + j}, controls, chart)
    own = made.using(lambda k: {"y": 10 * k * jnp.arange(3.0)})
    assert (own.title, own.views, list(own.controls)) == ("Your turn", made.views, ["k"])
    made.choose(k=4)  # the controls are shared
    np.testing.assert_array_equal(own.at()["y"], [0, 40, 80])
    np.testing.assert_array_equal(made.at()["y"], [5, 5, 5])
    with pytest.raises(ValueError, match="control must be one of k, j; got 'z'"):
        made.using(lambda z: {"y": z})


def test_first_true():
    cases = [(), (True,), (False,), (False, True, True)]
    assert [int(explore.first_true(*conditions)) for conditions in cases] == [0, 0, 1, 1]
    at = jax.jit(lambda x: explore.first_true(x == 0, x[None] < 0.01, x > 100))
    assert [int(at(x)) for x in (0.0, 1e-3, 1e3, 1.0, np.nan)] == [0, 1, 2, 3, 3]


NUMBERS = {
    0.0: "0", 3.0: "3", -3.0: "−3", 0.25: "0.25", 123.456: "123", 1 / 3: "0.333",
    99.96: "100", 999.6: "1000", 9999.0: "9999", 12345.0: "1.2\xa0×\xa010⁴", 0.001: "0.001",
    0.0009994: "10⁻³", 1e-40: "10⁻⁴⁰", -5.72e-5: "−5.7\xa0×\xa010⁻⁵", 2e-9: "2\xa0×\xa010⁻⁹",
    np.inf: "infinite", -np.inf: "−infinite", np.nan: "not a number",
}  # fmt: skip


def test_numbers_read_the_same_in_python_and_javascript():
    assert [results.number(x) for x in NUMBERS] == list(NUMBERS.values())
    random = np.random.default_rng(0)
    numbers = [*list(NUMBERS)[:-3], *(10 ** random.uniform(-12, 12, 300)).tolist()]
    assert in_javascript(f"{numbers}.map((x) => formatNumber(x))") == [
        results.number(x) for x in numbers
    ]
    assert in_javascript('["inf", "-inf", null, NaN].map((x) => formatNumber(x))') == [
        "infinite", "−infinite", "–", "not a number",
    ]  # fmt: skip


def test_sentences_read_the_same_in_python_and_javascript():
    labels = {"base": "3", "mode": "all"}
    for position, power, text in [(0, 30.0, "Large: 30 of 3."), (1, 3.0, "Base 3, all.")]:
        arrays = {"sentence": np.array([position]), "power": np.array([power])}
        assert results.sentence(CHART["summary"], labels, arrays) == text
        # A position may come rounded from a packed grid.
        data = {"sentence": [position * 1.002], "power": [power]}
        arguments = ", ".join(map(json.dumps, (CHART["summary"], labels, data)))
        assert in_javascript(f"sentence({arguments})") == text
    assert results.sentence(["Only {mode}."], labels, {}) == "Only all."
    assert in_javascript(f"sentence(['Only {{mode}}.'], {labels}, {{}})") == "Only all."
    assert results.sentence([], labels, {}) == in_javascript("sentence([], {}, {})") == ""


def described(explorer):
    """What the static face holds for the page's script."""
    (description,) = shipped(explorer.static()["text/html"])
    return description


def test_the_grid_holds_every_setting():
    packed = described(make())["grid"]
    assert packed["power"]["over"] == ["mode", "base"]
    rows = unpack(packed["power"])
    for mode in range(2):
        for base in range(6):
            powers = (base + 1.0) ** np.arange(1, 5) * ([1, 1, 1, 1] if mode == 0 else [1, 0, 0, 0])
            powers[3] = powers[3] if (base + 1) % 2 == 0 else np.nan
            np.testing.assert_allclose(rows[mode * 6 + base], powers, rtol=2.1e-3)
            assert ((rows[mode * 6 + base] == 0) == (powers == 0)).all()
    assert packed["sentence"]["over"] == ["base"]
    np.testing.assert_allclose(unpack(packed["sentence"])[:, 0], [1, 1, 1, 1, 1, 0], rtol=1e-6)


def test_packing_errs_by_less_than_a_thousandth_of_a_decade():
    random = np.random.default_rng(0)
    for _ in range(3):
        values = 10 ** random.uniform(-300, 300, (20, 7, 50)) * random.choice([-1, 1], (20, 7, 50))
        values[random.random(values.shape) < 0.1] = 0
        values[random.random(values.shape) < 0.1] = np.nan
        values[0, 0, :3] = [np.inf, -np.inf, 5]
        rows = unpack(json.loads(json.dumps(grid.pack(values, ["a", "b"]))))
        expected = values.reshape(140, 50)
        finite = np.isfinite(expected) & (expected != 0)
        error = np.abs(np.log10(np.abs(rows[finite] / expected[finite])))
        assert error.max() < 1e-3
        assert (np.sign(rows[finite]) == np.sign(expected[finite])).all()
        np.testing.assert_array_equal(rows[~finite], expected[~finite])


def test_axes_that_do_not_matter_are_left_out():
    values = np.broadcast_to(np.arange(3.0)[None, :, None], (4, 3, 2))
    packed = grid.pack(values, ["a", "b"])
    assert packed["over"] == ["b"]
    np.testing.assert_allclose(unpack(packed), [[0, 0], [1, 1], [2, 2]], rtol=2.1e-3)


def test_javascript_unpacks_the_same():
    random = np.random.default_rng(1)
    values = 10 ** random.normal(0, 30, (8, 9))
    values[1, 2], values[3, 4], values[5, 6], values[0, 0] = 0, np.nan, np.inf, -2.5
    packed = grid.pack(values, ["a"])
    text = json.dumps(packed)
    rows = in_javascript(f"Array.from(decode({text}, 8), (step) => valueOf(step, {text}))")
    rows = np.array([np.nan if v is None else float(v) for v in rows]).reshape(8, 9)
    np.testing.assert_allclose(rows, unpack(packed), rtol=1e-12)


def test_the_static_face_is_html_and_a_picture():
    explorer = make(Four={"base": 4, "mode": "first"})
    static = explorer.static()
    assert set(static) == {"text/plain", "text/html", "image/png"}
    assert 'alt="Powers: Base 3, all."' in static["text/html"]
    page = described(explorer)
    controls = [(one["options"], one["kind"], one["position"]) for one in page["controls"]]
    assert controls == [(list("123456"), "slider", 2), (["all", "first"], "select", 0)]
    assert page["presets"] == {"Four": {"base": 3, "mode": 1}}
    tricky = explore.Explorer("</script>", compute, sliders(), CHART)
    assert described(tricky)["title"] == "</script>"
    assert "<" not in DATA.search(tricky.static()["text/html"])[1]


def test_one_program_is_compiled_for_a_static_face_and_one_for_a_live_one():
    explorer = make()
    plt.close(explorer.figure())  # numbers of a picture may need a small program
    with compilations() as compiled:
        explorer.static()
    assert len(compiled) == 1
    assert explorer.widget.children
    with compilations() as compiled:
        explorer.choose(base=4, mode="first").choose(base=6)
    assert compiled == []


def test_live_controls_drive_the_computation():
    """A preset is one computation, and no picture in between."""
    explorer = make(Four={"base": 4, "mode": "first"})
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "text/plain", "image/png"}
    assert bundle["text/plain"] == "Powers: Base 3, all."
    presets, *_, charts = explorer.widget.children
    assert charts.data == {"power": [3, 9, 27, None], "sentence": [1]}
    drawn = []
    charts.observe(lambda change: drawn.append(change["new"]["power"]), "data")
    presets.children[1].click()
    assert drawn == [[4, 0, 0, 0]]
    assert (charts.setting, charts.labels) == ("Base 4, Mode first", {"base": "4", "mode": "first"})
    for base in range(1, 7):
        explorer.controls["base"].value = base
        for mode in ("all", "first"):
            explorer.controls["mode"].value = mode
            expected = [float(base), *(base**k if mode == "all" else 0.0 for k in (2, 3, 4))]
            expected[3] = expected[3] if base % 2 == 0 else None
            assert (charts.data["power"], charts.problem) == (expected, "")


def test_several_charts_move_together():
    base = ipywidgets.IntSlider(3, 1, 6, description="Base")
    other = explore.chart([explore.series("sums", "Sums")], x={"label": "n"}, y={"label": "Sum"})

    def both(base):
        powers = base ** jnp.arange(1.0, 5)
        return {"power": powers, "sums": jnp.cumsum(powers)}

    first = {**CHART, "summary": ["Base {base}."]}  # of one sentence no position is needed
    explorer = explore.Explorer("Both", both, {"base": base}, [first, other])
    assert described(explorer)["views"] == explorer.widget.children[-1].views == [first, other]
    base.value = 2
    assert explorer.widget.children[-1].data == {"power": [2, 4, 8, 16], "sums": [2, 6, 14, 30]}
    figure = explorer.figure()
    top, below = figure.axes
    np.testing.assert_array_equal(below.lines[0].get_ydata(), [2, 6, 14, 30])
    assert [axes.get_ylabel() for axes in (top, below)] == ["Value", "Sum"]
    plt.close(figure)


def test_the_x_axis_can_take_its_positions_from_an_array():
    chart = explore.chart(
        [explore.series("height", "Height")],
        x={"label": "Position", "name": "position", "values": "place"},
        y={"label": "Height"},
    )
    data = {"place": [-1.5, 0.0, 2.25], "height": [3.0, 4.0, 5.0]}
    figure = views.draw([chart], {name: np.array(a) for name, a in data.items()}, "")
    points = [[-1.5, 3], [0, 4], [2.25, 5]]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), points)
    plt.close(figure)
    arguments = f"{json.dumps(chart)}, {json.dumps(data)}"
    drawn = in_javascript(f"pointsOf({json.dumps(chart['series'][0])}, {arguments})")
    assert [[p["x"], p["y"]] for p in drawn] == points
    table = in_javascript(f"table({arguments}, 'now')")
    assert re.findall(r'<th scope="row">(.*?)</th>', table) == ["−1.5", "0", "2.25"]


def test_csv_quotes_and_has_every_digit():
    chart = explore.chart(
        [explore.series("a", 'A, "so"'), explore.series("b", "B")],
        x={"label": "Step", "name": "step", "start": 0},
        y={"label": "Loss in nats"},
        columns={"w": "Weight in kg"},
    )
    data = '{"a": [1/3, null, "inf"], "b": [-2.5e-300, 0, 5e-324], "w": [1, 2, 3]}'
    text = in_javascript(f"commaSeparated({json.dumps(chart)}, {data})")
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert head == ["Step", "Weight in kg", 'A, "so": Loss in nats', "B: Loss in nats"]
    assert [[float(cell or "nan") for cell in row[1:]] for row in rows] == [
        [1, 1 / 3, -2.5e-300], [2, pytest.approx(np.nan, nan_ok=True), 0], [3, np.inf, 5e-324],
    ]  # fmt: skip


AXES = {"x": {"label": "x"}, "y": {"label": "y"}}
BAD = {
    "at least one control": lambda: explore.Explorer("x", compute, {}, CHART),
    "views must be a view or several": lambda: explore.Explorer("x", compute, sliders(), []),
    "control a must be one of IntSlider, SelectionSlider, Dropdown, ToggleButtons; got Text":
        lambda: explore.Explorer("x", compute, {"a": ipywidgets.Text(description="a")}, CHART),
    "control a must have a description":
        lambda: explore.Explorer("x", compute, {"a": ipywidgets.IntSlider()}, CHART),
    "base must be one of 1, 2, 3, 4, 5, 6; got 9": lambda: make(Bad={"base": 9}),
    "control must be one of base, mode; got 'bse'": lambda: make(Bad={"bse": 1}),
    "mode must be one of all, first; got 'none'": lambda: make().at(mode="none"),
    "kind must be one of line, path, bars, band; got 'bar'":
        lambda: explore.series("a", "A", "bar"),
    "y must have a label, and no word but label, scale, domain; got {'label': 'y', 'log'":
        lambda: explore.chart([], x=AXES["x"], y={"label": "y", "log": True}),
    "x must have a label": lambda: explore.chart([], x={"name": "layer"}, y=AXES["y"]),
}  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_refused(message):
    with pytest.raises(ValueError, match=re.escape(message)):
        BAD[message]()
