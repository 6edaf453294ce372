"""Exact per-layer gradients of neural networks, for seeing where they vanish.

Data flows one way: `nets` makes networks, `train` trains them, `grads` measures them, `diagnose`
gives a verdict, `plots` and `explore` show what was measured, `claims` measures what is said of it
all, `selfcheck` asks the reader. Parameters are plain pytrees and every gradient is JAX's own.
"""

from vgkit import (
    activations,
    claims,
    data,
    diagnose,
    explore,
    grads,
    monitor,
    nets,
    plots,
    recurrent,
    selfcheck,
    theory,
    train,
)

__version__ = "0.1.0"
__all__ = [
    "activations",
    "claims",
    "data",
    "diagnose",
    "explore",
    "grads",
    "monitor",
    "nets",
    "plots",
    "recurrent",
    "selfcheck",
    "theory",
    "train",
]
