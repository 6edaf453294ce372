"""The pages' notebooks run without the book, which offers the same; so do those for handing out."""

import json
import os
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT
from IPython.core.inputtransformer2 import TransformerManager

from tools import notebooks, pages

CODE = [p for p in pages.all_pages() if "```{code-cell}" in (ROOT / f"{p}.md").read_text()]
RUN = """import sys
from IPython.core.interactiveshell import InteractiveShell
sys.modules["myst_nb"] = None
InteractiveShell.instance()  # a notebook's cells find one, and display() needs it
exec(open("page.py").read())
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """All pages as `make lab` writes them."""
    folder = tmp_path_factory.mktemp("notebooks")
    notebooks.write(folder)
    return folder


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def script(notebook):
    """All code of a notebook as Python."""
    return "\n".join(map(TransformerManager().transform_cell, code(notebook)))


def undefined(text, folder):
    """Names that no line before defines."""
    path = folder / "code.py"
    path.write_text(text.replace("get_ipython()", "None"))
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F811", path]
    done = subprocess.run([*command, "--output-format=concise"], capture_output=True, text=True)
    return done.stdout.replace("All checks passed!", "").strip()


@pytest.mark.parametrize("page", CODE)
def test_a_notebook_runs_and_the_book_offers_it(book, written, tmp_path, page):
    """In an empty folder, and without myst_nb, as on a machine without the book's tools."""
    notebook = nbformat.read(written / f"{page}.ipynb", as_version=4)
    button = f'_sources/{page}.ipynb" download="{page.rsplit("/", 1)[-1]}.ipynb"'
    assert button in (book / f"{page}.html").read_text()
    saved = nbformat.read(book / "_sources" / f"{page}.ipynb", as_version=4)
    assert code(saved) == code(notebook) and len(saved.cells) == len(notebook.cells)
    text = script(notebook)
    assert "myst_nb" not in text and "../" not in text  # nothing is read from the course's folder
    (tmp_path / "page.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_handouts_do_not_lean_on_solutions(tmp_path):
    notebooks.write(tmp_path / "handouts", solved=False)
    for page in CODE:
        notebook = nbformat.read(tmp_path / "handouts" / f"{page}.ipynb", as_version=4)
        assert "Solution to" not in json.dumps(notebook)
        assert undefined(script(notebook), tmp_path) == "", page
