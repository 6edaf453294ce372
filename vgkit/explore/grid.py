"""The grid behind a page's sliders: swept in one compilation, packed into text, unpacked again.

A value is stored as a whole number of steps of its log10, so that its relative error is the same
everywhere: at most 0.0009 decades, which is 0.21 %, and a twentieth of that for arrays so small
that it costs nothing. Zeros stay exactly zero. Each number is then written as its difference from
what its neighbours predict, mostly one printable character, which gzip (and so every web server)
shrinks to a few bits.
"""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

__all__ = ["Packed", "pack", "sweep", "unpack"]

STEP = 0.0018
FINE_STEP = STEP / 20
SMALL = 5_000
LARGEST_RESIDUAL = 42
_SPECIAL = "&<>\\~!'"  # not in the alphabet: harmful in HTML or JSON, or with a meaning of its own
ALPHABET = "".join(c for c in map(chr, range(35, 127)) if c not in _SPECIAL)[:85]
MISSING = "~"
_NOT_FINITE = ("inf", "-inf")

Packed = dict[str, Any]
"""What `pack` returns, a dict that JSON can hold."""


def sweep(
    compute: Callable[..., Mapping[str, Float[jax.Array, " points"]]],
    axes: Mapping[str, Sequence[int | float]],
) -> dict[str, Float[np.ndarray, "*settings points"]]:
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
    inner_values = jnp.asarray(axes[inner])
    combinations = np.array(list(itertools.product(*(axes[name] for name in outer))), dtype=object)
    columns = {
        name: jnp.asarray(combinations[:, i].astype(np.asarray(axes[name]).dtype))
        for i, name in enumerate(outer)
    }

    def row(setting: dict[str, jax.Array]) -> dict[str, jax.Array]:
        return jax.vmap(lambda value: compute(**setting, **{inner: value}))(inner_values)

    run = (lambda columns: jax.lax.map(row, columns)) if outer else row
    results = jax.jit(run)(columns)
    sizes = tuple(len(values) for values in axes.values())
    leading = 2 if outer else 1
    return {
        name: np.asarray(a).reshape(*sizes, *(a.shape[leading:] or (1,)))
        for name, a in results.items()
    }


def pack(array: Float[np.ndarray, "*settings points"], names: Sequence[str]) -> Packed:
    """Write an array as text, without the axes that it does not depend on.

    Args:
        array: Values, with one axis for each of `names` and a last one for the points. NaN stands
            for a point that does not exist; infinities are kept.
        names: Names of the leading axes, those along which the values resemble most last.

    Returns:
        The names of the axes kept, the number of points, log10 of the smallest size, the step, and
        the text.
    """
    array = np.asarray(array, float)
    kept = [axis for axis in range(len(names)) if _varies(array, axis)]
    for axis in set(range(len(names))) - set(kept):
        array = array.take([0], axis)
    values = array.reshape(-1, array.shape[-1])
    size = FINE_STEP if values.size < SMALL else STEP
    steps, low = _quantise(values, size)
    text = "".join(
        _encode(value, steps[r][c], _predict(steps, r, c))
        for r, row in enumerate(values)
        for c, value in enumerate(row)
    )
    return {
        "over": [names[axis] for axis in kept],
        "points": values.shape[1],
        "lo": low,
        "step": size,
        "text": text,
    }


def unpack(packed: Packed) -> Float[np.ndarray, "rows points"]:
    """Read the text of `pack` back, one row for each combination of the axes kept.

    Args:
        packed: What `pack` returned.
    """
    points, low = packed["points"], packed["lo"]
    tokens = re.findall(r"!(.*?)!|(.)", packed["text"])
    values = np.empty((len(tokens) // points, points))
    steps: list[list[int | None]] = []
    for index, (escaped, character) in enumerate(tokens):
        r, c = divmod(index, points)
        if c == 0:
            steps.append([])
        if character == MISSING or escaped in _NOT_FINITE:
            step, value = None, float(escaped or "nan")
        else:
            residual = int(escaped) if escaped else ALPHABET.index(character) - LARGEST_RESIDUAL
            step = _predict(steps, r, c) + residual
            value = np.sign(step) * 10.0 ** (low + packed["step"] * (abs(step) - 1))
        steps[r].append(step)
        values[r, c] = value
    return values


def _varies(array: np.ndarray, axis: int) -> bool:
    first = np.broadcast_to(array.take([0], axis), array.shape)
    return not np.array_equal(array, first, equal_nan=True)


def _quantise(
    values: Float[np.ndarray, "rows points"], size: float
) -> tuple[list[list[int | None]], float]:
    """Signed whole steps, 0 for zero and None where there is no finite number."""
    finite = np.isfinite(values)
    nonzero = finite & (values != 0)
    decades = np.log10(np.abs(values), where=nonzero, out=np.zeros_like(values))
    low = float(decades[nonzero].min()) if nonzero.any() else 0.0
    steps = np.where(nonzero, np.sign(values) * (1 + np.round((decades - low) / size)), 0)
    return np.where(finite, steps.astype(int), None).tolist(), low


def _predict(steps: list[list[int | None]], r: int, c: int) -> int:
    """What the neighbours already known say: the row's last step moved as the row above moved."""
    left = steps[r][c - 1] if c else None
    up = steps[r - 1][c] if r else None
    corner = steps[r - 1][c - 1] if r and c else None
    if left is not None and up is not None and corner is not None:
        return left + up - corner
    if left is not None:
        return left
    return up if up is not None else 0


def _encode(value: float, step: int | None, prediction: int) -> str:
    if step is None:
        return MISSING if np.isnan(value) else f"!{value}!"
    residual = step - prediction
    if abs(residual) <= LARGEST_RESIDUAL:
        return ALPHABET[residual + LARGEST_RESIDUAL]
    return f"!{residual}!"
