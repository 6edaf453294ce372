"""What `compute` returned: checked before it is drawn, and written for readers."""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from vgkit._typeset import typeset
from vgkit.explore.views import needed

LONGEST = 300
BRACES = re.compile(r"\{(\w+)\}")


def checked(
    results: Any, views: Sequence[Mapping[str, Any]], controls: Collection[str]
) -> dict[str, Shaped[np.ndarray, " _points"]]:
    """Results as arrays that the views can draw, or a `ValueError` that says what is wrong."""
    if not isinstance(results, Mapping):
        raise ValueError(f"compute must return a dict of arrays; got {type(results).__name__}")
    arrays = {name: np.atleast_1d(np.asarray(array)) for name, array in results.items()}
    for name, array in arrays.items():
        if array.ndim != 1:
            raise ValueError(
                f"compute must return arrays of shape (points,); got {name} of shape {array.shape}"
            )
    for name, partner in _needed(views, controls):
        for missing in {name, partner} - arrays.keys():
            raise ValueError(
                f"compute must return {missing}, which the explorer shows; got {', '.join(arrays)}"
            )
        if len(arrays[name]) != len(arrays[partner]):
            raise ValueError(
                f"compute must return {name} and {partner} of one length; "
                f"got {len(arrays[name])} and {len(arrays[partner])}"
            )
    last = len(views[0]["summary"]) - 1
    if last > 0 and (got := arrays["sentence"][0]) not in range(last + 1):
        raise ValueError(f"sentence must be a position from 0 to {last}; got {got}")
    return arrays


def _needed(
    views: Sequence[Mapping[str, Any]], controls: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Pairs of arrays of one length; with itself what needs no other."""
    for view in views:
        for series in view["series"]:
            name = series["name"]
            yield name, series["x"] or view["x"]["values"] or name
            yield name, series["upper"] or name
        for name, _ in view["columns"]:
            yield name, name
        if view["view"] == "network":
            yield from needed(view)
    sentences = views[0]["summary"]
    chosen = ["sentence"] if len(sentences) > 1 else []
    for name in {*chosen, *BRACES.findall(" ".join(sentences))} - {*controls}:
        yield name, name


def sentence(
    sentences: Sequence[str], labels: Mapping[str, str], arrays: Mapping[str, np.ndarray]
) -> str:
    """The sentence that holds, with its braces filled in; in a page `chart.mjs` does it."""
    text = sentences[int(arrays["sentence"][0])] if len(sentences) > 1 else "".join(sentences)
    return BRACES.sub(lambda brace: labels.get(brace[1]) or number(arrays[brace[1]][0]), text)


def number(value: float) -> str:
    """A number as text: three figures, or one decimal and a power of ten."""
    value = float(value) + 0.0  # no -0
    size = abs(value)
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "\N{MINUS SIGN}" * (value < 0) + "infinite"
    if size == 0 or 1e-3 <= size < 1e4:
        return typeset(f"{value:.3g}" if size < 999.5 else f"{value:.0f}")
    return typeset(f"{value:.1e}".replace(".0e", "e"))


def plain(array: Shaped[np.ndarray, " _points"]) -> list[float | str | None]:
    """An array as JSON can hold it."""
    numbers = array.astype(float).tolist()
    return [x if math.isfinite(x) else None if math.isnan(x) else str(x) for x in numbers]


def format_error(error: Exception, setting: str) -> str:
    """An error of the computation as text, for the reader who wrote the function."""
    text = str(error).strip().split("\n\n")[0]
    text = text if len(text) <= LONGEST else text[:LONGEST] + "\N{HORIZONTAL ELLIPSIS}"
    return (
        f"The computation failed at {setting}. {type(error).__name__}: {text}\n"
        "Call the explorer's at() in a cell to see where."
    )
