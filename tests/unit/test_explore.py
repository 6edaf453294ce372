import gzip
import json
import re

import ipywidgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from powers import CHART, compute, in_javascript, make

from vgkit import explore
from vgkit.explore import charts, grid, picture, words


def test_compute_gets_numbers_and_positions():
    explorer = make()
    np.testing.assert_allclose(explorer.at()["power"], [3, 9, 27, np.nan])
    np.testing.assert_allclose(explorer.at(base=1, mode=1)["power"], [2, 0, 0, 0])
    assert explorer.setting() == "Base 3, Mode whole"


def test_grid_holds_every_setting():
    explorer = make()
    packed = explorer.grid()["power"]
    assert packed["over"] == ["mode", "base"]
    rows = grid.unpack(packed)
    for mode in range(2):
        for base in range(6):
            powers = (base + 1.0) ** np.arange(1, 5) * ([1, 1, 1, 1] if mode == 0 else [1, 0, 0, 0])
            powers[3] = powers[3] if (base + 1) % 2 == 0 else np.nan
            np.testing.assert_allclose(rows[mode * 6 + base], powers, rtol=2.1e-3)
            assert ((rows[mode * 6 + base] == 0) == (powers == 0)).all()


@pytest.mark.parametrize("seed", range(5))
def test_packing_errs_by_less_than_a_thousandth_of_a_decade(seed):
    random = np.random.default_rng(seed)
    values = 10 ** random.uniform(-300, 300, (40, 7, 50)) * random.choice([-1, 1], (40, 7, 50))
    values[random.random(values.shape) < 0.1] = 0
    values[random.random(values.shape) < 0.1] = np.nan
    values[0, 0, :3] = [np.inf, -np.inf, 5]
    rows = grid.unpack(json.loads(json.dumps(grid.pack(values, ["a", "b"]))))
    expected = values.reshape(280, 50)
    finite = np.isfinite(expected) & (expected != 0)
    error = np.abs(np.log10(np.abs(rows[finite] / expected[finite])))
    assert error.max() < 1e-3
    assert (np.sign(rows[finite]) == np.sign(expected[finite])).all()
    np.testing.assert_array_equal(rows[~finite], expected[~finite])


def test_axes_that_do_not_matter_are_left_out():
    values = np.broadcast_to(np.arange(3.0)[None, :, None], (4, 3, 2))
    packed = grid.pack(values, ["a", "b"])
    assert packed["over"] == ["b"]
    np.testing.assert_allclose(grid.unpack(packed), [[0, 0], [1, 1], [2, 2]], rtol=2.1e-3)


def test_equal_shapes_pack_to_almost_nothing():
    layer = np.arange(1.0, 41)
    values = 10.0 ** -(np.arange(60)[:, None] + 0.63 * layer[None])  # parallel straight lines
    packed = grid.pack(values, ["depth"])
    assert len(gzip.compress(packed["text"].encode())) < 0.1 * values.size


def test_alphabet_is_harmless():
    assert len(set(grid.ALPHABET)) == 2 * grid.LARGEST_RESIDUAL + 1
    assert not set(grid.ALPHABET) & set("&<>\"'\\!~")


def test_nothing_compiles_after_the_first_result():
    explorer = make()
    assert explorer.widget.children
    compiled = []

    def monitor(event, *_, **__):
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(monitor)
    try:
        for base in range(1, 7):
            explorer.controls["base"].value = base
            for mode in ("first", "whole"):
                explorer.controls["mode"].value = mode
        assert compiled == []
        jax.jit(lambda x: x + 41)(1.0)
        assert compiled  # the counter counts
    finally:
        jax.monitoring.clear_event_listeners()


def test_whole_and_fractional_values_share_a_program():
    traced = []

    def scaled(size):
        traced.append(size)
        return {"power": size * jnp.arange(1.0, 5.0)}

    slider = ipywidgets.SelectionSlider(options=[("1", 1), ("1.5", 1.5)], description="Size")
    chart = {**CHART, "summary": [{"when": "", "text": "Any."}]}
    explorer = explore.Explorer("Sizes", scaled, {"size": slider}, chart)
    np.testing.assert_allclose(explorer.at(size=0)["power"], [1, 2, 3, 4])
    np.testing.assert_allclose(explorer.at(size=1)["power"], [1.5, 3, 4.5, 6])
    assert len(traced) == 1


