"""Figures from arrays, for matplotlib: every function draws on the axes given and returns them."""

import numpy as np
from jaxtyping import Array, Real
from matplotlib.axes import Axes

__all__ = ["COLOURS", "layers", "spread"]

COLOURS = ("#0072b2", "#d55e00", "#007a5a", "#8a4f7d")
"""Distinguishable with any common colour blindness, and in print."""
MARKERS = "os^D"


def spread(
    axes: Axes,
    x: Real[Array | np.ndarray, " points"],
    values: Real[Array | np.ndarray, "repetitions points"],
    label: str,
    colour: int = 0,
    marker: str | None = None,
) -> Axes:
    """Draw the median over repetitions as a line, and the range from least to largest as a band.

    Args:
        axes: Where to draw.
        x: Positions of the points.
        values: One row for each repetition, such as a seed.
        label: Name in the legend.
        colour: Which of `COLOURS`.
        marker: Marker of the points, none if left out.
    """
    values = np.asarray(values)
    colour = COLOURS[colour]
    axes.plot(x, np.median(values, axis=0), color=colour, label=label, marker=marker, markersize=4)
    axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, lw=0)
    return axes


def layers(
    axes: Axes, norms: Real[Array | np.ndarray, "repetitions layers"], label: str, colour: int = 0
) -> Axes:
    """Draw the size of a signal at every layer on a logarithmic axis, over repetitions.

    Args:
        axes: Where to draw.
        norms: One row for each repetition; layers from 1 at the input.
        label: Name in the legend.
        colour: Which of `COLOURS`.
    """
    norms = np.asarray(norms)
    spread(axes, 1 + np.arange(norms.shape[1]), norms, label, colour, marker=MARKERS[colour])
    axes.set_yscale("log")
    axes.set_xlabel("layer (1 is nearest the input)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    return axes
