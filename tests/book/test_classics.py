"""The page of re-measured classics: every work is cited and judged, and its verdict asserted."""

import ast
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from conftest import ROOT
from lessons import LABEL

TEXT = (ROOT / "chapters/classics.md").read_text()
VERDICT = "agrees in kind|agrees|differs"
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
WORKS = {head: body for head, body in SECTIONS.items() if re.match(r".*(\d{4}|tutorial):", head)}


def code(text):
    """Python of the cells of a text, their options left out."""
    cells = re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join(re.sub(r"\A(---\n.*?---\n|:tags:[^\n]*\n)", "", c, flags=re.S) for c in cells)


def test_a_work_is_cited_judged_and_taught():
    known = set(re.findall(r"@\w+\{(\w+),", (ROOT / "references.bib").read_text()))
    assert len(WORKS) >= 10
    for head, body in WORKS.items():
        keys = set(re.findall(r"\{cite:[pt]\}`(\w+)`", body))
        links = set(re.findall(r"\{ref\}`([\w-]+)`", body))
        assert keys and keys <= known and links and links <= LABEL.keys(), head
        asserted = re.findall(rf'"({VERDICT})"', code(body))
        prose = re.findall(rf"\*\*(?:Verdict: )?({VERDICT})\.?\*\*", " ".join(body.split()))
        assert asserted and set(prose) == set(asserted), head


@pytest.fixture
def functions():
    """The page's own small functions, taken out of it."""
    wanted = ("around", "within", "entry", "rate")
    functions = [n for n in ast.parse(code(TEXT)).body if getattr(n, "name", "") in wanted]
    space = {"np": np, "rows": [], "SIGNS": dict.fromkeys(VERDICT.split("|"), "+")}
    exec(compile(ast.Module(functions, []), "classics", "exec"), space)
    return space


def test_verdict_interval_and_rate(functions):
    entry, rate, row = functions["entry"], functions["rate"], ("work", "setting", "1", "2", 3)
    assert entry(*row, True) == entry(*row, True, True) == "agrees"
    assert entry(*row, False, True) == "agrees in kind"
    assert entry(*row, False) == entry(*row, False, False) == "differs"
    assert functions["rows"][-1] == ("work", "setting", "1", "2", "3", "+ differs")
    values = np.arange(201) / 200
    assert functions["around"](values, ".3f") == "0.500 [0.025, 0.975]"
    inside = [functions["within"](number, values) for number in (0.02, 0.03, 0.97, 0.98)]
    assert inside == [False, True, True, False]
    assert math.isclose(rate(1e8), math.pi / (math.pi - 1), rel_tol=1e-6)  # the theorem's limit
    rates = [rate(size) for size in (8, 16, 64, 256)]
    assert rates == sorted(rates, reverse=True)


def test_published_arithmetic():
    he = 5.9 * 4.2**2 * 2.9**2 * 2.1**4  # the rounded factors that the paper multiplies
    assert f"{he:.1e}" == "1.7e+04"
    share = Fraction(sum(math.comb(54, blocks) for blocks in range(5, 18)), 2**54)
    assert f"{float(share):.2%}" == "0.45%"


def test_the_summary_is_filled_without_scripts(book, open_page):
    page = open_page((book / "chapters/classics.html").as_uri(), java_script_enabled=False)
    table = page.locator("table", has_text="Published").first
    rows = [row.locator("td").all_text_contents() for row in table.locator("tbody tr").all()]
    assert len({row[0] for row in rows}) == len(WORKS)
    for row in rows:
        assert len(row) == 6 and all(cell.strip() for cell in row)
        assert re.fullmatch(VERDICT, row[-1].strip()[2:])
