"""The network view: the arrays behind it, and what the page's script makes of them."""

import gzip
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from powers import UNITS, in_javascript, network

from tools.grids import shipped, unpack
from vgkit import explore, grads, nets
from vgkit.explore import results, views

KEY = jax.random.key(1)


def by_hand(net, x, y):
    """Backpropagation of a sigmoid net under cross-entropy, written out in NumPy."""
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    layers = [(np.asarray(layer.w), np.asarray(layer.b)) for layer in net.layers]
    hs = [np.asarray(x)]
    for w, b in layers:
        hs.append(sigmoid(w @ hs[-1] + b))
    logits = np.asarray(net.readout.w) @ hs[-1] + np.asarray(net.readout.b)
    p = np.exp(logits) / np.exp(logits).sum()
    back, deltas = np.asarray(net.readout.w).T @ (p - np.eye(len(p))[y]), []
    for (w, _), h in zip(layers[::-1], hs[:0:-1], strict=True):
        deltas.insert(0, back * h * (1 - h))
        back = w.T @ deltas[0]
    return hs, deltas, p


@pytest.mark.parametrize("widths", [(5, 5, 5, 5, 4), (2, 6, 2, 4)])
def test_unit_signals_are_those_of_backpropagation_by_hand(widths):
    net = nets.mlp(KEY, widths, "sigmoid", init="glorot_normal")
    net = jax.tree.map(lambda leaf: leaf + 0.1, net)  # biases that are not 0
    x, y = jax.random.normal(KEY, widths[:1]), 2
    hs, deltas, p = by_hand(net, x, y)
    size = len(deltas)

    def first(rows):
        filled = [
            np.pad(row[:UNITS], (0, UNITS - len(row[:UNITS])), constant_values=np.nan)
            for row in rows
        ]
        return np.concatenate(filled)

    def edges(arrays):
        flat = np.full((size, UNITS, UNITS), np.nan)
        for layer, array in enumerate(arrays):
            small = array[:UNITS, :UNITS]
            if layer or widths[0] <= UNITS:
                flat[layer, : small.shape[0], : small.shape[1]] = small
        return flat.ravel()

    expected = {
        "units": widths[1:-1],
        "activation": first(hs[1:]),
        "slope": first([h * (1 - h) for h in hs[1:]]),
        "error": first(deltas),
        "activation_size": [np.sqrt(np.mean(h**2)) for h in hs[1:]],
        "error_size": [np.sqrt(np.mean(d**2)) for d in deltas],
        "edge_weight": edges([layer.w for layer in net.layers]),
        "edge_gradient": edges([np.outer(d, h) for d, h in zip(deltas, hs[:-1], strict=True)]),
        "inputs": x,
        "output": p,
        "label": [y],
        "loss": [-np.log(p[y])],
    }
    got = grads.unit_signals(net, x, y, units=UNITS)
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(
        got["error_size"], grads.signals(net, x[None], jnp.array([y])).error_norms[:-1], rtol=1e-12
    )


def test_a_traced_depth_gives_the_shallow_net_s_numbers_and_nan():
    net = nets.mlp(KEY, (4,) * 8 + (3,), "tanh", init="he_normal", stacked=True)
    x = jnp.arange(4.0)
    at = jax.jit(lambda depth: grads.unit_signals(net.replace(depth=depth), x, 1, units=UNITS))
    for depth in (2, 6, 7):
        whole, short = (
            at(depth),
            grads.unit_signals(nets.unstack(net.replace(depth=depth)), x, 1, units=UNITS),
        )
        for name in ("units", "activation", "slope", "error", "activation_size", "error_size"):
            used = len(short[name])
            np.testing.assert_allclose(whole[name][:used], short[name], rtol=1e-12)
            assert np.isnan(whole[name][used:]).all()
        assert np.isnan(whole["edge_gradient"]).all() == (depth == 7)
        np.testing.assert_allclose(whole["output"], short["output"], rtol=1e-12)


