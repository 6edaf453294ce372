"""Sizes of arrays and the angle between them, for JAX and NumPy alike."""

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vgkit import _check


def rms(array: Float[Array | np.ndarray, "..."]) -> Float[Array | np.ndarray, ""] | np.floating:
    r"""Root mean square of all elements, the size of a typical one.

    .. math:: \sqrt{\frac{1}{n} \sum_k a_k^2}

    Args:
        array: Any shape.
    """
    xp, scale = _scale(array)
    return scale * xp.sqrt(xp.mean(xp.square(array / scale)))


def l2(array: Float[Array | np.ndarray, "..."]) -> Float[Array | np.ndarray, ""] | np.floating:
    r"""Euclidean norm of all elements taken as one vector.

    .. math:: \sqrt{\sum_k a_k^2}

    The arguments are those of `rms`.
    """
    xp, scale = _scale(array)
    return scale * xp.sqrt(xp.sum(xp.square(array / scale)))


def mean_cosine(
    gradients: Float[Array | np.ndarray, "batch ..."],
) -> Float[Array | np.ndarray, ""] | np.floating:
    r"""Cosine between the gradients of two different examples, the mean over all pairs.

    .. math:: \frac{1}{B (B - 1)} \sum_{i \neq j}
              \frac{g_i^{\mathsf T} g_j}{\|g_i\|\, \|g_j\|}

    1 where all point in one direction; about 0 where they have nothing in common ("shattered").

    Args:
        gradients: One for each example, such as one layer's error signals.

    Raises:
        ValueError: If there are fewer than two examples, or a gradient is zero throughout.

    Source:
        {cite}`balduzzi2017`.
    """
    xp = jnp if isinstance(gradients, jax.Array) else np
    rows = gradients.reshape(len(gradients), -1)
    if len(rows) < 2:
        raise ValueError(f"gradients must hold at least 2 examples; got {len(rows)}")
    sizes = xp.linalg.norm(rows, axis=1)
    _check.positive("gradients' norms", sizes)
    directions = rows / sizes[:, None]
    count = len(rows)
    return (xp.sum(xp.square(xp.sum(directions, axis=0))) - count) / (count * (count - 1))


def _scale(array: Array | np.ndarray) -> tuple[ModuleType, Array | np.ndarray]:
    # The square of a number below 1e-19 is 0 in float32. Vanishing gradients are such numbers.
    xp = jnp if isinstance(array, jax.Array) else np
    largest = xp.max(xp.abs(array), initial=0.0)
    return xp, xp.where((largest > 0) & xp.isfinite(largest), largest, 1.0)
