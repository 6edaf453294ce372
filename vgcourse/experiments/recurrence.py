"""The same experiment for every recurrent net.

    python -m vgcourse.experiments.recurrence [--write] [task ...] [net ...]

Nets of 32 units learn to remember: to add two numbers that are far apart, to copy symbols after a
silence, to read digits row by row or pixel by pixel. All take the same number of steps on the same
batches by Adam, the gradient clipped to a norm of 1, at the best of `RATES`. Adam, because plain
gradient descent would need a rate of its own for almost every parameter of a gated cell; all cells
get it, so that none wins by it. An echo state network has no rate: its radius, the size of its
inputs and the strength of its ridge are those with which the worst seed does best on a fifth of the
training examples, held back. About 15 minutes on one core; the results go into the package, where
the pages find them.
"""

import itertools
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgcourse import echo_state, results, tasks
from vgcourse.experiments import best_rate, relative_times, rounded, train_at_rates
from vgkit import data, grads, nets, recurrent, train

SEEDS, HIDDEN, BATCH, PROBE, KEY = 3, 32, 32, 64, 6
RATES = (0.001, 0.003, 0.01)
RADII, GAINS, STRENGTHS = (0.5, 0.9, 0.99), (0.1, 1.0), (0.01, 1.0, 100.0)
TRAIN, TEST, SYMBOLS, MEMORY = 2048, 512, 4, 4

Arrays = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


def keys(number: int) -> jax.Array:
    """Keys of the experiment, such as one for each seed."""
    return jax.random.split(jax.random.key(KEY), number)


class Task(NamedTuple):
    """What is to be learnt, for how many epochs, and how many lie between two records."""

    draw: Callable[[], Arrays]
    outputs: int
    loss: str = "cross_entropy"
    epochs: int = 16
    every: int = 2


def drawn(make: Callable, length: int) -> Callable[[], Arrays]:
    """A training and a test set of a synthetic task."""

    def both() -> Arrays:
        train_key, test_key = keys(2)
        return *make(train_key, TRAIN, length), *make(test_key, TEST, length)

    return both


def digits(step: int) -> Arrays:
    """The digits as sequences of so many pixels a step."""
    x, y, x_test, y_test = data.digits()
    return x.reshape(len(x), -1, step), y, x_test.reshape(len(x_test), -1, step), y_test


def adding(length: int) -> Task:
    """Sum two marked numbers of so many."""
    return Task(drawn(tasks.adding_problem, length), 1, "mean_squared_error")


def copying(delay: int) -> Task:
    """Write four symbols down again after a silence."""
    make = partial(tasks.copy_memory, symbols=SYMBOLS, memory=MEMORY)
    return Task(drawn(make, delay), SYMBOLS + 1)


TASKS = {
    "digits, row by row": Task(partial(digits, 8), 10, epochs=24, every=3),
    "digits, pixel by pixel": Task(partial(digits, 1), 10, epochs=24, every=3),
    "copying, silence of 10": copying(10),
    "copying, silence of 30": copying(30),
    "adding, 20 steps": adding(20),
    "adding, 50 steps": adding(50),
    "adding, 100 steps": adding(100),
}


def careful(key: jax.Array, inputs: int, hidden: int) -> recurrent.LSTM:
    """An LSTM that forgets little and takes in little, as a GRU with an open gate does."""
    cell = recurrent.lstm(key, inputs, hidden, forget_bias=5.0)
    return cell.replace(b=cell.b.at[0].set(-5.0))


CELLS: dict[str, Callable[..., recurrent.Cell]] = {
    "RNN, Glorot": partial(recurrent.rnn, init="glorot_normal"),
    "RNN, orthogonal": recurrent.rnn,
    "RNN, identity, ReLU": partial(recurrent.rnn, activation="relu", init="identity"),
    "LSTM, forget bias 0": recurrent.lstm,
    "LSTM, forget bias 1": partial(recurrent.lstm, forget_bias=1.0),
    "LSTM, forget bias 5": partial(recurrent.lstm, forget_bias=5.0),
    "LSTM, forget bias 5, input bias -5": careful,
    "GRU, update bias 0": recurrent.gru,
    "GRU, update bias 5": partial(recurrent.gru, update_bias=5.0),
}
RESERVOIRS = {"echo state, 32 units": 32, "echo state, 200 units": 200}


def start(name: str, inputs: int, outputs: int, seeds: int = SEEDS) -> recurrent.Network:
    """The initial networks, one for each seed on the leading axis."""

    def one(key: jax.Array) -> recurrent.Network:
        cell_key, readout_key = jax.random.split(key)
        return recurrent.network(readout_key, CELLS[name](cell_key, inputs, HIDDEN), outputs)

    return jax.jit(jax.vmap(one))(keys(seeds))


