"""Numbers and sentences for readers, the same here as in `chart.mjs`."""

import math
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["number", "sentence"]

_COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


def number(value: float | None) -> str:
    """Write a number for reading: three figures, or one decimal and a power of ten.

    Args:
        value: The number; None stands for one that does not exist.
    """
    if value is None:
        return "\N{EN DASH}"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    size = abs(value)
    if value == int(value) and size < 1e4:
        return str(int(value))
    if 1e-3 <= size < 1e4:
        digits = 2 - math.floor(math.log10(size))
        text = f"{value:.{max(digits, 0)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def sentence(
    rules: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    data: Mapping[str, Any],
) -> str:
    """The text of the first rule that holds, with its braces filled in.

    Args:
        rules: Each has a "text" and maybe a "when": a list of [name, comparison, number], all of
            which must hold. A name stands for the first number of that array of `data`.
        names: What to write for the name of a control.
        data: Results, for conditions and for the other names in braces.
    """

    def holds(condition: Sequence[Any]) -> bool:
        name, comparison, threshold = condition
        value = data[name][0] if name in data and len(data[name]) else math.nan
        return _COMPARE[comparison](float(value), threshold)

    def fill(match: re.Match) -> str:
        name = match[1]
        return names[name] if name in names else number(float(data[name][0]))

    for rule in rules:
        if all(map(holds, rule.get("when", []))):
            return re.sub(r"\{(\w+)\}", fill, rule["text"])
    return ""
