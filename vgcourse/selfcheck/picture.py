"""A small figure of a few curves as inline SVG: told apart by letter and dash, then by colour."""

from collections.abc import Mapping
from html import escape

import numpy as np
from jaxtyping import Array, Real
from matplotlib.ticker import MaxNLocator

from vgkit import _check

WIDTH, HEIGHT = 340, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 328, 32, 180
SAMPLES = 60
"""Positions at which the letter of a curve may stand."""
LETTER = 22
"""Least distance between two letters."""


def draw(
    x: Real[Array | np.ndarray, " points"],
    curves: Mapping[str, Real[Array | np.ndarray, " points"]],
    xlabel: str,
    ylabel: str,
    log: bool,
) -> str:
    """The figure's SVG, with the curves' values in words for readers who do not see it."""
    x = np.asarray(x, float)
    values = {name: np.asarray(curve, float) for name, curve in curves.items()}
    _check.finite("x", [x])
    if not (x.ndim == 1 and len(x) > 1 and np.all(np.diff(x) > 0)):
        raise ValueError(f"x must be at least two ascending positions; got {x}")
    if len(values) > 4:
        raise ValueError(f"curves must be at most four; got {len(values)}")
    for name, curve in values.items():
        _check.shape(f"curve {name}", curve, x.shape)
        _check.finite(f"curve {name}", [curve])
        if log:
            _check.positive(f"curve {name}", curve)
    heights = {name: np.log10(curve) if log else curve for name, curve in values.items()}
    y_ticks = _ticks(np.concatenate(list(heights.values())), log)
    x_ticks = [tick for tick in _ticks(x, False) if x[0] <= tick <= x[-1]]

    def across(position):
        return LEFT + (RIGHT - LEFT) * (position - x[0]) / (x[-1] - x[0])

    def up(height):
        return BOTTOM - (BOTTOM - TOP) * (height - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])

    lines = [
        f'<path class="vg-grid" d="M{LEFT} {up(tick):.1f}H{RIGHT}"/>'
        f'<text x="{LEFT - 6}" y="{up(tick) + 4:.1f}" text-anchor="end">{_label(tick, log)}</text>'
        for tick in y_ticks
    ] + [
        f'<path class="vg-grid" d="M{across(tick):.1f} {BOTTOM}v4"/>'
        f'<text x="{across(tick):.1f}" y="{BOTTOM + 17}" text-anchor="middle">'
        f"{_label(tick, False)}</text>"
        for tick in x_ticks
    ]
    lines.append(
        f'<text x="4" y="13">{escape(ylabel)}</text>'
        f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(xlabel)}</text>"
    )
    letters = _letters(across(x), {name: up(height) for name, height in heights.items()})
    for number, (name, height) in enumerate(heights.items()):
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across(x), up(height), strict=True))
        a, b = letters[name]
        lines.append(
            f'<g class="vg-curve-{number + 1}"><polyline points="{points}"/>'
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="9"/>'
            f'<text x="{a:.1f}" y="{b + 4.5:.1f}" text-anchor="middle">{escape(name)}</text></g>'
        )
    words = escape(_words(x, values, xlabel, ylabel))
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}">'
    return f"{head}{''.join(lines)}</svg>"


def _ticks(values: np.ndarray, whole: bool) -> np.ndarray:
    """Round numbers that enclose the values."""
    locator = MaxNLocator(nbins=5, integer=whole, steps=[1, 2, 5, 10])
    return locator.tick_values(values.min(), values.max())


def _label(tick: float, log: bool) -> str:
    number = f"{tick:g}".replace("-", "−")
    return f'10<tspan dy="-5" font-size="9">{number}</tspan>' if log else number


def _letters(
    across: np.ndarray, curves: Mapping[str, np.ndarray]
) -> dict[str, tuple[float, float]]:
    """Where each curve's letter stands: on the curve, where the others are farthest."""
    at = np.linspace(LEFT + 12, RIGHT - 12, SAMPLES)
    rows = {name: np.interp(at, across, curve) for name, curve in curves.items()}
    found = {}
    for name, row in rows.items():
        gap = np.min([abs(row - other) for key, other in rows.items() if key != name], axis=0)
        for a, b in found.values():  # not on another letter
            gap[np.hypot(at - a, row - b) < LETTER] = -1
        best = int(np.argmax(gap))
        found[name] = at[best], row[best]
    return found


def _words(x: np.ndarray, curves: Mapping[str, np.ndarray], xlabel: str, ylabel: str) -> str:
    picked = sorted({round(share * (len(x) - 1)) for share in (0, 0.25, 0.5, 0.75, 1)})
    said = [
        f"Curve {name}: " + ", ".join(f"{curve[i]:.2g} at {x[i]:.3g}" for i in picked) + "."
        for name, curve in curves.items()
    ]
    return f"{ylabel} against {xlabel}, {len(curves)} curves. {' '.join(said)}"
