"""Explorers: controls, a computation and charts, live in a kernel and on a page without one.

    explorer = explore.Explorer(title, compute, controls, explore.chart(...), presets)
    explorer

As the last line of a cell it shows itself. `Explorer.static` is the same for a web page.
"""

from vgkit.explore.charts import chart, first_true, series
from vgkit.explore.explorer import Explorer

__all__ = ["Explorer", "chart", "first_true", "series"]
