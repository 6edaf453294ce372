"""The chapter on depth: its experiments, figures, explorer and questions."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

import ipywidgets as widgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Float

from vgcourse import charts, profiles, results, selfcheck
from vgcourse.chain_rule import batch, factor_per_layer, seeds
from vgkit import activations, data, explore, grads, nets, plots

LABEL = "depth"
PAIRS = {"sigmoid": "glorot_normal", "tanh": "glorot_normal", "relu": "he_normal"}
"""Activations of the page's nets with their initialisers."""
LABELS = {"sigmoid": "sigmoid, Glorot", "tanh": "tanh, Glorot", "relu": "ReLU, He"}
STYLES = {
    "sigmoid": {"color": "#000000", "marker": "o"},
    "tanh": {"color": plots.COLOURS[3], "marker": "s"},
    "relu": {"color": "#808080", "marker": "^"},
}
"""How the nets are drawn; blue, orange and green are signals and gradients."""
DEEPEST = 50
DEPTHS = (2, 5, 10, 20, 30, 40, DEEPEST)
MANY = 32
"""Networks over which factors are averaged."""
SMALL = (3 * 64) ** -0.5
"""Standard deviation of weights between the limits -1/√64 and 1/√64 that were once common."""


# How much is left


def draw(key: Array, name: str, init: str, std: float | None = None) -> nets.Net:
    """A net of 50 hidden layers of 64 units, in one array, whose depth can be set."""
    widths = (64,) * (DEEPEST + 1) + (10,)
    return nets.mlp(key, widths, name, init=init, std=std, stacked=True)


@partial(jax.jit, static_argnames="name")
def shares_of(keys: Array, depths: Array, name: str) -> Float[Array, "seeds depths"]:
    """Error signal of layer 1 over that of the last hidden layer.

    Args:
        keys: One for each network.
        depths: Hidden layers, at most 50.
        name: One of `PAIRS`.
    """

    def at(key: Array, depth: Array) -> Array:
        return share(draw(key, name, PAIRS[name]), depth)

    return jax.lax.map(lambda key: jax.lax.map(partial(at, key), depths), keys)


@jax.jit  # one compilation of a net serves all its depths, and all seeds
def share(net: nets.Net, depth: int | Array) -> Float[Array, ""]:
    """For readers: the same of one net of `draw`."""
    return sizes(net.replace(depth=depth)).ratio


def sizes(net: nets.Net) -> grads.Signals:
    """For readers: error signals and gradients of a net on the page's digits."""
    return grads.signals(net, *batch())


@cache
def shares() -> dict[str, Float[np.ndarray, "seeds depths"]]:
    """`shares_of` the page's networks at `DEPTHS`."""
    return {name: np.asarray(shares_of(seeds(), jnp.array(DEPTHS), name)) for name in PAIRS}


@cache
def factors() -> dict[str, Float[np.ndarray, " layers"]]:
    """Factor of every layer in nets of 50 layers: geometric mean over `MANY` networks.

    The first number is what the signal is multiplied by from layer 2 to layer 1.
    """
    return {name: np.asarray(_factors(name)) for name in PAIRS}


@partial(jax.jit, static_argnames="name")
def _factors(name: str) -> Float[Array, " layers"]:
    def logs(key: Array) -> Array:
        return jnp.log(sizes(draw(key, name, PAIRS[name])).error_norms[:-1])

    each = jax.lax.map(logs, jax.random.split(jax.random.key(1), MANY))
    return jnp.exp(-jnp.diff(each.mean(axis=0)))


def predict_tanh() -> selfcheck.Quiz:
    """Ask what is left after 50 layers once the sigmoid is replaced by tanh."""
    question = selfcheck.power(
        "We replace the sigmoid by tanh and change nothing else. How much of the error signal is "
        "left after 50 layers?",
        np.median(shares()["tanh"][:, -1]),
        (-31, 0),
        right="About a tenth. Nearly all of the loss was the sigmoid's doing.",
        small="More is left: about a tenth. Depth alone does not make a gradient vanish.",
        large="A little less is left: about a tenth.",
        decades=0.5,
    )
    return selfcheck.predict(LABEL, question)


