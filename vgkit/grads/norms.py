"""Numbers that sum gradients up."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check


def rms(array: Float[Array, "..."]) -> Float[Array, ""]:
    r"""Root mean square of all elements, the size of a typical one.

    .. math:: \sqrt{\frac{1}{n} \sum_k a_k^2}

    Args:
        array: Any shape.
    """
    scale = _scale(array)
    return scale * jnp.sqrt(jnp.mean(jnp.square(array / scale)))


def l2(array: Float[Array, "..."]) -> Float[Array, ""]:
    r"""Euclidean norm of all elements taken as one vector.

    .. math:: \sqrt{\sum_k a_k^2}

    Args:
        array: Any shape.
    """
    scale = _scale(array)
    return scale * jnp.sqrt(jnp.sum(jnp.square(array / scale)))


def _scale(array: Float[Array, "..."]) -> Float[Array, ""]:
    # The square of a number below 1e-19 is 0 in float32. Vanishing gradients are such numbers.
    largest = jnp.max(jnp.abs(array), initial=0.0)
    return jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0)


NORMS = {"rms": rms, "l2": l2}
"""Sizes of an array by name."""


def decades_per_layer(
    norms: Float[Array, " layers"], depth: int | Array | None = None
) -> Float[Array, ""]:
    r"""Powers of ten that a signal loses with every layer on its way back.

    .. math:: \log_{10} \|g_\ell\| \approx a + d\, \ell

    Args:
        norms: Size of a signal at every layer, input side first, all positive.
        depth: How many of the layers count, a number that may be traced; all if left out.

    Returns:
        d by least squares, in decades per layer. Positive: the signal vanishes towards the input.
        Negative: it explodes.

    Raises:
        ValueError: If there are fewer than two layers, or a norm is not positive and finite.
    """
    norms = jnp.asarray(norms)
    if norms.ndim != 1 or len(norms) < 2:
        raise ValueError(f"norms must hold at least two layers; got shape {norms.shape}")
    depth = len(norms) if depth is None else depth
    used = jnp.arange(len(norms)) < depth
    if not _check.traced(norms) and not _check.traced(depth):
        _check.positive("norms", norms[:depth])
    layer = jnp.where(used, jnp.arange(len(norms)) - (depth - 1) / 2, 0.0)
    return jnp.sum(layer * jnp.log10(jnp.where(used, norms, 1.0))) / jnp.sum(layer**2)


def mean_cosine(gradients: Float[Array, "batch ..."]) -> Float[Array, ""]:
    r"""Cosine between the gradients of two different examples, the mean over all pairs.

    .. math:: \frac{1}{B (B - 1)} \sum_{i \neq j}
              \frac{g_i^{\mathsf T} g_j}{\|g_i\|\, \|g_j\|}

    1 where all point in one direction; about 0 where they have nothing in common, as in white
    noise ("shattered"). The mean of a gradient's entries is not taken off.

    Args:
        gradients: One for each example, such as one layer's error signals.

    Raises:
        ValueError: If there are fewer than two examples, or a gradient is zero throughout.

    Source:
        {cite}`balduzzi2017`.
    """
    rows = gradients.reshape(len(gradients), -1)
    if len(rows) < 2:
        raise ValueError(f"gradients must hold at least 2 examples; got {len(rows)}")
    sizes = jnp.linalg.norm(rows, axis=1)
    if not _check.traced(sizes):
        _check.positive("gradients' norms", sizes)
    directions = rows / sizes[:, None]
    count = len(rows)
    return (jnp.sum(jnp.square(jnp.sum(directions, axis=0))) - count) / (count * (count - 1))
