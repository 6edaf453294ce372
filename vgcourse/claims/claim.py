"""What a claim is made of, and the ranges that its numbers come in."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

VERDICTS = ("holds", "holds under conditions", "misleading", "false")
"""What measurement can say. "Misleading" is true of some networks, but no ground to act on."""


class Range(NamedTuple):
    """A number over seeds; all three are equal where nothing is drawn.

    In text it reads as its median, and its range where that reads differently: `f"{number:.2f}"`.

    Attributes:
        median: The median.
        least: The least.
        largest: The largest.
    """

    median: float
    least: float
    largest: float

    def __format__(self, form: str) -> str:
        """Median and range, each by a format such as ".2f"; two significant digits without one."""
        median, least, largest = (format(value, form or ".2g") for value in self)
        return median if least == largest else f"{median} ({least} to {largest})"


Numbers = dict[str, Any]
"""What one measurement of a claim returns by name: a number for each seed, or a single one."""
Evidence = dict[str, Range]
"""What was measured for a claim, as numbers by name."""


class Claim(NamedTuple):
    """A sentence about vanishing gradients, the verdict on it, and what the verdict rests on.

    Attributes:
        id: C01 to C33 for the claims, T1 to T8 for the traps.
        sources: Who says so, D0 to D4; nobody but this course for a trap.
        text: The claim in the course's own words.
        verdict: One of `VERDICTS`.
        why: One sentence.
        evidence: Measures named numbers anew, with fixed seeds. Call it through `measure`.
        follows: Whether the verdict follows from the numbers.
        template: The numbers in plain words, with their names and formats between braces.
        page: Path, from the chapters' folder, of the page that shows it.
        section: Heading on that page.
    """

    id: str
    sources: tuple[str, ...]
    text: str
    verdict: str
    why: str
    evidence: Callable[[], Numbers]
    follows: Callable[[Evidence], bool]
    template: str
    page: str
    section: str

    def sentence(self, evidence: Evidence) -> str:
        """The numbers in plain words."""
        return self.template.format(**evidence)


def measure(claim: Claim) -> Evidence:
    """Compute the evidence of a claim, in float64 whatever JAX is set to.

    Args:
        claim: One of `ALL`.
    """
    with jax.enable_x64(True):
        return {name: spread(values) for name, values in claim.evidence().items()}


def spread(values: ArrayLike | float) -> Range:
    """Median, least and largest of one number for each seed; NaN and infinities are included.

    Args:
        values: One number for each seed, or a single one, of shape ().
    """
    numbers = np.asarray(values, float).ravel()
    return Range(float(np.median(numbers)), float(numbers.min()), float(numbers.max()))
