"""The chapter on recurrence: its experiments, figures, explorers and questions."""

from collections.abc import Callable
from functools import cache
from itertools import accumulate
from typing import Any, NamedTuple

import ipywidgets as widgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Float

from vgcourse import charts, diagrams, selfcheck
from vgkit import activations, explore, grads, plots, recurrent

LABEL = "recurrence"
UNITS, INPUTS, TIME, SEEDS = 32, 8, 100, 8
MAKERS = {"plain": recurrent.rnn, "LSTM": recurrent.lstm, "GRU": recurrent.gru}
FORGET = 1
"""Position of an LSTM's forget gate and of a GRU's update gate."""


# The nets and what they read


@cache
def draw(kind: str, init: str = "orthogonal") -> recurrent.Cell:
    """Eight cells of a kind, on the leading axis.

    Args:
        kind: "plain", "LSTM" or "GRU".
        init: "orthogonal" recurrent matrices with biases of 0, or everything as in "pytorch".
    """
    keys = jax.random.split(jax.random.key(0), SEEDS)
    return jax.vmap(lambda key: MAKERS[kind](key, INPUTS, UNITS, init=init))(keys)


def first(cells: Any) -> Any:
    """The first of several cells, or of an array's rows."""
    return jax.tree.map(lambda leaf: leaf[0], cells)


@cache
def read() -> tuple[
    Float[Array, "nets sequences time inputs"], Float[Array, "nets sequences units"]
]:
    """Eight sequences for each of eight nets, and the direction along which the loss reads h_T."""
    key_x, key_u = jax.random.split(jax.random.key(1))
    u = jax.random.normal(key_u, (SEEDS, SEEDS, UNITS))
    x = jax.random.normal(key_x, (SEEDS, SEEDS, TIME, INPUTS))
    return x, u / jnp.linalg.norm(u, axis=-1, keepdims=True)


def example(size: float = 1.0) -> tuple[recurrent.Cell, Array, Array]:
    """For readers: a plain net, one sequence, and the direction of its loss."""
    x, u = read()
    return first(draw("plain")), size * x[0, 0], u[0, 0]


def sizes(cells: recurrent.Cell, size: float = 1.0) -> grads.StateNorms:
    """Gradient at every step, for a loss of the last state: norms, RMS over a net's sequences.

    Args:
        cells: Eight cells on the leading axis.
        size: Standard deviation of the inputs.
    """
    x, u = read()
    return jax.tree.map(np.asarray, _sizes(cells, size * x, u))


_sizes = jax.jit(jax.vmap(grads.state_norms))


def kept(cells: recurrent.Cell, size: float = 1.0) -> Float[np.ndarray, " nets"]:
    """Share of the gradient that gets back over 100 steps, for all states that are handed on."""
    return sizes(cells, size).state[:, 0]


# Like with like

STARTS = {"pytorch": "PyTorch’s start", "orthogonal": "orthogonal matrices"}


@cache
def compared() -> dict[str, dict[str, Float[np.ndarray, "nets steps"]]]:
    """Gradients of plain nets and LSTMs by how both were started, for inputs of size 0.1."""
    kinds = ("plain", "LSTM")
    return {init: {kind: sizes(draw(kind, init), 0.1).state for kind in kinds} for init in STARTS}


def picture_unrolled() -> diagrams.Diagram:
    """A recurrent net, one copy of it for each step."""
    return diagrams.unrolled()


def predict_lstm() -> selfcheck.Quiz:
    """Ask how much an LSTM keeps over 100 steps as it is commonly started."""
    question = selfcheck.power(
        "The loss looks at step 100 only. How much of its gradient does the LSTM still have at "
        "step 0?",
        np.median(compared()["pytorch"]["LSTM"][:, 0]),
        (-30, 0),
        right="Yes, next to nothing. It is more than in the plain net, but too little to learn "
        "from what happened at step 0.",
        small="A little more is left, but too little to learn from what happened at step 0.",
        large="Far less is left. Gates alone do not keep a gradient alive.",
        decades=2.0,
    )
    return selfcheck.predict(LABEL, question)


