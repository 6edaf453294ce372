"""Recurrent networks as plain pytrees, written for one sequence; batch them with `jax.vmap`.

A cell turns the state of step t-1 and the input x_t into the state of step t, with the same
parameters at every step. The gates of a gated cell are stacked on the leading axis of its arrays,
in PyTorch's order, so that `lstm.weight_ih_l0.reshape(4, hidden, inputs)` is its `w_in`.
"""

from vgkit.recurrent.cells import GRU, LSTM, RNN, Cell, State, probes, run, step, zero_state
from vgkit.recurrent.echo import (
    echo_distances,
    memory_curve,
    reservoir,
    spectral_radius,
    with_spectral_radius,
)
from vgkit.recurrent.makers import RECURRENT_INITIALISERS, from_arrays, gru, lstm, rnn, uniform
from vgkit.recurrent.readout import Network, Readout, network, outputs, ridge

__all__ = [
    "GRU",
    "LSTM",
    "RECURRENT_INITIALISERS",
    "RNN",
    "Cell",
    "Network",
    "Readout",
    "State",
    "echo_distances",
    "from_arrays",
    "gru",
    "lstm",
    "memory_curve",
    "network",
    "outputs",
    "probes",
    "reservoir",
    "ridge",
    "rnn",
    "run",
    "spectral_radius",
    "step",
    "uniform",
    "with_spectral_radius",
    "zero_state",
]
