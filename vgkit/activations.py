"""Activation functions by name, each with its slope and the range of that slope.

The functions are those of `jax.nn` and `jax.numpy`; the slope is their exact derivative by
`jax.grad`, so it can't disagree with what training uses.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vgkit import _check

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Function",
    "by_index",
    "function",
    "prelu",
    "saturated",
    "saturated_share",
    "slope",
    "slope_range",
]

Function = Callable[[Float[Array, "..."]], Float[Array, "..."]]
"""An activation, which is a function of each element of an array."""


class Activation(NamedTuple):
    """An activation function and the closed range of its slope.

    Attributes:
        function: phi, applied to each element.
        slope_range: Infimum and supremum of phi'(z) over all real z. For sigmoid, tanh, softplus,
            elu and selu the infimum 0 is approached and never attained in exact arithmetic.
        label: The name as written in text.
    """

    function: Function
    slope_range: tuple[float, float]
    label: str


def prelu(z: Float[Array, "..."], alpha: float | Float[Array, ""] = 0.25) -> Float[Array, "..."]:
    r"""Parametric ReLU.

    .. math:: \phi(z) = \max(z, 0) + \alpha \min(z, 0)

    Args:
        z: Pre-activations.
        alpha: Slope for negative `z`; a parameter to be learnt, started at 0.25.

    Source:
        {cite}`he2015`.
    """
    return jnp.where(z > 0, z, alpha * z)


# Extrema of the slope, where they lie at no round number. GELU in the form z * Phi(z) has the slope
# Phi(z) + z * phi(z), whose derivative (2 - z^2) * phi(z) vanishes at z = +-sqrt(2). The slope of
# SiLU peaks at the root of z * tanh(z / 2) = 2.
_GELU_SLOPE = (-0.12890414, 1.12890414)
_SILU_SLOPE = (-0.09983932, 1.09983932)
_SELU_SLOPE = (0.0, 1.7580993408473768)

ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(jax.nn.identity, (1.0, 1.0), "identity"),
    "sigmoid": Activation(jax.nn.sigmoid, (0.0, 0.25), "sigmoid"),
    "tanh": Activation(jnp.tanh, (0.0, 1.0), "tanh"),
    "relu": Activation(jax.nn.relu, (0.0, 1.0), "ReLU"),
    "leaky_relu": Activation(
        partial(jax.nn.leaky_relu, negative_slope=0.01), (0.01, 1.0), "leaky ReLU"
    ),
    "prelu": Activation(prelu, (0.25, 1.0), "PReLU"),
    "elu": Activation(jax.nn.elu, (0.0, 1.0), "ELU"),
    "selu": Activation(jax.nn.selu, _SELU_SLOPE, "SELU"),
    "gelu": Activation(partial(jax.nn.gelu, approximate=False), _GELU_SLOPE, "GELU"),
    "silu": Activation(jax.nn.silu, _SILU_SLOPE, "SiLU"),
    "softplus": Activation(jax.nn.softplus, (0.0, 1.0), "softplus"),
}
"""Every activation by name.

`leaky_relu` has the negative slope 0.01, `prelu` starts at 0.25, `elu` has alpha = 1, and `gelu` is
the exact form z * Phi(z) with the error function, not the tanh approximation.
"""


def function(activation: str | Function) -> Function:
    """Return an activation as a function of arrays.

    Args:
        activation: A key of `ACTIVATIONS`, or a function, which is returned as it is.

    Raises:
        ValueError: If there is no activation of that name.
    """
    if callable(activation):
        return activation
    return _check.choice("activation", activation, ACTIVATIONS).function


def by_index(index: Int[Array, ""] | int, names: Sequence[str] = tuple(ACTIVATIONS)) -> Function:
    """Return the activation at a position of `names`, where the position may be traced.

    One compiled program then serves them all, which is what an explorer needs.

    Args:
        index: Position of the activation in `names`.
        names: Keys of `ACTIVATIONS`; all of them if left out.

    Raises:
        ValueError: If there is no activation of one of the names.
    """
    branches = [function(name) for name in names]
    return lambda z: jax.lax.switch(index, branches, z)


def slope(name: str, z: Float[Array | np.ndarray, "..."] | float) -> Float[Array, "..."]:
    r"""Exact slope of an activation.

    .. math:: \phi'(z) = \frac{d\phi}{dz}

    Args:
        name: A key of `ACTIVATIONS`.
        z: Pre-activations. At the kink of ReLU, z = 0, JAX takes the slope 0.

    Raises:
        ValueError: If there is no such activation.
    """
    return _slope(function(name), jnp.asarray(z, float))


@partial(jax.jit, static_argnums=0)
def _slope(phi: Function, z: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.vectorize(jax.grad(phi))(z)


def slope_range(name: str) -> tuple[float, float]:
    """Return the infimum and the supremum of the slope over all real z.

    Args:
        name: A key of `ACTIVATIONS`.

    Raises:
        ValueError: If there is no such activation.
    """
    return _check.choice("activation", name, ACTIVATIONS).slope_range


def saturated(
    name: str, z: Float[Array | np.ndarray, "..."] | float, threshold: float = 0.1
) -> Bool[Array, "..."]:
    r"""Where an activation is saturated: its slope is small beside its own largest.

    .. math:: |\phi'(z)| \le t \max_{z'} |\phi'(z')|

    At the default t = 0.1 a saturated unit takes at least one decade off the signal that it could
    pass on at its steepest. The sigmoid is then saturated where its output is within 0.026 of 0 or
    1, tanh within 0.052 of -1 or 1, and ReLU at every z up to 0. At t = 0 only a slope of exactly 0
    counts: the unit is **switched off** at this input. A unit that is off for every example is
    **dead on this batch**; another batch may still find it alive.

    Args:
        name: A key of `ACTIVATIONS`.
        z: Pre-activations.
        threshold: t, from 0 to below 1.

    Raises:
        ValueError: If there is no such activation, or `threshold` is out of range.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be a number from 0 to below 1; got {threshold!r}")
    largest = max(map(abs, slope_range(name)))
    return jnp.abs(slope(name, z)) <= threshold * largest


def saturated_share(
    name: str, pre_activations: Sequence[Float[Array, "..."]], threshold: float = 0.1
) -> Float[Array, " layers"]:
    """Share of saturated values in every layer, over its units and examples.

    Args:
        name: A key of `ACTIVATIONS`.
        pre_activations: One array for each layer.
        threshold: As for `saturated`.

    Raises:
        ValueError: As for `saturated`, or if there is no layer.
    """
    if not len(pre_activations):
        raise ValueError("pre_activations must hold at least one layer; got none")
    return jnp.stack([jnp.mean(saturated(name, z, threshold)) for z in pre_activations])
