"""The results behind a page's controls: swept in one compilation, and packed into text.

A value is stored as an integer number of steps of its log10, so that its relative error is the same
everywhere: at most 0.0009 decades, which is 0.21 %, and a twentieth of that for arrays so small
that it costs nothing. Zeros stay exactly zero. Each number is then written as its difference from
what its neighbours predict, mostly one printable character, which gzip (and so every web server)
shrinks to a few bits. `host.mjs` unpacks it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

STEP = 0.0018
FINE_STEP = STEP / 20
SMALL = 5_000
LARGEST_RESIDUAL = 42
_SPECIAL = "&<>\\~!'"  # not in the alphabet: harmful in HTML or JSON, or with a meaning of its own
ALPHABET = "".join(c for c in map(chr, range(35, 127)) if c not in _SPECIAL)[:85]
MISSING = "~"


def sweep(
    compute: Callable[..., Mapping[str, Shaped[jax.Array, " _points"]]],
    axes: Mapping[str, Sequence[int | float]],
) -> dict[str, Shaped[np.ndarray, "*settings _points"]]:
    """Results of `compute` for every combination of the values of its arguments.

    One compiled program runs them all: the last argument is vectorised over, the others are looped
    over by `lax.map`, so that a `lax.switch` on one of them evaluates a single branch.

    Args:
        compute: JAX function of numbers, given by name, that returns named arrays.
        axes: Values of every argument, in order.

    Returns:
        One array for each name, with a leading axis for each argument.
    """
    *outer, inner = axes
    mesh = np.meshgrid(*(axes[name] for name in outer), indexing="ij")
    settings = {name: jnp.asarray(axis.ravel()) for name, axis in zip(outer, mesh, strict=True)}
    values = jnp.asarray(axes[inner])

    def row(setting: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return jax.vmap(lambda value: compute(**setting, **{inner: value}))(values)

    results = jax.jit(lambda settings: jax.lax.map(row, settings) if outer else row({}))(settings)
    sizes, leading = tuple(map(len, axes.values())), 2 if outer else 1
    return {
        name: np.asarray(a).reshape(*sizes, *(a.shape[leading:] or (1,)))
        for name, a in results.items()
    }


def pack(array: Shaped[np.ndarray, "*settings _points"], names: Sequence[str]) -> dict[str, Any]:
    """An array as text, without the axes on which it does not depend.

    Args:
        array: Values, with one axis for each of `names` and a last one for the points. NaN stands
            for a point that does not exist.
        names: Names of the leading axes, those along which the values resemble most last.

    Returns:
        For JSON: the names of the other axes, the number of points, log10 of the smallest size, the
        step, and the text.
    """
    array = np.asarray(array, float)
    over = list(names)
    for axis, name in enumerate(names):
        first = array.take([0], axis)
        if np.array_equal(np.broadcast_to(first, array.shape), array, equal_nan=True):
            array = first
            over.remove(name)
    values = array.reshape(-1, array.shape[-1])
    size = FINE_STEP if values.size < SMALL else STEP
    finite = np.isfinite(values)
    steps, low = _quantise(values, finite & (values != 0), size)
    residuals = steps - _predict(steps, finite)
    return {
        "over": over,
        "points": values.shape[1],
        "lo": low,
        "step": size,
        "text": "".join(map(_encode, values.ravel().tolist(), residuals.ravel().tolist())),
    }


def _quantise(values: np.ndarray, nonzero: np.ndarray, size: float) -> tuple[np.ndarray, float]:
    """Signed numbers of steps from log10 of the smallest size, which is 1, and that logarithm."""
    decades = np.log10(np.abs(values), where=nonzero, out=np.zeros_like(values))
    low = float(decades[nonzero].min()) if nonzero.any() else 0.0
    steps = np.sign(values) * (1 + np.round((decades - low) / size))
    return np.where(nonzero, steps, 0).astype(int), low


def _predict(steps: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """What the neighbours suggest: the row's last step, moved as the row above moved."""

    def neighbours(array: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        padded = np.pad(array, ((1, 0), (1, 0)))
        return padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]

    left, up, corner = neighbours(steps)
    has_left, has_up, has_corner = neighbours(finite)
    cases = [has_left & has_up & has_corner, has_left, has_up]
    return np.select(cases, [left + up - corner, left, up])


def _encode(value: float, residual: int) -> str:
    if not math.isfinite(value):
        return MISSING if math.isnan(value) else f"!{value}!"
    if abs(residual) <= LARGEST_RESIDUAL:
        return ALPHABET[residual + LARGEST_RESIDUAL]
    return f"!{residual}!"
