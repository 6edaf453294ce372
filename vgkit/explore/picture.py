"""The chart as a matplotlib picture: for PDF, for pages without scripts, for notebooks not run."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

COLOURS = ("#0072b2", "#d55e00", "#007a5a", "#8a4f7d")
MARKERS = "os^D"


def png(figure: Figure) -> str:
    """A figure as base64 text of a small PNG, and the figure closed."""
    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=80)
    plt.close(figure)
    Image.open(full).convert("RGB").quantize(16).save(small, format="png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


def draw(
    charts: Sequence[Mapping[str, Any]], data: Mapping[str, np.ndarray], setting: str
) -> Figure:
    """The picture of an explorer's charts at one setting: the first on top, the others in pairs."""
    rows = 1 + len(charts) // 2
    figure = plt.figure(figsize=(7, 3.8 if rows == 1 else 2.8 * rows), layout="constrained")
    below = figure.add_gridspec(rows, 2)
    places = [below[0, :], *(below[1 + i // 2, i % 2] for i in range(len(charts) - 1))]
    for spec, place in zip(charts, places, strict=True):
        _draw_chart(figure.add_subplot(place), spec, data)
    figure.suptitle(setting, fontsize=9)
    return figure


def _draw_chart(axes: Axes, spec: Mapping[str, Any], data: Mapping[str, np.ndarray]) -> None:
    for index, series in enumerate(spec["series"]):
        _draw_series(axes, index, series, spec, data)
    for scale, name in ((axes.set_xscale, "x"), (axes.set_yscale, "y")):
        scale(spec[name].get("scale", "linear"))
    for limits, name in ((axes.set_xlim, "x"), (axes.set_ylim, "y")):
        if spec[name].get("domain"):
            limits(*spec[name]["domain"])
    low, high = axes.get_ylim()
    for line in spec.get("lines", []):
        if low < line["value"] < high:
            axes.axhline(line["value"], color="0.5", linestyle=":", linewidth=1)
            axes.annotate(line["label"], (1, line["value"]), xycoords=("axes fraction", "data"),
                          ha="right", va="bottom", fontsize=8, color="0.35")  # fmt: skip
    axes.set(xlabel=spec["x"]["label"], ylabel=spec["y"]["label"])
    axes.legend(fontsize=8)


def _draw_series(
    axes: Axes,
    index: int,
    series: Mapping[str, Any],
    spec: Mapping[str, Any],
    data: Mapping[str, np.ndarray],
) -> None:
    y = np.asarray(data[series["name"]], float)
    positions = series.get("x", spec["x"].get("values"))
    x = spec["x"].get("start", 0) + np.arange(len(y)) if positions is None else data[positions]
    x = np.asarray(x, float)
    if spec["y"].get("scale") == "log":
        y = np.where(y == 0, np.nan, np.abs(y))
    colour = COLOURS[series.get("colour", index) % len(COLOURS)]
    style = {"color": colour, "label": series["label"]}
    if series.get("kind") == "bars":
        base = series.get("base", 0)
        axes.bar(x, y - base, bottom=base, width=0.6, alpha=0.8, **style)
    elif series.get("kind") == "band":
        axes.fill_between(x, y, np.asarray(data[series["upper"]], float), alpha=0.2, lw=0, **style)
    else:
        marker = MARKERS[index % len(MARKERS)] if series.get("marker", True) else None
        axes.plot(x, y, linestyle="--" if series.get("dash") else "-", marker=marker, ms=4, **style)
