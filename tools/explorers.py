"""The book's own explorers, without running all of its pages."""

import ast
import contextlib
import dis
import os
from types import CodeType

import jupytext
import matplotlib

from tools import pages
from vgkit import explore

OWN = ").using(mine)"
"""How a page has the reader's own function take the explorer's place."""
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


def needed(source: str, own: bool = False) -> ast.Module:
    """The statements that make a page's explorers, and what those need, backwards.

    Args:
        source: The page's code.
        own: Whether to keep the places too where readers give an explorer a function of their own.
    """
    wanted: set[str] = set()
    kept: list[ast.stmt] = []
    for statement in reversed(ast.parse(source).body):
        code = compile(ast.Module([statement], []), "page", "exec")
        bound = {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_NAME"}
        text = ast.unparse(statement)
        makes = "explore.Explorer(" in text or text.startswith("jax.config")
        makes |= own and text.endswith(OWN)
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


def of(page: str, own: bool = False) -> list[explore.Explorer]:
    """Every explorer of a page, made by that part of the page's code that it needs.

    The notebooks' settings apply, that of 64-bit numbers among them.

    Args:
        page: Its path without ".md".
        own: Whether to make the readers' own too, which are titled "Your turn".
    """
    matplotlib.use("agg")
    notebook = jupytext.read(pages.ROOT / f"{page}.md")
    source = "\n".join(
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and "remove-cell" not in cell.metadata.get("tags", [])
    )
    found: list[explore.Explorer] = []
    original = explore.Explorer.__init__

    def record(self, *arguments, **named) -> None:
        original(self, *arguments, **named)
        found.append(self)

    explore.Explorer.__init__ = record
    try:
        with contextlib.chdir(pages.ROOT / os.path.dirname(page)):
            exec(compile(needed(source, own), f"{page}.md", "exec"), {"__name__": "__main__"})
    finally:
        explore.Explorer.__init__ = original
    return found
