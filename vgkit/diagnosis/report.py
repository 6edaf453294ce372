"""What a diagnosis says, as text and in notebooks."""

import html
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
LEGEND = (
    "dL/dz, dL/dW and W are RMS; upstream is the L2 norm of the gradient that reaches a layer; "
    "dead and saturated are shares of units and slopes; cosine is that of two examples' data."
)
SHOWN = 40
_STYLE = """<style>
.vg-report table {border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.85em}
.vg-report table {width: auto; white-space: nowrap}
.vg-report th, .vg-report td {padding: 0.1em 0.6em; border-bottom: 1px solid; text-align: right}
.vg-report caption {text-align: left; caption-side: top; color: inherit}
.vg-report th:first-child {text-align: left}
.vg-report .vg-scroll {overflow-x: auto}
</style>"""


@dataclass(frozen=True, repr=False)
class Report:
    """A diagnosis; printed, or shown in a notebook, it gives the findings and the evidence.

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
        """Summary, findings and evidence as text."""
        return "\n".join(_lines(self))

    def _repr_html_(self) -> str:
        return f'<div class="vg-report">{"".join(_html(self))}</div>'


def _reasons(finding: Finding) -> Iterator[str]:
    yield f"threshold: {finding.threshold}"
    yield f"to confirm: {finding.confirm}"
    if finding.remedies:
        yield f"to read: {', '.join(f'solutions/{page}' for page in finding.remedies)}"


def _lines(report: Report) -> Iterator[str]:
    yield report.summary
    for finding in report.findings:
        yield f"\n{finding.verdict.capitalize()}. {finding.sentence}"
        yield from (f"  {reason}" for reason in _reasons(finding))
    rows = [tuple(COLUMNS.values()), *_rows(report)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield ""
    for name, *cells in rows:
        yield "  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])])
    for number, note in enumerate(report.notes):
        yield "\n" * (number == 0) + f"Note: {note}"


def _html(report: Report) -> Iterator[str]:
    escape = html.escape
    yield f"{_STYLE}<p><strong>{escape(report.summary)}</strong></p>"
    for finding in report.findings:
        title = f"{finding.verdict.capitalize()}: why, and what to do"
        yield f"<details><summary>{escape(title)}</summary>"
        for line in (finding.sentence, *_reasons(finding)):
            yield f"<p>{escape(line[0].upper() + line[1:])}</p>"
        yield "</details>"
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in COLUMNS.values())
    yield (
        '<div class="vg-scroll" tabindex="0" role="region" aria-label="Evidence by layer">'
        f"<table><caption>Evidence for each layer, input side first. {LEGEND}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>"
    )
    for name, *cells in _rows(report):
        data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f'<tr><th scope="row">{escape(name)}</th>{data}</tr>'
    yield "</tbody></table></div>"
    yield from (f"<p>Note: {escape(note)}</p>" for note in report.notes)


def _rows(report: Report) -> Iterator[tuple[str, ...]]:
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
