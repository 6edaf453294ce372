"""Saved notebooks: complete, free of what only the book understands, and running without it."""

import json
import os
import re
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from IPython.core.inputtransformer2 import TransformerManager

from tools import exercises, pages

SOURCE = {page: (ROOT / f"{page}.md").read_text() for page in pages.all_pages()}
LESSONS = [page for page, text in SOURCE.items() if "{exercise-start}" in text]
CODE = [page for page, text in SOURCE.items() if "```{code-cell}" in text]
RUN = """import json, sys
from IPython.core.interactiveshell import InteractiveShell
sys.modules["myst_nb"] = None
InteractiveShell.instance()  # a notebook's cells find one, and display() needs it
exec(open("page.py").read())
print(json.dumps(vars(said) if "said" in globals() else {}))
"""


def saved(book, page):
    return nbformat.read(book / "_sources" / f"{page}.ipynb", as_version=4)


def script(notebook):
    """All code of a notebook as Python."""
    cells = (cell.source for cell in notebook.cells if cell.cell_type == "code")
    return "\n".join(TransformerManager().transform_cell(source) for source in cells)


def undefined(code, folder):
    """Names that no line before defines."""
    path = folder / "code.py"
    path.write_text(code.replace("get_ipython()", "None"))
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F811", path]
    done = subprocess.run([*command, "--output-format=concise"], capture_output=True, text=True)
    return done.stdout.replace("All checks passed!", "").strip()


@pytest.mark.parametrize("page", CODE)
def test_every_page_with_code_can_be_saved_and_runs(book, tmp_path, page):
    """In an empty folder, and without myst_nb, as on a machine without the book's tools."""
    notebook = saved(book, page)
    nbformat.validate(notebook)
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not re.search(r"\{[\w:-]+\}`|^[`:]{3,}\{|^\([\w-]+\)=$", words, re.MULTILINE)
    assert not re.search(r"\]\((?!https?://)", words)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    name = page.rsplit("/", 1)[-1]
    button = f'_sources/{page}.ipynb" download="{name}.ipynb"'
    assert button in (book / f"{page}.html").read_text()
    code = script(notebook)
    assert "myst_nb" not in code and "glue(" not in code
    assert "../" not in code  # nothing is read from the course's folder
    (tmp_path / "page.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout.splitlines()[-1])
    for name in re.findall(r"\{eval\}`said\.(\w+)`", SOURCE[page]):
        assert numbers[name] in words, name


def test_handouts_have_no_solutions(book, tmp_path):
    written = exercises.write(book / "_sources", tmp_path)
    names = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in written}
    assert names == set(LESSONS)
    for path in written:
        notebook = nbformat.read(path, as_version=4)
        page = path.relative_to(tmp_path).with_suffix("").as_posix()
        tasks = SOURCE[page]
        words = "\n".join(cell.source for cell in notebook.cells)
        assert words.count("### Exercise ") == tasks.count("{exercise-start}")
        assert "Solution to" not in words
        solutions = re.findall(
            r"```\{solution-start\}.*?\n```\n(.*?)```\{solution-end\}", tasks, re.DOTALL
        )
        for solution in solutions:
            for code in re.findall(r"```\{code-cell\}.*?\n(.*?)```", solution, re.DOTALL):
                assert code.strip().split("\n", 1)[-1] not in words
        # What is left does not lean on what was taken out.
        assert undefined(script(notebook), tmp_path) == "", page
