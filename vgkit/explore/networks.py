"""The network view: a net drawn as a net, described for `Explorer`, and a still picture of it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from vgkit import _check
from vgkit.plots import COLOURS

STEP = 0.02
"""Decades between the sizes of units that a page without a kernel holds."""
LANE = {"label": "", "activation": "activation", "slope": "slope", "error": "error"}
CELL = {"label": "cell", "activation": "cell", "slope": "cell_slope", "error": "cell_error"}
EDGES = ("edge_weight", "edge_gradient")


def network(
    units: int,
    *,
    name: str = "layer",
    start: int = 1,
    signal: str = "error signal",
    summary: Sequence[str] = (),
    forward: tuple[int | float, int | float] = (-6, 1),
    backward: tuple[int | float, int | float] = (-12, 2),
    columns: Mapping[str, str] = MappingProxyType({}),
    factors: str | None = None,
    skip: str | None = None,
    recurrent: bool = False,
    cell: bool = False,
) -> dict[str, Any]:
    """A net drawn as a net: activations run to the right, the error signal back to the left.

    The results must hold the arrays that `grads.unit_signals` returns, of one example: "units",
    "activation", "error", "activation_size" and "error_size"; the others are drawn where there are
    any. How strong a colour is shows a size on a logarithmic scale that stays the same.

    Args:
        units: The most units of a layer that are drawn, as in the arrays.
        name: What a column is called: "layer", or "time step".
        start: Number of the first column.
        signal: What runs back, in words: where it is no dL/dz, another name.
        summary: Sentences, as for `chart`.
        forward: Powers of ten at the faint and the strong end of the scale of activations.
        backward: The same for error signals.
        columns: Headings of further arrays with a number for each layer for the table, by name.
        factors: Name of an array with a number for each layer: what the error signal is multiplied
            by on its way back to it from the right, written between the columns.
        skip: Name of a number that says whether there are skip connections: arcs.
        recurrent: Whether all columns are one layer with the same weights, at successive times.
        cell: Whether there is a lane for the cell state too: arrays "cell" and "cell_error".

    Raises:
        ValueError: If a scale does not rise, or there is no unit.
    """
    for argument, (low, high) in (("forward", forward), ("backward", backward)):
        if not low < high:
            raise ValueError(f"{argument} must be two rising powers of ten; got {(low, high)}")
    signals = {"activation_size": "activations", "error_size": signal}
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
        "signal": signal,
        "lanes": [CELL, {**LANE, "label": "hidden"}] if cell else [LANE],
        "forward": list(forward),
        "backward": list(backward),
        "factors": factors,
        "skip": skip,
        "recurrent": recurrent,
    }


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


def draw(axes: Axes, view: Mapping[str, Any], data: Mapping[str, np.ndarray]) -> None:
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
