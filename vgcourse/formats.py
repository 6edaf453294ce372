"""The page on number formats: what gradients lose in them, figures, explorer and questions.

What JAX does on the CPU with subnormal numbers, those below a format's smallest normal one: sums
and products of bfloat16, float32 and float64 that would be subnormal become 0. float16 keeps its
subnormals, since XLA computes it in float32 and rounds the result. It does so for a whole dot
product at once, so neither its products nor its partial sums are rounded to float16 one by one.
Numbers of 8 bits are for storage: nothing here is computed in them.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import ipywidgets as widgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vgcourse import diagrams, page, selfcheck
from vgcourse.chain_rule import batch, seeds
from vgkit import _check, activations, data, explore, grads, nets, plots

LABEL = "formats"
COMPUTED = list(grads.FORMATS)
"""Formats in which a net can be run, narrowest first."""
DTYPES = {
    "e4m3": jnp.dtype("float8_e4m3fn"),
    "e5m2": jnp.dtype("float8_e5m2"),
    **grads.FORMATS,
}
"""All formats of the page by name, narrowest first; those of 8 bits only store numbers."""
SHOWN = ("e4m3", "e5m2", "float16", "bfloat16", "float32")
MARKERS = {"float16": "o", "bfloat16": "s", "float32": "^"}
"""Formats whose depths are measured."""
DEEPEST = 62
DEPTHS = np.array([2, 4, 6, 7, 8, 9, 10, 12, 20, 30, 40, 50, 54, 56, 57, 58, 60, 62])
SURPRISE, SCALED = 10, 8
"""Hidden layers of the nets of the first section, and of those whose loss is scaled."""


# Measuring


class Limits(NamedTuple):
    """What a number format can hold.

    Attributes:
        smallest_subnormal: Smallest number above 0, with a single digit of precision.
        smallest_normal: Smallest number with full precision.
        largest: Largest finite number.
        epsilon: Distance from 1 to the next number.
    """

    smallest_subnormal: float
    smallest_normal: float
    largest: float
    epsilon: float


class FormatError(NamedTuple):
    """Error of gradients in a number format against float64, one number for each layer.

    Attributes:
        lost: Share that is exactly 0 among the entries that float64 has nonzero. By underflow, or,
            rarely, by rounding: a ReLU at its kink, a difference of nearly equal numbers. NaN where
            float64 has only zeros.
        no_path: Share of all entries that float64 has exactly 0: no weight or unit can change it.
        not_finite: Share of all entries that is infinite or not a number.
        relative_error: Euclidean norm of the difference over that of the float64 gradient; infinite
            where an entry is not finite.
        size: RMS of the float64 gradient.
    """

    lost: Float[Array, "*layers"]
    no_path: Float[Array, "*layers"]
    not_finite: Float[Array, "*layers"]
    relative_error: Float[Array, "*layers"]
    size: Float[Array, "*layers"]


class FormatErrors(NamedTuple):
    """A network's gradients in a number format, against float64.

    Attributes:
        weight_gradients: Of dL/dW, the output layer last.
        error_signals: Of dL/dz, the output layer last.
        finite: Whether all gradients are finite, those of biases included. Training with a loss
            scale throws a step away if they are not.
    """

    weight_gradients: FormatError
    error_signals: FormatError
    finite: Bool[Array, ""]


def format_limits(format: str) -> Limits:
    """What a format can hold, as `jnp.finfo` has it.

    Args:
        format: A key of `DTYPES`.
    """
    info = jnp.finfo(_check.choice("format", format, DTYPES))
    return Limits(*map(float, (info.smallest_subnormal, info.smallest_normal, info.max, info.eps)))


def format_error(narrow: Float[Array, "..."], exact: Float[Array, "..."]) -> FormatError:
    """Error of one array of gradients.

    Args:
        narrow: Computed in the format, as float64 numbers.
        exact: The same gradients computed in float64.
    """
    _check.shape("narrow", narrow, exact.shape)
    path, finite = exact != 0, jnp.isfinite(narrow)
    # In units of the largest entry, since squares of very small numbers would underflow too.
    unit = jnp.where(path.any(), jnp.max(jnp.abs(exact)), 1.0)
    error = grads.l2((narrow - exact) / unit) / grads.l2(exact / unit)
    return FormatError(
        lost=jnp.sum((narrow == 0) & path) / jnp.sum(path),
        no_path=jnp.mean(~path, dtype=exact.dtype),
        not_finite=jnp.mean(~finite, dtype=exact.dtype),
        relative_error=jnp.where(finite.all(), error, jnp.inf),
        size=grads.l2(exact / unit) / exact.size**0.5 * unit,
    )


def format_errors(narrow: grads.Signals, exact: grads.Signals) -> FormatErrors:
    """Errors of all of a network's gradients, layer by layer.

    The exact gradients are those of the weights as they are, so that the errors include the
    rounding of the weights to the format.

    Args:
        narrow: `signals(..., dtype=format)`.
        exact: `signals(..., dtype="float64")` of the same network and batch.
    """

    def compare(narrow: grads.PerLayer, exact: grads.PerLayer) -> FormatError:
        if isinstance(exact.hidden, tuple):
            rows = [format_error(*pair) for pair in zip(narrow, exact, strict=True)]
            return jax.tree.map(lambda *each: jnp.stack(each), *rows)
        hidden = jax.vmap(format_error)(narrow.hidden, exact.hidden)
        hidden = jax.tree.map(lambda row: jnp.where(used, row, jnp.nan), hidden)
        return jax.tree.map(jnp.append, hidden, format_error(narrow.output, exact.output))

    used = jnp.arange(len(exact.error_signals.hidden)) < exact.depth
    gradients = jax.tree.leaves((narrow.gradient, narrow.error_signals))
    finite = [jnp.isfinite(leaf).all() for leaf in gradients]
    return FormatErrors(
        compare(narrow.weight_gradients, exact.weight_gradients),
        compare(narrow.error_signals, exact.error_signals),
        jnp.all(jnp.array(finite)),
    )


def errors_of(
    net: nets.Net,
    x: Float[Array, "batch inputs"],
    y: Int[Array, " batch"],
    format: int | Array,
    loss_scale: float | Array,
) -> tuple[FormatErrors, grads.Signals]:
    """Errors of all gradients in a format that may be traced, and the gradients themselves.

    Args:
        net: The network.
        x: Examples.
        y: Their labels.
        format: Position in `COMPUTED`.
        loss_scale: S.
    """
    kinds = [partial(grads.signals, net, x, y, dtype=n, loss_scale=loss_scale) for n in COMPUTED]
    narrow = jax.lax.switch(format, kinds)
    return format_errors(narrow, grads.signals(net, x, y, dtype="float64")), narrow


@cache
def networks() -> nets.Net:
    """Sigmoid nets for all seeds, of up to 62 hidden layers of 64 units."""
    draw = partial(nets.mlp, widths=(64,) * (DEEPEST + 1) + (10,), activation="sigmoid")
    return jax.jit(jax.vmap(partial(draw, stacked=True)))(seeds())


@jax.jit  # one compilation for all that the page measures
def _many(
    networks: nets.Net, format: Array, depth: Array, scale: Array, tanh: Array
) -> FormatErrors:
    phi = activations.by_index(jnp.asarray(tanh, int), ["sigmoid", "tanh"])
    used = networks.replace(depth=depth, activation=phi)
    return jax.lax.map(lambda net: errors_of(net, *batch(), format, scale)[0], used)


def compare(
    name: str,
    depth: int,
    scale: float = 1.0,
    networks_of_seeds: nets.Net | None = None,
    tanh: bool = False,
) -> FormatErrors:
    """Errors of nets in a format against float64, one for each seed on the leading axis.

    Args:
        name: Of the format, a key of `grads.FORMATS`.
        depth: Hidden layers, at most 62.
        scale: The loss scale S.
        networks_of_seeds: Other nets of the shape of `networks()`.
        tanh: Whether their units are tanh and not sigmoid.
    """
    drawn = networks() if networks_of_seeds is None else networks_of_seeds
    errors = _many(drawn, COMPUTED.index(name), depth, scale, tanh)
    return jax.tree.map(np.asarray, errors)


@cache
def large_weights() -> nets.Net:
    """For readers: the same nets with weights of standard deviation 1."""
    return jax.tree.map(lambda leaf: 8 * leaf, networks())


@cache
def exact(depth: int) -> grads.Signals:
    """Gradients of all seeds' nets in float64."""
    net = networks().replace(depth=depth)
    return jax.jit(partial(jax.lax.map, lambda net: grads.signals(net, *batch())))(net)


