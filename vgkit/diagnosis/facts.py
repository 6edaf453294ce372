"""Everything that is measured for a diagnosis; nothing is judged here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgkit._numbers import l2, rms
from vgkit.diagnosis.evidence import (
    DeadUnits,
    Experiment,
    LayerEvidence,
    as_numpy,
    dead_units,
    experiment,
    layer_evidence,
)
from vgkit.grads.measure import Problem, measure_model
from vgkit.trace import Traced
from vgkit.trace.jaxpr import enable_x64
from vgkit.trace.traced import floating

MULTIPLES = 10.0 ** np.arange(0, 9.01, 0.5)


class Underflow(NamedTuple):
    """Share of a gradient's entries that are 0 in a format and only too small for it in float64."""

    share: float = 0.0
    of: str = ""
    format: str = ""


class Moved(NamedTuple):
    """How far one array moved in training, RMS, beside its weights and its gradient now."""

    name: str
    moved: float
    weights: float
    gradient: float


class Search(NamedTuple):
    """How much a step lowers the loss, how much its best multiple does, and which that is."""

    first: float
    best: float
    multiple: float


class Facts(NamedTuple):
    """What was measured; None or NaN where it could not be."""

    examples: int
    losses: np.ndarray | None = None  # of the history, one number for each row
    bad_params: Sequence[str] = ()  # names of parameters that are not finite
    layers: Sequence[LayerEvidence] = ()  # input side first
    opaque: Sequence[str] = ()  # operations with layers inside that are not among these
    loss: float = np.nan
    reference: float = np.nan  # loss of a net that knows the targets, not which example has which
    moved: Sequence[Moved] = ()  # how far each array moved in the history
    bad_layer: str | None = None  # first place with values that are not finite
    overflow: bool = False  # whether they are so in the model's own format, but not in float64
    underflow: Underflow = Underflow()  # of the gradient that loses most in the model's own format
    opened: Sequence[float] | None = None  # upstream gradients after small steps, if 0 before
    dead: DeadUnits = DeadUnits()
    unmoved: Sequence[str] = ()  # weights without gradient or update, for no reason in the layers
    descent: float = np.nan  # share of the loss that the best step along the gradient takes away
    adam: float = np.nan  # the same for short runs of Adam on a copy, where `descent` is about 0
    step: Search | None = None  # the first step of the optimiser


def gather(problem: Problem, known_loss: str | None, history: Any, optimiser: Any) -> Facts:
    """Measure everything."""
    model = problem.traced.model
    losses, moved, columns = read_history(history)
    facts = Facts(model.examples, losses)
    arrays = zip(model.names, model.parameters, strict=True)
    bad = [name for name, array in arrays if not _finite(as_numpy(array))]
    if bad:
        return facts._replace(bad_params=bad)
    with enable_x64(True):
        here = experiment(problem)
        traced, measured = here.traced, here.measured
        facts = facts._replace(
            layers=layer_evidence(traced, measured),
            opaque=sorted(set(traced.graph.opaque)),
            loss=float(measured.loss),
            reference=_reference(problem, known_loss, here),
            moved=[] if moved is None else match(moved, columns, traced, measured.by_params),
        )
        if not np.isfinite(facts.loss) or not _finite(measured.outputs):
            return facts._replace(bad_layer=_first_bad(traced, measured.data))
        facts = facts._replace(
            opened=_opened(here, facts.layers),
            unmoved=_without_gradient(here),
            descent=share(_descent_gain(here), facts.loss),
            dead=dead_units(here),
        )
        if facts.descent < 0.02 and not facts.loss >= facts.reference:
            facts = facts._replace(adam=share(_adam_gain(here), facts.loss))
        if optimiser is not None:
            updates = _first_updates(here, optimiser)
            unmoved = dict.fromkeys([*facts.unmoved, *_without_update(here, updates)])
            facts = facts._replace(unmoved=tuple(unmoved), step=_search(here, updates))
    return _with_own_format(facts, problem, here)


def _finite(tree: Any) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree) if leaf.dtype.kind == "f")


def share(part: float, whole: float) -> float:
    """Part of a loss that may be 0."""
    return part / abs(whole) if whole else 0.0


def _reference(problem: Problem, known_loss: str | None, here: Experiment) -> float:
    """Loss of outputs that know all targets but not which example has which."""
    y = here.y
    if known_loss == "cross_entropy":
        share = np.bincount(np.ravel(y)) / np.size(y)
        share = share[share > 0]
        return float(-np.sum(share * np.log(share))) or np.nan
    if known_loss == "mean_squared_error":
        return float(np.mean(np.var(np.asarray(y).reshape(len(y), -1), axis=0))) or np.nan
    mean = jax.jit(lambda y: jnp.mean(problem.losses(here.measured.outputs, y)))
    turns = range(1, min(problem.traced.model.examples, 9))
    turned = [mean(jax.tree.map(lambda t, k=k: np.roll(t, k, axis=0), y)) for k in turns]
    return float(np.mean(turned)) if turned else np.nan


