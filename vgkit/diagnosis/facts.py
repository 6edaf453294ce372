"""Everything that is measured for a diagnosis; nothing is judged here."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgkit._numbers import rms
from vgkit.diagnosis.evidence import (
    DeadUnits,
    Experiment,
    LayerEvidence,
    dead_units,
    experiment,
    layer_evidence,
    signal_path,
)
from vgkit.diagnosis.paths import GROWING, Place, end, finite, first_non_finite, whole
from vgkit.diagnosis.steps import Copy, Rates, adam, descent, rates
from vgkit.grads.measure import Problem
from vgkit.trace.jaxpr import enable_x64

LEARNT = 0.02


class NonFinite(NamedTuple):
    """Numbers that are infinite or missing: which they are, and the operation they come from."""

    what: str
    place: Place | None = None
    overflow: bool = False  # whether they only leave the range of the model's number format


class Moved(NamedTuple):
    """How far one array moved in training, RMS, beside its weights and its gradient now."""

    name: str
    moved: float
    weights: float
    gradient: float


class History(NamedTuple):
    """What a training looked like, as far as it was told; see `read_history`."""

    losses: np.ndarray | None = None
    names: Sequence[str] = ()  # of the columns
    moved: np.ndarray | None = None  # how far each column's weights have moved, RMS
    sizes: np.ndarray | None = None  # RMS of the last updates
    unapplied: bool = False  # whether there are updates, and no weight ever changes
    bad: str = ""  # the first numbers that are not finite


class Facts(NamedTuple):
    """What was measured; None, NaN or empty where it could not be."""

    examples: int
    history: History = History()
    non_finite: NonFinite | None = None
    layers: Sequence[LayerEvidence] = ()  # input side first
    opaque: Sequence[str] = ()  # operations with layers inside that are not among these
    loss: float = np.nan
    reference: float = np.nan  # loss of a net that knows the targets, not which example has which
    path: Sequence[np.ndarray] = ()  # what reaches each depth, by example, see `signal_path`
    widths: Sequence[int] = ()  # of the hidden layers, each set of weights once
    opened: bool = False  # whether small steps brought a gradient to weights that had none
    silent: Sequence[str] = ()  # weights that have none and get none
    end: Place | None = None  # where the gradient ends on its way to them
    frozen: Sequence[str] = ()  # weights that the optimiser leaves as they are
    moved: Sequence[Moved] = ()  # how far each array moved in the history
    dead: DeadUnits = DeadUnits()
    underflow: tuple = (0.0, "", "")  # largest share of a gradient lost in a format; name; format
    descent: float = np.nan  # share of the loss that the best step along the gradient takes away
    adam: float = np.nan  # the same for short runs of Adam on a copy, where `descent` is about 0
    rates: Rates | None = None  # what the optimiser's steps do
    inputs: float = np.nan  # RMS of what goes into the first layers
    targets: float = np.nan  # RMS of targets like the outputs, over that of the outputs or 1

    @property
    def silenced(self) -> bool:
        """Whether no weights have a gradient at all."""
        return bool(self.silent) and all(layer.weight_gradient == 0 for layer in self.layers)


def gather(problem: Problem, known_loss: str | None, history: Any, optimiser: Any) -> Facts:
    """Measure everything."""
    model, told = problem.traced.model, read_history(history)
    facts, labels = Facts(model.examples, told), {name: name for name in model.names}
    for la in reversed([la for la in problem.traced.layers if la.weights is not None]):
        for part in (la.op.bias, la.weights):
            if part is not None:
                labels[model.names[part]] = f"layer {la.depth} ({model.names[part]})"
    for name, array in zip(model.names, model.parameters, strict=True):
        if not finite(array):
            return facts._replace(non_finite=NonFinite(f"the parameters of {labels[name]}"))
    copy, bad = Copy(problem), None
    loss, gradients = copy.gradient(model.parameters)
    if not finite((loss, gradients)):
        place = _place(lambda: first_non_finite(whole(problem), finite(loss)))
        bad = NonFinite("the gradient" if finite(loss) else "the loss", place)
    with enable_x64(True):
        here = experiment(problem)
        traced, measured = here.traced, here.measured
        facts = facts._replace(
            layers=layer_evidence(traced, measured),
            opaque=sorted(set(traced.graph.opaque)),
            loss=float(measured.loss),
            reference=_reference(problem, known_loss, here),
            moved=match(told, traced, measured.by_params),
            path=signal_path(traced, measured.by_probes),
            widths=_widths(traced),
            **_scales(here),
        )
        within = finite((measured.loss, measured.by_params))
        if bad or not within:
            bad = bad or NonFinite("values in float64")
            grows = bad.place is not None and bad.place.equation.name in GROWING
            return facts._replace(non_finite=bad._replace(overflow=within and grows))
        facts = facts._replace(dead=dead_units(here))
        facts = _silence(facts, here, problem, labels)
        lost = _underflow(problem, here, gradients)
    facts = facts._replace(descent=descent(copy, measured.by_params), underflow=lost)
    if facts.descent < 0.02 and not facts.loss >= facts.reference:
        facts = facts._replace(adam=adam(copy))
    if optimiser is not None:
        move, state = copy.mover(optimiser)
        _, updates, _ = move(model.parameters, loss, gradients, state, 1.0)
        pairs = list(zip(model.names, updates, gradients, strict=True))
        for name, update, _ in pairs:
            if not finite(update):
                what = f"the optimiser's first update of {labels[name]}"
                return facts._replace(non_finite=NonFinite(what))
        still = [labels[n] for n, update, g in pairs if not np.any(update) and np.any(g)]
        # If it is so for all, the rate is 0, and no layer is singled out.
        some = still if len(still) < sum(bool(np.any(g)) for g in gradients) else []
        facts = facts._replace(frozen=some, rates=rates(copy, move, state, facts.reference))
    return facts


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


def _widths(traced: Any) -> list[int]:
    """Units of the hidden layers; weights that are used in every step of a loop count once."""
    found = {}
    for layer in traced.layers:
        own_rows = layer.op.loop and layer.op.leaves & layer.op.loop.rows
        if not layer.output:
            found[layer.op.leaves or layer.op.z, own_rows and layer.iteration] = layer.units
    return list(found.values())


def _scales(here: Experiment) -> dict[str, float]:
    """How large the inputs of the first layers are, and the targets beside the outputs."""
    first = [here.measured.data[op.h] for op in here.traced.graph.layers if op.depth == 1]
    first = [float(rms(h.astype(float))) for h in first]
    scales = {"inputs": max(first, default=np.nan)}
    outputs, y = map(jax.tree.leaves, (here.measured.outputs, here.y))
    both = [*outputs, *y]
    if len(both) == 2 and all(v.dtype.kind == "f" for v in both) and y[0].size == outputs[0].size:
        scales["targets"] = float(rms(y[0]) / max(1.0, rms(outputs[0])))
    return scales


def _silence(facts: Facts, here: Experiment, problem: Problem, labels: Mapping[str, str]) -> Facts:
    """Weights without any gradient, whether small steps bring one, and else where it ends."""
    traced, later = here.traced, here.measured
    used = sorted(set().union(*(op.leaves for op in traced.graph.layers)))
    silent = [i for i in used if not np.any(later.by_params[i])]
    if not any(map(np.any, later.by_params)):
        silent = [] if _nothing_left(facts, here) else [*range(len(here.parameters))]
    elif silent:
        parameters = here.parameters
        for _ in range(3):  # zeros of a fresh network give way to them
            parameters = [a - 0.01 * (rms(a) or 0.1) * g / (rms(g) or 1.0)
                          for a, g in zip(parameters, later.by_params, strict=True)]  # fmt: skip
            later = here.measure(parameters)
        if any(np.any(later.by_params[i]) for i in silent):
            facts = facts._replace(opened=True, path=signal_path(traced, later.by_probes))
        silent = [i for i in silent if not np.any(later.by_params[i])]
    if not silent or (facts.dead.on_batch and facts.examples > 1):
        return facts
    place = _place(lambda: end(whole(problem, wide=True), silent))
    return facts._replace(silent=[labels[traced.model.names[i]] for i in silent], end=place)


def _place(search: Callable[[], Place | None]) -> Place | None:
    """What a search finds, if the model can be looked into, in float64 if it has to."""
    with contextlib.suppress(Exception):
        return search()
    return None


def _nothing_left(facts: Facts, here: Experiment) -> bool:
    """Whether the loss is as low as it can be, and would be higher for other outputs."""
    if not facts.loss <= LEARNT * np.nan_to_num(facts.reference) and facts.loss != 0:
        return False
    random, loss = np.random.default_rng(0), jax.jit(here.losses)

    def other(array: np.ndarray) -> np.ndarray:
        spread = 10 * (1 + np.std(array)) * random.standard_normal(array.shape)
        return (spread - array).astype(array.dtype)

    now, y = here.measured.outputs, here.y
    return any(np.any(loss(jax.tree.map(other, now), y) > loss(now, y)) for _ in range(3))


def _underflow(problem: Problem, here: Experiment, own: Sequence[Any]) -> tuple:
    """Largest share of a gradient that is 0 in the model's format and only too small for it."""

    def lost(exact: np.ndarray, mine: Any) -> float:
        size, limits = np.abs(exact), jnp.finfo(mine.dtype)
        least = float(limits.eps) * np.max(size)  # what is less does not count beside the largest
        small = (size > least) & (size < 1e3 * float(limits.tiny))
        return float(np.mean((np.asarray(mine) == 0) & small))

    rows = zip(problem.traced.model.names, here.measured.by_params, own, strict=True)
    return max((lost(exact, mine), name, str(mine.dtype)) for name, exact, mine in rows)


