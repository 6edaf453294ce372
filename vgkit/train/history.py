"""What is measured of a network while it trains."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vgkit import activations, grads, nets

SIGNAL_DECADES = np.linspace(-20, 4, 49)
"""Edges between the bins of a history's histograms of signals, as powers of ten."""
PRE_ACTIVATION_EDGES = np.linspace(-10, 10, 41)
"""Edges between the bins of a history's histogram of pre-activations."""


class Data(NamedTuple):
    """Examples to train on and to test with.

    Attributes:
        x_train: One example in each row.
        y_train: Targets, of shape (examples, ...).
        x_test: Test examples, or None.
        y_test: Their targets, of shape (tests, ...), or None.
    """

    x_train: Float[Array, "examples ..."]
    y_train: Array
    x_test: Float[Array, "tests ..."] | None = None
    y_test: Array | None = None


class History(NamedTuple):
    """One training run: a row for every few steps, the initial network first.

    What has a number for each layer is of the probe batch, the first training examples, and None
    where only losses were recorded. Sizes are RMS over all elements of a layer's weights (biases
    left out), units and examples; the output layer comes last.

    Attributes:
        step: Steps taken.
        epoch: Passes through the training examples.
        train_loss: Mean loss of all training examples.
        test_loss: Mean loss of all test examples; None without any.
        train_accuracy: Share of training examples whose label has the largest output; NaN if
            targets are no whole-number labels.
        test_accuracy: The same for test examples; None without any.
        error_signal: Size of dL/dz, each example by itself.
        weight_gradient: Size of the gradient of the mean loss.
        weights: Size of the weights.
        moved: Size of the difference from the initial weights.
        update_ratio: Size of an update over that of the weights, averaged over the steps since the
            last row; NaN in the first row, before any step.
        dead: Share of a hidden layer's units whose slope is exactly 0 for all of the probe batch.
        saturated: Share of a hidden layer's slopes that are small, see `activations.saturated`.
        error_histogram: Counts of the entries of dL/dz that are exactly 0, smaller in size than all
            powers of ten in `SIGNAL_DECADES`, from each of these edges to the next, and beyond the
            last or not a number.
        gradient_histogram: The same counts of the entries of the weight gradient.
        pre_activations: Counts of the entries of z between `PRE_ACTIVATION_EDGES`, and beyond them;
            what is not a number is counted last.
    """

    step: Int[Array, "*rows"]
    epoch: Float[Array, "*rows"]
    train_loss: Float[Array, "*rows"]
    test_loss: Float[Array, "*rows"] | None
    train_accuracy: Float[Array, "*rows"]
    test_accuracy: Float[Array, "*rows"] | None
    error_signal: Float[Array, "*rows layers"] | None = None
    weight_gradient: Float[Array, "*rows layers"] | None = None
    weights: Float[Array, "*rows layers"] | None = None
    moved: Float[Array, "*rows layers"] | None = None
    update_ratio: Float[Array, "*rows layers"] | None = None
    dead: Float[Array, "*rows hidden"] | None = None
    saturated: Float[Array, "*rows hidden"] | None = None
    error_histogram: Int[Array, "*rows layers 51"] | None = None
    gradient_histogram: Int[Array, "*rows layers 51"] | None = None
    pre_activations: Int[Array, "*rows layers 42"] | None = None


def signal_histogram(layers: Sequence[Float[Array, "..."]]) -> Int[Array, "{len(layers)} 51"]:
    """Counts of the entries of every layer's signal, as `History` has them."""

    def place(entries: Array) -> Array:
        size = jnp.abs(entries)
        return jnp.where(size == 0, 0, 1 + _bin(jnp.log10(size), SIGNAL_DECADES))

    return _count(layers, place, len(SIGNAL_DECADES) + 2)


def pre_activation_histogram(layers: Sequence[Array]) -> Int[Array, "{len(layers)} 42"]:
    """Counts of every layer's pre-activations, as `History` has them."""
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


def outputs(model: Any, x: Array, y: Array, statistics: Any = None) -> Array:
    """Outputs for a batch; a recurrent net's last, or all where targets have a time axis too."""
    if isinstance(model, nets.Net):
        return nets.forward(model, x, statistics=statistics)
    answers = jax.vmap(model)(x)
    return answers if answers.ndim < 3 or y.shape[1:2] == x.shape[1:2] else answers[:, -1]


def mean_loss(answers: Float[Array, "batch *time outputs"], y: Array, loss: grads.Loss) -> Array:
    """Mean loss of a batch, over its examples and time steps."""
    flat = answers.reshape(-1, answers.shape[-1])
    return jnp.mean(jax.vmap(loss)(flat, y.reshape(len(flat), *y.shape[answers.ndim - 1 :])))


def accuracy(answers: Float[Array, "*shape outputs"], y: Array) -> Float[Array, ""]:
    """Share of labels that have the largest output; NaN where targets are no labels."""
    if y.shape != answers.shape[:-1] or not jnp.issubdtype(y.dtype, jnp.integer):
        return jnp.full_like(answers, jnp.nan, shape=())
    return jnp.mean(jnp.argmax(answers, axis=-1) == y, dtype=answers.dtype)


def scores(model: Any, data: Data, step: Array, epoch: Array, loss: grads.Loss) -> History:
    """Losses and accuracies now, as at inference: with the training data's statistics."""
    known = isinstance(model, nets.Net)
    statistics = nets.batch_statistics(model, data.x_train) if known else None

    def score(x: Array | None, y: Array | None) -> tuple:
        if x is None:
            return None, None
        answers = outputs(model, x, y, statistics)
        return mean_loss(answers, y, loss), accuracy(answers, y)

    train_loss, train_accuracy = score(data.x_train, data.y_train)
    test_loss, test_accuracy = score(data.x_test, data.y_test)
    return History(step, epoch, train_loss, test_loss, train_accuracy, test_accuracy)


def with_layers(
    row: History, net: nets.Net, initial: nets.Net, x: Array, y: Array, ratio: Array, loss: Any
) -> History:
    """A row together with what it says of every layer, on a probe batch."""
    signals = grads.signals(net, x, y, loss=loss)
    hidden = jax.vmap(lambda x: nets.intermediates(net, x)[0], axis_name=nets.BATCH)(x)
    if net.stacked:  # examples lead
        hidden = [jax.tree.map(lambda a, i=i: a[:, i], hidden) for i in range(net.size)]
    output = nets.forward(net, x)
    flat = [activations.saturated(net.activation, layer.a) for layer in hidden]
    off = [activations.saturated(net.activation, layer.a, 0.0).all(axis=0) for layer in hidden]
    saturated, dead = (
        jnp.array([jnp.mean(part, dtype=output.dtype) for part in parts], output.dtype)
        for parts in (flat, off)
    )
    moved = jax.tree.map(jnp.subtract, net, initial)
    return row._replace(
        error_signal=signals.error_norms,
        weight_gradient=signals.weight_norms,
        weights=grads.per_layer(net).norms(),
        moved=grads.per_layer(moved).norms(),
        update_ratio=ratio,
        dead=dead,
        saturated=saturated,
        error_histogram=signal_histogram(list(signals.error_signals)),
        gradient_histogram=signal_histogram(list(signals.weight_gradients)),
        pre_activations=pre_activation_histogram([*(layer.z for layer in hidden), output]),
    )
