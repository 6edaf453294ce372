"""What stands behind the page *Gradients*: one neuron, and two nets that learn to read digits."""

import itertools
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import ipywidgets as widgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba_array

from vgcourse import diagrams, selfcheck
from vgcourse.diagrams import Diagram
from vgkit import activations, data, explore, grads, nets, plots

TARGET = 0.8
ACTIVATIONS = tuple(name for name in activations.ACTIVATIONS if name != "gelu_tanh")
RATES = (0.03, 0.1, 0.3, 1, 1.9, 2.1, 3, 10, 30, 100)

SEEDS, DIGITS, WIDTH, STEPS = 5, 512, 32, 300
SHALLOW, DEEP = 1, 8
RATE = {"sigmoid": 1.0, "tanh": 0.3}
FROZEN = (0, 1, 4, 8)
ADAM_DEPTHS = (DEEP, 20)
ADAM_RATE = 0.01
ONE, TWO = plots.COLOURS[2:]  # of the shallow net and the deep one; blue and orange are directions
FORWARD, BACKWARD = plots.COLOURS[:2]


# One neuron


def loss(w: ArrayLike, phi: activations.Function = jax.nn.sigmoid) -> Array:
    r"""Loss of one neuron with the input 1, :math:`\tfrac12 (\phi(w) - 0.8)^2`."""
    return 0.5 * (phi(w) - TARGET) ** 2


def gradient_descent(w: Array, velocity: Array, gradient: Array, rate: ArrayLike) -> tuple:
    """The weight and its velocity after one step; plain gradient descent has no use for one."""
    return w - rate * gradient, velocity


def descend(rule: Callable[..., tuple] = gradient_descent) -> Callable[..., dict[str, Array]]:
    """30 steps on the loss of one neuron by a rule, as the explorer draws them.

    Args:
        rule: The new weight and velocity, from weight, velocity, gradient and learning rate.

    Returns:
        A function (start, rate, activation), the last one as a position in `ACTIVATIONS`.
    """

    def at(start: ArrayLike, rate: ArrayLike, activation: ArrayLike) -> dict[str, Array]:
        phi = activations.by_index(activation, ACTIVATIONS)

        def step(state: tuple, _: None) -> tuple:
            w, velocity = state
            value, gradient = jax.value_and_grad(loss)(w, phi)
            return rule(w, velocity, gradient, rate), (w, value, gradient)

        begin = jnp.asarray(start, float), jnp.zeros(())
        _, (w, value, gradient) = jax.lax.scan(step, begin, length=31)
        axis = jnp.linspace(-8, 8, 161)
        final, moved, first = value[-1], jnp.abs(w[-1] - w[0]), jnp.abs(gradient[0])
        return {
            "w": w, "loss": value, "gradient": gradient,
            "axis": axis, "curve": jax.vmap(lambda w: loss(w, phi))(axis),
            "final": final, "moved": moved, "first": first,
            "sentence": explore.first_true(first == 0, final > 100, final < 1e-4, moved < 0.1),
        }  # fmt: skip

    return at


def steps_needed(
    start: float,
    optimiser: optax.GradientTransformation,
    phi: activations.Function = jax.nn.sigmoid,
    limit: int = 100_000,
) -> tuple[int, float]:
    """Steps until the loss of one neuron is below 0.01, or the limit; and the weight then."""

    def unfinished(state: tuple) -> Array:
        w, _, count = state
        return (loss(w, phi) > 0.01) & (count < limit)

    def step(state: tuple) -> tuple:
        w, memory, count = state
        update, memory = optimiser.update(jax.grad(loss)(w, phi), memory)
        return optax.apply_updates(w, update), memory, count + 1

    w = jnp.asarray(start, float)
    w, _, count = jax.lax.while_loop(unfinished, step, (w, optimiser.init(w), 0))
    return int(count), float(w)


