"""One example's way through a network, unit by unit, as `explore.network` draws it."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from vgkit import _check, activations, nets
from vgkit._numbers import rms
from vgkit.grads.measure import Loss, signals


def unit_signals(
    net: nets.Net,
    x: Float[Array, " inputs"],
    y: Shaped[Array, "..."] | int,
    *,
    units: int = 8,
    edges: int = 6,
    loss: str | Loss = "cross_entropy",
) -> dict[str, Shaped[Array, " _points"]]:
    r"""Activations and error signals of single units for one example, for a picture of the net.

    .. math:: u_{\ell j}, \quad \phi'(a_{\ell j}), \quad
              \delta_{\ell j} = \frac{\partial L}{\partial z_{\ell j}}

    Arrays "activation", "slope" and "error" hold these for the first units of every hidden layer,
    layer after layer. "edge_weight" and "edge_gradient" hold the weights between those units and
    dL/dW, by layer, unit of that layer and unit of the layer before. "units",
    "activation_size" and "error_size" hold a number for each layer: how many units it has, and RMS
    over all of them. "inputs" is x, "output" the network's, as probabilities under "cross_entropy",
    "label" the target's first number and "loss" the loss. NaN stands for what does not exist.

    Args:
        net: The network, whose depth and activation may be traced.
        x: One example.
        y: Its target.
        units: How many units of a layer are taken.
        edges: Weights are given of nets of at most so many hidden layers.
        loss: As for `signals`.

    Raises:
        ValueError: As for `signals`, or if `units` or `edges` is no whole number of at least 1.
    """
    units, edges = (_check.int_at_least(*one, 1) for one in (("units", units), ("edges", edges)))
    measured = signals(net, x[None], jnp.asarray(y)[None], loss=loss)
    here, output = nets.intermediates(net, x)
    phi = activations.function(net.activation)

    def first(array: Array) -> Array:
        """The first units along every axis, and NaN where there are fewer."""
        array = array[(slice(units),) * array.ndim]
        missing = [(0, units - size) for size in array.shape]
        return jnp.pad(array, missing, constant_values=jnp.nan)

    def row(layer: Any, here: Any, error: Array, weights: Array, number: Array) -> dict[str, Array]:
        slope = jax.grad(phi if layer.alpha is None else partial(phi, alpha=layer.alpha))
        of_units = {
            "units": jnp.asarray(float(here.z.size)),
            "activation": first(here.u),
            "slope": first(jnp.vectorize(slope)(here.a)),
            "error": first(error[0]),
            "activation_size": rms(here.u),
            "error_size": rms(error),
        }
        of_edges = {"edge_weight": first(layer.w), "edge_gradient": first(weights)}
        used = number < net.depth
        drawn = used & (net.depth <= edges) & ((number > 0) | (x.size <= units))
        rows = [(of_units, used), (of_edges, drawn)]
        return {k: jnp.where(on, v, jnp.nan) for arrays, on in rows for k, v in arrays.items()}

    backward = measured.error_signals.hidden, measured.weight_gradients.hidden
    given = net.layers, here, *backward, jnp.arange(net.size)
    if net.stacked:
        rows = jax.vmap(row)(*given)
    else:
        rows = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(row, *given))
    for name in ("edge_weight", "edge_gradient"):
        rows[name] = rows[name][:edges]
    return {name: array.ravel() for name, array in rows.items()} | {
        "inputs": jnp.ravel(x),
        "output": jax.nn.softmax(output) if loss == "cross_entropy" else output,
        "label": jnp.ravel(y)[:1],
        "loss": measured.losses,
    }