def figure_shares() -> None:
    """Draw what is left at layer 1 against the depth."""
    _, axes = plt.subplots(figsize=(5.2, 3.4))
    for name, left in shares().items():
        axes.plot(DEPTHS, np.median(left, axis=0), label=LABELS[name], markersize=4, **STYLES[name])
        band = {"color": STYLES[name]["color"], "alpha": 0.2, "lw": 0}
        axes.fill_between(DEPTHS, left.min(axis=0), left.max(axis=0), **band)
    axes.set(yscale="log", xlabel="hidden layers", ylabel="error signal, layer 1 / last")
    axes.legend(loc="lower left", title="median and range of 8 nets")


def predict_exponential() -> selfcheck.Quiz:
    """Ask which net loses the same factor with every layer."""
    question = selfcheck.choice(
        "In which of the three nets does every layer multiply the error signal by the same factor, "
        "clearly below 1, so that it falls exponentially?",
        {
            "In all three": "The tanh net's layers have different factors, and those of the ReLU "
            "net are about 1.",
            "In the sigmoid net and the tanh net": "The factors of the tanh net are not equal: the "
            "first layers lose most, and the later ones almost nothing.",
            "In the sigmoid net alone": "Its factor is the same in every layer. That of tanh "
            "climbs towards 1, and that of ReLU is about 1 everywhere.",
        },
        right="In the sigmoid net alone",
    )
    return selfcheck.predict(LABEL, question)


def figure_factors() -> None:
    """Draw the factor of every layer."""
    _, axes = plt.subplots(figsize=(5.2, 3.4))
    for name, factor in factors().items():
        layer = np.arange(1, DEEPEST)
        axes.plot(layer, factor, label=LABELS[name], markersize=3, **STYLES[name])
    axes.set(xlabel="layer (1 is nearest the input)", ylabel="factor of the layer", ylim=(0, 1.25))
    axes.set_xticks([1, 10, 20, 30, 40, 49])
    axes.legend(loc="center right", title=f"mean of {MANY} nets")


# The explorer

NAMES = ("sigmoid", "tanh", "relu", "gelu", "identity")
LAYERS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 30, 35, 40)
STARTS = {
    "Glorot": ("glorot_normal", None),
    "He": ("he_normal", None),
    "orthogonal": ("orthogonal", None),
    "normal, sd 1/√(3·64)": ("normal", SMALL),
    "normal, sd 1": ("normal", 1.0),
}
"""Initialisers of the explorer: name and standard deviation."""
UNITS = 5
"""Units of each layer that the picture shows."""


@cache
def explorer() -> explore.Explorer:
    """A digit in a net of any depth, activation, initialiser, with and without skips."""
    drawn = [
        nets.mlp(seeds()[0], (64,) * 41 + (10,), "sigmoid", init=init, std=std, stacked=True)
        for init, std in STARTS.values()
    ]
    digits = data.digits()
    one = profiles.one_example(drawn, digits.x_train[33], digits.y_train[33], units=UNITS)
    positions = jnp.array([profiles.ACTIVATIONS.index(name) for name in NAMES])

    def compute(
        depth: int | Array, activation: int | Array, initialiser: int | Array, skip: int | Array
    ) -> dict[str, Array]:
        result = one(depth, positions[activation], initialiser, skip)
        return result | {"skip": jnp.asarray(skip, float)}

    return explore.Explorer(
        "Depth",
        compute,
        controls={
            "depth": widgets.SelectionSlider(options=LAYERS, value=20, description="Hidden layers"),
            "activation": widgets.Dropdown(
                options=[(activations.ACTIVATIONS[name].label, name) for name in NAMES],
                value="sigmoid",
                description="Activation",
            ),
            "initialiser": widgets.Dropdown(options=list(STARTS), description="Initialiser"),
            "skip": widgets.ToggleButtons(options=["off", "on"], description="Skip connections"),
        },
        views=[charts.net(UNITS, skip="skip"), charts.signals("RMS over the units")],
    )


