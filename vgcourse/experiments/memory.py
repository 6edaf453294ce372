"""Every recurrent net, trained to remember.

    python -m vgcourse.experiments.memory [--write] [--reverse]

Nets of 32 units add two numbers that are far apart, copy symbols after a silence, and read digits
row by row. They are trained as `search` says, by Adam on a gradient clipped to a norm of 1: plain
descent would need a rate of its own for almost every parameter of a gated cell. An echo state
network has no rate: its radius, the size of its inputs and the strength of its ridge are those with
which the first seeds do best on the validation examples.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgcourse import echo_state, tasks
from vgcourse.experiments import search
from vgcourse.experiments.league import digits
from vgkit import grads, recurrent, train

SEEDS, HIDDEN, BATCH, PROBE, KEY = 5, 32, 32, 32, 9
TRAIN, HELD, SYMBOLS, MEMORY = 8192, 256, 4, 4
STARTS = (-8, -6, -4)
UNITS, FITTED = 200, 2048
RADII, GAINS = (0.5, 0.8, 0.95, 1.05, 1.2, 1.5), (0.001, 0.01, 0.1, 1.0, 10.0)
STRENGTHS = (1e-6, 1e-4, 0.01, 1.0, 100.0)


def draw(make: Callable, length: int) -> search.Data:
    """Training, validation and test examples of a synthetic task."""
    keys = jax.random.split(jax.random.key(KEY), 3)
    made = [make(key, n, length) for key, n in zip(keys, (TRAIN, HELD, HELD), strict=True)]
    return search.Data(*itertools.chain(*made))


def rows() -> search.Data:
    """The digits as eight rows of eight pixels."""
    given = digits()
    return given._replace(
        **{name: getattr(given, name).reshape(-1, 8, 8) for name in ("x", "x_validation", "x_test")}
    )


def last(net: recurrent.Network, x: jax.Array, reference: Any) -> jax.Array:
    """The output after the last input, for a batch."""
    return jax.vmap(lambda x: net.readout(recurrent.run(net.cell, x).h[-1]))(x)


def every(net: recurrent.Network, x: jax.Array, reference: Any) -> jax.Array:
    """The outputs after each input, for a batch."""
    return jax.vmap(net)(x)


def explained(answers: jax.Array, y: jax.Array) -> jax.Array:
    """Share of the sums' variance that is explained, 0 for the constant answer 1."""
    return 1 - 6 * jnp.mean((answers - y) ** 2)


def copied(answers: jax.Array, y: jax.Array) -> jax.Array:
    """Share of the symbols that are written down at their place."""
    return train.accuracy(answers[:, -MEMORY:], y[:, -MEMORY:])


class Task(NamedTuple):
    """What is to be learnt: examples and loss of a constant answer, by length; sizes; the plan."""

    draw: Callable[[int], search.Data]
    guess: Callable[[int], float]
    inputs: int
    outputs: int
    lengths: tuple[int, ...]
    plan: search.Plan


