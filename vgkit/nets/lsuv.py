"""Layer-sequential unit variance: weights scaled to the data."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check
from vgkit.nets.layers import hidden_layer
from vgkit.nets.net import Net, stack, unstack
from vgkit.nets.norms import BATCH


def lsuv(net: Net, x: Float[Array, "batch ..."]) -> Net:
    r"""Layer-sequential unit-variance initialisation.

    .. math:: W_\ell = Q_\ell / \sqrt{\operatorname{Var}(Q_\ell\, u_{\ell-1})}

    Q is the orthonormal matrix nearest to the weights given. From the input side on, each layer is
    divided by the standard deviation of its pre-activations, over all units and examples of the
    batch, so that these have variance 1. Biases become zero; with them one division is enough.

    Args:
        net: The network; its form and every other part of its layers stay.
        x: Examples, one in each row, for which the variances shall be 1.

    Raises:
        ValueError: If `x` does not fit, or the pre-activations of a layer do not vary.

    Source:
        {cite}`mishkin2016`.
    """
    _check.shape("x", x, (None, *net.input_shape))
    _check.finite("x", [x])
    scaled, before, form = [], (x, x), net.form
    for number, layer in enumerate([*unstack(net).layers, net.readout], start=1):
        start = layer.replace(w=_orthonormal(layer), b=jnp.zeros_like(layer.b))
        spread = jnp.std(jax.vmap(start)(before[1]))
        if not _check.traced(spread) and not spread > 0:
            raise ValueError(
                f"x must make the pre-activations of layer {number} vary; their standard "
                f"deviation is {spread}"
            )
        scaled.append(start.replace(w=start.w / spread))
        if number <= net.depth:
            run = partial(hidden_layer, scaled[-1], form=form)
            here = jax.vmap(run, axis_name=BATCH)(before)
            before = here.h, here.u
    *layers, readout = scaled
    done = unstack(net).replace(layers=tuple(layers), readout=readout, init="lsuv")
    return stack(done) if net.stacked else done


def _orthonormal(layer: Any) -> Array:
    """The weights' orthonormal factor, as a matrix of one row for each unit or channel."""
    left, _, right = jnp.linalg.svd(layer.w.reshape(len(layer.w), -1), full_matrices=False)
    return (left @ right).reshape(layer.w.shape)
