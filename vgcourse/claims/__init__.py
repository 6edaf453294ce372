"""Every claim that the course examines, each with a verdict and a function that measures it anew.

What the verdict on claim C07 rests on:

    claim = claims.ALL["C07"]
    evidence = claims.measure(claim)
    assert claim.follows(evidence)
    print(claim.verdict, claim.sentence(evidence))

`python -m vgcourse.experiments.claims --write` stores all numbers, which `load_evidence` reads.
"""

from vgcourse import results
from vgcourse.claims import causes, chain_rule, detection, gradients, remedies, solutions, traps
from vgcourse.claims.claim import VERDICTS, Claim, Evidence, Range, measure, spread
from vgcourse.claims.table import SIGNS, table

CHAPTERS: dict[str, tuple[Claim, ...]] = {
    "Gradients": gradients.CLAIMS,
    "Chain rule": chain_rule.CLAIMS,
    "Causes": causes.CLAIMS,
    "Detection": detection.CLAIMS,
    "Solutions": solutions.CLAIMS + remedies.CLAIMS,
    "Traps": traps.CLAIMS,
}
"""The claims by the chapter that they belong to, and the traps."""
ALL: dict[str, Claim] = {claim.id: claim for claims in CHAPTERS.values() for claim in claims}
"""Every claim by its id."""


def load_evidence() -> dict[str, Evidence]:
    """Evidence of every claim as it came with the course, by id."""
    return {
        name: {number: Range(*values) for number, values in numbers.items()}
        for name, numbers in results.load("claims")["runs"].items()
    }


__all__ = [
    "ALL",
    "CHAPTERS",
    "SIGNS",
    "VERDICTS",
    "Claim",
    "Evidence",
    "Range",
    "load_evidence",
    "measure",
    "spread",
    "table",
]
