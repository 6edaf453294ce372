"""What a training history says of how the loss fell and how far the weights moved."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vgkit._numbers import rms
from vgkit.trace import Traced


class History(NamedTuple):
    """What is known of a training run."""

    loss: np.ndarray | None = None  # one number for each row
    moved: np.ndarray | None = None  # how far every layer has moved, RMS over its weights
    names: Sequence[str] = ()  # of the columns of `moved`


class Moved(NamedTuple):
    """How far one array moved in training, RMS, beside its weights and its gradient now."""

    name: str
    moved: float
    weights: float
    gradient: float


def read_history(history: Any) -> History:
    """Read a history of `train.fit`, a record of `monitor.read`, or a sequence of losses."""

    def field(*names: str) -> Any:
        mapping = isinstance(history, Mapping)
        values = [history.get(n) if mapping else getattr(history, n, None) for n in names]
        return next((np.asarray(value, float) for value in values if value is not None), None)

    if history is None:
        return History()
    loss, moved = field("loss", "train_loss"), field("moved")
    ratio, weights = field("update_ratio", "ratio"), field("weights")
    if moved is None and ratio is not None and weights is not None:
        moved = np.nancumsum(ratio * weights, axis=0)  # at least one step from row to row
    if loss is None and moved is None:
        if isinstance(history, Mapping):
            names = ", ".join(map(str, history)) or "nothing"
            raise ValueError(
                f"history must hold loss, moved or update_ratio and weights; got {names}"
            )
        loss = np.asarray(history, float)
    if loss is not None and (loss.ndim != 1 or not len(loss)):
        raise ValueError(f"history must have one loss for each row; got shape {loss.shape}")
    if moved is None:
        return History(loss)
    if moved.ndim != 2 or not len(moved):
        raise ValueError(f"history's moved must have shape (rows, layers); got shape {moved.shape}")
    return History(loss, moved[-1], getattr(history, "names", ()))


def match(history: History, traced: Traced, gradients: Sequence[np.ndarray]) -> list[Moved]:
    """Join what moved with the arrays of the parameters, by name or by their number."""
    if history.moved is None:
        return []
    model = traced.model
    arrays = [
        Moved(name, np.nan, float(rms(np.asarray(weights, np.float64))), float(rms(gradient)))
        for name, weights, gradient in zip(model.names, model.parameters, gradients, strict=True)
    ]
    weights = dict.fromkeys(la.weights for la in traced.layers if la.weights is not None)
    layers = [arrays[i] for i in weights]
    by_name = {array.name: array for array in arrays}
    named = [by_name[name] for name in history.names if name in by_name]
    columns = next((c for c in (named, layers, arrays) if len(c) == len(history.moved)), None)
    if columns is None:
        raise ValueError(
            f"history must have a column for each of {len(layers)} layers or {len(arrays)} arrays "
            f"of params; got {len(history.moved)}"
        )
    return [a._replace(moved=float(m)) for a, m in zip(columns, history.moved, strict=True)]
