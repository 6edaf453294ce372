"""Cells of recurrent networks, their step, and their run along a sequence."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check, activations


class RNN(NamedTuple):
    r"""Vanilla recurrent cell.

    .. math:: h_t = \phi(W_{in} x_t + W_{rec} h_{t-1} + b)

    Attributes:
        w_in: Weights on the input.
        w_rec: Weights on the state of the step before.
        b: Biases.
    """

    w_in: Float[Array, "*stack hidden inputs"]
    w_rec: Float[Array, "*stack hidden hidden"]
    b: Float[Array, "*stack hidden"]


class LSTM(NamedTuple):
    r"""Long short-term memory with a forget gate; gates in the order input, forget, cell, output.

    .. math::

        i, f, g, o &= W_{in} x_t + W_{rec} h_{t-1} + b \\
        c_t &= \sigma(f) \odot c_{t-1} + \sigma(i) \odot \phi(g) \\
        h_t &= \sigma(o) \odot \phi(c_t)

    Attributes:
        w_in: Weights of every gate on the input.
        w_rec: Weights of every gate on the state of the step before.
        b: Biases of every gate. PyTorch has two, of which only the sum matters: this is that sum.

    Source:
        {cite}`hochreiter1997`; the forget gate is {cite}`gers2000`.
    """

    w_in: Float[Array, "*stack 4 hidden inputs"]
    w_rec: Float[Array, "*stack 4 hidden hidden"]
    b: Float[Array, "*stack 4 hidden"]


class GRU(NamedTuple):
    r"""Gated recurrent unit in PyTorch's convention; gates in the order reset, update, new.

    .. math::

        r &= \sigma(W_{in}^r x_t + W_{rec}^r h_{t-1} + b^r) \\
        z &= \sigma(W_{in}^z x_t + W_{rec}^z h_{t-1} + b^z) \\
        n &= \phi(W_{in}^n x_t + b^n + r \odot (W_{rec}^n h_{t-1} + b_{rec})) \\
        h_t &= (1 - z) \odot n + z \odot h_{t-1}

    The reset gate acts after the recurrent product, which is why the new gate has a bias of its
    own there, `b_rec`; and an update gate of 1 keeps the old state. {cite:t}`cho2014` has the reset
    gate before the product.

    Attributes:
        w_in: Weights of every gate on the input.
        w_rec: Weights of every gate on the state of the step before.
        b: Biases of every gate.
        b_rec: The bias that the reset gate acts on.
    """

    w_in: Float[Array, "*stack 3 hidden inputs"]
    w_rec: Float[Array, "*stack 3 hidden hidden"]
    b: Float[Array, "*stack 3 hidden"]
    b_rec: Float[Array, "*stack hidden"]


Cell = RNN | LSTM | GRU
"""Any cell."""
GATES: dict[type, tuple[int, ...]] = {RNN: (), LSTM: (4,), GRU: (3,)}
"""The leading axis of a cell's arrays."""


class State(NamedTuple):
    """What one step hands on to the next, or one such row for every step.

    Attributes:
        h: Hidden state.
        c: Cell state of an LSTM; None for the other cells.
    """

    h: Float[Array, "*steps hidden"]
    c: Float[Array, "*steps hidden"] | None = None


def check_cell(cell: Cell) -> None:
    """Require shapes that fit together."""
    if type(cell) not in GATES:
        names = ", ".join(kind.__name__ for kind in GATES)
        raise ValueError(f"cell must be one of {names}; got {type(cell).__name__}")
    gates = GATES[type(cell)]
    _check.shape("w_rec", cell.w_rec, (*gates, None, None))
    *_, rows, columns = cell.w_rec.shape
    if rows != columns:
        raise ValueError(f"w_rec must be square, units by units; got {rows} by {columns}")
    _check.shape("w_in", cell.w_in, (*gates, rows, None))
    _check.shape("b", cell.b, (*gates, rows))
    if isinstance(cell, GRU):
        _check.shape("b_rec", cell.b_rec, (rows,))


