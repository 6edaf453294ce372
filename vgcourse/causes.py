"""The chapter on causes: its experiments, figures, explorer and questions."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import ipywidgets as widgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Float, Int

from vgcourse import selfcheck
from vgcourse.chain_rule import batch, seeds
from vgkit import activations, explore, grads, nets, plots

LABEL = "causes"
NAMES = ("sigmoid", "tanh", "relu", "gelu")
"""Activations of the explorer, and of the figure of saturation."""
LISTED = ("sigmoid", "tanh", "relu", "leaky_relu", "prelu",
          "elu", "selu", "gelu", "silu", "softplus")  # fmt: skip
"""Activations whose slopes are listed."""
LAYERS = 10
SCALES = np.array([0.5, 1, 1.5, 2, 3, 4, 6, 8, 10, 12])
"""Numbers by which the usual weights are multiplied."""
WEIGHTS = (2, 4, 8, 20)
"""Weights of the single unit that is drawn."""
UNITS = 8
"""Units of each layer that pictures of the net show."""


# Larger weights


def draw(
    key: Array, scale: int | float | Array = 1, activation: str | activations.Function = "sigmoid"
) -> nets.Net:
    """A net of ten hidden layers of 64 units without biases, whose hidden weights are scaled.

    Args:
        key: Of the random weights.
        scale: What weights of standard deviation 1/√64 are multiplied by.
        activation: Of all hidden units.
    """
    widths = (64,) * (LAYERS + 1) + (10,)
    net = nets.mlp(key, widths, activation, init="normal", std=1 / 8, stacked=True)
    return net.replace(layers=net.layers.replace(w=scale * net.layers.w))


class Measured(NamedTuple):
    """What a net does with 32 digits.

    Attributes:
        factor: What a layer multiplies the error signal by: geometric mean over the nine steps
            from the last hidden layer to the first.
        saturated: Share of saturated units of each layer, over units and digits.
    """

    factor: Float[Array | np.ndarray, "*nets"]
    saturated: Float[Array | np.ndarray, "*nets layers"]


@partial(jax.jit, static_argnames="name")
def measured_of(keys: Array, scales: Float[Array, " scales"], name: str) -> Measured:
    """Measure a net for each key and scale.

    Args:
        keys: One for each row of the results.
        scales: One for each column.
        name: Activation.
    """
    x, y = batch()

    def one(key: Array, scale: Array) -> Measured:
        net = draw(key, scale, name)
        factor = grads.signals(net, x, y).ratio ** (1 / (LAYERS - 1))
        flat = activations.saturated(name, pre_activations(net, x))
        return Measured(factor, flat.mean(axis=(1, 2)))

    return jax.lax.map(lambda key: jax.lax.map(partial(one, key), scales), keys)


@cache
def measured(name: str) -> Measured:
    """`measured_of` the page's networks, at `SCALES`."""
    return jax.tree.map(np.asarray, measured_of(seeds(), jnp.asarray(SCALES), name))


def pre_activations(
    net: nets.Net, x: Float[Array, "batch width"]
) -> Float[Array, "layers batch units"]:
    """The z of all hidden units for every example."""
    return jax.vmap(lambda one: nets.intermediates(net, one)[0].z, out_axes=1)(x)


def at(name: str, scale: int | float) -> Measured:
    """Medians over the networks at one of `SCALES`."""
    column = list(SCALES).index(scale)
    return jax.tree.map(lambda values: np.median(values[:, column], axis=0), measured(name))


def predict_scale() -> selfcheck.Quiz:
    """Ask what weights four times as large make of the factor."""
    question = selfcheck.choice(
        "All hidden weights become four times as large. What happens to the factor of a layer, "
        "which was 0.23?",
        {
            "It becomes four times as large, a little more than 0.9": "That would be so if the "
            "slopes stayed as they were. They do not.",
            "It grows, but clearly less than fourfold": "Larger weights make the slopes smaller, "
            "so some of the gain is lost.",
            "It does not grow at all": "It does grow. Larger weights make the slopes smaller, but "
            "they lose only part of the gain by it.",
        },
        right="It grows, but clearly less than fourfold",
    )
    return selfcheck.predict(LABEL, question)


