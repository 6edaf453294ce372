"""Batch and layer normalisation of one example; a batch's statistics come through its axis name."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BATCH = "batch"
"""The axis name under which networks are batched, as in `jax.vmap(net, axis_name=nets.BATCH)`."""
EPSILON = 1e-5
"""Added to every variance, as PyTorch does."""


class Norm(NamedTuple):
    r"""Learnt scale and shift of a normalisation; which one it is, the net's form says.

    .. math:: y = \gamma \frac{a - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Attributes:
        scale: gamma.
        shift: beta.
    """

    scale: Float[Array, "*stack units"]
    shift: Float[Array, "*stack units"]


class Statistics(NamedTuple):
    """Mean and variance of what a batch normalisation is given, for each unit or channel.

    Attributes:
        mean: The mean.
        var: The unbiased estimate of the variance, with n - 1 in the denominator.
    """

    mean: Float[Array, "*stack units"]
    var: Float[Array, "*stack units"]


Normalised = tuple[Float[Array, "units ..."], Statistics | None]


def _unchanged(norm: Norm | None, a: Array, statistics: Statistics | None) -> Normalised:
    return a, None


def _layer(norm: Norm, a: Array, statistics: Statistics | None) -> Normalised:
    return _scaled(norm, a, jnp.mean(a), jnp.var(a)), None


def _batch(norm: Norm, a: Array, statistics: Statistics | None) -> Normalised:
    if statistics is not None:
        return _scaled(norm, a, *(_per_unit(s, a) for s in statistics)), statistics
    try:
        batch = jax.lax.psum(1, BATCH)
    except NameError:
        raise ValueError(
            "x must come in a batch for batch normalisation, as in nets.forward(net, x) or "
            "jax.vmap(net, axis_name=nets.BATCH)(x), or statistics must be given; got one example"
        ) from None
    if batch < 2:
        raise ValueError(
            f"x must hold at least 2 examples for batch normalisation in training; got {batch}"
        )
    positions = tuple(range(1, a.ndim))
    mean = jax.lax.pmean(jnp.mean(a, positions), BATCH)
    var = jax.lax.pmean(jnp.mean(jnp.square(a - _per_unit(mean, a)), positions), BATCH)
    count = batch * (a.size // len(a))
    measured = Statistics(mean, var * (count / (count - 1)))
    return _scaled(norm, a, _per_unit(mean, a), _per_unit(var, a)), measured


NORMALISATIONS: dict[str, Callable[..., Normalised]] = {
    "none": _unchanged,
    "batch": _batch,
    "layer": _layer,
}
"""Kinds of normalisation by name.

- "batch": each unit, or channel, by its mean and variance over a batch's examples (and positions),
  at inference by fixed `Statistics` of the training data {cite:p}`ioffe2015`.
- "layer": each example by its mean and variance over a layer's units (channels and positions)
  {cite:p}`ba2016`.
"""


def normalise(
    kind: str | Int[Array, ""], norm: Norm | None, a: Array, statistics: Statistics | None
) -> Normalised:
    """One example normalised, and the batch's statistics or those given, None without any.

    Of a kind given by its position, which may be traced, there are no statistics.
    """
    if isinstance(kind, str):
        return NORMALISATIONS[kind](norm, a, statistics)
    functions = NORMALISATIONS.values()
    values = [lambda a, function=function: function(norm, a, None)[0] for function in functions]
    return jax.lax.switch(kind, values, a), None


def _per_unit(values: Array, a: Array) -> Array:
    return values.reshape(-1, *[1] * (a.ndim - 1))


def _scaled(norm: Norm, a: Array, mean: Array, var: Array) -> Array:
    y = (a - mean) * jax.lax.rsqrt(var + EPSILON)
    return _per_unit(norm.scale, a) * y + _per_unit(norm.shift, a)


def moving_average(
    running: list[Statistics | None], measured: list[Statistics | None], momentum: float = 0.1
) -> list[Statistics | None]:
    r"""Running statistics after one more batch.

    .. math:: r \leftarrow (1 - m)\, r + m\, s

    Args:
        running: Statistics so far; start with those of the first batch.
        measured: Statistics of this batch, see `batch_statistics`.
        momentum: m, the share of the new batch.

    Raises:
        ValueError: If `momentum` is not a number above 0 and up to 1.
    """
    if not 0 < momentum <= 1:
        raise ValueError(f"momentum must be a number above 0 and up to 1; got {momentum!r}")
    return jax.tree.map(lambda old, new: (1 - momentum) * old + momentum * new, running, measured)
