"""The one backward pass that all measurements go through."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


class Backward(NamedTuple):
    """What one pass forward and back gives.

    Attributes:
        losses: Loss of every example, shape (examples,), or their mean, shape ().
        aux: What else the forward pass returned.
        by_params: Gradient of the mean loss with respect to every parameter.
        by_probes: Gradient of every example's loss with respect to its probes.
    """

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

    Args:
        run: Function (params, probes) -> (losses, aux), with losses of shape (examples,) or their
            mean of shape ().
        params: Differentiated for the mean loss.
        probes: Zeros, examples along an axis of their own.
        examples: B.
        loss_scale: S, multiplied onto the loss and divided out of both gradients, in the gradients'
            own formats: what would underflow on its way back does not.
    """

    def mean_loss(params: PyTree, probes: PyTree) -> tuple[Array, tuple]:
        losses, aux = run(params, probes)
        return loss_scale * jnp.mean(losses), (losses, aux)

    gradients, (losses, aux) = jax.grad(mean_loss, (0, 1), has_aux=True)(params, probes)
    by_params, by_probes = jax.tree.map(lambda g: g / loss_scale, gradients)
    return Backward(losses, aux, by_params, jax.tree.map(lambda g: g * examples, by_probes))