def _first_bad(traced: Traced, data: dict[int, Any]) -> str:
    for op in traced.graph.layers:  # in the order in which they are computed
        if not _finite(data[op.h]):
            return f"the data of {op.name or traced.model.names[min(op.leaves)]}"
    return "the output"


def upstream_gradients(layers: Sequence[LayerEvidence]) -> list[float]:
    """What reaches each depth from above, output layer left out, input side first.

    It is the gradient at the cuts if there are enough of them, or else the largest error signal of
    the layers at each depth.
    """
    by_depth: dict[int, list[LayerEvidence]] = {}
    for layer in layers:
        if not layer.output:
            by_depth.setdefault(layer.depth, []).append(layer)
    cuts = {depth: same[0].upstream_gradient for depth, same in by_depth.items()}
    cuts = {depth: norm for depth, norm in cuts.items() if not np.isnan(norm)}
    third = len(by_depth) / 3
    order = sorted(by_depth)
    ends = cuts and min(cuts) <= order[int(third)] and max(cuts) >= order[-1 - int(third)]
    if ends and len(cuts) >= 0.25 * len(by_depth) and (len(cuts) > 1 or len(by_depth) == 1):
        return [cuts[depth] for depth in sorted(cuts)]
    return [max(layer.error_norm for layer in by_depth[depth]) for depth in order]


def _opened(here: Experiment, layers: Sequence[LayerEvidence]) -> list[float] | None:
    """Upstream gradients after three small steps, where some were exactly 0."""
    upstream = upstream_gradients(layers)
    if not upstream or min(upstream) > 0:
        return None
    parameters, measured = here.parameters, here.measured
    for _ in range(3):
        parameters = [
            array - 0.01 * (rms(array) or 0.1) * g / (rms(g) or 1.0)
            for array, g in zip(parameters, measured.by_params, strict=True)
        ]
        measured = here.measure(parameters)
    return upstream_gradients(layer_evidence(here.traced, measured))


def _without_gradient(here: Experiment) -> list[str]:
    """Weights without any gradient, though their layer has a signal or they change the loss."""
    measured, ops = here.measured, here.traced.graph.layers
    able: set[int] = set()
    for op in ops:
        if np.any(measured.data[op.h]) and np.any(measured.by_probes[op.z]):
            able |= op.leaves
    random, loss = np.random.default_rng(0), float(measured.loss)
    names = []
    for i in sorted(set().union(*(op.leaves for op in ops))):
        if np.any(measured.by_params[i]):
            continue
        w, others = here.parameters[i], list(here.parameters)
        others[i] = w + 0.01 * rms(w) * random.standard_normal(w.shape)
        if i in able or abs(float(here.loss(others)) - loss) > 1e-9 * abs(loss):
            names.append(here.traced.model.names[i])
    return names


def _search(here: Experiment, step: Sequence[Any]) -> Search:
    """Follow a step 1, 3, 10, 31, ... up to 10^9 times as far as it leads."""
    pairs = list(zip(here.parameters, step, strict=True))
    losses = [float(here.loss([array + k * update for array, update in pairs])) for k in MULTIPLES]
    gains = here.measured.loss - np.array(losses)
    finite = np.where(np.isfinite(gains), gains, -np.inf)
    best = int(np.argmax(finite))
    return Search(gains[0], max(float(finite[best]), 0.0), float(MULTIPLES[best]))


def _descent_gain(here: Experiment) -> float:
    """How much the best step along the gradient lowers the loss.

    From steps of a millionth of the weights to a thousand times their size.
    """
    gradients = here.measured.by_params
    size, norm = (l2(np.array([l2(a) for a in tree])) for tree in (here.parameters, gradients))
    if not (np.isfinite(norm) and norm > 0 and size > 0):
        return 0.0
    return _search(here, [-g / norm * (1e-6 * size) for g in gradients]).best


def _adam_gain(here: Experiment, steps: int = 30) -> float:
    """How much short runs of Adam, at the best of three rates, lower the loss."""

    @jax.jit
    def step(rate: Any, now: list[Any], state: Any) -> tuple:
        value, gradients = jax.value_and_grad(here.loss)(now)
        updates, state = optax.adam(rate).update(gradients, state)
        return value, optax.apply_updates(now, updates), state

    start = lowest = float(here.measured.loss)
    for rate in (1e-4, 1e-3, 1e-2):
        now, state = here.parameters, optax.adam(rate).init(here.parameters)
        for _ in range(steps):
            value, now, state = step(rate, now, state)
            lowest = min(lowest, float(np.nan_to_num(value, nan=np.inf)))
    return start - lowest


def _first_updates(here: Experiment, optimiser: Any) -> list[np.ndarray]:
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


