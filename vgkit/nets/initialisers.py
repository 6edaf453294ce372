"""Initialisers of weights by name."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

Initialiser = Callable[..., Float[Array, "fan_out fan_in"]]
"""A function (key, shape, dtype) -> weights."""
_FANS = {"in_axis": -1, "out_axis": -2}
INITIALISERS: dict[str, Initialiser] = {
    "lecun_normal": jax.nn.initializers.lecun_normal(**_FANS),
    "lecun_uniform": jax.nn.initializers.lecun_uniform(**_FANS),
    "glorot_normal": jax.nn.initializers.glorot_normal(**_FANS),
    "glorot_uniform": jax.nn.initializers.glorot_uniform(**_FANS),
    "he_normal": jax.nn.initializers.he_normal(**_FANS),
    "he_uniform": jax.nn.initializers.he_uniform(**_FANS),
    "orthogonal": jax.nn.initializers.orthogonal(),
}
"""Initialisers without a parameter, from `jax.nn.initializers`.

The variance of a weight is 1 / fan_in (LeCun), 2 / (fan_in + fan_out) (Glorot) or 2 / fan_in (He).
JAX's "normal" forms draw from a normal distribution cut off at two standard deviations and rescaled
to that variance. `normal`, which takes a standard deviation, is not cut off.
"""


def initialiser(init: str | Initialiser, std: float | None = None) -> Initialiser:
    """Return an initialiser: a function (key, shape, dtype) -> weights.

    Args:
        init: A key of `INITIALISERS`, "normal", or such a function.
        std: Standard deviation of a weight, for "normal" and for nothing else.

    Raises:
        ValueError: If the name is unknown, or `std` is missing, superfluous, negative or not
            finite.
    """
    if isinstance(init, str) and init == "normal":
        if std is None or not 0 <= std < float("inf"):
            raise ValueError(f"std must be a number of at least 0 for 'normal'; got {std!r}")
        return jax.nn.initializers.normal(std)
    if not callable(init) and init not in INITIALISERS:
        names = ", ".join([*INITIALISERS, "normal"])
        raise ValueError(f"init must be one of {names}, or a function; got {init!r}")
    if std is not None:
        raise ValueError(f"std must be left out for {init!r}; got {std!r}")
    return init if callable(init) else INITIALISERS[init]
