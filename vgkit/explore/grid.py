"""The results behind a page's controls: swept in one compilation, and packed into text.

A value is stored as an integer number of steps of its log10, so that its relative error is at most
0.0009 decades, which is 0.21 %, and a twentieth of that for small arrays. Zeros stay exactly zero.
Each number is written as its difference from what its neighbours predict, mostly one printable
character, which gzip shrinks to a few bits. What is only seen as brightness is stored in coarser
steps. `host.mjs` unpacks it.
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
    """Results of `compute` for all combinations of arguments: by name, a leading axis for each.

    One compiled program runs them all: the last argument is vectorised over, the others are looped
    over by `lax.map`, so that a `lax.switch` on one of them evaluates a single branch.
    """

    def along(names: Sequence[str], axes: Any, setting: Mapping[str, Any]) -> dict[str, jax.Array]:
        if not names:
            return jax.tree.map(jnp.atleast_1d, compute(**setting))
        name, *rest = names
        loop = jax.lax.map if rest else lambda one, values: jax.vmap(one)(values)
        return loop(lambda value: along(rest, axes, {**setting, name: value}), axes[name])

    values = {name: jnp.asarray(axis) for name, axis in axes.items()}
    return jax.tree.map(np.asarray, jax.jit(lambda given: along([*axes], given, {}))(values))


def pack(
    array: Shaped[np.ndarray, "*settings _points"], names: Sequence[str], step: float | None = None
) -> dict[str, Any]:
    """An array as text, with the leading axes of these names on which it depends, for JSON.

    It is shortest where the values resemble most along the last axes. "lo" is log10 of the smallest
    size, "step" the decades between two sizes, and "signs", where some are negative, six to a
    character, which of them are.
    """
    array = np.asarray(array, float)
    over = list(names)
    for axis, name in enumerate(names):
        first = array.take([0], axis)
        if np.array_equal(np.broadcast_to(first, array.shape), array, equal_nan=True):
            array = first
            over.remove(name)
    values = array.reshape(-1, array.shape[-1])
    size = step or (FINE_STEP if values.size < SMALL else STEP)
    finite = np.isfinite(values)
    nonzero = finite & (values != 0)
    decades = np.log10(np.abs(values), where=nonzero, out=np.zeros_like(values))
    low = float(decades[nonzero].min()) if nonzero.any() else 0.0
    steps = np.where(nonzero, 1 + np.round((decades - low) / size), 0).astype(int)
    residuals = steps - _predict(steps, finite)
    return {
        "over": over,
        "points": values.shape[1],
        "lo": low,
        "step": size,
        "text": "".join(map(_encode, values.ravel().tolist(), residuals.ravel().tolist())),
        "signs": _signs((values < 0).ravel()),
    }


def _signs(negative: Shaped[np.ndarray, " values"]) -> str:
    """Whether each of many numbers is negative, six to a character; nothing if none is."""
    if not negative.any():
        return ""
    six = np.pad(negative, (0, -negative.size % 6)).reshape(-1, 6)
    return "".join(ALPHABET[code] for code in six @ (1 << np.arange(6)))


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
