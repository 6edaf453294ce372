"""What is measured of a network while it trains."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vgkit import activations, grads, nets

SIGNAL_DECADES = np.linspace(-20, 4, 49)
"""Edges between the bins of `signal_histogram`, as powers of ten."""
PRE_ACTIVATION_EDGES = np.linspace(-10, 10, 41)
"""Edges between the bins of `pre_activation_histogram`."""


class Data(NamedTuple):
    """Examples to train on and examples to test with; any such four arrays will do.

    Attributes:
        x_train: Examples to train on, one in each row.
        y_train: Their targets, of shape (examples, ...).
        x_test: Examples to test with.
        y_test: Their targets, of shape (tests, ...).
    """

    x_train: Float[Array, "examples inputs"]
    y_train: Array
    x_test: Float[Array, "tests inputs"]
    y_test: Array


class History(NamedTuple):
    """One training run, a row for each time it was looked at, the initial network first.

    A layer's signals are those of the probe batch, the first training examples, and its norms are
    RMS over all elements of its weights (biases left out), units and examples.

    Attributes:
        step: Steps taken.
        epoch: Passes through the training examples.
        train_loss: Mean loss of all training examples.
        test_loss: Mean loss of all test examples.
        train_accuracy: Share of training examples whose label has the largest output; NaN if
            targets are no whole-number labels.
        test_accuracy: The same for test examples.
        error_signal: Size of dL/dz, each example by itself, loss per unit of pre-activation.
        weight_gradient: Size of the gradient of the mean loss, loss per unit of weight.
        weights: Size of the weights.
        moved: Size of the difference from the initial weights.
        update_ratio: Size of an update over that of the weights, averaged over the steps since the
            last row; NaN in the first row, before any step.
        dead: Share of a hidden layer's units whose slope is exactly 0 for all of the probe batch.
            Other examples may still find them alive.
        saturated: Share of a hidden layer's slopes that are small, see `activations.saturated`.
        error_histogram: Counts of the entries of dL/dz, see `signal_histogram`.
        gradient_histogram: Counts of the entries of the weight gradient.
        pre_activations: Counts of the entries of z, see `pre_activation_histogram`.
    """

    step: Int[Array, "*rows"]
    epoch: Float[Array, "*rows"]
    train_loss: Float[Array, "*rows"]
    test_loss: Float[Array, "*rows"]
    train_accuracy: Float[Array, "*rows"]
    test_accuracy: Float[Array, "*rows"]
    error_signal: Float[Array, "*rows layers"]
    weight_gradient: Float[Array, "*rows layers"]
    weights: Float[Array, "*rows layers"]
    moved: Float[Array, "*rows layers"]
    update_ratio: Float[Array, "*rows layers"]
    dead: Float[Array, "*rows hidden"]
    saturated: Float[Array, "*rows hidden"]
    error_histogram: Int[Array, "*rows layers 51"]
    gradient_histogram: Int[Array, "*rows layers 51"]
    pre_activations: Int[Array, "*rows layers 42"]


def signal_histogram(
    layers: Sequence[Float[Array, "..."]],
) -> Int[Array, "{len(layers)} 51"]:
    """Count the entries of every layer's signal by the power of ten of their absolute value.

    Args:
        layers: Error signals or weight gradients, one array for each layer.

    Returns:
        For each layer: how many are exactly 0, how many are smaller than all of `SIGNAL_DECADES`,
        how many lie from each of these edges to the next, and how many are beyond the last or not
        a number.
    """

    def place(entries: Array) -> Array:
        size = jnp.abs(entries)
        return jnp.where(size == 0, 0, 1 + _bin(jnp.log10(size), SIGNAL_DECADES))

    return _count(layers, place, len(SIGNAL_DECADES) + 2)


def pre_activation_histogram(
    layers: Sequence[Float[Array, "..."]],
) -> Int[Array, "{len(layers)} 42"]:
    """Count every layer's pre-activations between `PRE_ACTIVATION_EDGES`, and beyond them.

    What is not a number is counted in the last bin.

    Args:
        layers: Pre-activations, one array for each layer.
    """
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


def measure(
    net: nets.Net,
    initial: nets.Net,
    data: Data,
    probe: int,
    *,
    step: Array,
    epoch: Array,
    update_ratio: Float[Array, " layers"],
    loss: grads.Loss,
    activation: str,
    **form: Any,
) -> History:
    """One row of a history: the network now, beside the initial one."""
    model = {"loss": loss, "activation": activation, **form}
    # Batch normalisation is judged as at inference, with the training data's statistics.
    statistics = nets.batch_statistics(net, data.x_train, activation, **form)
    train_loss, train_accuracy = _score(net, data.x_train, data.y_train, **model)
    test_loss, test_accuracy = _score(net, data.x_test, data.y_test, statistics=statistics, **model)
    deltas, gradient, zs, arguments = _signals(
        net, data.x_train[:probe], data.y_train[:probe], **model
    )
    dead, saturated = _shares(activation, arguments)
    return History(
        step=step,
        epoch=epoch,
        train_loss=train_loss,
        test_loss=test_loss,
        train_accuracy=train_accuracy,
        test_accuracy=test_accuracy,
        error_signal=grads.norms(deltas),
        weight_gradient=grads.weight_norms(gradient),
        weights=grads.weight_norms(net),
        moved=grads.weight_norms(jax.tree.map(jnp.subtract, net, initial)),
        update_ratio=update_ratio,
        dead=dead,
        saturated=saturated,
        error_histogram=signal_histogram(deltas),
        gradient_histogram=signal_histogram([layer.w for layer in gradient]),
        pre_activations=pre_activation_histogram(zs),
    )


def mean_loss(
    net: nets.Net, x: Array, y: Array, *, loss: grads.Loss, activation: str, **form: Any
) -> tuple[Float[Array, ""], Float[Array, "batch outputs"]]:
    """Mean loss of a batch, and the outputs."""
    outputs = nets.forward_batch(net, x, activation, **form)
    return jnp.mean(jax.vmap(loss)(outputs, y)), outputs


def _score(net: nets.Net, x: Array, y: Array, **model: Any) -> tuple[Array, Array]:
    value, outputs = mean_loss(net, x, y, **model)
    return value, accuracy(outputs, y)


def accuracy(outputs: Float[Array, "*shape outputs"], y: Array) -> Float[Array, ""]:
    """Share of labels that have the largest output; NaN where targets are no labels."""
    if y.shape != outputs.shape[:-1] or not jnp.issubdtype(y.dtype, jnp.integer):
        return jnp.full_like(outputs, jnp.nan, shape=())
    return jnp.mean(jnp.argmax(outputs, axis=-1) == y, dtype=outputs.dtype)


def _signals(
    net: nets.Net, x: Array, y: Array, *, loss: grads.Loss, activation: str, **form: Any
) -> tuple[list[Array], nets.Net, list[Array], list[Array]]:
    """Error signals, gradient and pre-activations of a batch, by one backward pass for all."""

    def probed(net: nets.Net, probes: Sequence[Array]) -> tuple[Array, tuple]:
        def one(x: Array, probes: Sequence[Array]) -> tuple[list[Array], list[Array], Array]:
            hidden, output = nets.trace(
                net, x, activation, axis_name=nets.BATCH, probes=probes, **form
            )
            return [layer.z for layer in hidden], [layer.a for layer in hidden], output

        zs, arguments, outputs = jax.vmap(one, axis_name=nets.BATCH)(x, probes)
        return jnp.mean(jax.vmap(loss)(outputs, y)), ([*zs, outputs], arguments)

    probes = [jnp.zeros((len(x), *zero.shape), zero.dtype) for zero in nets.probes(net)]
    (gradient, by_probe), (zs, arguments) = jax.grad(probed, (0, 1), has_aux=True)(net, probes)
    return [len(x) * delta for delta in by_probe], gradient, zs, arguments


def _shares(activation: str, zs: Sequence[Float[Array, "batch _units"]]) -> Float[Array, "2 _"]:
    """Shares of dead units and of saturated slopes in every hidden layer."""

    def shares(z: Array) -> Array:
        off = jnp.all(activations.saturated(activation, z, 0.0), axis=0)
        flat = activations.saturated(activation, z)
        return jnp.stack([jnp.mean(part, dtype=z.dtype) for part in (off, flat)])

    return jnp.stack([shares(z) for z in zs], axis=1) if zs else jnp.zeros((2, 0))
