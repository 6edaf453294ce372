"""A report of `diagnose` for the page: findings that open, and the evidence as a table."""

from collections.abc import Iterator
from html import escape

from IPython.display import HTML

from vgkit._typeset import typeset
from vgkit.diagnosis.report import COLUMNS, Report, reasons, rows
from vgkit.diagnosis.verdicts import LINES

LEGEND = (
    "dL/dz, dL/dW and W are RMS; upstream is the L2 norm of the gradient that reaches a layer; "
    "dead and saturated are shares of units and slopes; cosine is that of two examples' data."
)
_STYLE = """<style>
.vg-report table {border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.85em}
.vg-report table {width: auto; white-space: nowrap}
.vg-report th, .vg-report td {padding: 0.1em 0.6em; border-bottom: 1px solid; text-align: right}
.vg-report caption {text-align: left; caption-side: top; color: inherit}
.vg-report th:first-child {text-align: left}
.vg-report .vg-scroll {overflow-x: auto}
.vg-lines table {white-space: normal}
.vg-lines td, .vg-lines th {text-align: left; vertical-align: top}
</style>"""


def show(report: Report) -> HTML:
    """The report, to be the last line of a cell."""
    return HTML(f'<div class="vg-report">{"".join(_html(report))}</div>')


def lines() -> HTML:
    """What every verdict rests on: what is measured, where the line is, and why there."""
    names = ("verdict", "measured", "line", "why")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    rows = [
        f'<tr><th scope="row">{escape(verdict)}</th>'
        + "".join(f"<td>{escape(typeset(t))}</td>" for t in (of.measured, of.line, of.reason))
        for verdict, of in LINES.items()
    ]
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return HTML(
        f'<div class="vg-report vg-lines">{_STYLE}<div class="vg-scroll" tabindex="0" '
        f'role="region" aria-label="Lines of all verdicts">{table}</div></div>'
    )


def _html(report: Report) -> Iterator[str]:
    yield f"{_STYLE}<p><strong>{escape(report.summary)}</strong></p>"
    for finding in report.findings:
        title = f"{finding.verdict.capitalize()}: why, and what to do"
        yield f"<details><summary>{escape(title)}</summary>"
        for line in (finding.sentence, *reasons(finding)):
            yield f"<p>{escape(line[0].upper() + line[1:])}</p>"
        yield "</details>"
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in COLUMNS.values())
    yield (
        '<div class="vg-scroll" tabindex="0" role="region" aria-label="Evidence by layer">'
        f"<table><caption>Evidence for each layer, input side first. {LEGEND}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>"
    )
    for name, *cells in rows(report):
        data = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        yield f'<tr><th scope="row">{escape(name)}</th>{data}</tr>'
    yield "</tbody></table></div>"
    yield from (f"<p>Note: {escape(note)}</p>" for note in report.notes)