# Too small to write down


def predict_better() -> selfcheck.Quiz:
    """Ask which of two formats of 16 bits gives the better gradient."""
    question = selfcheck.choice(
        "A sigmoid net of 10 hidden layers computes its gradient in each of the two formats. In "
        "which of them does layer 1 get the better gradient?",
        {
            "In float16, which has more digits": "More digits help only where there is a number to "
            "write. Here there is none: all that float16 has left is 0.",
            "In bfloat16, which has fewer digits": "It can write much smaller numbers than "
            "float16, and this gradient is a very small one.",
            "It makes no difference": "It makes all the difference. One of the two has nothing "
            "left of this gradient.",
        },
        right="In bfloat16, which has fewer digits",
    )
    return selfcheck.predict(LABEL, question)


def eight_bits() -> Float[np.ndarray, " numbers"]:
    """All numbers that e4m3 has, from 0 up."""
    every = np.arange(128, dtype=np.uint8).view(DTYPES["e4m3"]).astype(float)
    return every[np.isfinite(every)]


EXAMPLES = (0.0008, 0.009, 0.04)
"""Numbers that the picture rounds: to 0, to a subnormal and to a normal number."""


def picture() -> diagrams.Diagram:
    """The smallest numbers of e4m3, and what becomes of numbers between them."""
    normal = format_limits("e4m3").smallest_normal
    ticks = eight_bits()[eight_bits() <= 4 * normal]
    left, right, line = 26, 440, 116

    def place(value: float | int) -> float:
        return left + (right - left) * value / ticks[-1]

    zones = [
        (0, ticks[1] / 2, diagrams.BACKWARD, "lost"),
        (ticks[1] / 2, normal, diagrams.INSIDE, "subnormal"),
        (normal, ticks[-1], diagrams.FORWARD, "normal"),
    ]
    parts = [diagrams.arrow((left, line), (right, line), head=False)]
    for low, high, colour, name in zones:
        parts.append(
            f'<rect x="{place(low):.4g}" y="{line - 14}" width="{place(high) - place(low):.4g}" '
            f'height="28" fill="{colour}" fill-opacity="0.22"/>'
        )
        middle = (place(low) + place(high)) / 2 - 10 * (low == 0)
        parts.append(diagrams.label(middle, line + 58, name, colour))
    parts += [
        diagrams.arrow((x, line - 14), (x, line + 14), width=1, head=False)
        for x in map(place, ticks)
    ]
    for value in (0, normal, 2 * normal, ticks[-1]):
        words = page.text(value, ".2g")
        parts.append(diagrams.label(place(value), line + 30, words, diagrams.MUTED, 13))
    becomes = []
    for value, (*_, colour, _), height in zip(EXAMPLES, zones, (18, 52, 52), strict=True):
        nearest = ticks[np.abs(ticks - value).argmin()]
        words = [page.text(number, ".2g") for number in (value, nearest)]
        start, end = (place(value), height), (place(nearest), line - 16)
        parts.append(diagrams.arrow(start, end, colour=colour))
        label = diagrams.label(
            place(value) + 6, height - 4, " → ".join(words), colour, anchor="start"
        )
        parts.append(label)
        becomes.append(" becomes ".join(words))
    return diagrams.Diagram(
        460, 190,
        f"The number line from 0 to {page.text(ticks[-1])} with a tick for every number of e4m3. "
        f"Below {page.text(normal)} the ticks are equally far apart: subnormal numbers. From there "
        "on they are normal, and their distance doubles with every doubling of the number. "
        f"{'; '.join(becomes)}.",
        parts,
    )  # fmt: skip


