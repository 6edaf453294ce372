"""Losses of one example."""

from collections.abc import Callable

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from vgkit import _check

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
    """Return a loss of one example by its name, or the function given.

    Args:
        loss: A key of `LOSSES`, or a function (output, target) -> scalar of one example.

    Raises:
        ValueError: If there is no such loss.
    """
    return loss if callable(loss) else _check.choice("loss", loss, LOSSES)
