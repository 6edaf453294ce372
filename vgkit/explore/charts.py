"""Descriptions of charts, for `Explorer`: what is drawn, on which axes, and how it is summed up."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

__all__ = ["chart", "series"]


def series(name: str, label: str, kind: str = "line", **style: Any) -> dict[str, Any]:
    """One named array of the results, drawn.

    Args:
        name: Name of the array.
        label: What the legend calls it.
        kind: "line", "path" (steps in order), "bars", or "band", the area up to another array.
        style: `x`, the name of another array to draw it over; `marker`, None for a line without;
            `dash`, True for a dashed line; `base`, where bars start; `upper`, the other edge of a
            band; `colour`, a number from 0 to 3 in place of the series' own; `hold`, False for a
            curve that is not kept for comparison.
    """
    return {"name": name, "label": label, "kind": kind, **style}


def chart(
    drawn: Sequence[dict[str, Any]],
    *,
    x: dict[str, Any],
    y: dict[str, Any],
    summary: Sequence[tuple[str, str]],
    lines: Sequence[dict[str, Any]] = (),
    columns: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """A chart of several series on common axes.

    Args:
        drawn: What to draw, from `series`.
        x: Label, "name" (what one point is called), "start" (number of the first point) or "values"
            (name of the array that holds the points' positions), and maybe "scale" ("linear",
            "log") and "domain".
        y: Label, and maybe "scale" and "domain".
        summary: Pairs of a condition, such as "ratio < 0.01", and a sentence. The first whose
            condition holds is shown; the empty condition always holds. A name stands for the first
            number of that array, and in the sentence, in braces, also for a control. Compare by ==
            with 0 only: the page's numbers are rounded.
        lines: Horizontal lines for reference, each a value and a label.
        columns: Headings of further arrays for the table, by name.

    Raises:
        ValueError: If a condition can't be read.
    """
    return {
        "x": x,
        "y": y,
        "series": list(drawn),
        "lines": list(lines),
        "columns": [list(column) for column in columns.items()],
        "summary": [{**_when(condition), "text": text} for condition, text in summary],
    }


def _when(condition: str) -> dict[str, Any]:
    if not condition:
        return {}
    match = re.fullmatch(r"(\w+) (<|<=|>|>=|==) (\S+)", condition)
    if not match:
        raise ValueError(f"summary must have conditions like 'ratio < 0.01'; got {condition!r}")
    return {"when": [[match[1], match[2], float(match[3])]]}