def figure_scale() -> None:
    """Draw the factor of a sigmoid layer against the weight scale."""
    _, axes = plt.subplots(figsize=(5.2, 3.4))
    factor = measured("sigmoid").factor
    proportional = SCALES * at("sigmoid", 1).factor
    axes.plot(SCALES, proportional, "--", color=plots.COLOURS[1], label="if slopes stayed the same")
    plots.spread(axes, SCALES, factor, "measured", marker="o")
    axes.axhline(1, color="0.4", linestyle=":")
    axes.set(xlabel="weight scale", ylabel="factor of a layer", ylim=(0, 1.6))
    axes.legend(loc="lower right")


# Squashing


def predict_squash() -> selfcheck.Quiz:
    """Ask how much of a sigmoid's output the numbers from 10 to 1000 cover."""
    question = selfcheck.choice(
        "Inputs from 10 to 1000: how much of the range from 0 to 1 do their outputs cover?",
        {
            "Almost all of it": "The inputs are far apart, but the sigmoid has almost arrived at 1 "
            "before the first of them.",
            "About a quarter": "That is what all inputs from 1 on cover. Nearly all of it goes to "
            "those from 1 to 10.",
            "Less than a ten-thousandth": "At 10 the output is almost 1, so nothing is left to "
            "tell 10 from 1000 by.",
        },
        right="Less than a ten-thousandth",
    )
    return selfcheck.predict(LABEL, question)


def figure_saturation() -> None:
    """Draw activations and the sizes of their slopes, thick where they are saturated."""
    _, (above, below) = plt.subplots(2, 1, figsize=(5.2, 5.6), sharex=True)
    z = np.linspace(-8, 8, 1601)
    for colour, name in zip(plots.COLOURS, NAMES, strict=True):
        slope = np.abs(activations.slope(name, z))
        flat = activations.saturated(name, z)
        curves = (above, activations.function(name)(z)), (below, np.where(slope, slope, np.nan))
        for axes, values in curves:
            label = activations.ACTIVATIONS[name].label
            axes.plot(z, values, color=colour, label=label)
            axes.plot(z, np.where(flat, values, np.nan), color=colour, linewidth=5, alpha=0.4)
    above.set(ylabel="output φ(z)", ylim=(-1.2, 2.2))
    below.set(xlabel="pre-activation z", ylabel="size of the slope", yscale="log", ylim=(1e-4, 3))
    above.legend()


# One unit


def interval(w: Float[np.ndarray, "..."] | float) -> Float[np.ndarray, "..."] | float:
    r"""Length of the interval of inputs a with :math:`w \sigma'(wa) \ge 1`, for a sigmoid unit.

    The slope is at least 1/w for :math:`|z| \le 2 \operatorname{artanh} \sqrt{1 - 4/w}`, and z is w
    times a.

    Args:
        w: Weights, at least 4.
    """
    return 4 / w * np.arctanh(np.sqrt(1 - 4 / np.asarray(w)))


def longest() -> tuple[float, float]:
    """The weight with the longest interval, to within 0.001, and the interval's length."""
    w = np.linspace(4, 30, 26_001)
    lengths = interval(w)
    return float(w[lengths.argmax()]), float(lengths.max())


def predict_unit() -> selfcheck.Quiz:
    """Ask which weight gives a unit the widest range of inputs with a factor of at least 1."""
    question = selfcheck.choice(
        "For which weight is this stretch of inputs longest?",
        {
            "For a weight of 4": "Then the factor reaches 1 at a single point, and nowhere else.",
            "For a weight between 4 and 20": "Up to about 7 a larger weight makes the stretch "
            "longer, and beyond that shorter.",
            "For a very large weight": "Then the factor is large, but only for inputs very close "
            "to the middle.",
        },
        right="For a weight between 4 and 20",
    )
    return selfcheck.predict(LABEL, question)


def figure_unit() -> None:
    """Draw the factor of a sigmoid unit against its input, for several weights."""
    _, axes = plt.subplots(figsize=(5.2, 3.6))
    a = np.linspace(-1.5, 1.5, 601)
    for colour, w, style in zip(plots.COLOURS, WEIGHTS, ("-", "--", "-.", ":"), strict=True):
        factor = w * np.asarray(activations.slope("sigmoid", w * a))
        axes.plot(a, factor, style, color=colour, label=f"w = {w}")
        if w in (4, 20):
            axes.fill_between(a, factor, color=colour, alpha=0.15, lw=0)
    axes.axhline(1, color="0.4", linewidth=0.8)
    axes.set(xlabel="input a, from the middle", ylabel="factor of the unit", ylim=(0, 5.2))
    axes.legend()