def test_live_controls_drive_the_computation():
    explorer = make(Four={"base": 4, "mode": "first"})
    box = explorer.widget
    (chart,) = box.children[-1].children
    explorer.controls["base"].value = 5
    assert chart.data["power"] == [5, 25, 125, None]
    assert chart.setting == "Base 5, Mode whole"
    button = box.children[0].children[1]
    button.click()
    assert (explorer.controls["base"].value, explorer.controls["mode"].value) == (4, "first")
    assert chart.data["power"] == [4, 0, 0, 0]


def test_several_charts_move_together():
    base = ipywidgets.IntSlider(3, 1, 6, description="Base")
    other = charts.chart(
        [charts.series("sums", "Sums")], x=CHART["x"], y={"label": "Sum"}, summary=[]
    )

    def both(base):
        powers = base ** jnp.arange(1.0, 5)
        return {"power": powers, "sums": jnp.cumsum(powers)}

    explorer = explore.Explorer("Both", both, {"base": base}, [CHART, other])
    assert [spec["y"]["label"] for spec in explorer._page()["specs"]] == ["Value", "Sum"]
    base.value = 2
    first, second = explorer.widget.children[-1].children
    assert first.data == second.data and second.data["sums"] == [2, 6, 14, 30]
    assert (first.spec, second.spec) == (CHART, other)
    figure = picture.draw(explorer.charts, explorer.at(), explorer.setting())
    top, below = figure.axes
    np.testing.assert_array_equal(below.lines[0].get_ydata(), [2, 6, 14, 30])
    assert [axes.get_ylabel() for axes in (top, below)] == ["Value", "Sum"]
    plt.close(figure)


def test_faces(monkeypatch):
    explorer = make()
    live = explorer._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in live
    assert "<script" not in live["text/html"]
    monkeypatch.setenv("VGKIT_STATIC", "1")
    static = explorer._repr_mimebundle_()
    assert set(static) == {"text/plain", "text/html", "image/png"}
    assert 'alt="Powers. Base 3, whole."' in static["text/html"]
    data = re.search(r'class="vg-data">(.*?)</script>', static["text/html"], re.DOTALL)[1]
    assert "<" not in data
    page = json.loads(data)
    assert page["controls"][0]["options"] == ["1", "2", "3", "4", "5", "6"]
    assert page["controls"][1]["options"] == ["whole", "first"]
    assert [control["kind"] for control in page["controls"]] == ["slider", "select"]
    assert [control["value"] for control in page["controls"]] == [2, 0]


NUMBERS = [0.0, 1.0, -3.0, 9999.0, 12345.0, 0.25, 0.001, 0.0009994, 123.456, 1234.5678, -0.5, 99.96]
NUMBERS += [1e-40, 1.25e300, 6.02e23, 0.1234567, 1 / 3, 2 / 3, 1e4, 0.0012345, -1e-5, 5e-324]


def test_number_by_hand():
    written = [words.number(x) for x in (0.0, 3.0, 0.25, 123.456, 1e-40, 12345.0, 1 / 3)]
    assert written == ["0", "3", "0.25", "123", "1.0e-40", "1.2e4", "0.333"]
    assert [words.number(x) for x in (np.inf, -np.inf, np.nan)] == [
        "infinite", "-infinite", "not a number",
    ]  # fmt: skip


