"""What every page needs: numbers that its text says."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import SupportsFloat

try:
    from myst_nb import glue
except ImportError:  # a notebook outside the book, where the numbers stand in the text already
    glue = None


def numbers() -> tuple[SimpleNamespace, Callable[..., None]]:
    """Where a page puts the numbers of its text, and the function that puts them there.

    In the first cell of a page, `said, say = page.numbers()`; then `say(depth=(30, ".0f"))` lets
    the text say {eval}`said.depth`. The book takes the number from the cell's output, JupyterLab
    from the variable `said`.
    """
    said = SimpleNamespace()

    def say(**numbers: tuple[SupportsFloat, str]) -> None:
        """Hand numbers, each with its format, to the text."""
        for name, (number, form) in numbers.items():
            text = format(float(number), form)
            setattr(said, name, text)
            if glue:
                glue(name, text, display=False)

    return said, say
