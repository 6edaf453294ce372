"""The page of re-measured classics: every row is whole, its verdict asserted and told."""

import ast
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from conftest import ROOT

TEXT = (ROOT / "chapters/classics.md").read_text()
VERDICTS = ("agrees", "agrees in kind", "differs")
CHAPTERS = "\n".join(path.read_text() for path in (ROOT / "chapters").rglob("*.md"))
LABELS = set(re.findall(r"^\((.+)\)=$", CHAPTERS, re.MULTILINE))
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
WORKS = {head: body for head, body in SECTIONS.items() if re.match(r".*(\d{4}|tutorial):", head)}


def code(text):
    """Python of the cells of a text, their options left out."""
    cells = re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join(re.sub(r"\A(---\n.*?---\n|:tags:[^\n]*\n)", "", c, flags=re.S) for c in cells)


def calls(text, name):
    """Every call of a function, with the statement around it."""
    for statement in ast.walk(ast.parse(code(text))):
        if isinstance(statement, ast.Assert):
            for node in ast.walk(statement):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                    yield statement, node


@pytest.fixture
def functions():
    """The page's own small functions, taken out of it."""
    wanted = {"around", "within", "entry", "rate"}
    kept = [
        node
        for node in ast.parse(code(TEXT)).body
        if isinstance(node, ast.FunctionDef) and node.name in wanted
    ]
    assert {node.name for node in kept} == wanted
    space = {"np": np, "rows": [], "SIGNS": dict.fromkeys(VERDICTS, "+")}
    exec(compile(ast.Module(kept, []), "classics", "exec"), space)
    return space


@pytest.mark.parametrize("head", WORKS)
def test_a_work_is_cited_measured_judged_and_taught(head):
    body = WORKS[head]
    keys = set(re.findall(r"\{cite:[pt]\}`(\w+)`", body))
    known = set(re.findall(r"@\w+\{(\w+),", (ROOT / "references.bib").read_text()))
    assert keys and keys <= known
    links = set(re.findall(r"\{ref\}`([\w-]+)`", body))
    assert links and links <= LABELS
    found = list(calls(body, "entry"))
    assert found
    for statement, call in found:
        assert len(call.args) in (6, 7) and not call.keywords
        # the rule is computed: it could have come out otherwise
        assert not any(isinstance(rule, ast.Constant) and rule.value for rule in call.args[5:])
        assert isinstance(statement.test, ast.Compare), "the verdict is asserted"
    asserted = {
        node.value
        for node in ast.walk(ast.parse(code(body)))
        if isinstance(node, ast.Constant) and node.value in VERDICTS
    }
    prose = " ".join(body.split())
    verdicts = re.findall(r"\*\*(?:Verdict: )?(agrees in kind|agrees|differs)\.?\*\*", prose)
    assert set(verdicts) == asserted


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
    assert table.locator("th").count() == 6
    rows = [row.locator("td").all_text_contents() for row in table.locator("tbody tr").all()]
    assert len({row[0] for row in rows}) == len(WORKS)
    for row in rows:
        assert len(row) == 6 and all(cell.strip() for cell in row)
        assert row[-1].strip()[2:] in VERDICTS