def nudges(number: type[np.floating]) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of a nudge, and how far the slope of one neuron is then off, in a number format.

    It is an RMS over many weights, since rounding errors are a matter of luck.

    Args:
        number: `np.float64` or `np.float32`.
    """
    starts = np.linspace(-3, -1, 101)
    slopes = np.asarray(jax.vmap(jax.grad(loss))(starts))

    def off(length: float) -> float:
        up, down = (np.asarray(loss(number(starts + side * length)), float) for side in (1, -1))
        return float(np.sqrt(np.mean(((up - down) / (2 * length) - slopes) ** 2)))

    lengths = 10.0 ** -np.arange(1, 13)
    return lengths, np.array([off(length) for length in lengths])


# Two nets


class Run(NamedTuple):
    """Networks before and after training, with one seed a row.

    Attributes:
        initial: The networks as drawn.
        trained: The same after all steps.
        losses: Training loss before every step.
        weight_norms: RMS of every layer's weight gradient before every step.
        accuracy: Share of the 360 test digits that the trained network reads.
    """

    initial: nets.Net
    trained: nets.Net
    losses: Float[np.ndarray, "seeds steps"]
    weight_norms: Float[np.ndarray, "seeds steps layers"]
    accuracy: Float[np.ndarray, " seeds"]


def examples() -> tuple[Array, Array]:
    """The digits that the nets learn from, and their labels."""
    digits = data.digits()
    return digits.x_train[:DIGITS], digits.y_train[:DIGITS]


def first(net: nets.Net) -> nets.Net:
    """The first of the networks with a seed each."""
    return jax.tree.map(lambda leaf: leaf[0], net)


@partial(jax.jit, static_argnums=(0, 1))
def draw(hidden: int, activation: str) -> nets.Net:
    """Networks with this many hidden layers of 32 units, one for each seed."""
    keys = jax.random.split(jax.random.key(0), SEEDS)
    widths = (64, *[WIDTH] * hidden, 10)
    return jax.vmap(lambda key: nets.mlp(key, widths, activation))(keys)


@cache
def run(
    hidden: int, activation: str = "sigmoid", frozen: int = 0, rate: float | None = None
) -> Run:
    """Train by plain gradient descent on all examples at once, 300 steps.

    Args:
        hidden: Hidden layers.
        activation: A key of `RATE`.
        frozen: How many of the first layers keep their initial weights.
        rate: Learning rate; that of `RATE` if left out.
    """
    initial = draw(hidden, activation)
    trained, *numbers = _train(initial, rate or RATE[activation], frozen)
    return Run(initial, trained, *map(np.asarray, numbers))


@jax.jit
@partial(jax.vmap, in_axes=(0, None, None))
def _train(net: nets.Net, rate: Array, frozen: Array) -> tuple:
    def step(net: nets.Net, _: None) -> tuple:
        value, gradient = jax.value_and_grad(mean_loss)(net)
        norms = grads.per_layer(gradient).norms()
        rates = [jnp.where(layer < frozen, 0.0, rate) for layer in range(net.size)]
        layers = tuple(
            jax.tree.map(lambda w, g: w - rate * g, *pair)  # noqa: B023
            for rate, *pair in zip(rates, net.layers, gradient.layers, strict=True)
        )
        readout = jax.tree.map(lambda w, g: w - rate * g, net.readout, gradient.readout)
        return net.replace(layers=layers, readout=readout), (value, norms)

    trained, (losses, norms) = jax.lax.scan(step, net, length=STEPS)
    digits = data.digits()
    read = jnp.argmax(jax.vmap(trained)(digits.x_test), axis=1) == digits.y_test
    return trained, losses, norms, jnp.mean(read)


def mean_loss(net: nets.Net) -> Array:
    """Cross-entropy of a net, averaged over the digits that it learns from."""
    x, y = examples()
    return jnp.mean(jax.vmap(grads.cross_entropy)(jax.vmap(net)(x), y))


class TwoWays(NamedTuple):
    """How much of both signals is left at every hidden layer: (seeds, hidden layers).

    Attributes:
        difference: Standard deviation, over digits, of a layer's outputs; RMS over its units.
        error: Error signal dL/dz; RMS over units and digits.
        low: Smallest output of a layer, of any unit and digit.
        high: Largest output of a layer.
        output_error: Error signal of the output layer; RMS over its units and digits; one number.
    """

    difference: Float[Array | np.ndarray, "*seeds layers"]
    error: Float[Array | np.ndarray, "*seeds layers"]
    low: Float[Array | np.ndarray, "*seeds layers"]
    high: Float[Array | np.ndarray, "*seeds layers"]
    output_error: Float[Array | np.ndarray, "*seeds"]

    def left(self) -> tuple[np.ndarray, np.ndarray]:
        """What the hidden layers leave of either signal, for every seed."""
        return (
            self.difference[..., -1] / self.difference[..., 0],
            self.error[..., 0] / self.error[..., -1],
        )


def outputs(net: nets.Net, x: Float[Array, " pixels"]) -> Float[Array, "layers units"]:
    """What the units of all hidden layers put out for one digit."""
    return jnp.stack([layer.h for layer in nets.intermediates(net, x)[0]])


@cache
def two_ways(hidden: int = DEEP, activation: str = "sigmoid") -> TwoWays:
    """Both signals in nets as drawn."""
    return TwoWays(*map(np.asarray, _two_ways(draw(hidden, activation))))


@jax.jit
@jax.vmap
def _two_ways(net: nets.Net) -> TwoWays:
    x, y = examples()
    h = jax.vmap(partial(outputs, net))(x)
    difference = jnp.sqrt(jnp.mean(jnp.var(h, axis=0), axis=1))
    error = grads.signals(net, x, y).error_norms
    lowest, highest = jnp.min(h, axis=(0, 2)), jnp.max(h, axis=(0, 2))
    return TwoWays(difference, error[:-1], lowest, highest, error[-1])


def floor() -> dict[str, float]:
    """Error signal times what differs between digits in the input, for layer 1 and the output."""
    ways, (x, _) = two_ways(), examples()
    found = {
        "error_1": np.median(ways.error[:, 0]),
        "differs_1": np.sqrt(np.mean(np.var(np.asarray(x), axis=0))),
        "error_9": np.median(ways.output_error),
        "differs_9": np.median(ways.difference[:, -1]),
    }
    products = {f"floor_{layer}": found[f"error_{layer}"] * found[f"differs_{layer}"]
                for layer in (1, 9)}  # fmt: skip
    return found | products


@cache
def magnified() -> Float[np.ndarray, " seeds"]:
    """Test accuracy of the deep net as drawn where the last layer sees differences of size 1.

    Every unit of the last hidden layer has its mean over the digits subtracted and is divided by
    its standard deviation; then the output layer alone learns, in 300 steps.
    """
    return np.asarray(_magnified(draw(DEEP, "sigmoid")))


@jax.jit
@jax.vmap
def _magnified(net: nets.Net) -> Array:
    digits, (x, y) = data.digits(), examples()

    def features(images: Array) -> Array:
        return jax.vmap(lambda one: outputs(net, one)[-1])(images)

    seen = features(x)
    mean, size = jnp.mean(seen, axis=0), jnp.std(seen, axis=0)

    def answers(readout: Any, features: Array) -> Array:
        return jax.vmap(readout)((features - mean[None]) / size[None])

    def mean_loss(readout: Any) -> Array:
        return jnp.mean(jax.vmap(grads.cross_entropy)(answers(readout, seen), y))

    readout = minimise(mean_loss, net.readout, optax.sgd(RATE["tanh"]))
    read = jnp.argmax(answers(readout, features(digits.x_test)), axis=1) == digits.y_test
    return jnp.mean(read)


def minimise(
    loss: Callable[[Any], Array], start: Any, optimiser: optax.GradientTransformation
) -> Any:
    """The parameters after 300 steps of an optimiser."""

    def step(state: tuple, _: None) -> tuple:
        parameters, memory = state
        update, memory = optimiser.update(jax.grad(loss)(parameters), memory)
        return (optax.apply_updates(parameters, update), memory), None

    (end, _), _ = jax.lax.scan(step, (start, optimiser.init(start)), length=STEPS)
    return end


@cache
def by_adam(rate: float = ADAM_RATE) -> Float[np.ndarray, " seeds"]:
    """Test accuracy of the deep net after 300 steps of Adam."""
    return np.asarray(_by_adam(draw(DEEP, "sigmoid"), rate))


@jax.jit
@partial(jax.vmap, in_axes=(0, None))
def _by_adam(net: nets.Net, rate: Array) -> Array:
    digits = data.digits()
    trained = minimise(mean_loss, net, optax.adam(rate))
    return jnp.mean(jnp.argmax(jax.vmap(trained)(digits.x_test), axis=1) == digits.y_test)


@cache
def first_adam_step(hidden: int) -> Float[np.ndarray, " seeds"]:
    """RMS of Adam's first step at layer 1 of sigmoid nets, as a share of the learning rate."""
    return np.asarray(_first_adam_step(draw(hidden, "sigmoid")))


