"""Explorers: controls, a computation and a chart, live in a kernel and without one.

    explorer = explore.Explorer(title, compute, controls, explore.charts.layers(...))

Show one by making it the last line of a cell. `find` gets one back by its title.
"""

from vgkit.explore import charts, grid, words
from vgkit.explore.explorer import Explorer, find

__all__ = ["Explorer", "charts", "find", "grid", "words"]
