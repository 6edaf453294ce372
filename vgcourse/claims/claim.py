"""What a claim is made of, and the ranges that its numbers come in."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

VERDICTS = ("holds", "holds under conditions", "misleading", "false")
"""What measurement can say. "Misleading" is true of some networks, but no ground to act on."""


class Range(NamedTuple):
    """A number over seeds; all three are equal where nothing is drawn.

    Attributes:
        median: The median.
        least: The least.
        largest: The largest.
    """

    median: float
    least: float
    largest: float


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
        sentence: The numbers in plain words.
        page: Label of the page that shows it.
        section: Heading on that page.
    """

    id: str
    sources: tuple[str, ...]
    text: str
    verdict: str
    why: str
    evidence: Callable[[], Evidence]
    follows: Callable[[Evidence], bool]
    sentence: Callable[[Evidence], str]
    page: str
    section: str


def measure(claim: Claim) -> Evidence:
    """Compute the evidence of a claim, in float64 whatever JAX is set to.

    Args:
        claim: One of `ALL`.
    """
    with jax.enable_x64(True):
        return claim.evidence()


def over(values: ArrayLike | float) -> Range:
    """Median, least and largest of one number for each seed. Infinite and missing ones count.

    Args:
        values: One number for each seed, or a single one, of shape ().
    """
    known = np.asarray(values, float).ravel()
    return Range(float(np.median(known)), float(known.min()), float(known.max()))


def say(number: Range, form: str = ".2g") -> str:
    """A number in words: its median, and its range where that reads differently.

    Args:
        number: A number over seeds.
        form: Format of its parts, as for `format`.
    """
    median, least, largest = (format(value, form) for value in number)
    return median if least == largest else f"{median} ({least} to {largest})"
