"""The number formats that gradients can be computed in."""

from typing import Any

import jax
import jax.numpy as jnp

from vgkit import _check

FORMATS = {
    "float16": jnp.float16,
    "bfloat16": jnp.bfloat16,
    "float32": jnp.float32,
    "float64": jnp.float64,
}
"""Every number format by name, narrowest first."""


def number_format(format: str) -> Any:
    """The dtype of a format, for measurements that are collected in float64."""
    dtype = _check.choice("dtype", format, FORMATS)
    if not jax.config.jax_enable_x64:
        raise ValueError("jax_enable_x64 must be True to compare with float64; got False")
    return dtype
