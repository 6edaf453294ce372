"""Recurrent cells drawn from a key."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from vgkit import _check, activations
from vgkit.recurrent.cells import GRU, LSTM, RNN, Cell, check_reset

Initialiser = Callable[..., Array]
"""A function (key, shape, dtype) -> recurrent matrix."""

_FANS = {"in_axis": -1, "out_axis": -2}
_LECUN = jax.nn.initializers.lecun_normal(**_FANS)
_INITIALISERS: dict[str, Initialiser | None] = {
    "identity": lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype),
    "orthogonal": jax.nn.initializers.orthogonal(),
    "lecun_normal": _LECUN,
    "glorot_normal": jax.nn.initializers.glorot_normal(**_FANS),
    "he_normal": jax.nn.initializers.he_normal(**_FANS),
    "pytorch": None,  # draws biases too, see `_draw_as_pytorch`
}


class _Drawn(NamedTuple):
    """Parameters of all gates; the biases in two parts, as PyTorch has them."""

    w_in: Array
    w_rec: Array
    b: Array
    b_state: Array


def _draw(
    key: Array, kind: type[Cell], inputs: int, hidden: int, init: str | Initialiser, gain: float
) -> _Drawn:
    draw = init if callable(init) else _check.choice("init", init, _INITIALISERS)
    inputs = _check.int_at_least("inputs", inputs, 1)
    hidden = _check.int_at_least("hidden", hidden, 1)
    if not 0 <= gain < float("inf"):
        raise ValueError(f"gain must be a number of at least 0; got {gain!r}")
    if draw is None:
        drawn = _draw_as_pytorch(key, kind.gates, inputs, hidden)
        return drawn._replace(w_rec=gain * drawn.w_rec)

    def gate(key: Array) -> tuple[Array, Array]:
        key_in, key_rec = jax.random.split(key)
        w_rec = draw(key_rec, (hidden, hidden), float)
        return _LECUN(key_in, (hidden, inputs), float), gain * w_rec

    # One gate at a time: initialisers would count a leading axis as a part of the fan-in.
    gates = kind.gates
    w_in, w_rec = jax.vmap(gate)(jax.random.split(key, gates)) if gates else gate(key)
    zeros = jnp.zeros((*gates, hidden))
    return _Drawn(w_in, w_rec, zeros, zeros)


def _draw_as_pytorch(key: Array, gates: tuple[int, ...], inputs: int, hidden: int) -> _Drawn:
    shapes = [(hidden, inputs), (hidden, hidden), (hidden,), (hidden,)]
    return _Drawn(
        *(
            jax.random.uniform(key, (*gates, *shape), minval=-(hidden**-0.5), maxval=hidden**-0.5)
            for key, shape in zip(jax.random.split(key, 4), shapes, strict=True)
        )
    )


def rnn(
    key: Array,
    inputs: int,
    hidden: int,
    activation: str | activations.Function = "tanh",
    init: str | Initialiser = "orthogonal",
    gain: float = 1.0,
) -> RNN:
    r"""Draw a vanilla cell; its biases are zero, unless `init` is "pytorch".

    Args:
        key: Source of all randomness.
        inputs: Size of the input at one step. Its weights have LeCun's variance, 1 / inputs, so
            that inputs of variance 1 add a variance of 1 to each pre-activation.
        hidden: Number of hidden units.
        activation: phi of the cell's equations, a name or a function; tanh in all frameworks. The
            gates of gated cells are always sigmoids.
        init: How each recurrent matrix is drawn, every gate by itself: "orthogonal" or "identity",
            with singular values of 1; "lecun_normal", "glorot_normal" or "he_normal" of
            `jax.nn.initializers`; or a function (key, shape, dtype) -> matrix. "pytorch" draws all
            weights and biases as PyTorch does, from
            :math:`U[-1 / \sqrt{\text{hidden}},\ 1 / \sqrt{\text{hidden}}]`. It has one bias for the
            input's and one for the state's part of each gate; where only their sum matters, `b` is
            the sum of two draws.
        gain: Factor on the recurrent matrices.

    Raises:
        ValueError: If a size is below 1, `activation` or `init` is unknown, or `gain` is negative
            or not finite.
    """
    activations.function(activation)
    w_in, w_rec, b, b_state = _draw(key, RNN, inputs, hidden, init, gain)
    return RNN(w_in, w_rec, b + b_state, activation=activation)


def lstm(
    key: Array,
    inputs: int,
    hidden: int,
    activation: str | activations.Function = "tanh",
    init: str | Initialiser = "orthogonal",
    gain: float = 1.0,
    *,
    forget_bias: float = 0.0,
) -> LSTM:
    """Draw an LSTM as `rnn` draws a vanilla cell.

    Args:
        key: Source of all randomness.
        inputs: Size of the input at one step.
        hidden: Number of hidden units.
        activation: As for `rnn`.
        init: As for `rnn`.
        gain: As for `rnn`.
        forget_bias: Added to the bias of the forget gate. A closed gate forgets.

    Raises:
        ValueError: As for `rnn`, or if `forget_bias` is not finite.
    """
    activations.function(activation)
    _check.finite("forget_bias", [forget_bias])
    w_in, w_rec, b, b_state = _draw(key, LSTM, inputs, hidden, init, gain)
    return LSTM(w_in, w_rec, (b + b_state).at[1].add(forget_bias), activation=activation)


def gru(
    key: Array,
    inputs: int,
    hidden: int,
    activation: str | activations.Function = "tanh",
    init: str | Initialiser = "orthogonal",
    gain: float = 1.0,
    *,
    update_bias: float = 0.0,
    reset: str = "after",
) -> GRU:
    """Draw a GRU as `rnn` draws a vanilla cell.

    Args:
        key: Source of all randomness.
        inputs: Size of the input at one step.
        hidden: Number of hidden units.
        activation: As for `rnn`.
        init: As for `rnn`.
        gain: As for `rnn`.
        update_bias: Added to the bias of the update gate. A gate of 1 keeps the old state.
        reset: "after" or "before", see `GRU`. With "pytorch" a reset gate "before", which PyTorch
            has not, gives all three biases as sums of two draws.

    Raises:
        ValueError: As for `rnn`, or if `update_bias` is not finite or `reset` unknown.
    """
    activations.function(activation)
    check_reset(reset)
    _check.finite("update_bias", [update_bias])
    w_in, w_rec, b, b_state = _draw(key, GRU, inputs, hidden, init, gain)
    both, b_rec = (b + b_state).at[1].add(update_bias), None
    if reset == "after":
        both, b_rec = both.at[2].set(b[2]), b_state[2]
    return GRU(w_in, w_rec, both, b_rec, activation=activation, reset=reset)
