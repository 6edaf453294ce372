"""One object with several faces: live widget in a kernel, page fragment in a book, picture."""

import html
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import jax
import numpy as np
import traitlets

from vgkit import _check
from vgkit.explore import grid, picture, words

HERE = Path(__file__).parent
STATIC = "VGKIT_STATIC"
"""Environment variable, set to "1" by the book's build: explorers then show their static face."""

_KINDS = {
    ipywidgets.IntSlider: "slider",
    ipywidgets.SelectionSlider: "slider",
    ipywidgets.Dropdown: "select",
    ipywidgets.ToggleButtons: "buttons",
}

Compute = Callable[..., Mapping[str, jax.Array]]


class Chart(anywidget.AnyWidget):
    """The live face's picture; `chart.mjs` says what each of these means."""

    _esm = HERE / "chart.mjs"
    _css = HERE / "chart.css"
    spec = traitlets.Dict().tag(sync=True)
    names = traitlets.Dict().tag(sync=True)
    setting = traitlets.Unicode().tag(sync=True)
    live = traitlets.Bool(True).tag(sync=True)
    data = traitlets.Dict().tag(sync=True)


class Explorer:
    """Controls, a computation and a chart, joined.

    In a kernel the controls drive the computation, compiled once. In the built book the same
    controls choose among the results for all their positions, computed by the build.

    Args:
        title: Heading of the chart, a few words.
        compute: JAX function that takes every control's value by name and returns named arrays of
            shape (points,): per-layer values, curves, or single numbers for the sentences. A word
            chosen in a control arrives as its position among the options. NaN stands for a point
            that does not exist.
        controls: IntSlider, SelectionSlider, Dropdown or ToggleButtons by argument name, each with
            a description. The grid is vectorised over the first one.
        chart: What to draw, from `charts`. Several charts move together: the first on top, whose
            sentence is the explorer's, the others below it side by side.
        presets: Values of some or all controls by the name of a button.

    Raises:
        ValueError: If there is no chart, a control is of another kind or lacks its description, or
            a preset names an unknown control or option.
    """

    def __init__(
        self,
        title: str,
        compute: Compute,
        controls: Mapping[str, ipywidgets.Widget],
        chart: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        presets: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if not controls:
            raise ValueError("controls must hold at least one control; got none")
        for name, control in controls.items():
            if type(control) not in _KINDS:
                kinds = ", ".join(kind.__name__ for kind in _KINDS)
                raise ValueError(f"control {name} must be one of {kinds}; got {control!r}")
            if not control.description:
                raise ValueError(f"control {name} must have a description, its label; got none")
        self.title = title
        self.controls = dict(controls)
        self.charts = [chart] if isinstance(chart, Mapping) else list(chart)
        if not self.charts:
            raise ValueError("chart must be a chart or several; got none")
        self._options = {name: _options(control) for name, control in controls.items()}
        self._run = jax.jit(compute)
        self._compute = compute
        self.presets = {
            label: {name: self._position(name, value) for name, value in values.items()}
            for label, values in (presets or {}).items()
        }

    def positions(self) -> dict[str, int]:
        """Position of every control among its options."""
        return {name: self._position(name, c.value) for name, c in self.controls.items()}

    def at(self, **positions: int) -> dict[str, np.ndarray]:
        """Results where controls stand at the given positions, the others where they are now.

        Raises:
            ValueError: If there is no such control or position.
        """
        for name, position in positions.items():
            options = _check.choice("control", name, self._options)
            if not 0 <= position < len(options):
                raise ValueError(
                    f"{name} must be a position from 0 to {len(options) - 1}; got {position!r}"
                )
        values = {
            name: _numbers(self._options[name])[position]
            for name, position in {**self.positions(), **positions}.items()
        }
        return {name: np.asarray(array) for name, array in self._run(**values).items()}

    def grid(self) -> dict[str, grid.Packed]:
        """Results for every combination of the controls' positions, packed; see `grid.pack`."""
        first, *others = self._options
        order = [*others, first]
        axes = {name: _numbers(self._options[name]) for name in order}
        results = grid.sweep(self._compute, axes)
        return {name: grid.pack(array, order) for name, array in results.items()}

    def names(self, positions: Mapping[str, int] | None = None) -> dict[str, str]:
        """What each control shows, at given positions or now."""
        positions = self.positions() if positions is None else positions
        return {name: self._options[name][position][0] for name, position in positions.items()}

    def setting(self) -> str:
        """The controls in words."""
        names = self.names()
        return ", ".join(f"{c.description} {names[name]}" for name, c in self.controls.items())

    def sentence(self) -> str:
        """What the chart shows, in one sentence."""
        return words.sentence(self.charts[0]["summary"], self.names(), self.at())

    def png(self) -> str:
        """The chart now as a picture: base64 text of a PNG."""
        return picture.png(picture.draw(self.charts, self.at(), self.setting()))

    @cached_property
    def widget(self) -> ipywidgets.VBox:
        """The live face: the controls above the charts."""
        charts = [Chart(spec=spec) for spec in self.charts]
        charts[0].layout.grid_column = "1 / -1"

        def show(_: Any = None) -> None:
            data = {name: _plain(array) for name, array in self.at().items()}
            for chart in charts:
                with chart.hold_sync():
                    chart.names, chart.setting, chart.data = self.names(), self.setting(), data

        def choose(preset: Mapping[str, int]) -> None:
            for name, position in preset.items():
                self.controls[name].value = self._options[name][position][1]

        buttons = []
        for label, preset in self.presets.items():
            button = ipywidgets.Button(description=label, layout={"width": "auto"})
            button.on_click(lambda _, preset=preset: choose(preset))
            buttons.append(button)
        for control in self.controls.values():
            control.style.description_width = "initial"
            control.observe(show, "value")
        show()
        columns = "repeat(auto-fit, minmax(min(100%, 19rem), 1fr))"
        panels = ipywidgets.GridBox(charts, layout={"grid_template_columns": columns})
        rows = [*self.controls.values(), panels]
        if buttons:
            wrap = ipywidgets.Layout(flex_flow="row wrap")
            rows.insert(0, ipywidgets.Box([ipywidgets.Label("Try:"), *buttons], layout=wrap))
        return ipywidgets.VBox(rows)

    def html(self, static: bool = True) -> str:
        """The page's face: picture and sentence and, if static, controls, grid and scripts."""
        alt = html.escape(f"{self.title}. {self.sentence()}")
        fallback = (
            f'<div class="vg-fallback"><img alt="{alt}" '
            f'src="data:image/png;base64,{self.png()}"></div>'
        )
        if not static:
            return f'<div class="vg-explorer">{fallback}</div>'
        page = json.dumps(self._page(), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        data = page.replace("<", "\\u003c")
        chart, host = ((HERE / name).read_text("utf-8") for name in ("chart.mjs", "host.mjs"))
        script = chart.removesuffix("export default { render };\n") + host
        return (
            f'<div class="vg-explorer">{fallback}'
            f'<script type="application/json" class="vg-data">{data}</script></div>\n'
            f"<style>{(HERE / 'chart.css').read_text('utf-8')}</style>\n"
            # No module: those wait for every script that the page loads.
            f'<script class="vg-script">(() => {{"use strict";\n{script}}})();</script>'
        )

    def _page(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "specs": self.charts,
            "controls": [
                {
                    "name": name,
                    "label": control.description,
                    "kind": _KINDS[type(control)],
                    "options": [label for label, _ in self._options[name]],
                    "value": self._position(name, control.value),
                }
                for name, control in self.controls.items()
            ],
            "presets": [{"label": label, "values": v} for label, v in self.presets.items()],
            "grid": self.grid(),
        }

    def _position(self, name: str, value: Any) -> int:
        options = _check.choice("control", name, self._options)
        for position, (label, option) in enumerate(options):
            if value == option or value == label:
                return position
        labels = ", ".join(label for label, _ in options)
        raise ValueError(f"{name} must be one of {labels}; got {value!r}")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        del include, exclude
        static = os.environ.get(STATIC) == "1"
        bundle = {
            "text/plain": f"{self.title}: {self.sentence()}",
            "text/html": self.html(static),
            "image/png": self.png(),
        }
        return bundle if static else {**self.widget._repr_mimebundle_(), **bundle}


def _options(control: ipywidgets.Widget) -> list[tuple[str, Any]]:
    """Every value that a control can take, with its label."""
    if isinstance(control, ipywidgets.IntSlider):
        return [(str(i), i) for i in range(control.min, control.max + 1, control.step)]
    return [o if isinstance(o, tuple) else (str(o), o) for o in control.options]


def _numbers(options: list[tuple[str, Any]]) -> list[int | float]:
    """Values as numbers for the computation: numbers of one type, words by their position.

    Of two types each would need a compilation of its own.
    """
    values = [value for _, value in options]
    if not all(isinstance(value, int | float) for value in values):
        return list(range(len(values)))
    return list(map(float, values)) if any(isinstance(v, float) for v in values) else values


def _plain(array: np.ndarray) -> list[float | str | None]:
    """An array as JSON can hold it."""
    return [
        x if math.isfinite(x) else None if math.isnan(x) else str(x)
        for x in np.ravel(array).astype(float).tolist()
    ]
