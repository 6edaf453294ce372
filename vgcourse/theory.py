"""The page on what theory predicts: its experiments, figures, explorer and questions.

The prediction is `vgkit.theory`'s; here are the random networks that it is compared with.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

import ipywidgets as widgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes

from vgcourse import diagrams, selfcheck
from vgkit import activations, explore, grads, nets, plots
from vgkit import theory as mean_field

Number = int | float | Array
LABEL = "causes-theory"
WIDTH, DEPTH = 128, 50


class Pair(NamedTuple):
    """An activation with an initialiser.

    Attributes:
        init: Name of the initialiser.
        gain: Its σ_w.
        label: What figures call the pair.
    """

    init: str
    gain: float
    label: str


PAIRS = {
    "sigmoid": Pair("glorot_normal", 1.0, "sigmoid, Glorot"),
    "tanh": Pair("glorot_normal", 1.0, "tanh, Glorot"),
    "gelu": Pair("he_normal", 2**0.5, "GELU, He"),
    "selu": Pair("lecun_normal", 1.0, "SELU, LeCun"),
    "relu": Pair("he_normal", 2**0.5, "ReLU, He"),
}
INKS = dict(zip(PAIRS, (*plots.COLOURS, "#808080"), strict=True))
"""One colour for each activation in all the figures."""


# Random networks


def draw(
    key: Array, name: str, init: str, width: int = WIDTH, depth: int = DEPTH
) -> tuple[nets.Net, Float[Array, " width"]]:
    """A random net with one output, and a random input of mean square 1.

    Args:
        key: Of weights and input.
        name: Activation.
        init: Initialiser.
        width: Of the input and of every hidden layer.
        depth: Hidden layers.
    """
    key_net, key_x = jax.random.split(key)
    net = nets.mlp(key_net, (width,) * (depth + 1) + (1,), name, init=init, stacked=True)
    x = jax.random.normal(key_x, (width,))
    return net, x / grads.rms(x)


def _signals(net: nets.Net, x: Array) -> grads.Signals:
    """What runs back where the loss is the output itself."""
    return grads.signals(net, x[None], jnp.zeros(1), loss=lambda output, _: output[0])


def left(net: nets.Net, x: Float[Array, " width"]) -> Float[Array, " layers"]:
    """Error signal of every hidden layer over that of the last one; all 0 if that is 0."""
    size = _signals(net, x).error_norms[:-1]
    return jnp.where(size[-1] > 0, size / size[-1], 0.0)


@partial(jax.jit, static_argnames=("name", "init", "width", "depth"))
def _left(keys: Array, name: str, init: str, width: int, depth: int) -> Array:
    return jax.lax.map(lambda key: left(*draw(key, name, init, width, depth)), keys)


@cache
def measured(name: str) -> Float[np.ndarray, "nets layers"]:
    """`left` of twelve nets of one of `PAIRS`."""
    keys = jax.random.split(jax.random.key(0), 12)
    return np.asarray(_left(keys, name, PAIRS[name].init, WIDTH, DEPTH))


@cache
def predicted(name: str) -> mean_field.Prediction:
    """What theory predicts of one of `PAIRS`."""
    gains = mean_field.gains((WIDTH,) * (DEPTH + 1) + (1,), PAIRS[name].init)
    return mean_field.predict(name, *gains, WIDTH)


def predict_gelu() -> selfcheck.Quiz:
    """Ask what He initialisation leaves to a GELU net."""
    question = selfcheck.power(
        "50 hidden layers of 128 GELU units, He initialisation. How much of the last hidden "
        "layer's error signal does layer 1 get in a typical net?",
        np.median(measured("gelu")[:, 0]),
        (-12, 0),
        right="About five millionths. The net of GELUs loses almost everything.",
        small="A little more is left, about five millionths.",
        large="Less is left, about five millionths.",
    )
    return selfcheck.predict(LABEL, question)


def _draw_nets(axes: Axes, name: str) -> None:
    """Median and range of what is measured of a pair, in its own colour."""
    layer, rows, ink = 1 + np.arange(DEPTH), measured(name), INKS[name]
    middle, marker = np.median(rows, axis=0), dict(zip(PAIRS, "os^Dv", strict=True))[name]
    axes.plot(layer, middle, color=ink, marker=marker, markersize=4, label=PAIRS[name].label)
    axes.fill_between(layer, rows.min(axis=0), rows.max(axis=0), color=ink, alpha=0.2, lw=0)
    axes.set(yscale="log", xlabel="layer (1 is nearest the input)", xticks=(1, 10, 20, 30, 40, 50))


def figure_surprise() -> None:
    """Draw the error signals of ReLU and GELU nets."""
    _, axes = plt.subplots(figsize=(5.2, 3.4))
    for name in ("relu", "gelu"):
        _draw_nets(axes, name)
    axes.set(ylabel="error signal / that of layer 50", ylim=(1e-8, 1e2))
    axes.legend(loc="lower right")


# One layer


def picture_layer() -> diagrams.Diagram:
    """What theory follows through one layer: a length forward, an error signal back."""
    return diagrams.one_layer()


LENGTHS = np.geomspace(1e-3, 1e2, 60)


@partial(jax.jit, static_argnames="name")
def factor(
    length: Float[Array | np.ndarray, "..."] | float, name: str, gain: Number
) -> Float[Array, "..."]:
    """What a wide random layer multiplies the error signal by, in theory.

    Args:
        length: Mean square of the layer's pre-activations.
        name: Activation.
        gain: σ_w.
    """
    chi = jnp.vectorize(lambda q: mean_field.chi_1(q, name, gain))
    return jnp.sqrt(chi(jnp.asarray(length, float)))


def figure_slope() -> None:
    """Draw the slope of GELU, and the pre-activations of a long and of a short length."""
    _, axes = plt.subplots(figsize=(5.2, 3.2))
    z = np.linspace(-4, 4, 400)
    axes.plot(z, activations.slope("gelu", z), color=INKS["gelu"], label="slope of GELU")
    for length, style in ((2.0, "--"), (0.05, ":")):
        bell = np.exp(-(z**2) / (2 * length))
        axes.plot(z, bell, "k", ls=style, lw=1.4, label=f"how often: length {length:g}")
        axes.fill_between(z, bell, color="k", alpha=0.06, lw=0)
    axes.set(xlabel="pre-activation z", ylim=(-0.2, 1.7), yticks=(0, 0.5, 1))
    axes.legend(loc="upper left")


def predict_pairs() -> selfcheck.Quiz:
    """Ask which pairs have a factor of exactly 1 in deep layers."""
    question = selfcheck.choice(
        "In which of the five nets does the factor of deep layers come to exactly 1?",
        {
            "ReLU with He alone": "This is one of them. But look at tanh near the length 0, where "
            "it is the identity.",
            "ReLU with He, and tanh with Glorot": "ReLU at any length, and tanh at the length 0, "
            "which it comes close to.",
            "ReLU with He, and SELU with LeCun": "SELU keeps the length, but its factor there is "
            "a little above 1.",
        },
        right="ReLU with He, and tanh with Glorot",
    )
    return selfcheck.predict(LABEL, question)


def figure_factor() -> None:
    """Draw the factor against the length, with a dot where a net settles; ReLU keeps any length."""
    figure, axes = plt.subplots(figsize=(5.2, 4))
    for (name, pair), style in zip(PAIRS.items(), ("-", "--", "-", "-.", ":"), strict=True):
        curve = factor(LENGTHS, name, pair.gain)
        axes.plot(LENGTHS, curve, color=INKS[name], ls=style, label=pair.label)
        if name != "relu":
            settled = max(float(deep(name, pair.gain, 0.0).length), LENGTHS[0])
            axes.plot(settled, factor(settled, name, pair.gain), "o", color=INKS[name])
    axes.set(xscale="log", xlabel="length q of the pre-activations", ylabel="factor of a layer")
    axes.set(ylim=(0, 1.5), yticks=np.arange(0, 1.6, 0.25))
    figure.legend(ncols=2, loc="outside lower center")


def figure_predicted() -> None:
    """Draw what theory predicts over what random nets do."""
    _, axes = plt.subplots(figsize=(5.2, 4))
    for name in list(PAIRS)[:4]:
        _draw_nets(axes, name)
        expected = predicted(name).error_signal
        axes.plot(1 + np.arange(DEPTH), expected, "k--", lw=1.2, zorder=3)
    axes.plot([], [], "k--", lw=1.2, label="theory")
    axes.set(ylim=(1e-9, 1e4), ylabel="error signal / that of layer 50")
    axes.legend(ncols=2, loc="upper left")


# The assumption of independence

READOUTS = ("random", "equal")
TWENTY, WIDE = 20, 256


def with_readout(
    readout: str, width: int = 1000, depth: int = 2, seed: int = 0
) -> tuple[nets.Net, Float[Array, " width"]]:
    """A ReLU net with He initialisation and an input, as `draw` makes them.

    Args:
        readout: "random" for the usual weights of the output; "equal" for weights that all are 1,
            so that the output is the sum of the last layer.
        width: Of every layer.
        depth: Hidden layers.
        seed: Of the random numbers.
    """
    return _with_readout(jax.random.key(seed), readout, width, depth)


def _with_readout(key: Array, readout: str, width: int, depth: int) -> tuple[nets.Net, Array]:
    net, x = draw(key, "relu", "he_normal", width, depth)
    if readout == "equal":
        net = net.replace(readout=net.readout.replace(w=jnp.ones_like(net.readout.w)))
    return net, x


def both_ways(
    net: nets.Net, x: Float[Array, " width"]
) -> tuple[Float[Array, "layers units"], Float[Array, "layers units"]]:
    """Pre-activations and error signals of all hidden units, where the loss is the output.

    Args:
        net: A stacked net with one output.
        x: One input.
    """
    return nets.intermediates(net, x)[0].z, _signals(net, x).error_signals.hidden[:, 0]


@cache
def by_readout(readout: str, width: int = WIDE) -> Float[np.ndarray, "nets layers"]:
    """`left` of eight wide ReLU nets of 20 layers.

    Args:
        readout: One of `READOUTS`.
        width: Of every layer.
    """
    keys = jax.random.split(jax.random.key(3), 8)
    return np.asarray(_by_readout(keys, readout, width))


@partial(jax.jit, static_argnames=("readout", "width"))
def _by_readout(keys: Array, readout: str, width: int) -> Array:
    return jax.lax.map(lambda key: left(*_with_readout(key, readout, width, TWENTY)), keys)


def predict_readout() -> selfcheck.Quiz:
    """Ask what a readout with equal weights does to the error signal."""
    question = selfcheck.choice(
        "For ReLU with He the formula says 1, and it does not mention the readout. What does the "
        "error signal really do on its way back through 20 layers, if all weights of the readout "
        "are equal?",
        {
            "It shrinks": "It would if the units that are on got less than their share. They get "
            "more.",
            "It keeps its size": "That would be so if what arrives at a unit had nothing to do "
            "with its slope. With equal weights it has.",
            "It grows": "More arrives at the units that are on, so more passes than theory says.",
        },
        right="It grows",
    )
    return selfcheck.predict(LABEL, question)


def figure_readout() -> None:
    """Draw the error signals of nets with random and with equal readouts."""
    _, axes = plt.subplots(figsize=(5.2, 3.4))
    for colour, readout in enumerate(READOUTS):
        layer, rows = 1 + np.arange(TWENTY), by_readout(readout)
        plots.spread(axes, layer, rows, f"{readout} readout", colour, marker="os"[colour])
    axes.axhline(1, color="k", ls="--", label="theory")
    axes.set(xlabel="layer (1 is nearest the input)", ylabel="error signal / that of layer 20")
    axes.set(ylim=(0, None), xticks=(1, 5, 10, 15, 20))
    axes.legend()


# The edge of chaos

NAMES = ("sigmoid", "tanh", "relu", "selu", "gelu", "softplus")
BIASES = (0.0, 0.1, 0.5)
GAINS = (0.8, 1, 1.2, 2**0.5, 1.55, 2, 3, 4)
FAR = 1e9
"""A length so large that a longer one changes no factor."""
CLOSE = 0.002
"""How far from 1 a factor may be that the explorer takes for 1."""


class Deep(NamedTuple):
    """Deep layers of an infinitely wide net, whose input has a mean square of 1.

    Attributes:
        length: Where the length settles; infinite if it grows without end.
        factor: What a layer multiplies the error signal by there, or in the end.
        percent: By how many percent that makes the signal larger or smaller.
        sentence: Position in `OUTCOMES`.
    """

    length: Float[Array, ""]
    factor: Float[Array, ""]
    percent: Float[Array, ""]
    sentence: Array


OUTCOMES = (
    "settles, vanishes",
    "settles, factor 1",
    "settles, explodes",
    "grows, factor 1",
    "grows, explodes",
)
"""What becomes of the length in deep layers, and what a layer does to the error signal there."""


@partial(jax.jit, static_argnums=0)
def deep(phi: str | activations.Function, gain: Number, sigma_b: Number) -> Deep:
    """Where deep layers arrive.

    Args:
        phi: Activation.
        gain: σ_w.
        sigma_b: Standard deviation of the biases.
    """
    # A net that keeps any length keeps that of layer 1.
    first = jnp.asarray(gain**2 + sigma_b**2, float)
    stays = jnp.isclose(mean_field.length_map(first, phi, gain, sigma_b), first, rtol=1e-12)
    length = jnp.where(stays, first, mean_field.fixed_point(phi, gain, sigma_b))
    settles = jnp.isfinite(length)
    end = jnp.sqrt(mean_field.chi_1(jnp.where(settles, length, FAR), phi, gain))
    is_1 = jnp.abs(end - 1) < CLOSE
    sentence = explore.first_true(settles & ~is_1 & (end < 1), settles & is_1, settles, is_1)
    return Deep(length, end, 100 * jnp.abs(end - 1), sentence)


class Keeping(NamedTuple):
    """The gain at which deep layers keep the error signal.

    Attributes:
        gain: σ_w.
        settles: Whether their length settles there.
    """

    gain: float
    settles: bool


def keeping(name: str, sigma_b: float) -> Keeping | None:
    """The gain with a factor of 1, or None where there is none to which nets settle.

    Args:
        name: Activation.
        sigma_b: Standard deviation of the biases.
    """
    if np.ptp(factor(LENGTHS, name, 1.0)) < 1e-9:  # straight pieces that meet at 0
        return Keeping(1 / float(factor(1.0, name, 1.0)), sigma_b == 0)
    try:
        return Keeping(mean_field.edge_of_chaos(name, sigma_b).sigma_w, True)
    except ValueError:
        return None


@cache
def apart(gain: float) -> Float[np.ndarray, " layers"]:
    """RMS distance, layer by layer, that a wide tanh net makes of a distance of 0.01.

    Args:
        gain: σ_w; there are no biases.
    """
    width = 512
    x, step = (v / grads.rms(v) for v in jax.random.normal(jax.random.key(6), (2, width)))

    def layer(h: Array, key: Array) -> tuple[Array, Array]:  # its weights are not kept
        w = gain / width**0.5 * jax.random.normal(key, (width, width))
        h = jnp.tanh(h @ w)
        return h, grads.rms(h[0] - h[1])

    inputs, keys = jnp.stack([x, x + 0.01 * step]), jax.random.split(jax.random.key(5), DEPTH)
    return np.asarray(jax.lax.scan(layer, inputs, keys)[1])


def figure_chaos() -> None:
    """Draw how far two almost equal inputs are apart, before, on and beyond the edge."""
    _, axes = plt.subplots(figsize=(5.2, 3))
    for gain, style in ((2.0, "-"), (1.0, "--"), (0.9, ":")):
        label = f"gain {gain:g}" + ", the edge" * (gain == 1)
        axes.plot(1 + np.arange(DEPTH), apart(gain), "k", ls=style, label=label)
    axes.set(yscale="log", ylim=(1e-5, 20), xlabel="layer (1 is nearest the input)")
    axes.set(ylabel="distance of the outputs", xticks=(1, 10, 20, 30, 40, 50))
    axes.legend(loc="upper left", ncols=2)


def predict_edge() -> selfcheck.Quiz:
    """Ask whether the sigmoid has a gain that keeps the error signal."""
    question = selfcheck.choice(
        "With Glorot's gain of 1 a sigmoid layer keeps less than a quarter of the signal. Is there "
        "a gain at which it keeps all of it?",
        {
            "Yes, about 4, as its slope is at most ¼": "That would do if all slopes were ¼. Larger "
            "weights push units to where the slope is smaller.",
            "Yes, but it is much larger than 4": "About 10, because larger weights make the slopes "
            "smaller.",
            "No": "There is one, because the weights grow a little faster than the slopes shrink. "
            "But it is large.",
        },
        right="Yes, but it is much larger than 4",
    )
    return selfcheck.predict(LABEL, question)


def outside() -> float:
    """Share of sigmoid outputs beyond 0.01 and 0.99 at the edge of chaos."""
    length = mean_field.edge_of_chaos("sigmoid").length
    steep = np.log(99) / np.sqrt(length)
    return 1 - float(jax.scipy.special.erf(steep / 2**0.5))


# The explorer

MOST, WIDTHS = 30, (10, 40, 160)
SETTLES = "The length of deep layers settles at {length}. "
GROWS = "The length grows from layer to layer without end. "
WHERE = (
    " In theory layer 1 gets {predicted} times the last hidden layer's error signal, in this net "
    "{ratio} times."
)
SUMMARY = [
    sentence + WHERE
    for sentence in (
        SETTLES + "There each layer takes {percent} % of the error signal: it vanishes.",
        SETTLES + "There the factor of a layer is 1: the edge of chaos. Before it has settled, the "
        "factor may differ from 1.",
        SETTLES + "There each layer adds {percent} % to the error signal: it explodes.",
        GROWS + "In the end the factor of a layer is 1.",
        GROWS + "In the end each layer adds {percent} % to the error signal: it explodes.",
    )
]
"""A sentence for each of `OUTCOMES`."""


def _base(width: int) -> tuple[nets.Net, Array]:
    """A net of weights of gain 1 and biases of standard deviation 1, and an input."""
    key, key_b = jax.random.split(jax.random.key(7))
    net, x = draw(key, "tanh", "lecun_normal", width, MOST)
    biases = jax.random.normal(key_b, net.layers.b.shape)
    return net.replace(layers=net.layers.replace(b=biases)), x


def _scaled(
    base: tuple[nets.Net, Array],
    phi: activations.Function,
    gain: Number,
    sigma_b: Number,
) -> Array:
    """`left` of a net of `_base` with an activation, a gain and biases."""
    net, x = base
    layers = nets.Layer(gain * net.layers.w, sigma_b * net.layers.b)
    return left(net.replace(layers=layers, activation=phi), x)


def comparison(
    phis: Sequence[str | activations.Function] = NAMES,
) -> Callable[..., dict[str, Array]]:
    """One net beside the prediction, for the explorer.

    Args:
        phis: Activations in place of `NAMES`, as many.
    """
    bases = [_base(units) for units in WIDTHS]

    def compute(
        activation: Number, gain: Number, sigma_b: Number, width: Number
    ) -> dict[str, Array]:
        phi = activations.by_index(activation, phis)
        each = [partial(_scaled, base, phi) for base in bases]
        signal = jax.lax.switch(width, each, gain, sigma_b)
        gains = jnp.full(MOST, 1.0 * gain**2)
        units = jnp.array(WIDTHS)[width]
        theory = mean_field.predict(phi, gains, gains, units, sigma_b=sigma_b)
        middle = theory.error_signal * jnp.exp(-theory.log_variance / 4)
        reach = jnp.exp(1.2816 * jnp.sqrt(theory.log_variance) / 2)  # 80 % of a normal variable
        return {
            "signal": signal,
            "theory": theory.error_signal,
            "low": middle / reach,
            "high": middle * reach,
            "ratio": signal[0],
            "predicted": theory.error_signal[0],
            **deep(phi, gain, sigma_b)._asdict(),
        }

    return compute


def with_activation(phi: activations.Function) -> Callable[..., dict[str, Array]]:
    """For readers: the explorer's numbers with an activation of their own, whichever is chosen.

    Args:
        phi: A function of z that JAX can differentiate.
    """
    return comparison((phi,) * len(NAMES))


@cache
def explorer() -> explore.Explorer:
    """A net of any activation, gain, biases and width beside the prediction."""
    series, labels = explore.series, [activations.ACTIVATIONS[name].label for name in NAMES]
    gains = [("√2" if gain == 2**0.5 else f"{gain:g}", gain) for gain in GAINS]
    return explore.Explorer(
        "Net and theory",
        comparison(),
        controls={
            "activation": widgets.Dropdown(
                options=list(zip(labels, NAMES, strict=True)),
                value="tanh",
                description="Activation",
            ),
            "gain": widgets.SelectionSlider(options=gains, value=1, description="Gain σ_w"),
            "sigma_b": widgets.ToggleButtons(
                options=[(f"{sigma:g}", sigma) for sigma in BIASES], description="Biases σ_b"
            ),
            "width": widgets.ToggleButtons(
                options=[(str(units), number) for number, units in enumerate(WIDTHS)],
                value=1,
                description="Width",
            ),
        },
        views=[
            explore.chart(
                [
                    series("low", "Four of five nets", "band", upper="high", colour=3),
                    series("signal", "Error signal of this net", colour=1),
                    series("theory", "Theory", marker=False, dash=True, colour=3),
                ],
                x={"label": "Layer (1 is nearest the input)", "name": "layer", "start": 1},
                y={"label": "Error signal / that of layer 30", "scale": "log"},
                summary=SUMMARY,
            )
        ],
        presets={
            "Tanh, on the edge": {"activation": "tanh", "gain": 1.55, "sigma_b": 0.5},
            "Tanh, exploding": {"activation": "tanh", "gain": 2, "sigma_b": 0.0},
            "ReLU with biases": {
                "activation": "relu",
                "gain": 2**0.5,
                "sigma_b": 0.5,
                "width": 2,
            },
        },
    )


# Finite width

NARROW = {10: 2000, 64: 200, 160: 100}
"""Widths of ReLU nets, and how many of them are drawn."""


@cache
def narrow(width: int) -> Float[np.ndarray, " nets"]:
    """What layer 1 keeps of the signal in many ReLU nets of 30 layers with He initialisation.

    Args:
        width: One of `NARROW`.
    """
    keys = jax.random.split(jax.random.key(10), NARROW[width])
    return np.asarray(_left(keys, "relu", "he_normal", width, MOST))[:, 0]


def predict_narrow() -> selfcheck.Quiz:
    """Ask what a narrow net keeps though its factor is 1."""
    question = selfcheck.choice(
        "ReLU, He initialisation, 30 layers of only 10 units. How much of the last hidden layer's "
        "error signal does layer 1 get in a typical net?",
        {
            "About all of it": "The mean square is kept, but a few nets with a very large signal "
            "make most of this mean. The typical net is not among them.",
            "About a half": "It is less. That is about what nets of 64 units keep.",
            "About a fiftieth": "The factors of 30 narrow layers scatter widely around 1, and a "
            "product of such factors is mostly small.",
        },
        right="About a fiftieth",
    )
    return selfcheck.predict(LABEL, question)


# The text's numbers, and the questions


@cache
def numbers() -> dict[str, float]:
    """Numbers that the text says, by name."""
    return {
        "relu_50": np.median(measured("relu")[:, 0]),
        "gelu_50": np.median(measured("gelu")[:, 0]),
        **{
            f"factor_{name}": deep(name, PAIRS[name].gain, 0.0).factor
            for name in ("sigmoid", "gelu", "selu")
        },
        **{
            f"equal_{width}": np.median(by_readout("equal", width)[:, 0])
            for width in (WIDE, 2 * WIDE)
        },
        **{
            f"edge_{name}_{number}": keeping(name, sigma_b).gain
            for name in ("sigmoid", "tanh", "selu")
            for number, sigma_b in enumerate(BIASES)
        },
        "edge_gelu_2": keeping("gelu", BIASES[2]).gain,
        "outside": outside(),
        **{f"narrow_{width}": np.median(narrow(width)) for width in NARROW},
        **{f"law_{width}": np.exp(-5 * (MOST - 1) / width / 4) for width in NARROW},
        "off": np.mean(narrow(10) == 0),
    }


def questions() -> list[selfcheck.Question]:
    """The page's questions."""
    ones, layer = jnp.ones(DEPTH), np.arange(1, DEPTH + 1)
    by_gain = {
        gain: mean_field.predict("tanh", gain**2 * ones, gain**2 * ones, WIDTH).error_signal
        for gain in (0.9, 1.0, 1.5)
    }
    return [
        selfcheck.number(
            "In a paper you read that a wide net has χ = 0.64. By which factor does one of its "
            "layers change the size of the error signal?",
            0.8,
            tolerance=0.01,
            right="χ belongs to the squared signal, so the factor is its root.",
            small="The square of the signal has the factor 0.64. Its size has the root of that.",
            large="The square of the signal has the factor 0.64. Its size has the root of that.",
        ),
        selfcheck.curve(
            "Here is what theory predicts for three tanh nets of 50 layers without biases, with "
            "gains a little below 1, just 1 and above 1. Which of them is on the edge of chaos?",
            layer,
            {"A": by_gain[0.9], "B": by_gain[1.5], "C": by_gain[1.0]},
            {
                "A": "Beyond the first layers it falls along a straight line: a constant factor "
                "below 1. This net is on the vanishing side.",
                "B": "It grows on its way to the input. This net is on the exploding side.",
                "C": "It falls ever more slowly, because the factor comes closer and closer to 1.",
            },
            right="C",
            xlabel="layer (1 is nearest the input)",
            ylabel="error signal / that of layer 50",
            log=True,
        ),
        selfcheck.number(
            "A new activation has φ(0) = 0 and, near 0, the slope 0.8. Its nets settle at the "
            "length 0. With which gain is the factor exactly 1 there?",
            1 / 0.8,
            tolerance=0.01,
            right="At the length 0 every slope is 0.8, and the gain has to make up for it.",
            small="The factor is the gain times the slope, and the slope is below 1.",
            large="Gain times slope must be 1, so the gain is 1 / 0.8.",
        ),
        selfcheck.choice(
            "All inputs of a net are multiplied by 10, so layer 1 works at a length 100 times as "
            "large. What becomes of its factor?",
            {
                "With ReLU it stays, with tanh it falls": "ReLU's slopes depend on the sign of z "
                "only. Tanh is driven to where it is flat.",
                "With both it becomes ten times as large": "The inputs are not part of the factor. "
                "They act on it through the slopes alone.",
                "With both it falls, because units saturate": "ReLU has a slope of 1 for every "
                "positive z, however large.",
            },
            right="With ReLU it stays, with tanh it falls",
        ),
        selfcheck.choice(
            "ReLU nets with He initialisation, 30 layers of 40 units, scatter around the "
            "prediction. Which nets scatter about as much?",
            {
                "60 layers of 40 units": "More layers bring more random factors, so these scatter "
                "more.",
                "60 layers of 80 units": "What counts is depth divided by width, and that is the "
                "same.",
                "30 layers of 80 units": "Wider layers average over more units, so these scatter "
                "less.",
            },
            right="60 layers of 80 units",
        ),
        selfcheck.choice(
            "For which of these nets may the prediction be wrong although its layers are very "
            "wide?",
            {
                "For one that was just drawn": "This is the net that theory is made for.",
                "For one that has been trained": "Training makes the weights depend on each other "
                "and on the data, so they are no longer drawn at random.",
                "For one with small weights": "The size of the weights is part of the theory: it "
                "is the gain.",
            },
            right="For one that has been trained",
        ),
    ]