def read_history(history: Any) -> History:
    """Take apart a history of `train.fit`, a record of `monitor.read`, or a sequence of losses."""

    def field(*names: str) -> Any:
        mapping = isinstance(history, Mapping)
        values = [history.get(n) if mapping else getattr(history, n, None) for n in names]
        return next((np.asarray(value, float) for value in values if value is not None), None)

    if history is None:
        return History()
    loss, moved, sizes = field("loss", "train_loss"), field("moved"), field("rms")
    weights, ratio = field("weights"), field("update_ratio", "ratio")
    if sizes is None and ratio is not None and weights is not None:
        sizes = ratio * weights
    if moved is None and sizes is not None:
        moved = np.nancumsum(sizes, axis=0)  # at least one step from row to row
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
    told = History(loss, getattr(history, "names", ()))
    for kind, rows in (("loss", loss), ("row", moved if sizes is None else sizes)):
        if rows is not None and not np.isfinite(rows).all():
            row = int(np.argmin(np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)))
            told = told._replace(bad=f"the history's {kind} {row + 1}")
    if sizes is not None:
        still = weights is not None and len(weights) > 1 and not np.any(np.diff(weights, axis=0))
        unapplied = still and bool(np.any(sizes[:-1] > 1e-4 * weights[:-1]))
        told = told._replace(sizes=sizes[-1], unapplied=unapplied)
    return told if moved is None else told._replace(moved=moved[-1])


