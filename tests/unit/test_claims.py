"""Claims: the verdict follows from the stored numbers, and would not follow from others."""

import math
import re

import numpy as np
import pytest
from conftest import ROOT

from vgcourse import claims

EVIDENCE = claims.load_evidence()


def others(spread):
    """What a number is not: far larger, far smaller, of the other sign, one minus it."""
    for factor, shift in ((1e6, 0), (1e-6, 0), (1, 1), (-1, 0), (-1, 1), (0, 1)):
        yield claims.Range(*(factor * value + shift for value in spread))


@pytest.mark.parametrize("name", claims.ALL)
def test_the_verdict_rests_on_every_number(name):
    claim, evidence = claims.ALL[name], EVIDENCE[name]
    assert claim.follows(evidence)
    for number, spread in evidence.items():
        assert not all(claim.follows({**evidence, number: one}) for one in others(spread)), number
        missing = claims.Range(math.nan, math.nan, math.nan)
        assert not claim.follows({**evidence, number: missing}), number


@pytest.mark.parametrize("name", claims.ALL)
def test_a_claim_is_whole(name):
    claim = claims.ALL[name]
    assert claim.id == name and claim.verdict in claims.VERDICTS
    assert set(claim.sources) <= {"D0", "D1", "D2", "D3", "D4"}
    assert bool(claim.sources) == name.startswith("C")
    for sentence in (claim.text, claim.why, claim.sentence(EVIDENCE[name])):
        assert sentence[0] in '0"|' or sentence[0].isupper() or sentence.startswith("tanh")
        assert sentence.endswith(".") and "nan" not in sentence
    page = (ROOT / "chapters" / f"{claim.page}.md").read_text()
    assert re.search(f"^## {re.escape(claim.section)}$", page, re.MULTILINE)


def test_a_range_reads_as_one_number_where_nothing_is_drawn():
    three = claims.spread([3.0, 1.0, 2.0])
    assert three == (2, 1, 3) and f"{three:.1f}" == "2.0 (1.0 to 3.0)"
    assert f"{claims.spread(0.25)}" == "0.25"
    assert np.isnan(claims.spread([1.0, np.nan]).median)
