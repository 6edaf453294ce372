"""Curves over the layers of a finite depth: what theory says a measurement should show."""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vgkit import _check
from vgkit.activations import Function, function
from vgkit.theory.layer import Number, gaussian_mean, slope_moment


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


_FAMILIES = {
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he": lambda fan_in, fan_out: 2 / fan_in,
}
_VARIANCES: dict[str, Callable[[int, int], float]] = {
    f"{family}_{kind}": variance
    for family, variance in _FAMILIES.items()
    for kind in ("normal", "uniform")
} | {"orthogonal": lambda fan_in, fan_out: 1 / max(fan_in, fan_out)}


def gains(
    widths: Sequence[int], init: str, std: float | None = None
) -> tuple[Float[Array, " layers"], Float[Array, " layers"]]:
    """Gains of the hidden layers that an initialiser gives, for `predict`.

    Args:
        widths: Units of the input, of every hidden layer and of the output, as for `nets.mlp`.
        init: Name of the initialiser, such as "he_normal", or "normal" with a standard deviation.
        std: Standard deviation, for "normal".

    Returns:
        fan_in * variance of every hidden layer's weights, and fan_out * variance of those of the
        layer after it.

    Raises:
        ValueError: If there is no hidden layer, or the initialiser is unknown.
    """
    if len(widths) < 3:
        raise ValueError(f"widths must name a hidden layer at least; got {tuple(widths)}")
    if init == "normal":
        if std is None or not 0 <= std < math.inf:
            raise ValueError(f"std must be a number of at least 0 for 'normal'; got {std!r}")
    elif std is not None:
        raise ValueError(f"std must be left out for {init!r}; got {std!r}")
    variance = _check.choice("init", init, {**_VARIANCES, "normal": lambda *_: std**2})
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
    input_square: Number = 1.0,
    depth: int | Int[Array, ""] | None = None,
) -> Prediction:
    r"""Error signal and weight gradient per layer, relative to the last hidden layer.

    .. math:: \frac{E\delta_\ell^2}{E\delta_{\ell+1}^2} = n_{\ell+1} \mathrm{Var}(W_{\ell+1})\,
              E[\phi'(\sqrt{q_\ell} Z)^2], \quad
              \mathrm{Var} \ln \|\delta_\ell\|^2 \approx \sum_{k \ge \ell} \frac{1}{n}
              \left( \frac{3 E[\phi'^4]}{E[\phi'^2]^2} - 1 \right)

    The variance takes the lengths as given; it is exact to first order for scale-free activations
    such as ReLU (5/n per layer, {cite}`hanin2018`), where their fluctuation does not matter.

    Args:
        activation: A name or a function.
        forward: fan_in * variance of each hidden layer's weights, see `gains`; sigma_w^2.
        backward: fan_out * variance of the weights of the layer after each.
        width: n, units of every hidden layer; only the variance depends on it.
        sigma_b: Standard deviation of the biases.
        input_square: Mean square of the input's elements.
        depth: Number of hidden layers, all if left out; may be traced.

    Raises:
        ValueError: If the activation is unknown, the two gains differ in shape, or `width` or
            `depth` is out of range.
    """
    phi = function(activation)
    forward, backward = jnp.asarray(forward, float), jnp.asarray(backward, float)
    _check.shape("backward", backward, forward.shape)
    if not _check.traced(width):
        _check.positive("width", width)
    if depth is None:
        depth = len(forward)
    elif not _check.traced(depth) and not 1 <= depth <= len(forward):
        raise ValueError(f"depth must be a number from 1 to {len(forward)}; got {depth!r}")
    return _predict(phi, forward, backward, width, sigma_b, input_square, depth)


@partial(jax.jit, static_argnums=0)
def _predict(
    phi: Function,
    forward: Array,
    backward: Array,
    width: Number,
    sigma_b: Number,
    input_square: Number,
    depth: int | Array,
) -> Prediction:
    length, square, slope2, slope4 = _moments(phi, forward, sigma_b, input_square)
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


def _moments(phi: Function, gains: Array, sigma_b: Number, square: Number) -> tuple[Array, ...]:
    """Length, mean square of the input, and both moments of the slope in every layer."""

    def step(square: Array, gain: Array) -> tuple[Array, tuple[Array, ...]]:
        q = gain * square + sigma_b**2
        slopes = slope_moment(phi, q, 2), slope_moment(phi, q, 4)
        return gaussian_mean(lambda z: phi(z) ** 2, q), (q, square, *slopes)

    return jax.lax.scan(step, jnp.asarray(square, float), gains)[1]
