"""Histories of many runs as one function of run and epoch, for an explorer."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vgkit import _check
from vgkit.train import SIGNAL_DECADES, History

Viewer = Callable[[Int[Array, ""] | int, Int[Array, ""] | int], dict[str, Float[Array, " _points"]]]

DECADES = np.arange(-13, 2)
"""Where `viewer` draws the shares of a signal's entries, as powers of ten; the first is for 0."""


def viewer(history: History, epochs: Sequence[int]) -> Viewer:
    """What `charts.training` draws of several runs: medians over their seeds.

    A seed whose loss is not a number does not count; where none is left there is no point.

    Args:
        history: Arrays with two leading axes, runs and seeds, and one row for each epoch.
        epochs: Rows to choose from.

    Returns:
        A JAX function (epoch, run) of one of `epochs` and the position of a run. Its arrays: over
        all epochs "loss" and "wrong", the share of test examples misclassified; per layer "signal",
        with "low" and "high", "gradient", "moved", "update" and "size", shares of the weights'
        initial size, and in percent "dead" and "flat"; over `DECADES`, in percent, the error
        signal's entries in the "first" and the "last" hidden layer.

    Raises:
        ValueError: If the history has no axes for runs and seeds, or a row is missing.
    """
    if history.train_loss.ndim != 3:
        raise ValueError(
            f"history must have axes for runs, seeds and rows; got {history.train_loss.ndim} axes"
        )
    rows = np.array([_check.int_at_least("each of epochs", epoch, 0) for epoch in epochs])
    if rows.max() >= history.train_loss.shape[2]:
        raise ValueError(
            f"epochs must be at most {history.train_loss.shape[2] - 1}; got {rows.max()}"
        )
    history = jax.tree.map(np.asarray, history)
    lost = ~np.isfinite(history.train_loss)
    initial = history.weights[:, :, :1]
    initial = np.where(initial > 0, initial, np.nan)

    def over_seeds(values: np.ndarray, statistic: Callable = np.ma.median) -> np.ndarray:
        mask = np.expand_dims(lost, tuple(range(3, values.ndim)))
        masked = np.ma.array(values, mask=np.broadcast_to(mask, values.shape))
        return np.ma.filled(statistic(masked, axis=1), np.nan)

    per_layer = {
        "signal": over_seeds(history.error_signal),
        "low": over_seeds(history.error_signal, np.ma.min),
        "high": over_seeds(history.error_signal, np.ma.max),
        "gradient": over_seeds(history.weight_gradient),
        "moved": over_seeds(history.moved / initial),
        "update": over_seeds(history.update_ratio),
        "size": over_seeds(history.weights / initial),
        "dead": over_seeds(100 * history.dead),
        "flat": over_seeds(100 * history.saturated),
        "first": _by_decade(history.error_histogram[..., 0, :]),
        "last": _by_decade(history.error_histogram[..., -2, :]),
    }
    per_layer = {name: jnp.asarray(values[:, rows]) for name, values in per_layer.items()}
    right = over_seeds(history.test_accuracy)
    curves = {"loss": jnp.asarray(over_seeds(history.train_loss)), "wrong": jnp.asarray(1 - right)}
    stops, decades = jnp.asarray(rows), jnp.asarray(DECADES, float)
    numbers = jnp.asarray(np.arange(curves["loss"].shape[1]), float)

    def at(epoch: Array | int, run: Array | int) -> dict[str, Array]:
        row = jnp.searchsorted(stops, epoch)
        return {
            **{name: values[run, row] for name, values in per_layer.items()},
            **{name: values[run] for name, values in curves.items()},
            "epochs": numbers,
            "decades": decades,
            "now": jnp.asarray(epoch, float)[None],
            "loss_now": curves["loss"][run, epoch][None],
            "right_now": 100 * (1 - curves["wrong"][run, epoch])[None],
        }

    return at


def _by_decade(counts: Int[np.ndarray, "runs seeds rows 51"]) -> Float[np.ndarray, "runs rows 15"]:
    """Shares in percent of zeros and of every decade, all seeds together; ends include the rest."""
    counts = counts.sum(axis=1)
    edges = np.concatenate([[-np.inf], SIGNAL_DECADES])  # where each bin but that of 0 begins
    decade = np.clip(np.floor(edges), DECADES[1], DECADES[-1]).astype(int) - DECADES[0]
    shares = np.zeros((*counts.shape[:2], len(DECADES)))
    shares[..., 0] = counts[..., 0]
    for place in range(1, len(DECADES)):
        shares[..., place] = counts[..., 1:][..., decade == place].sum(axis=-1)
    return 100 * shares / counts.sum(axis=-1, keepdims=True)
