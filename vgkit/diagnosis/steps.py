"""What steps of descent and of an optimiser do to the loss; nothing is trained."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from vgkit.diagnosis.evidence import Experiment
from vgkit.trace.model import floating

MULTIPLES = 10.0 ** np.arange(0, 9.01, 0.5)


class Search(NamedTuple):
    """How much a step lowers the loss, how much its best multiple does, and which that is."""

    first: float
    best: float
    multiple: float


def search(here: Experiment, step: Sequence[Any]) -> Search:
    """Follow a step 1, 3, 10, 31, ... up to 10^9 times as far as it leads."""
    losses = [here.loss(here.parameters)]
    for k in MULTIPLES:
        pairs = zip(here.parameters, step, strict=True)
        losses.append(here.loss([array + k * update for array, update in pairs]))
    start, *later = map(float, losses)
    gains = start - np.array(later)
    finite = np.where(np.isfinite(gains), gains, -np.inf)
    best = int(np.argmax(finite))
    return Search(gains[0], max(float(finite[best]), 0.0), float(MULTIPLES[best]))


def descent_gain(here: Experiment) -> float:
    """How much the best step along the gradient lowers the loss.

    From steps of a millionth of the weights to a thousand times their size.
    """
    gradients = here.measured.by_params
    size = np.sqrt(sum(float(np.sum(array**2)) for array in here.parameters))
    # Scaled before it is squared: the squares of a vanished gradient may be too small.
    largest = max((float(np.max(np.abs(g))) for g in gradients), default=0.0)
    if not (np.isfinite(largest) and largest > 0 and size > 0):
        return 0.0
    scaled = [g / largest for g in gradients]
    norm = np.sqrt(sum(float(np.sum(g**2)) for g in scaled))
    return search(here, [-g * (1e-6 * size / norm) for g in scaled]).best


def adam_gain(here: Experiment, steps: int = 30) -> float:
    """How much short runs of Adam, at the best of three rates, lower the loss."""

    @jax.jit
    def step(rate: Any, now: list[Any], state: Any) -> tuple:
        value, gradients = jax.value_and_grad(here.loss)(now)
        updates, state = optax.adam(rate).update(gradients, state)
        return value, optax.apply_updates(now, updates), state

    start = lowest = float(here.loss(here.parameters))
    for rate in (1e-4, 1e-3, 1e-2):
        now, state = here.parameters, optax.adam(rate).init(here.parameters)
        for _ in range(steps):
            value, now, state = step(rate, now, state)
            lowest = min(lowest, float(np.nan_to_num(value, nan=np.inf)))
    return start - lowest


def first_updates(here: Experiment, optimiser: Any) -> list[np.ndarray]:
    """Updates of the first step of a fresh optimiser."""
    tree, count = here.traced.model.tree, len(here.parameters)
    optimiser = optax.with_extra_args_support(optimiser)

    @jax.jit
    def update(grad: Any, params: Any) -> Any:
        known = {"grad": grad, "value_fn": lambda params: here.loss(jax.tree.leaves(params))}
        known["value"] = known["value_fn"](params)
        return optimiser.update(grad, optimiser.init(params), params, **known)[0]

    updates = jax.tree.leaves(update(tree(here.measured.by_params), tree(here.parameters)))
    updates = [np.asarray(leaf) for leaf in updates if floating(leaf)]
    if len(updates) != count:
        raise ValueError(
            f"optimiser must update each of the {count} floating-point arrays of params; "
            f"it updates {len(updates)}"
        )
    return updates


def without_update(here: Experiment, updates: Sequence[Any]) -> list[str]:
    """Weights that the optimiser leaves as they are though they have a gradient."""
    gradients = here.measured.by_params
    rows = zip(here.traced.model.names, updates, gradients, strict=True)
    still = [name for name, update, g in rows if not np.any(update) and np.any(g)]
    # If it is so for all, the rate is 0, and no layer is singled out.
    return still if len(still) < sum(map(np.any, gradients)) else []
