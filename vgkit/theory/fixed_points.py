"""Where the length settles, how fast, and on which gain the error signal keeps its size."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vgkit import _check
from vgkit.activations import Function, function
from vgkit.theory.layer import LEAST, Number, chi_1, length_map, require_gains

_LENGTHS = np.geomspace(1e-12, 1e12, 241)


class DepthScales(NamedTuple):
    """How many layers it takes to change by the factor e (2.72).

    Attributes:
        length: For the distance of q_l from its fixed point; infinite where it is never forgotten.
        gradient: For the squared error signal; infinite on the edge of chaos.
    """

    length: Float[Array, ""]
    gradient: Float[Array, ""]


class Edge(NamedTuple):
    """A point of the edge of chaos.

    Attributes:
        sigma_w: Gain of the weights: standard deviation of a weight, times the root of fan_in.
        length: q*, the length that it keeps.
    """

    sigma_w: float
    length: float


def fixed_point(
    activation: str | Function, sigma_w: Number, sigma_b: Number = 0.0, start: float = 1.0
) -> Float[Array, ""]:
    r"""The length that deep layers settle at.

    .. math:: q^* = V(q^*)

    It comes from a bisection between `start` and the first crossing in the direction in which V
    moves the length. A slow approach costs nothing: tanh at sigma_w = 1 would need infinitely many
    layers.

    Args:
        activation: A name or a function.
        sigma_w: Square root of fan_in * variance of a weight.
        sigma_b: Standard deviation of a bias.
        start: Length of the first layer. ReLU at sigma_w = sqrt(2), sigma_b = 0 keeps any length.

    Raises:
        ValueError: If the length grows without a bound, where the gains are known (where they are
            traced, infinity is returned); or as for `length_map`.
    """
    require_gains(sigma_w, sigma_b)
    _check.positive("start", start)
    q = _fixed_point(function(activation), sigma_w, sigma_b, start)
    if not _check.traced(q) and not jnp.isfinite(q):
        raise ValueError(
            f"activation {activation!r} has no fixed point at sigma_w = {sigma_w}, "
            f"sigma_b = {sigma_b}: the length grows without a bound"
        )
    return q


@partial(jax.jit, static_argnums=0)
def _fixed_point(phi: Function, sigma_w: Number, sigma_b: Number, start: Number) -> Array:
    def growth(q: Array) -> Array:
        return length_map(q, phi, sigma_w, sigma_b) - q

    start = jnp.asarray(start, float)
    at_start = growth(start)
    up = at_start > 0
    lengths = jnp.asarray(_LENGTHS, float)
    ahead = jnp.where(up, lengths > start, lengths < start)
    crossed = ahead & ((jax.vmap(growth)(lengths) > 0) != up)
    first = jnp.where(up, jnp.argmax(crossed), len(lengths) - 1 - jnp.argmax(crossed[::-1]))
    # One step of the list back, but not behind the start: there the length still moves on.
    ratio = lengths[1] / lengths[0]
    low, high = jnp.minimum(lengths[first], start), jnp.maximum(lengths[first], start)
    low = jnp.where(up, jnp.maximum(low, lengths[first] / ratio), low)
    high = jnp.where(up, high, jnp.minimum(high, lengths[first] * ratio))
    crossing = _bisect(lambda q: growth(q) > 0, low, high)
    settled = jnp.where(crossed.any(), crossing, jnp.where(up, jnp.inf, 0.0))
    still = jnp.abs(at_start) <= 16 * jnp.finfo(float).eps * start
    return jnp.where(still, start, settled)


def depth_scales(
    activation: str | Function, sigma_w: Number, sigma_b: Number = 0.0, start: float = 1.0
) -> DepthScales:
    r"""Depth scales at the fixed point, in layers.

    .. math:: \xi_q = \frac{1}{|\ln V'(q^*)|}, \quad \xi_\nabla = \frac{1}{|\ln \chi_1(q^*)|}

    The arguments are those of `fixed_point`, and so are the errors.

    Source:
        {cite}`schoenholz2017`.
    """
    q = jnp.maximum(fixed_point(activation, sigma_w, sigma_b, start), LEAST)
    slope = jax.grad(lambda q: length_map(q, activation, sigma_w, sigma_b))(q)
    factors = slope, chi_1(q, activation, sigma_w)
    return DepthScales(*(1 / jnp.abs(jnp.log(factor)) for factor in factors))


def edge_of_chaos(activation: str | Function, sigma_b: float = 0.0) -> Edge:
    r"""The gain at which deep layers neither shrink nor stretch the error signal.

    .. math:: \chi_1(q^*) = 1: \quad \sigma_w^2 = \frac{1}{E[\phi'^2]}, \quad
              \sigma_b^2 = q^* - \frac{E[\phi^2]}{E[\phi'^2]}

    Identity, ReLU, leaky ReLU and PReLU have an edge at sigma_b = 0 alone; they keep any length
    there, of which 1 is returned. Tanh, ELU, SELU and sigmoid have one for every sigma_b, the
    sigmoid beyond sigma_w = 10. GELU and SiLU have one for large sigma_b only: for small ones the
    length at which chi_1 is 1 is unstable. Softplus has none.

    Args:
        activation: A name or a function.
        sigma_b: Standard deviation of a bias.

    Raises:
        ValueError: If there is no such gain; or as for `length_map`.

    Source:
        {cite}`poole2016` for tanh; the statements on the others are this package's own computation.
    """
    require_gains(1.0, sigma_b)
    none = f"activation {activation!r} has no edge of chaos at sigma_b = {sigma_b}"
    needed, q, sigma_w, grows = _edge(function(activation), sigma_b)
    if np.abs(needed / _LENGTHS).max() < math.sqrt(jnp.finfo(float).eps):  # any length will do
        q, grows = 1.0, sigma_b > 0
    elif not (needed >= sigma_b**2).any():
        grows = True
    elif grows:
        raise ValueError(f"{none}: the length {q:.3g}, at which chi_1 is 1, is unstable")
    if grows:
        raise ValueError(f"{none}: where chi_1 is 1, the length grows without a bound")
    return Edge(float(sigma_w), float(q))


@partial(jax.jit, static_argnums=0)
def _edge(phi: Function, sigma_b: Number) -> tuple[Array, Array, Array, Array]:
    """The edge's length and gain, with what decides whether there is an edge.

    First the bias variance that each length needs to stay where chi_1 is 1, last whether a slightly
    greater length grows further.
    """

    def critical_gain(q: Number) -> Array:
        return 1 / jnp.sqrt(chi_1(q, phi, 1.0))

    def bias_variance(q: Number) -> Array:
        """What the biases must add so that the length stays, at the critical gain."""
        return q - length_map(q, phi, critical_gain(q))

    lengths = jnp.asarray(_LENGTHS, float)
    needed = jax.vmap(bias_variance)(lengths)
    first = jnp.argmax(needed >= sigma_b**2)
    below = lengths[jnp.maximum(first - 1, 0)]
    crossing = _bisect(lambda q: bias_variance(q) < sigma_b**2, below, lengths[first])
    q = jnp.where(first == 0, 0.0, crossing)
    sigma_w = critical_gain(jnp.maximum(q, LEAST))
    longer = jnp.where(first == 0, 1e-3, 1.01 * q)
    return needed, q, sigma_w, length_map(longer, phi, sigma_w, sigma_b) > longer


def _bisect(at_low: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """The length between two where a condition changes."""
    same = at_low(low)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = jnp.sqrt(low) * jnp.sqrt(high)
        inside = at_low(middle) == same
        return jnp.where(inside, middle, low), jnp.where(inside, high, middle)

    low, high = jax.lax.fori_loop(0, 60, halve, (low, high))
    return jnp.sqrt(low) * jnp.sqrt(high)