def _check_state(cell: Cell, state: State) -> None:
    """Require the members and the shapes of a state of this cell."""
    for name, given, wanted in zip(State._fields, state, zero_state(cell), strict=True):
        if (given is None) != (wanted is None):
            raise ValueError(
                f"start must have a cell state c for an LSTM and for no other cell; got {given!r}"
            )
        if wanted is not None:
            _check.shape(f"start.{name}", given, wanted.shape)


def _step_rnn(cell: RNN, state: State, x: Array, phi: activations.Function) -> State:
    return State(phi(cell.w_in @ x + cell.w_rec @ state.h + cell.b))


def _step_lstm(cell: LSTM, state: State, x: Array, phi: activations.Function) -> State:
    i, f, g, o = cell.w_in @ x + cell.w_rec @ state.h + cell.b
    c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * phi(g)
    return State(jax.nn.sigmoid(o) * phi(c), c)


def _step_gru(cell: GRU, state: State, x: Array, phi: activations.Function) -> State:
    given, recurrent = cell.w_in @ x + cell.b, cell.w_rec @ state.h
    r, z = jax.nn.sigmoid(given[:2] + recurrent[:2])
    n = phi(given[2] + r * (recurrent[2] + cell.b_rec))
    return State((1 - z) * n + z * state.h)


_STEPS = {RNN: _step_rnn, LSTM: _step_lstm, GRU: _step_gru}


def step(
    cell: Cell,
    state: State,
    x: Float[Array, " inputs"],
    activation: str | activations.Function = "tanh",
) -> State:
    """State of the next step.

    Args:
        cell: Parameters.
        state: State of the step before.
        x: Input of this step.
        activation: phi of the cell's equations, a name or a function. The gates are always
            sigmoids.

    Raises:
        ValueError: If the activation is unknown.
    """
    phi = activation if callable(activation) else activations.function(activation)
    return _STEPS[type(cell)](cell, state, x, phi)


def zero_state(cell: Cell) -> State:
    """The usual state to start from.

    Args:
        cell: The cell whose state it is.
    """
    h = jnp.zeros(cell.w_rec.shape[-1], cell.w_rec.dtype)
    return State(h, h if isinstance(cell, LSTM) else None)


def probes(cell: Cell, steps: int) -> State:
    """Zeros of the shape of every state from step 0 to step `steps`; see `run`.

    Args:
        cell: The cell whose states they are for.
        steps: Number of steps after the start.
    """
    return jax.tree.map(
        lambda zero: jnp.zeros((steps + 1, *zero.shape), zero.dtype), zero_state(cell)
    )


def run(
    cell: Cell,
    x: Float[Array, "time inputs"],
    activation: str | activations.Function = "tanh",
    *,
    start: State | None = None,
    probes: State | None = None,
) -> State:
    """States of a cell along one sequence.

    Args:
        cell: Parameters, the same at every step.
        x: One sequence of T inputs, x_1 to x_T.
        activation: As for `step`.
        start: State before the first input, zeros if left out.
        probes: Added to every state that one step hands on to the next, see `probes`. The gradient
            of a loss with respect to them is its gradient with respect to these states.

    Returns:
        T + 1 rows: row t is the state after t inputs, row 0 the start.

    Raises:
        ValueError: If the activation is unknown, T is 0, a shape does not fit (a recurrent matrix
            that is not square above all), or an input is not finite.
    """
    check_cell(cell)
    _check.shape("x", x, (None, cell.w_in.shape[-1]))
    _check.finite("x", [x])
    state = zero_state(cell) if start is None else start
    _check_state(cell, state)

    def add(state: State, probe: State | None) -> State:
        return state if probe is None else jax.tree.map(jnp.add, state, probe)

    def advance(state: State, inputs: tuple[Array, State | None]) -> tuple[State, State]:
        x, probe = inputs
        state = add(step(cell, state, x, activation), probe)
        return state, state

    state = add(state, jax.tree.map(lambda leaf: leaf[0], probes))
    later = jax.tree.map(lambda leaf: leaf[1:], probes)
    _, states = jax.lax.scan(advance, state, (x, later))
    return jax.tree.map(lambda row, rows: jnp.concatenate([row[None], rows]), state, states)