def figure_compared() -> None:
    """Draw the gradient at every step, default against default, orthogonal against orthogonal."""
    _, panels = plt.subplots(2, 1, figsize=(5.2, 5.6), sharex=True)
    for axes, (init, title) in zip(panels, STARTS.items(), strict=True):
        for number, (kind, norms) in enumerate(compared()[init].items()):
            plots.spread(axes, np.arange(TIME + 1), norms, kind, number)
        axes.set(yscale="log", title=title, ylabel="size of the gradient", ylim=(1e-27, 10))
    panels[1].set_xlabel("time step t (the loss reads step 100)")
    panels[0].legend()


# Which number of the matrix decides?

SHEAR = np.array([[0.8, 2.0], [0.0, 0.8]])
"""A matrix of spectral radius 0.8, whose first powers stretch."""
NILPOTENT = np.array([[8.0, 8.0], [-8.0, -8.0]])
"""A matrix that stretches a vector to 16 times its length, and leaves nothing if applied twice."""
RADIUS_0 = "tanh, ρ = 0, σ₁ = 16"


class Product(NamedTuple):
    """A recurrence and its product of Jacobians.

    Attributes:
        cell: The net.
        grown: Largest singular value of the product of the first t Jacobians.
    """

    cell: recurrent.RNN
    grown: Float[np.ndarray, " steps"]


def steep() -> tuple[recurrent.RNN, recurrent.State]:
    """A tanh net of spectral radius 0 and a fixed point of it, where gradients explode."""
    w, z = NILPOTENT, np.array([0.0, np.arctanh(0.5)])
    return recurrent.RNN(np.zeros((2, 1)), w, z - w @ np.tanh(z)), recurrent.State(np.tanh(z))


def figure_stretched() -> None:
    """Draw what powers of a matrix make of a circle of vectors."""
    _, panels = plt.subplots(2, 2, figsize=(5.2, 2.4), sharex=True, sharey=True)
    angle = np.linspace(0, 2 * np.pi, 201)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    titles = {0: "a circle", 1: "after 1 step", 4: "after 4 steps", 20: "after 20 steps"}
    for axes, (steps, title) in zip(panels.flat, titles.items(), strict=True):
        x, y = np.linalg.matrix_power(SHEAR, steps) @ circle
        axes.fill(x, y, color=plots.COLOURS[0], alpha=0.3)
        axes.plot(x, y, color=plots.COLOURS[0])
        axes.set(title=title, aspect="equal", xticks=range(-4, 5, 2), yticks=[-1, 0, 1])


@cache
def products() -> dict[str, Product]:
    """Three recurrences whose spectral radius is below 1, over 30 steps."""
    linear = recurrent.RNN(np.zeros((2, 1)), SHEAR, np.zeros(2), activation="identity")
    doubling, fixed = steep()
    cell, x, _ = example()
    small = cell.replace(w_rec=0.95 * cell.w_rec)
    silence = jnp.zeros((30, 1))
    return {
        "linear, ρ = 0.8, σ₁ = 2.3": _product(linear, silence),
        RADIUS_0: _product(doubling, silence, fixed),
        "tanh, ρ = 0.95, σ₁ = 0.95": _product(small, x[:30]),
    }


def _product(cell: recurrent.RNN, x: Array, start: recurrent.State | None = None) -> Product:
    jacobians = np.asarray(grads.state_jacobians(cell, x, start=start))
    whole = accumulate(jacobians, lambda product, jacobian: jacobian @ product)
    return Product(cell, np.array([1.0, *(np.linalg.norm(one, 2) for one in whole)]))


def predict_products() -> selfcheck.Quiz:
    """Ask in which of three recurrences the product of Jacobians grows."""
    question = selfcheck.choice(
        "Three recurrences: a linear one with ρ = 0.8 and σ₁ = 2.3, a tanh net with ρ = 0 and "
        "σ₁ = 16, and a tanh net with ρ = σ₁ = 0.95. In which of them can the product of 30 "
        "Jacobians stretch some vector?",
        {
            "In none: all three have ρ below 1": "ρ below 1 is a promise for linear recurrences, "
            "and only in the end. The tanh net with ρ = 0 explodes.",
            "In the tanh net with ρ = 0": "Its σ₁ is above 1, and the slopes change what the "
            "matrix does from step to step.",
            "In the linear one": "It grows on the way, but after 30 steps it has shrunk below 1.",
        },
        right="In the tanh net with ρ = 0",
    )
    return selfcheck.predict(LABEL, question)


