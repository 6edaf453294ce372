"""What a diagnosis says, as text."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vgkit.diagnosis.evidence import LayerEvidence
from vgkit.diagnosis.verdicts import Finding

COLUMNS = {
    "name": "layer", "depth": "depth", "units": "units", "error_signal": "dL/dz",
    "upstream_gradient": "upstream", "weight_gradient": "dL/dW", "weights": "W", "dead": "dead",
    "saturated": "satur.", "cosine": "cosine",
}  # fmt: skip
SHOWN = 40


@dataclass(frozen=True, repr=False)
class Report:
    """A diagnosis; printed, it gives the findings and the evidence.

    Attributes:
        findings: What stands in the way of learning, gravest first.
        layers: The evidence, one entry for each layer, input side first.
        notes: What limits the diagnosis, or is worth knowing.
        loss: Mean loss of the batch.
        reference_loss: Mean loss of a net that knows the targets but not which example has which.
        ratio: Gradient that reaches the first layer over that at the last hidden layer.
        best_gain: Share of the loss that the best step along the gradient takes away.
    """

    findings: tuple[Finding, ...]
    layers: tuple[LayerEvidence, ...]
    notes: tuple[str, ...]
    loss: float
    reference_loss: float
    ratio: float
    best_gain: float

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Names of the findings, gravest first; ("healthy",) if there is none."""
        return tuple(finding.verdict for finding in self.findings) or ("healthy",)

    @property
    def healthy(self) -> bool:
        """Whether there is no finding."""
        return not self.findings

    @property
    def summary(self) -> str:
        """One sentence."""
        if self.healthy:
            return "Healthy: nothing was found that stands in the way of learning."
        first = self.findings[0].sentence
        return f"{', '.join(self.verdicts).capitalize()}: {first[0].lower()}{first[1:]}"

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def _lines(report: Report) -> Iterator[str]:
    yield report.summary
    for finding in report.findings:
        yield f"\n{finding.verdict.capitalize()}. {finding.sentence}"
        yield from (f"  {reason}" for reason in reasons(finding))
    table = [tuple(COLUMNS.values()), *rows(report)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    yield ""
    for name, *cells in table:
        yield "  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])])
    for number, note in enumerate(report.notes):
        yield "\n" * (number == 0) + f"Note: {note}"


def reasons(finding: Finding) -> Iterator[str]:
    """Why a finding is one, and what to do."""
    yield f"threshold: {finding.threshold}"
    yield f"to confirm: {finding.confirm}"
    if finding.remedies:
        yield f"to read: {', '.join(f'solutions/{page}' for page in finding.remedies)}"


def rows(report: Report) -> Iterator[tuple[str, ...]]:
    """Cells of the layers, or, of very many, of some at equal distances with both ends."""
    layers, count = report.layers, len(report.layers)
    if count > SHOWN:
        layers = [layers[round(k * (count - 1) / (SHOWN - 1))] for k in range(SHOWN)]
    for layer in layers:
        yield tuple(_cell(getattr(layer, name), name) for name in COLUMNS)


def _cell(value: Any, column: str) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "\N{EN DASH}"
    if column in {"dead", "saturated"}:
        return f"{value:.0%}"
    return f"{value:.4f}" if column == "cosine" else f"{value:.1e}"
