"""Everything that is measured for a diagnosis, in one place; nothing is judged here."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgkit.diagnose import evidence, signals, training
from vgkit.diagnose.layers import Site
from vgkit.diagnose.program import widen
from vgkit.diagnose.signals import Measured, Model
from vgkit.diagnose.subject import Subject, x64_context


class Facts(NamedTuple):
    """What was measured; None or NaN where it could not be.

    Attributes:
        rows: The layers, input side first.
        unseen: Operations with layers inside that were not looked into.
        examples: In the batch.
        loss: Mean loss.
        reference: Mean loss of a net that knows the targets but not which example has which.
        bad_params: Names of parameters that are not finite.
        bad_layer: First layer whose data is not finite; "the output" if all layers' are.
        overflow: Whether the model's own number format gives such values and float64 does not.
        lost: Largest share, over error signals and weight gradients, of entries that are 0 in the
            model's own format and too small for it in float64; of what; the format.
        opened: Flowing signals after three small steps, where they were exactly 0 before.
        dead: Share of units that are dead on the batch and on wide random inputs, by depth.
        off: Depths at which all units are dead on the batch.
        wide_inputs: Whether such inputs could be made.
        unmoved: Names of weights that get no gradient though their layer gets a signal, or no
            update though they have a gradient.
        descent: Share of the loss that the best step along the gradient takes away.
        ahead: Share of the loss that short runs of Adam on a copy take away, where `descent` is
            next to nothing though something was learnt.
        step: Gain of one step of the optimiser over that of the best multiple; the best multiple;
            its gain over the loss; the largest update-to-weight ratio.
        history: What the history says.
        moved: How far each array moved in it.
    """

    rows: list[evidence.Layer]
    unseen: list[str]
    examples: int
    loss: float
    reference: float
    bad_params: list[str]
    bad_layer: str | None = None
    overflow: bool = False
    lost: tuple[float, str, str] = (0.0, "", "")
    opened: list[float] | None = None
    dead: Mapping[int, float] = MappingProxyType({})
    off: frozenset[int] = frozenset()
    wide_inputs: bool = False
    unmoved: tuple[str, ...] = ()
    descent: float = np.nan
    ahead: float = np.nan
    step: tuple[float, float, float, float] | None = None
    history: training.History = training.History(None, None, None)
    moved: Sequence[training.Moved] = ()


def gather(subject: Subject, history: Any, optimiser: Any) -> Facts:
    """Measure everything."""
    past = training.read_history(history)
    bad = [
        name
        for name, leaf in zip(subject.names, subject.leaves, strict=True)
        if not np.all(np.isfinite(np.asarray(leaf)))
    ]
    if bad:
        return Facts([], [], subject.examples, np.nan, np.nan, bad, history=past)
    with x64_context(True):
        model = signals.prepare(subject, True)
        # In NumPy, whose arithmetic compiles nothing; and one program for all of a model.
        leaves, inputs, y = jax.tree.map(
            lambda part: widen(np.asarray(part)), (subject.leaves, subject.x, subject.y)
        )
        measure = jax.jit(signals.measurer(model))
        measured = signals.as_numpy(measure(leaves, inputs, y, 1.0))
        rows = evidence.layers(model, measured)
        facts = Facts(
            rows=rows,
            unseen=sorted(set(model.anatomy.unseen)),
            examples=subject.examples,
            loss=float(np.mean(measured.losses)),
            reference=_reference(subject, measured, y),
            bad_params=[],
            history=past,
            moved=training.match(past, model, measured, rows),
        )
        if not np.isfinite(facts.loss) or not _finite(measured.outputs):
            return facts._replace(bad_layer=_first_bad(model, measured))
        function = signals.mean_loss(model, inputs, y)
        path = training.descent(function, leaves, measured, subject.examples)
        facts = facts._replace(
            opened=_opened(model, measure, measured, rows, leaves, inputs, y),
            unmoved=_unreached(function, model, leaves, measured),
            descent=_share(training.best_gain(path)[0], facts.loss) if len(path) > 1 else 0.0,
        )
        if facts.descent < 0.02 and not facts.loss >= facts.reference:
            ahead = training.ahead(function, leaves)
            facts = facts._replace(ahead=_share(ahead, facts.loss))
        dead, off, wide_inputs = evidence.dead_units(model, measured, leaves, inputs)
        facts = facts._replace(dead=dead, off=off, wide_inputs=wide_inputs)
        if optimiser is not None:
            facts = _with_optimiser(facts, function, model, leaves, measured, optimiser)
    return _with_own_format(facts, subject, model, measured)


def _finite(tree: Any) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree) if leaf.dtype.kind == "f")


def _share(part: float, whole: float) -> float:
    return part / abs(whole) if whole else 0.0


def _reference(subject: Subject, measured: Measured, y: Any) -> float:
    """Loss of outputs that know all targets but not which example has which."""
    if subject.known_loss == "cross_entropy":
        share = np.bincount(np.ravel(y)) / np.size(y)
        share = share[share > 0]
        return float(-np.sum(share * np.log(share))) or np.nan
    if subject.known_loss == "mean_squared_error":
        return float(np.mean(np.var(np.asarray(y).reshape(len(y), -1), axis=0))) or np.nan
    turns = range(1, min(subject.examples, 9))
    mean = jax.jit(lambda outputs, y: jnp.mean(subject.losses(outputs, y)))
    turned = [
        mean(measured.outputs, jax.tree.map(lambda t, k=k: np.roll(t, k, axis=0), y)) for k in turns
    ]
    return float(np.mean(turned)) if turned else np.nan


def _first_bad(model: Model, measured: Measured) -> str:
    sites = sorted(enumerate(model.anatomy.sites), key=lambda pair: pair[1].depth)
    for i, site in sites:
        if not _finite(measured.records[f"h{i}"]):
            return f"the data of {site.name or model.subject.names[min(site.leaves)]}"
    return "the output"


def flowing(rows: Sequence[evidence.Layer]) -> list[float]:
    """What reaches each depth from above, output layer left out, input side first.

    It is the gradient at the cuts if there are enough of them, or else the largest error signal of
    the layers at each depth.
    """
    hidden = [row for row in rows if not row.output]
    by_depth: dict[int, list[evidence.Layer]] = {}
    for row in hidden:
        by_depth.setdefault(row.depth, []).append(row)
    cuts = {d: same[0].flowing for d, same in by_depth.items() if not np.isnan(same[0].flowing)}
    third = len(by_depth) / 3
    order = sorted(by_depth)
    ends = cuts and min(cuts) <= order[int(third)] and max(cuts) >= order[-1 - int(third)]
    if ends and len(cuts) >= 0.25 * len(by_depth) and (len(cuts) > 1 or len(by_depth) == 1):
        return [cuts[d] for d in sorted(cuts)]
    return [max(row.signal for row in by_depth[d]) for d in order]


def _opened(
    model: Model, measure: Any, measured: Measured, rows: Any, leaves: Any, inputs: Any, y: Any
) -> list[float] | None:
    """Flowing signals after three small steps along the gradient, where some were exactly 0."""
    flow = flowing(rows)
    if not flow or min(flow) > 0:
        return None
    for _ in range(3):
        leaves = [
            leaf - 0.01 * (evidence.rms(leaf) or 0.1) * g / (evidence.rms(g) or 1.0)
            for leaf, g in zip(leaves, measured.gradients, strict=True)
        ]
        measured = signals.as_numpy(measure(leaves, inputs, y, 1.0))
    return flowing(evidence.layers(model, measured))


def _unreached(
    function: Any, model: Model, leaves: list[Any], measured: Measured
) -> tuple[str, ...]:
    """Weights without any gradient, though their layer has a signal or they change the loss."""
    able = set()
    for i, site in enumerate(model.anatomy.sites):
        if np.any(measured.records[f"h{i}"]) and np.any(measured.signals[site.z]):
            able |= site.leaves
    random, loss = np.random.default_rng(0), float(function(leaves))
    names = []
    for leaf in sorted(frozenset().union(*(site.leaves for site in model.anatomy.sites))):
        if np.any(measured.gradients[leaf]):
            continue
        w = leaves[leaf]
        other = w + 0.01 * evidence.rms(w) * random.standard_normal(w.shape)
        change = float(function([*leaves[:leaf], other, *leaves[leaf + 1 :]])) - loss
        if leaf in able or abs(change) > 1e-9 * abs(loss):
            names.append(model.subject.names[leaf])
    return tuple(names)


def _with_optimiser(
    facts: Facts, function: Any, model: Model, leaves: Any, measured: Measured, optimiser: Any
) -> Facts:
    taken = training.steps(function, model, leaves, measured, optimiser)
    gain, multiple = training.best_gain(taken.losses)
    first = taken.losses[0] - taken.losses[1]
    still = [
        name
        for name, update, gradient in zip(
            model.subject.names, taken.updates, measured.gradients, strict=True
        )
        if not np.any(update) and np.any(gradient)
    ]
    if len(still) == sum(map(np.any, measured.gradients)):
        still = []  # the rate is 0 for all: no layer is singled out
    ratios = [
        float(evidence.rms(u) / evidence.rms(leaf))
        for u, leaf in zip(taken.updates, leaves, strict=True)
        if np.any(leaf)
    ]
    taken_share = _share(first, gain) if np.isfinite(first) else 1.0
    return facts._replace(
        unmoved=tuple(dict.fromkeys([*facts.unmoved, *still])),
        step=(taken_share, multiple, _share(gain, facts.loss), max(ratios, default=0.0)),
    )


def _with_own_format(facts: Facts, subject: Subject, wide: Model, measured: Measured) -> Facts:
    """The same in the model's own number format, for what it loses there."""
    model = signals.prepare(subject, False)
    found = model.anatomy.sites
    formats = {leaf.dtype for leaf in subject.leaves} | {
        model.shape(site.z).dtype for site in found
    }
    if formats == {jnp.dtype("float64")}:
        return facts
    pairs = [*zip(subject.names, subject.leaves, measured.gradients, strict=True)]
    pairs += [(_label(model, a), model.shape(a.z), measured.signals[b.z])
              for a, b in zip(found, wide.anatomy.sites, strict=True)]  # fmt: skip
    exact = [
        (name, like.dtype, np.asarray(array / subject.examples)) for name, like, array in pairs
    ]

    def forward(leaves: Any, inputs: Any, y: Any) -> Any:
        outputs = subject.model(leaves, inputs)
        return outputs, subject.losses(outputs, y)

    finite = _finite(signals.as_numpy(_as_written(forward)(subject.leaves, subject.x, subject.y)))
    for name, kind, array in exact:
        if np.max(np.abs(array), initial=0.0) > float(jnp.finfo(kind).max):
            return facts._replace(overflow=True, bad_layer=f"the gradient of {name}")
    if finite and not any(np.any(_small(array, kind)) for _, kind, array in exact):
        return facts
    own = _as_written(signals.measurer(model))(
        subject.leaves, subject.x, subject.y, 1 / subject.examples
    )
    own = signals.as_numpy(own)
    if not finite:
        return facts._replace(overflow=True, bad_layer=_first_bad(model, own))
    arrays = [*own.gradients, *(own.signals[site.z] for site in found)]
    lost = [
        (float(np.mean((mine == 0) & _small(array, kind))), name, str(kind))
        for (name, kind, array), mine in zip(exact, arrays, strict=True)
    ]
    return facts._replace(lost=max(lost, default=(0.0, "", "")))


