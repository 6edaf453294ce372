"""Weight gradients and error signals of every layer, and numbers that sum them up."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from vgkit import _check, nets
from vgkit.grads.losses import LOSSES, Loss


def prepare(
    weights: Sequence[Array],
    outputs: int,
    x: Array,
    y: Array,
    loss: str | Loss,
    inputs: int | None = None,
) -> tuple[Array, Array, Loss]:
    """Check a batch against the network that it is for."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    _check.shape("x", x, (None, weights[0].shape[-1] if inputs is None else inputs))
    if jnp.ndim(y) == 0 or len(y) != len(x):
        raise ValueError(f"y must have one row for each of the {len(x)} examples; got {y.shape}")
    if loss == "cross_entropy":
        _check.shape("y", y, (len(x),))
        if not jnp.issubdtype(y.dtype, jnp.integer):
            raise ValueError(f"y must hold whole-number labels for cross_entropy; got {y.dtype}")
        if not _check.traced(y):
            _check.labels("y", y, outputs)
    if loss == "mean_squared_error":
        _check.shape("y", y, (len(x), outputs))
    _check.finite("x", [x])
    _check.finite("y", [y])
    _check.finite("net", weights)
    return x, y, loss if callable(loss) else _check.choice("loss", loss, LOSSES)


def prepare_net(net: nets.Net, x: Array, y: Array, loss: str | Loss) -> tuple[Array, Array, Loss]:
    """Check a batch against a network that is a list of layers."""
    weights = [layer.w for layer in net]
    return prepare(weights, len(net[-1].b), x, y, loss, nets.input_size(net))


