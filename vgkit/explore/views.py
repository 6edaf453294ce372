"""Views: charts and the network view, described for `Explorer`, and drawn where no script runs."""

import base64
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Bool, Int
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from vgkit import _check
from vgkit.plots import COLOURS, MARKERS

X = {"label": "", "name": "point", "start": 0, "values": None, "domain": None}
Y = {"label": "", "scale": "linear", "domain": None}
STEP = 0.02
"""Decades between the sizes of units that a page without a kernel holds."""
LANE = {"label": "", "activation": "activation", "slope": "slope", "error": "error"}
CELL = {"label": "cell", "activation": "cell", "slope": "cell_slope", "error": "cell_error"}
EDGES = ("edge_weight", "edge_gradient")


def series(
    name: str,
    label: str,
    kind: str = "line",
    *,
    x: str | None = None,
    upper: str | None = None,
    base: int | float = 0,
    marker: bool = True,
    dash: bool = False,
    colour: int | None = None,
    hold: bool = True,
) -> dict[str, Any]:
    """One array of the results, drawn.

    Args:
        name: Name of the array.
        label: Text of the legend.
        kind: "line", "path" (points joined in their order), "bars", or "band" (an area).
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
    _check.choice("kind", kind, dict.fromkeys(("line", "path", "bars", "band")))
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
        summary: Sentences; of several, that whose position `compute` returns as "sentence" is
            shown. A name in braces stands for what that control shows, or that array's first value.
        lines: Horizontal lines for reference, each a "value" and a "label".
        columns: Headings of further arrays for the table, by name.

    Raises:
        ValueError: If an axis has no label or an unknown word, or two series share a colour.
    """
    colours = [_colour(i, one) for i, one in enumerate(drawn) if one["kind"] != "band"]
    if len({*colours}) < len(colours):
        raise ValueError(
            f"drawn must have a colour of its own for each of its {len(colours)} series, of "
            f"{len(COLOURS)} colours; got {colours}"
        )
    axes = {"x": _axis("x", x, X), "y": _axis("y", y, Y)}
    lists = {"series": list(drawn), "summary": list(summary), "lines": list(lines)}
    return {"view": "chart", **axes, **lists, "columns": list(map(list, columns.items()))}


def _colour(index: int, series: Mapping[str, Any]) -> int:
    return (index if series["colour"] is None else series["colour"]) % len(COLOURS)