def figure_products() -> None:
    """Draw the size of the product of Jacobians over 30 steps."""
    _, axes = plt.subplots(figsize=(5.2, 3.6))
    for number, (name, product) in enumerate(products().items()):
        style = {"color": plots.COLOURS[number], "marker": "os^"[number], "markersize": 3}
        axes.plot(product.grown, label=name, **style)
    axes.set(yscale="log", xlabel="steps", ylabel="σ₁ of the product of Jacobians")
    axes.legend()


# A bound, and what is kept within it

SLOPES = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0}
"""Largest slopes."""
SETTINGS = {
    "weak": ("tanh", "orthogonal", 1.0, 0.01),
    "middle": ("tanh", "orthogonal", 1.0, 0.1),
    "strong": ("tanh", "orthogonal", 1.0, 1.0),
    "below": ("tanh", "orthogonal", 0.9, 0.01),
    "larger": ("tanh", "orthogonal", 1.5, 1.0),
    "normal": ("tanh", "normal", 2.9, 1.0),
    "held": ("tanh", "orthogonal", 2.0, 1.0),
    "exploded": ("relu", "orthogonal", 2.0, 1.0),
}
"""Activation, kind of matrix, largest singular value, size of the inputs."""
BOUNDED = ("below", "larger", "normal", "held")
"""Settings whose bounds the text says."""


@cache
def matrices() -> dict[str, Float[Array, "nets units units"]]:
    """Recurrent matrices whose largest singular value is 1."""
    normal = jax.random.normal(jax.random.key(2), (SEEDS, UNITS, UNITS))
    normal = normal / jnp.linalg.norm(normal, 2, axis=(1, 2), keepdims=True)
    return {"orthogonal": draw("plain").w_rec, "normal": normal}


@cache
def shares() -> dict[str, Float[np.ndarray, " nets"]]:
    """What plain nets keep over 100 steps, by the name of the setting."""
    return {
        name: kept(draw("plain").replace(w_rec=gain * matrices()[kind], activation=phi), size)
        for name, (phi, kind, gain, size) in SETTINGS.items()
    }


def predict_strong() -> selfcheck.Quiz:
    """Ask what an orthogonal net keeps with strong inputs."""
    question = selfcheck.power(
        "An orthogonal matrix changes no length: σ₁ = ρ = 1. With weak inputs (standard deviation "
        "0.01) a tanh net with such a matrix keeps most of the gradient over 100 steps. How "
        "much does the same net keep with inputs of standard deviation 1?",
        np.median(shares()["strong"]),
        (-30, 0),
        right="Strong inputs drive the units to where tanh is flat, and the small slopes multiply.",
        small="A little more. Strong inputs drive the units to where tanh is flat.",
        large="Far less. The matrix loses nothing, but strong inputs drive the units to where tanh "
        "is flat, and a hundred small slopes multiply.",
        decades=3.0,
    )
    return selfcheck.predict(LABEL, question)


# The explorer of plain nets

DRAWN = 5
"""Units that the picture shows."""
LENGTHS = (5, 10, 20, 30)
FACTORS = (0.5, 0.9, 1.0, 1.1, 1.5, 2.0)
ORTHOGONAL = {"factor": 1.0, "activation": "tanh", "matrix": "orthogonal", "length": LENGTHS[-1]}
PRESETS = {
    "Weak inputs": {**ORTHOGONAL, "size": 0.01},
    "Strong inputs": {**ORTHOGONAL, "size": 1.0},
    "Bound above 1, and vanishing": {**ORTHOGONAL, "factor": 1.5, "size": 3.0},
    "Exploding": {**ORTHOGONAL, "factor": 2.0, "activation": "ReLU", "size": 1.0},
}


