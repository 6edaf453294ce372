"""The page of re-measured classics: every work is cited and judged, and its verdict asserted."""

import re

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


def test_the_summary_is_filled_without_scripts(book, open_page):
    page = open_page((book / "chapters/classics.html").as_uri(), java_script_enabled=False)
    table = page.locator("table", has_text="Published").first
    rows = [row.locator("td").all_text_contents() for row in table.locator("tbody tr").all()]
    assert len({row[0] for row in rows}) == len(WORKS)
    for row in rows:
        assert len(row) == 6 and all(cell.strip() for cell in row)
        assert re.fullmatch(VERDICT, row[-1].strip()[2:])
