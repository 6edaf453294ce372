"""Batch and layer normalisation of one example; a batch's statistics come through its axis name."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BATCH = "batch"
"""The axis name under which this package batches its networks."""
EPSILON = 1e-5
"""Added to every variance, as PyTorch does."""


class BatchNorm(NamedTuple):
    r"""Batch normalisation: each unit, or channel, by its mean and variance over a batch.

    .. math:: y = \gamma \frac{a - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    While it trains, the mean and the variance are those of the batch at hand, over the examples
    and, in a convolutional layer, the positions. At inference they are fixed numbers, `Statistics`
    of the training data, so that an example's output does not depend on its company.

    Attributes:
        scale: gamma, learnt.
        shift: beta, learnt.

    Source:
        {cite}`ioffe2015`.
    """

    scale: Float[Array, "*stack units"]
    shift: Float[Array, "*stack units"]


class LayerNorm(NamedTuple):
    """Layer normalisation: each example by its mean and variance over a layer's units.

    The equation is that of `BatchNorm`. In a convolutional layer mean and variance are taken over
    channels and positions, while scale and shift belong to a channel (PyTorch: one group).

    Attributes:
        scale: gamma, learnt.
        shift: beta, learnt.

    Source:
        {cite}`ba2016`.
    """

    scale: Float[Array, "*stack units"]
    shift: Float[Array, "*stack units"]


class ChosenNorm(NamedTuple):
    """A normalisation whose kind is data, so that one compiled program serves all kinds.

    Attributes:
        kind: Position in `NORMALISATIONS`. It is a whole number: differentiate with respect to the
            other leaves only.
        scale: gamma, learnt.
        shift: beta, learnt.
    """

    kind: Int[Array, "*stack"]
    scale: Float[Array, "*stack units"]
    shift: Float[Array, "*stack units"]


Norm = BatchNorm | LayerNorm | ChosenNorm
NORMALISATIONS: dict[str, type | None] = {"none": None, "batch": BatchNorm, "layer": LayerNorm}
"""Kinds of normalisation by name."""


class Statistics(NamedTuple):
    """Mean and variance of what a batch normalisation is given, for each unit or channel.

    Attributes:
        mean: The mean.
        var: The unbiased estimate of the variance, with n - 1 in the denominator.
    """

    mean: Float[Array, " units"]
    var: Float[Array, " units"]


def normalise(
    norm: Norm | None,
    a: Float[Array, "units ..."],
    axis_name: str | None = None,
    statistics: Statistics | None = None,
) -> tuple[Float[Array, "units ..."], Statistics | None]:
    """Normalise one example.

    Args:
        norm: The kind and its parameters; None leaves `a` as it is.
        a: One example's values.
        axis_name: For batch normalisation: name of the `jax.vmap` axis of the batch.
        statistics: For batch normalisation: use these instead of the batch's.

    Returns:
        The normalised values and, for a `BatchNorm`, the batch's statistics or those given.

    Raises:
        ValueError: If a batch normalisation has neither `axis_name` nor `statistics`, or the batch
            holds a single example.
    """
    if norm is None:
        return a, None
    if isinstance(norm, ChosenNorm):
        kinds = [kind and kind(norm.scale, norm.shift) for kind in NORMALISATIONS.values()]
        branches = [lambda a, kind=kind: normalise(kind, a, axis_name)[0] for kind in kinds]
        return jax.lax.switch(norm.kind, branches, a), None
    if isinstance(norm, LayerNorm):
        return _scaled(norm, a, jnp.mean(a), jnp.var(a)), None
    if statistics is not None:
        return _scaled(norm, a, *(_per_unit(s, a) for s in statistics)), statistics
    if axis_name is None:
        raise ValueError(
            "axis_name or statistics must be given for batch normalisation: "
            "the batch's axis in training, fixed numbers at inference; got neither"
        )
    batch = jax.lax.psum(1, axis_name)
    if batch < 2:
        raise ValueError(
            f"x must hold at least 2 examples for batch normalisation in training; got {batch}"
        )
    positions = tuple(range(1, a.ndim))
    mean = jax.lax.pmean(jnp.mean(a, positions), axis_name)
    var = jax.lax.pmean(jnp.mean(jnp.square(a - _per_unit(mean, a)), positions), axis_name)
    count = batch * (a.size // len(a))
    seen = Statistics(mean, var * (count / (count - 1)))
    return _scaled(norm, a, _per_unit(mean, a), _per_unit(var, a)), seen


def _per_unit(values: Array, a: Array) -> Array:
    return values.reshape(-1, *[1] * (a.ndim - 1))


def _scaled(norm: Norm, a: Array, mean: Array, var: Array) -> Array:
    y = (a - mean) * jax.lax.rsqrt(var + EPSILON)
    return _per_unit(norm.scale, a) * y + _per_unit(norm.shift, a)


def moving_average(
    running: list[Statistics | None], found: list[Statistics | None], momentum: float = 0.1
) -> list[Statistics | None]:
    r"""Running statistics after one more batch.

    .. math:: r \leftarrow (1 - m)\, r + m\, s

    Args:
        running: Statistics so far; start with those of the first batch.
        found: Statistics of this batch, see `batch_statistics`.
        momentum: m, the share of the new batch.

    Raises:
        ValueError: If `momentum` is not a number above 0 and up to 1.
    """
    if not 0 < momentum <= 1:
        raise ValueError(f"momentum must be a number above 0 and up to 1; got {momentum!r}")
    return jax.tree.map(lambda old, new: (1 - momentum) * old + momentum * new, running, found)
