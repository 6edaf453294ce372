"""Explorers: controls, a computation and views, live in a kernel and on a page without one.

    views = [explore.network(...), explore.chart(...)]
    explore.Explorer(title, compute, controls, views, presets)

As the last line of a cell it shows itself. `Explorer.static` is the same for a web page.
"""

from vgkit.explore.explorer import Explorer
from vgkit.explore.views import chart, first_true, network, series