def figure_sizes() -> None:
    """Draw where the gradients of four layers lie, above what the formats hold."""
    _, (above, below) = plt.subplots(2, 1, figsize=(5.2, 5.2), sharex=True, height_ratios=(3, 2.2))
    gradients = exact(SURPRISE).weight_gradients.hidden
    bins = np.linspace(-13, 1, 71)
    for number, layer in enumerate((10, 7, 4, 1)):
        sizes = np.log10(np.abs(np.ravel(gradients[:, layer - 1])))
        count = np.histogram(sizes, bins)[0] / len(sizes)
        above.stairs(100 * count, bins, color=plots.COLOURS[number], linewidth=1.6)
        top = bins[count.argmax()]
        above.annotate(
            "layer 1" if layer == 1 else f"{layer}",
            (top, 100 * count.max() + 0.8),
            ha="center",
            color=plots.COLOURS[number],
        )
    above.set(ylabel="% of the entries", ylim=(0, 23), axisbelow=True)
    for row, name in enumerate(SHOWN):
        smallest, normal, largest, _ = np.log10(format_limits(name))
        below.barh(row, largest - normal, left=normal, color="#666666")
        below.barh(row, normal - smallest, left=smallest, color="#666666", alpha=0.4)
        if name in ("bfloat16", "float32"):
            below.text(-3, row, "from −38 to 38", ha="center", va="center", color="#ffffff")
    below.set_yticks(range(len(SHOWN)), SHOWN)
    below.set(xlim=(-12, 6), xticks=range(-12, 7, 3), ylim=(4.5, -0.5))
    below.set(xlabel="power of ten (pale: subnormal numbers)", axisbelow=True)