def match(told: History, traced: Any, gradients: Sequence[np.ndarray]) -> list[Moved]:
    """Join what moved with the arrays of the parameters, by name or by their number."""
    if told.moved is None:
        return []
    model = traced.model
    weights = [np.asarray(array, np.float64) for array in model.parameters]
    sizes = zip(model.names, map(rms, weights), map(rms, gradients), strict=True)
    arrays = [Moved(name, np.nan, float(size), float(gradient)) for name, size, gradient in sizes]
    layers = [arrays[i] for i in dict.fromkeys(la.weights for la in traced.layers) if i is not None]
    named = [[a for a in arrays if f"/{a.name}".endswith(f"/{name}")] for name in told.names]
    columns = [found[0] if found else None for found in named]
    columns = next((c for c in (columns, layers, arrays) if len(c) == len(told.moved)), None)
    if columns is None:
        raise ValueError(
            f"history must have a column for each of {len(layers)} layers or {len(arrays)} arrays "
            f"of params; got {len(told.moved)}"
        )
    rows = zip(columns, told.moved, told.moved if told.sizes is None else told.sizes, strict=True)
    known = [(array._replace(moved=float(far)), size) for array, far, size in rows if array]
    apart = [abs(np.log(size / a.gradient)) for a, size in known if size * a.gradient > 0]
    # A monitor that stands first in the optimiser has seen gradients: nothing is known of moves.
    seen_gradients = told.sizes is not None and apart and np.median(apart) < 1
    return [] if seen_gradients else [array for array, _ in known]