@pytest.fixture(scope="module")
def made():
    return network()


def test_the_page_holds_every_unit_to_two_figures_and_its_sign(made):
    (page,) = shipped(made.static()["text/html"])
    assert "2.4 %" in page["note"]
    for name in ("error", "activation", "edge_gradient"):
        packed = page["grid"][name]
        assert packed["step"] == views.STEP and packed["signs"]
        expected = np.stack([made.at(depth=depth)[name] for depth in range(1, 8)])
        rows = unpack(packed)
        np.testing.assert_array_equal(np.isnan(rows), np.isnan(expected))
        np.testing.assert_allclose(rows, expected, rtol=10 ** (views.STEP / 2) - 1 + 1e-9)
    assert page["grid"]["error_size"]["step"] < views.STEP


def shown(made, expression, **values):
    """Value of an expression in the page's script, for the view, its data and a frame of 700 px."""
    data = json.dumps({name: results.plain(array) for name, array in made.at(**values).items()})
    given = f"[{json.dumps(made.views[0])}, {data}]"
    frame = "const frame = netFrame(spec, data, [], 700)"
    return in_javascript(f"(([spec, data]) => {{ {frame}; return {expression}; }})({given})")


def test_every_step_says_what_it_shows(made):
    at = made.at(depth=2)
    size = [
        [results.number(float(f"{v:.1e}")) for v in at[name][:2]]
        for name in ("activation_size", "error_size")
    ]
    p, loss = (results.number(float(f"{v:.1e}")) for v in (at["output"][1], at["loss"][0]))
    guess = int(np.argmax(at["output"]))
    right = "It is right, with" if guess == 1 else "The right one, 1, gets"
    captions = shown(made, "[0, 1, 2, 3, 4, 5].map((step) => captionOf(spec, data, step))", depth=2)
    assert captions == [
        "The input goes in.",
        f"Layer 1: the activation is {size[0][0]}.",
        f"Layer 2: the activation is {size[0][1]}.",
        f"The net's answer is {guess}. {right} a probability of {p}. The loss is {loss}.",
        f"Layer 2: the error signal is {size[1][1]}.",
        f"Layer 1: the error signal is {size[1][0]}.",
    ]


def test_brightness_is_the_logarithm_of_the_size_and_zero_and_infinity_look_otherwise(made):
    strong = in_javascript("[1e-12, 1e-5, 1e2, 1e9, -1e-5].map((v) => strength(v, [-12, 2]))")
    assert strong[2] == strong[3] == 1 and strong[1] == strong[4]
    assert strong[1] - strong[0] == pytest.approx(strong[2] - strong[1])
    assert 0 < strong[0] < strong[1]
    draw = "(v) => cell(0, 0, 8, 8, true, v, [-12, 2], 'vg-back')"
    cells = in_javascript(f"[0, 1e-300, 'inf', null].map({draw})")
    nothing, tiny, *broken = cells
    assert "vg-nothing" in nothing and "fill-opacity" not in nothing
    assert "vg-nothing" not in tiny and "fill-opacity" in tiny
    assert all("vg-cross" in one for one in broken)


def test_units_and_edges_are_described_with_jax_s_numbers(made):
    at = made.at(depth=2)
    unit = shown(made, "describeStop(4, spec, data, frame)", depth=2)  # layer 2, unit 2
    numbers = [results.number(at[name][UNITS + 1]) for name in ("activation", "slope", "error")]
    assert unit == "layer 2, unit 2: activation {}, slope {}, error signal {}".format(*numbers)
    edge = shown(made, "describeStop('0.2-4', spec, data, frame)", depth=2)
    index = UNITS * UNITS + 1 * UNITS + 2
    numbers = [results.number(at[name][index]) for name in ("edge_weight", "edge_gradient")]
    assert edge.startswith("weight from layer 1, unit 3 to layer 2, unit 2: ")
    assert edge.endswith("weight {}, weight gradient {}".format(*numbers))
    assert shown(made, "frame.edges.length", depth=7) == 0