# The depth at which the gradient is gone


class Ends(NamedTuple):
    """Where layer 1 of the sigmoid nets should lose its weight gradient.

    Attributes:
        factor: What a layer multiplies the error signal by, measured in float64.
        last: Weight gradient of the last hidden layer, RMS.
        end: Numbers below this one become 0, by format.
        layers: Hidden layers after which the gradient is as small as the end, by format.
    """

    factor: float
    last: float
    end: dict[str, float]
    layers: dict[str, float]


@cache
def ends() -> Ends:
    """Predict the depth for each format from nets of 20 layers."""
    signals = exact(20)
    sizes = np.median([grads.rms(w) for w in signals.weight_gradients.hidden[:, 19]])
    factor = float(np.median(jax.vmap(lambda each: each.ratio)(signals))) ** (1 / 19)
    half = {name: format_limits(name).smallest_subnormal / 2 for name in SHOWN}
    end = half | {name: format_limits(name).smallest_normal for name in ("bfloat16", "float32")}
    layers = {name: 1 + np.log(each / sizes) / np.log(factor) for name, each in end.items()}
    return Ends(factor, float(sizes), end, layers)


class Lost(NamedTuple):
    """What is wrong with layer 1's weight gradient, one row for each net.

    Attributes:
        lost: Share of its entries that is 0.
        error: Relative error.
    """

    lost: Float[np.ndarray, "nets depths"]
    error: Float[np.ndarray, "nets depths"]


@cache
def by_depth() -> dict[str, Lost]:
    """By format, at all `DEPTHS`."""
    found = {}
    for name in MARKERS:
        rows = [compare(name, int(depth)).weight_gradients for depth in DEPTHS]
        shares = (np.stack([each.lost[:, 0] for each in rows], 1),
                  np.stack([each.relative_error[:, 0] for each in rows], 1))  # fmt: skip
        found[name] = Lost(*shares)
    return found


def gone(name: str) -> int:
    """The first of `DEPTHS` at which nothing is left in any net."""
    return int(DEPTHS[(by_depth()[name].lost == 1).all(axis=0)].min())


def at(name: str, depth: int) -> Lost:
    """Medians over the nets at one of `DEPTHS`."""
    column = list(DEPTHS).index(depth)
    return Lost(*(float(np.median(rows[:, column])) for rows in by_depth()[name]))


def predict_depth() -> selfcheck.Quiz:
    """Ask after how many layers float32 is at its end."""
    found, smallest = ends(), format_limits("float32").smallest_normal
    question = selfcheck.number(
        "Each layer of the sigmoid net multiplies the error signal by 0.23. After about how many "
        f"layers is a number of size 1 smaller than {page.text(smallest)}, where float32 ends?",
        np.log(smallest) / np.log(found.factor),
        right="It takes about 60 factors of 0.23 to make 10⁻³⁸.",
        small="There is more room: ten layers take only about six powers of ten.",
        large="It is gone before. Divide 38 powers of ten by what one factor of 0.23 takes, "
        "which is about 0.63 of a power of ten.",
        tolerance=0.1,
    )
    return selfcheck.predict(LABEL, question)


def figure_depths() -> None:
    """Draw what layer 1 loses against the depth, and how wrong the rest is."""
    _, (above, below) = plt.subplots(2, 1, figsize=(5.2, 5.6), sharex=True)
    for number, (name, found) in enumerate(by_depth().items()):
        plots.spread(above, DEPTHS, found.lost, name, number, marker=MARKERS[name])
        plots.spread(below, DEPTHS, found.error, name, number, marker=MARKERS[name])
        above.lines[-1].set_linestyle("--" if name == "float32" else "-")
        above.axvline(ends().layers[name], color="0.4", linestyle=":", linewidth=1)
    above.set(ylabel="share of entries lost", ylim=(-0.05, 1.05))
    below.set(xlabel="hidden layers", ylabel="relative error", yscale="log")
    above.legend(loc="center")


# Numbers of 8 bits


def stored(
    values: Float[Array, "*shape"], name: str, scale: float | Array = 1.0
) -> Float[Array, "*shape"]:
    """Numbers as a format holds them: multiplied by a scale, rounded, and divided by it.

    Args:
        values: In float64.
        name: Of the format, a key of `DTYPES`.
        scale: A power of two, so that it rounds nothing itself.
    """
    return (scale * values).astype(DTYPES[name]).astype(values.dtype) / scale


