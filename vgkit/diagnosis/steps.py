"""What steps do to the loss, tried on a copy of the model in its own number format."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgkit._numbers import l2
from vgkit.grads.measure import Problem
from vgkit.trace.traced import floating

SLOWER, FASTER = (0.1, 1e-2, 1e-3, 1e-4), (1e2, 1e3, 1e4, 1e5, 1e6)
WRECKED, WORTHWHILE, IDLE = 10.0, 0.05, 7e-4  # IDLE in each step
MOST, LEAST, WORK = 30, 6, 3e7  # steps, if each takes so many multiplications


class Rates(NamedTuple):
    """Losses over a few steps of the optimiser, and with its steps so many times as long."""

    given: np.ndarray
    others: Mapping[float, np.ndarray]


class Copy:
    """A model in its own number format, every operation rounded to it, as training has it."""

    def __init__(self, problem: Problem):
        model, traced = problem.traced.model, problem.traced
        self.parameters, self.tree, batch = model.parameters, model.tree, (model.inputs, problem.y)
        layers = [(la, model.parameters[la.weights]) for la in traced.layers if la.op.leaves]
        work = sum(traced.shape(la.op.z).size * w.size / la.units for la, w in layers)
        self.steps = int(np.clip(MOST * WORK / (work + 1), LEAST, MOST))

        def value(parameters: Any, inputs: Any, y: Any) -> Any:
            return jnp.mean(problem.losses(model.function(parameters, inputs), y))

        options = {"xla_allow_excess_precision": False, "xla_backend_optimization_level": 0}
        gradient = jax.jit(jax.value_and_grad(value), compiler_options=options)
        self.gradient: Callable = lambda parameters: gradient(parameters, *batch)
        self.value: Callable = lambda parameters: self.gradient(parameters)[0]

    def mover(self, optimiser: Any) -> tuple[Callable, Any]:
        """A function (parameters, loss, gradients, state, multiple) of one step, and the state."""
        optimiser, count = optax.with_extra_args_support(optimiser), len(self.parameters)

        def arrays(tree: Any) -> list[Any]:
            return [leaf for leaf in jax.tree.leaves(tree) if floating(leaf)]

        @jax.jit
        def move(now: Any, loss: Any, gradients: Any, state: Any, multiple: Any) -> tuple:
            known = {"value": loss, "value_fn": lambda params: self.value(arrays(params))}
            grad = self.tree(gradients)
            updates, state = optimiser.update(grad, state, self.tree(now), grad=grad, **known)
            if len(updates := arrays(updates)) != count:
                raise ValueError(
                    f"optimiser must update each of the {count} floating-point arrays of params; "
                    f"it updates {len(updates)}"
                )
            pairs = zip(now, updates, strict=True)
            return [a + (multiple * u).astype(a.dtype) for a, u in pairs], updates, state

        return move, optimiser.init(self.tree(self.parameters))

    def follow(self, move: Callable, state: Any, multiple: float, steps: int) -> tuple:
        """Losses before the first step and after each, until one is not finite; steps' sizes."""
        now, losses, sizes = self.parameters, [], []
        for _ in range(steps):
            loss, gradients = self.gradient(now)
            losses.append(float(loss))
            if not np.isfinite(losses[-1]):
                return np.array(losses), sizes
            now, updates, state = move(now, loss, gradients, state, multiple)
            sizes.append(float(l2(jnp.stack([l2(u) for u in updates]))))
        return np.array([*losses, float(self.value(now))]), sizes


def descent(copy: Copy, gradients: Sequence[Any]) -> float:
    """Share of the loss that the best step along the gradient takes away.

    From steps of a millionth of the weights to a thousand times their size.
    """
    size, norm = (l2(np.array([l2(np.asarray(v, float)) for v in part]))
                  for part in (copy.parameters, gradients))  # fmt: skip
    if not (np.isfinite(norm) and norm > 0 and size > 0):
        return 0.0
    far = size / norm * np.array([0.0, *10.0 ** np.arange(-6, 3.01)])
    pairs = list(zip(copy.parameters, gradients, strict=True))
    losses = [float(copy.value([a - jnp.asarray(k * g, a.dtype) for a, g in pairs])) for k in far]
    return _share(losses[0], np.nanmin(losses))


def adam(copy: Copy, steps: int = 30) -> float:
    """The same for short runs of Adam, at the best of three rates."""
    move, state = copy.mover(optax.adam(1.0))
    runs = [copy.follow(move, state, rate, steps)[0] for rate in (1e-4, 1e-3, 1e-2)]
    return max(_share(losses[0], np.nanmin(losses)) for losses in runs)


def rates(copy: Copy, move: Callable, state: Any, reference: float) -> Rates:
    """Follow the optimiser; where that leads nowhere, with shorter or longer steps as well."""
    given, sizes = copy.follow(move, state, 1.0, copy.steps)
    moved = [size for size in sizes if size > 0] or [0.0]
    bad, others = wrecked(given, reference), {}
    warms_up = moved[-1] > 3 * moved[0]  # then the rate is still small
    idle = gain(given) < IDLE * copy.steps and not warms_up
    for multiple in SLOWER if bad else FASTER if idle else ():
        run = others[multiple] = copy.follow(move, state, multiple, copy.steps)[0]
        if not wrecked(run, reference) and gain(run) > WORTHWHILE:
            break
    return Rates(given, others)


def late(losses: np.ndarray) -> float:
    """The loss at the end, without its ups and downs."""
    return float(np.median(losses[-max(2, len(losses) // 4) :]))


def gain(losses: np.ndarray) -> float:
    """Share of the loss that steps take away; none if they do not stay finite."""
    return _share(losses[0], late(losses)) if np.isfinite(losses).all() else -np.inf


def _share(before: Any, after: Any) -> float:
    return float((before - after) / abs(before)) if before else 0.0


def thrown(losses: np.ndarray, reference: float) -> bool:
    """Whether steps throw the loss far above where it was and where a constant answer has it."""
    return bool(not np.max(losses) <= WRECKED * np.nanmax([abs(losses[0]), reference]))


def wrecked(losses: np.ndarray, reference: float) -> bool:
    """Whether they do that, or leave the loss above both."""
    above = late(losses) > np.nanmax([abs(losses[0]), reference])
    return bool(thrown(losses, reference) or above)