def test_the_table_has_a_row_for_each_layer(made):
    table = shown(made, "table(spec, data, 'now')", depth=2)
    assert re.findall(r'scope="(?:col|row)">(.*?)<', table) == [
        "layer", "Activation, RMS", "Error signal, RMS", "1", "2",
    ]  # fmt: skip


def test_what_runs_forward_is_named_wherever_it_is_shown(made):
    named = {**made.views[0], **{"activation": "difference & more"}}
    data = json.dumps({name: results.plain(array) for name, array in made.at(depth=2).items()})
    given = f"{json.dumps(named)}, {data}"
    frame = f"netFrame({given}, [], 700)"
    legend, drawn, caption, unit = in_javascript(
        f"[netLegend({given})[0].text, netPicture({given}, [], {frame}, 1).join(''),"
        f" captionOf({given}, 1), describeStop(0, {given}, {frame})]"
    )
    assert legend.startswith(f"difference & more, {UNITS} of 4 units: 10")
    assert "difference &amp; more →" in drawn and "activation" not in drawn
    assert caption.startswith("Layer 1: the difference & more is ")
    assert unit.startswith("layer 1, unit 1: difference & more ")
    assert explore.network(2, activation="h").items() >= {"activation": "h"}.items()
    assert explore.network(2, halfway=True)["halfway"] and not explore.network(2)["halfway"]


def test_the_frame_around_a_layer_keeps_off_its_neighbours(made):
    for pitch, wide in ((60, 9), (14, 6), (7, 3), (3, 1)):
        box = in_javascript(
            f"drawFront({{left: 0, pitch: {pitch}, row: 22, lane: 44, lanesAt: [0], wide: {wide}}},"
            " 'backward', 1)"
        )
        x, width = (float(re.search(rf'{name}="([^"]*)"', box)[1]) for name in (" x", "width"))
        assert x + width <= 2.5 * pitch - wide + 0.51  # the units of layer 2 begin there


def test_variants_are_drawn():
    chain = {
        "units": [1, 1], "activation": [0.5, 0.4], "error": [-0.1, 0.0],
        "activation_size": [0.5, 0.4], "error_size": [0.1, 0.0], "factor": [0.25, "inf"],
        "cell": [1, 2], "cell_error": [0.1, 0.2], "skip": [1],
    }  # fmt: skip
    texts = {
        "factors": ["× 0.25", "× infinite"],
        "recurrent": [">W<"],
        "cell": [">cell<", ">hidden<"],
    }
    given = {"factors": "factor", "skip": "skip", "recurrent": True, "cell": True}
    for name, value in given.items():
        view = explore.network(1, **{name: value})
        arguments = f"{json.dumps(view)}, {json.dumps(chain)}"
        drawn = in_javascript(
            f"netPicture({arguments}, [], netFrame({arguments}, [], 700)).join('')"
        )
        assert all(text in drawn for text in texts.get(name, ["vg-arc"])), name
        assert drawn.count("vg-nothing") == 1


def test_bad_descriptions_and_missing_arrays_are_refused(made):
    with pytest.raises(
        ValueError, match=r"backward must be two rising powers of ten; got \(2, -12\)"
    ):
        explore.network(8, backward=(2, -12))
    with pytest.raises(ValueError, match="units must be a whole number of at least 1; got 0"):
        explore.network(0)
    with pytest.raises(ValueError, match="compute must return activation_size"):
        made.using(lambda depth: {"units": jnp.ones(3), "loss": 1.0}).at()


def test_script_and_style_are_small(made):
    html = made.static()["text/html"]
    own = re.findall(r'<script class="vg-script">.*?</script>|<style>.*?</style>', html, re.S)
    assert len(own) == 2 and len(gzip.compress("".join(own).encode(), 9)) <= 25_000
