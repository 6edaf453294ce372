"""Training, and what it looks like from inside: one loop for all networks of vgkit."""

from vgkit.train.fit import Run, fit
from vgkit.train.history import (
    PRE_ACTIVATION_EDGES,
    SIGNAL_DECADES,
    Data,
    History,
    pre_activation_histogram,
    signal_histogram,
)

__all__ = [
    "PRE_ACTIVATION_EDGES",
    "SIGNAL_DECADES",
    "Data",
    "History",
    "Run",
    "fit",
    "pre_activation_histogram",
    "signal_histogram",
]
