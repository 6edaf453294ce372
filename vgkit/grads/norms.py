"""Numbers that sum gradients up."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check
from vgkit._numbers import l2, rms

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
