"""Training, and what it looks like from inside: one loop for all networks of `nets`."""

from vgkit.train.clipping import CLIPPINGS, clipping
from vgkit.train.history import (
    PRE_ACTIVATION_EDGES,
    SIGNAL_DECADES,
    Data,
    History,
    pre_activation_histogram,
    signal_histogram,
)
from vgkit.train.loop import Run, fit, show_progress
from vgkit.train.trials import Trials, trials

__all__ = [
    "CLIPPINGS",
    "PRE_ACTIVATION_EDGES",
    "SIGNAL_DECADES",
    "Data",
    "History",
    "Run",
    "Trials",
    "clipping",
    "fit",
    "pre_activation_histogram",
    "show_progress",
    "signal_histogram",
    "trials",
]