@jax.jit
def state_ratios(cells: recurrent.Cell, x: jax.Array) -> jax.Array:
    """What is left of the gradient of the last state at step 0, h and c together; one a seed."""
    u = jax.random.normal(jax.random.key(KEY), (len(x), cells.w_rec.shape[-1]))
    u = u / jnp.linalg.norm(u, axis=1, keepdims=True)
    return jax.vmap(lambda cell: grads.state_norms(cell, x, u).state[0])(cells)


def optimiser(rate: Any) -> optax.GradientTransformation:
    """Adam on the clipped gradient."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))


def run(
    networks: recurrent.Network, task: Task, arrays: Arrays, rates: tuple[float, ...]
) -> train.Run:
    """Train at every rate: rates on the leading axis, then seeds."""
    return train_at_rates(
        networks, arrays, optimiser, rates, key=jax.random.key(KEY), epochs=task.epochs,
        batch=BATCH, loss=task.loss, every=task.every * (len(arrays[0]) // BATCH),
    )  # fmt: skip


def measure(name: str, task: Task) -> dict[str, Any]:
    """Results of one cell on one task."""
    arrays = task.draw()
    networks = start(name, arrays[0].shape[2], task.outputs)
    net, history, _ = run(networks, task, arrays, RATES)
    best = best_rate(history.train_loss)
    rows = {"train_loss": history.train_loss, "test_loss": history.test_loss}
    if task.loss == "cross_entropy":
        rows["accuracy"] = history.test_accuracy
    cells = {"G": networks.cell, "G_trained": jax.tree.map(lambda leaf: leaf[best], net.cell)}
    return {
        "rate": RATES[best],
        **{label: rounded(row[best]) for label, row in rows.items()},
        **{label: rounded(state_ratios(cell, arrays[0][:PROBE])) for label, cell in cells.items()},
        "parameters": sum(leaf[0].size for leaf in jax.tree.leaves(networks)),
    }


@partial(jax.jit, static_argnums=(0, 1))
def echo(
    units: int,
    task: Task,
    key: jax.Array,
    radius: float | jax.Array,
    gain: float | jax.Array,
    arrays: Arrays,
) -> tuple[tuple[jax.Array, ...], recurrent.Cell]:
    """One reservoir with a readout for each strength.

    Returns:
        Squared errors on the examples held back, in training and in test, and the accuracy in test,
        each with one number for each strength; and the reservoir.
    """
    x, y, x_test, y_test = arrays
    labels, every_step = task.loss == "cross_entropy", y.shape[1:2] == x.shape[1:2]
    cell = recurrent.reservoir(key, x.shape[2], units, radius)
    cell = cell.replace(w_in=gain * cell.w_in)

    def states(x: jax.Array) -> jax.Array:
        def one(x: jax.Array) -> jax.Array:
            h = recurrent.run(cell, x).h[1:]
            return h if every_step else h[-1:]

        return jax.lax.map(one, x, batch_size=256)

    def targets(y: jax.Array) -> jax.Array:
        return jax.nn.one_hot(y.ravel(), task.outputs) if labels else y

    def fit(h: jax.Array, y: jax.Array, strength: float) -> nets.Layer:
        return echo_state.ridge(h.reshape(-1, units), targets(y), strength)

    def score(readout: nets.Layer, h: jax.Array, y: jax.Array) -> tuple:
        outputs = jax.vmap(readout)(h.reshape(-1, units))
        return jnp.mean((outputs - targets(y)) ** 2), jnp.mean(outputs.argmax(1) == y.ravel())

    h, h_test, fitted = states(x), states(x_test), len(x) * 4 // 5
    rows = []
    for strength in STRENGTHS:
        held_back, _ = score(fit(h[:fitted], y[:fitted], strength), h[fitted:], y[fitted:])
        readout = fit(h, y, strength)
        rows.append((held_back, score(readout, h, y)[0], *score(readout, h_test, y_test)))
    return jax.tree.map(lambda *numbers: jnp.stack(numbers), *rows), cell


def measure_echo(units: int, task: Task) -> dict[str, Any]:
    """Results of echo state networks of so many units on one task."""
    arrays = task.draw()
    tried = []
    for radius, gain in itertools.product(RADII, GAINS):
        rows = [echo(units, task, key, radius, gain, arrays) for key in keys(SEEDS)]
        scores = np.stack([np.stack(scores) for scores, _ in rows])  # seed, figure, strength
        strength = int(np.argmin(scores[:, 0].max(axis=0)))
        cells = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(cell for _, cell in rows))
        tried.append((scores[:, :, strength], radius, gain, STRENGTHS[strength], cells))
    scores, radius, gain, strength, cells = min(tried, key=lambda setting: setting[0][:, 0].max())
    _, loss, test_loss, accuracy = scores.T
    rows = {"train_loss": loss, "test_loss": test_loss}
    if task.loss == "cross_entropy":
        rows["accuracy"] = accuracy
    return {
        "radius": radius, "gain": gain, "strength": strength,
        **{label: rounded(numbers) for label, numbers in rows.items()},
        "G": rounded(state_ratios(cells, arrays[0][:PROBE])),
        "parameters": task.outputs * (units + 1),
    }  # fmt: skip


def score(label: str, run: dict[str, Any]) -> list[float]:
    """Share of what there is to be won in the end, for each seed: 1 is perfect.

    For sums it is the share of their variance that is explained, where guessing has 0. For copies
    it is the share of the symbols, and a wrong answer in the silence counts as a wrong symbol. For
    digits it is the accuracy.
    """
    rows = np.array(run.get("accuracy", run["test_loss"]))
    last = rows[:, -1] if rows.ndim == 2 else rows
    kind, *_, length = label.replace(" steps", "").split()
    if kind == "adding,":
        return rounded(1 - 6 * last)
    if kind == "copying,":
        return rounded(1 - (1 - last) * (2 * MEMORY + int(length)) / MEMORY)
    return rounded(last)


def training_step(name: str, arrays: Arrays) -> Callable[[], recurrent.Network]:
    """One step of one net on one batch."""
    x, y = (array[:BATCH] for array in arrays[:2])
    net = jax.tree.map(lambda leaf: leaf[0], start(name, x.shape[2], y.shape[1], 1))
    rule = optimiser(0.01)
    state = rule.init(net)

    def loss(net: recurrent.Network) -> jax.Array:
        return jnp.mean((jax.vmap(net)(x)[:, -1] - y) ** 2)

    @jax.jit
    def step(net: recurrent.Network) -> recurrent.Network:
        return optax.apply_updates(net, rule.update(jax.grad(loss)(net), state, net)[0])

    return partial(step, net)


def times() -> dict[str, float]:
    """Time of a step on 100 inputs, or of fitting a reservoir's readout, in plain nets' steps."""
    arrays = TASKS["adding, 100 steps"].draw()
    names = "RNN, Glorot", "LSTM, forget bias 0", "GRU, update bias 0"
    calls = {name: training_step(name, arrays) for name in names}
    calls |= {
        name: partial(fit_echo, units, keys(1)[0], arrays) for name, units in RESERVOIRS.items()
    }
    return relative_times(calls, names[0], rounds=9)


@partial(jax.jit, static_argnums=0)
def fit_echo(units: int, key: jax.Array, arrays: Arrays) -> nets.Layer:
    """All the work of an echo state network: states of all training examples, one solve."""
    cell = recurrent.reservoir(key, arrays[0].shape[2], units, RADII[0])
    h = jax.lax.map(lambda x: recurrent.run(cell, x).h[-1], arrays[0], batch_size=256)
    return echo_state.ridge(h, arrays[1], STRENGTHS[0])


def main() -> None:
    """Measure the tasks and nets named, or all, and print what came out."""
    tasks = [label for label in TASKS if label in sys.argv] or list(TASKS)
    names = [*CELLS, *RESERVOIRS]
    names = [name for name in names if name in sys.argv] or names
    runs = results.load("recurrence")["runs"]
    for label, name in itertools.product(tasks, names):
        task, begin, reservoir = TASKS[label], time.perf_counter(), name in RESERVOIRS
        run = measure_echo(RESERVOIRS[name], task) if reservoir else measure(name, task)
        run["score"] = last = score(label, run)
        runs.setdefault(label, {})[name] = run
        print(
            f"{label:22} {name:34} {run['radius' if reservoir else 'rate']:<6} "
            f"{np.median(last):.3f} ({min(last):.3f} to {max(last):.3f}) G "
            f"{np.median(run['G']):.1e} {time.perf_counter() - begin:.0f} s", flush=True,
        )  # fmt: skip
    relative = times()
    print(relative)
    if "--write" in sys.argv:
        results.save(
            "recurrence", {"runs": runs, "times": relative},
            seeds=SEEDS, key=KEY, batch=BATCH, hidden=HIDDEN, rates=RATES, radii=RADII,
            gains=GAINS, strengths=STRENGTHS, train=TRAIN, test=TEST, symbols=SYMBOLS,
            memory=MEMORY,
        )  # fmt: skip


if __name__ == "__main__":
    main()