def weight_gradients(
    net: nets.Net,
    x: Float[Array, "batch inputs"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss = "cross_entropy",
    activation: str = "tanh",
    **form: Any,
) -> nets.Net:
    r"""Gradient of the mean loss of a batch with respect to every parameter.

    .. math:: \frac{\partial L}{\partial W_\ell}, \frac{\partial L}{\partial b_\ell},
              \quad L = \frac{1}{B} \sum_i L_i

    Args:
        net: Layers, input side first.
        x: Batch of examples.
        y: Targets: labels for "cross_entropy", outputs for "mean_squared_error".
        loss: A key of `LOSSES`, or any function (output, target) -> scalar of one example.
        activation: Name of the hidden layers' activation.
        **form: `skip`, `branch` and `order` of the hidden layers, and `statistics` for a batch
            normalisation that shall not use the batch's own, see `nets.trace`.

    Returns:
        A network of the same shapes that holds gradients, in units of loss per unit of weight.

    Raises:
        ValueError: If an argument is unknown, empty, not finite, of the wrong shape, or a label is
            out of range.
    """
    x, y, loss = prepare_net(net, x, y, loss)

    def mean_loss(net: nets.Net) -> Array:
        outputs = nets.forward_batch(net, x, activation, **form)
        return jnp.mean(jax.vmap(loss)(outputs, y))

    return jax.grad(mean_loss)(net)


def error_signals(
    net: nets.Net,
    x: Float[Array, "batch inputs"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss = "cross_entropy",
    activation: str = "tanh",
    **form: Any,
) -> list[Float[Array, "batch ..."]]:
    r"""Error signal of every layer, for every example of a batch by itself.

    .. math:: \delta_{\ell,i} = \frac{\partial L_i}{\partial z_{\ell,i}}

    It is the gradient with respect to zeros added to the pre-activations (`nets.probes`). Nothing
    is averaged over the batch: averaging first would let examples cancel. Batch normalisation
    makes the examples of a batch depend on each other; then the sum of all losses takes the place
    of L_i.

    Args:
        net: Layers, input side first.
        x: Batch of examples.
        y: Targets: labels for "cross_entropy", outputs for "mean_squared_error".
        loss: A key of `LOSSES`, or any function (output, target) -> scalar of one example.
        activation: Name of the hidden layers' activation.
        **form: As for `weight_gradients`.

    Returns:
        One array for each layer, in units of loss per unit of pre-activation.

    Raises:
        ValueError: As for `weight_gradients`.
    """
    x, y, loss = prepare_net(net, x, y, loss)

    def total_loss(probes: list[Array]) -> Array:
        outputs = nets.forward_batch(net, x, activation, probes=probes, **form)
        return jnp.sum(jax.vmap(loss)(outputs, y))

    zeros = [jnp.zeros((len(x), *probe.shape), probe.dtype) for probe in nets.probes(net)]
    return jax.grad(total_loss)(zeros)


def input_gradients(
    net: nets.Net,
    x: Float[Array, "batch inputs"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss = "cross_entropy",
    activation: str = "tanh",
    **form: Any,
) -> Float[Array, "batch inputs"]:
    r"""Gradient of every example's loss with respect to the example itself.

    .. math:: g_i = \frac{\partial L_i}{\partial x_i}

    The arguments are those of `error_signals`, and so are the errors. The loss
    `lambda output, v: output @ v` reads the output along a direction v.
    """
    x, y, loss = prepare_net(net, x, y, loss)

    def total_loss(x: Array) -> Array:
        return jnp.sum(jax.vmap(loss)(nets.forward_batch(net, x, activation, **form), y))

    return jax.grad(total_loss)(x)


def correlation(gradients: Float[Array, "batch ..."]) -> Float[Array, ""]:
    r"""How alike the gradients of different examples are, the mean over all pairs.

    .. math:: \frac{1}{B (B - 1)} \sum_{i \neq j}
              \frac{g_i^{\mathsf T} g_j}{\|g_i\|\, \|g_j\|}

    1 where all point in one direction; about 0 where they have nothing in common, as in white
    noise ("shattered"). The mean of a gradient's entries is not taken off.

    Args:
        gradients: One for each example, of `input_gradients` or one layer's error signals.

    Raises:
        ValueError: If there are fewer than two examples, or a gradient is zero throughout.

    Source:
        {cite}`balduzzi2017`.
    """
    rows = gradients.reshape(len(gradients), -1)
    if len(rows) < 2:
        raise ValueError(f"gradients must hold at least 2 examples; got {len(rows)}")
    sizes = jnp.linalg.norm(rows, axis=1)
    if not _check.traced(sizes):
        _check.positive("gradients' norms", sizes)
    directions = rows / sizes[:, None]
    count = len(rows)
    return (jnp.sum(jnp.square(jnp.sum(directions, axis=0))) - count) / (count * (count - 1))


def rms(array: Float[Array, "..."]) -> Float[Array, ""]:
    r"""Root mean square of all elements, the size of a typical one.

    .. math:: \sqrt{\frac{1}{n} \sum_k a_k^2}

    Args:
        array: Any shape.
    """
    scale = _scale(array)
    return scale * jnp.sqrt(jnp.mean(jnp.square(array / scale)))


def l2(array: Float[Array, "..."]) -> Float[Array, ""]:
    r"""Euclidean norm of all elements taken as one vector.

    .. math:: \sqrt{\sum_k a_k^2}

    Args:
        array: Any shape.
    """
    scale = _scale(array)
    return scale * jnp.sqrt(jnp.sum(jnp.square(array / scale)))


def _scale(array: Float[Array, "..."]) -> Float[Array, ""]:
    # The square of a number below 1e-19 is 0 in float32. Vanishing gradients are such numbers.
    largest = jnp.max(jnp.abs(array), initial=0.0)
    return jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0)


NORMS = {"rms": rms, "l2": l2}
"""Sizes of an array by name."""


def norms(arrays: Sequence[Float[Array, "..."]], kind: str = "rms") -> Float[Array, " layers"]:
    """Size of every layer's signal, as one number each.

    Args:
        arrays: One array for each layer, such as what `error_signals` returns.
        kind: "rms", comparable between layers of different width, or "l2".

    Raises:
        ValueError: If the kind is unknown or there is no layer.
    """
    norm = _check.choice("kind", kind, NORMS)
    if not len(arrays):
        raise ValueError("arrays must hold at least one layer; got none")
    # Equal layers in one piece: a loop for each costs more than the numbers in it.
    runs = [list(run) for _, run in itertools.groupby(arrays, jnp.shape)]
    return jnp.concatenate([jax.vmap(norm)(jnp.stack(run)) for run in runs])


def weight_norms(gradients: nets.Net, kind: str = "rms") -> Float[Array, " layers"]:
    """Size of every layer's weight gradient, biases left out.

    Args:
        gradients: What `weight_gradients` returns.
        kind: A key of `NORMS`.

    Raises:
        ValueError: As for `norms`.
    """
    return norms([layer.w for layer in gradients], kind)


def end_to_end_ratio(error_norms: Float[Array, " layers"]) -> Float[Array, ""]:
    r"""Change of the error signal from the last hidden layer back to the first.

    .. math:: G = \frac{\|\delta_1\|}{\|\delta_{L-1}\|}

    Args:
        error_norms: RMS of the error signal of all layers, output layer included, input side first.

    Returns:
        G: below 1 the signal shrinks on its way to the input, above 1 it grows. With a single
        hidden layer it is 1.

    Raises:
        ValueError: If there is no hidden layer.
    """
    error_norms = jnp.asarray(error_norms)
    if error_norms.ndim != 1 or len(error_norms) < 2:
        raise ValueError(
            f"error_norms must hold a hidden and an output layer at least; got {error_norms.shape}"
        )
    return error_norms[0] / error_norms[-2]


def decades_per_layer(norms: Float[Array, " layers"]) -> Float[Array, ""]:
    r"""Powers of ten that a signal loses with every layer on its way back.

    .. math:: \log_{10} \|g_\ell\| \approx a + d\, \ell

    Args:
        norms: Size of a signal at every layer, input side first, all positive.

    Returns:
        d by least squares, in decades per layer. Positive: the signal vanishes towards the input.
        Negative: it explodes.

    Raises:
        ValueError: If there are fewer than two layers, or a norm is not positive and finite.
    """
    norms = jnp.asarray(norms)
    if norms.ndim != 1 or len(norms) < 2:
        raise ValueError(f"norms must hold at least two layers; got shape {norms.shape}")
    if not _check.traced(norms):
        _check.positive("norms", norms)
    layer = jnp.arange(len(norms)) - (len(norms) - 1) / 2
    return jnp.sum(layer * jnp.log10(norms)) / jnp.sum(layer**2)
