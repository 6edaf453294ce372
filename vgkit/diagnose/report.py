"""What a diagnosis says, for reading, for notebooks and for programs."""

import html
import math
from typing import Any, NamedTuple

from vgkit.diagnose.evidence import Layer
from vgkit.diagnose.verdicts import Finding

COLUMNS = {
    "name": "layer",
    "depth": "depth",
    "units": "units",
    "error": "error signal dL/dz, RMS",
    "flowing": "signal reaching here, L2",
    "gradient": "weight gradient, RMS",
    "weights": "weights, RMS",
    "dead": "units without slope",
    "saturated": "saturated",
    "alike": "cosine of inputs",
}
SHORT = ("layer", "depth", "units", "dL/dz", "reaching", "dL/dW", "W", "dead", "satur.", "alike")
SHOWN = 40
_STYLE = """<style>
.vg-report table {border-collapse: collapse; font-variant-numeric: tabular-nums}
.vg-report table {font-size: 0.85em; width: auto}
.vg-report th, .vg-report td {padding: 0.1em 0.6em; border-bottom: 1px solid; text-align: right}
.vg-report tbody {white-space: nowrap}
.vg-report table caption {text-align: left; caption-side: top; color: inherit}
.vg-report th:first-child {text-align: left}
.vg-report .vg-scroll {overflow-x: auto}
</style>"""


class Report(NamedTuple):
    """A diagnosis; `str`, a notebook and `to_dict` show it.

    Attributes:
        verdicts: Names of the findings, gravest first; ("healthy",) if there is none.
        findings: What each rests on.
        layers: The evidence, one entry for each layer, input side first.
        notes: What limits the diagnosis, or is worth knowing.
        numbers: Numbers of the whole network.
    """

    verdicts: tuple[str, ...]
    findings: tuple[Finding, ...]
    layers: tuple[Layer, ...]
    notes: tuple[str, ...]
    numbers: dict[str, float | None]

    @property
    def summary(self) -> str:
        """One sentence."""
        if not self.findings:
            return "Healthy: nothing was found that stands in the way of learning."
        first = self.findings[0].sentence
        return f"{', '.join(self.verdicts).capitalize()}: {first[0].lower()}{first[1:]}"

    def __str__(self) -> str:
        """Summary, findings and evidence as text."""
        lines = [self.summary]
        for finding in self.findings:
            lines += ["", f"{finding.verdict.capitalize()}. {finding.sentence}"]
            lines += [f"  threshold: {finding.threshold}", f"  to confirm: {finding.confirm}"]
            if finding.remedies:
                pages = ", ".join(f"solutions/{page}" for page in finding.remedies)
                lines.append(f"  to read: {pages}")
        rows = [SHORT, *(_cells(row) for row in self._shown())]
        widths = [max(len(row[k]) for row in rows) for k in range(len(SHORT))]
        lines.append("")
        for row in rows:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells))
        return "\n".join(lines + [""] * bool(self.notes) + [f"Note: {n}" for n in self.notes])

    def _shown(self) -> list[Layer]:
        """The layers, or, of very many, some at equal distances with both ends."""
        count = len(self.layers)
        if count <= SHOWN:
            return list(self.layers)
        return [self.layers[round(k * (count - 1) / (SHOWN - 1))] for k in range(SHOWN)]

    def _repr_html_(self) -> str:
        escape = html.escape
        parts = [_STYLE, f"<p><strong>{escape(self.summary)}</strong></p>"]
        for finding in self.findings:
            remedies = "".join(
                f"<li><code>solutions/{page}</code></li>" for page in finding.remedies
            )
            parts.append(
                f"<details><summary>{escape(finding.verdict.capitalize())}: why, and what to do"
                f"</summary><p>{escape(finding.sentence)}</p>"
                f"<p>Threshold: {escape(finding.threshold)}</p>"
                f"<p>To confirm: {escape(finding.confirm)}</p>"
                + (f"<p>To read:</p><ul>{remedies}</ul>" if remedies else "")
                + "</details>"
            )
        heads = "".join(f'<th scope="col">{escape(label)}</th>' for label in COLUMNS.values())
        body = ""
        for row in self._shown():
            name, *cells = _cells(row)
            data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            body += f'<tr><th scope="row">{escape(name)}</th>{data}</tr>'
        parts.append(
            '<div class="vg-scroll" tabindex="0" role="region" aria-label="Evidence by layer">'
            "<table><caption>Evidence for each layer, input side first</caption>"
            f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        )
        parts += [f"<p>Note: {escape(note)}</p>" for note in self.notes]
        return f'<div class="vg-report">{"".join(parts)}</div>'

    def to_dict(self) -> dict[str, Any]:
        """The same as plain lists, dicts, strings and numbers, ready for JSON; None for NaN."""
        return _plain(
            {
                "summary": self.summary,
                "verdicts": list(self.verdicts),
                "findings": [finding._asdict() for finding in self.findings],
                "layers": [layer._asdict() for layer in self.layers],
                "notes": list(self.notes),
                "numbers": self.numbers,
            }
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cells(layer: Layer) -> tuple[str, ...]:
    return tuple(_cell(getattr(layer, name), name) for name in COLUMNS)


def _cell(value: Any, column: str) -> str:
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "\N{EN DASH}"
    if column in {"dead", "saturated"}:
        return f"{value:.0%}"
    return f"{value:.4f}" if column == "alike" else f"{value:.1e}"
