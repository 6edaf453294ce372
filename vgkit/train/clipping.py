"""Gradient clipping, as a part of an optimiser."""

import optax

from vgkit import _check

CLIPPINGS = {"norm": optax.clip_by_global_norm, "value": optax.clip}
"""Ways to clip, by name, the norm of all parameters together or each entry by itself."""


def clipping(threshold: float, by: str = "norm") -> optax.GradientTransformation:
    r"""Shorten gradients that are too large: `optax.chain(clipping(1.0), optax.sgd(0.1))`.

    .. math:: g \leftarrow \min(1, c / \|g\|)\, g \quad \text{or, by value,} \quad
              g_i \leftarrow \max(-c, \min(c, g_i))

    It is optax's own, with a check: at 0 optax's norm of a zero gradient is not a number, and
    below 0 it turns the gradient round.

    Args:
        threshold: c, in units of the gradient.
        by: "norm", that of all parameters together, which keeps the direction; or "value", each
            entry by itself, which does not.

    Raises:
        ValueError: If `threshold` is not positive and finite, or `by` is unknown.

    Source:
        {cite}`pascanu2013`, section 3.2.
    """
    _check.positive("threshold", threshold)
    return _check.choice("by", by, CLIPPINGS)(threshold)