def _picture(cell: recurrent.Cell, x: Array, u: Array, length: int | Array) -> dict[str, Array]:
    """Arrays of the network view of one sequence; the gradient at step T has the RMS 1."""
    states = recurrent.run(cell, x)
    back = grads.state_gradients(cell, x, lambda h: UNITS**0.5 * (u @ h[length]))
    beyond = jnp.where(jnp.arange(len(x) + 1) <= length, 0.0, jnp.nan)

    def size(rows: Array) -> Array:
        return jax.vmap(grads.rms)(rows) + beyond

    def units(rows: Array) -> Array:
        return (rows[:, :DRAWN] + beyond[:, None]).ravel()

    sizes = jax.tree.map(size, back)
    ratio = grads.l2(jnp.stack([part[0] for part in jax.tree.leaves(sizes)]))
    arrays = {
        "units": UNITS + beyond, "activation": units(states.h), "error": units(back.h),
        "activation_size": size(states.h), "error_size": sizes.h,
        "gradient": sizes.h, "ratio": ratio, "sentence": charts.outcome(ratio),
    }  # fmt: skip
    if states.c is None:
        return arrays
    on_its_way = jnp.where(jnp.arange(len(x) + 1) < length, sizes.c, jnp.nan)
    lane = {"cell": units(states.c), "cell_error": units(back.c)}
    return arrays | lane | {"cell_gradient": on_its_way}


def _powers(factor: float | Array, length: int | Array) -> Array:
    steps = length - jnp.arange(LENGTHS[-1] + 1)
    return jnp.where(steps >= 0, jnp.asarray(factor, float) ** steps, jnp.nan)


def _slider(options: Any, value: Any, description: str) -> widgets.SelectionSlider:
    return widgets.SelectionSlider(options=options, value=value, description=description)


def _views(chart: dict[str, Any], cell: bool) -> list[dict[str, Any]]:
    net = explore.network(
        DRAWN, name="time step", start=0, signal="gradient dL/dh", summary=chart["summary"],
        recurrent=True, cell=cell, forward=(-4, 1), backward=(-8, 0),
    )  # fmt: skip
    return [net, chart]


def with_matrix(matrix: Float[Array | np.ndarray, "units units"]) -> Callable[..., Any]:
    """For readers: a function for `explorer_plain().using(...)` from a matrix of their own."""
    largest, radius = np.linalg.norm(matrix, 2), np.abs(np.linalg.eigvals(matrix)).max()
    cell, x, u = example()

    def compute(factor: float | Array, size: float | Array, length: int | Array) -> Any:
        net = cell.replace(w_rec=factor * jnp.asarray(matrix))
        return _picture(net, size * x[: LENGTHS[-1]], u, length) | {
            "bound": _powers(factor * largest, length),
            "by_radius": _powers(factor * radius, length),
        }

    return compute


@cache
def explorer_plain() -> explore.Explorer:
    """A plain net, unrolled, with matrices, activations and inputs to choose."""
    kinds = [first(w) for w in matrices().values()]
    stacked, slopes = jnp.stack(kinds), jnp.array([*SLOPES.values()])
    radii = jnp.array([np.abs(np.linalg.eigvals(np.asarray(w))).max() for w in kinds])
    cell, x, u = example()

    def compute(
        factor: float | Array, activation: int | Array, matrix: int | Array, size: float | Array,
        length: int | Array,
    ) -> dict[str, Array]:  # fmt: skip
        net = cell.replace(
            w_rec=factor / slopes[activation] * stacked[matrix],
            activation=activations.by_index(activation, list(SLOPES)),
        )
        return _picture(net, size * x[: LENGTHS[-1]], u, length) | {
            "bound": _powers(factor, length),
            "by_radius": _powers(factor * radii[matrix], length),
        }

    chart = charts.time_steps(
        {"gradient": "Gradient dL/dh at step t"}, "ratio",
        dashed={"bound": "Bound: σ₁ × slope per step", "by_radius": "No bound: ρ × slope per step"},
    )  # fmt: skip
    return explore.Explorer(
        "Recurrence: plain net",
        compute,
        controls={
            "factor": _slider(FACTORS, 1.0, "σ₁ × largest slope"),
            "activation": widgets.Dropdown(
                options=["tanh", "sigmoid", "ReLU"], description="Activation"
            ),
            "matrix": widgets.Dropdown(options=list(matrices()), description="Recurrent matrix"),
            "size": _slider([0.01, 0.1, 1.0, 3.0], 0.1, "Size of the inputs"),
            "length": _slider(LENGTHS, 20, "Steps T"),
        },
        views=_views(chart, cell=False),
        presets=PRESETS,
    )