@jax.jit
@jax.vmap
def _first_adam_step(net: nets.Net) -> Array:
    gradient = grads.signals(net, *examples()).weight_gradients[0]
    adam = optax.adam(1.0)
    update, _ = adam.update(gradient, adam.init(gradient))
    return jnp.sqrt(jnp.mean(update**2))


def filters(net: nets.Net) -> Float[np.ndarray, "seeds units 8 8"]:
    """The weights of the first layer's units, each as a picture."""
    return np.asarray(net.layers[0].w).reshape(SEEDS, WIDTH, 8, 8)


def likeness(pictures: Float[np.ndarray, "units 8 8"]) -> float:
    """Correlation between the weights of neighbouring pixels: 0 where each is drawn by itself."""
    left, right, up, down = (
        pictures[(slice(None), *cut)].ravel()
        for cut in (
            (slice(None), slice(-1)), (slice(None), slice(1, None)),
            (slice(-1), slice(None)), (slice(1, None), slice(None)),
        )
    )  # fmt: skip
    return float(np.corrcoef(np.append(left, up), np.append(right, down))[0, 1])


def moved(result: Run) -> Float[np.ndarray, " seeds"]:
    """How far layer 1's weights have moved, as a share of their initial size."""
    start, end = filters(result.initial), filters(result.trained)
    size = np.sqrt(np.mean(start**2, axis=(1, 2, 3)))
    return np.sqrt(np.mean((end - start) ** 2, axis=(1, 2, 3))) / size


# What the text says


def in_a_row(z: ArrayLike = 1.0) -> dict[str, float]:
    """Two sigmoid neurons in a row, the second with the weight 1: the way back, step by step."""
    slope = partial(activations.slope, "sigmoid")
    below = jax.nn.sigmoid(z)
    output = jax.nn.sigmoid(below)
    last = (output - TARGET) * slope(below)
    first = last * 1 * slope(z)
    found = {
        "row_below": below,
        "row_output": output,
        "row_slope_1": slope(z),
        "row_slope_2": slope(below),
        "row_last": last,
        "row_first": first,
    }
    return {name: float(value) for name, value in found.items()}


def picture_row() -> Diagram:
    """The two neurons in a row, with their numbers; the first has the input 1 and the weight 1."""
    at = in_a_row()
    return diagrams.chain(
        (1, 1),
        (1, at["row_below"], at["row_output"]),
        (at["row_output"] - TARGET) ** 2 / 2,
        (at["row_slope_1"], at["row_slope_2"]),
        (at["row_first"], at["row_last"]),
        (at["row_first"], at["row_last"] * at["row_below"]),
        TARGET,
    )


