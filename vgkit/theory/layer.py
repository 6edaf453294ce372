"""What one wide layer makes of its input's length, and of the error signal that comes back."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vgkit import _check
from vgkit.activations import Function, function, slope

Number = float | int | Float[Array, ""] | Int[Array, ""]

# Gauss-Legendre panels, finer toward 0: they split the integral at the kinks of ReLU and its
# relatives, and resolve a steep sigmoid however long its pre-activations are.
_EDGES = np.concatenate([[0], 2.0 ** np.arange(-12, 1), np.arange(2, 11)])
_UNIT, _WEIGHT = np.polynomial.legendre.leggauss(12)
_HALF = np.diff(_EDGES)[:, None] / 2
_POSITIVE = (_EDGES[:-1, None] + _HALF + _HALF * _UNIT).ravel()
_NODES = np.concatenate([-_POSITIVE, _POSITIVE])
_WEIGHTS = np.tile((_HALF * _WEIGHT).ravel(), 2) * np.exp(-(_NODES**2) / 2) / math.sqrt(2 * math.pi)
LEAST = 1e-30  # in place of the length 0, where a kink leaves the slope undefined


def gaussian_mean(f: Callable[[Array], Array], length: Number = 1.0) -> Float[Array, ""]:
    r"""Mean of a function over a normal distribution with mean 0 and variance q, the length.

    .. math:: E[f(\sqrt{q} Z)] = \int f(\sqrt{q} z) \frac{e^{-z^2/2}}{\sqrt{2\pi}} dz

    The integral is split at 0. Plain Gauss-Hermite quadrature is not, and errs at kinks: with 51
    points it makes twice the mean squared slope of ReLU, which is 1, about 0.82.
    """
    return jnp.sum(_WEIGHTS * f(jnp.sqrt(length) * _NODES))


@partial(jax.jit, static_argnums=(0, 2))
def slope_moment(phi: Function, length: Number, power: int) -> Float[Array, ""]:
    r"""Mean power of the slope, :math:`E[\phi'(\sqrt{q} Z)^p]`."""
    return gaussian_mean(lambda z: slope(phi, z) ** power, jnp.maximum(length, LEAST))


def length_map(
    length: Number, activation: str | Function, sigma_w: Number, sigma_b: Number = 0.0
) -> Float[Array, ""]:
    r"""Length of the next layer.

    .. math:: q_{\ell+1} = V(q_\ell) = \sigma_w^2\, E[\phi(\sqrt{q_\ell} Z)^2] + \sigma_b^2

    Args:
        length: q, mean square of a layer's pre-activations.
        activation: A name or a function.
        sigma_w: Square root of fan_in * variance of a weight.
        sigma_b: Standard deviation of a bias.

    Raises:
        ValueError: If the activation is unknown, or sigma_w or sigma_b is negative or not finite.

    Source:
        {cite}`poole2016`.
    """
    require_gains(sigma_w, sigma_b)
    return _length_map(function(activation), length, sigma_w, sigma_b)


@partial(jax.jit, static_argnums=0)
def _length_map(phi: Function, q: Number, sigma_w: Number, sigma_b: Number) -> Array:
    return sigma_w**2 * gaussian_mean(lambda z: phi(z) ** 2, q) + sigma_b**2


def chi_1(length: Number, activation: str | Function, sigma_w: Number) -> Float[Array, ""]:
    r"""Factor of the squared error signal per layer.

    .. math:: \chi_1 = \sigma_w^2\, E[\phi'(\sqrt{q} Z)^2]

    Below 1 the signal vanishes on its way back, above 1 it explodes; its norm changes by the square
    root. The arguments are those of `length_map`, and so are the errors. In deep layers the length
    is the fixed point, see `fixed_point`.

    Source:
        {cite}`schoenholz2017`.
    """
    require_gains(sigma_w, 0.0)
    return sigma_w**2 * slope_moment(function(activation), length, 2)


def require_gains(sigma_w: Number, sigma_b: Number) -> None:
    """Require numbers of at least 0, where they are known."""
    for name, value in (("sigma_w", sigma_w), ("sigma_b", sigma_b)):
        if not _check.traced(value) and not 0 <= float(value) < math.inf:
            raise ValueError(f"{name} must be a number of at least 0; got {value!r}")
