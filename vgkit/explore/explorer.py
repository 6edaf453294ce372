"""One object with several faces: live widget in a kernel, page fragment in a book, picture."""

import html
import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import ipywidgets
import jax
import numpy as np

from vgkit import _check
from vgkit.explore import grid, live, picture, results, words

STATIC = "VGKIT_STATIC"
"""Environment variable, set to "1" by the book's build: explorers then show their static face."""

Compute = Callable[..., Mapping[str, jax.Array]]


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
            if type(control) not in live.KINDS:
                kinds = ", ".join(kind.__name__ for kind in live.KINDS)
                raise ValueError(f"control {name} must be one of {kinds}; got {control!r}")
            if not control.description:
                raise ValueError(f"control {name} must have a description, its label; got none")
        self.title = title
        self.controls = dict(controls)
        self.charts = [chart] if isinstance(chart, Mapping) else list(chart)
        if not self.charts:
            raise ValueError("chart must be a chart or several; got none")
        self._options = {name: live.options(control) for name, control in controls.items()}
        first, *others = self._options
        self._order = [*others, first]
        self._run = jax.jit(compute)
        self._compute = compute
        self.presets = {
            label: {name: self._position(name, value) for name, value in values.items()}
            for label, values in (presets or {}).items()
        }
        self._panels: list[live.Chart] = []
        self._moving = False
        _MADE[title] = self

    def positions(self) -> dict[str, int]:
        """Position of every control among its options."""
        return {name: self._position(name, c.value) for name, c in self.controls.items()}

    def at(self, **positions: int) -> dict[str, np.ndarray]:
        """Results where controls stand at the given positions, the others where they are now.

        Raises:
            ValueError: If there is no such control or position, or `compute` returns what the
                charts cannot draw.
        """
        for name, position in positions.items():
            options = _check.choice("control", name, self._options)
            if not 0 <= position < len(options):
                raise ValueError(
                    f"{name} must be a position from 0 to {len(options) - 1}; got {position!r}"
                )
        where = {**self.positions(), **positions}
        if os.environ.get(STATIC) == "1":  # the page has the grid: no second program for one row
            place = tuple(where[name] for name in self._order)
            row = {name: array[place] for name, array in self._swept.items()}
            return results.checked(row, self.charts)
        values = {name: live.numbers(self._options[name])[i] for name, i in where.items()}
        return results.checked(self._run(**values), self.charts)

    def choose(self, **values: Any) -> "Explorer":
        """Move controls, and return the explorer, so that a cell can show it.

        Args:
            values: By control: a value, or what the control shows for it.

        Raises:
            ValueError: If there is no such control or value; none is then moved.
        """
        self._move({name: self._position(name, value) for name, value in values.items()})
        return self

    def using(self, compute: Compute, title: str = "Your turn") -> "Explorer":
        """The same charts around another function, with the controls that it takes.

        The two explorers share their controls: one hand moves both.

        Args:
            compute: As for `Explorer`; it takes some or all of this explorer's controls.
            title: Heading of its chart.

        Raises:
            ValueError: If it takes what is no control here.
        """
        names = inspect.signature(compute).parameters
        taken = {name: _check.choice("control", name, self.controls) for name in names}
        return Explorer(title, compute, taken, self.charts)

    def grid(self) -> dict[str, grid.Packed]:
        """Results for every combination of the controls' positions, packed; see `grid.pack`."""
        return {name: grid.pack(array, self._order) for name, array in self._swept.items()}

    @cached_property
    def _swept(self) -> dict[str, np.ndarray]:
        axes = {name: live.numbers(self._options[name]) for name in self._order}
        return grid.sweep(self._compute, axes)

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
        """The live face, with the controls above the charts."""
        self._panels = [
            live.Chart(spec=spec, title=self.title, first=i == 0, quoted=self._quoted())
            for i, spec in enumerate(self.charts)
        ]
        buttons = []
        for label, preset in self.presets.items():
            button = ipywidgets.Button(description=label, layout={"width": "auto"})
            button.on_click(lambda _, preset=preset: self._move(preset))
            buttons.append(button)
        for control in self.controls.values():
            control.style.description_width = "initial"
            control.observe(self._show, "value")
        self._show()
        return live.arrange(self.controls, buttons, self._panels)

    def _move(self, positions: Mapping[str, int]) -> None:
        """Move controls together: one computation, and no picture in between."""
        self._moving = True
        try:
            for name, position in positions.items():
                self.controls[name].value = self._options[name][position][1]
        finally:
            self._moving = False
        self._show()

    def _show(self, _: Any = None) -> None:
        """Bring the live charts up to date, or tell there why that can't be done."""
        if self._moving or not self._panels:
            return
        data, problem = {}, ""
        try:
            data = {name: results.plain(array) for name, array in self.at().items()}
        except Exception as error:  # any: the reader's function; unseen it would go to a log
            problem = results.told(error, self.setting())
        for chart in self._panels:
            with chart.hold_sync():
                chart.names, chart.setting = self.names(), self.setting()
                chart.data, chart.problem = data, problem

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
        host = (live.HERE / "host.mjs").read_text("utf-8")
        script = live.SCRIPT.removesuffix("export default { render };\n") + host
        return (
            f'<div class="vg-explorer">{fallback}'
            f'<script type="application/json" class="vg-data">{data}</script></div>\n'
            f"<style>{(live.HERE / 'chart.css').read_text('utf-8')}</style>\n"
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
                    "kind": live.KINDS[type(control)],
                    "options": [label for label, _ in self._options[name]],
                    "quoted": name in self._quoted(),
                    "value": self._position(name, control.value),
                }
                for name, control in self.controls.items()
            ],
            "presets": [{"label": label, "values": v} for label, v in self.presets.items()],
            "grid": self.grid(),
        }

    def _quoted(self) -> list[str]:
        """Controls that show something else than what Python calls their values."""
        return [
            name
            for name, options in self._options.items()
            if any(repr(value) != label for label, value in options)
        ]

    def _position(self, name: str, value: Any) -> int:
        options = _check.choice("control", name, self._options)
        for position, (label, option) in enumerate(options):
            if value == option or value == label:
                return position
        labels = ", ".join(label for label, _ in options)
        raise ValueError(f"{name} must be one of {labels}; got {value!r}")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        del include, exclude
        if os.environ.get(STATIC) == "1":
            return self._pictures(static=True)
        widget = self.widget._repr_mimebundle_()
        problem = self._panels[0].problem
        return {**widget, **({"text/plain": problem} if problem else self._pictures(static=False))}

    def _pictures(self, static: bool) -> dict[str, str]:
        return {
            "text/plain": f"{self.title}: {self.sentence()}",
            "text/html": self.html(static),
            "image/png": self.png(),
        }


_MADE: dict[str, Explorer] = {}


def find(title: str) -> Explorer:
    """The explorer of this title that was made last, by whichever cell.

    Args:
        title: The explorer's title.

    Raises:
        ValueError: If none of this title was made.
    """
    if title not in _MADE:
        made = ", ".join(_MADE) or "none"
        raise ValueError(
            f"title must be that of an explorer made here, whose cells were run: {made}; "
            f"got {title!r}"
        )
    return _MADE[title]