@jax.jit
def answer(net: nets.Net, digit: ArrayLike) -> dict[str, Array]:
    """The largest output of a net for one of the digits, its probability, and the loss."""
    x, y = examples()
    found = net(x[digit])
    right = grads.cross_entropy(found, y[digit])
    return {"output": jnp.max(found), "probability": jnp.exp(-right), "loss": right}


@cache
def numbers() -> dict[str, float]:
    """The numbers of the text: medians over the seeds, and extremes where it says so."""
    shallow, deep, ways = run(SHALLOW), run(DEEP), two_ways()
    start, late = deep.weight_norms[:, 0], deep.weight_norms[:, -1]
    output, slope = float(jax.nn.sigmoid(-2.0)), float(activations.slope("sigmoid", -2.0))
    at_4, at_0 = (jax.jit(descend())(w, 1.0, ACTIVATIONS.index("sigmoid")) for w in (-4.0, 0.0))
    needed = {w: steps_needed(w, optax.sgd(1.0))[0] for w in (0.0, -8.0)}
    forward, back = map(np.median, ways.left())
    frozen = {count: run(DEEP, "tanh", count).accuracy for count in FROZEN}
    found = {
        "shallow": np.median(shallow.accuracy),
        "deep": deep.accuracy.max(),
        "guess": np.log(10),
        **{f"one_{name}": value for name, value in answer(first(shallow.trained), 3).items()},
        **in_a_row(),
        "other_rates": max(run(DEEP, rate=rate).accuracy.max() for rate in (0.1, 10.0)),
        "weights": sum(leaf[0].size for leaf in jax.tree.leaves(deep.initial)),
        "output": output,
        "error": output - TARGET,
        "slope": slope,
        "gradient": (output - TARGET) * slope,
        "next": -2.0 - (output - TARGET) * slope,
        "moved": at_4["moved"],
        "first": at_4["gradient"][0],
        "arrived": at_0["w"][-1],
        "arrived_loss": at_0["final"],
        "flat": activations.slope("sigmoid", 5.0) / 0.25,
        "steps_0": needed[0.0],
        "steps_8": needed[-8.0],
        "times": needed[-8.0] / needed[0.0],
        "ratio": np.median(start[:, 0] / start[:, -1]),
        "drop": np.median((start[:, 7] / start[:, 1]) ** (1 / 6)),
        "first_moved": moved(deep).max(),
        "likeness_start": np.median([likeness(one) for one in filters(shallow.initial)]),
        "likeness": np.median([likeness(one) for one in filters(shallow.trained)]),
        "kept": np.median(late[:, -1] / start[:, -1]),
        "beside": np.median(late[:, -1] / late[:, 0]),
        "frozen_0": np.median(frozen[0]),
        "frozen_8": np.median(frozen[8]),
        "shallow_frozen": np.median(run(SHALLOW, frozen=1).accuracy),
        **floor(),
        "averaged": floor()["floor_1"] / np.median(late[:, 0]),
        "small_error": jax.nn.sigmoid(-0.02) - TARGET,
        "small_slope": activations.slope("sigmoid", -0.02),
        "forward": forward,
        "back": back,
        "magnified": np.median(magnified()),
        "magnified_low": magnified().min(),
        "magnified_high": magnified().max(),
        **{f"adam_{hidden}": np.median(first_adam_step(hidden)) for hidden in ADAM_DEPTHS},
        "by_adam": np.median(by_adam()),
        "by_adam_low": by_adam().min(),
        "by_adam_high": by_adam().max(),
    }
    return {name: float(value) for name, value in found.items()}


# Pictures


def pixels(
    axes: Axes,
    images: Float[np.ndarray, "rows columns 8 8"],
    colours: tuple[str, str] = ("#000000", "#000000"),
) -> None:
    """Draw pictures in rows; how strong a pixel is shows its size, its colour the sign."""
    strength = np.clip(np.abs(images) / np.abs(images).max(), 0, 1)
    down, right, row, column = np.nonzero(strength > 0.02)
    x, y = 9.5 * right + column, 9.5 * down + row
    corners = np.array([(x + i, y + j) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))])
    positive = images[down, right, row, column] > 0
    faces = to_rgba_array(colours)[np.where(positive, 0, 1)]
    faces[:, 3] = strength[down, right, row, column]
    axes.add_collection(PolyCollection(corners.transpose(2, 0, 1), facecolors=faces))
    rows, columns = images.shape[:2]
    axes.set(xlim=(-0.5, 9.5 * columns - 1), ylim=(9.5 * rows - 1, -0.5), aspect="equal")
    axes.axis("off")


def figure_digits() -> None:
    """The first digits, two of each."""
    images = np.asarray(examples()[0][np.r_[:10, 20:30]]).reshape(2, 10, 8, 8)
    _, axes = plt.subplots(figsize=(4.4, 1.15))
    pixels(axes, images - images.min())
    for number in range(10):
        axes.text(9.5 * number + 4, -2.5, number, color=FORWARD, ha="center", fontweight="bold")


