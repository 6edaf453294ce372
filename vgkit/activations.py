"""Activation functions by name, their slopes, and where they are saturated.

The functions are those of `jax.nn` and `jax.numpy`; a slope is the exact derivative by JAX, so it
can't disagree with what training uses. Wherever an activation is asked for, its name or any
function of each element of an array will do; an unknown name raises `ValueError`.
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
    "by_index",
    "function",
    "saturated",
    "slope",
    "slope_range",
]

Function = Callable[[Float[Array, "..."]], Float[Array, "..."]]
"""An activation, which is a function of each element of an array."""


class Activation(NamedTuple):
    """An activation function, the infimum and supremum of its slope, and its name in text."""

    function: Function
    slope_range: tuple[float, float]
    label: str


def prelu(z: Float[Array, "..."], alpha: float | Float[Array, ""] = 0.25) -> Float[Array, "..."]:
    """Parametric ReLU, whose slope alpha for negative z is learnt {cite:p}`he2015`."""
    return jnp.where(z > 0, z, alpha * z)


# Extrema of the slope, where they lie at no round number. GELU in the form z * Phi(z) has the slope
# Phi(z) + z * phi(z), whose derivative (2 - z^2) * phi(z) vanishes at z = +-sqrt(2); its tanh form
# peaks at z = 1.4185040. The slope of SiLU peaks at the root of z * tanh(z / 2) = 2.
ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation(jax.nn.identity, (1.0, 1.0), "identity"),
    "sigmoid": Activation(jax.nn.sigmoid, (0.0, 0.25), "sigmoid"),
    "tanh": Activation(jnp.tanh, (0.0, 1.0), "tanh"),
    "relu": Activation(jax.nn.relu, (0.0, 1.0), "ReLU"),
    "leaky_relu": Activation(jax.nn.leaky_relu, (0.01, 1.0), "leaky ReLU"),
    "prelu": Activation(prelu, (0.25, 1.0), "PReLU"),
    "elu": Activation(jax.nn.elu, (0.0, 1.0), "ELU"),
    "selu": Activation(jax.nn.selu, (0.0, 1.7580993408473768), "SELU"),
    "gelu": Activation(
        partial(jax.nn.gelu, approximate=False), (-0.128904145185156, 1.128904145185156), "GELU"
    ),
    "gelu_tanh": Activation(jax.nn.gelu, (-0.128993068658772, 1.128993068658772), "GELU (tanh)"),
    "silu": Activation(jax.nn.silu, (-0.099839320128867, 1.099839320128867), "SiLU"),
    "softplus": Activation(jax.nn.softplus, (0.0, 1.0), "softplus"),
}
"""Every activation by name, with its function, the range of its slope and its label.

`leaky_relu` has the negative slope 0.01, `prelu` starts at 0.25, and `elu` has alpha = 1. `gelu` is
z * Phi(z) with the error function, the default of PyTorch and Keras; `gelu_tanh` approximates it
with tanh to within 5e-4, the default of `jax.nn.gelu` and of Flax.
"""


def function(activation: str | Function) -> Function:
    """Return an activation as a function of arrays.

    Args:
        activation: A key of `ACTIVATIONS`, or a function, which is returned as it is.
    """
    if callable(activation):
        return activation
    return _check.choice("activation", activation, ACTIVATIONS).function


def by_index(index: Int[Array, ""] | int, names: Sequence[str | Function]) -> Function:
    """Return the activation at a position that may be traced: one program then serves them all.

    Args:
        index: Position in `names`.
        names: Names or functions.
    """
    branches = [function(name) for name in names]
    return lambda z: jax.lax.switch(index, branches, z)


def slope(
    activation: str | Function, z: Float[Array | np.ndarray, "..."] | float
) -> Float[Array, "..."]:
    r"""Exact slope of an activation.

    .. math:: \phi'(z) = \frac{d\phi}{dz}

    Args:
        z: Pre-activations. At the kink of ReLU, z = 0, JAX takes the slope 0.
    """
    return _slope(function(activation), jnp.asarray(z, float))


@partial(jax.jit, static_argnums=0)
def _slope(phi: Function, z: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.vectorize(jax.grad(phi))(z)


def slope_range(activation: str | Function) -> tuple[float | Array, float | Array]:
    """Return the infimum and the supremum of the slope over all real z, two numbers.

    Args:
        activation: A name, whose range is tabled, or a function, whose range is the one on a grid
            from -20 to 20 in steps of 0.01. There the extremum of a slope with curvature k is
            missed by 1e-5 k at most.
    """
    if not callable(activation):
        return _check.choice("activation", activation, ACTIVATIONS).slope_range
    slopes = slope(activation, np.linspace(-20, 20, 4001))
    return jnp.min(slopes), jnp.max(slopes)


def saturated(
    activation: str | Function, z: Float[Array | np.ndarray, "..."] | float, threshold: float = 0.1
) -> Bool[Array, "..."]:
    r"""Where an activation is saturated: its slope is small beside its own largest.

    .. math:: |\phi'(z)| \le t \max_{z'} |\phi'(z')|

    At the default t = 0.1 a saturated unit takes at least one decade off the signal that it could
    pass on at its steepest. The sigmoid is then saturated where its output is within 0.026 of 0 or
    1, tanh within 0.052 of -1 or 1, and ReLU at every z up to 0. At t = 0 only a slope of exactly 0
    counts: the unit is **switched off** at this input.

    Args:
        activation: A name or a function; for the largest slope see `slope_range`.
        z: Pre-activations.
        threshold: t, from 0 to below 1.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be a number from 0 to below 1; got {threshold!r}")
    low, high = slope_range(activation)
    return jnp.abs(slope(activation, z)) <= threshold * jnp.maximum(-low, high)
