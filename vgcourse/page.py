"""What every page needs: numbers that its text says."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import SupportsFloat

from vgkit._typeset import typeset

try:
    from myst_nb import glue
except ImportError:  # a notebook outside the book, where the numbers stand in the text already
    glue = None

PLAIN = (1e-3, 1e4)  # sizes that are written without a power of ten


def text(value: SupportsFloat, form: str = "") -> str:
    """A number as the text prints it: 0.23, 68 %, 5.7 × 10⁻⁵.

    Args:
        value: The number.
        form: A format of Python's, such as ".0%" or ".3f"; two significant digits if left out.
    """
    value = float(value)
    if not form:
        low, high = PLAIN
        rounded = float(f"{value:.1e}")  # 0.00099999 is 0.001
        if rounded and not low <= abs(rounded) < high:
            form = ".1e"
        else:
            form = ".2g" if abs(rounded) < 100 else ".0f"
            value = rounded
    return typeset(format(value, form))


def numbers(values: Mapping[str, SupportsFloat]) -> None:
    """Hand a page's numbers to its text, which says {number}`name` or {number}`name .0%`.

    Args:
        values: Numbers by name, such as a page's module computes them.
    """
    for name, value in values.items():
        if glue:
            glue(name, float(value), display=False)


def texts() -> tuple[SimpleNamespace, Callable[..., None]]:
    """Where a page puts the numbers of its text, and the function that puts them there.

    In the first cell of a page, `said, say = page.texts()`; then `say(depth=(30, ".0f"))` lets
    the text say {eval}`said.depth`.
    """
    said = SimpleNamespace()

    def say(**numbers: tuple[SupportsFloat, str]) -> None:
        """Hand numbers, each with its format, to the text."""
        for name, (number, form) in numbers.items():
            setattr(said, name, text(number, form))
            if glue:
                glue(name, getattr(said, name), display=False)

    return said, say
