"""What an optimiser would do with a model, and what a training history says it did."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from vgkit.diagnose.evidence import Layer, rms
from vgkit.diagnose.signals import Measured, Model
from vgkit.diagnose.subject import floating

MULTIPLES = 10.0 ** np.arange(0, 9.01, 0.5)


class Steps(NamedTuple):
    """One step of an optimiser, and longer ones in its direction.

    Attributes:
        updates: Of every leaf.
        losses: Mean loss before the step and after 1, 3, 10, 31, ... times the step.
    """

    updates: list[np.ndarray]
    losses: np.ndarray


class History(NamedTuple):
    """What is known of a training run; None where it is not.

    Attributes:
        loss: One number for each row.
        moved: How far every layer has moved, RMS over its weights, at the end.
        names: Of the columns of `moved`, if they are known.
    """

    loss: np.ndarray | None
    moved: np.ndarray | None
    names: Sequence[str] | None


def steps(
    function: Callable, model: Model, leaves: list[Any], measured: Measured, optimiser: Any
) -> Steps:
    """Take one step of a fresh optimiser, and longer ones in the same direction."""
    subject = model.subject
    gradients = [g / subject.examples for g in measured.gradients]
    params, by_param = subject.tree(leaves), subject.tree(gradients)
    optimiser = optax.with_extra_args_support(optimiser)

    def loss(params: Any) -> Any:
        return function(jax.tree.leaves(params))

    @jax.jit
    def update(grad: Any, params: Any) -> Any:
        known = {"value": loss(params), "grad": grad, "value_fn": loss}
        return optimiser.update(grad, optimiser.init(params), params, **known)[0]

    updates = update(by_param, params)
    updates = [np.asarray(leaf) for leaf in jax.tree.leaves(updates) if floating(leaf)]
    if len(updates) != len(leaves):
        raise ValueError(
            f"optimiser must update each of the {len(leaves)} floating-point arrays of params; "
            f"it updates {len(updates)}"
        )
    losses = [function(leaves)]
    for multiple in MULTIPLES:
        moved = [a + multiple * b for a, b in zip(leaves, updates, strict=True)]
        losses.append(function(moved))
    return Steps(updates, np.array([float(v) for v in losses]))


def best_gain(losses: np.ndarray) -> tuple[float, float]:
    """How much the best multiple of a step lowers the loss, and which multiple that is."""
    gains = np.where(np.isfinite(losses[1:]), losses[0] - losses[1:], -np.inf)
    best = int(np.argmax(gains))
    return max(float(gains[best]), 0.0), float(MULTIPLES[best])


def descent(function: Callable, leaves: list[Any], measured: Measured, examples: int) -> np.ndarray:
    """Losses along the gradient, from steps of a millionth of the weights to a thousand times."""
    size = np.sqrt(sum(float(np.sum(leaf**2)) for leaf in leaves))
    # Scaled before it is squared: the squares of a vanished gradient may be too small.
    largest = max((float(np.max(np.abs(g))) for g in measured.gradients), default=0.0)
    if not (np.isfinite(largest) and largest > 0 and size > 0):
        return np.array([float(function(leaves))])
    scaled = [g / largest for g in measured.gradients]
    norm = np.sqrt(sum(float(np.sum(g**2)) for g in scaled))
    updates = [-g * (1e-6 * size / norm) for g in scaled]
    losses = [function(leaves)]
    for multiple in MULTIPLES:
        losses.append(function([a + multiple * b for a, b in zip(leaves, updates, strict=True)]))
    return np.array([float(v) for v in losses])


def ahead(function: Callable, leaves: list[Any], steps: int = 30) -> float:
    """How much short runs of Adam, at the best of three rates, lower the loss."""

    @jax.jit
    def step(rate: Any, now: list[Any], state: Any) -> tuple:
        loss, by_leaf = jax.value_and_grad(function)(now)
        updates, state = optax.adam(rate).update(by_leaf, state)
        return loss, optax.apply_updates(now, updates), state

    start = lowest = float(function(leaves))
    for rate in (1e-4, 1e-3, 1e-2):
        now, state = leaves, optax.adam(rate).init(leaves)
        for _ in range(steps):
            loss, now, state = step(rate, now, state)
            lowest = min(lowest, float(np.nan_to_num(loss, nan=np.inf)))
    return start - lowest


def read_history(history: Any) -> History:
    """Read a history in any of the forms that `diagnose` names."""
    if history is None:
        return History(None, None, None)
    if hasattr(history, "_asdict"):
        history = history._asdict()
    if not isinstance(history, Mapping):
        history = {"loss": history}
    history = dict(history)
    loss = next((history[k] for k in ("loss", "train_loss") if k in history), None)
    if loss is not None:
        loss = np.asarray(loss, float)
        if loss.ndim != 1 or not len(loss):
            raise ValueError(f"history must have one loss for each row; got shape {loss.shape}")
    moved = history.get("moved")
    ratio, weights = history.get("update_ratio", history.get("ratio")), history.get("weights")
    if moved is None and ratio is not None and weights is not None:
        # Steps between rows are not known: at least one each.
        moved = np.nancumsum(np.asarray(ratio, float) * np.asarray(weights, float), axis=0)
    if moved is not None:
        moved = np.asarray(moved, float)
        if moved.ndim != 2 or not len(moved):
            raise ValueError(
                f"history's moved must have shape (rows, layers); got shape {moved.shape}"
            )
        moved = moved[-1]
    if loss is None and moved is None:
        names = ", ".join(map(str, history)) or "nothing"
        raise ValueError(f"history must hold loss, moved or update_ratio and weights; got {names}")
    return History(loss, moved, history.get("names"))


class Moved(NamedTuple):
    """How far one array moved in training, RMS, beside its weights and its gradient now."""

    name: str
    moved: float
    weights: float
    gradient: float


def match(history: History, model: Model, measured: Measured, rows: Sequence[Layer]) -> list[Moved]:
    """Join what moved with the arrays of the parameters, by name or by their number."""
    if history.moved is None:
        return []
    subject = model.subject
    arrays = [
        Moved(name, np.nan, float(rms(np.asarray(leaf, np.float64))), float(rms(g)))
        for name, leaf, g in zip(subject.names, subject.leaves, measured.gradients, strict=True)
    ]
    layers = [arrays[i] for i in _main_leaves(model)]
    columns = None
    if history.names is not None:
        by_name = {a.name: a for a in arrays}
        if set(history.names) <= set(by_name):
            columns = [by_name[name] for name in history.names]
    for known in (layers, arrays):
        if columns is None and len(history.moved) == len(known):
            columns = known
    if columns is None:
        raise ValueError(
            f"history must have a column for each of {len(layers)} layers or {len(arrays)} arrays "
            f"of params; got {len(history.moved)}"
        )
    return [a._replace(moved=float(m)) for a, m in zip(columns, history.moved, strict=True)]


def _main_leaves(model: Model) -> list[int]:
    """The largest array of each layer, input side first, each once."""
    sites = sorted(model.anatomy.sites, key=lambda site: site.depth)
    mains = [
        max(sorted(site.leaves), key=lambda i: np.size(model.subject.leaves[i]))
        for site in sites
        if site.leaves
    ]
    return list(dict.fromkeys(mains))
