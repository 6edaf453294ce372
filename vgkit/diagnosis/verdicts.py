"""From what was measured to verdicts: every threshold stands here, with its reason."""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vgkit._numbers import l2
from vgkit._typeset import typeset
from vgkit.diagnosis import steps
from vgkit.diagnosis.facts import LEARNT, Facts
from vgkit.diagnosis.steps import IDLE, WORTHWHILE, gain, late, thrown, wrecked

VANISHING, EXPLODING, DEAD, SATURATED, UNDERFLOWED = 1e-2, 1e2, 0.5, 0.5, 0.05
COLLAPSED, COLLAPSED_LAYERS, COLLAPSED_LAST = 0.015, 3, 1e-4
LARGE, FAR_OFF = 10.0, 10.0
STATIONARY, TOO_LITTLE, UNMOVED = 0.01, 2e-4, 1e-3


class Line(NamedTuple):
    """What is measured for a verdict, where the line is, why there, and what would confirm it."""

    measured: str
    line: str
    reason: str
    confirm: str
    remedies: tuple[str, ...]


def _lines() -> dict[str, Line]:
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    texts = [{k: v.format(**vars(steps) | globals()) for k, v in of.items() if k != "remedies"}
             for of in table.values()]  # fmt: skip
    rows = zip(table.items(), texts, strict=True)
    return {name: Line(**text, remedies=tuple(of["remedies"])) for (name, of), text in rows}


LINES = _lines()
"""What every verdict but "healthy" rests on, gravest first."""
REMEDIES = {verdict: line.remedies for verdict, line in LINES.items()}
"""The remedies to read about, by verdict, gravest first."""


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
    found: dict[str, str] = {}
    for verdict, sentence in _findings(facts):
        found.setdefault(verdict, sentence)
    return [
        Finding(verdict, *map(typeset, (found[verdict], f"{of.line}. {of.reason}", of.confirm)))
        for verdict, of in LINES.items()
        if verdict in found
    ]


def spread(widths: Sequence[int]) -> float:
    """Standard deviation of ln G in an ideal random net of these widths.

    Each layer of width n adds about 5/n to the variance of ln of a squared norm.
    """
    return float(np.sqrt(5 * sum(1 / n for n in widths)) / 2)


Verdicts = Iterator[tuple[str, str]]
"""Names of verdicts, each with what it means here."""


def _findings(facts: Facts) -> Verdicts:
    told = [*_non_finite(facts), *_frozen(facts)]
    yield from told
    if facts.non_finite:
        return
    faults = [*_underflow(facts), *_dead(facts), *_saturated(facts), *_signal(facts),
              *_geometry(facts), *_silent(facts)]  # fmt: skip
    yield from faults
    converged = [] if facts.silenced else [*_converged(facts)]
    yield from converged
    if not {verdict for verdict, _ in faults} & {"exploding", "no path"}:
        yield from _rate(facts, sound=not (faults or converged or told))


def _layer(facts: Facts, depth: int) -> str:
    return next(f"layer {depth} ({la.name})" for la in facts.layers if la.depth >= depth)


def _names(names: Sequence[str]) -> str:
    return f"{', '.join(names[:4])}{' and more' if len(names) > 4 else ''}"


def _non_finite(facts: Facts) -> Verdicts:
    bad, where = facts.non_finite, facts.history.bad
    if bad or where:
        source = f"; the first operation that makes one is {bad.place}" if bad and bad.place else ""
        held = " float64 holds them." if bad and bad.overflow else ""
        what = bad.what if bad else where
        yield "non-finite", f"There are infinite or missing numbers in {what}{source}.{held}"
        if held:
            yield "exploding", f"Values leave the number format's range, first in {bad.place}."


def _underflow(facts: Facts) -> Verdicts:
    share, of, kind = facts.underflow
    if share > UNDERFLOWED:
        yield "underflow", f"{share:.0%} of {of} are 0 in {kind} and are not in float64."


def _dead(facts: Facts) -> Verdicts:
    shares, units, on_batch = facts.dead
    dead = {d: share for d, share in shares.items()
            if share > min(DEAD + 1.5 / units[d] ** 0.5, 1 - 1e-9)}  # fmt: skip
    inputs = "the batch and for other inputs from its range"
    if on_batch and not dead:
        dead, inputs = dict.fromkeys(on_batch, 1.0), "the batch, though not for all inputs"
    if dead and facts.examples > 1:
        depth = max(dead, key=dead.__getitem__)
        units = f"{dead[depth]:.0%} of the units of {_layer(facts, depth)}"
        yield "dead units", f"{units} have no slope for all of {inputs}."


def _saturated(facts: Facts) -> Verdicts:
    known = facts.loss < 0.9 * facts.reference  # then a firm answer at the output is no fault
    flat = {la.depth: la.saturated for la in facts.layers
            if la.saturated > SATURATED and not (la.output and known)}  # fmt: skip
    if flat:
        depth = max(flat, key=flat.__getitem__)
        slopes = f"{flat[depth]:.0%} of the slopes of {_layer(facts, depth)}"
        yield "saturated", f"{slopes} are below a tenth of the largest."


def _signal(facts: Facts) -> Verdicts:
    if len(facts.path) < 2 or not facts.path[-1].any():
        return
    first, *_, last = facts.path
    ratio = typical = float(l2(first) / l2(last))
    if len(first) == len(last):
        typical = float(np.median(first[last > 0] / last[last > 0])) or ratio
    both = ("vanishing", typical, 0 < typical < VANISHING, "of"), (
        "exploding", ratio, EXPLODING < ratio < np.inf, "times")  # fmt: skip
    for verdict, value, beyond, words in both:
        if beyond and abs(np.log(value)) > 2 * spread(facts.widths):
            what = f"The error signal that reaches the first layers is {value:.1e} {words} that at"
            each = value ** (1 / (len(facts.path) - 1))
            yield verdict, f"{what} the last hidden layer, a factor {each:.2g} a layer."


