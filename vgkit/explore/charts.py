"""Descriptions of charts, for `Explorer`: what is drawn, on which axes, with which sentences."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from vgkit import _check

KINDS = dict.fromkeys(("line", "path", "bars", "band"))
X = {"label": "", "name": "point", "start": 0, "values": None, "domain": None}
Y = {"label": "", "scale": "linear", "domain": None}
"""How an axis may be described, and what holds where a word but the label is left out."""


def series(
    name: str,
    label: str,
    kind: str = "line",
    *,
    x: str | None = None,
    upper: str | None = None,
    base: float = 0,
    marker: bool = True,
    dash: bool = False,
    colour: int | None = None,
    hold: bool = True,
) -> dict[str, Any]:
    """One array of the results, drawn.

    Args:
        name: Name of the array.
        label: Text of the legend.
        kind: "line", "path" (points joined in their order), "bars", or "band", the area up to
            another array.
        x: Name of an array of positions, in place of the axis's own.
        upper: For a band: name of the array at its other edge.
        base: For bars: where they start.
        marker: Whether a line's points have markers.
        dash: Whether a line is dashed.
        colour: A number from 0 to 3, in place of the series' own.
        hold: Whether "Hold this curve" holds this one.

    Raises:
        ValueError: If there is no such kind.
    """
    _check.choice("kind", kind, KINDS)
    style = {"base": base, "marker": marker, "dash": dash, "colour": colour, "hold": hold}
    return {"name": name, "label": label, "kind": kind, "x": x, "upper": upper, **style}


def chart(
    drawn: Sequence[Mapping[str, Any]],
    *,
    x: Mapping[str, Any],
    y: Mapping[str, Any],
    summary: Sequence[str] = (),
    lines: Sequence[Mapping[str, Any]] = (),
    columns: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """A chart of several series on common axes.

    Args:
        drawn: What to draw, from `series`.
        x: The axis's "label"; "name", what one point is called; "start", the number of the first
            point, or "values", the name of an array of positions; maybe "domain", its two ends.
        y: The axis's "label", and maybe "scale", "linear" or "log", and "domain".
        summary: Sentences, one of which is shown: of several, that whose position `compute` returns
            as "sentence". A name in braces stands for what the control of that name shows, or for
            the first number of that array.
        lines: Horizontal lines for reference, each a "value" and a "label".
        columns: Headings of further arrays for the table, by name.

    Raises:
        ValueError: If an axis has no label or is described by another word.
    """
    return {
        "series": list(drawn),
        "x": _axis("x", x, X),
        "y": _axis("y", y, Y),
        "summary": list(summary),
        "lines": list(lines),
        "columns": [list(column) for column in columns.items()],
    }


def _axis(argument: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    if "label" not in given or given.keys() - known.keys():
        words = ", ".join(known)
        raise ValueError(f"{argument} must have a label, and no word but {words}; got {given!r}")
    return {**known, **given}


def first_true(*conditions: Bool[Array, "..."] | bool) -> Int[Array, ""]:
    """Position of the first condition that holds, or their number if none does: a "sentence".

    Args:
        conditions: Single truth values, one fewer than there are sentences.
    """
    return jnp.argmax(jnp.stack([jnp.reshape(c, ()) for c in (*conditions, True)]))