def with_activation(phi: activations.Function) -> Callable[..., dict[str, Array]]:
    """For readers: what the explorer shows of Glorot's net with an activation of their own."""
    net = nets.mlp(seeds()[0], (64,) * 41 + (10,), phi, stacked=True)
    digits = data.digits()
    x, y = digits.x_train[33], digits.y_train[33]

    def compute(depth: int | Array) -> dict[str, Array]:
        here = net.replace(depth=depth)
        units = grads.unit_signals(here, x, y, units=UNITS)
        signals = grads.signals(here, x[None], y[None])
        return profiles.arrays(signals) | units | {"skip": jnp.zeros(())}

    return compute


# The net that looks healthy


class LooksHealthy(NamedTuple):
    """Sizes in tanh nets of 30 layers with small weights, layer by layer (RMS).

    Attributes:
        signal: Error signal, dL/dz.
        inputs: What the layer gets from the layer before it.
        weights: Weight gradient, dL/dW.
    """

    signal: Float[Array | np.ndarray, "seeds layers"]
    inputs: Float[Array | np.ndarray, "seeds layers"]
    weights: Float[Array | np.ndarray, "seeds layers"]


@jax.jit
def looks_healthy_of(keys: Array) -> LooksHealthy:
    """Measure networks, one for each key."""
    x, y = batch()

    def one(key: Array) -> LooksHealthy:
        net = draw(key, "tanh", "normal", SMALL).replace(depth=30)
        signals = grads.signals(net, x, y)
        hidden = jax.vmap(lambda x: nets.intermediates(net, x)[0].h)(x)
        inputs = jnp.concatenate([x[:, None], hidden], axis=1)[:, :30]
        given = jax.vmap(grads.rms, in_axes=1)(inputs)
        return LooksHealthy(signals.error_norms[:30], given, signals.weight_norms[:30])

    return jax.lax.map(one, keys)


@cache
def looks_healthy() -> LooksHealthy:
    """`looks_healthy_of` the page's networks."""
    return jax.tree.map(np.asarray, looks_healthy_of(seeds()))


def predict_healthy() -> selfcheck.Quiz:
    """Ask what the error signal does where the weight gradients are level."""
    question = selfcheck.choice(
        "The weight gradients of layer 1 and layer 30 are about equally large. What about their "
        "error signals?",
        {
            "They are about equally large too": "That would be so if all layers got inputs of "
            "equal size. Here they do not.",
            "Layer 1 has about a tenth of layer 30's": "The right direction, but look at how small "
            "the weights are: every layer takes its share.",
            "Layer 1 has less than a millionth of layer 30's": "The error signal has vanished, and "
            "the weight gradient does not show it.",
        },
        right="Layer 1 has less than a millionth of layer 30's",
    )
    return selfcheck.predict(LABEL, question)


def figure_healthy() -> None:
    """Draw the error signal, the layers' inputs and the weight gradient."""
    _, axes = plt.subplots(figsize=(5.2, 3.8))
    result = looks_healthy()
    plots.layers(axes, result.signal, "error signal dL/dz", 1)
    plots.layers(axes, result.inputs, "input of the layer", 0)
    plots.layers(axes, result.weights, "weight gradient dL/dW", 2)
    axes.set_xticks([1, 5, 10, 15, 20, 25, 30])
    axes.set(ylabel="size (RMS)", ylim=(1e-10, 1e2))
    axes.legend(ncols=1, loc="upper center")


# Small, or zero?


