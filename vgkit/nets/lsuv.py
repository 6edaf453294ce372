"""Layer-sequential unit variance: weights scaled to the data."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check, activations
from vgkit.nets.forward import hidden_layer
from vgkit.nets.layers import Conv, Layer, Net, as_input, input_size, linear
from vgkit.nets.norms import BATCH


def lsuv(net: Net, x: Float[Array, "batch inputs"], activation: str = "tanh", **form: Any) -> Net:
    r"""Layer-sequential unit-variance initialisation.

    .. math:: W_\ell = Q_\ell / \sqrt{\operatorname{Var}(Q_\ell\, u_{\ell-1})}

    Q is the orthonormal matrix nearest to the weights given. From the input side on, each layer is
    divided by the standard deviation of its pre-activations, over all units and examples of the
    batch, so that these have variance 1. Biases become zero; with them one division is enough.

    Args:
        net: The network; every other part of its layers is kept.
        x: A batch for which the variances shall be 1.
        activation: Name of the hidden layers' activation.
        **form: `skip`, `branch` and `order` of the net, see `trace`.

    Raises:
        ValueError: If the activation is unknown, `x` does not fit, or the pre-activations of a
            layer do not vary.

    Source:
        {cite}`mishkin2016`.
    """
    phi = activations.function(activation)
    _check.shape("x", x, (None, input_size(net)))
    _check.finite("x", [x])
    given = jax.vmap(partial(as_input, net))(x)
    scaled, before = [], (given, given)
    for number, layer in enumerate(net, start=1):
        start = layer._replace(w=_orthonormal(layer), b=jnp.zeros_like(layer.b))
        spread = jnp.std(jax.vmap(partial(linear, start))(before[1]))
        if not _check.traced(spread) and not spread > 0:
            raise ValueError(
                f"x must make the pre-activations of layer {number} vary; their standard "
                f"deviation is {spread}"
            )
        scaled.append(start._replace(w=start.w / spread))
        if number < len(net):
            run = partial(hidden_layer, scaled[-1], phi=phi, axis_name=BATCH, **form)
            found = jax.vmap(run, axis_name=BATCH)(before)
            before = found.h, found.u
    return scaled


def _orthonormal(layer: Layer | Conv) -> Array:
    """The weights' orthonormal factor, as a matrix of one row for each unit or channel."""
    left, _, right = jnp.linalg.svd(layer.w.reshape(len(layer.w), -1), full_matrices=False)
    return (left @ right).reshape(layer.w.shape)