# A whole layer


def predict_layers() -> selfcheck.Quiz:
    """Ask which layer has the largest share of saturated units."""
    question = selfcheck.choice(
        "At weight scale 4, which layer of the sigmoid net has the largest share of saturated "
        "units?",
        {
            "In layer 1": "Its inputs, the pixels, are the largest. Every later layer gets numbers "
            "between 0 and 1.",
            "In layer 10": "Saturation does not build up, because every layer gets numbers between "
            "0 and 1, whatever happened before it.",
            "In all layers about equally": "Layers 2 to 10 are alike, but layer 1 is not: its "
            "inputs, the pixels, are larger.",
        },
        right="In layer 1",
    )
    return selfcheck.predict(LABEL, question)


def figure_layers() -> None:
    """Draw the saturated share of every layer, and the factors of sigmoid and tanh."""
    _, (above, below) = plt.subplots(2, 1, figsize=(5.2, 6.4))
    for number, scale in enumerate([2, 4, 8, 12]):
        rows = measured("sigmoid").saturated[:, list(SCALES).index(scale)]
        layer = np.arange(1, LAYERS + 1)
        plots.spread(above, layer, rows, f"scale {scale}", number, marker="os^D"[number])
    above.set(xlabel="layer (1 is nearest the input)", ylabel="share of saturated units")
    above.set(title="sigmoid", xticks=layer, ylim=(0, 1.2))
    above.legend(ncols=2, loc="upper right")
    for number, name in enumerate(["sigmoid", "tanh"]):
        plots.spread(below, SCALES, measured(name).factor, name, number, marker="os"[number])
    below.axhline(1, color="0.4", linestyle=":")
    below.set(xlabel="weight scale", ylabel="factor of a layer", ylim=(0, None))
    below.legend()


def figure_steep() -> None:
    """Draw how steep the explorer's units are for one digit, with usual and with large weights."""
    x, y = (part[0] for part in batch())
    _, panels = plt.subplots(1, 2, figsize=(5.2, 2.7), sharey=True)
    for axes, scale in zip(panels, (1, 12), strict=True):
        slopes = grads.unit_signals(draw(seeds()[0], scale), x, y, units=UNITS)["slope"]
        shares = np.asarray(slopes).reshape(LAYERS, UNITS) / activations.slope_range("sigmoid")[1]
        for (layer, unit), share in np.ndenumerate(shares):
            place = {"x": layer + 1, "height": 0.8, "bottom": unit + 0.6}
            axes.bar(**place, color=plots.COLOURS[3], alpha=float(share))
            axes.bar(**place, fill=False, edgecolor="0.4", linewidth=0.5)
        axes.set(title=f"weight scale {scale}", xlabel="layer", xticks=[1, 4, 7, 10], yticks=[])
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)
    panels[0].set_ylabel("eight units of each layer")


# The explorer

AXIS = np.linspace(-15, 15, 151)
STOPS = (0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 10, 12)


def density(z: Float[Array, "..."]) -> Float[Array, " points"]:
    """Smoothed density over `AXIS`, scaled to a peak of 1; below 0.004 it is drawn as 0."""
    width = jnp.maximum(0.25 * z.std(), 0.2)
    distance = (AXIS[:, None] - z.reshape(1, -1)) / width
    height = jnp.exp(-(distance**2) / 2).sum(axis=1)
    return jnp.where(height < 0.004 * height.max(), 0.0, height / height.max())


def with_inputs(
    x: Float[Array, "batch 64"], y: Int[Array, " batch"]
) -> Callable[..., dict[str, Array]]:
    """What the explorer shows of inputs that may be a reader's own.

    Args:
        x: Examples, of which the first is drawn in the net.
        y: Their labels, from 0 to 9.
    """
    usual = draw(seeds()[0])
    slopes = [partial(activations.slope, name) for name in NAMES]
    saturated = [partial(activations.saturated, name) for name in NAMES]

    def compute(activation: int | Array, scale: float | Array) -> dict[str, Array]:
        phi = activations.by_index(activation, NAMES)
        scaled = usual.layers.replace(w=scale * usual.layers.w)
        net = usual.replace(activation=phi, layers=scaled)
        z = pre_activations(net, x)
        share = 100 * jax.lax.switch(activation, saturated, z).mean(axis=(1, 2))
        return grads.unit_signals(net, x[0], y[0], units=UNITS) | {
            "z": jnp.asarray(AXIS),
            "bottom": jnp.zeros(len(AXIS)),
            "flat": jax.lax.switch(activation, saturated, AXIS).astype(float),
            "slope_curve": jax.lax.switch(activation, slopes, AXIS),
            "first": density(z[0]),
            "last": density(z[-1]),
            "share": share,
            "share_first": share[0],
            "share_last": share[-1],
            "factor": grads.signals(net, x, y).ratio ** (1 / (LAYERS - 1)),
        }

    return compute


