"""The chapter on the chain rule: its experiments, figures, explorer and questions."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import ipywidgets as widgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Float

from vgcourse import diagrams, profiles, selfcheck
from vgkit import activations, data, explore, grads, nets, plots

Number = int | float
LABEL = "chain-rule"
NAMES = list(profiles.ACTIVATIONS)
LONGEST = 12
"""Neurons of the explorer's longest chain."""
WEIGHTS, INPUT, TARGET = (1.0, 2.0, 3.0), 1.0, 0.0
"""The chain that is worked by hand; chosen so that two digits suffice all the way."""
LAYER = np.array([[1.0, 2.0, -1.0], [2.0, -1.0, 1.0]]), np.array([0.5, 0.25, 1.0])
"""Weights and inputs of the layer whose Jacobian is drawn."""


def seeds() -> Array:
    """The keys of the page's networks."""
    return jax.random.split(jax.random.key(0), 8)


def batch() -> tuple[Array, Array]:
    """32 digits and their labels."""
    digits = data.digits()
    return digits.x_train[:32], digits.y_train[:32]


# Which layer starves?


@cache
def error_sizes() -> Float[np.ndarray, "seeds layers"]:
    """RMS of the error signal at every hidden layer of fresh sigmoid nets of 20 layers."""
    x, y = batch()

    def of(key: Array) -> Array:
        net = nets.mlp(key, (64,) * 21 + (10,), "sigmoid", stacked=True)
        return grads.signals(net, x, y).error_norms[:-1]

    return np.array(jax.lax.map(of, seeds()))


def factor_per_layer() -> float:
    """By which factor such a net multiplies the error signal, layer by layer: median of seeds."""
    decades = jax.vmap(grads.decades_per_layer)(jnp.asarray(error_sizes()))
    return 10 ** -float(jnp.median(decades))


def picture_network() -> diagrams.Diagram:
    """A network and what runs through it, with the first digit at its input."""
    digit = np.asarray(batch()[0][0]).reshape(8, 8)
    return diagrams.network((digit - digit.min()) / np.ptp(digit))


def predict_starving() -> selfcheck.Quiz:
    """Ask how much of the error signal gets through 19 layers."""
    sizes = error_sizes()
    question = selfcheck.power(
        "How much of layer 20's error signal is left when it arrives at layer 1?",
        np.median(sizes[:, 0] / sizes[:, -1]),
        (-20, 0),
        right="About a millionth of a millionth. Each of 19 layers takes its share, and shares "
        "multiply.",
        small="A little more is left: about a millionth of a millionth.",
        large="Far less is left: about a millionth of a millionth. Each of 19 layers takes its "
        "share, and shares multiply.",
    )
    return selfcheck.predict(LABEL, question)


def figure_starving() -> None:
    """Draw the error signal layer by layer."""
    _, axes = plt.subplots(figsize=(5.2, 3.3))
    plots.layers(axes, error_sizes(), "median and range of 8 networks", colour=1)
    axes.set_ylabel("error signal dL/dz (RMS)")
    axes.set_xticks([1, 5, 10, 15, 20])
    axes.legend()


# A chain of three neurons


class Worked(NamedTuple):
    """All numbers of the chain that is worked by hand, neuron by neuron.

    Attributes:
        h: The input, then each neuron's output.
        loss: Half of the squared error.
        slopes: Of each neuron.
        delta: Error signal of each neuron; it is the gradient of its bias too.
        by_weight: Gradient of each weight.
    """

    h: list[float]
    loss: float
    slopes: list[float]
    delta: list[float]
    by_weight: list[float]


def worked() -> Worked:
    """Work the chain by the formulas of the text, in plain Python."""
    h = [INPUT]
    for w in WEIGHTS:
        h.append(float(1 / (1 + np.exp(-w * h[-1]))))
    slopes = [a * (1 - a) for a in h[1:]]
    delta = [(h[-1] - TARGET) * slopes[-1]]
    for w, slope in zip(WEIGHTS[:0:-1], slopes[-2::-1], strict=True):
        delta.insert(0, slope * w * delta[0])
    by_weight = [d * below for d, below in zip(delta, h, strict=False)]
    return Worked(h, (h[-1] - TARGET) ** 2 / 2, slopes, delta, by_weight)


def picture_by_hand() -> diagrams.Diagram:
    """The chain with its numbers."""
    return diagrams.chain(WEIGHTS, *worked())


# Longer chains


