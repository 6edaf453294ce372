"""The book's own explorers, without running all of its pages."""

import ast
import contextlib
import dis
import os
from collections.abc import Sequence
from types import CodeType

import jupytext
import matplotlib

from tools import pages
from vgkit import explore

CHANGES = {"append", "extend", "update", "setdefault"}


def uses(code: CodeType) -> set[str]:
    """Global names that a piece of code reads, its functions included."""
    inner = [uses(part) for part in code.co_consts if isinstance(part, CodeType)]
    read = {
        i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_NAME", "LOAD_GLOBAL")
    }
    return read.union(*inner)


def changes(statement: ast.stmt) -> set[str]:
    """Global names whose value a statement changes: by an item, an attribute or a method."""
    found = set()
    for part in ast.walk(statement):
        stored = isinstance(getattr(part, "ctx", None), ast.Store)
        if stored and isinstance(part, ast.Subscript | ast.Attribute):
            owner = part.value
        elif isinstance(part, ast.Call) and getattr(part.func, "attr", "") in CHANGES:
            owner = part.func.value
        else:
            continue
        while isinstance(owner, ast.Subscript | ast.Attribute):
            owner = owner.value
        found |= {owner.id} if isinstance(owner, ast.Name) else set()
    return found


def needed(source: str) -> ast.Module:
    """The statements that make a page's explorers, and what those need, backwards."""
    wanted: set[str] = set()
    kept: list[ast.stmt] = []
    for statement in reversed(ast.parse(source).body):
        code = compile(ast.Module([statement], []), "page", "exec")
        bound = {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_NAME"}
        text = ast.unparse(statement)
        makes = "explore.Explorer(" in text or text.startswith("jax.config")
        if makes or (bound | changes(statement)) & wanted:
            if isinstance(statement, ast.Assign | ast.FunctionDef):
                wanted -= bound
            wanted |= uses(code)
            kept.insert(0, statement)
    return ast.Module(kept, [])


def is_notebook(page: str) -> bool:
    """Whether a page has code that runs."""
    return "kernelspec" in (pages.ROOT / f"{page}.md").read_text("utf-8")[:300]


def notebooks() -> list[str]:
    """The pages that have an explorer and code that runs."""
    return list(filter(is_notebook, pages.live()))


def explorers(names: Sequence[str]) -> dict[str, list[explore.Explorer]]:
    """Every explorer of some pages, made by that part of a page's code that it needs.

    The notebooks' settings apply, that of 64-bit numbers among them.
    """
    matplotlib.use("agg")
    made: dict[str, list[explore.Explorer]] = {}
    original = explore.Explorer.__init__
    for page in names:
        found = made[page] = []

        def record(self, *arguments, found=found, **named) -> None:
            original(self, *arguments, **named)
            found.append(self)

        notebook = jupytext.read(pages.ROOT / f"{page}.md")
        source = "\n".join(
            cell.source
            for cell in notebook.cells
            if cell.cell_type == "code" and "remove-cell" not in cell.metadata.get("tags", [])
        )
        explore.Explorer.__init__ = record
        try:
            with contextlib.chdir(pages.ROOT / os.path.dirname(page)):
                exec(compile(needed(source), f"{page}.md", "exec"), {"__name__": "__main__"})
        finally:
            explore.Explorer.__init__ = original
    return made
