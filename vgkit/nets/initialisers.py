"""Initialisers of weights: by name, and measured on data."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check
from vgkit.nets.layers import hidden_layer
from vgkit.nets.net import Net, stack, unstack
from vgkit.nets.norms import BATCH

Initialiser = Callable[..., Float[Array, "fan_out fan_in"]]
"""A function (key, shape, dtype) -> weights."""
_FANS = {"in_axis": -1, "out_axis": -2}
INITIALISERS: dict[str, Initialiser] = {
    "lecun_normal": jax.nn.initializers.lecun_normal(**_FANS),
    "lecun_uniform": jax.nn.initializers.lecun_uniform(**_FANS),
    "glorot_normal": jax.nn.initializers.glorot_normal(**_FANS),
    "glorot_uniform": jax.nn.initializers.glorot_uniform(**_FANS),
    "he_normal": jax.nn.initializers.he_normal(**_FANS),
    "he_uniform": jax.nn.initializers.he_uniform(**_FANS),
    "orthogonal": jax.nn.initializers.orthogonal(),
}
"""Initialisers without a parameter, from `jax.nn.initializers`.

The variance of a weight is 1 / fan_in (LeCun), 2 / (fan_in + fan_out) (Glorot) or 2 / fan_in (He).
The "normal" ones draw from a normal distribution cut off at two standard deviations and rescaled to
that variance.
"""


def initialiser(init: str | Initialiser, std: float | None = None) -> Initialiser:
    """Return an initialiser: a function (key, shape, dtype) -> weights.

    Args:
        init: A key of `INITIALISERS`, "normal", or such a function.
        std: Standard deviation of a weight, for "normal" and for nothing else.

    Raises:
        ValueError: If the name is unknown, or `std` is missing, superfluous or out of range.
    """
    if isinstance(init, str) and init == "normal":
        if std is None or not 0 <= std < float("inf"):
            raise ValueError(f"std must be a number of at least 0 for 'normal'; got {std!r}")
        return jax.nn.initializers.normal(std)
    if not callable(init) and init not in INITIALISERS:
        names = ", ".join([*INITIALISERS, "normal"])
        raise ValueError(f"init must be one of {names}, or a function; got {init!r}")
    if std is not None:
        raise ValueError(f"std must be left out for {init!r}; got {std!r}")
    return init if callable(init) else INITIALISERS[init]


def lsuv(net: Net, x: Float[Array, "batch ..."]) -> Net:
    r"""Layer-sequential unit-variance initialisation.

    .. math:: W_\ell = Q_\ell / \sqrt{\operatorname{Var}(Q_\ell\, u_{\ell-1})}

    Q is the orthonormal matrix nearest to the weights given. The variance is that over all units
    and examples of the batch; biases become zero.

    Args:
        net: The network; its form and every other part of its layers stay.
        x: Examples, one in each row.

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
    left, _, right = jnp.linalg.svd(layer.w.reshape(len(layer.w), -1), full_matrices=False)
    return (left @ right).reshape(layer.w.shape)
