"""From what was measured to verdicts: every threshold stands here, with its reason."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from vgkit.diagnose.facts import Facts, flowing

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
"""Every verdict but "healthy", gravest first, with the pages under `chapters/solutions`."""

VANISHING, EXPLODING = 1e-2, 1e2
DEAD, DEAD_ON_BATCH = 0.6, 0.75
SATURATED = 0.5
LOST = 0.05
ALIKE, ALIKE_LAYERS, ALIKE_ALONE = 0.015, 3, 1e-4
LEARNT, STATIONARY = 0.02, 0.01
STEPS, TOO_LITTLE, WORTH_IT = 100, 0.03, 0.02
UNMOVED = 1e-3


class Finding(NamedTuple):
    """One thing that was found.

    Attributes:
        verdict: Its name.
        sentence: What it means here.
        evidence: The numbers that it rests on.
        threshold: Where the line is drawn, and why there.
        confirm: What would confirm it.
        remedies: Pages to read, under `chapters/solutions`.
    """

    verdict: str
    sentence: str
    evidence: dict[str, Any]
    threshold: str
    confirm: str
    remedies: tuple[str, ...]


def judge(facts: Facts) -> list[Finding]:
    """All findings, gravest first."""
    found = [Finding(*part, REMEDIES[part[0]]) for part in _parts(facts)]
    order = list(REMEDIES)
    return sorted(found, key=lambda finding: order.index(finding.verdict))


def noise(widths: Sequence[int]) -> float:
    """Standard deviation of ln G in an ideal random net of these widths.

    Each layer of width n adds about 5/n to the variance of ln of a squared norm.
    """
    return float(np.sqrt(5 * sum(1 / n for n in widths)) / 2)


def _parts(facts: Facts) -> Iterator[tuple]:
    if facts.bad_params or (facts.bad_layer and not facts.overflow):
        yield _non_finite(facts)
        return
    faults = [*_numbers(facts), *_units(facts), *_flow(facts), *_geometry(facts)]
    yield from faults
    yield from _frozen(facts)
    done = _converged(facts)
    if done:
        yield done
    elif not faults:
        yield from _slow(facts)


def _non_finite(facts: Facts) -> tuple:
    what = ", ".join(facts.bad_params) or facts.bad_layer
    kind = "parameters" if facts.bad_params else "values in float64"
    return (
        "non-finite",
        f"There are infinite or missing numbers: {kind}, first in {what}.",
        {"where": what},
        "Any such number: one spoils all that is computed from it.",
        "Diagnose the last parameters that were finite.",
    )


def _numbers(facts: Facts) -> Iterator[tuple]:
    share, what, kind = facts.lost
    if share > LOST:
        yield (
            "underflow",
            f"{share:.0%} of {what} are 0 in {kind} and are not in float64.",
            {"share": share, "of": what, "format": kind},
            f"More than {LOST:.0%} of a layer's entries, all of them below what {kind} can hold; "
            "single entries matter little.",
            "Multiply the loss by a large number: the zeros turn into numbers.",
        )


def _units(facts: Facts) -> Iterator[tuple]:
    line = DEAD if facts.wide_inputs else DEAD_ON_BATCH
    dead = {depth: share for depth, share in facts.dead.items() if share > line}
    inputs = "the batch and for wide random inputs" if facts.wide_inputs else "the batch"
    if facts.off and not dead:
        dead, inputs = dict.fromkeys(facts.off, 1.0), "the batch, though not for all inputs"
    if dead and facts.examples > 1:
        depth = max(dead, key=dead.__getitem__)
        yield (
            "dead units",
            f"{dead[depth]:.0%} of the units of layer {depth} have no slope for all of {inputs}.",
            {"layers": dead},
            f"More than {line:.0%} of a layer, or all of it on the batch. In a healthy deep ReLU "
            "net inputs become alike, so that about half of the units are 0 on a whole batch.",
            "Other data: a dead unit stays at 0 for every input.",
        )
    flat = {row.depth: row.saturated for row in facts.rows if row.saturated > SATURATED}
    if flat:
        depth = max(flat, key=flat.__getitem__)
        yield (
            "saturated",
            f"{flat[depth]:.0%} of the slopes of layer {depth} are below a tenth of the largest.",
            {"layers": flat},
            f"More than {SATURATED:.0%} of a layer: most of its units pass on less than a tenth "
            "of the signal that they could.",
            "Scale the layer's weights or inputs down: the signal before it grows.",
        )


def signal_path(facts: Facts) -> list[float]:
    """The flowing signal; after a few steps if zeros of a fresh net gave way to it."""
    flow = flowing(facts.rows)
    if facts.opened and min(facts.opened) > 0:
        return facts.opened
    if facts.unmoved and 0 in flow:  # behind a stop_gradient there is nothing to compare
        return flow[len(flow) - flow[::-1].index(0) :]
    return flow


def _flow(facts: Facts) -> Iterator[tuple]:
    flow = signal_path(facts)
    if facts.overflow:
        yield (
            "exploding",
            f"Values leave the number format's range, first in {facts.bad_layer}; float64 holds "
            "them.",
            {"where": facts.bad_layer},
            "Any infinite number.",
            "Scale the weights down: the numbers stay finite.",
        )
    if len(flow) < 2 or facts.overflow:
        return
    if min(flow) == 0:
        if not facts.off and facts.rows[-1].signal > 0:
            yield (
                "no path",
                "No signal at all reaches some layers, in float64 too, and small steps open no "
                "way.",
                {"flowing": flow},
                "Exactly 0 in float64.",
                "Look for weights that are all 0, for stop_gradient, or for a unit that is 0.",
            )
        return
    ratio = flow[0] / flow[-1]
    if not np.isfinite(ratio):
        return
    luck = noise([row.units for row in facts.rows if not row.output])
    each = ratio ** (1 / (len(flow) - 1))
    numbers = {"G": ratio, "per layer": each, "spread of ln G by width": luck}
    reason = (
        "A factor of 100 end to end, beyond twice the spread that a random net of these widths "
        "has anyway: the first layers then learn at a hundredth of the last ones' rate."
    )
    if ratio < VANISHING and np.log(ratio) < -2 * luck:
        yield (
            "vanishing",
            f"The error signal that reaches the first layers is {ratio:.1e} of that at the last "
            f"hidden layer, a factor {each:.2g} a layer.",
            numbers,
            reason,
            "Freeze the first layers: training does no worse.",
        )
    if ratio > EXPLODING and np.log(ratio) > 2 * luck:
        yield (
            "exploding",
            f"The error signal that reaches the first layers is {ratio:.1e} times that at the last "
            f"hidden layer, a factor {each:.2g} a layer.",
            numbers,
            reason,
            "Lower the learning rate until training is stable: the last layers hardly move.",
        )


def _geometry(facts: Facts) -> Iterator[tuple]:
    by_depth: dict[int, float] = {}
    for row in facts.rows:
        if not np.isnan(row.alike):
            by_depth[row.depth] = min(1 - row.alike, by_depth.get(row.depth, 2.0))
    if len(by_depth) < 2:
        return
    first, *apart = (by_depth[d] for d in sorted(by_depth))
    run = next((i for i, a in enumerate(reversed(apart)) if a >= ALIKE), len(apart))
    if apart[-1] < 0.1 * first and (run >= ALIKE_LAYERS or apart[-1] < ALIKE_ALONE):
        yield (
            "collapsed geometry",
            f"Different inputs look alike to the last layer: 1 - cosine is {apart[-1]:.1e} there "
            f"and {first:.1e} between the inputs.",
            {"1 - cosine": apart, "of the inputs": first, "layers alike": run},
            f"Below {ALIKE} in the last {ALIKE_LAYERS} layers or more: one such layer is repaired "
            f"by its neighbours' biases, several are not. Or below {ALIKE_ALONE} in the last one.",
            "Train the last layer alone: it can't tell the examples apart.",
        )


def _frozen(facts: Facts) -> Iterator[tuple]:
    names = list(facts.unmoved)
    able = [a for a in facts.moved if a.gradient > 0 and a.weights > 0 and a.moved >= 0]
    if len(able) > 1:
        far = np.median([a.moved for a in able if a.moved > 0] or [0.0])
        rate = np.median([a.moved / a.gradient for a in able if a.moved > 0] or [0.0])
        names += [
            a.name
            for a in able
            if a.moved < UNMOVED * far and a.moved / a.gradient < UNMOVED * rate
        ]
    if names:
        names = list(dict.fromkeys(names))
        yield (
            "frozen layer",
            f"{', '.join(names[:4])}{' and more' if len(names) > 4 else ''} "
            "stay where they are though a signal reaches them.",
            {"weights": names},
            f"No gradient or update at all, or a move below {UNMOVED} of the others' both in "
            "itself and for its gradient: a vanished layer moves in proportion to its gradient.",
            "Look for stop_gradient, a masked optimiser, or a rate of 0 for these weights.",
        )


def _converged(facts: Facts) -> tuple | None:
    ratio = facts.loss / facts.reference if facts.reference > 0 else np.nan
    stationary = facts.descent < STATIONARY and facts.ahead < STATIONARY
    silent = facts.rows and facts.rows[-1].signal == 0 and facts.loss >= 0
    if not (0 <= ratio < LEARNT or (ratio < 0.9 and stationary) or (silent and not ratio >= 0.9)):
        return None
    return (
        "converged",
        f"The loss, {facts.loss:.2g}, is {ratio:.1e} of what a net reaches that ignores its "
        "inputs" + (", and further steps hardly lower it." if stationary else "."),
        {"loss": facts.loss, "reference": facts.reference, "best gain": facts.descent,
         "gain of short runs": facts.ahead},
        f"Below {LEARNT} of the reference; or below 0.9 of it, and the best step along the "
        f"gradient and 30 steps of Adam on a copy gain less than {STATIONARY:.0%} of the loss.",
        "Train on: the loss stays, the test accuracy is what it is.",
    )  # fmt: skip


def _slow(facts: Facts) -> Iterator[tuple]:
    numbers: dict[str, Any] = {}
    if facts.step is not None:
        share, multiple, worth, ratio = facts.step
        numbers = {"share of the best step's gain": share, "best multiple": multiple,
                   "best gain": worth, "update-to-weight ratio": ratio}  # fmt: skip
        slow = STEPS * share * worth < TOO_LITTLE and worth > WORTH_IT and multiple >= STEPS
    else:
        slow = _hardly_moved(facts) and facts.descent > WORTH_IT
        numbers = {"best gain": facts.descent}
    if slow:
        yield (
            "learning rate too low",
            "The signals are healthy and longer steps lower the loss far more"
            + (f": the best step is {multiple:.0e} times as long." if facts.step else "."),
            numbers,
            f"{STEPS} steps like the first gain less than {TOO_LITTLE:.0%} of the loss, and one "
            f"single step, at least {STEPS} times as long, more than {WORTH_IT:.0%}; or the whole "
            f"history moved no layer by {UNMOVED} of its weights.",
            "Multiply the learning rate by ten, again and again, until the loss falls.",
        )


def _hardly_moved(facts: Facts) -> bool:
    """Whether the history shows a run that went almost nowhere."""
    loss = facts.history.loss
    if facts.moved:
        far = max((a.moved / a.weights for a in facts.moved if a.weights > 0), default=np.inf)
        return far < UNMOVED
    if loss is None or len(loss) < 5 or not np.isfinite(loss).all() or loss[0] <= 0:
        return False
    # Without the weights only a curve without noise shows how small the steps are.
    steps = np.diff(loss) / loss[0]
    return bool(np.all(steps <= 1e-6) and -steps.sum() < 0.01)
