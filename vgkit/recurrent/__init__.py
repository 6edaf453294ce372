"""Recurrent networks as plain pytrees, written for one sequence; batch them with `jax.vmap`.

A cell turns the state of step t-1 and the input x_t into the state of step t, with the same
parameters at every step. The gates of a gated cell are stacked on the leading axis of its arrays,
in PyTorch's order, so that `lstm.weight_ih_l0.reshape(4, hidden, inputs)` is its `w_in`.
"""

from vgkit.recurrent.cells import GRU, LSTM, RNN, Cell, Network, Readout, State, run, step
from vgkit.recurrent.makers import gru, lstm, network, reservoir, ridge, rnn, spectral_radius

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "Network",
    "Readout",
    "State",
    "gru",
    "lstm",
    "network",
    "reservoir",
    "ridge",
    "rnn",
    "run",
    "spectral_radius",
    "step",
]
