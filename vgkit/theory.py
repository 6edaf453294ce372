r"""What mean-field theory predicts for wide random networks, layer by layer.

A layer's weights are independent with mean 0 and variance sigma_w^2 / fan_in, its biases with
variance sigma_b^2. Where layers are wide, the pre-activations of a layer are normal with mean 0 and
a variance q_l, the *length*; going back, each layer changes the squared error signal by a factor,
at the length that deep layers settle at: chi_1. {cite}`poole2016`, {cite}`schoenholz2017`
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vgkit import _check
from vgkit.activations import Function, function, slope

__all__ = [
    "Edge",
    "Prediction",
    "chi_1",
    "edge_of_chaos",
    "fixed_point",
    "gains",
    "length_map",
    "predict",
]

Number = float | int | Float[Array, ""] | Int[Array, ""]

# Gauss-Legendre panels, finer toward 0: they split the integral at the kinks of ReLU and its
# relatives, where plain Gauss-Hermite quadrature errs, and resolve a steep sigmoid however long its
# pre-activations are.
_ENDS = np.concatenate([[0], 2.0 ** np.arange(-12, 1), np.arange(2, 11)])
_UNIT, _WEIGHT = np.polynomial.legendre.leggauss(12)
_HALF = np.diff(_ENDS)[:, None] / 2
_POSITIVE = (_ENDS[:-1, None] + _HALF + _HALF * _UNIT).ravel()
_NODES = np.concatenate([-_POSITIVE, _POSITIVE])
_WEIGHTS = np.tile((_HALF * _WEIGHT).ravel(), 2) * np.exp(-(_NODES**2) / 2) / math.sqrt(2 * math.pi)

_LEAST = 1e-30  # in place of the length 0, where a kink leaves the slope undefined
_LENGTHS = np.geomspace(1e-12, 1e12, 241)


def gaussian_mean(f: Callable[[Array], Array], length: Number = 1.0) -> Float[Array, ""]:
    r"""Mean of a function over a normal distribution with mean 0 and variance q, the length."""
    return jnp.sum(_WEIGHTS * f(jnp.sqrt(length) * _NODES))


@partial(jax.jit, static_argnums=0)
def _moments(phi: Function, length: Number) -> tuple[Array, Array, Array]:
    """Means of phi^2, phi'^2 and phi'^4."""

    def of_slope(power: int) -> Array:
        return gaussian_mean(lambda z: slope(phi, z) ** power, jnp.maximum(length, _LEAST))

    return gaussian_mean(lambda z: phi(z) ** 2, length), of_slope(2), of_slope(4)


def length_map(
    length: Number, activation: str | Function, sigma_w: Number, sigma_b: Number = 0.0
) -> Float[Array, ""]:
    r"""Length of the next layer.

    .. math:: q_{\ell+1} = V(q_\ell) = \sigma_w^2\, E[\phi(\sqrt{q_\ell} Z)^2] + \sigma_b^2

    Args:
        length: q, mean square of a layer's pre-activations.
        sigma_w: Square root of fan_in * variance of a weight.
        sigma_b: Standard deviation of a bias.

    Source:
        {cite}`poole2016`.
    """
    _require_gains(sigma_w=sigma_w, sigma_b=sigma_b)
    return sigma_w**2 * _moments(function(activation), length)[0] + sigma_b**2


def chi_1(length: Number, activation: str | Function, sigma_w: Number) -> Float[Array, ""]:
    r"""Factor of the squared error signal per layer.

    .. math:: \chi_1 = \sigma_w^2\, E[\phi'(\sqrt{q} Z)^2]

    Below 1 the signal vanishes on its way back, above 1 it explodes; its norm changes by the square
    root. For deep layers q is the `fixed_point`. The arguments are those of `length_map`.

    Source:
        {cite}`schoenholz2017`.
    """
    _require_gains(sigma_w=sigma_w)
    return sigma_w**2 * _moments(function(activation), length)[1]


def _require_gains(**gains: Number) -> None:
    """Require numbers of at least 0, where they are known."""
    for name, value in gains.items():
        if not _check.traced(value) and not 0 <= float(value) < math.inf:
            raise ValueError(f"{name} must be a number of at least 0; got {value!r}")


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

    The other arguments are those of `length_map`.

    Args:
        start: Length of the first layer. ReLU at sigma_w = sqrt(2), sigma_b = 0 keeps any length.

    Raises:
        ValueError: If the length grows without a bound, where the gains are known (where they are
            traced, infinity is returned); or as for `length_map`.
    """
    _require_gains(sigma_w=sigma_w, sigma_b=sigma_b)
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
    # A bisection between the first length that V moves back, and the last before it that V moves as
    # it moves the start, each by more than rounding. So a slow approach costs nothing.
    def growth(q: Array) -> Array:
        return length_map(q, phi, sigma_w, sigma_b) - q

    start, number = jnp.asarray(start, float), jnp.arange(241)
    rounding = len(_NODES) * jnp.finfo(start.dtype).eps  # at most, in a sum of so many
    way = jnp.sign(growth(start))
    lengths = jnp.clip(start * 10 ** (way * number / 10), _LENGTHS[0], _LENGTHS[-1])
    moved = way * jax.vmap(growth)(lengths) / lengths
    first = jnp.argmax(moved < -rounding)
    last = jnp.max(jnp.where((moved > rounding) & (number < first), number, 0))
    crossing = _bisect(lambda q: way * growth(q) > 0, lengths[last], lengths[first])
    settled = jnp.where(first > 0, crossing, jnp.where(way > 0, jnp.inf, 0.0))
    return jnp.where(moved[0] <= rounding, start, settled)


def edge_of_chaos(activation: str | Function, sigma_b: float = 0.0) -> Edge:
    r"""The gain at which deep layers neither shrink nor stretch the error signal.

    .. math:: \chi_1(q^*) = 1: \quad \sigma_w^2 = \frac{1}{E[\phi'^2]}, \quad
              \sigma_b^2 = q^* - \frac{E[\phi^2]}{E[\phi'^2]}

    Identity, ReLU, leaky ReLU and PReLU have an edge at sigma_b = 0 alone; they keep any length
    there, of which 1 is returned. Tanh, ELU, SELU and sigmoid have one for every sigma_b, the
    sigmoid beyond sigma_w = 10. GELU and SiLU have one for large sigma_b only: for small ones the
    length at which chi_1 is 1 is unstable. Softplus has none.

    Args:
        sigma_b: Standard deviation of a bias.

    Raises:
        ValueError: If there is no such gain; or as for `length_map`.

    Source:
        {cite}`poole2016` for tanh; the others are this package's own computation.
    """
    _require_gains(sigma_b=sigma_b)
    none = f"activation {activation!r} has no edge of chaos at sigma_b = {sigma_b}"
    needed, q, sigma_w, grows = _edge(function(activation), sigma_b)
    rounding = jnp.finfo(needed.dtype).eps ** 0.5
    if np.abs(needed / _LENGTHS).max() < rounding:  # any length will do
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
    """The bias variance that each length needs at chi_1 = 1, the edge, and if it is unstable."""

    def critical_gain(q: Number) -> Array:
        return 1 / jnp.sqrt(chi_1(q, phi, 1.0))

    def bias_variance(q: Number) -> Array:
        return q - length_map(q, phi, critical_gain(q))

    lengths = jnp.asarray(_LENGTHS, float)
    needed = jax.vmap(bias_variance)(lengths)
    first = jnp.argmax(needed >= sigma_b**2)
    below = lengths[jnp.maximum(first - 1, 0)]
    crossing = _bisect(lambda q: bias_variance(q) < sigma_b**2, below, lengths[first])
    q = jnp.where(first == 0, 0.0, crossing)
    sigma_w = critical_gain(jnp.maximum(q, _LEAST))
    longer = jnp.where(first == 0, 1e-3, 1.01 * q)
    return needed, q, sigma_w, length_map(longer, phi, sigma_w, sigma_b) > longer


def _bisect(condition: Callable[[Array], Array], one: Array, other: Array) -> Array:
    """The length between two where a condition changes."""
    same = condition(one)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        one, other = ends
        middle = jnp.sqrt(one) * jnp.sqrt(other)
        near = condition(middle) == same
        return jnp.where(near, middle, one), jnp.where(near, other, middle)

    one, other = jax.lax.fori_loop(0, 60, halve, (one, other))
    return jnp.sqrt(one) * jnp.sqrt(other)


class Prediction(NamedTuple):
    """What to expect of a wide network at initialisation, one number for each hidden layer.

    Attributes:
        length: q_l, mean square of the pre-activations.
        error_signal: RMS of delta_l over that of the last hidden layer.
        weight_gradient: RMS of dL/dW_l of one example over that of the last hidden layer.
        log_variance: Variance between networks of ln(error_signal^2), to first order in 1 / width.
            The median network lies a factor exp(-log_variance / 4) below `error_signal`.

    Layers beyond the depth hold NaN.
    """

    length: Float[Array, " layers"]
    error_signal: Float[Array, " layers"]
    weight_gradient: Float[Array, " layers"]
    log_variance: Float[Array, " layers"]


_VARIANCES: dict[str, Callable[[int, int], float]] = {
    f"{family}_{kind}": variance
    for family, variance in {
        "lecun": lambda fan_in, fan_out: 1 / fan_in,
        "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
        "he": lambda fan_in, fan_out: 2 / fan_in,
    }.items()
    for kind in ("normal", "uniform")
} | {"orthogonal": lambda fan_in, fan_out: 1 / max(fan_in, fan_out)}


def gains(
    widths: Sequence[int], init: str
) -> tuple[Float[Array, " layers"], Float[Array, " layers"]]:
    """Gains of the hidden layers that an initialiser gives, for `predict`.

    Args:
        widths: Units of the input, of every hidden layer and of the output, as for `nets.mlp`.
        init: Name of the initialiser, such as "he_normal".

    Returns:
        fan_in * variance of every hidden layer's weights, and fan_out * variance of those of the
        layer after it.
    """
    if len(widths) < 3:
        raise ValueError(f"widths must name a hidden layer at least; got {tuple(widths)}")
    variance = _check.choice("init", init, _VARIANCES)
    pairs = list(itertools.pairwise(widths))
    forward = [variance(fan_in, fan_out) * fan_in for fan_in, fan_out in pairs[:-1]]
    backward = [variance(fan_in, fan_out) * fan_out for fan_in, fan_out in pairs[1:]]
    return jnp.array(forward), jnp.array(backward)


def predict(
    activation: str | Function,
    forward: Float[Array, " layers"],
    backward: Float[Array, " layers"],
    width: Number,
    *,
    sigma_b: Number = 0.0,
    depth: int | Int[Array, ""] | None = None,
) -> Prediction:
    r"""Error signal and weight gradient per layer, for an input whose elements' mean square is 1.

    .. math:: \frac{E\delta_\ell^2}{E\delta_{\ell+1}^2} = n_{\ell+1} \mathrm{Var}(W_{\ell+1})\,
              E[\phi'(\sqrt{q_\ell} Z)^2], \quad
              \mathrm{Var} \ln \|\delta_\ell\|^2 \approx \sum_{k \ge \ell} \frac{1}{n}
              \left( \frac{3 E[\phi'^4]}{E[\phi'^2]^2} - 1 \right)

    The variance is exact to first order for scale-free activations such as ReLU (5/n per layer,
    {cite}`hanin2020`), where fluctuations of the lengths do not matter.

    Args:
        forward: fan_in * variance of each hidden layer's weights, see `gains`; sigma_w^2.
        backward: fan_out * variance of the weights of the layer after each.
        width: n, units of every hidden layer; only the variance depends on it.
        sigma_b: Standard deviation of the biases.
        depth: Number of hidden layers, all if left out; may be traced.
    """
    phi = function(activation)
    forward, backward = jnp.asarray(forward, float), jnp.asarray(backward, float)
    _check.shape("backward", backward, forward.shape)
    _check.positive("width", width)
    depth = len(forward) if depth is None else depth
    if not _check.traced(depth) and not 1 <= depth <= len(forward):
        raise ValueError(f"depth must be a number from 1 to {len(forward)}; got {depth!r}")
    return _predict(phi, forward, backward, width, sigma_b, depth)


@partial(jax.jit, static_argnums=0)
def _predict(
    phi: Function, forward: Array, backward: Array, width: Number, sigma_b: Number, depth: Number
) -> Prediction:
    def step(square: Array, gain: Array) -> tuple[Array, tuple[Array, ...]]:
        q = gain * square + sigma_b**2
        following, *slopes = _moments(phi, q)
        return following, (q, square, *slopes)

    length, square, slope2, slope4 = jax.lax.scan(step, jnp.ones(()), forward)[1]
    layer = jnp.arange(len(forward))
    factor = jnp.where(layer < depth - 1, backward * slope2, 1.0)
    growth = jnp.where(layer < depth - 1, (3 * slope4 / slope2**2 - 1) / width, 0.0)
    missing = jnp.where(layer < depth, 0.0, jnp.nan)
    signal = jnp.sqrt(jnp.cumprod(factor[::-1])[::-1])
    return Prediction(
        length=length + missing,
        error_signal=signal + missing,
        weight_gradient=signal * jnp.sqrt(square / square[depth - 1]) + missing,
        log_variance=jnp.cumsum(growth[::-1])[::-1] + missing,
    )