def picture_nets() -> Diagram:
    """The shallow net and the deep one, with a digit before them."""
    digit = np.asarray(examples()[0][0]).reshape(8, 8)
    shade = (digit - digit.min()) / (digit.max() - digit.min())
    units = (-36, -18, 0, 18, 36)
    parts = []
    for middle, hidden in ((66, SHALLOW), (196, DEEP)):
        layers = np.linspace(116, 382, DEEP)[:hidden].tolist()
        parts += [
            f'<rect x="{18 + 7 * column}" y="{middle - 28 + 7 * row}" width="7" height="7" '
            f'fill="{diagrams.INK}" fill-opacity="{shade[row, column]:.2f}"/>'
            for row, column in np.ndindex(8, 8)
        ]
        places = [74, *layers, layers[-1] + 40]
        for x0, x in itertools.pairwise(places):
            parts.append(diagrams.arrow((x0 + 10, middle), (x - 10, middle), colour=diagrams.MUTED))
        for x in layers:
            parts += [diagrams.node(x, middle + y, radius=7) for y in units]
        parts.append(diagrams.box(places[-1] + 8, middle, 36, 92, "0–9"))
        words = "1 hidden layer" if hidden == 1 else f"{hidden} hidden layers"
        parts.append(diagrams.label((layers[0] + layers[-1]) / 2, middle - 56, words))
    return Diagram(
        460, 256,
        "Two networks, each with a digit of 8 by 8 pixels on its left and ten outputs, 0 to 9, on "
        "its right. Between them the first has one column of units, the second has eight.",
        parts,
    )  # fmt: skip


def picture_neuron() -> Diagram:
    """One neuron: input, weight, bias, activation, output, loss."""
    return Diagram(
        460, 110,
        "The input x is multiplied by the weight w, the bias b is added: this is z. The activation "
        "phi makes of it the output h. The output and the target 0.8 give the loss L.",
        [
            diagrams.node(36, 66, "$x$"),
            diagrams.arrow((58, 66), (124, 66), colour=diagrams.FORWARD),
            diagrams.label(90, 50, "× $w$", diagrams.FORWARD),
            diagrams.arrow((148, 24), (148, 44), colour=diagrams.FORWARD),
            diagrams.label(148, 12, "+ $b$", diagrams.FORWARD),
            diagrams.node(148, 66, "$z$"),
            diagrams.arrow((170, 66), (238, 66), colour=diagrams.FORWARD),
            diagrams.label(203, 50, "$ϕ$", diagrams.FORWARD),
            diagrams.node(260, 66, "$h$"),
            diagrams.arrow((282, 66), (370, 66), colour=diagrams.FORWARD),
            diagrams.label(325, 50, "target 0.8", diagrams.MUTED, 13),
            diagrams.box(394, 66, 44, 36, "$L$"),
            diagrams.label(36, 100, "input", diagrams.MUTED, 13),
            diagrams.label(148, 100, "pre-activation", diagrams.MUTED, 13),
            diagrams.label(260, 100, "output", diagrams.MUTED, 13),
            diagrams.label(394, 100, "loss", diagrams.MUTED, 13),
        ],
    )  # fmt: skip


def figure_losses() -> None:
    """Training loss of both nets."""
    _, axes = plt.subplots(figsize=(4.4, 2.8))
    plots.spread(axes, np.arange(STEPS), run(SHALLOW).losses, "1 hidden layer", colour=2)
    plots.spread(axes, np.arange(STEPS), run(DEEP).losses, "8 hidden layers", colour=3)
    axes.axhline(
        np.log(10), color="#000000", linestyle=":", linewidth=1, zorder=3, label="guessing: ln 10"
    )
    axes.set(xlabel="step", ylabel="loss (nats)", ylim=(0, None))
    axes.legend()


def figure_slope() -> None:
    """The loss of one neuron and its slope at w = -2."""
    w = np.linspace(-6, 5, 200)
    slope = float(jax.grad(loss)(-2.0))
    _, axes = plt.subplots(figsize=(4.4, 2.8))
    axes.plot(w, loss(w), color="#000000")
    near = np.array([-3.7, -0.3])
    axes.plot(near, loss(-2.0) + slope * (near + 2), color=BACKWARD, linestyle="--")
    axes.plot(-2, loss(-2.0), "o", color=BACKWARD)
    axes.annotate(
        "slope −0.071", (-2, float(loss(-2.0))), (8, 8), textcoords="offset points", color=BACKWARD
    )
    axes.set(xlabel="weight w", ylabel="loss L(w)", ylim=(0, None))


def figure_flat() -> None:
    """Sigmoid, tanh and ReLU, and their slopes."""
    z = np.linspace(-8, 8, 401)
    figure, (left, right) = plt.subplots(1, 2, figsize=(4.6, 2.7))
    lines = {"sigmoid": "-", "tanh": "--", "relu": ":"}
    for (name, line), word in zip(lines.items(), ("sigmoid", "tanh", "ReLU"), strict=True):
        left.plot(z, activations.function(name)(z), line, color="#000000", label=word)
        right.plot(z, activations.slope(name, z), line, color="#000000")
    left.set(xlabel="pre-activation z", title="output ϕ(z)", ylim=(-1.2, 2.2))
    right.set(xlabel="pre-activation z", title="slope ϕ′(z)")
    figure.legend(loc="outside upper center", ncols=3)


