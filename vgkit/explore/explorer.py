"""Explorers: a live widget in a kernel, HTML with all results on a page without one."""

import html
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import jax
import numpy as np
import traitlets
from matplotlib.figure import Figure

from vgkit import _check
from vgkit.explore import grid, results
from vgkit.explore.views import STEP, coarse, draw, png

Compute = Callable[..., Mapping[str, jax.Array]]
HERE = Path(__file__).parent
VIEWS = "".join(
    (HERE / f"{name}.mjs").read_text("utf-8") for name in ("export", "network", "chart")
)
HOST, STYLE = ((HERE / name).read_text("utf-8") for name in ("host.mjs", "chart.css"))
KINDS = {
    ipywidgets.IntSlider: "slider",
    ipywidgets.SelectionSlider: "slider",
    ipywidgets.Dropdown: "select",
    ipywidgets.ToggleButtons: "buttons",
}
NOTE = (
    "Every position shows what JAX computed for it; the results came with this page, accurate to "
    "0.21 %."
)
UNITS = " Numbers of single units and weights are accurate to 2.4 %."


class Views(anywidget.AnyWidget):
    """An explorer's views at one setting, drawn by `chart.mjs` and `network.mjs`."""

    _esm = VIEWS
    _css = STYLE
    title = traitlets.Unicode().tag(sync=True)
    views = traitlets.List().tag(sync=True)
    labels = traitlets.Dict().tag(sync=True)  # what each control shows
    setting = traitlets.Unicode().tag(sync=True)  # the same in words
    data = traitlets.Dict().tag(sync=True)
    problem = traitlets.Unicode().tag(sync=True)  # an error message, in place of data