# Gates

BIASES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


def with_bias(cells: recurrent.Cell, bias: float | Array) -> recurrent.Cell:
    """Gated cells whose forget gate, or update gate, has this bias."""
    return cells.replace(b=cells.b.at[..., FORGET, :].set(bias))


def without_forget_gate(cells: recurrent.LSTM) -> recurrent.LSTM:
    """LSTMs as they were in 1997: the old cell state is kept with a factor of exactly 1.

    A sigmoid of 1000 is 1, in any format.
    """
    closed = {
        name: getattr(cells, name).at[..., FORGET, :, :].set(0.0) for name in ("w_in", "w_rec")
    }
    return with_bias(cells.replace(**closed), 1000.0)


def picture_cell() -> diagrams.Diagram:
    """Today's LSTM cell."""
    return diagrams.lstm_cell()


def picture_cell_of_1997() -> diagrams.Diagram:
    """The LSTM cell without a forget gate."""
    return diagrams.lstm_cell(forget=False)


def first_way(cells: recurrent.LSTM) -> Float[np.ndarray, " nets"]:
    """Share of the gradient that comes back over 100 steps along the memory alone.

    Args:
        cells: Eight cells on the leading axis.
    """
    return np.asarray(_first_way(cells, *read()))


@jax.jit
@jax.vmap
def _first_way(cell: recurrent.LSTM, x: Array, u: Array) -> Array:
    w_in, w_rec, b = (part[FORGET] for part in (cell.w_in, cell.w_rec, cell.b))

    def one(x: Array, u: Array) -> Array:
        h = recurrent.run(cell, x).h
        gates = jax.nn.sigmoid(jax.vmap(lambda x, h: w_in @ x + w_rec @ h + b)(x, h[:-1]))
        last = grads.state_gradients(cell, x, lambda h: u @ h[-1]).c[-2]  # only this way
        return grads.l2(last * jnp.prod(gates[:-1], axis=0))

    return grads.rms(jax.vmap(one)(x, u))


class ByBias(NamedTuple):
    """Share of the gradient that is kept over 100 steps.

    Attributes:
        lstm: For each forget bias of `BIASES`.
        gru: For each update bias.
        first: The LSTM without forget gate.
        rest: What a gate at rest leaves, for each bias.
    """

    lstm: Float[np.ndarray, "nets biases"]
    gru: Float[np.ndarray, "nets biases"]
    first: Float[np.ndarray, " nets"]
    rest: Float[np.ndarray, " biases"]


@cache
def by_bias() -> ByBias:
    """Measure orthogonal cells with inputs of size 1."""
    lstm, gru = (
        np.stack([kept(with_bias(draw(kind), bias)) for bias in BIASES], axis=1)
        for kind in ("LSTM", "GRU")
    )
    rest = (1 / (1 + np.exp(-np.array(BIASES)))) ** TIME
    return ByBias(lstm, gru, kept(without_forget_gate(draw("LSTM"))), rest)


def predict_bias() -> selfcheck.Quiz:
    """Ask what a forget bias of 1 leaves."""
    question = selfcheck.power(
        "A forget bias of 1 is a popular choice, and a gate with this bias is at 0.73 at rest. "
        "How much of the gradient does such an LSTM keep over 100 steps?",
        np.median(by_bias().lstm[:, BIASES.index(1.0)]),
        (-30, 0),
        right="Much more than with a bias of 0, and still next to nothing.",
        small="A little more, because the gates are not all at rest and because the hidden state "
        "is a second way. It is still next to nothing.",
        large="Far less. A hundred factors near 0.73 leave next to nothing.",
        decades=2.0,
    )
    return selfcheck.predict(LABEL, question)


