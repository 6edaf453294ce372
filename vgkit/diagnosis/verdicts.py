"""From what was measured to verdicts: every threshold stands here, with its reason."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from vgkit._typeset import typeset
from vgkit.diagnosis.facts import Facts, share, upstream_gradients

REMEDIES = {
    "non-finite": ("clipping", "initialisation", "rescaling"),
    "underflow": ("rescaling", "initialisation"),
    "no path": ("initialisation", "residual"),
    "dead units": ("leaky-relu", "initialisation"),
    "saturated": ("initialisation", "relu", "batch-normalisation"),
    "vanishing": ("initialisation", "residual", "batch-normalisation", "relu", "fewer-layers"),
    "exploding": ("clipping", "initialisation", "residual"),
    "collapsed geometry": ("residual", "batch-normalisation", "fewer-layers"),
    "frozen layer": (),
    "learning rate too low": (),
    "converged": (),
}
"""Every verdict but "healthy", gravest first, with the remedies to read about."""

VANISHING, EXPLODING = 1e-2, 1e2
DEAD, DEAD_ON_BATCH = 0.6, 0.75
SATURATED = 0.5
UNDERFLOWED = 0.05
COLLAPSED, COLLAPSED_LAYERS, COLLAPSED_LAST = 0.015, 3, 1e-4
LEARNT, STATIONARY = 0.02, 0.01
STEPS, TOO_LITTLE, WORTHWHILE = 100, 0.03, 0.02
UNMOVED = 1e-3


@dataclass(frozen=True)
class Finding:
    """One thing that stands in the way of learning, or says that nothing is left to learn.

    Attributes:
        verdict: Its name, a key of `REMEDIES`.
        sentence: What it means here.
        threshold: Where the line is drawn, and why there.
        confirm: What would confirm it.
    """

    verdict: str
    sentence: str
    threshold: str
    confirm: str

    @property
    def remedies(self) -> tuple[str, ...]:
        """What to read about."""
        return REMEDIES[self.verdict]


def judge(facts: Facts) -> list[Finding]:
    """All findings, gravest first."""
    found = sorted(_findings(facts), key=lambda finding: [*REMEDIES].index(finding.verdict))
    return [Finding(*map(typeset, astuple(finding))) for finding in found]


def spread(widths: Sequence[int]) -> float:
    """Standard deviation of ln G in an ideal random net of these widths.

    Each layer of width n adds about 5/n to the variance of ln of a squared norm.
    """
    return float(np.sqrt(5 * sum(1 / n for n in widths)) / 2)


def signal_path(facts: Facts) -> list[float]:
    """The upstream gradients; after a few steps if zeros of a fresh net gave way to them."""
    path = upstream_gradients(facts.layers)
    if facts.opened and min(facts.opened) > 0:
        return list(facts.opened)
    if facts.unmoved and 0 in path:  # behind a stop_gradient there is nothing to compare
        return path[len(path) - path[::-1].index(0) :]
    return path


def _findings(facts: Facts) -> Iterator[Finding]:
    if facts.bad_params or (facts.bad_layer and not facts.overflow):
        yield _non_finite(facts)
        return
    faults = [
        *_underflow(facts), *_dead(facts), *_saturated(facts), *_overflow(facts),
        *_path(facts), *_geometry(facts),
    ]  # fmt: skip
    yield from faults
    yield from _frozen(facts)
    converged = list(_converged(facts))
    yield from converged
    if not faults and not converged:
        yield from _slow(facts)


def _non_finite(facts: Facts) -> Finding:
    where = ", ".join(facts.bad_params) or facts.bad_layer
    kind = "parameters" if facts.bad_params else "values in float64"
    return Finding(
        "non-finite",
        f"There are infinite or missing numbers: {kind}, first in {where}.",
        "Any such number: one spoils all that is computed from it.",
        "Diagnose the last parameters that were finite.",
    )


def _underflow(facts: Facts) -> Iterator[Finding]:
    share, of, kind = facts.underflow
    if share > UNDERFLOWED:
        yield Finding(
            "underflow",
            f"{share:.0%} of {of} are 0 in {kind} and are not in float64.",
            f"More than {UNDERFLOWED:.0%} of a layer's entries, all of them below what {kind} can "
            "hold; single entries matter little.",
            "Multiply the loss by a large number: the zeros turn into numbers.",
        )


def _dead(facts: Facts) -> Iterator[Finding]:
    shares, on_batch, wide = facts.dead
    line = DEAD if wide else DEAD_ON_BATCH
    dead = {depth: share for depth, share in shares.items() if share > line}
    inputs = "the batch and for wide random inputs" if wide else "the batch"
    if on_batch and not dead:
        dead, inputs = dict.fromkeys(on_batch, 1.0), "the batch, though not for all inputs"
    if dead and facts.examples > 1:
        depth = max(dead, key=dead.__getitem__)
        yield Finding(
            "dead units",
            f"{dead[depth]:.0%} of the units of layer {depth} have no slope for all of {inputs}.",
            f"More than {line:.0%} of a layer, or all of it on the batch. In a healthy deep ReLU "
            "net inputs become alike, so that about half of the units are 0 on a whole batch.",
            "Other data: a dead unit stays at 0 for every input.",
        )


def _saturated(facts: Facts) -> Iterator[Finding]:
    flat = {layer.depth: layer.saturated for layer in facts.layers if layer.saturated > SATURATED}
    if flat:
        depth = max(flat, key=flat.__getitem__)
        yield Finding(
            "saturated",
            f"{flat[depth]:.0%} of the slopes of layer {depth} are below a tenth of the largest.",
            f"More than {SATURATED:.0%} of a layer: most of its units pass on less than a tenth "
            "of the signal that they could.",
            "Scale the layer's weights or inputs down: the signal before it grows.",
        )


def _overflow(facts: Facts) -> Iterator[Finding]:
    if facts.overflow:
        yield Finding(
            "exploding",
            f"Values leave the number format's range, first in {facts.bad_layer}; float64 holds "
            "them.",
            "Any infinite number.",
            "Scale the weights down: the numbers stay finite.",
        )


def _path(facts: Facts) -> Iterator[Finding]:
    path = signal_path(facts)
    if len(path) < 2 or facts.overflow:
        return
    if min(path) == 0:
        if not facts.dead.on_batch and facts.layers[-1].error_norm > 0:
            yield Finding(
                "no path",
                "No signal at all reaches some layers, in float64 too, and small steps open no "
                "way.",
                "Exactly 0 in float64.",
                "Look for weights that are all 0, for stop_gradient, or for a unit that is 0.",
            )
        return
    ratio = path[0] / path[-1]
    if not np.isfinite(ratio):
        return
    chance = 2 * spread([layer.units for layer in facts.layers if not layer.output])
    each = ratio ** (1 / (len(path) - 1))
    for verdict, beyond, compared, confirm in (
        ("vanishing", ratio < VANISHING, "of", "Freeze the first layers: training does no worse."),
        ("exploding", ratio > EXPLODING, "times", "Lower the learning rate until training is "
         "stable: the last layers hardly move."),
    ):  # fmt: skip
        if beyond and abs(np.log(ratio)) > chance:
            yield Finding(
                verdict,
                f"The error signal that reaches the first layers is {ratio:.1e} {compared} that "
                f"at the last hidden layer, a factor {each:.2g} a layer.",
                "A factor of 100 end to end, beyond twice the spread that a random net of these "
                "widths has anyway: the first layers then learn at a hundredth of the last ones' "
                "rate.",
                confirm,
            )


def _geometry(facts: Facts) -> Iterator[Finding]:
    by_depth: dict[int, float] = {}
    for layer in facts.layers:
        if not np.isnan(layer.cosine):
            by_depth[layer.depth] = min(1 - layer.cosine, by_depth.get(layer.depth, 2.0))
    if len(by_depth) < 2:
        return
    first, *apart = (by_depth[depth] for depth in sorted(by_depth))
    run = next((i for i, a in enumerate(reversed(apart)) if a >= COLLAPSED), len(apart))
    if apart[-1] < 0.1 * first and (run >= COLLAPSED_LAYERS or apart[-1] < COLLAPSED_LAST):
        yield Finding(
            "collapsed geometry",
            f"Different inputs look alike to the last layer: 1 - cosine is {apart[-1]:.1e} there "
            f"and {first:.1e} between the inputs.",
            f"Below {COLLAPSED} in the last {COLLAPSED_LAYERS} layers or more: one such layer is "
            "repaired by its neighbours' biases, several are not. Or below "
            f"{COLLAPSED_LAST} in the last one.",
            "Train the last layer alone: it can't tell the examples apart.",
        )


def _frozen(facts: Facts) -> Iterator[Finding]:
    names = list(facts.unmoved)
    able = [a for a in facts.moved if a.gradient > 0 and a.weights > 0 and a.moved >= 0]
    moving = [a for a in able if a.moved > 0]
    if len(able) > 1:
        far = np.median([a.moved for a in moving] or [0.0])
        rate = np.median([a.moved / a.gradient for a in moving] or [0.0])
        names += [
            a.name
            for a in able
            if a.moved < UNMOVED * far and a.moved / a.gradient < UNMOVED * rate
        ]
    if names:
        names = list(dict.fromkeys(names))
        yield Finding(
            "frozen layer",
            f"{', '.join(names[:4])}{' and more' if len(names) > 4 else ''} "
            "stay where they are though a signal reaches them.",
            f"No gradient or update at all, or a move below {UNMOVED} of the others' both in "
            "itself and for its gradient: a vanished layer moves in proportion to its gradient.",
            "Look for stop_gradient, a masked optimiser, or a rate of 0 for these weights.",
        )


def _converged(facts: Facts) -> Iterator[Finding]:
    ratio = facts.loss / facts.reference if facts.reference > 0 else np.nan
    stationary = facts.descent < STATIONARY and facts.adam < STATIONARY
    silent = facts.layers and facts.layers[-1].error_norm == 0 and facts.loss >= 0
    if 0 <= ratio < LEARNT or (ratio < 0.9 and stationary) or (silent and not ratio >= 0.9):
        yield Finding(
            "converged",
            f"The loss, {facts.loss:.2g}, is {ratio:.1e} of what a net reaches that ignores its "
            "inputs" + (", and further steps hardly lower it." if stationary else "."),
            f"Below {LEARNT} of the reference; or below 0.9 of it, and the best step along the "
            f"gradient and 30 steps of Adam on a copy gain less than {STATIONARY:.0%} of the loss.",
            "Train on: the loss stays, the test accuracy is what it is.",
        )


def _slow(facts: Facts) -> Iterator[Finding]:
    step = facts.step
    if step is not None:
        gain = share(step.best, facts.loss)
        reached = step.first / step.best if step.best and np.isfinite(step.first) else 1.0
        slow = STEPS * reached * gain < TOO_LITTLE and gain > WORTHWHILE and step.multiple >= STEPS
    else:
        slow = _hardly_moved(facts) and facts.descent > WORTHWHILE
    if slow:
        yield Finding(
            "learning rate too low",
            "The signals are healthy and longer steps lower the loss far more"
            + (f": the best step is {step.multiple:.0e} times as long." if step else "."),
            f"{STEPS} steps like the first gain less than {TOO_LITTLE:.0%} of the loss, and one "
            f"single step, at least {STEPS} times as long, more than {WORTHWHILE:.0%}; or the "
            f"whole history moved no layer by {UNMOVED} of its weights.",
            "Multiply the learning rate by ten, again and again, until the loss falls.",
        )


def _hardly_moved(facts: Facts) -> bool:
    """Whether the history shows a run that went almost nowhere."""
    loss = facts.losses
    if facts.moved:
        far = max((a.moved / a.weights for a in facts.moved if a.weights > 0), default=np.inf)
        return far < UNMOVED
    if loss is None or len(loss) < 5 or not np.isfinite(loss).all() or loss[0] <= 0:
        return False
    # Without the weights only a curve without noise shows how small the steps are.
    steps = np.diff(loss) / loss[0]
    return bool(np.all(steps <= 1e-6) and -steps.sum() < 0.01)