def _silent(facts: Facts) -> Verdicts:
    """Weights without gradient: by design, behind a flat activation, or another operation."""
    if facts.silent:
        place, who = facts.end, "any weights" if facts.silenced else _names(facts.silent)
        name = place.equation.name if place else ""
        flat = name in {"max", "min", "clamp", "custom_jvp_call"} and facts.examples > 1
        stopped = place is not None and place.stops and not facts.silenced
        verdict = "frozen layer" if stopped else "dead units" if flat else "no path"
        where = f"it ends at {place}" if place else "the loss does not depend on them"
        yield verdict, f"No gradient comes to {who}: {where}."


def _geometry(facts: Facts) -> Verdicts:
    by_depth: dict[int, float] = {}
    for layer in facts.layers:
        if not np.isnan(layer.cosine):
            by_depth[layer.depth] = min(1 - layer.cosine, by_depth.get(layer.depth, 2.0))
    first, *apart = (by_depth[depth] for depth in sorted(by_depth)) if by_depth else (0.0,)
    if not apart or first < COLLAPSED:  # of inputs that are alike themselves, nothing is said
        return
    run = next((i for i, a in enumerate(reversed(apart)) if a >= COLLAPSED), len(apart))
    if apart[-1] < 0.1 * first and (run >= COLLAPSED_LAYERS or apart[-1] < COLLAPSED_LAST):
        numbers = f"1 - cosine is {apart[-1]:.1e} there and {first:.1e} between the inputs"
        yield "collapsed geometry", f"Different inputs look alike to the last layer: {numbers}."


def _frozen(facts: Facts) -> Verdicts:
    if facts.history.unapplied:
        words = "The history has updates, and the weights beside them never change"
        yield "frozen layer", f"{words}: the loop does not apply its updates."
    names = list(facts.frozen)
    able = [a for a in facts.moved if a.gradient > 0 and a.weights > 0 and a.moved >= 0]
    moving = [a for a in able if a.moved > 0]
    if len(able) > 1:
        far = np.median([a.moved for a in moving] or [0.0])
        rate = np.median([a.moved / a.gradient for a in moving] or [0.0])
        names += [a.name for a in able
                  if a.moved < UNMOVED * far and a.moved / a.gradient < UNMOVED * rate]  # fmt: skip
    if names:
        names = list(dict.fromkeys(names))
        yield "frozen layer", f"{_names(names)} stay where they are though a signal reaches them."


def _converged(facts: Facts) -> Verdicts:
    ratio = facts.loss / facts.reference if facts.reference > 0 else np.nan
    stationary = facts.descent < STATIONARY and facts.adam < STATIONARY
    silent = facts.layers and facts.layers[-1].error_signal == 0 and facts.loss >= 0
    if 0 <= ratio < LEARNT or (ratio < 0.9 and stationary) or (silent and not ratio >= 0.9):
        more = ", and further steps hardly lower it" if stationary else ""
        what = f"The loss, {facts.loss:.2g}, is {ratio:.1e} of what a net reaches that ignores its"
        yield "converged", f"{what} inputs{more}."


def _rate(facts: Facts, sound: bool) -> Verdicts:
    """Whether steps are too long or too short, and whether inputs or targets are the reason."""
    rates, reference, losses = facts.rates, facts.reference, facts.history.losses
    told = losses is not None and len(losses) > 1 and thrown(losses, 2 * reference)
    low, off = _hardly_moved(facts) and facts.descent > 0.02, facts.loss > FAR_OFF * reference
    thrown_up, longer = False, ""
    if rates is not None:
        given = rates.given
        calm = {k: gain(run) for k, run in rates.others.items() if not wrecked(run, reference)}
        needed = -np.inf if thrown(given, reference) else 0.05
        thrown_up = wrecked(given, reference) and any(calm[k] > needed for k in calm if k < 1)
        higher = [k for k in calm if k > 1 and calm[k] > WORTHWHILE]
        low |= gain(given) < TOO_LITTLE * (len(given) - 1) and bool(higher)
        longer = f": steps {higher[0]:.0e} times as long lower it" if higher else ""
        idle = gain(given) < IDLE * (len(given) - 1) and facts.loss > 2 * reference
        off = thrown_up or idle or (off and late(given) > FAR_OFF * reference)
    big = [(facts.inputs, "What enters the first layer is", ""),
           (facts.targets, "Targets are", " beside the outputs")]  # fmt: skip
    big = [f"{what} of size {size:.2g}{beside}." for size, what, beside in big if size > LARGE]
    if big and (off or told):
        yield "inputs or targets unscaled", " ".join(big)
    if thrown_up:
        ends = f"from {given[0]:.2g} to {max(given):.2g}; shorter steps do not"
        yield "learning rate too high", f"{len(given) - 1} steps take the loss {ends}."
    elif told:
        yield "learning rate too high", "The history's loss rises far above where it began."
    elif low and sound and not (big and off):
        yield "learning rate too low", f"The signals are healthy; the loss hardly falls{longer}."


def _hardly_moved(facts: Facts) -> bool:
    """Whether the history shows a run that went almost nowhere."""
    loss = facts.history.losses
    if facts.moved:
        far = max((a.moved / a.weights for a in facts.moved if a.weights > 0), default=np.inf)
        return far < UNMOVED
    if loss is None or len(loss) < 5 or not np.isfinite(loss).all() or loss[0] <= 0:
        return False
    # Without the weights only a curve without noise shows how small the steps are.
    steps = np.diff(loss) / loss[0]
    return bool(np.all(steps <= 1e-6) and -steps.sum() < 0.01)
