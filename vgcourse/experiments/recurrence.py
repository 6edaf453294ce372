"""The same experiment for every recurrent net.

    python -m vgcourse.experiments.recurrence [--write]

Nets of 32 units learn to remember: to add two numbers that are far apart, to copy symbols after a
silence, to read digits row by row or pixel by pixel. All take the same number of steps on the same
batches by Adam, the gradient clipped to a norm of 1, at each of `RATES`. Adam, because plain
gradient descent would need a rate of its own for almost every parameter of a gated cell; all cells
get it, so that none wins by it. The rate is kept at which the worst seed ends with the lowest
training loss; test examples have no part in that. An echo state network has no rate: its radius,
the size of its inputs and the strength of its ridge are those with which the worst seed does best
on a fifth of the training examples, held back. Names of tasks and nets, where given, choose some.
About 15 minutes on one core; the results go into the package, where the pages find them.
"""

import itertools
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgkit import data, grads, recurrent, train

KEPT = Path(__file__).parents[1] / "_data/recurrence.json"
SEEDS, HIDDEN, BATCH, PROBE, KEY = 3, 32, 32, 64, 6
RATES = (0.001, 0.003, 0.01)
RADII, GAINS, STRENGTHS = (0.5, 0.9, 0.99), (0.1, 1.0), (0.01, 1.0, 100.0)
TRAIN, TEST, SYMBOLS, MEMORY = 2048, 512, 4, 4

Arrays = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


class Task(NamedTuple):
    """What is to be learnt, and for how long."""

    draw: Callable[[], Arrays]
    outputs: int
    loss: str = "cross_entropy"
    epochs: int = 16
    every: int = 2


def drawn(make: Callable, length: int, **sizes: int) -> Callable[[], Arrays]:
    """A training and a test set of a synthetic task."""

    def both() -> Arrays:
        train_key, test_key = jax.random.split(jax.random.key(KEY))
        return *make(train_key, TRAIN, length, **sizes), *make(test_key, TEST, length, **sizes)

    return both


def digits(step: int) -> Arrays:
    """The digits as sequences of so many pixels a step."""
    x, y, x_test, y_test = data.digits()
    return data.sequences(x, step), y, data.sequences(x_test, step), y_test


def adding(length: int) -> Task:
    """Sum two marked numbers of so many."""
    return Task(drawn(data.adding_problem, length), 1, "mean_squared_error")


def copying(delay: int) -> Task:
    """Write four symbols down again after a silence."""
    sizes = {"symbols": SYMBOLS, "memory": MEMORY}
    return Task(drawn(data.copy_memory, delay, **sizes), SYMBOLS + 1)


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
    return cell._replace(b=cell.b.at[0].set(-5.0))


CELLS: dict[str, tuple[Callable[..., recurrent.Cell], str]] = {
    "RNN, Glorot": (partial(recurrent.rnn, init="glorot_normal"), "tanh"),
    "RNN, orthogonal": (recurrent.rnn, "tanh"),
    "RNN, identity, ReLU": (partial(recurrent.rnn, init="identity"), "relu"),
    "LSTM, forget bias 0": (recurrent.lstm, "tanh"),
    "LSTM, forget bias 1": (partial(recurrent.lstm, forget_bias=1.0), "tanh"),
    "LSTM, forget bias 5": (partial(recurrent.lstm, forget_bias=5.0), "tanh"),
    "LSTM, forget bias 5, input bias -5": (careful, "tanh"),
    "GRU, update bias 0": (recurrent.gru, "tanh"),
    "GRU, update bias 5": (partial(recurrent.gru, update_bias=5.0), "tanh"),
}
RESERVOIRS = {"echo state, 32 units": 32, "echo state, 200 units": 200}


def keys(seeds: int) -> jax.Array:
    """One key for each seed."""
    return jax.random.split(jax.random.key(KEY), seeds)


def start(name: str, inputs: int, outputs: int, seeds: int = SEEDS) -> recurrent.Network:
    """The initial networks, one for each seed on the leading axis."""
    make, _ = CELLS[name]

    def one(key: jax.Array) -> recurrent.Network:
        cell_key, readout_key = jax.random.split(key)
        return recurrent.network(readout_key, make(cell_key, inputs, HIDDEN), outputs)

    return jax.jit(jax.vmap(one))(keys(seeds))


@partial(jax.jit, static_argnums=1)
def reach(cells: recurrent.Cell, activation: str, x: jax.Array) -> jax.Array:
    """What is left of the gradient of the last state at step 0, h and c together; one a seed."""
    u = jax.random.normal(jax.random.key(KEY), (len(x), cells.w_rec.shape[-1]))
    u = u / jnp.linalg.norm(u, axis=1, keepdims=True)
    return jax.vmap(lambda cell: grads.state_profile(cell, x, u, activation).whole[0])(cells)