def own_scale(values: Float[Array, "*shape"], name: str) -> Float[Array, ""]:
    """The largest power of two by which an array can be multiplied without an overflow."""
    room = format_limits(name).largest / jnp.max(jnp.abs(values))
    return 2.0 ** jnp.floor(jnp.log2(room))


@cache
def in_eight_bits() -> dict[str, Float[np.ndarray, "nets"]]:
    """What is lost of layer 1's weight gradient in the nets of 10 layers, stored in 8 bits."""

    def one(gradient: Array) -> dict[str, Array]:
        scaled = {n: stored(gradient, n, own_scale(gradient, n)) for n in ("e4m3", "e5m2")}
        errors = {name: format_error(values, gradient) for name, values in scaled.items()}
        return {
            "lost": format_error(stored(gradient, "e5m2"), gradient).lost,
            **{f"lost_{name}": error.lost for name, error in errors.items()},
            **{f"error_{name}": error.relative_error for name, error in errors.items()},
        }

    found = jax.jit(jax.vmap(one))(exact(SURPRISE).weight_gradients.hidden[:, 0])
    return jax.tree.map(np.asarray, found)


# Mixed precision

RATE, STEPS, BATCH, EVERY = 0.01, 1000, 64, 50
RECIPES = {
    "all in float32": ("float32", "float32"),
    "computed in bfloat16, weights in float32": ("float32", "bfloat16"),
    "all in bfloat16": ("bfloat16", "bfloat16"),
}
"""In which format weights are kept, and in which a step is computed."""


def cast(net: nets.Net, name: str) -> nets.Net:
    """For readers: a network with all its numbers in a format."""
    return jax.tree.map(lambda array: array.astype(name), net)


def loss(net: nets.Net, x: Float[Array, "batch inputs"], y: Int[Array, " batch"]) -> Array:
    """For readers: mean loss of a net computed in the format of its weights, taken in float32."""
    outputs = jax.vmap(net)(x.astype(net.readout.w.dtype))
    return jnp.mean(jax.vmap(grads.cross_entropy)(outputs.astype("float32"), y))


def ten_layers() -> nets.Net:
    """For readers: a sigmoid net of ten hidden layers in float32."""
    first = jax.tree.map(lambda leaf: leaf[0], networks())
    return cast(nets.unstack(first.replace(depth=SURPRISE)), "float32")


# Each operation is rounded to its own format, as narrow hardware does it.
@partial(
    jax.jit,
    static_argnames=("kept", "computed"),
    compiler_options={"xla_allow_excess_precision": False},
)
def _train(networks: nets.Net, kept: str, computed: str) -> Float[Array, "nets rows"]:
    digits = data.digits()
    x, y = digits.x_train, digits.y_train

    def step(net: nets.Net, number: Array) -> tuple[nets.Net, None]:
        rows = (jnp.arange(BATCH) + BATCH * number) % len(x)
        gradient = jax.grad(loss)(cast(net, computed), x[rows], y[rows])
        rate = jnp.asarray(RATE, kept)
        return jax.tree.map(lambda w, g: w - rate * g.astype(kept), net, gradient), None

    def several(net: nets.Net, first: Array) -> tuple[nets.Net, Array]:
        before = loss(cast(net, "float32"), x, y)
        return jax.lax.scan(step, net, first + jnp.arange(EVERY))[0], before

    def one(net: nets.Net) -> Array:
        end, losses = jax.lax.scan(several, cast(net, kept), jnp.arange(0, STEPS, EVERY))
        return jnp.append(losses, loss(cast(end, "float32"), x, y))

    return jax.vmap(one)(networks)


@cache
def trained() -> dict[str, Float[np.ndarray, "seeds rows"]]:
    """Loss of tanh nets of two hidden layers every 50 steps, by recipe."""
    draw = partial(nets.mlp, widths=(64, 64, 64, 10), activation="tanh", stacked=True)
    drawn = jax.jit(jax.vmap(draw))(seeds())
    return {recipe: np.asarray(_train(drawn, *names)) for recipe, names in RECIPES.items()}


def predict_steps() -> selfcheck.Quiz:
    """Ask where a weight of 1 is after a hundred steps of 0.001 in bfloat16."""
    question = selfcheck.choice(
        "A weight of 1 is kept in bfloat16. In each of 100 steps, 0.001 is subtracted from it. "
        "Where is it in the end?",
        {
            "At 0.9": "That would be exact. But just below 1 the numbers of bfloat16 lie 0.004 "
            "apart, so there is none to go to.",
            "Near 0.9, with a rounding error": "Rounding does not average out here: each single "
            "step rounds back to 1.",
            "At 1": "Just below 1 the numbers of bfloat16 lie 0.004 apart. 0.999 is nearer to 1 "
            "than to the next one below, so each step rounds back to 1.",
        },
        right="At 1",
    )
    return selfcheck.predict(LABEL, question)