def figure_biases() -> None:
    """Draw what is kept against the bias of the gate."""
    _, axes = plt.subplots(figsize=(5.2, 3.8))
    result = by_bias()
    plots.spread(axes, BIASES, result.lstm, "LSTM, forget gate", 0, marker="o")
    plots.spread(axes, BIASES, result.gru, "GRU, update gate", 1, marker="s")
    axes.plot(BIASES, result.rest, "--", color=plots.COLOURS[2], label="a gate at rest")
    axes.axhline(np.median(result.first), linestyle=":", color=plots.COLOURS[3],
                 label="LSTM of 1997, no forget gate")  # fmt: skip
    axes.set(yscale="log", xlabel="bias of the gate", ylabel="kept over 100 steps")
    axes.legend(loc="lower right")


def with_cell(change: Callable[..., recurrent.LSTM]) -> Callable[..., dict[str, Array]]:
    """For readers: a function for `explorer_lstm().using(...)` from a change of the cell."""
    cell, (_, x, u) = first(draw("LSTM")), example()

    def compute(
        bias: float | Array, largest: float | Array, size: float | Array, length: int | Array
    ) -> dict[str, Array]:
        net = change(cell.replace(w_rec=largest * cell.w_rec), bias)
        gate = _powers(jax.nn.sigmoid(jnp.asarray(bias, float)), length)
        return _picture(net, size * x[: LENGTHS[-1]], u, length) | {"gate": gate}

    return compute


@cache
def explorer_lstm() -> explore.Explorer:
    """An LSTM, unrolled, with both of its states."""
    gates = [(f"{bias:g}", bias) for bias in (0.0, 1.0, 2.0, 3.0, 5.0)]

    def change(cell: recurrent.LSTM, bias: Array) -> recurrent.LSTM:
        first_cell = without_forget_gate(cell)
        return jax.tree.map(
            lambda old, new: jnp.where(bias > 100, old, new), first_cell, with_bias(cell, bias)
        )

    chart = charts.time_steps(
        {"gradient": "Hidden state, dL/dh at step t", "cell_gradient": "Cell state, dL/dc at t"},
        "ratio", dashed={"gate": "Gate at rest: sigmoid(bias) per step"},
    )  # fmt: skip
    return explore.Explorer(
        "Recurrence: LSTM",
        with_cell(change),
        controls={
            "bias": _slider([*gates, ("no gate (1997)", 1000.0)], 0.0, "Forget bias"),
            "largest": _slider([0.0, 1.0, 2.0, 8.0], 1.0, "σ₁ of the matrices"),
            "size": _slider([0.1, 1.0], 1.0, "Size of the inputs"),
            "length": _slider(LENGTHS, 20, "Steps T"),
        },
        views=_views(chart, cell=True),
    )


# Exercises


def missing(cell: recurrent.RNN, x: Array, u: Array, last_steps: int) -> float:
    """For readers: share of dL/dW of a tanh net that all but the last steps contribute."""
    h = recurrent.run(cell, x).h
    gradient = grads.state_gradients(cell, x, lambda h: u @ h[-1]).h
    delta = gradient[1:] * (1 - h[1:] ** 2)
    terms = np.asarray(delta[:, :, None] * h[:-1, None, :])  # what each step adds to dL/dW
    left_out = terms[: len(x) - last_steps].sum(axis=0)
    return float(np.linalg.norm(left_out) / np.linalg.norm(terms.sum(axis=0)))


# The text's numbers, and the questions