def sixty_layers(name: str, bias: float) -> nets.Net:
    """A net of 60 layers with an activation, and the same bias for all its hidden units."""
    net = nets.mlp(seeds()[0], (64,) * 61 + (10,), name, stacked=True)
    return net.replace(layers=net.layers.replace(b=net.layers.b + bias))


SIXTY = {"sigmoid": 0.0, "relu": -10.0}
"""Nets of 60 layers with their bias; this one switches all ReLUs off."""


@cache
def first_gradients() -> dict[str, dict[str, float]]:
    """RMS of layer 1's weight gradient in the nets of `SIXTY`, by net and number format."""
    x, y = batch()
    rows = {}
    for name, bias in SIXTY.items():
        net = sixty_layers(name, bias)
        signals = {dtype: grads.signals(net, x, y, dtype=dtype) for dtype in grads.FORMATS}
        rows[name] = {dtype: float(each.weight_norms[0]) for dtype, each in signals.items()}
    return rows


def smallest() -> dict[str, float]:
    """The smallest positive number of each format; XLA on a CPU has subnormals in float16 alone."""
    return {
        "float16": float(jnp.finfo("float16").smallest_subnormal),
        "float32": float(jnp.finfo("float32").smallest_normal),
        "float64": float(jnp.finfo("float64").smallest_normal),
    }


# What depth is good for


def tent(x: Float[np.ndarray, " points"], layers: int) -> Float[np.ndarray, " points"]:
    """A ReLU net of two units in each layer, which folds the interval from 0 to 1 again and again.

    Args:
        x: Inputs from 0 to 1.
        layers: Hidden layers; each doubles the number of straight pieces.
    """
    for _ in range(layers):
        x = 2 * np.maximum(x, 0) - 4 * np.maximum(x - 0.5, 0)
    return x


def figure_tents(layers: Sequence[int] = (1, 2, 5)) -> None:
    """Draw what one, two and five layers of two units do."""
    _, panels = plt.subplots(1, len(layers), figsize=(5.2, 2.2), sharey=True)
    x = np.linspace(0, 1, 2**6 + 1)
    for axes, number in zip(panels, layers, strict=True):
        axes.plot(x, tent(x, number), color=plots.COLOURS[0], linewidth=1.4)
        axes.set(title=f"{number} layer{'s' * (number > 1)}", xlabel="input", xticks=[0, 1])
    for axes, number, marked in zip(
        panels, layers, ([0.3, 0.7], [0.2, 0.3, 0.7, 0.8]), strict=False
    ):
        heights = tent(np.array(marked), number)
        axes.plot(marked, heights, "o:", color=plots.COLOURS[1], markersize=5)
    panels[0].set(ylabel="output", yticks=[0, 1])


def accuracies(name: str, layers: int) -> Float[np.ndarray, " seeds"]:
    """Test accuracy after ten epochs of kept runs on the digits."""
    run = results.load("remedies")["runs"][name][str(layers)]
    return np.array(run["accuracy"])[:, -1]


def accuracy(name: str, layers: int) -> float:
    """Median of `accuracies`."""
    return float(np.median(accuracies(name, layers)))


# The text's numbers, and the questions


@cache
def numbers() -> dict[str, float]:
    """Numbers that the text says, by name."""
    left = {name: float(np.median(values[:, -1])) for name, values in shares().items()}
    factor, healthy, first = factors(), looks_healthy(), first_gradients()
    medians = jax.tree.map(lambda array: np.median(array, axis=0), healthy)
    return {
        "sigmoid_50": left["sigmoid"],
        "tanh_50": left["tanh"],
        "relu_50": left["relu"],
        "relu_least": shares()["relu"][:, -1].min(),
        "relu_most": shares()["relu"][:, -1].max(),
        "tanh_mean": left["tanh"] ** (1 / 49),
        "factor": factor_per_layer(),
        "tanh_early": factor["tanh"][0],
        "tanh_late": factor["tanh"][-10:].mean(),
        "weight_ratio": np.median(healthy.weights[:, 0] / healthy.weights[:, -1]),
        "signal_ratio": np.median(healthy.signal[:, 0] / healthy.signal[:, -1]),
        "input_ratio": np.median(healthy.inputs[:, -1] / healthy.inputs[:, 0]),
        "weight_size": medians.weights[0],
        "small": SMALL,
        "one_layer": accuracy("tanh, Glorot", 1),
        "ten_layers": accuracy("tanh, Glorot", 10),
        "thirty_layers": accuracy("tanh, Glorot", 30),
        **{
            f"{name}_{dtype}": size[dtype]
            for name, size in first.items()
            for dtype in ("float16", "float32", "float64")
        },
        **{f"smallest_{dtype}": size for dtype, size in smallest().items()},
    }