def figure_weight_gradients() -> None:
    """Weight gradient of every layer of both nets before the first step."""
    _, axes = plt.subplots(figsize=(4.4, 3))
    plots.layers(axes, run(SHALLOW).weight_norms[:, 0], "1 hidden layer", colour=2)
    plots.layers(axes, run(DEEP).weight_norms[:, 0], "8 hidden layers", colour=3)
    axes.set(ylabel="weight gradient, RMS", xticks=range(1, DEEP + 2))
    axes.legend()


def figure_filters() -> None:
    """First-layer weights of six units: as drawn, and after training either net."""
    start, shallow, deep = (
        filters(net)[0, :6] for net in (run(DEEP).initial, run(SHALLOW).trained, run(DEEP).trained)
    )
    _, axes = plt.subplots(figsize=(4.6, 2.3))
    pixels(axes, np.clip(np.stack([start, deep, shallow]), -0.6, 0.6), (FORWARD, BACKWARD))
    for row, name in enumerate(("as drawn", "deep,\ntrained", "shallow,\ntrained")):
        axes.text(-1.5, 9.5 * row + 4, name, ha="right", va="center")


def figure_training() -> None:
    """Weight gradient of some layers of both nets during training."""
    _, (left, right) = plt.subplots(1, 2, figsize=(4.6, 2.8), sharey=True)
    steps = np.arange(1, STEPS + 1)
    for axes, hidden, layers, colour in (
        (left, SHALLOW, (1, 2), ONE), (right, DEEP, (1, 5, 9), TWO)
    ):  # fmt: skip
        for layer, line in zip(layers, ("-", "--", ":") if hidden > 1 else ("-", ":"), strict=True):
            norms = run(hidden).weight_norms[:, :, layer - 1]
            axes.loglog(steps, np.median(norms, axis=0), line, color=colour, label=f"layer {layer}")
        axes.set(xlabel="step")
        axes.legend()
    left.set(ylabel="weight gradient, RMS", title="1 hidden layer")
    right.set(title="8 hidden layers")


def figure_frozen() -> None:
    """Test accuracy of nets whose first layers keep their random weights."""
    shown = [
        ("1 sigmoid layer", run(SHALLOW), ONE),
        ("1 sigmoid layer, frozen", run(SHALLOW, frozen=1), ONE),
        *[
            (f"8 tanh layers{words}", run(DEEP, "tanh", n), "#666666")
            for n, words in {0: "", 1: ", 1 frozen", 4: ", 4 frozen", 8: ", all frozen"}.items()
        ],
        ("8 sigmoid layers", run(DEEP), TWO),
    ]  # fmt: skip
    _, axes = plt.subplots(figsize=(4.6, 3.2))
    for row, (_, result, colour) in enumerate(shown):
        accuracy = 100 * result.accuracy
        middle = np.median(accuracy)
        axes.barh(row, middle, color=colour, height=0.55)
        axes.plot([accuracy.min(), accuracy.max()], [row, row], color="#000000", linewidth=1.2)
        axes.text(accuracy.max() + 2, row, f"{middle:.0f} %", va="center")
    axes.set_axisbelow(True)
    axes.set_yticks(range(len(shown)), [name for name, *_ in shown])
    axes.set(xlabel="test digits read (%)", xlim=(0, 105))
    axes.invert_yaxis()


def figure_outputs() -> None:
    """Outputs of the first and the last hidden layer of the deep net for a 3 and for a 7."""
    net, (x, _) = first(draw(DEEP, "sigmoid")), examples()
    h = np.asarray(jax.jit(jax.vmap(partial(outputs, net)))(x[np.array([3, 7])]))
    _, axes = plt.subplots(2, 2, figsize=(4.6, 2.6), sharex=True, sharey=True)
    for row, digit in zip(axes, (0, 1), strict=True):
        for one, layer in zip(row, (0, DEEP - 1), strict=True):
            one.bar(np.arange(1, 17), h[digit, layer, :16], color=FORWARD, width=0.7)
        row[0].set_ylabel(("a 3", "a 7")[digit])
    for one, layer in zip(axes[0], (1, DEEP), strict=True):
        one.set_title(f"layer {layer}")
    for one in axes[1]:
        one.set(xlabel="unit", xticks=(1, 4, 8, 12, 16), ylim=(0, 1))


def figure_two_ways() -> None:
    """Both signals in the deep net before the first step."""
    ways = two_ways()
    _, (left, right) = plt.subplots(1, 2, figsize=(4.6, 2.8))
    plots.layers(left, ways.difference, "", colour=0)
    plots.layers(right, ways.error, "", colour=1)
    left.set_title("forward: difference\nbetween digits", color=FORWARD)
    left.set_ylabel("RMS over units")
    right.set_title("backward: error\nsignal dL/dz", color=BACKWARD)
    for axes in (left, right):
        axes.set(xlabel="layer", xticks=range(1, DEEP + 1))


# Explorers


