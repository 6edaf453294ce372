"""Convolutional nets with and without skips.

    python -m vgcourse.experiments.convolutions [--write]

Nets of 4, 8 and 16 convolutional layers are trained on the digits by plain gradient descent, all by
the same number of steps on the same batches, at the best of `RATES`. The gradients are those of the
first examples at the start. About 10 minutes on 2 cores.
"""

import sys
import time
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from vgcourse import results
from vgcourse.convolutions import conv_net
from vgcourse.experiments import best_rate, rounded, train_at_rates
from vgcourse.profiles import SKIPS
from vgkit import data, grads, nets, train

DEPTHS = (4, 8, 16)
SEEDS, CHANNELS, EPOCHS, BATCH, PROBE = 5, 6, 4, 64, 64
RATES = (0.03, 0.1, 0.3)
KEY = 6


class Kind(NamedTuple):
    """How a net is made; `skip` is a key of `SKIPS`."""

    activation: str
    init: str
    skip: str = "none"


KINDS = {
    "sigmoid, plain": Kind("sigmoid", "glorot_normal"),
    "sigmoid, residual": Kind("sigmoid", "glorot_normal", "unscaled"),
    "ReLU, plain": Kind("relu", "he_normal"),
    "ReLU, residual, 1/√L": Kind("relu", "he_normal", "1/√L"),
}


def images() -> tuple[jax.Array, ...]:
    """The digits as images of one channel: examples and labels, to train and to test."""
    x, y, x_test, y_test = data.digits()
    return x.reshape(-1, 1, 8, 8), y, x_test.reshape(-1, 1, 8, 8), y_test


def start(kind: Kind, depth: int) -> nets.Net:
    """The initial networks, one for each seed on the leading axis."""
    draw = partial(
        conv_net, channels=(1, *[CHANNELS] * depth), outputs=10, activation=kind.activation,
        init=kind.init, **SKIPS[kind.skip](depth),
    )  # fmt: skip
    return jax.vmap(draw)(jax.random.split(jax.random.key(KEY), SEEDS))


@jax.jit
@jax.vmap
def error_norms(net: nets.Net) -> jax.Array:
    """RMS of the error signals dL/dz at every convolutional layer of each network."""
    x, y, *_ = images()
    return grads.signals(net, x[:PROBE], y[:PROBE]).error_norms[:-1]


def run(kind: Kind, depth: int, rates: tuple[float, ...]) -> train.History:
    """Train at every rate: rates on the leading axis, then seeds."""
    networks, key = start(kind, depth), jax.random.key(KEY)
    return train_at_rates(
        networks, images(), optax.sgd, rates, key=key, epochs=EPOCHS, batch=BATCH
    ).history


def measure(kind: Kind, depth: int) -> dict[str, Any]:
    """One kind of net at one depth."""
    history = run(kind, depth, RATES)
    best = best_rate(history.train_loss)
    return {
        "rate": RATES[best],
        "accuracy": rounded(history.test_accuracy[best, :, -1]),
        "error_signal": rounded(error_norms(start(kind, depth))),
    }


def main() -> None:
    """Measure every kind at every depth and print what came out."""
    runs: dict[str, dict[str, Any]] = {name: {} for name in KINDS}
    for depth in DEPTHS:
        for name, kind in KINDS.items():
            begin = time.perf_counter()
            row = runs[name][str(depth)] = measure(kind, depth)
            accuracy = np.array(row["accuracy"])
            print(
                f"{depth} {name:22} rate {row['rate']:<5} accuracy {np.median(accuracy):.3f} "
                f"({accuracy.min():.3f} to {accuracy.max():.3f}) "
                f"{time.perf_counter() - begin:.0f} s", flush=True,
            )  # fmt: skip
    if "--write" in sys.argv:
        results.save(
            "convolutions", {"runs": runs},
            seeds=SEEDS, key=KEY, epochs=EPOCHS, batch=BATCH, channels=CHANNELS, rates=RATES,
        )  # fmt: skip


if __name__ == "__main__":
    main()
