"""Exact per-layer gradients of neural networks, for seeing where they vanish.

Data flows one way: `nets` makes networks, `train` trains them, `grads` measures them, `trace` finds
the layers of any other model, `diagnose` gives a verdict on it, `plots` and `explore` show what was
measured. Parameters are plain pytrees and every gradient is JAX's own. Whatever does not fit raises
a `ValueError` that names the argument, the value and what is allowed.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vgkit.diagnosis import diagnose as diagnose

__version__ = "0.1.0"
__all__ = sorted(part.name for part in pkgutil.iter_modules(__path__) if part.name[0] != "_")


def __getattr__(name: str) -> Any:
    """Import a namespace, or the function `diagnose`, when it is first used."""
    if name == "diagnose":
        return importlib.import_module("vgkit.diagnosis").diagnose
    if name in __all__:
        return importlib.import_module(f"vgkit.{name}")
    raise AttributeError(f"module 'vgkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "diagnose"])
