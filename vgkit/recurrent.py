"""Recurrent networks as plain pytrees, written for one sequence; batch them with `jax.vmap`.

A cell turns the state of step t-1 and the input x_t into the state of step t, with the same
parameters at every step. The gates of a gated cell are stacked on the leading axis of its arrays,
in PyTorch's order, so that `lstm.weight_ih_l0.reshape(4, hidden, inputs)` is its `w_in`.
"""

import dataclasses
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from vgkit import _check, activations, nets
from vgkit.nets.makers import INITIALISERS

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "Network",
    "State",
    "gru",
    "lstm",
    "network",
    "reservoir",
    "rnn",
    "run",
    "spectral_radius",
]

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
    """State after the next input."""
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
        x: One sequence of T inputs, x_1 to x_T.
        start: State before the first input, zeros if left out.
        probes: Zeros added to every state that is handed on, T + 1 rows: a gradient with respect
            to them is one with respect to these states.

    Returns:
        T + 1 rows: row t is the state after t inputs, row 0 the start.
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
    hidden = (np.shape(cell.w_rec) or (None,))[-1]
    _check.shape("w_rec", cell.w_rec, (*cell.gates, hidden, hidden))
    _check.shape("w_in", cell.w_in, (*cell.gates, hidden, None))
    _check.shape("b", cell.b, (*cell.gates, hidden))
    if isinstance(cell, GRU):
        if _check.choice("reset", cell.reset, RESETS):
            _check.shape("b_rec", cell.b_rec, (hidden,))
        elif cell.b_rec is not None:
            raise ValueError("b_rec must be None for a reset gate before the product; got an array")
    _check.finite("cell", jax.tree.leaves(cell))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Network:
    """A cell and the readout of its states; `network(x)` gives the outputs of one sequence.

    Attributes:
        cell: A cell.
        readout: The linear layer that turns each state into an output, a `nets.Layer`.
    """

    cell: Any
    readout: Any

    def __call__(self, x: Float[Array, "time inputs"]) -> Float[Array, "time outputs"]:
        """Outputs after each input, in rows; the last answers the sequence."""
        return jax.vmap(self.readout)(run(self.cell, x).h[1:])


_INITIALISERS: dict[str, nets.Initialiser | None] = INITIALISERS | {
    "identity": lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype),
    "pytorch": None,  # draws the other parameters too
}


def _draw(
    key: Array,
    gates: tuple[int, ...],
    inputs: int,
    hidden: int,
    activation: str | activations.Function,
    init: str | nets.Initialiser,
    gain: float,
) -> tuple[Array, Array, Array, Array]:
    """Parameters of all gates; the biases in two parts, as PyTorch has them."""
    activations.function(activation)
    draw = init if callable(init) else _check.choice("init", init, _INITIALISERS)
    inputs = _check.int_at_least("inputs", inputs, 1)
    hidden = _check.int_at_least("hidden", hidden, 1)
    if not 0 <= gain < float("inf"):
        raise ValueError(f"gain must be a finite number of at least 0; got {gain!r}")

    def gate(key: Array) -> tuple[Array, Array]:
        key_in, key_rec = jax.random.split(key)
        w_in = INITIALISERS["lecun_normal"](key_in, (hidden, inputs), float)
        return w_in, draw(key_rec, (hidden, hidden), float)

    if draw is None:
        uniform = partial(jax.random.uniform, minval=-(hidden**-0.5), maxval=hidden**-0.5)
        shapes = [(*gates, hidden, inputs), (*gates, hidden, hidden), *[(*gates, hidden)] * 2]
        w_in, w_rec, *biases = map(uniform, jax.random.split(key, 4), shapes)
        return w_in, gain * w_rec, *biases
    # One gate at a time: initialisers would count a leading axis as a part of the fan-in.
    w_in, w_rec = jax.vmap(gate)(jax.random.split(key, gates)) if gates else gate(key)
    zeros = jnp.zeros((*gates, hidden))
    return w_in, gain * w_rec, zeros, zeros


