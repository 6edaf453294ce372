"""The book's pages as notebooks, without Sphinx and without running anything.

    python -m tools.notebooks notebooks

They are what JupyterLab, Binder and the book's download button open: the text as in the book, with
numbers, links and citations resolved; code that only draws is folded, and so are solutions; what
checks the claims is left out. A notebook that its reader has changed is never overwritten unasked.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from tools import checks, course, pages
from tools.markdown import Writer, folded
from vgcourse import page as course_page

NUMBERS = pages.ROOT / "vgcourse" / "_data" / "numbers.json"
MADE = "vanishing_gradients"  # in a notebook's metadata: a hash of what was generated
FOLDED = {"hide-input", "remove-input", "remove-cell"}
UNDER = {"jp-MarkdownHeadingCollapsed": True}  # JupyterLab folds what stands under the heading
PLUMBING = "# What the next cells need."  # the one line in view: the code may give an answer away
RUN = """\
> **Run ▸ Run All Cells** computes everything on this page. A bar that ends in three dots is folded
> code: click it to see the code. `name.function??` in a new cell shows the code of a function."""
INSTALL = """\
# The course's packages are needed; where they are missing, they are installed here.
import importlib.util

if importlib.util.find_spec("vgcourse") is None:
    {0}"""
ARCHIVE = '%pip install --quiet "vgkit[course] @ https://github.com/{0}/archive/refs/heads/{1}.zip"'
UNKNOWN = """raise ModuleNotFoundError("In the course's folder, run: pip install '.[course]'")"""
SOLUTION = re.compile(r"^```\{solution-(?:start|end)\}(?: (\S+)(?:\n:.*)*)?\n```$", re.MULTILINE)
LICENCE = "Text: CC BY 4.0. Code: MIT."


def git(*arguments: str) -> str:
    """What git answers about this tree, or nothing."""
    try:
        command = ["git", "-C", str(pages.ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def repository(url: str = "", branch: str = "") -> tuple[str, str]:
    """Owner/name on GitHub, and branch, of the course's source; empty where unknown."""
    url = os.environ.get("VGKIT_REPOSITORY") or url or git("remote", "get-url", "origin")
    match = re.fullmatch(r"(?:.*github\.com[:/])?([\w.-]+/[\w.-]+?)(?:\.git)?/?", url)
    if not match:
        return "", ""
    branch = branch or git("rev-parse", "--abbrev-ref", "HEAD")
    return match[1], "main" if branch in ("", "HEAD") else branch


def installation(owner: str, branch: str) -> str:
    """Code that installs the course's packages where they are missing, as on Colab."""
    return INSTALL.format(ARCHIVE.format(owner, branch) if owner else UNKNOWN)


def number(kept: Mapping[str, str | float], page: str, name: str, form: str) -> str:
    """The text of a number, from those that the book's page computed.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in kept:
        raise ValueError(f"{page}: no number {name!r} is kept; run: make numbers")
    value = kept[name]
    return value if isinstance(value, str) else course_page.text(value, form)


def parted(cells: list[NotebookNode]) -> Iterator[tuple[NotebookNode, str]]:
    """Cells, each with the label of the exercise that it solves or an empty one."""
    label = ""
    for cell in cells:
        if cell.cell_type == "code":
            yield cell, label
            continue
        parts = SOLUTION.split(cell.source)  # texts, with the labels of starts and ends between
        for place, part in enumerate(parts):
            if place % 2:
                label = part or ""
            elif part.strip():
                yield new_markdown_cell(part), label


def metadata(tags: set[str], solves: str) -> dict:
    """What a code cell is there for, and whether it is folded."""
    kinds = ["solution"] * bool(solves) + ["plumbing"] * ("remove-cell" in tags)
    return {"tags": kinds, "jupyter": {"source_hidden": bool(solves or FOLDED & tags)}}


def explained(writer: Writer, cells: list[NotebookNode]) -> Iterator[NotebookNode]:
    """The cells of a notebook: text written out, checks left out, plumbing and solutions folded.

    A solution keeps its checks: they show that it is one.
    """
    begun = ""
    for cell, label in parted(cells):
        kept = metadata({*cell.metadata.get("tags", [])}, label)
        if label not in ("", begun):
            title = f"#### Solution to {writer.course.labels[label].title}"
            yield new_markdown_cell(title, metadata={"tags": kept["tags"], **UNDER})
        begun = label
        if cell.cell_type == "code":
            source = cell.source if label else checks.unchecked(cell.source)
            yield new_code_cell(source, metadata=kept)
            continue
        text = writer.text(cell.source)
        text = folded("Explanation", text) if label else text
        yield new_markdown_cell(text, metadata={"tags": kept["tags"]})


def needed(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Cells that hold something, plumbing only where a later cell has a use for it."""
    read: set[str] = set()
    for cell in reversed(cells):
        if cell.cell_type == "code":
            if "plumbing" in cell.metadata["tags"]:
                source = checks.used(cell.source, read)
                cell.source = f"{PLUMBING}\n{source}" if source else ""
            read |= checks.names(ast.parse(cell.source), ast.Load)
    return [cell for cell in cells if cell.source]


