"""Histograms of a training run, and histories of many as one function of run and epoch."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vgkit import _check, grads, nets
from vgkit.train import History

SIGNAL_DECADES = np.linspace(-20, 4, 49)
"""Edges between the bins of histograms of signals, as powers of ten."""
PRE_ACTIVATION_EDGES = np.linspace(-10, 10, 41)
"""Edges between the bins of a histogram of pre-activations."""
Viewer = Callable[[Int[Array, ""] | int, Int[Array, ""] | int], dict[str, Float[Array, " _points"]]]

DECADES = np.arange(-13, 2)
"""Where `viewer` draws the shares of a signal's entries, as powers of ten; the first is for 0."""


class Histograms(NamedTuple):
    """Counts of entries in every layer, the output layer last.

    Attributes:
        error_signal: Entries of dL/dz that are exactly 0, smaller in size than all powers of ten in
            `SIGNAL_DECADES`, from each of these edges to the next, and beyond the last or not a
            number.
        weight_gradient: The same counts of the entries of the weight gradient.
        pre_activation: Entries of z between `PRE_ACTIVATION_EDGES`, and beyond them; what is not a
            number is counted last.
    """

    error_signal: Int[Array, "*rows layers 51"]
    weight_gradient: Int[Array, "*rows layers 51"]
    pre_activation: Int[Array, "*rows layers 42"]


def histograms(net: nets.Net, x: Float[Array, "batch ..."], signals: grads.Signals) -> Histograms:
    """Histograms for `train.fit(..., extra=training_viewer.histograms)`."""
    z = jax.vmap(lambda x: nets.pre_activations(net, x), axis_name=nets.BATCH)(x)
    return Histograms(
        signal_histogram(list(signals.error_signals)),
        signal_histogram(list(signals.weight_gradients)),
        pre_activation_histogram(z),
    )


def signal_histogram(layers: Sequence[Float[Array, "..."]]) -> Int[Array, "{len(layers)} 51"]:
    """Counts of the entries of every layer's signal."""

    def place(entries: Array) -> Array:
        size = jnp.abs(entries)
        return jnp.where(size == 0, 0, 1 + _bin(jnp.log10(size), SIGNAL_DECADES))

    return _count(layers, place, len(SIGNAL_DECADES) + 2)


def pre_activation_histogram(layers: Sequence[Array]) -> Int[Array, "{len(layers)} 42"]:
    """Counts of the entries of every layer's pre-activations."""
    return _count(layers, lambda z: _bin(z, PRE_ACTIVATION_EDGES), len(PRE_ACTIVATION_EDGES) + 1)


def _bin(values: Float[Array, " entries"], edges: np.ndarray) -> Int[Array, " entries"]:
    """How many of equally spaced edges are at or below each value; all for not-a-number."""
    place = jnp.floor((values - edges[0]) / (edges[1] - edges[0])) + 1
    place = jnp.where(jnp.isnan(place), len(edges), place)
    return jnp.clip(place, 0, len(edges)).astype(int)


def _count(layers: Sequence[Array], place: Callable[[Array], Array], bins: int) -> Array:
    # One count for all layers: a count for each of them takes XLA seconds to compile.
    layer = np.repeat(np.arange(len(layers)), [entries.size for entries in layers])
    entries = jnp.concatenate([entries.ravel() for entries in layers])
    counts = jnp.bincount(layer * bins + place(entries), length=len(layers) * bins)
    return counts.reshape(len(layers), bins)


def viewer(history: History, epochs: Sequence[int]) -> Viewer:
    """What `charts.training` draws of several runs: medians over their seeds.

    A seed whose loss is not a number does not count; where none is left there is no point.

    Args:
        history: Arrays with two leading axes, runs and seeds, and one row for each epoch, with
            `histograms` as what is recorded besides.
        epochs: Rows to choose from.

    Returns:
        A JAX function (epoch, run) of one of `epochs` and the position of a run. Its arrays: over
        all epochs "loss" and "wrong", the share of test examples misclassified; per layer "signal",
        with "low" and "high", "gradient", "moved", "update" and "size", shares of the weights'
        initial size, and in percent "dead" and "flat"; over `DECADES`, in percent, the error
        signal's entries in the "first" and the "last" hidden layer.
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
        "first": _by_decade(history.extra.error_signal[..., 0, :]),
        "last": _by_decade(history.extra.error_signal[..., -2, :]),
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
