"""Recurrent cells drawn from a key or made of given arrays."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpy.typing import ArrayLike

from vgkit import _check
from vgkit.recurrent.cells import GATES, GRU, LSTM, RNN, Cell, check_cell

_FANS = {"in_axis": -1, "out_axis": -2}
RECURRENT_INITIALISERS: dict[str, Callable[..., Array]] = {
    "identity": lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype),
    "orthogonal": jax.nn.initializers.orthogonal(),
    "lecun_normal": jax.nn.initializers.lecun_normal(**_FANS),
    "glorot_normal": jax.nn.initializers.glorot_normal(**_FANS),
    "he_normal": jax.nn.initializers.he_normal(**_FANS),
}
"""Initialisers of a recurrent matrix, each of them applied to every gate by itself.

All singular values of "identity" and "orthogonal" are 1. The others are those of
`jax.nn.initializers`; lecun_normal and glorot_normal are the same for a square matrix.
"""


KINDS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


def _draw(
    key: Array, gates: tuple[int, ...], inputs: int, hidden: int, init: str, gain: float
) -> tuple[Array, Array, Array]:
    """Input matrices, recurrent matrices and zero biases of every gate."""
    draw = _check.choice("init", init, RECURRENT_INITIALISERS)
    inputs, hidden = (
        _check.int_at_least("inputs", inputs, 1),
        _check.int_at_least("hidden", hidden, 1),
    )
    if not 0 <= gain < float("inf"):
        raise ValueError(f"gain must be a number of at least 0; got {gain!r}")
    draw_in = RECURRENT_INITIALISERS["lecun_normal"]

    def gate(key: Array) -> tuple[Array, Array]:
        key_in, key_rec = jax.random.split(key)
        w_rec = draw(key_rec, (hidden, hidden), float)
        return draw_in(key_in, (hidden, inputs), float), gain * w_rec

    # One gate at a time: initialisers would count a leading axis as a part of the fan-in.
    w_in, w_rec = jax.vmap(gate)(jax.random.split(key, gates)) if gates else gate(key)
    return w_in, w_rec, jnp.zeros((*gates, hidden))


def rnn(
    key: Array, inputs: int, hidden: int, init: str = "orthogonal", *, gain: float = 1.0
) -> RNN:
    """Draw a vanilla cell; its biases are zero.

    Args:
        key: Source of all randomness.
        inputs: Size of the input at one step. Its weights have LeCun's variance, 1 / inputs, so
            that inputs of variance 1 add a variance of 1 to each pre-activation.
        hidden: Number of hidden units.
        init: A key of `RECURRENT_INITIALISERS`.
        gain: Factor on the recurrent matrix.

    Raises:
        ValueError: If a size is below 1, `init` is unknown, or `gain` is negative or not finite.
    """
    return RNN(*_draw(key, GATES[RNN], inputs, hidden, init, gain))


def lstm(
    key: Array,
    inputs: int,
    hidden: int,
    init: str = "orthogonal",
    *,
    gain: float = 1.0,
    forget_bias: float = 0.0,
) -> LSTM:
    """Draw an LSTM as `rnn` draws a vanilla cell, every gate by itself.

    Args:
        key: Source of all randomness.
        inputs: Size of the input at one step.
        hidden: Number of hidden units.
        init: A key of `RECURRENT_INITIALISERS`.
        gain: Factor on the recurrent matrices.
        forget_bias: Bias of the forget gate; all others are zero. A closed gate forgets.

    Raises:
        ValueError: As for `rnn`, or if `forget_bias` is not finite.
    """
    w_in, w_rec, b = _draw(key, GATES[LSTM], inputs, hidden, init, gain)
    _check.finite("forget_bias", [forget_bias])
    return LSTM(w_in, w_rec, b.at[1].set(forget_bias))


def gru(
    key: Array,
    inputs: int,
    hidden: int,
    init: str = "orthogonal",
    *,
    gain: float = 1.0,
    update_bias: float = 0.0,
) -> GRU:
    """Draw a GRU as `rnn` draws a vanilla cell, every gate by itself.

    Args:
        key: Source of all randomness.
        inputs: Size of the input at one step.
        hidden: Number of hidden units.
        init: A key of `RECURRENT_INITIALISERS`.
        gain: Factor on the recurrent matrices.
        update_bias: Bias of the update gate; all others are zero. A gate of 1 keeps the old state.

    Raises:
        ValueError: As for `rnn`, or if `update_bias` is not finite.
    """
    w_in, w_rec, b = _draw(key, GATES[GRU], inputs, hidden, init, gain)
    _check.finite("update_bias", [update_bias])
    return GRU(w_in, w_rec, b.at[1].set(update_bias), jnp.zeros(hidden))


def uniform(key: Array, kind: str, inputs: int, hidden: int) -> Cell:
    r"""Draw a cell as PyTorch does by default, all weights and biases from one distribution.

    .. math:: U[-1 / \sqrt{\text{hidden}},\ 1 / \sqrt{\text{hidden}}]

    PyTorch has one bias for the input's and one for the state's part of each gate; where only
    their sum matters, `b` is the sum of two draws.

    Args:
        key: Source of all randomness.
        kind: "rnn", "lstm" or "gru".
        inputs: Size of the input at one step.
        hidden: Number of hidden units.

    Raises:
        ValueError: If the kind is unknown or a size is below 1.
    """
    make = _check.choice("kind", kind, KINDS)
    inputs, hidden = (
        _check.int_at_least("inputs", inputs, 1),
        _check.int_at_least("hidden", hidden, 1),
    )
    shapes = [(*GATES[make], *shape) for shape in [(hidden, inputs), (hidden, hidden), (hidden,)]]
    w_in, w_rec, b, b_state = (
        jax.random.uniform(key, shape, minval=-(hidden**-0.5), maxval=hidden**-0.5)
        for key, shape in zip(jax.random.split(key, 4), [*shapes, shapes[-1]], strict=True)
    )
    if make is GRU:
        return GRU(w_in, w_rec, b.at[:2].add(b_state[:2]), b_state[2])
    return make(w_in, w_rec, b + b_state)


def from_arrays(
    kind: str,
    w_in: ArrayLike,
    w_rec: ArrayLike,
    b: ArrayLike | None = None,
    b_rec: ArrayLike | None = None,
) -> Cell:
    """Make a cell of given arrays.

    Args:
        kind: "rnn", "lstm" or "gru".
        w_in: Input weights: (hidden, inputs), with a leading axis of 4 gates for an LSTM and of 3
            for a GRU.
        w_rec: Recurrent weights: (hidden, hidden), with the same leading axis.
        b: Biases: (hidden,), with the same leading axis; zeros if left out.
        b_rec: For a GRU only, the bias of the new gate that the reset gate acts on: (hidden,);
            zeros if left out.

    Raises:
        ValueError: If the kind is unknown, a shape does not fit, the recurrent matrices are not
            square, a number is not finite, or `b_rec` is given for another cell.
    """
    make = _check.choice("kind", kind, KINDS)
    if b_rec is not None and make is not GRU:
        raise ValueError(f"b_rec must be left out for {kind!r}; only a GRU has one")
    w_in, w_rec = jnp.asarray(w_in, float), jnp.asarray(w_rec, float)
    zeros = jnp.zeros(w_rec.shape[:-1])
    arrays = [w_in, w_rec, zeros if b is None else jnp.asarray(b, float)]
    if make is GRU:
        arrays.append(jnp.zeros(w_rec.shape[-1:]) if b_rec is None else jnp.asarray(b_rec, float))
    cell = make(*arrays)
    check_cell(cell)
    for name, array in zip(cell._fields, cell, strict=True):
        _check.finite(name, [array])
    return cell