def figure_training() -> None:
    """Draw how the loss falls where weights are kept in float32, and where they are not."""
    _, axes = plt.subplots(figsize=(5.2, 3.4))
    steps = np.arange(0, STEPS + 1, EVERY)
    for number, (recipe, losses) in enumerate(trained().items()):
        plots.spread(axes, steps, losses, recipe, (2, 3, 1)[number])  # as in `figure_depths`
        axes.lines[-1].set(linestyle=("-", "--", "-")[number], linewidth=(4, 1.8, 1.8)[number])
        axes.lines[-1].set_alpha((0.4, 1, 1)[number])
    axes.set(xlabel="step", ylabel="loss of the training images", ylim=(0, 2.8))
    axes.legend(loc="upper right")


# The window of loss scales

POWERS = np.arange(0, 27, 2)
"""Loss scales, as powers of two."""
OF_USE = (8, 14, 20)
"""Hidden layers of the nets that are tried."""


@cache
def useless() -> dict[int, Float[np.ndarray, "nets powers"]]:
    """Share of layer 1 that is lost, by depth; all of it, if any gradient of the net overflows."""
    shares = {}
    for depth in OF_USE:
        row = [compare("float16", depth, 2.0**power) for power in POWERS.tolist()]
        lost = [np.where(each.finite, each.weight_gradients.lost[:, 0], 1) for each in row]
        shares[depth] = np.stack(lost, 1)
    return shares


@cache
def overflow() -> Float[np.ndarray, " nets"]:
    """The power of two by which the largest gradient of the nets of 8 layers reaches 65504."""
    leaves = jax.tree.leaves(exact(SCALED).gradient)
    largest = np.max([np.abs(leaf).max(axis=tuple(range(1, leaf.ndim))) for leaf in leaves], axis=0)
    return np.log2(format_limits("float16").largest / largest)


def predict_scale() -> selfcheck.Quiz:
    """Ask for which loss scales the gradient is good."""
    question = selfcheck.choice(
        "Which loss scale S is best for the sigmoid net in float16?",
        {
            "The larger the better": "A larger S saves more of layer 1, until the largest gradient "
            "of the net passes 65504 and becomes infinite.",
            "There is a range of good ones at every depth": "Up to some depth there is. In "
            "a deeper net the gradients span more than the format does.",
            "There is a range of good ones, up to some depth": "Below it layer 1 is lost, above it "
            "the last layer overflows. The range gets narrower with every layer, until it is "
            "empty.",
        },
        right="There is a range of good ones, up to some depth",
    )
    return selfcheck.predict(LABEL, question)


def figure_window() -> None:
    """Draw which share of layer 1 is of no use, against the loss scale."""
    _, axes = plt.subplots(figsize=(5.2, 3.6))
    for number, (depth, shares) in enumerate(useless().items()):
        plots.spread(axes, POWERS, shares, f"{depth} layers", number, marker="os^"[number])
    axes.axvspan(overflow().min(), overflow().max(), color="0.92", zorder=0)
    axes.set(
        xlabel="loss scale S, as a power of two",
        ylabel="share lost or thrown away",
        ylim=(-0.03, 1.03),
    )
    axes.legend(loc="center left")


# The explorer

LAYERS = [2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 40]
SCALES = [("1", 1.0), ("8", 8.0), ("128", 128.0), ("1024", 1024.0), ("2^15", 2.0**15)]
SCALES.append(("2^24", 2.0**24))
CHOSEN = ["sigmoid", "tanh", "relu"]
UNITS = 8
"""Units of each layer that the picture shows."""


