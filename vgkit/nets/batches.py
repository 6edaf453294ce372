"""The forward pass of a batch, for networks of layers and stacked ones alike."""

from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import Array, Float

from vgkit import activations
from vgkit.nets.forward import forward, trace
from vgkit.nets.layers import Net
from vgkit.nets.norms import BATCH, Statistics
from vgkit.nets.stacks import Stack, stack_trace


def forward_batch(
    net: Net | Stack,
    x: Float[Array, "batch inputs"],
    activation: str = "tanh",
    *,
    probes: Sequence[Float[Array, "batch ..."]] | None = None,
    **form: Any,
) -> Float[Array, "batch outputs"]:
    """Outputs of the network for a batch.

    A batch normalisation takes the statistics of this batch, unless `statistics` are given.

    Args:
        net: Layers, input side first, or stacked.
        x: Batch of examples.
        activation: Name of the hidden layers' activation.
        probes: Added to the pre-activations of a network that is not stacked, one row for each
            example; see `probes`.
        **form: What else `trace` takes.

    Raises:
        ValueError: As for `trace`.
    """

    def one(x: Array, probes: Any) -> Array:
        if not isinstance(net, Stack):
            return forward(net, x, activation, axis_name=BATCH, probes=probes, **form)
        u, _ = stack_trace(net, x, activations.function(activation), axis_name=BATCH, **form)
        return net.output.w @ u + net.output.b

    return jax.vmap(one, axis_name=BATCH)(x, probes)


def batch_statistics(
    net: Net | Stack, x: Float[Array, "batch inputs"], activation: str = "tanh", **form: Any
) -> list[Statistics | None] | Statistics | None:
    """Mean and variance that every batch normalisation meets on a batch.

    Over all training examples they are the statistics for inference. Gathered batch by batch while
    a net trains, with `moving_average`, they are the running statistics that serve the same end.

    Args:
        net: Layers, input side first, or stacked.
        x: Batch of examples.
        activation: Name of the hidden layers' activation.
        **form: What else `trace` takes.

    Returns:
        One for each hidden layer, None where there is no batch normalisation; for a `Stack`, one
        for all of them, with the layers on the leading axis.

    Raises:
        ValueError: As for `trace`.
    """

    def one(x: Array) -> Any:
        if isinstance(net, Stack):
            return stack_trace(net, x, activations.function(activation), axis_name=BATCH, **form)[1]
        return [layer.statistics for layer in trace(net, x, activation, axis_name=BATCH, **form)[0]]

    return jax.vmap(one, out_axes=None, axis_name=BATCH)(x)
