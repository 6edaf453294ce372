"""Recurrent cells, their step, their run along a sequence, and readouts of their states."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vgkit import _check, activations

_STATIC = {"static": True}
RESETS = {"after": True, "before": False}  # where the reset gate acts


@dataclass(frozen=True, eq=False)
class Cell:
    """A recurrent cell: `RNN`, `LSTM` or `GRU`, a pytree whose leaves are its parameters.

    Attributes:
        w_in: Weights on the input, shape `(*gates, hidden, inputs)`.
        w_rec: Weights on the state of the step before, shape `(*gates, hidden, hidden)`.
        b: Biases, shape `(*gates, hidden)`: the sum of the two that PyTorch has, but for
            `b_rec` of a GRU.
        activation: phi of the cell's equations, a name or a function; the gates are sigmoids.
    """

    w_in: Any
    w_rec: Any
    b: Any
    activation: str | activations.Function = field(default="tanh", kw_only=True, metadata=_STATIC)

    def replace(self, **changes: Any) -> "Cell":
        """The same cell with other attributes."""
        return dataclasses.replace(self, **changes)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class RNN(Cell):
    r"""Vanilla recurrent cell.

    .. math:: h_t = \phi(W_{in} x_t + W_{rec} h_{t-1} + b)
    """

    gates = ()


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LSTM(Cell):
    r"""Long short-term memory with a forget gate; gates in the order input, forget, cell, output.

    .. math::

        i, f, g, o &= W_{in} x_t + W_{rec} h_{t-1} + b \\
        c_t &= \sigma(f) \odot c_{t-1} + \sigma(i) \odot \phi(g) \\
        h_t &= \sigma(o) \odot \phi(c_t)

    Source:
        {cite}`hochreiter1997`; the forget gate is {cite}`gers2000`.
    """

    gates = (4,)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class GRU(Cell):
    r"""Gated recurrent unit; gates in the order reset, update, new.

    .. math::

        r &= \sigma(W_{in}^r x_t + W_{rec}^r h_{t-1} + b^r) \\
        z &= \sigma(W_{in}^z x_t + W_{rec}^z h_{t-1} + b^z) \\
        h_t &= (1 - z) \odot n + z \odot h_{t-1}

    An update gate of 1 keeps the old state. The reset gate acts after the recurrent product or
    before it:

    .. math::

        \text{after:} \quad n &= \phi(W_{in}^n x_t + b^n + r \odot (W_{rec}^n h_{t-1} + b_{rec})) \\
        \text{before:} \quad n &= \phi(W_{in}^n x_t + b^n + W_{rec}^n (r \odot h_{t-1}))

    "before" is the original of {cite:t}`cho2014`. "after", with a second bias, is what cuDNN,
    PyTorch and Keras compute, so that their weights can be used.

    Attributes:
        b_rec: The bias that a reset gate "after" acts on, shape (hidden,); None for "before".
        reset: "after" or "before".
    """

    gates = (3,)
    b_rec: Any = None
    reset: str = field(default="after", kw_only=True, metadata=_STATIC)


class State(NamedTuple):
    """What one step hands on to the next, or such a row for every step.

    Attributes:
        h: Hidden state.
        c: Cell state of an LSTM; None for the other cells.
    """

    h: Float[Array, "*steps hidden"]
    c: Float[Array, "*steps hidden"] | None = None


def step(cell: Cell, state: State, x: Float[Array, " inputs"]) -> State:
    """State of the next step.

    Args:
        cell: Parameters.
        state: State of the step before.
        x: Input of this step.
    """
    phi, sigmoid = activations.function(cell.activation), jax.nn.sigmoid
    match cell:
        case RNN():
            return State(phi(cell.w_in @ x + cell.w_rec @ state.h + cell.b))
        case LSTM():
            i, f, g, o = cell.w_in @ x + cell.w_rec @ state.h + cell.b
            c = sigmoid(f) * state.c + sigmoid(i) * phi(g)
            return State(sigmoid(o) * phi(c), c)
        case GRU():
            by_input, by_state = cell.w_in @ x + cell.b, cell.w_rec @ state.h
            r, z = sigmoid(by_input[:2] + by_state[:2])
            if cell.reset == "after":
                n = phi(by_input[2] + r * (by_state[2] + cell.b_rec))
            else:
                n = phi(by_input[2] + cell.w_rec[2] @ (r * state.h))
            return State((1 - z) * n + z * state.h)


def run(
    cell: Cell,
    x: Float[Array, "time inputs"],
    *,
    start: State | None = None,
    probes: State | None = None,
) -> State:
    """States of a cell along one sequence; use `jax.vmap` for a batch.

    Args:
        cell: Parameters, the same at every step.
        x: One sequence of T inputs, x_1 to x_T.
        start: State before the first input, zeros if left out.
        probes: Zeros added to every state that is handed on, T + 1 rows: a gradient with respect
            to them is one with respect to these states.

    Returns:
        T + 1 rows: row t is the state after t inputs, row 0 the start.

    Raises:
        ValueError: If the activation is unknown, T is 0, a shape does not fit, or a parameter or an
            input is not finite.
    """
    _check_cell(cell)
    cell = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf, float)), cell)
    _check.shape("x", x, (None, cell.w_in.shape[-1]))
    _check.finite("x", [x])
    zeros = jnp.zeros(cell.w_rec.shape[-1], cell.w_rec.dtype)
    state = start or State(zeros, zeros if isinstance(cell, LSTM) else None)
    _check.shape("start.h", state.h, zeros.shape)
    if isinstance(cell, LSTM) != (state.c is not None):
        raise ValueError(
            f"start must have a cell state c for an LSTM and for no other cell; got {state.c!r}"
        )
    if state.c is not None:
        _check.shape("start.c", state.c, zeros.shape)

    def add(state: State, probe: State | None) -> State:
        return state if probe is None else jax.tree.map(jnp.add, state, probe)

    def advance(state: State, inputs: tuple[Array, State | None]) -> tuple[State, State]:
        x, probe = inputs
        state = add(step(cell, state, x), probe)
        return state, state

    state = add(state, jax.tree.map(lambda leaf: leaf[0], probes))
    later = jax.tree.map(lambda leaf: leaf[1:], probes)
    _, states = jax.lax.scan(advance, state, (x, later))
    return jax.tree.map(lambda row, rows: jnp.concatenate([row[None], rows]), state, states)


def _check_cell(cell: Cell) -> None:
    """Require finite parameters whose shapes fit together."""
    if not isinstance(cell, RNN | LSTM | GRU):
        raise ValueError(f"cell must be an RNN, LSTM or GRU; got {type(cell).__name__}")
    _check.shape("w_rec", cell.w_rec, (*cell.gates, None, None))
    *_, rows, columns = np.shape(cell.w_rec)
    if rows != columns:
        raise ValueError(f"w_rec must be square, units by units; got {rows} by {columns}")
    _check.shape("w_in", cell.w_in, (*cell.gates, rows, None))
    _check.shape("b", cell.b, (*cell.gates, rows))
    if isinstance(cell, GRU):
        if _check.choice("reset", cell.reset, RESETS):
            _check.shape("b_rec", cell.b_rec, (rows,))
        elif cell.b_rec is not None:
            raise ValueError("b_rec must be None for a reset gate before the product; got an array")
    _check.finite("cell", jax.tree.leaves(cell))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Readout:
    r"""A linear layer on the hidden state; `readout(h)` is its output.

    .. math:: y_t = W h_t + b

    Attributes:
        w: Weights on the hidden state, shape (outputs, hidden).
        b: Biases, shape (outputs,).
    """

    w: Any
    b: Any

    def __call__(self, h: Float[Array, " hidden"]) -> Float[Array, " outputs"]:
        """Output at one state."""
        return self.w @ h + self.b


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Network:
    """A cell and the readout of its states; `network(x)` gives the outputs of one sequence.

    Attributes:
        cell: A cell.
        readout: What turns each state into an output.
    """

    cell: Any
    readout: Any

    def __call__(self, x: Float[Array, "time inputs"]) -> Float[Array, "time outputs"]:
        """Outputs after each input, in rows; the last answers the sequence."""
        return jax.vmap(self.readout)(run(self.cell, x).h[1:])
