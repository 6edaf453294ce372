"""What a reader's function returned, looked at before it is drawn."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

__all__ = ["checked", "plain", "told"]

LONGEST = 300


def checked(
    results: Any, charts: Sequence[Mapping[str, Any]]
) -> dict[str, Float[np.ndarray, " points"]]:
    """Results as arrays that the charts can draw.

    Args:
        results: What `compute` returned.
        charts: From `charts`.

    Raises:
        ValueError: If they are no dict, lack an array that a chart draws, or hold arrays of more
            than one axis or of lengths that do not belong together.
    """
    if not isinstance(results, Mapping):
        raise ValueError(
            f"compute must return a dict of arrays by name; got {type(results).__name__}"
        )
    arrays = {name: np.atleast_1d(np.asarray(array)) for name, array in results.items()}
    for name, array in arrays.items():
        if array.ndim != 1:
            raise ValueError(
                f"compute must return arrays of shape (points,); got {name} of shape {array.shape}"
            )
    for name, partner in _pairs(charts):
        for wanted in {name, partner} - arrays.keys():
            raise ValueError(
                f"compute must return {wanted}, which the chart draws; got {', '.join(arrays)}"
            )
        if len(arrays[name]) != len(arrays[partner]):
            raise ValueError(
                f"compute must return {name} and {partner} of one length; "
                f"got {len(arrays[name])} and {len(arrays[partner])}"
            )
    return arrays


def _pairs(charts: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Names of arrays drawn against each other; against itself what needs no other."""
    for chart in charts:
        for series in chart["series"]:
            name = series["name"]
            yield name, series.get("x") or chart["x"].get("values") or name
            yield name, series.get("upper", name)
        for name, _ in chart["columns"]:
            yield name, name


def plain(array: np.ndarray) -> list[float | str | None]:
    """An array as JSON can hold it."""
    return [
        x if math.isfinite(x) else None if math.isnan(x) else str(x)
        for x in array.astype(float).tolist()
    ]


def told(problem: Exception, setting: str) -> str:
    """An error of the computation in words for the reader who wrote it.

    Args:
        problem: What was raised.
        setting: The controls in words.
    """
    first = str(problem).strip().split("\n\n")[0]
    text = first if len(first) <= LONGEST else first[: LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return (
        f"The computation failed at {setting}. {type(problem).__name__}: {text}\n"
        "Call the explorer's at() in a cell to see where."
    )
