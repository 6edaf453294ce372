"""Runs too long for a page; each writes its results to `vgcourse/_data`, see `results`.

A learning rate is chosen as `search` says or, in `convolutions`, `recurrence` and `remedies`, from
a fixed grid: the one at which the worst seed ends with the lowest training loss. Test examples have
no part in that.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from vgkit import train


def train_at_rates(
    networks: Any,
    data: tuple[Array, ...],
    optimiser: Callable[[Any], optax.GradientTransformation],
    rates: Sequence[float],
    **settings: Any,
) -> train.Run:
    """Train networks at every rate, as one program: rates on the leading axis, then seeds.

    Args:
        networks: One for each seed on the leading axis of every array.
        data: As for `train.fit`.
        optimiser: Function rate -> optimiser.
        rates: Learning rates.
        **settings: As for `train.fit`.
    """

    @jax.jit
    def at_all(rates: Array) -> train.Run:
        return jax.lax.map(
            lambda rate: train.fit(
                networks, data, optimiser(rate), layers=False, seeds=True, **settings
            ),
            rates,
        )

    return at_all(jnp.array(rates))


def best_rate(train_loss: Array) -> int:
    """Position of the rate at which the worst seed ends with the lowest training loss.

    Args:
        train_loss: Shape (rates, seeds, rows).
    """
    last = np.asarray(train_loss)[..., -1]
    return int(np.argmin(np.max(np.where(np.isfinite(last), last, np.inf), axis=1)))


def rounded(array: Any) -> list:
    """Numbers of four significant digits, as nested lists."""
    return np.vectorize(lambda number: float(f"{number:.4g}"))(np.asarray(array, float)).tolist()


def relative_times(
    calls: dict[str, Callable[[], Any]], reference: str, rounds: int
) -> dict[str, float]:
    """Time of each call over that of a reference, median of interleaved rounds.

    Args:
        calls: By name.
        reference: One of the names.
        rounds: How often each is called, after a first call that compiles.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            if number:
                seconds[name].append(time.perf_counter() - begin)
    base = np.array(seconds[reference])
    return {name: float(f"{np.median(np.array(s) / base):.3g}") for name, s in seconds.items()}