def questions() -> list[selfcheck.Question]:
    """The page's questions."""
    left, layer = round(float(np.median(shares()["tanh"][:, -1])), 3), np.arange(1, DEEPEST + 1)
    sizes = {name: np.append(factor, 1)[::-1].cumprod()[::-1] for name, factor in factors().items()}
    return [
        selfcheck.number(
            "A net has 20 hidden layers, and each passes on one half of the error signal. The last "
            "hidden layer has 0.001. What does layer 1 have?",
            0.001 * 0.5**19,
            right="From layer 20 to layer 1 the signal takes 19 steps.",
            small="Count the steps between 20 layers: there are 19.",
            large="Halve it once for every step from layer 20 to layer 1.",
        ),
        selfcheck.curve(
            "Here is the error signal itself in three nets, layer by layer. In which net is only "
            "about a tenth left at layer 1, although it does not fall exponentially?",
            layer,
            {"A": 0.95 ** (DEEPEST - layer), "B": sizes["relu"], "C": sizes["tanh"]},
            {
                "A": "This line is straight on a logarithmic axis, so every layer has the same "
                "factor (0.95). That is exponential.",
                "B": "It hardly falls: its factors are about 1. This is ReLU with He.",
                "C": "It bends: the layers near the input lose most. This is tanh with Glorot.",
            },
            right="C",
            xlabel="layer (1 is nearest the input)",
            ylabel="share of the last layer's",
            log=True,
        ),
        selfcheck.choice(
            "In some net the layers' outputs double from each layer to the next, going forward, "
            "and the error signal halves from each layer to the one before it. How does the weight "
            "gradient change, going backward?",
            {
                "It stays level": "That takes layer outputs that shrink going forward. Here both "
                "factors shrink going backward.",
                "It halves at every layer": "So does the error signal. The layer's input is the "
                "other factor, and it changes as well.",
                "It falls to a quarter at every layer": "It is the product of the error signal and "
                "the layer's input, and going backward both of them halve.",
            },
            right="It falls to a quarter at every layer",
        ),
        selfcheck.choice(
            "A gradient is 0.0 in float16, 0.0 in float32 and 3 × 10⁻⁶⁰ in float64. What do you "
            "conclude?",
            {
                "Some layer is switched off": "Then there would be no path, and no format could "
                "show anything but 0.",
                "There is a path, and the narrow formats end above its size": "This is underflow. "
                "The gradient has vanished, but the net is connected.",
                "3 × 10⁻⁶⁰ is a rounding error of float64": "Rounding errors are relative: a "
                "product of factors is as exact at 10⁻⁶⁰ as at 1.",
            },
            right="There is a path, and the narrow formats end above its size",
        ),
        selfcheck.number(
            f"At depth 50 the tanh net keeps {left} of its signal. Which factor, the same for each "
            "of the 49 steps, would leave as much?",
            left ** (1 / 49),
            tolerance=0.005,
            right="The 49th root. Small losses add up: this factor looks harmless. (The true ones "
            "differ from layer to layer.)",
            small="A loss of this size at each of 49 steps would leave less. The factor is a root, "
            "not a quotient.",
            large="So little a loss, 49 times over, would leave more.",
        ),
    ]