def _axis(argument: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    if "label" not in given or given.keys() - known.keys():
        words = ", ".join(known)
        raise ValueError(f"{argument} must have a label, and no word but {words}; got {given!r}")
    return {**known, **given}


def network(
    units: int,
    *,
    name: str = "layer",
    start: int = 1,
    activation: str = "activation",
    signal: str = "error signal",
    summary: Sequence[str] = (),
    forward: tuple[int | float, int | float] = (-6, 1),
    backward: tuple[int | float, int | float] = (-12, 2),
    columns: Mapping[str, str] = MappingProxyType({}),
    factors: str | None = None,
    skip: str | None = None,
    recurrent: bool = False,
    cell: bool = False,
    halfway: bool = False,
) -> dict[str, Any]:
    """A net drawn as a net: activations run to the right, the error signal back to the left.

    The results must hold the arrays that `grads.unit_signals` returns, of one example: "units",
    "activation", "error", "activation_size" and "error_size"; the others are drawn where there are
    any. How strong a colour is shows a size on a logarithmic scale that stays the same.

    Args:
        units: The most units of a layer that are drawn, as in the arrays.
        name: What a column is called: "layer", or "time step".
        start: Number of the first column.
        activation: What runs forward, in words: where it is no output of a unit, another name.
        signal: What runs back, in words: where it is no dL/dz, another name.
        summary: Sentences, as for `chart`.
        forward: Powers of ten at the faint and the strong end of the scale of activations.
        backward: The same for error signals.
        columns: Headings of further arrays with a number for each layer for the table, by name.
        factors: Name of an array: what the error signal is multiplied by on its way to each layer.
        skip: Name of a number that says whether there are skip connections: arcs.
        recurrent: Whether all columns are one layer with the same weights, at successive times.
        cell: Whether there is a lane for the cell state too: arrays "cell" and "cell_error".
        halfway: Whether it rests where the activations have run right; "Play" then runs back.

    Raises:
        ValueError: If a scale does not rise, or there is no unit.
    """
    for argument, (low, high) in (("forward", forward), ("backward", backward)):
        if not low < high:
            raise ValueError(f"{argument} must be two rising powers of ten; got {(low, high)}")
    signals = {"activation_size": activation, "error_size": signal}
    sizes = {array: f"{words[0].upper()}{words[1:]}, RMS" for array, words in signals.items()}
    return {
        "view": "network",
        "units": _check.int_at_least("units", units, 1),
        "x": {"label": name.capitalize(), "name": name, "start": start, "values": None},
        "y": {"label": "Network"},
        "series": [],
        "summary": list(summary),
        "columns": list(map(list, {**sizes, **columns}.items())),
        "sizes": list(sizes),
        "activation": activation,
        "signal": signal,
        "lanes": [CELL, {**LANE, "label": "hidden"}] if cell else [LANE],
        "forward": list(forward),
        "backward": list(backward),
        "factors": factors,
        "skip": skip,
        "recurrent": recurrent,
        "halfway": halfway,
    }


def first_true(*conditions: Bool[Array, "..."] | bool) -> Int[Array, ""]:
    """Position of the first condition that holds, or their number if none does: a "sentence".

    Args:
        conditions: Single truth values, one fewer than there are sentences.
    """
    return jnp.argmax(jnp.stack([jnp.reshape(c, ()) for c in (*conditions, True)]))


def coarse(views: Sequence[Mapping[str, Any]]) -> set[str]:
    """Names of the arrays that are only seen as brightness, or read to two figures."""
    nets = [view for view in views if view["view"] == "network"]
    of_units = {lane[part] for view in nets for lane in view["lanes"] for part in lane}
    drawn = {series["name"] for view in views for series in view["series"]}
    return ({*of_units, *EDGES} if nets else set()) - drawn


def needed(view: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Arrays without which there is no picture, in pairs of one length."""
    lanes = [(lane["activation"], lane["error"]) for lane in view["lanes"]]
    extra = [(name, name) for name in (view["factors"], view["skip"]) if name]
    return [*lanes, ("units", "error_size"), ("activation_size", "error_size"), *extra]


def png(figure: Figure) -> tuple[str, tuple[int, int]]:
    """A figure as base64 text of a small PNG, and its size in pixels; the figure is closed."""
    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=80)
    plt.close(figure)
    image = Image.open(full).convert("RGB").quantize(16)  # a quarter of the bytes
    image.save(small, format="png", optimize=True)
    return base64.b64encode(small.getvalue()).decode(), image.size


def draw(
    views: Sequence[Mapping[str, Any]], data: Mapping[str, np.ndarray], setting: str
) -> Figure:
    """The picture of an explorer's views at one setting: the first on top, the others in pairs."""
    rows = 1 + len(views) // 2
    figure = plt.figure(figsize=(7, 3.8 if rows == 1 else 2.8 * rows), layout="constrained")
    below = figure.add_gridspec(rows, 2)
    places = [below[0, :], *(below[1 + i // 2, i % 2] for i in range(len(views) - 1))]
    for view, place in zip(views, places, strict=True):
        drawing = _draw_network if view["view"] == "network" else _draw_chart
        drawing(figure.add_subplot(place), view, data)
    figure.suptitle(setting, fontsize=9)
    return figure


def _draw_chart(axes: Axes, chart: Mapping[str, Any], data: Mapping[str, np.ndarray]) -> None:
    for index, series in enumerate(chart["series"]):
        y = np.asarray(data[series["name"]], float)
        positions = series["x"] or chart["x"]["values"]
        x = data[positions].astype(float) if positions else chart["x"]["start"] + np.arange(len(y))
        if chart["y"]["scale"] == "log":
            y = np.where(y == 0, np.nan, np.abs(y))
        style = {"color": COLOURS[_colour(index, series)], "label": series["label"]}
        if series["kind"] == "bars":
            base = series["base"]
            axes.bar(x, y - base, bottom=base, width=0.6, alpha=0.8, **style)
        elif series["kind"] == "band":
            axes.fill_between(x, y, data[series["upper"]].astype(float), alpha=0.2, lw=0, **style)
        else:
            marker = MARKERS[index % len(MARKERS)] if series["marker"] else None
            axes.plot(x, y, linestyle="--" if series["dash"] else "-", marker=marker, ms=4, **style)
    axes.set_yscale(chart["y"]["scale"])
    axes.set(xlim=chart["x"]["domain"], ylim=chart["y"]["domain"])
    low, high = axes.get_ylim()
    for line in chart["lines"]:
        if low < line["value"] < high:
            axes.axhline(line["value"], color="0.5", linestyle=":", linewidth=1)
            axes.annotate(line["label"], (1, line["value"]), xycoords=("axes fraction", "data"),
                          ha="right", va="bottom", fontsize=8, color="0.35")  # fmt: skip
    axes.set(xlabel=chart["x"]["label"], ylabel=chart["y"]["label"])
    if not chart["x"]["domain"]:
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=8)


def _draw_network(axes: Axes, view: Mapping[str, Any], data: Mapping[str, np.ndarray]) -> None:
    """The error signal of every unit as the strength of a colour: where no script runs."""
    low, high = view["backward"]
    rows = [data[lane["error"]].reshape(-1, view["units"]).T for lane in view["lanes"]]
    size = np.abs(np.concatenate(rows)[:, : np.sum(~np.isnan(data["units"]))])
    with np.errstate(divide="ignore"):
        strength = np.clip((np.log10(size) - low) / (high - low), 0, 1)
    colours = np.array(to_rgba(COLOURS[1])) * np.ones((*size.shape, 4))
    colours[..., 3] = np.nan_to_num(strength)
    first = view["x"]["start"] - 0.5
    axes.imshow(colours, aspect="auto", extent=(first, first + size.shape[1], 0, len(size)))
    axes.set(xlabel=view["x"]["label"], yticks=[], ylabel="Units")
    axes.set_title(f"Error signal: faint $10^{{{low:g}}}$, strong $10^{{{high:g}}}$", fontsize=9)
    axes.xaxis.get_major_locator().set_params(integer=True)