@cache
def numbers() -> dict[str, float]:
    """Numbers that the text says, by name."""
    start = {
        f"{kind.lower()}_{init}": np.median(norms[:, 0])
        for init, kinds in compared().items()
        for kind, norms in kinds.items()
    }
    left = {f"kept_{name}": np.median(share) for name, share in shares().items()}
    above = {name: SLOPES[SETTINGS[name][0]] * SETTINGS[name][2] for name in BOUNDED}
    linear, doubling, _ = (product.grown for product in products().values())
    gates = by_bias()
    at = {bias: position for position, bias in enumerate(BIASES)}
    radius = np.abs(np.linalg.eigvals(2.9 * np.asarray(matrices()["normal"]))).max(axis=1)
    opened = with_bias(draw("LSTM"), 5.0)
    open_gates, cut = sizes(opened), opened.replace(w_rec=0 * opened.w_rec)
    return {
        **start,
        **left,
        **{f"bound_{name}": factor**TIME for name, factor in above.items()},
        "stretch": linear[1],
        "peak": linear.max(),
        "peak_at": linear.argmax(),
        "doubled": doubling[-1],
        "radius": np.median(radius),
        "rest_0": gates.rest[at[0.0]],
        **{f"reach_{bias}": 1 + np.exp(bias) for bias in (1, 3, 5)},  # 1 / (1 - sigmoid)
        "alone_0": np.median(first_way(with_bias(draw("LSTM"), 0.0))),
        "alone_1": np.median(first_way(with_bias(draw("LSTM"), 1.0))),
        "lstm_0": np.median(gates.lstm[:, at[0.0]]),
        "lstm_1": np.median(gates.lstm[:, at[1.0]]),
        "lstm_5": np.median(gates.lstm[:, at[5.0]]),
        "gru_5": np.median(gates.gru[:, at[5.0]]),
        "first": np.median(gates.first),
        "line_50": np.median(sizes(cut).c[:, 50]),
        "parts": np.median(open_gates.c[:, 0] / open_gates.h[:, 0]),
    }


def questions() -> list[selfcheck.Question]:
    """The page's questions."""
    steps = np.arange(TIME + 1)
    return [
        selfcheck.number(
            "A forget gate is at 0.95 at every step. Which share of the gradient is left after "
            "20 steps along the cell state?",
            0.95**20,
            right="The gates multiply. What looks like a small loss is a large one after twenty "
            "steps.",
            small="Nothing else acts on this path: multiply the gates, and only them.",
            large="0.95 is what one step keeps.",
        ),
        selfcheck.curve(
            "The loss reads step 100, and a cell keeps 0.9 of the gradient at every step. Which "
            "curve is the gradient of the state at step t?",
            steps,
            {"A": 0.5 ** (TIME - steps), "B": 0.9 ** (TIME - steps), "C": 0.9**steps},
            {
                "A": "This halves at every step, as a forget gate with a bias of 0 does at rest.",
                "B": "It begins at step 100 with all of it, and every step back takes a tenth.",
                "C": "The rate is right, but this gradient begins at step 0. It comes from the "
                "loss, and goes backward in time.",
            },
            right="B",
            xlabel="time step t",
            ylabel="share of the gradient",
            log=True,
        ),
        selfcheck.choice(
            "Of a plain tanh net you know one thing: its σ₁, times the largest slope, is 1.3. What "
            "happens to the gradient over 100 steps?",
            {
                "It explodes": "To be above 1 is necessary for that, but not sufficient: small "
                "slopes can make up for it.",
                "It may explode, but it can't vanish": "It can: the bound allows growth and "
                "demands nothing.",
                "It can't be said": "Above 1 the rule says nothing. The inputs, and with them the "
                "slopes, decide.",
            },
            right="It can't be said",
        ),
        selfcheck.number(
            "A plain sigmoid net has σ₁ = 3.6. What is the bound on the share of the gradient that "
            "is left after 10 steps?",
            (SLOPES["sigmoid"] * 3.6) ** 10,
            right="Slope times σ₁ is 0.9 a step. What is really left is far less.",
            small="The slope is at most a quarter, and σ₁ is a factor as well.",
            large="The largest slope of the sigmoid, a quarter, is a factor at every step.",
        ),
        selfcheck.choice(
            "An LSTM has to remember one sign for 100 steps and doesn't learn to. Its gates are "
            "near one half. What do you try first?",
            {
                "Shorten long gradients (clipping)": "Here the gradient is too short already.",
                "A larger bias of the forget gate": "With gates near one the cell state is kept, "
                "and the gradient along it too.",
                "More units": "Every one of them would forget at the same rate.",
            },
            right="A larger bias of the forget gate",
        ),
    ]