def adam(rate: Any) -> optax.GradientTransformation:
    """Adam on the clipped gradient."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))


PLAN = search.Plan(adam, last, batch=BATCH, every=64, short=128, least=384, patience=768, most=1536)
COPY = partial(tasks.copy_memory, symbols=SYMBOLS, memory=MEMORY)
TASKS = {
    "digits": Task(lambda _: rows(), lambda _: math.log(10), 8, 10, (8,), PLAN),
    "copying": Task(
        partial(draw, COPY), lambda delay: MEMORY * math.log(SYMBOLS) / (2 * MEMORY + delay),
        SYMBOLS + 2, SYMBOLS + 1, (10, 100), PLAN._replace(answer=every, score=copied),
    ),
    "adding": Task(
        partial(draw, tasks.adding_problem), lambda _: 1 / 6, 2, 1, (100, 500),
        PLAN._replace(loss="mean_squared_error", score=explained),
    ),
}  # fmt: skip


def long_range(key: jax.Array, inputs: int, hidden: int, *, length: int) -> recurrent.LSTM:
    """An LSTM whose units begin with memories of 1 to T steps, and take in as little as they lose.

    The forget bias is ln u with u ~ U[1, T - 1], the input bias its negative, as in Tallec and
    Ollivier, Can recurrent neural networks warp time? (2018).
    """
    cell_key, bias_key = jax.random.split(key)
    cell = recurrent.lstm(cell_key, inputs, hidden)
    bias = jnp.log(jax.random.uniform(bias_key, (hidden,), minval=1.0, maxval=length - 1.0))
    return cell.replace(b=cell.b.at[1].set(bias).at[0].set(-bias))


CELLS: dict[str, Callable[..., recurrent.Cell]] = {
    "RNN, default": partial(recurrent.rnn, init="pytorch"),
    "RNN, orthogonal": recurrent.rnn,
    "RNN, identity, ReLU": partial(recurrent.rnn, activation="relu", init="identity"),
    # sigmoid(40) is 1 in float32 and its slope 0: the gate is none, and stays so
    "LSTM, no forget gate": partial(recurrent.lstm, forget_bias=40.0),
    "LSTM, default": partial(recurrent.lstm, init="pytorch"),
    "LSTM, forget bias 1": partial(recurrent.lstm, forget_bias=1.0),
    "LSTM, long-range": long_range,
    "GRU, reset after": partial(recurrent.gru, init="pytorch"),
    "GRU, reset before": partial(recurrent.gru, init="pytorch", reset="before"),
}
ECHO = "echo state"
LABELS = [
    (task, name, str(length))
    for task, given in TASKS.items()
    for length in given.lengths
    for name in (*CELLS, ECHO)
]


def networks(name: str, task: Task, length: int) -> list[recurrent.Network]:
    """The initial networks, one for each seed."""
    make = partial(CELLS[name], **({"length": length} if CELLS[name] is long_range else {}))

    @jax.jit
    def one(key: jax.Array) -> recurrent.Network:
        cell_key, readout_key = jax.random.split(key)
        return recurrent.network(readout_key, make(cell_key, task.inputs, HIDDEN), task.outputs)

    return [one(key) for key in jax.random.split(jax.random.key(KEY), SEEDS)]


@jax.jit
def ratio(cell: recurrent.Cell, x: jax.Array) -> jax.Array:
    """What is left at the first step of the gradient of the last state, h and c together."""
    u = jax.random.normal(jax.random.key(KEY), (len(x), cell.w_rec.shape[-1]))
    u = u / jnp.linalg.norm(u, axis=1, keepdims=True)
    return grads.state_norms(cell, x, u).state[0]


def measure(label: search.Label) -> dict[str, Any]:
    """Results of one net on one task."""
    name, task, length = label[1], TASKS[label[0]], int(label[2])
    data = task.draw(length)
    if name == ECHO:
        return measure_echo(task, data)
    drawn = networks(name, task, length)
    plan = task.plan._replace(guess=task.guess(length))
    ratios = [float(ratio(net.cell, data.x[:PROBE])) for net in drawn]
    found = search.measure(drawn, jax.random.key(KEY), data, plan, STARTS)
    return {**found, "dL/d(h, c)": search.spread(ratios, ".2g")}


@partial(jax.jit, static_argnames="task")
def echo(key: jax.Array, radius: Any, gain: Any, data: search.Data, task: Task) -> jax.Array:
    """A reservoir's errors in validation and scores in test, one of each for each strength."""
    cell = recurrent.reservoir(key, task.inputs, UNITS, radius)
    cell, each = cell.replace(w_in=gain * cell.w_in), task.plan.answer is every

    def states(x: jax.Array) -> jax.Array:
        def one(x: jax.Array) -> jax.Array:
            h = recurrent.run(cell, x).h
            return h[1:] if each else h[-1]

        return jax.lax.map(one, x, batch_size=256)

    def targets(y: jax.Array) -> jax.Array:
        return jax.nn.one_hot(y, task.outputs) if task.plan.loss == "cross_entropy" else y

    def fitted(strength: float) -> jax.Array:
        goal = targets(data.y[:FITTED]).reshape(-1, task.outputs)
        readout = jnp.vectorize(
            echo_state.ridge(h.reshape(-1, UNITS), goal, strength), signature="(n)->(m)"
        )
        error = jnp.mean((readout(h_validation) - targets(data.y_validation)) ** 2)
        return jnp.stack([error, task.plan.score(readout(h_test), data.y_test)])

    h, h_validation, h_test = map(states, (data.x[:FITTED], data.x_validation, data.x_test))
    return jnp.stack([fitted(strength) for strength in STRENGTHS], axis=1)


def measure_echo(task: Task, data: search.Data) -> dict[str, Any]:
    """Results of echo state networks on one task: settings and scores."""
    keys = jax.random.split(jax.random.key(KEY), SEEDS)

    def tried(radius: float, gain: float, seeds: int) -> np.ndarray:
        return np.array([echo(key, radius, gain, data, task) for key in keys[:seeds]])

    grid = list(itertools.product(RADII, GAINS))
    errors = np.array([tried(*at, search.CHOOSING)[:, 0].mean(axis=0) for at in grid])
    best, number = np.unravel_index(np.nanargmin(errors), errors.shape)
    scores = tried(*grid[best], SEEDS)[:, 1, number]
    settings = dict(
        zip(("radius", "gain", "strength"), (*grid[best], STRENGTHS[number]), strict=True)
    )
    return {"settings": settings, "score in %": search.spread(100 * scores, ".1f")}


def also() -> dict[str, Any]:
    """Time of a step on 100 inputs, in times of a plain net."""
    task = TASKS["adding"]
    first = {name: networks(name, task, 100)[0] for name in CELLS}
    return {"step time": search.times(first, task.draw(100), task.plan, "RNN, default")}


def main() -> None:
    """Measure what is missing; see `search.main`."""
    search.main(
        "memory", LABELS, measure, also, seeds=SEEDS, key=KEY, hidden=HIDDEN, units=UNITS,
        radii=RADII, gains=GAINS, strengths=STRENGTHS, train=TRAIN, held=HELD,
        **search.budget(PLAN),
    )  # fmt: skip


if __name__ == "__main__":
    main()