def explorer() -> explore.Explorer:
    """Gradient descent on one neuron: the steps on the loss curve."""
    series = explore.series
    return explore.Explorer(
        "Gradient descent on one neuron",
        descend(),
        controls={
            "start": widgets.IntSlider(-4, -8, 8, description="Start w"),
            "rate": widgets.SelectionSlider(options=RATES, value=1, description="Learning rate"),
            "activation": widgets.Dropdown(
                options=ACTIVATIONS, value="sigmoid", description="Activation"
            ),
        },
        views=[
            explore.chart(
                [
                    series("curve", "Loss L(w)", x="axis", marker=False, hold=False),
                    series("loss", "Steps of gradient descent", "path", x="w"),
                ],
                x={"label": "Weight w", "name": "step", "start": 0, "domain": [-8.5, 8.5]},
                y={"label": "Loss"},
                columns={"w": "Weight w", "gradient": "Gradient dL/dw"},
                summary=[
                    "The first gradient is exactly 0: no step ever moves the weight.",
                    "The steps overshoot and grow: the loss after 30 steps is {final}.",
                    "It arrives: the loss after 30 steps is {final}.",
                    "The weight hardly moves, {moved} in 30 steps: its first gradient is {first}.",
                    "After 30 steps the weight has moved by {moved} and the loss is {final}.",
                ],
            )
        ],
        presets={
            "On the slope": {"start": 0, "rate": 1, "activation": "sigmoid"},
            "Saturated": {"start": -6, "rate": 1, "activation": "sigmoid"},
            "Dead ReLU": {"start": -4, "rate": 1, "activation": "relu"},
            "Too large a step": {"start": -4, "rate": 2.1, "activation": "identity"},
        },
    )


def explorer_two_ways() -> explore.Explorer:
    """The net with what is left of a digit on the way forward, and of the error on the way back."""
    net, (x, y) = first(draw(DEEP, "sigmoid")), examples()
    names, units = ("sigmoid", "tanh", "relu"), 8

    @jax.jit
    def mean(net: nets.Net, x: Array) -> Array:
        return jnp.mean(jax.vmap(partial(outputs, net))(x), axis=0)

    means = jnp.stack([mean(net.replace(activation=name), x) for name in names])

    def at(digit: ArrayLike, activation: ArrayLike) -> dict[str, Array]:
        chosen = net.replace(activation=activations.by_index(activation, names))
        difference = outputs(chosen, x[digit]) - means[activation]
        shown = grads.unit_signals(chosen, x[digit], y[digit], units=units)
        size = jnp.sqrt(jnp.mean(difference**2, axis=1))
        forward, backward = size[-1] / size[0], shown["error_size"][0] / shown["error_size"][-1]
        return shown | {
            "activation": difference[:, :units].ravel(),
            "activation_size": size,
            "forward": forward,
            "backward": backward,
            "sentence": explore.first_true((forward < 0.01) & (backward < 0.01)),
        }

    left = "of the difference between digits is left at layer 8; backward, {backward} of the error "
    return explore.Explorer(
        "One digit, there and back",
        at,
        controls={
            "digit": widgets.IntSlider(3, 0, 9, description="Digit"),
            "activation": widgets.Dropdown(
                options=names, value="sigmoid", description="Activation"
            ),
        },
        views=[explore.network(
            units,
            activation="difference from the average",
            forward=(-6, 0), backward=(-6, 0),
            summary=[f"Both vanish: forward, {{forward}} {left}signal is left at layer 1.",
                     f"Both arrive: forward, {{forward}} {left}signal is left at layer 1."],
        )],
    )  # fmt: skip


# Questions


def predict_losses() -> selfcheck.Quiz:
    """Which of two nets learns."""
    return selfcheck.predict("gradients", selfcheck.choice(
        "More layers can express more. Which of the two has the lower loss after 300 steps?",
        {"The net with 8 hidden layers": "It could express more, but look at its curve.",
         "Both are about equal": "They are as far apart as they can be.",
         "The net with 1 hidden layer": "The deep net has not learnt anything at all."},
        right="The net with 1 hidden layer"))  # fmt: skip


def predict_descent() -> selfcheck.Quiz:
    """How far a saturated weight moves."""
    return selfcheck.predict("gradients", selfcheck.number(
        "The weight starts at −4, the learning rate is 1 and the best weight is near 1.4. How far "
        "does the weight move in 30 steps?",
        numbers()["moved"], absolute=0.2,
        right="Less than half a unit of the five and a half that it has to go.",
        small="It moves a little further than that.",
        large="Less: at w = −4 the sigmoid's slope is only 0.018, and it multiplies the error."),
    )  # fmt: skip


def predict_flat() -> selfcheck.Quiz:
    """How long a saturated neuron takes."""
    return selfcheck.predict("gradients", selfcheck.choice(
        "From w = 0 the neuron needs 13 steps to bring its loss below 0.01. At w = −8 its output "
        "is less than three times as wrong. How many steps does it need from there?",
        {"About 30": "So it would be if only the error counted.",
         "About 300": "More: the slope at −8 is about 750 times smaller than the slope at 0.",
         "More than 3,000": "The slope at −8 is about 750 times smaller than the slope at 0, and "
                            "it is a factor of every step."},
        right="More than 3,000"))  # fmt: skip


def predict_starving() -> selfcheck.Quiz:
    """Layer 1's gradient beside layer 9's."""
    return selfcheck.predict("gradients", selfcheck.power(
        "Layer 9 is the last layer of the deep net. How large is layer 1's weight gradient, as a "
        "share of layer 9's?",
        numbers()["ratio"], (-10, 0),
        right="About a hundred-thousandth.",
        small="It is small, but not that small.",
        large="It is smaller still: every layer takes its share away."))  # fmt: skip