def optimiser(rate: Any) -> optax.GradientTransformation:
    """Adam on the clipped gradient."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))


@partial(jax.jit, static_argnums=(1, 2))
def run(
    nets: recurrent.Network, task: Task, activation: str, arrays: Arrays, rates: jax.Array
) -> train.Trials:
    """Train at every rate: rates on the leading axis, then seeds."""

    def at(rate: jax.Array) -> train.Trials:
        return train.trials(
            nets, arrays, optimiser(rate), task.epochs, BATCH, jax.random.key(KEY),
            loss=task.loss, activation=activation, every=task.every,
        )  # fmt: skip

    return jax.lax.map(at, rates)


def figures(array: Any) -> list:
    """Rounded to four figures, as nested lists."""
    array = np.asarray(array, float)
    return np.vectorize(lambda number: float(f"{number:.4g}"))(array).tolist()


def trained(name: str, task: Task) -> dict[str, Any]:
    """Results of one cell on one task."""
    arrays = task.draw()
    nets = start(name, arrays[0].shape[2], task.outputs)
    activation = CELLS[name][1]
    found = run(nets, task, activation, arrays, jnp.array(RATES))
    loss = np.asarray(found.train_loss)[..., -1]
    best = int(np.argmin(np.max(np.where(np.isfinite(loss), loss, np.inf), axis=1)))
    kept = {"train_loss": found.train_loss[best], "test_loss": found.test_loss[best]}
    if task.loss == "cross_entropy":
        kept["accuracy"] = found.test_accuracy[best]
    after = jax.tree.map(lambda leaf: leaf[best], found.net.cell)
    return {
        "rate": RATES[best],
        **{label: figures(rows) for label, rows in kept.items()},
        "G": figures(reach(nets.cell, activation, arrays[0][:PROBE])),
        "G_trained": figures(reach(after, activation, arrays[0][:PROBE])),
        "parameters": sum(leaf[0].size for leaf in jax.tree.leaves(nets)),
    }


@partial(jax.jit, static_argnums=(0, 1))
def echo(
    units: int,
    task: Task,
    key: jax.Array,
    radius: float | jax.Array,
    gain: float | jax.Array,
    arrays: Arrays,
) -> Any:
    """Readouts of one reservoir, one a strength: errors held back, in training and in test."""
    x, y, x_test, y_test = arrays
    labels, whole = task.loss == "cross_entropy", y.shape[1:2] == x.shape[1:2]
    cell = recurrent.reservoir(key, x.shape[2], units, radius)
    cell = cell._replace(w_in=gain * cell.w_in)

    def states(x: jax.Array) -> jax.Array:
        def one(x: jax.Array) -> jax.Array:
            h = recurrent.run(cell, x).h[1:]
            return h if whole else h[-1:]

        return jax.lax.map(one, x, batch_size=256)

    def score(readout: recurrent.Readout, h: jax.Array, y: jax.Array) -> tuple:
        outputs = h @ readout.w.T + readout.b[None]
        return jnp.mean((outputs - targets(y)) ** 2), jnp.mean(outputs.argmax(1) == y.ravel())

    def targets(y: jax.Array) -> jax.Array:
        return jax.nn.one_hot(y.ravel(), task.outputs) if labels else y

    def flat(h: jax.Array) -> jax.Array:
        return h.reshape(-1, units)

    h, h_test, kept = states(x), states(x_test), len(x) * 4 // 5
    found = []
    for strength in STRENGTHS:
        part = recurrent.ridge(flat(h[:kept]), targets(y[:kept]), strength)
        readout = recurrent.ridge(flat(h), targets(y), strength)
        (held, _), (loss, _) = score(part, flat(h[kept:]), y[kept:]), score(readout, flat(h), y)
        found.append((held, loss, *score(readout, flat(h_test), y_test)))
    return jax.tree.map(lambda *parts: jnp.stack(parts), *found), cell


def echoes(units: int, task: Task, seeds: int = SEEDS) -> dict[str, Any]:
    """Results of echo state networks of so many units on one task."""
    arrays = task.draw()
    tried = []
    for radius, gain in itertools.product(RADII, GAINS):
        rows = [echo(units, task, key, radius, gain, arrays) for key in keys(seeds)]
        scores = np.stack([np.stack(scores) for scores, _ in rows])  # seed, figure, strength
        strength = int(np.argmin(scores[:, 0].max(axis=0)))
        cells = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(cell for _, cell in rows))
        tried.append((scores[:, :, strength], radius, gain, STRENGTHS[strength], cells))
    scores, radius, gain, strength, cells = min(tried, key=lambda found: found[0][:, 0].max())
    _, loss, test_loss, accuracy = scores.T
    kept = {"train_loss": loss, "test_loss": test_loss}
    if task.loss == "cross_entropy":
        kept["accuracy"] = accuracy
    return {
        "radius": radius, "gain": gain, "strength": strength,
        **{label: figures(numbers) for label, numbers in kept.items()},
        "G": figures(reach(cells, "tanh", arrays[0][:PROBE])),
        "parameters": task.outputs * (units + 1),
    }  # fmt: skip


def score(label: str, found: dict[str, Any]) -> list[float]:
    """Share of what there is to be won in the end, for each seed: 1 is perfect.

    For sums it is the share of their variance that is told, where guessing has 0. For copies it is
    the share of the symbols, and a wrong answer in the silence counts as a wrong symbol. For
    digits it is the accuracy.
    """
    rows = np.array(found.get("accuracy", found["test_loss"]))
    last = rows[:, -1] if rows.ndim == 2 else rows
    kind, *_, length = label.replace(" steps", "").split()
    if kind == "adding,":
        return figures(1 - 6 * last)
    if kind == "copying,":
        return figures(1 - (1 - last) * (2 * MEMORY + int(length)) / MEMORY)
    return figures(last)


def training_step(name: str, arrays: Arrays) -> Callable[[], recurrent.Network]:
    """One step of one net on one batch."""
    x, y = (array[:BATCH] for array in arrays[:2])
    net = jax.tree.map(lambda leaf: leaf[0], start(name, x.shape[2], y.shape[1], 1))
    rule = optimiser(0.01)
    state = rule.init(net)

    def loss(net: recurrent.Network) -> jax.Array:
        answers = jax.vmap(lambda x: recurrent.outputs(net, x)[-1])(x)
        return jnp.mean((answers - y) ** 2)

    @jax.jit
    def step(net: recurrent.Network) -> recurrent.Network:
        return optax.apply_updates(net, rule.update(jax.grad(loss)(net), state, net)[0])

    return partial(step, net)


def times(rounds: int = 9) -> dict[str, float]:
    """Time of a step on 100 inputs, or of a whole echo state network, in steps of the plain net."""
    arrays = TASKS["adding, 100 steps"].draw()
    names = "RNN, Glorot", "LSTM, forget bias 0", "GRU, update bias 0"
    calls = {name: training_step(name, arrays) for name in names}
    calls |= {name: partial(fit, units, keys(1)[0], arrays) for name, units in RESERVOIRS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        jax.block_until_ready(call())
    for _ in range(rounds):
        for name, call in calls.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - begin)
    base = np.array(seconds[names[0]])
    return {name: float(f"{np.median(np.array(s) / base):.3g}") for name, s in seconds.items()}


@partial(jax.jit, static_argnums=0)
def fit(units: int, key: jax.Array, arrays: Arrays) -> recurrent.Readout:
    """All the work of an echo state network: states of all training examples, one solve."""
    cell = recurrent.reservoir(key, arrays[0].shape[2], units, RADII[0])
    h = jax.lax.map(lambda x: recurrent.run(cell, x).h[-1], arrays[0], batch_size=256)
    return recurrent.ridge(h, arrays[1], STRENGTHS[0])


def main() -> None:
    """Measure the tasks and nets named, or all, and print what came out."""
    tasks = [label for label in TASKS if label in sys.argv] or list(TASKS)
    names = [*CELLS, *RESERVOIRS]
    names = [name for name in names if name in sys.argv] or names
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"runs": {}}
    kept["made"] = {
        "command": "python -m vgcourse.experiments.recurrence --write",
        "seeds": SEEDS, "key": KEY, "batch": BATCH, "hidden": HIDDEN, "rates": RATES,
        "radii": RADII, "gains": GAINS, "strengths": STRENGTHS, "train": TRAIN, "test": TEST,
        "symbols": SYMBOLS, "memory": MEMORY,
        "versions": {name: version(name) for name in ("jax", "optax", "numpy")},
    }  # fmt: skip
    for label in tasks:
        task, runs = TASKS[label], kept["runs"].setdefault(label, {})
        for name in names:
            begin = time.perf_counter()
            reservoir = name in RESERVOIRS
            runs[name] = echoes(RESERVOIRS[name], task) if reservoir else trained(name, task)
            runs[name]["score"] = last = score(label, runs[name])
            chosen = runs[name]["radius" if reservoir else "rate"]
            print(
                f"{label:22} {name:34} {chosen:<6} {np.median(last):.3f} ({min(last):.3f} to "
                f"{max(last):.3f}) G {np.median(runs[name]['G']):.1e} "
                f"{time.perf_counter() - begin:.0f} s", flush=True,
            )  # fmt: skip
        write(kept)
    kept["times"] = times()
    print(kept["times"])
    write(kept)


def write(kept: dict[str, Any]) -> None:
    """Keep what there is, where that is asked for."""
    if "--write" in sys.argv:
        KEPT.write_text(json.dumps(kept, sort_keys=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