def with_net(net: nets.Net) -> Callable[..., dict[str, Array]]:
    """What the explorer shows of a net, which may be a reader's own, and one digit.

    Args:
        net: A stacked net, whose depth and activation are replaced.
    """
    digits = data.digits()
    x, y = digits.x_train[33], digits.y_train[33]

    @jax.custom_batching.sequential_vmap  # side by side, sums are added in another order
    def compute(depth: Array, activation: Array, format: Array, scale: Array) -> dict[str, Array]:
        here = net.replace(depth=depth, activation=activations.by_index(activation, CHOSEN))
        (*errors, finite), narrow = errors_of(here, x[None], y[None], format, scale)
        weight, signal = jax.tree.map(lambda layers: layers[:-1], errors)  # without the output
        rows = narrow.error_signals.hidden[:, 0]
        rows = jnp.where(jnp.isfinite(rows), rows, 1.0)  # at the strong end of the colours
        used = jnp.arange(len(rows)) < depth
        lost, most = 100 * weight.lost[0], 100 * jnp.nanmax(weight.lost)
        return grads.unit_signals(here, x, y, units=UNITS) | {
            "error": jnp.where(used[:, None], rows, jnp.nan)[:, :UNITS].ravel(),
            "error_size": jnp.where(used, jax.vmap(grads.rms)(rows), jnp.nan),
            "weight": weight.lost,
            "signal": signal.lost,
            "overflow": weight.not_finite,
            "wrong": weight.relative_error,
            "size": weight.size,
            "lost": lost,
            "most": most,
            "sentence": explore.first_true(~finite, lost == 100, lost > 0, most > 0),
        }

    return lambda depth, activation, number_format, loss_scale: compute(
        *map(jnp.asarray, (depth, activation, number_format, loss_scale))
    )


def first_net() -> nets.Net:
    """For readers: the net of the explorer, with up to 40 hidden layers."""
    return nets.mlp(seeds()[0], (64,) * 41 + (10,), "sigmoid", stacked=True)


@cache
def explorer() -> explore.Explorer:
    """One digit in a net whose gradient is computed in a narrow format."""
    labels = [activations.ACTIVATIONS[name].label for name in CHOSEN]
    presets = {"Gone in float16": "1", "Rescued": "2^15", "Too much": "2^24"}
    return explore.Explorer(
        "Number formats",
        with_net(first_net()),
        controls={
            "depth": widgets.SelectionSlider(
                options=LAYERS, value=12, description="Hidden layers"
            ),
            "activation": widgets.Dropdown(
                options=list(zip(labels, CHOSEN, strict=True)), description="Activation"
            ),
            "number_format": widgets.ToggleButtons(options=COMPUTED[:3], description="Format"),
            "loss_scale": widgets.SelectionSlider(options=SCALES, description="Loss scale S"),
        },
        views=[
            explore.network(
                UNITS,
                forward=(-3, 1),
                backward=(-12, 0),
                summary=[
                    "Overflow: with S = {loss_scale} some gradient is not finite, and the step is "
                    "thrown away.",
                    "Layer 1's weight gradient, {size} in float64, is 0 in {number_format}.",
                    "{lost} % of layer 1's weight gradient is 0 in {number_format}.",
                    "Layer 1 loses nothing in {number_format}; the worst layer loses {most} %.",
                    "{number_format} loses nothing; layer 1's relative error is {wrong}.",
                ],
                columns={"wrong": "Weight gradient, relative error", "size": "its RMS in float64"},
            ),
            explore.chart(
                [
                    explore.series("signal", "Error signal: lost", colour=1),
                    explore.series("weight", "Weight gradient: lost", dash=True, colour=2),
                    explore.series("overflow", "Weight gradient: not finite", colour=3),
                ],
                x={"label": "Layer (1 is nearest the input)", "name": "layer", "start": 1},
                y={"label": "Share of entries", "domain": [0, 1]},
            ),
        ],
        presets={
            label: {
                "depth": 12, "activation": "sigmoid", "number_format": "float16",
                "loss_scale": scale,
            }
            for label, scale in presets.items()
        },
    )  # fmt: skip


# The text's numbers, and the questions


@cache
def numbers() -> dict[str, float]:
    """Numbers that the text says, by name."""
    found, eight, losses = ends(), in_eight_bits(), trained()
    limits = {name: format_limits(name) for name in SHOWN}
    window = np.log10(limits["float16"].largest / limits["float16"].smallest_subnormal)
    decades = -np.log10(found.factor)
    gradients = exact(SCALED).weight_gradients.hidden
    first, last = (jax.vmap(grads.rms)(gradients[:, layer]) for layer in (0, SCALED - 1))
    return {
        **{f"smallest_{name}": each.smallest_subnormal for name, each in limits.items()},
        **{f"largest_{name}": each.largest for name, each in limits.items()},
        **{f"layers_{name}": found.layers[name] for name in SHOWN if name != "bfloat16"},
        "normal_e4m3": limits["e4m3"].smallest_normal,
        "normal_float32": limits["float32"].smallest_normal,
        "half_zeros": at("float16", SURPRISE).lost,
        "half_error": at("float16", SURPRISE).error,
        "brain_zeros": at("bfloat16", SURPRISE).lost,
        "brain_error": at("bfloat16", SURPRISE).error,
        "factor": found.factor,
        "last": found.last,
        "gone_float16": gone("float16"),
        "gone_float32": gone("float32"),
        "size_40": np.median(jax.vmap(grads.rms)(exact(40).weight_gradients.hidden[:, 0])),
        "lost_8": at("float16", 8).lost,
        "error_8": at("float16", 8).error,
        "signals_8": np.median(compare("float16", 8).error_signals.lost[:, 0]),
        "layers_more": np.log(limits["float32"].epsilon) / np.log(found.factor),
        "felt": limits["bfloat16"].epsilon / 4,
        "felt_float32": limits["float32"].epsilon / 4,
        "loss_float32": np.median(losses["all in float32"][:, -1]),
        "loss_bfloat16": np.median(losses["all in bfloat16"][:, -1]),
        "window": window,
        "decades": decades,
        "reach": window / decades,
        "ratio": np.median(first / last),
        "error_e5m2": np.median(eight["error_e5m2"]),
        "error_e4m3": np.median(eight["error_e4m3"]),
    }


