"""The charts as a matplotlib picture: for PDF, for pages without scripts, for notebooks not run."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from vgkit.plots import COLOURS, MARKERS


def png(figure: Figure) -> tuple[str, tuple[int, int]]:
    """A figure as base64 text of a small PNG, and its size in pixels; the figure is closed."""
    full, small = io.BytesIO(), io.BytesIO()
    figure.savefig(full, format="png", dpi=80)
    plt.close(figure)
    image = Image.open(full).convert("RGB").quantize(16)  # a quarter of the bytes
    image.save(small, format="png", optimize=True)
    return base64.b64encode(small.getvalue()).decode(), image.size


def draw(
    charts: Sequence[Mapping[str, Any]], data: Mapping[str, np.ndarray], setting: str
) -> Figure:
    """The picture of an explorer's charts at one setting: the first on top, the others in pairs."""
    rows = 1 + len(charts) // 2
    figure = plt.figure(figsize=(7, 3.8 if rows == 1 else 2.8 * rows), layout="constrained")
    below = figure.add_gridspec(rows, 2)
    places = [below[0, :], *(below[1 + i // 2, i % 2] for i in range(len(charts) - 1))]
    for chart, place in zip(charts, places, strict=True):
        _draw_chart(figure.add_subplot(place), chart, data)
    figure.suptitle(setting, fontsize=9)
    return figure


def _draw_chart(axes: Axes, chart: Mapping[str, Any], data: Mapping[str, np.ndarray]) -> None:
    for index in range(len(chart["series"])):
        _draw_series(axes, chart, index, data)
    axes.set_yscale(chart["y"]["scale"])
    axes.set(xlim=chart["x"]["domain"], ylim=chart["y"]["domain"])
    low, high = axes.get_ylim()
    for line in chart["lines"]:
        if low < line["value"] < high:
            axes.axhline(line["value"], color="0.5", linestyle=":", linewidth=1)
            axes.annotate(line["label"], (1, line["value"]), xycoords=("axes fraction", "data"),
                          ha="right", va="bottom", fontsize=8, color="0.35")  # fmt: skip
    axes.set(xlabel=chart["x"]["label"], ylabel=chart["y"]["label"])
    axes.legend(fontsize=8)


def _draw_series(
    axes: Axes, chart: Mapping[str, Any], index: int, data: Mapping[str, np.ndarray]
) -> None:
    series = chart["series"][index]
    y = np.asarray(data[series["name"]], float)
    positions = series["x"] or chart["x"]["values"]
    x = data[positions].astype(float) if positions else chart["x"]["start"] + np.arange(len(y))
    if chart["y"]["scale"] == "log":
        y = np.where(y == 0, np.nan, np.abs(y))
    colour = index if series["colour"] is None else series["colour"]
    style = {"color": COLOURS[colour % len(COLOURS)], "label": series["label"]}
    if series["kind"] == "bars":
        base = series["base"]
        axes.bar(x, y - base, bottom=base, width=0.6, alpha=0.8, **style)
    elif series["kind"] == "band":
        upper = np.asarray(data[series["upper"]], float)
        axes.fill_between(x, y, upper, alpha=0.2, lw=0, **style)
    else:
        marker = MARKERS[index % len(MARKERS)] if series["marker"] else None
        axes.plot(x, y, linestyle="--" if series["dash"] else "-", marker=marker, ms=4, **style)