def test_the_x_axis_can_take_its_positions_from_an_array():
    chart = charts.chart(
        [charts.series("height", "Height")],
        x={"label": "Position", "name": "position", "values": "place"},
        y={"label": "Height"},
        summary=[],
    )
    data = {"place": [-1.5, 0.0, 2.25], "height": [3.0, 4.0, 5.0]}
    figure = picture.draw([chart], {name: np.array(a) for name, a in data.items()}, "")
    np.testing.assert_array_equal(
        figure.axes[0].lines[0].get_xydata(), [[-1.5, 3], [0, 4], [2.25, 5]]
    )
    plt.close(figure)
    arguments = f"{json.dumps(chart)}, {json.dumps(data)}"
    points = in_javascript(f"pointsOf({json.dumps(chart['series'][0])}, {arguments})")
    assert [(p["x"], p["y"]) for p in points] == [(-1.5, 3), (0, 4), (2.25, 5)]
    table = in_javascript(f"table({arguments}, 'now')")
    assert re.findall(r'<th scope="row">(.*?)</th>', table) == ["-1.5", "0", "2.25"]


def test_numbers_and_sentences_read_the_same_in_javascript():
    random = np.random.default_rng(0)
    numbers = NUMBERS + (10 ** random.uniform(-12, 12, 300)).tolist()
    assert in_javascript(f"{numbers}.map(formatNumber)") == [words.number(x) for x in numbers]
    for power, base in [(3.0, "3"), (30.0, "30"), (10.0, "10")]:
        names, data = {"base": base, "mode": "whole"}, {"power": [power]}
        ours = words.sentence(CHART["summary"], names, data)
        arguments = ", ".join(map(json.dumps, (CHART["summary"], names, data)))
        assert in_javascript(f"sentence({arguments})") == ours


def test_javascript_unpacks_the_same():
    random = np.random.default_rng(1)
    values = 10 ** random.normal(0, 30, (8, 9))
    values[1, 2], values[3, 4], values[5, 6], values[0, 0] = 0, np.nan, np.inf, -2.5
    packed = grid.pack(values, ["a"])
    text = json.dumps(packed)
    rows = in_javascript(f"Array.from(decode({text}, 8), (step) => valueOf(step, {text}))")
    rows = np.array([np.nan if v is None else float(v) for v in rows]).reshape(8, 9)
    np.testing.assert_allclose(rows, grid.unpack(packed), rtol=1e-12)


SLIDER = {"base": ipywidgets.IntSlider(1, 1, 6, description="Base")}
BAD = {
    "no controls": (lambda: explore.Explorer("x", compute, {}, CHART), "at least one control"),
    "no chart": (lambda: explore.Explorer("x", compute, SLIDER, []), "chart must be a chart"),
    "kind": (
        lambda: explore.Explorer("x", compute, {"a": ipywidgets.Text(description="a")}, CHART),
        "control a must be one of IntSlider, SelectionSlider, Dropdown, ToggleButtons; got Text",
    ),
    "label": (
        lambda: explore.Explorer("x", compute, {"a": ipywidgets.IntSlider()}, CHART),
        "control a must have a description",
    ),
    "preset": (lambda: make(Bad={"base": 9}), "base must be one of 1, 2, 3, 4, 5, 6; got 9"),
    "preset name": (lambda: make(Bad={"bse": 1}), "control must be one of base, mode; got 'bse'"),
    "position": (lambda: make().at(base=6), "base must be a position from 0 to 5; got 6"),
    "condition": (
        lambda: charts.chart([], x={}, y={}, summary=[("power is 3", "")]),
        "conditions like 'ratio < 0.01'; got 'power is 3'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_using_keeps_the_charts_and_the_controls_that_the_function_takes():
    axes = {"x": {"label": "X", "name": "x"}, "y": {"label": "Y"}, "summary": []}
    sliders = {name: ipywidgets.IntSlider(1, 0, 5, description=name) for name in "kj"}
    chart = charts.chart([charts.series("y", "Y")], **axes)
    made = explore.Explorer("Whole", lambda k, j: {"y": k * jnp.ones(3) + j}, sliders, chart)
    own = made.using(lambda k: {"y": 10 * k * jnp.arange(3.0)})
    assert own.charts == made.charts and list(own.controls) == ["k"]
    made.choose(k=4)  # the controls are shared
    np.testing.assert_array_equal(own.at()["y"], [0, 40, 80])
    np.testing.assert_array_equal(made.at()["y"], [5, 5, 5])
    assert explore.find("Your turn") is own
    with pytest.raises(ValueError, match="control must be one of k, j; got 'z'"):
        made.using(lambda z: {"y": z})