def questions() -> list[selfcheck.Question]:
    """The page's questions."""
    limits = format_limits("float16")
    smallest, largest = limits.smallest_subnormal, limits.largest
    curves = {name: np.median(found.error, axis=0) for name, found in by_depth().items()}
    return [
        selfcheck.choice(
            "A gradient is about 10⁻¹² in float32. How many of its decimal digits can be right?",
            {
                "About seven": "As many as for a number near 1: the exponent takes care of the "
                "size, so all digits are there for the precision.",
                "None, because float32 has a precision of about 10⁻⁷": "That precision is "
                "relative. It says how near to 1 the next number is, not how near to 0.",
                "One or two, because small numbers have fewer digits": "Only below the smallest "
                "normal number, which is about 10⁻³⁸.",
            },
            right="About seven",
        ),
        selfcheck.number(
            f"The smallest positive number of float16 is {page.text(smallest)}. With a loss scale "
            "of 1000, what is the smallest true gradient that it can hold?",
            smallest / 1000,
            right="The scaled gradient is 1000 times as large. Divided again, in a wider format, "
            "it is the true one.",
            small="The scale moves all gradients by a factor of 1000, and by no more.",
            large="The loss scale helps: gradients that are 1000 times smaller come through.",
            tolerance=0.1,
        ),
        selfcheck.curve(
            "Relative error of layer 1's gradient in three formats, against the depth of the "
            "sigmoid net. Which format has few digits and a wide range?",
            DEPTHS,
            {"A": curves["float32"], "B": curves["float16"], "C": curves["bfloat16"]},
            {
                "A": "This one is accurate nearly to the end. It has many digits and a wide range: "
                "float32.",
                "B": "It begins more accurate than C, so it has more digits. But all is lost "
                "within ten layers, so its range is narrow: float16.",
                "C": "An error near one percent at any depth means few digits, and it holds on as "
                "long as A: bfloat16.",
            },
            right="C",
            xlabel="hidden layers",
            ylabel="relative error",
            log=True,
        ),
        selfcheck.choice(
            "In float16, each loss scale either leaves layer 1 at 0 or makes the last layer "
            "infinite. What helps?",
            {
                "A scale between the two": "There is none left, because the gradients span more "
                "than the format.",
                "A format of wider range, or a net whose layers differ less": "The scale moves all "
                "gradients together. Only the net can bring them nearer to each other, and only "
                "the format can make more room.",
                "A smaller learning rate": "It is applied after the gradient, and 0 stays 0.",
            },
            right="A format of wider range, or a net whose layers differ less",
        ),
        selfcheck.choice(
            "Weights and gradients are in bfloat16. The gradient is accurate to a percent, and "
            "nothing underflows, but after a while most weights no longer change. Why?",
            {
                "The step is smaller than half the distance to the weight's next number": "So the "
                "sum is rounded back to the old weight. Weights in float32 mend it.",
                "The gradient has vanished": "It is there, and accurate to a percent. Look at the "
                "subtraction that follows.",
                "The loss scale is too small": "A loss scale is divided out before the step, so "
                "it changes nothing here.",
            },
            right="The step is smaller than half the distance to the weight's next number",
        ),
        selfcheck.number(
            f"float16 holds sizes from {page.text(smallest)} to {largest:.0f}. A net loses half a "
            "power of ten of its gradient per layer. After about how many layers does no loss "
            "scale help any more?",
            np.log10(largest / smallest) / 0.5,
            right="Its gradients then span more powers of ten than the format has, wherever the "
            "scale puts them.",
            small="Count the powers of ten between the two ends, and two layers for each.",
            large="Count the powers of ten from end to end: about twelve.",
            tolerance=0.08,
        ),
    ]