class Explorer:
    """Controls, a computation and views, joined.

    In a kernel the controls drive the computation, compiled once. On a page without a kernel they
    choose among the results for all their positions; see `static`.

    Args:
        title: Heading, a few words.
        compute: JAX function that takes every control's value by name, a word as its position among
            the options, and returns named arrays of shape (points,) or single numbers for the
            sentences. NaN stands for a point that does not exist. "sentence" is the position of the
            sentence that holds.
        controls: IntSlider, SelectionSlider, Dropdown or ToggleButtons by argument name, each with
            a description. A sweep over all positions is vectorised over the first one.
        views: What to draw, from `chart` and `network`; of several the first is on top and has the
            sentences.
        presets: Values of some or all controls by the name of a button.

    Raises:
        ValueError: If there is no view or control, a control is of another kind or lacks its
            description, or a preset names an unknown control or option.
    """

    def __init__(
        self,
        title: str,
        compute: Compute,
        controls: Mapping[str, ipywidgets.Widget],
        views: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        presets: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if not controls:
            raise ValueError("controls must hold at least one control; got none")
        for name, control in controls.items():
            if type(control) not in KINDS:
                kinds = ", ".join(kind.__name__ for kind in KINDS)
                raise ValueError(f"control {name} must be one of {kinds}; got {control!r}")
            if not control.description:
                raise ValueError(f"control {name} must have a description, its label; got none")
        self.title = title
        self.compute = compute
        self.controls = dict(controls)
        self.views = [views] if isinstance(views, Mapping) else list(views)
        if not self.views:
            raise ValueError("views must be a view or several; got none")
        self._options = {name: options(control) for name, control in controls.items()}
        self._compiled = jax.jit(compute)
        self._presets = {label: self._positions(v) for label, v in (presets or {}).items()}
        self._panel: Views | None = None
        self._moving = False

    def at(self, **values: Any) -> dict[str, np.ndarray]:
        """Results where some controls have the given values, and the others those of now.

        Args:
            values: By control: a value, or the label that the control shows for it.

        Raises:
            ValueError: If there is no such control or value, or `compute` returns what the views
                cannot draw.
        """
        positions = self._now() | self._positions(values)
        inputs = {name: numbers(self._options[name])[i] for name, i in positions.items()}
        return results.checked(self._compiled(**inputs), self.views, self.controls)

    def choose(self, **values: Any) -> "Explorer":
        """Move controls, and return the explorer, so that a cell can show it.

        Args:
            values: As for `at`; if one is no such value, no control is moved.
        """
        self._move(self._positions(values))
        return self

    def using(self, compute: Compute, title: str = "Your turn") -> "Explorer":
        """The same views around another function, with the controls that it takes.

        The two explorers share their controls: what moves one moves both.

        Args:
            compute: As for `Explorer`, of some or all of this explorer's controls.
            title: Its heading.

        Raises:
            ValueError: If it takes an argument that is no control.
        """
        names = inspect.signature(compute).parameters
        taken = {name: _check.choice("control", name, self.controls) for name in names}
        return Explorer(title, compute, taken, self.views)

    def figure(self) -> Figure:
        """The views now, as a matplotlib figure."""
        return draw(self.views, self.at(), self._setting())

    def static(self) -> dict[str, str]:
        """The explorer for a page without a kernel, by MIME type: HTML, a picture and a sentence.

        The HTML holds native controls, and the results for every combination of their positions.

        Raises:
            ValueError: If `compute` returns what the views cannot draw.
        """
        first, *others = self.controls
        axes = {name: numbers(self._options[name]) for name in (*others, first)}
        swept = grid.sweep(self.compute, axes)
        now = self._now()
        here = jax.tree.map(lambda array: array[tuple(now[name] for name in axes)], swept)
        text, image, size = self._still(results.checked(here, self.views, self.controls))
        bright = coarse(self.views)
        description = {
            "title": self.title,
            "views": self.views,
            "controls": [
                {
                    "name": name,
                    "label": control.description,
                    "kind": KINDS[type(control)],
                    "options": [label for label, _ in self._options[name]],
                    "position": now[name],
                }
                for name, control in self.controls.items()
            ],
            "presets": self._presets,
            "grid": {
                name: grid.pack(array, list(axes), STEP if name in bright else None)
                for name, array in swept.items()
            },
            "note": NOTE + (UNITS if bright else ""),
        }
        page = _page(description, image, size, text)
        return {"text/plain": text, "text/html": page, "image/png": image}

    @cached_property
    def widget(self) -> ipywidgets.VBox:
        """The live face, with presets, controls and views."""
        buttons = []
        for label, preset in self._presets.items():
            button = ipywidgets.Button(description=label, layout={"width": "auto"})
            button.on_click(lambda _, preset=preset: self._move(preset))
            buttons.append(button)
        for control in self.controls.values():
            control.style.description_width = "initial"
            control.observe(self._show, "value")
        self._panel = Views(title=self.title, views=self.views)
        self._show()
        rows = [*self.controls.values(), self._panel]
        if buttons:
            wrap = ipywidgets.Layout(flex_flow="row wrap")
            rows.insert(0, ipywidgets.Box([ipywidgets.Label("Try:"), *buttons], layout=wrap))
        return ipywidgets.VBox(rows).add_class("vg-live")

    def _move(self, positions: Mapping[str, int]) -> None:
        """Move controls together: one computation."""
        self._moving = True
        try:
            for name, position in positions.items():
                self.controls[name].value = self._options[name][position][1]
        finally:
            self._moving = False
        self._show()

    def _show(self, _: Any = None) -> None:
        """Bring the live views up to date, or show there why that can't be done."""
        if self._moving or self._panel is None:
            return
        data, problem, setting = {}, "", self._setting()
        try:
            data = {name: results.plain(array) for name, array in self.at().items()}
        except Exception as error:  # any: of the reader's function; else it would go to a log
            problem = results.format_error(error, setting)
        with self._panel.hold_sync():
            self._panel.labels, self._panel.setting = self._labels(), setting
            self._panel.data, self._panel.problem = data, problem

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        view = self.widget._repr_mimebundle_(include=include, exclude=exclude)
        if self._panel.problem:
            return {**view, "text/plain": self._panel.problem}
        text, image, _ = self._still(self.at())
        return {**view, "text/plain": text, "image/png": image}

    def _now(self) -> dict[str, int]:
        return self._positions({name: control.value for name, control in self.controls.items()})

    def _positions(self, values: Mapping[str, Any]) -> dict[str, int]:
        """Position of each value, or of the value with this label, among its control's options."""
        positions = {}
        for name, value in values.items():
            labels, options = zip(*_check.choice("control", name, self._options), strict=True)
            asked, known = value if value in options else str(value), (*options, *labels)
            if asked not in known:
                raise ValueError(f"{name} must be one of {', '.join(labels)}; got {value!r}")
            positions[name] = known.index(asked) % len(options)
        return positions

    def _labels(self) -> dict[str, str]:
        return {name: self._options[name][position][0] for name, position in self._now().items()}

    def _setting(self) -> str:
        labels = self._labels()
        return ", ".join(f"{c.description} {labels[name]}" for name, c in self.controls.items())

    def _still(self, data: Mapping[str, np.ndarray]) -> tuple[str, str, tuple[int, int]]:
        """Text and picture of the results of now, and the picture's size."""
        sentence = results.sentence(self.views[0]["summary"], self._labels(), data)
        image, size = png(draw(self.views, data, self._setting()))
        return f"{self.title}: {sentence}" if sentence else self.title, image, size


def _page(explorer: Mapping[str, Any], image: str, size: tuple[int, int], text: str) -> str:
    """HTML of what `host.mjs` needs, and until that has run an image, of base64, size and text."""
    data = json.dumps(explorer, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    data = data.replace("<", r"\u003c")
    script = VIEWS.removesuffix("export default { render };\n") + HOST
    script = re.sub(
        r"^ *//.*\n", "", script, flags=re.MULTILINE
    )  # comments are for vgkit's readers
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