def predict_last() -> selfcheck.Quiz:
    """Whether the last layer learns."""
    return selfcheck.predict("gradients", selfcheck.choice(
        "Layer 9 has nothing between itself and the loss, and at the start its gradient is as "
        "large as those of the shallow net. What happens to it in 300 steps?",
        {"It stays large, and layer 9 learns": "Then the loss would fall, and it does not.",
         "It falls to about the size of layer 1's": "Within about ten steps all layers are alike.",
         "It grows": "It falls, and fast."},
        right="It falls to about the size of layer 1's"))  # fmt: skip


def predict_frozen() -> selfcheck.Quiz:
    """What a net reads whose first layers stay random."""
    return selfcheck.predict("gradients", selfcheck.choice(
        "We freeze all eight hidden layers of a tanh net of the same shape at their random weights "
        "and train its output layer alone. How many of the test digits does it read?",
        {"About 10 %, as by guessing": "Random layers destroy less than one might think.",
         "About 50 %": "Five times as many as guessing would.",
         "About 90 %, as the shallow net": "That is too much to ask: something is lost."},
        right="About 50 %"))  # fmt: skip


def questions() -> list[selfcheck.Question]:
    """What readers check themselves by."""
    z = jnp.linspace(-8, 8, 401)
    error, slope = jax.nn.sigmoid(z) - TARGET, activations.slope("sigmoid", z)

    def whole(values: Array) -> Array:
        return values / jnp.abs(values).max()

    return [
        selfcheck.number(
            "A weight is 1.5, its gradient is −0.4, the learning rate is 0.5. What is the weight "
            "after one step?",
            1.5 - 0.5 * -0.4, tolerance=0.01,
            right="A negative gradient says that the loss falls when the weight grows. So the "
                  "weight grows: by 0.5 times 0.4.",
            small="Mind the sign: to subtract a negative number is to add.",
            large="The gradient is multiplied by the learning rate before it is subtracted."),
        selfcheck.choice(
            "The neuron that starts at w = −8 has a gradient of almost zero. Someone stops its "
            "training: \"It has converged.\" What shows best that this is wrong?",
            {"A second measurement of the gradient, by nudging w":
                 "It would find the same tiny slope. The gradient is right; the conclusion from it "
                 "is not.",
             "A smaller learning rate":
                 "It makes the steps shorter still, and looks even more like convergence.",
             "The loss itself":
                 "It is still about as large as it can get. The gradient is small at a minimum, "
                 "but it is small on a plateau as well."},
            right="The loss itself"),
        selfcheck.curve(
            "A sigmoid neuron has the target 0.8. Which curve is the gradient dL/dw? (Each is "
            "scaled to a largest size of 1.)",
            z, {"A": whole(error), "B": whole(-slope), "C": whole(error * slope)},
            {"A": "This is the error alone. It stays large on the left, where the slope has "
                  "almost gone and the gradient with it.",
             "B": "This is the slope with a minus sign. It is never positive, yet beyond the "
                  "target the loss rises with w.",
             "C": "It is zero where the output is 0.8 and fades to both sides with the slope, "
                  "though on the left the error is largest."},
            right="C", xlabel="weight w", ylabel="scaled to 1"),
        selfcheck.number(
            "The same neuron stands at w = 0, where the sigmoid is 0.5 and its slope 0.25. What is "
            "its gradient?",
            jax.grad(loss)(0.0),
            right="Error times slope: 0.5 - 0.8, times a quarter. No slope of the sigmoid is "
                  "larger.",
            small="Too far below zero: the error is multiplied by the slope, 0.25.",
            large="Error times slope; and the error, output minus target, is negative here."),
        selfcheck.choice(
            "At the start, layer 1's gradient in the deep net is less than a ten-thousandth of "
            "layer 9's. You multiply the learning rate by 10,000, so that layer 1 moves at a good "
            "pace. What follows?",
            {"All layers now learn well":
                 "One rate serves all layers: layer 9 had a large enough gradient before.",
             "The last layer's steps become 10,000 times as long, far too long":
                 "The rate multiplies every gradient, so it cannot change the ratio between "
                 "layers, and the ratio is what is wrong here.",
             "Nothing: the gradient stays as it is":
                 "The gradient does, at first. But every step is the rate times the gradient, in "
                 "all layers."},
            right="The last layer's steps become 10,000 times as long, far too long"),
        selfcheck.choice(
            "Which fact shows that starving first layers alone do not make the deep sigmoid net "
            "guess?",
            {"Layer 1's weights have hardly moved":
                 "That shows that layer 1 starves. It does not show what the starving does.",
             "A net whose first layers are frozen at random reads many digits":
                 "There the first layers learn nothing at all, and yet the rest does well. So the "
                 "deep sigmoid net must have a second problem: its forward signal has collapsed.",
             "The loss stays at ln 10":
                 "That shows that the net guesses. It does not show why."},
            right="A net whose first layers are frozen at random reads many digits"),
    ]  # fmt: skip