def rnn(
    key: Array,
    inputs: int,
    hidden: int,
    activation: str | activations.Function = "tanh",
    init: str | nets.Initialiser = "orthogonal",
    gain: float = 1.0,
) -> RNN:
    r"""Draw a vanilla cell; its biases are zero, unless `init` is "pytorch".

    Args:
        inputs: Size of the input at one step. Its weights have LeCun's variance, 1 / inputs.
        hidden: Number of hidden units.
        activation: phi of the cell's equations, a name or a function; tanh in all frameworks.
        init: How each recurrent matrix is drawn, every gate by itself: "orthogonal" or "identity",
            with singular values of 1; another name that `nets.mlp` knows; or a function
            (key, shape, dtype) -> matrix. "pytorch" draws all weights and biases as PyTorch does,
            from :math:`U[-1 / \sqrt{\text{hidden}},\ 1 / \sqrt{\text{hidden}}]`; `b` is the sum of
            the two biases that PyTorch has.
        gain: Factor on the recurrent matrices, at least 0.
    """
    w_in, w_rec, b, b_state = _draw(key, RNN.gates, inputs, hidden, activation, init, gain)
    return RNN(w_in, w_rec, b + b_state, activation=activation)


def lstm(
    key: Array,
    inputs: int,
    hidden: int,
    activation: str | activations.Function = "tanh",
    init: str | nets.Initialiser = "orthogonal",
    gain: float = 1.0,
    *,
    forget_bias: float = 0.0,
) -> LSTM:
    """Draw an LSTM as `rnn` draws a vanilla cell; the other arguments are those of `rnn`.

    Args:
        forget_bias: Added to the bias of the forget gate. A closed gate forgets.
    """
    _check.finite("forget_bias", [forget_bias])
    w_in, w_rec, b, b_state = _draw(key, LSTM.gates, inputs, hidden, activation, init, gain)
    return LSTM(w_in, w_rec, (b + b_state).at[1].add(forget_bias), activation=activation)


def gru(
    key: Array,
    inputs: int,
    hidden: int,
    activation: str | activations.Function = "tanh",
    init: str | nets.Initialiser = "orthogonal",
    gain: float = 1.0,
    *,
    update_bias: float = 0.0,
    reset: str = "after",
) -> GRU:
    """Draw a GRU as `rnn` draws a vanilla cell; the other arguments are those of `rnn`.

    Args:
        update_bias: Added to the bias of the update gate. A gate of 1 keeps the old state.
        reset: "after" or "before", see `GRU`.
    """
    after = _check.choice("reset", reset, RESETS)
    _check.finite("update_bias", [update_bias])
    w_in, w_rec, b, b_state = _draw(key, GRU.gates, inputs, hidden, activation, init, gain)
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
        inputs: Size of the input at one step.
        hidden: Number of units.
        radius: Spectral radius of the recurrent matrix, a number that may be traced.
        input_gain: Factor on the input weights, which have the variance 1 / inputs before.

    Source:
        {cite}`jaeger2001`.
    """
    _check.positive("input_gain", input_gain)
    _check.positive("radius", radius)
    cell = rnn(key, inputs, hidden, init="lecun_normal")
    scale = radius / spectral_radius(cell.w_rec)
    return cell.replace(w_in=input_gain * cell.w_in, w_rec=cell.w_rec * scale)


def network(key: Array, cell: Cell, outputs: int) -> Network:
    """Give a cell a readout: weights of variance 1 / hidden, biases zero.

    Args:
        outputs: Units of the readout.
    """
    outputs = _check.int_at_least("outputs", outputs, 1)
    hidden = cell.w_rec.shape[-1]
    w = jax.random.normal(key, (outputs, hidden)) / jnp.sqrt(hidden)
    return Network(cell, nets.Layer(w, jnp.zeros(outputs)))
