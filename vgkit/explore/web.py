"""What an explorer gives to a browser: a widget with its charts, or a page that needs no kernel."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import traitlets

HERE = Path(__file__).parent
FILES = ("export.mjs", "chart.mjs", "host.mjs", "chart.css")
EXPORT, CHART, HOST, STYLE = ((HERE / name).read_text("utf-8") for name in FILES)
KINDS = {
    ipywidgets.IntSlider: "slider",
    ipywidgets.SelectionSlider: "slider",
    ipywidgets.Dropdown: "select",
    ipywidgets.ToggleButtons: "buttons",
}


class Charts(anywidget.AnyWidget):
    """An explorer's charts at one setting, drawn by `chart.mjs`."""

    _esm = EXPORT + CHART
    _css = STYLE
    title = traitlets.Unicode().tag(sync=True)
    charts = traitlets.List().tag(sync=True)
    labels = traitlets.Dict().tag(sync=True)  # what each control shows
    setting = traitlets.Unicode().tag(sync=True)  # the same in words
    data = traitlets.Dict().tag(sync=True)
    problem = traitlets.Unicode().tag(sync=True)  # an error message, in place of data


def page(explorer: Mapping[str, Any], image: str, size: tuple[int, int], text: str) -> str:
    """HTML of what `host.mjs` needs, and until that has run an image, of base64, size and text."""
    data = json.dumps(explorer, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    data = data.replace("<", r"\u003c")
    script = EXPORT + CHART.removesuffix("export default { render };\n") + HOST
    return (
        '<div class="vg-explorer"><div class="vg-fallback">'
        f'<img alt="{html.escape(text)}" width="{size[0]}" height="{size[1]}" '
        f'src="data:image/png;base64,{image}"></div>'
        f'<script type="application/json" class="vg-data">{data}</script></div>\n'
        f"<style>{STYLE}</style>\n"
        # No module: those wait for every script that the page loads.
        f'<script class="vg-script">(() => {{"use strict";\n{script}}})();</script>'
    )


def options(control: ipywidgets.Widget) -> list[tuple[str, Any]]:
    """Every value that a control can take, with its label."""
    if isinstance(control, ipywidgets.IntSlider):
        return [(str(i), i) for i in range(control.min, control.max + 1, control.step)]
    return [o if isinstance(o, tuple) else (str(o), o) for o in control.options]


def numbers(labelled: Sequence[tuple[str, Any]]) -> list[int] | list[float]:
    """Values as numbers of one type, for one compilation; words by their position."""
    values = [value for _, value in labelled]
    if not all(isinstance(value, int | float) for value in values):
        return list(range(len(values)))
    return list(map(float, values)) if any(isinstance(v, float) for v in values) else values
