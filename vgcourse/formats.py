"""What gradients lose in a narrow number format: what underflows, what overflows.

What JAX does on the CPU with subnormal numbers, those below a format's smallest normal one: sums
and products of bfloat16, float32 and float64 that would be subnormal become 0. float16 keeps its
subnormals, since XLA computes it in float32 and rounds the result. It does so for a whole dot
product at once, so neither its products nor its partial sums are rounded to float16 one by one.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vgkit import _check, grads


class Limits(NamedTuple):
    """What a number format can hold.

    Attributes:
        smallest_subnormal: Smallest number above 0, with a single digit of precision.
        smallest_normal: Smallest number with full precision.
        largest: Largest finite number.
        epsilon: Distance from 1 to the next number.
    """

    smallest_subnormal: float
    smallest_normal: float
    largest: float
    epsilon: float


class FormatError(NamedTuple):
    """Error of gradients in a number format against float64, one number for each layer.

    Attributes:
        lost: Share that is exactly 0 among the entries that float64 has nonzero. By underflow, or,
            rarely, by rounding: a ReLU at its kink, a difference of nearly equal numbers. NaN where
            float64 has only zeros.
        no_path: Share of all entries that float64 has exactly 0: no weight or unit can change it.
        not_finite: Share of all entries that is infinite or not a number.
        relative_error: Euclidean norm of the difference over that of the float64 gradient; infinite
            where an entry is not finite.
        size: RMS of the float64 gradient.
    """

    lost: Float[Array, "*layers"]
    no_path: Float[Array, "*layers"]
    not_finite: Float[Array, "*layers"]
    relative_error: Float[Array, "*layers"]
    size: Float[Array, "*layers"]


class FormatErrors(NamedTuple):
    """A network's gradients in a number format, against float64.

    Attributes:
        weight_gradients: Of dL/dW, the output layer last.
        error_signals: Of dL/dz, the output layer last.
        finite: Whether all gradients are finite, those of biases included. Training with a loss
            scale throws a step away if they are not.
    """

    weight_gradients: FormatError
    error_signals: FormatError
    finite: Bool[Array, ""]


def format_limits(format: str) -> Limits:
    """What a format can hold, as `jnp.finfo` has it.

    Args:
        format: A key of `grads.FORMATS`.
    """
    info = jnp.finfo(_check.choice("format", format, grads.FORMATS))
    return Limits(*map(float, (info.smallest_subnormal, info.smallest_normal, info.max, info.eps)))


def format_error(narrow: Float[Array, "..."], exact: Float[Array, "..."]) -> FormatError:
    """Error of one array of gradients.

    Args:
        narrow: Computed in the format, as float64 numbers.
        exact: The same gradients computed in float64.
    """
    _check.shape("narrow", narrow, exact.shape)
    path, finite = exact != 0, jnp.isfinite(narrow)
    # In units of the largest entry, since squares of very small numbers would underflow too.
    unit = jnp.where(path.any(), jnp.max(jnp.abs(exact)), 1.0)
    error = grads.l2((narrow - exact) / unit) / grads.l2(exact / unit)
    return FormatError(
        lost=jnp.sum((narrow == 0) & path) / jnp.sum(path),
        no_path=jnp.mean(~path, dtype=exact.dtype),
        not_finite=jnp.mean(~finite, dtype=exact.dtype),
        relative_error=jnp.where(finite.all(), error, jnp.inf),
        size=grads.l2(exact / unit) / exact.size**0.5 * unit,
    )


def format_errors(narrow: grads.Signals, exact: grads.Signals) -> FormatErrors:
    """Errors of all of a network's gradients, layer by layer.

    The exact gradients are those of the weights as they are, so that the errors include the
    rounding of the weights to the format.

    Args:
        narrow: `signals(..., dtype=format)`.
        exact: `signals(..., dtype="float64")` of the same network and batch.
    """

    def compare(narrow: grads.PerLayer, exact: grads.PerLayer) -> FormatError:
        if isinstance(exact.hidden, tuple):
            rows = [format_error(*pair) for pair in zip(narrow, exact, strict=True)]
            return jax.tree.map(lambda *each: jnp.stack(each), *rows)
        hidden = jax.vmap(format_error)(narrow.hidden, exact.hidden)
        hidden = jax.tree.map(lambda row: jnp.where(used, row, jnp.nan), hidden)
        return jax.tree.map(jnp.append, hidden, format_error(narrow.output, exact.output))

    used = jnp.arange(len(exact.error_signals.hidden)) < exact.depth
    gradients = jax.tree.leaves((narrow.gradient, narrow.error_signals))
    finite = [jnp.isfinite(leaf).all() for leaf in gradients]
    return FormatErrors(
        compare(narrow.weight_gradients, exact.weight_gradients),
        compare(narrow.error_signals, exact.error_signals),
        jnp.all(jnp.array(finite)),
    )
