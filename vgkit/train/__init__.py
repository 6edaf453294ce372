"""Training, and what it looks like from inside: one loop for all networks of vgkit."""

from vgkit.train.fit import Run, fit
from vgkit.train.history import PRE_ACTIVATION_EDGES, SIGNAL_DECADES, Data, History

__all__ = ["PRE_ACTIVATION_EDGES", "SIGNAL_DECADES", "Data", "History", "Run", "fit"]