def _as_written(function: Any) -> Any:
    """Compiled, but each operation rounded to its number format: nothing is kept in a wider one."""
    return jax.jit(function, compiler_options={"xla_allow_excess_precision": False})


def _label(model: Model, site: Site) -> str:
    return f"the error signal of {site.name or model.subject.names[min(site.leaves)]}"


def _small(array: np.ndarray, kind: Any) -> np.ndarray:
    """Where an array is so small that a format may lose it, but not beside its largest entry."""
    size, limits = np.abs(array), jnp.finfo(kind)
    least = float(limits.eps) * np.max(size, initial=0.0)
    return np.asarray((size > least) & (size < 1e3 * float(limits.tiny)))


def as_optimiser(optimiser: Any, learning_rate: Any) -> Any:
    """The optimiser given, or gradient descent at the learning rate given, or None."""
    if optimiser is not None:
        if not isinstance(optimiser, optax.GradientTransformation):
            raise ValueError(
                f"optimiser must be an optax.GradientTransformation; got {optimiser!r}"
            )
        return optimiser
    if learning_rate is None:
        return None
    if not isinstance(learning_rate, (int, float)) or not 0 <= learning_rate < np.inf:
        raise ValueError(f"learning_rate must be a number of at least 0; got {learning_rate!r}")
    return optax.sgd(learning_rate)
