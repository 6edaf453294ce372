"""The live face's parts: which controls there are, and the widget that draws a chart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

__all__ = ["HERE", "KINDS", "SCRIPT", "Chart", "arrange", "numbers", "options"]

HERE = Path(__file__).parent
SCRIPT = "".join((HERE / name).read_text("utf-8") for name in ("export.mjs", "chart.mjs"))
"""The module that draws a chart, in a kernel and in a page."""

KINDS = {
    ipywidgets.IntSlider: "slider",
    ipywidgets.SelectionSlider: "slider",
    ipywidgets.Dropdown: "select",
    ipywidgets.ToggleButtons: "buttons",
}


class Chart(anywidget.AnyWidget):
    """The live face's picture; `chart.mjs` and `export.mjs` say what each of these means."""

    _esm = SCRIPT
    _css = HERE / "chart.css"
    spec = traitlets.Dict().tag(sync=True)
    names = traitlets.Dict().tag(sync=True)
    setting = traitlets.Unicode().tag(sync=True)
    data = traitlets.Dict().tag(sync=True)
    problem = traitlets.Unicode().tag(sync=True)
    title = traitlets.Unicode().tag(sync=True)
    first = traitlets.Bool().tag(sync=True)
    quoted = traitlets.List().tag(sync=True)
    place = traitlets.Unicode("this notebook").tag(sync=True)


def arrange(
    controls: Mapping[str, ipywidgets.Widget],
    buttons: Sequence[ipywidgets.Button],
    charts: Sequence[Chart],
) -> ipywidgets.VBox:
    """Buttons above controls above charts, the first of these as wide as all of it."""
    charts[0].layout.grid_column = "1 / -1"
    columns = "repeat(auto-fit, minmax(min(100%, 19rem), 1fr))"
    rows = [
        *controls.values(),
        ipywidgets.GridBox(charts, layout={"grid_template_columns": columns}),
    ]
    if buttons:
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        rows.insert(0, ipywidgets.Box([ipywidgets.Label("Try:"), *buttons], layout=wrap))
    return ipywidgets.VBox(rows).add_class("vg-live")


def options(control: ipywidgets.Widget) -> list[tuple[str, Any]]:
    """Every value that a control can take, with its label."""
    if isinstance(control, ipywidgets.IntSlider):
        return [(str(i), i) for i in range(control.min, control.max + 1, control.step)]
    return [o if isinstance(o, tuple) else (str(o), o) for o in control.options]


def numbers(known: Sequence[tuple[str, Any]]) -> list[int | float]:
    """Values as numbers for the computation: numbers of one type, words by their position.

    Of two types each would need a compilation of its own.
    """
    values = [value for _, value in known]
    if not all(isinstance(value, int | float) for value in values):
        return list(range(len(values)))
    return list(map(float, values)) if any(isinstance(v, float) for v in values) else values
