"""Recurrent cells and their readouts, drawn from a key or solved for."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check, activations
from vgkit.recurrent.cells import GRU, LSTM, RESETS, RNN, Cell, Network, Readout

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
    "pytorch": None,  # draws the other parameters too
}


def _draw(
    key: Array,
    gates: tuple[int, ...],
    inputs: int,
    hidden: int,
    init: str | Initialiser,
    gain: float,
) -> tuple[Array, Array, Array, Array]:
    """Parameters of all gates; the biases in two parts, as PyTorch has them."""
    draw = init if callable(init) else _check.choice("init", init, _INITIALISERS)
    inputs = _check.int_at_least("inputs", inputs, 1)
    hidden = _check.int_at_least("hidden", hidden, 1)
    if not 0 <= gain < float("inf"):
        raise ValueError(f"gain must be a number of at least 0; got {gain!r}")

    def uniform(key: Array, *shape: int) -> Array:
        bound = hidden**-0.5
        return jax.random.uniform(key, (*gates, *shape), minval=-bound, maxval=bound)

    def gate(key: Array) -> tuple[Array, Array]:
        key_in, key_rec = jax.random.split(key)
        return _LECUN(key_in, (hidden, inputs), float), draw(key_rec, (hidden, hidden), float)

    if draw is None:
        keys = jax.random.split(key, 4)
        w_in, w_rec = uniform(keys[0], hidden, inputs), uniform(keys[1], hidden, hidden)
        return w_in, gain * w_rec, uniform(keys[2], hidden), uniform(keys[3], hidden)
    # One gate at a time: initialisers would count a leading axis as a part of the fan-in.
    w_in, w_rec = jax.vmap(gate)(jax.random.split(key, gates)) if gates else gate(key)
    zeros = jnp.zeros((*gates, hidden))
    return w_in, gain * w_rec, zeros, zeros


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
        inputs: Size of the input at one step. Its weights have LeCun's variance, 1 / inputs.
        hidden: Number of hidden units.
        activation: phi of the cell's equations, a name or a function; tanh in all frameworks.
        init: How each recurrent matrix is drawn, every gate by itself: "orthogonal" or "identity",
            with singular values of 1; "lecun_normal", "glorot_normal" or "he_normal" of
            `jax.nn.initializers`; or a function (key, shape, dtype) -> matrix. "pytorch" draws all
            weights and biases as PyTorch does, from
            :math:`U[-1 / \sqrt{\text{hidden}},\ 1 / \sqrt{\text{hidden}}]`; `b` is the sum of the
            two biases that PyTorch has.
        gain: Factor on the recurrent matrices.

    Raises:
        ValueError: If a size is below 1, `activation` or `init` is unknown, or `gain` is negative
            or not finite.
    """
    activations.function(activation)
    w_in, w_rec, b, b_state = _draw(key, RNN.gates, inputs, hidden, init, gain)
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
    w_in, w_rec, b, b_state = _draw(key, LSTM.gates, inputs, hidden, init, gain)
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
        reset: "after" or "before", see `GRU`.

    Raises:
        ValueError: As for `rnn`, or if `update_bias` is not finite or `reset` unknown.
    """
    activations.function(activation)
    after = _check.choice("reset", reset, RESETS)
    _check.finite("update_bias", [update_bias])
    w_in, w_rec, b, b_state = _draw(key, GRU.gates, inputs, hidden, init, gain)
    both, b_rec = (b + b_state).at[1].add(update_bias), None
    if after:
        both, b_rec = both.at[2].set(b[2]), b_state[2]
    return GRU(w_in, w_rec, both, b_rec, activation=activation, reset=reset)


def spectral_radius(w: Float[Array, "hidden hidden"]) -> Float[Array, ""]:
    r"""Largest absolute value of an eigenvalue.

    .. math:: \rho(W) = \max_k |\lambda_k|

    Args:
        w: A square matrix.
    """
    return jnp.max(jnp.abs(jnp.linalg.eigvals(w)))


def reservoir(
    key: Array, inputs: int, hidden: int, radius: float | Array = 0.9, *, input_gain: float = 1.0
) -> RNN:
    """Draw the cell of an echo state network: normal weights, scaled, no biases, tanh.

    Args:
        key: Source of all randomness.
        inputs: Size of the input at one step.
        hidden: Number of units.
        radius: Spectral radius of the recurrent matrix, a number that may be traced.
        input_gain: Factor on the input weights, which have the variance 1 / inputs before.

    Raises:
        ValueError: If a size is below 1, or `radius` or `input_gain` is not positive and finite.

    Source:
        {cite}`jaeger2001`.
    """
    _check.positive("input_gain", input_gain)
    if not _check.traced(radius):
        _check.positive("radius", radius)
    cell = rnn(key, inputs, hidden, init="lecun_normal")
    scale = radius / spectral_radius(cell.w_rec)
    return cell.replace(w_in=input_gain * cell.w_in, w_rec=cell.w_rec * scale)


def network(key: Array, cell: Cell, outputs: int) -> Network:
    """Give a cell a readout: weights of variance 1 / hidden, biases zero.

    Args:
        key: Source of all randomness.
        cell: Parameters of the cell.
        outputs: Units of the readout.

    Raises:
        ValueError: If `outputs` is below 1.
    """
    outputs = _check.int_at_least("outputs", outputs, 1)
    hidden = cell.w_rec.shape[-1]
    w = jax.random.normal(key, (outputs, hidden)) / jnp.sqrt(hidden)
    return Network(cell, Readout(w, jnp.zeros(outputs)))


def ridge(
    states: Float[Array, "examples hidden"],
    targets: Float[Array, "examples outputs"],
    strength: float,
) -> Readout:
    r"""The readout of least squares with a penalty on its weights, from one linear solve.

    .. math:: \min_{W, b} \sum_i \|W h_i + b - y_i\|^2 + \lambda \|W\|^2, \quad
              (H^{\mathsf T} H + \lambda I)\, W^{\mathsf T} = H^{\mathsf T} Y

    H and Y are less their means; b, which makes up for them, is not penalised.

    Args:
        states: One state in each row.
        targets: The output wanted at each state, one row for each.
        strength: lambda, at least 0, in units of the states squared.

    Raises:
        ValueError: If a shape does not fit, a number is not finite, or `strength` is negative or
            too small for states that are linearly dependent in this precision.
    """
    _check.shape("states", states, (None, None))
    _check.shape("targets", targets, (len(states), None))
    _check.finite("states", [states])
    _check.finite("targets", [targets])
    if not 0 <= strength < float("inf"):
        raise ValueError(f"strength must be a number of at least 0; got {strength!r}")
    hidden = states.shape[1]
    mean_state, mean_target = jnp.mean(states, 0), jnp.mean(targets, 0)
    centred = states - mean_state[None]
    gram = centred.T @ centred + strength * jnp.eye(hidden, dtype=states.dtype)
    if not _check.traced(gram):
        sizes = jnp.linalg.eigvalsh(gram)
        if not sizes[0] > hidden * jnp.finfo(gram.dtype).eps * sizes[-1]:
            raise ValueError(
                f"strength must be larger for these states: the equations are singular, with "
                f"eigenvalues from {sizes[0]:.1e} to {sizes[-1]:.1e}; got {strength!r}"
            )
    w = jnp.linalg.solve(gram, centred.T @ (targets - mean_target[None])).T
    return Readout(w, mean_target - w @ mean_state)