def footer(writer: Writer) -> str:
    """Where to go from a page, and its licence."""
    names = [*writer.course.texts]
    here = names.index(writer.page)
    around = {"Previous": names[:here][-1:], "Next": names[here + 1 :][:1]}
    places = {word: writer.course.place(found[0]) for word, found in around.items() if found}
    ways = [f"{word}: {writer.link(place, place.title)}" for word, place in places.items()]
    whole = writer.link(writer.course.place(names[0]), "Vanishing gradients")
    return (
        f"## Where to go from here\n\n{' · '.join(ways)}\n\nA page of the course {whole}. {LICENCE}"
    )


def notebook(writer: Writer, install: str) -> NotebookNode:
    """The notebook of a page.

    Args:
        writer: Of the page's text.
        install: Code that installs the course's packages where they are missing.
    """
    read = jupytext.reads(writer.course.texts[writer.page], "md:myst").cells
    cells = needed([*explained(writer, read)])
    code = [place for place, cell in enumerate(cells) if cell.cell_type == "code"]
    if code:
        welcome = new_markdown_cell(RUN)
        cells[code[0] : code[0]] = [
            welcome,
            new_code_cell(install, metadata=metadata({"hide-input"}, "")),
        ]
    cells.append(new_markdown_cell(footer(writer)))
    for place, cell in enumerate(cells):
        cell.id = f"cell-{place}"  # nbformat's own would differ from time to time
    made = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        MADE: fingerprint(cells),
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=made)


def fingerprint(cells: list[NotebookNode]) -> str:
    """A hash of what a reader may have changed; results of a run do not count."""
    content = [(cell.cell_type, cell.source) for cell in cells]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def unsolved(solved: NotebookNode) -> NotebookNode:
    """A copy without the cells that solve an exercise."""
    cells = [c for c in solved.cells if "solution" not in c.metadata.get("tags", [])]
    made = {**solved.metadata, MADE: fingerprint(cells)}
    return nbformat.v4.new_notebook(cells=cells, metadata=made)


def put(new: NotebookNode, path: Path, fresh: bool) -> str:
    """Write a notebook where a reader may have changed an older one; what a reader has to know.

    An unchanged one is replaced if there is something new; beside a changed one the new one gets
    the ending ".new.ipynb". With `fresh`, both are replaced.
    """
    beside = path.with_suffix(".new.ipynb")
    if path.exists() and not fresh:
        old = nbformat.read(path, as_version=4)
        made = old.metadata.get(MADE)
        if made == new.metadata[MADE]:
            return ""
        if made != fingerprint(old.cells):
            nbformat.write(new, beside)
            return f"{path} is kept, as you have changed it; the new one is {beside.name}"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new, path)
    beside.unlink(missing_ok=True)
    return ""


def write(folder: Path, *, fresh: bool = False, solved: bool = True) -> list[str]:
    """Write all pages as notebooks that link to each other; what a reader has to know.

    Args:
        folder: Where; it may hold older ones.
        fresh: Replace also what a reader has changed.
        solved: With the solutions of the exercises.
    """
    whole, kept = course.read(), json.loads(NUMBERS.read_text("utf-8"))
    install = installation(*repository())
    messages = []
    for page in whole.texts:
        writer = Writer(whole, page, course.beside, partial(number, kept.get(page, {}), page))
        made = notebook(writer, install)
        message = put(made if solved else unsolved(made), folder / f"{page}.ipynb", fresh)
        messages += [message] if message else []
    return [*messages, f"{len(whole.texts)} notebooks are in {folder}"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write them")
    parser.add_argument("--fresh", action="store_true", help="replace also what you have changed")
    parser.add_argument("--unsolved", action="store_true", help="leave the solutions out")
    chosen = parser.parse_args()
    print(*write(chosen.folder, fresh=chosen.fresh, solved=not chosen.unsolved), sep="\n")