def chain_of(
    phi: activations.Function,
    length: int | Array,
    weight: Number | Array,
    bias: Number | Array = 0.0,
    start: float = 0.5,
) -> dict[str, Array]:
    """What runs through a chain of equal neurons, forward and back, for the explorer.

    Args:
        phi: Activation function.
        length: Neurons in use, at most `LONGEST`.
        weight: Of every neuron.
        bias: Of every neuron.
        start: Input of the first neuron.

    Returns:
        Arrays with a number for each neuron, NaN beyond the length: "factor", weight times slope;
        "product", of the factors from here to the end; and what `explore.network` draws, with the
        derivative of the last output in place of the loss's.
    """

    def neuron(h: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        h, slope = jax.value_and_grad(phi)(weight * h + bias)
        return h, (h, slope)

    _, (h, slope) = jax.lax.scan(neuron, jnp.asarray(start, float), length=LONGEST)
    used = jnp.arange(LONGEST) < length
    h, slope = jnp.where(used, h, jnp.nan), jnp.where(used, slope, jnp.nan)
    factor = weight * slope
    product = jnp.cumprod(jnp.where(used, factor, 1.0)[::-1])[::-1]
    error = slope * jnp.append(product[1:], 1.0)
    return {
        "factor": factor,
        "product": jnp.where(used, product, jnp.nan),
        "sentence": explore.first_true(product[0] == 0),
        "units": jnp.where(used, 1.0, jnp.nan),
        "inputs": jnp.array([start]),
        "activation": h,
        "activation_size": jnp.abs(h),
        "slope": slope,
        "error": error,
        "error_size": jnp.abs(error),
    }


@jax.jit  # one compilation for every length and activation
def chain(length: Array, activation: Array, weight: Array, bias: Array) -> dict[str, Array]:
    """`chain_of` neurons with an activation of `NAMES`."""
    return chain_of(activations.by_index(activation, NAMES), length, weight, bias)


def product(length: int, name: str, weight: Number, bias: Number = 0.0) -> float:
    """Derivative of a chain's last output by its first input."""
    return float(chain(length, NAMES.index(name), weight, bias)["product"][0])


def products(
    weights: Float[np.ndarray, " weights"], length: int, name: str, middle: Number
) -> Float[np.ndarray, " weights"]:
    """Product of the factors of a chain of any length, for many weights at once.

    Args:
        weights: The weight of all neurons of a chain.
        length: Neurons.
        name: Activation.
        middle: The bias is -weight times this, so that an input of this gives z = 0.
    """
    neuron = jax.jit(jax.vmap(jax.value_and_grad(activations.function(name))))
    h, result = 0.5, np.ones_like(weights)
    for _ in range(length):
        h, slope = map(np.array, neuron(weights * (h - middle)))
        result = result * slope * weights
    return result


def predict_lossless() -> selfcheck.Quiz:
    """Ask whether a chain of sigmoid neurons can pass on a signal without loss."""
    question = selfcheck.choice(
        "The slope of the sigmoid is at most a quarter, at z = 0. Can a chain of sigmoid neurons "
        "whose biases keep every z at 0 pass a signal on with its size unchanged?",
        {
            "No. Every neuron keeps at most a quarter": "The slope is only half of the factor. The "
            "other half is the weight, and a weight can be any number.",
            "Yes, with one particular weight": "The weight must be 4, and then the factor is 4 "
            "times a quarter.",
            "Yes, with any weight that is large enough": "With a weight above 4 the signal grows "
            "at every neuron, so it explodes.",
        },
        right="Yes, with one particular weight",
    )
    return selfcheck.predict(LABEL, question)


@cache
def explorer() -> explore.Explorer:
    """Factors of a chain of equal neurons."""
    choose = partial(widgets.SelectionSlider, continuous_update=True)
    return explore.Explorer(
        "Factors of a chain",
        chain,
        controls={
            "length": widgets.IntSlider(8, 1, LONGEST, description="Neurons"),
            "activation": widgets.Dropdown(
                options=NAMES, value="sigmoid", description="Activation"
            ),
            "weight": choose(
                options=[-1, 0.1, 0.25, 0.5, 1, 1.5, 2, 4, 8], value=1, description="Weight w"
            ),
            "bias": choose(options=[-2, -1, -0.5, 0, 0.5, 1, 2], value=-0.5, description="Bias b"),
        },
        views=[
            explore.network(
                1,
                name="neuron",
                summary=[
                    "One factor is exactly 0, so nothing before it gets any signal.",
                    "The factors multiply to {product}.",
                ],
                forward=(-3, 1),
                backward=(-8, 1),
                factors="factor",
            ),
            explore.chart(
                [
                    explore.series("factor", "Factor of a neuron: weight × slope", "bars", base=1),
                    explore.series("product", "Product from here to the end"),
                ],
                x={"label": "Neuron (1 is nearest the input)", "name": "neuron", "start": 1},
                y={"label": "Factor", "scale": "log"},
            ),
        ],
        presets={
            "0.1 × 0.1 × 0.1 × 0.1": _setting(4, "identity", 0.1, 0),
            "Sigmoid, w = 1, z = 0": _setting(8, "sigmoid", 1, -0.5),
            "Sigmoid, w = 4, z = 0": _setting(8, "sigmoid", 4, -2),
            "Sigmoid, w = 8, b = 0": _setting(8, "sigmoid", 8, 0),
            "ReLU, z < 0": _setting(4, "relu", 1, -2),
            "Identity, w = 2": _setting(12, "identity", 2, 0),
        },
    )


def _setting(length: int, activation: str, weight: Number, bias: Number) -> dict[str, Any]:
    return {"length": length, "activation": activation, "weight": weight, "bias": bias}


# Layers


def picture_jacobian() -> diagrams.Diagram:
    """A sigmoid layer of two units with three inputs, and its Jacobian."""
    w, h = LAYER
    z = w @ h
    output, slope = jax.vmap(jax.value_and_grad(jax.nn.sigmoid))(z)
    return diagrams.jacobian(h, w, z, np.asarray(output), np.asarray(slope))


def picture_two_cuts() -> diagrams.Diagram:
    """The way back through two layers, and two ways to cut it into steps."""
    return diagrams.two_cuts()


@jax.jit
def saturate_one(keys: Array) -> dict[str, Array]:
    """What is left of gradients when one of 32 units is pushed to where the sigmoid is flat.

    Args:
        keys: One for each network, of three hidden layers; the unit is in the second.

    Returns:
        "unit" for the gradient of that unit's own weights, "others" for those of its neighbours,
        "layer_below" for the error signal of layer 1: each over what it was before.
    """
    x, y = batch()

    def one(key: Array) -> dict[str, Array]:
        net = nets.mlp(key, (64, 32, 32, 32, 10), "sigmoid")
        first, second, third = net.layers
        stuck = net.replace(layers=(first, second.replace(b=second.b.at[0].add(30.0)), third))
        before, after = grads.signals(net, x, y), grads.signals(stuck, x, y)
        units_before, units_after = before.weight_gradients[1], after.weight_gradients[1]
        return {
            "unit": grads.rms(units_after[0]) / grads.rms(units_before[0]),
            "others": grads.rms(units_after[1:]) / grads.rms(units_before[1:]),
            "layer_below": after.error_norms[0] / before.error_norms[0],
        }

    return jax.vmap(one)(keys)


def example() -> tuple[nets.Net, Array, Array]:
    """A small sigmoid net, one digit and its label."""
    x, y = batch()
    return nets.mlp(seeds()[0], (64, 32, 32, 32, 10), "sigmoid"), x[0], y[0]


# Bound and typical size


class LeftOver(NamedTuple):
    """Error signals of nets of ten sigmoid layers, as shares of that of layer 10.

    Attributes:
        left: Measured.
        allowed: The most that slopes and matrices allow: a quarter of the largest singular value
            for each layer.
        norm: Mean of the largest singular values.
    """

    left: Float[np.ndarray, "seeds layers"]
    allowed: Float[np.ndarray, "seeds layers"]
    norm: Float[np.ndarray, " seeds"]


@cache
def left_over() -> dict[str, LeftOver]:
    """Measure it for weights of Glorot's size, and for 4 times an orthogonal matrix.

    The second has biases that put every unit at z = 0, its steepest point, for inputs of 1/2.
    """
    return {"glorot": _left_over("glorot_normal", 1.0), "large": _left_over("orthogonal", 4.0)}


def _left_over(init: str, gain: float) -> LeftOver:
    x, y = batch()

    def of(key: Array) -> LeftOver:
        net = nets.mlp(key, (64,) * 11 + (10,), "sigmoid", init=init, stacked=True)
        if gain > 1:
            net = net.replace(
                layers=_centred(net.layers, gain), readout=_centred(net.readout, gain)
            )
        sizes = grads.signals(net, x, y).error_norms[:-1]
        norms = jnp.linalg.norm(net.layers.w[1:], 2, axis=(1, 2))
        allowed = jnp.append(jnp.cumprod(norms[::-1] / 4)[::-1], 1.0)
        return LeftOver(sizes / sizes[-1], allowed, norms.mean())

    return jax.tree.map(np.asarray, jax.lax.map(of, seeds()))


def _centred(layer: nets.Layer, gain: float) -> nets.Layer:
    return nets.Layer(gain * layer.w, -gain * layer.w.sum(axis=-1) / 2)


def predict_bound() -> selfcheck.Quiz:
    """Ask whether a sigmoid layer leaves as much as its bound allows."""
    question = selfcheck.choice(
        "Glorot's weights have a largest singular value of almost 2, so the bound allows almost a "
        "half for each layer. How much do nine such sigmoid layers leave of the error signal?",
        {
            "About (1/2)⁹, what the bound allows": "That is the most there can be. A typical "
            "signal is not stretched so much.",
            "About (1/4)⁹": "A typical signal keeps a little less than a quarter at each layer, "
            "although the bound allows almost a half.",
            "Less than (1/10)⁹": "The slopes are close to a quarter, and the weights hardly change "
            "the length of a typical signal.",
        },
        right="About (1/4)⁹",
    )
    return selfcheck.predict(LABEL, question)


def figure_bound() -> None:
    """Draw what is left, what is allowed, and a quarter per layer."""
    titles = {"glorot": "Glorot’s weights", "large": "four times an orthogonal matrix"}
    _, panels = plt.subplots(2, 1, figsize=(5.2, 5.6), sharex=True)
    layer = np.arange(1, 11)
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        result = left_over()[name]
        axes.plot(layer, np.median(result.allowed, axis=0), "--", color=plots.COLOURS[3],
                  label="the most that is allowed")  # fmt: skip
        plots.layers(axes, result.left, "measured: median and range", colour=1)
        axes.plot(layer, 0.25 ** (10.0 - layer), ":", color=plots.COLOURS[2], label="¼ per layer")
        axes.set(title=title, ylabel="share of layer 10’s", ylim=(1e-6, 4))
        axes.set_xlabel("layer (1 is nearest the input)" if axes is panels[1] else "")
    panels[1].set_xticks(layer)
    panels[0].legend()


def figure_stretch(stretches: tuple[float, float] = (1.9, 0.2)) -> None:
    """Draw what a matrix makes of the vectors of length 1, and how long they are on average."""
    angle = np.linspace(0, 2 * np.pi, 121)
    before = np.stack([np.cos(angle), np.sin(angle)])
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    after = turn @ np.diag(stretches) @ before
    typical = np.sqrt(np.mean(np.square(stretches)))
    _, panels = plt.subplots(1, 2, figsize=(5.2, 2.7), sharey=True)
    for axes, ends, title in zip(panels, (before, after), ("before", "after"), strict=True):
        axes.plot(*ends, color=plots.COLOURS[0], linewidth=1)
        for k, end in enumerate(ends.T[:-1:10]):
            colour = plots.COLOURS[{0: 1, 3: 2}.get(k % 6, 0)]
            axes.plot([0, end[0]], [0, end[1]], color=colour, linewidth=1.4)
        axes.set(title=title, aspect="equal", xlim=(-2, 2), ylim=(-1.6, 1.6), xticks=[-1, 0, 1])
    panels[1].plot(*(typical * before), "--", color=plots.COLOURS[3])


def typical_stretch(vectors: int = 10_000) -> Float[np.ndarray, " vectors"]:
    """By how much one of Glorot's matrices of size 64 stretches random vectors."""
    random = np.random.default_rng(0)
    matrix, vector = random.normal(0, 1 / 8, (64, 64)), random.normal(size=(64, vectors))
    return np.linalg.norm(matrix @ vector, axis=0) / np.linalg.norm(vector, axis=0)


# The text's numbers, and the questions


@cache
def numbers() -> dict[str, float]:
    """Numbers that the text says, by name."""
    sizes, hand, bound = error_sizes(), worked(), left_over()
    saturated = jax.tree.map(np.median, saturate_one(seeds()))
    low, high = np.quantile(typical_stretch(), [0.05, 0.95])
    middle = {name: np.median(result.left[:, 0]) for name, result in bound.items()}
    return {
        "first": np.median(sizes[:, 0]),
        "last": np.median(sizes[:, -1]),
        "ratio": np.median(sizes[:, 0] / sizes[:, -1]),
        "factor": factor_per_layer(),
        "fold": 1 / factor_per_layer(),
        "kept": hand.delta[0] / hand.delta[2],
        "step_3": WEIGHTS[2] * hand.slopes[1],
        "step_2": WEIGHTS[1] * hand.slopes[0],
        "best": product(8, "sigmoid", 1.0, -0.5),
        "saturated": product(8, "sigmoid", 8.0),
        "unit": saturated["unit"],
        "below": saturated["layer_below"],
        "stretch_low": low,
        "stretch_high": high,
        "norm": np.median(bound["glorot"].norm),
        "quarter": 0.25**9,
        "left": middle["glorot"],
        "allowed": np.median(bound["glorot"].allowed[:, 0]),
        "large_left": middle["large"],
    }


def questions() -> list[selfcheck.Question]:
    """The page's questions."""
    lengths, norm = np.arange(1, 13), round(float(np.median(left_over()["glorot"].norm)), 2)
    return [
        selfcheck.number(
            "In the chain worked by hand, what is the gradient of the first neuron's bias?",
            worked().delta[0],
            right="A nudge of the bias moves z one to one, so its gradient is the error signal.",
            small="It is the first neuron's error signal. Read it off the picture.",
            large="It is the first neuron's error signal. Read it off the picture.",
        ),
        selfcheck.number(
            "Eight sigmoid neurons in a chain, every weight is 2 and every z is 0. What is the "
            "derivative of the last output by the first input?",
            product(8, "sigmoid", 2.0, -1.0),
            right="Each factor is 2 times 0.25, a half, and there are eight of them.",
            small="The slope alone gives 0.25 a neuron; each factor is slope times weight.",
            large="Smaller: the factors are multiplied, one for each of the eight neurons.",
        ),
        selfcheck.choice(
            "All inputs of a net are multiplied by 10 and the weights of layer 1 divided by 10, so "
            "that every z stays as it was. What happens to layer 1's error signal and weight "
            "gradient?",
            {
                "Both stay as they were": "Right for the error signal. But the weight gradient has "
                "the layer's input as a factor.",
                "Both become ten times as large": "The error signal depends only on what comes "
                "after z, and there nothing has changed.",
                "Only the weight gradient becomes ten times as large": "It is the error signal "
                "times the layer's input. The error signal depends only on what comes after z.",
            },
            right="Only the weight gradient becomes ten times as large",
        ),
        selfcheck.curve(
            "Every neuron of a chain has the weight 3 and works at z = 0. Which curve shows the "
            "derivative of the last output by the first input, for chains of 1 to 12 neurons?",
            lengths,
            {"A": 0.25**lengths, "B": 0.75**lengths, "C": 0.75 / lengths},
            {
                "A": "That is the slope alone, a quarter for each neuron. The weight belongs to "
                "the factor too.",
                "B": "Each neuron multiplies by 3 times 0.25, and equal factors make a straight "
                "line on a logarithmic axis.",
                "C": "This bends, so its factors differ from neuron to neuron. These are equal.",
            },
            right="B",
            xlabel="neurons",
            ylabel="derivative",
            log=True,
        ),
        selfcheck.number(
            f"A 64 by 64 matrix from Glorot's initialiser has a largest singular value of {norm}. "
            "By which factor can a sigmoid layer with this matrix multiply a signal at most?",
            norm / 4,
            right="The largest slope times the largest singular value. A typical signal gets far "
            "less than that.",
            small="A quarter is the slope's part; the matrix has its own.",
            large="The matrix stretches, but the slope is at most a quarter.",
        ),
        selfcheck.choice(
            '"The slope of tanh is at most 1, so the error signal of a tanh net can\'t explode." '
            "Is that right?",
            {
                "Yes: factors of at most 1 never grow": "The slope is only half of a layer's "
                "factor.",
                "No: a layer's factor is slope times weight, and weights may be large": "Large "
                "weights also push units to where tanh is flat, which works against it; but large "
                "enough weights win.",
                "No: beyond z = 1 the slope of tanh is larger than 1": "It is largest at z = 0, "
                "and there it is 1.",
            },
            right="No: a layer's factor is slope times weight, and weights may be large",
        ),
    ]


# Exercises


def skip_error(through_layer: Callable[[Array, Array, Array], Array]) -> float:
    """How wrong a function is that carries dL/dh back through a tanh layer with an identity skip.

    Args:
        through_layer: From the layer's weights, its slopes and dL/dh at its output to dL/dh at its
            input.

    Returns:
        The largest difference from `jax.grad`.
    """
    w = jax.random.normal(seeds()[1], (64, 64)) / 8
    h, by_h = jnp.linspace(-1, 1, 64), jnp.linspace(1, 0, 64)
    exact = jax.grad(lambda h: by_h @ (jnp.tanh(w @ h) + h))(h)
    found = through_layer(w, 1 - jnp.tanh(w @ h) ** 2, by_h)
    return float(jnp.abs(found - exact).max())