@cache
def explorer() -> explore.Explorer:
    """A net whose weights can be scaled, and where the pre-activations lie."""
    series, labels = explore.series, [activations.ACTIVATIONS[name].label for name in NAMES]
    summary = (
        "Saturated: {share_first} % of the units of layer 1, {share_last} % of layer 10. A layer "
        "multiplies the error signal by {factor}."
    )
    return explore.Explorer(
        "Saturation",
        with_inputs(*batch()),
        controls={
            "activation": widgets.Dropdown(
                options=list(zip(labels, NAMES, strict=True)),
                value="sigmoid",
                description="Activation",
            ),
            "scale": widgets.SelectionSlider(options=STOPS, value=1, description="Weight scale"),
        },
        views=[
            explore.network(
                UNITS,
                summary=[summary],
                forward=(-3, 1),
                backward=(-8, 0),
                columns={"share": "Saturated units in %"},
            ),
            explore.chart(
                [
                    series("bottom", "Saturated", "band", upper="flat", colour=3),
                    series("slope_curve", "Slope φ′(z)", marker=False, dash=True, colour=3),
                    series("first", "z in layer 1", marker=False, colour=0),
                    series("last", "z in layer 10", marker=False, colour=2),
                ],
                x={"label": "Pre-activation z", "name": "z", "values": "z", "domain": [-15, 15]},
                y={"label": "Slope; how often z occurs"},
            ),
        ],
        presets={
            "Sigmoid, Glorot": {"activation": "sigmoid", "scale": 1},
            "Weights times 4": {"activation": "sigmoid", "scale": 4},
            "Weights times 12": {"activation": "sigmoid", "scale": 12},
            "Tanh": {"activation": "tanh", "scale": 1},
            "ReLU, He": {"activation": "ReLU", "scale": 1.5},
        },
    )


# The range of every slope


