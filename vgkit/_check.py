"""Checks of arguments: each error names the argument, the value and what is allowed."""

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np


def choice(argument: str, value: Any, allowed: Mapping[str, Any]) -> Any:
    """Look up `value` in `allowed`, or name the choices."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{argument} must be one of {', '.join(allowed)}; got {value!r}")
    return allowed[value]


def int_at_least(argument: str, value: Any, least: int) -> int:
    """Return `value` as an int of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise ValueError(f"{argument} must be a whole number of at least {least}; got {value!r}")
    return number


def shape(argument: str, array: Any, expected: tuple[int | None, ...]) -> None:
    """Require a shape; None stands for any size of at least one."""
    actual = np.shape(array)
    fits = len(actual) == len(expected) and all(
        size == want or (want is None and size > 0)
        for size, want in zip(actual, expected, strict=True)
    )
    if not fits:
        wanted = ", ".join("at least 1" if size is None else str(size) for size in expected)
        raise ValueError(f"{argument} must have shape ({wanted}); got {actual}")


def traced(array: Any) -> bool:
    """Whether JAX is tracing `array`, so that its numbers are not known."""
    return isinstance(array, jax.core.Tracer)


def finite(argument: str, arrays: Iterable[Any]) -> None:
    """Require finite numbers, where they are known."""
    for array in arrays:  # by NumPy: inside `jax.jit` JAX would trace even a known array
        bad = 0 if traced(array) else np.sum(~np.isfinite(np.asarray(array)))
        if bad:
            raise ValueError(f"{argument} must be finite; got {bad} infinite or missing numbers")


def labels(argument: str, array: Any, classes: int) -> None:
    """Require whole-number labels and, where they are known, from 0 to `classes` - 1."""
    known = np.zeros(1, array.dtype) if traced(array) else np.asarray(array)
    if not np.issubdtype(known.dtype, np.integer) or known.min() < 0 or known.max() >= classes:
        raise ValueError(
            f"{argument} must hold whole-number labels from 0 to {classes - 1} for cross_entropy; "
            f"got {known.min()} to {known.max()}, {known.dtype}"
        )


def positive(argument: str, array: Any) -> None:
    """Require finite numbers above zero, where they are known."""
    known = np.asarray(1.0 if traced(array) else array)
    bad = known[~((known > 0) & np.isfinite(known))]
    if bad.size:
        raise ValueError(f"{argument} must be positive and finite; got {bad[0]}")
