"""A small figure of a few curves, told apart by letter, dash and colour, as an HTML image."""

import base64
from collections.abc import Mapping
from html import escape
from io import BytesIO

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Real
from matplotlib.figure import Figure

from vgkit import _check
from vgkit.plots import COLOURS

DASHES = ("-", "--", ":", "-.")
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "vgcourse"}  # text stays text; ids do not change


def draw(
    x: Real[Array | np.ndarray, " points"],
    curves: Mapping[str, Real[Array | np.ndarray, " points"]],
    xlabel: str,
    ylabel: str,
    log: bool,
) -> str:
    """The image, with the curves' values in words for readers who do not see it."""
    x = np.asarray(x, float)
    values = {name: np.asarray(curve, float) for name, curve in curves.items()}
    _check.finite("x", [x])
    if not (x.ndim == 1 and len(x) > 1 and np.all(np.diff(x) > 0)):
        raise ValueError(f"x must be at least two ascending positions; got {x}")
    if len(values) > len(DASHES):
        raise ValueError(f"curves must be at most four; got {len(values)}")
    for name, curve in values.items():
        _check.shape(f"curve {name}", curve, x.shape)
        _check.finite(f"curve {name}", [curve])
        if log:
            _check.positive(f"curve {name}", curve)
    with plt.style.context(["vgcourse.course", STYLE]):
        figure = Figure(figsize=(4, 2.6))
        axes = figure.subplots()
        for (name, curve), dash, colour in zip(values.items(), DASHES, COLOURS, strict=False):
            axes.plot(x, curve, dash, color=colour, label=name)
        axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
        axes.legend()
        file = BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    data = base64.b64encode(file.getvalue()).decode()
    words = escape(_words(x, values, xlabel, ylabel))
    return f'<img width="400" height="260" alt="{words}" src="data:image/svg+xml;base64,{data}">'


def _words(x: np.ndarray, curves: Mapping[str, np.ndarray], xlabel: str, ylabel: str) -> str:
    picked = sorted({round(share * (len(x) - 1)) for share in (0, 0.25, 0.5, 0.75, 1)})
    sentences = [
        f"Curve {name}: " + ", ".join(f"{curve[i]:.2g} at {x[i]:.3g}" for i in picked) + "."
        for name, curve in curves.items()
    ]
    return f"{ylabel} against {xlabel}, {len(curves)} curves. {' '.join(sentences)}"