def values(name: str) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Outputs and slopes of an activation from z = -15 to 15, 0 among the points.

    Args:
        name: Of the activation.
    """
    z = jnp.linspace(-15, 15, 6001)
    return np.asarray(activations.function(name)(z)), np.asarray(activations.slope(name, z))


def predict_range() -> selfcheck.Quiz:
    """Ask for which activations the slopes are 0 and 1 only."""
    question = selfcheck.choice(
        '"ReLU and its variants have the slopes 0 and 1 only." For which of ReLU, leaky ReLU, SELU '
        "and GELU is this true?",
        {
            "For all four": "Look at the variants left of 0: they were made to have another slope "
            "there.",
            "For ReLU and leaky ReLU": "To the left of 0 leaky ReLU has the slope 0.01. That is "
            "why it is called leaky.",
            "For ReLU alone": "All the others have other slopes, and those of SELU and GELU even "
            "exceed 1.",
        },
        right="For ReLU alone",
    )
    return selfcheck.predict(LABEL, question)


def figure_activations() -> None:
    """Draw every activation of the table, and its slope."""
    _, panels = plt.subplots(5, 2, figsize=(5.2, 6.8), sharex=True, sharey=True)
    z = np.linspace(-4, 4, 801)
    for axes, name in zip(panels.flat, LISTED, strict=True):
        axes.plot(z, activations.function(name)(z), color=plots.COLOURS[0], label="output φ(z)")
        slope = np.asarray(activations.slope(name, z))
        axes.plot(z, slope, "--", color=plots.COLOURS[3], label="slope φ′(z)")
        axes.set_title(activations.ACTIVATIONS[name].label, fontsize=10)
    panels[0, 0].set(xlim=(-4, 4), ylim=(-1.8, 2.4), xticks=[-4, 0, 4], yticks=[-1, 0, 1, 2])
    for axes in panels[-1]:
        axes.set_xlabel("z")
    panels[0, 0].legend(loc="lower right", fontsize=8)


# Exercises


def disguised(net: nets.Net) -> nets.Net:
    """The sigmoid net that computes what a tanh net without biases computes.

    Args:
        net: The tanh net, stacked, as the result is.
    """
    first, *others = [layer.w for layer in (*nets.unstack(net).layers, net.readout)]
    biases = [jnp.zeros(len(first)), *(-2 * w.sum(axis=1) for w in others)]
    weights = [2 * first, *(4 * w for w in others)]
    return nets.stack(nets.from_arrays(weights, biases, "sigmoid"))


# The text's numbers, and the questions


@cache
def numbers() -> dict[str, float]:
    """Numbers that the text says, by name."""
    sigmoid = {scale: at("sigmoid", scale) for scale in (1, 4, 8, 12)}
    edge, best = 2 * np.arctanh(0.9**0.5), longest()
    gelu, selu = values("gelu")[1], values("selu")[1]
    output = jax.nn.sigmoid
    return {
        "scale_1": sigmoid[1].factor,
        "scale_4": sigmoid[4].factor,
        "four_times": 4 * sigmoid[1].factor,
        "slope_4": sigmoid[4].factor / 4,
        "one": output(1.0),
        "rest": output(1000.0) - output(10.0),
        "edge": edge,
        "edge_tanh": edge / 2,
        "made": output(edge) - output(-edge),
        "best_w": best[0],
        "best": best[1],
        "first_4": sigmoid[4].saturated[0],
        "last_4": sigmoid[4].saturated[-1],
        "last_8": sigmoid[8].saturated[-1],
        "last_12": sigmoid[12].saturated[-1],
        "tanh_last": at("tanh", 1.5).saturated[-1],
        "gelu_low": gelu.min(),
        "gelu_high": gelu.max(),
        "selu": selu.max(),
    }


def questions() -> list[selfcheck.Question]:
    """The page's questions."""
    weights = np.linspace(4, 30, 105)
    selu = values("selu")[1].max()
    return [
        selfcheck.number(
            "A sigmoid unit has one input, with the weight 10. What is the largest factor by which "
            "it can multiply a signal?",
            2.5,
            right="The largest slope, a quarter, times 10. It reaches this for a narrow range of "
            "inputs only.",
            small="The slope is at most a quarter, and the weight multiplies it.",
            large="The weight counts, but so does the slope, which is at most a quarter.",
        ),
        selfcheck.choice(
            "A sigmoid unit puts out nearly 1 for every example. Which change brings its slope "
            "back?",
            {
                "Larger weights": "They move z farther out, where the sigmoid is flatter still.",
                "A bias that moves z toward 0": "The slope is largest at z = 0. This unit's inputs "
                "may be fine; only its z is too large.",
                "A higher learning rate": "Its gradient has this tiny slope as a factor, so even "
                "long steps hardly move it.",
            },
            right="A bias that moves z toward 0",
        ),
        selfcheck.curve(
            "For which inputs a is the factor of a sigmoid unit at least 1? Which curve is the "
            "length of that range, against the weight?",
            weights,
            {"A": 0.9 * (1 - 4 / weights), "B": interval(weights), "C": 1.8 / weights},
            {
                "A": "In z the range does get longer and longer. But a is z divided by w, and in "
                "the end that wins.",
                "B": "At 4 only one point qualifies. Then the range widens, and soon the division "
                "by w makes it narrower again.",
                "C": "At a weight of 4 the slope must be a full quarter, which it is at one point "
                "only.",
            },
            right="B",
            xlabel="weight w",
            ylabel="length of the range",
        ),
        selfcheck.choice(
            "With weights of size 1, which of these units can make a signal larger?",
            {
                "sigmoid": "Its slope is at most 0.25.",
                "tanh": "Its slope is at most 1: it can keep a signal, at z = 0, and no more.",
                "ReLU": "Its slope is 0 or 1: it passes a signal on or stops it.",
                "SELU": f"Its slope reaches {selu:.2f} to the right of 0.",
            },
            right="SELU",
        ),
        selfcheck.number(
            "The slope of a sigmoid is h (1 - h), where h is its output. A unit puts out 0.98. "
            "Which share of the largest slope is left to it?",
            0.98 * 0.02 / 0.25,
            right="Less than a tenth, so by the rule of this page the unit is saturated.",
            small="This is h (1 - h), or less. Divide it by the largest slope, 0.25.",
            large="Take 0.98 times 0.02, and divide by the largest slope, 0.25.",
        ),
    ]
