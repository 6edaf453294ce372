"""Exact per-layer gradients of neural networks, for seeing where they vanish.

Data flows one way: `nets` makes networks, `train` trains them, `grads` measures them, `diagnose`
gives a verdict, `plots` and `explore` show what was measured. Parameters are plain pytrees and
every gradient is JAX's own.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgkit import (
        activations,
        data,
        diagnose,
        explore,
        grads,
        monitor,
        nets,
        plots,
        recurrent,
        theory,
        train,
    )

__version__ = "0.1.0"
__all__ = [
    "activations",
    "data",
    "diagnose",
    "explore",
    "grads",
    "monitor",
    "nets",
    "plots",
    "recurrent",
    "theory",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a namespace when it is first used."""
    if name in __all__:
        return importlib.import_module(f"vgkit.{name}")
    raise AttributeError(f"module 'vgkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
