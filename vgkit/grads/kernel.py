"""What every measurement starts from: losses, number formats, and the one backward pass."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from vgkit import _check

FORMATS = {
    "float16": jnp.float16,
    "bfloat16": jnp.bfloat16,
    "float32": jnp.float32,
    "float64": jnp.float64,
}
"""Every number format by name, narrowest first."""
Loss = Callable[[Float[Array, " outputs"], Array], Float[Array, ""]]
"""A function (output, target) -> scalar, the loss of one example."""


def mean_squared_error(
    output: Float[Array, " outputs"], target: Float[Array, " outputs"]
) -> Float[Array, ""]:
    r"""Loss of one example.

    .. math:: L = \frac{1}{n} \sum_{k=1}^{n} (\hat y_k - y_k)^2

    Args:
        output: The network's output for one example.
        target: What the output should be.
    """
    return jnp.mean(optax.losses.squared_error(output, target))


def cross_entropy(output: Float[Array, " outputs"], label: Int[Array, ""]) -> Float[Array, ""]:
    r"""Loss of one example, where the outputs are logits.

    .. math:: L = -\log \mathrm{softmax}(\hat y)_{\text{label}} \quad \text{(in nats)}

    Args:
        output: One logit for each class.
        label: Number of the right class, from 0.
    """
    return optax.losses.softmax_cross_entropy_with_integer_labels(output, label)


LOSSES: dict[str, Loss] = {
    "mean_squared_error": mean_squared_error,
    "cross_entropy": cross_entropy,
}
"""Losses of one example by name."""


def loss_function(loss: str | Loss) -> Loss:
    """A loss of one example by its name, or the function given.

    Args:
        loss: A key of `LOSSES`, or a function (output, target) -> scalar of one example.

    Raises:
        ValueError: If there is no such loss.
    """
    return loss if callable(loss) else _check.choice("loss", loss, LOSSES)


class Backward(NamedTuple):
    """What one pass forward and back gives: losses and aux are those of the forward pass."""

    losses: Array
    aux: Any
    by_params: PyTree
    by_probes: PyTree


def backward(
    run: Callable[[PyTree, PyTree], tuple[Array, Any]],
    params: PyTree,
    probes: PyTree,
    *,
    examples: int,
    loss_scale: float | Array = 1.0,
) -> Backward:
    r"""Differentiate a batch's mean loss by parameters and by probes.

    A **probe** is an array of zeros, with a row for each example, that the forward pass adds to a
    quantity z. The gradient with respect to it is the gradient with respect to z:

    .. math:: \frac{\partial L_i}{\partial z_i}, \quad
              \frac{\partial}{\partial \theta} \frac{1}{B} \sum_i L_i

    `run` is a function (params, probes) -> (losses, aux), with losses of shape (examples,) or their
    mean of shape ().
    """

    def mean_loss(params: PyTree, probes: PyTree) -> tuple[Array, tuple]:
        losses, aux = run(params, probes)
        return loss_scale * jnp.mean(losses), (losses, aux)

    gradients, (losses, aux) = jax.grad(mean_loss, (0, 1), has_aux=True)(params, probes)
    by_params, by_probes = jax.tree.map(lambda g: g / loss_scale, gradients)
    return Backward(losses, aux, by_params, jax.tree.map(lambda g: g * examples, by_probes))


def number_format(format: str) -> Any:
    """The dtype of a format, for measurements that are collected in float64."""
    dtype = _check.choice("dtype", format, FORMATS)
    if not jax.config.jax_enable_x64:
        raise ValueError("jax_enable_x64 must be True to compare with float64; got False")
    return dtype