def _without_update(here: Experiment, updates: Sequence[Any]) -> list[str]:
    """Weights that the optimiser leaves as they are though they have a gradient."""
    gradients = here.measured.by_params
    rows = zip(here.traced.model.names, updates, gradients, strict=True)
    still = [name for name, update, g in rows if not np.any(update) and np.any(g)]
    # If it is so for all, the rate is 0, and no layer is singled out.
    return still if len(still) < sum(map(np.any, gradients)) else []


def _with_own_format(facts: Facts, problem: Problem, here: Experiment) -> Facts:
    """The same in the model's own number format, for what it loses there."""
    own, y = problem.traced if here.traced.wide else here.traced, problem.y
    model, ops = own.model, own.graph.layers
    # Each gradient of the mean loss: its name, its own format, its values in float64.
    rows = zip(model.names, model.parameters, here.measured.by_params, strict=True)
    exact = [(name, array.dtype, g) for name, array, g in rows]
    for op, wide in zip(ops, here.traced.graph.layers, strict=True):
        label = f"the error signal of {op.name or model.names[min(op.leaves)]}"
        signal = here.measured.by_probes[wide.z] / model.examples
        exact.append((label, own.shape(op.z).dtype, signal))
    if all(kind == jnp.float64 for _, kind, _ in exact):
        return facts

    def forward(parameters: Any, inputs: Any, y: Any) -> Any:
        outputs = model.function(parameters, inputs)
        return outputs, problem.losses(outputs, y)

    finite = _finite(as_numpy(_as_written(forward)(model.parameters, model.inputs, y)))
    for name, kind, array in exact:
        if np.max(np.abs(array), initial=0.0) > float(jnp.finfo(kind).max):
            return facts._replace(overflow=True, bad_layer=f"the gradient of {name}")
    if finite and not any(np.any(_small(array, kind)) for _, kind, array in exact):
        return facts
    measure = _as_written(measure_model(own, problem.losses, {op.h for op in ops}))
    back = as_numpy(measure(model.parameters, model.inputs, y))
    if not finite:
        return facts._replace(overflow=True, bad_layer=_first_bad(own, back.aux[1]))
    arrays = [*back.by_params, *(back.by_probes[op.z] for op in ops)]
    lost = [
        Underflow(float(np.mean((mine == 0) & _small(array, kind))), name, str(kind))
        for (name, kind, array), mine in zip(exact, arrays, strict=True)
    ]
    return facts._replace(underflow=max(lost, default=Underflow()))


def _as_written(function: Callable) -> Callable:
    """Compiled, but each operation rounded to its number format: nothing is kept in a wider one."""
    return jax.jit(function, compiler_options={"xla_allow_excess_precision": False})


def _small(array: np.ndarray, kind: Any) -> np.ndarray:
    """Where an array is so small that a format may lose it, but not beside its largest entry."""
    size, limits = np.abs(array), jnp.finfo(kind)
    least = float(limits.eps) * np.max(size, initial=0.0)
    return np.asarray((size > least) & (size < 1e3 * float(limits.tiny)))


def read_history(history: Any) -> tuple[np.ndarray | None, np.ndarray | None, Sequence[str]]:
    """Losses of every row; how far each column's weights have moved, RMS; the columns' names.

    From a history of `train.fit`, a record of `monitor.read`, or a sequence of losses.
    """

    def field(*names: str) -> Any:
        mapping = isinstance(history, Mapping)
        values = [history.get(n) if mapping else getattr(history, n, None) for n in names]
        return next((np.asarray(value, float) for value in values if value is not None), None)

    if history is None:
        return None, None, ()
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
    if moved is not None and (moved.ndim != 2 or not len(moved)):
        raise ValueError(f"history's moved must have shape (rows, layers); got shape {moved.shape}")
    return loss, None if moved is None else moved[-1], getattr(history, "names", ())


def match(
    moved: np.ndarray, names: Sequence[str], traced: Traced, gradients: Sequence[np.ndarray]
) -> list[Moved]:
    """Join what moved with the arrays of the parameters, by name or by their number."""
    model = traced.model
    arrays = [
        Moved(name, np.nan, float(rms(np.asarray(weights, np.float64))), float(rms(gradient)))
        for name, weights, gradient in zip(model.names, model.parameters, gradients, strict=True)
    ]
    weights = dict.fromkeys(la.weights for la in traced.layers if la.weights is not None)
    layers = [arrays[i] for i in weights]
    by_name = {array.name: array for array in arrays}
    named = [by_name[name] for name in names if name in by_name]
    columns = next((c for c in (named, layers, arrays) if len(c) == len(moved)), None)
    if columns is None:
        raise ValueError(
            f"history must have a column for each of {len(layers)} layers or {len(arrays)} arrays "
            f"of params; got {len(moved)}"
        )
    return [a._replace(moved=float(m)) for a, m in zip(columns, moved, strict=True)]
