"""Convolutional nets with and without skips.

    python -m vgcourse.experiments.convolutions [--write]

Nets of 4, 8 and 16 convolutional layers are trained on the digits by plain gradient descent, all by
the same number of steps on the same batches, at each of `RATES`. As in `remedies` the
rate is kept at which the worst seed ends with the lowest training loss. The gradients are those of
the first examples at the start. About 10 minutes on 2 cores.
"""

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

from vgkit import data, grads, nets, train

KEPT = Path(__file__).parents[1] / "_data/convolutions.json"
DEPTHS = (4, 8, 16)
SEEDS, CHANNELS, EPOCHS, BATCH, PROBE = 5, 6, 4, 64, 64
RATES = (0.03, 0.1, 0.3)
KEY = 6


class Kind(NamedTuple):
    """How a net is made, and its form at a given depth."""

    activation: str
    init: str
    form: Callable[[int], dict[str, Any]] = lambda depth: {}


KINDS = {
    "sigmoid, plain": Kind("sigmoid", "glorot_normal"),
    "sigmoid, residual": Kind("sigmoid", "glorot_normal", lambda depth: {"skip": True}),
    "ReLU, plain": Kind("relu", "he_normal"),
    "ReLU, residual, 1/√L": Kind(
        "relu", "he_normal", lambda depth: {"skip": True, "branch": depth**-0.5}
    ),
}


def start(kind: Kind, depth: int, seeds: int = SEEDS) -> nets.Net:
    """The initial networks, one for each seed on the leading axis."""
    draw = partial(nets.conv_net, channels=(1, *[CHANNELS] * depth), outputs=10, init=kind.init)
    return jax.vmap(draw)(jax.random.split(jax.random.key(KEY), seeds))


def signals(kind: Kind, depth: int, networks: nets.Net) -> jax.Array:
    """RMS of the error signals dL/dz at every convolutional layer of each network."""
    digits = data.digits()

    def sizes(net: nets.Net) -> jax.Array:
        found = grads.error_signals(
            net, digits.x_train[:PROBE], digits.y_train[:PROBE], "cross_entropy",
            kind.activation, **kind.form(depth),
        )  # fmt: skip
        return grads.norms(found)[:-1]

    return jax.jit(jax.vmap(sizes))(networks)


def run(kind: Kind, depth: int, rates: tuple[float, ...], epochs: int = EPOCHS) -> train.Trials:
    """Train at every rate: rates on the leading axis, then seeds."""

    @jax.jit
    @jax.vmap
    def at(rate: jax.Array) -> train.Trials:
        return train.trials(
            networks, data.digits(), optax.sgd(rate), epochs, BATCH, jax.random.key(KEY),
            activation=kind.activation, every=epochs, **kind.form(depth),
        )  # fmt: skip

    networks = start(kind, depth)
    return at(jnp.array(rates))


def measure(kind: Kind, depth: int) -> dict[str, Any]:
    """One kind of net at one depth."""
    found = run(kind, depth, RATES)
    final = np.asarray(found.train_loss)[..., -1]
    best = int(np.argmin(np.max(np.where(np.isfinite(final), final, np.inf), axis=1)))
    sizes = np.asarray(signals(kind, depth, start(kind, depth)), float)
    return {
        "rate": RATES[best],
        "accuracy": np.asarray(found.test_accuracy[best, :, -1], float).round(4).tolist(),
        "error_signal": [[float(f"{size:.3e}") for size in row] for row in sizes],
    }


def main() -> None:
    """Measure every kind at every depth and print what came out."""
    runs: dict[str, dict[str, Any]] = {name: {} for name in KINDS}
    for depth in DEPTHS:
        for name, kind in KINDS.items():
            begin = time.perf_counter()
            found = runs[name][str(depth)] = measure(kind, depth)
            accuracy = np.array(found["accuracy"])
            print(
                f"{depth} {name:22} rate {found['rate']:<5} accuracy {np.median(accuracy):.3f} "
                f"({accuracy.min():.3f} to {accuracy.max():.3f}) "
                f"{time.perf_counter() - begin:.0f} s", flush=True,
            )  # fmt: skip
    made = {
        "command": "python -m vgcourse.experiments.convolutions --write",
        "seeds": SEEDS, "key": KEY, "epochs": EPOCHS, "batch": BATCH, "channels": CHANNELS,
        "rates": RATES, "versions": {name: version(name) for name in ("jax", "optax", "numpy")},
    }  # fmt: skip
    if "--write" in sys.argv:
        text = json.dumps({"runs": runs, "made": made}, sort_keys=True, separators=(",", ":"))
        KEPT.write_text(text + "\n")


if __name__ == "__main__":
    main()
