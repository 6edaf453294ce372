"""The explorers of a page, made by those of its cells that have the tag "explorer"."""

import ast
import contextlib
from typing import Any

import jupytext
import matplotlib.pyplot as plt

from tools import pages
from vgkit import explore


def of(page: str) -> list[explore.Explorer]:
    """What the tagged cells of a page show; explorers for readers have the title "Your turn".

    Args:
        page: Its path without ".md".
    """
    cells = jupytext.read(pages.ROOT / f"{page}.md").cells
    tagged = [cell.source for cell in cells if "explorer" in cell.metadata.get("tags", [])]
    scope: dict[str, Any] = {}
    with plt.rc_context(), contextlib.chdir((pages.ROOT / page).parent):
        shown = [run(source, scope) for source in tagged]
    return [value for value in shown if isinstance(value, explore.Explorer)]


def run(source: str, scope: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, if that is an expression."""
    cell = ast.parse(source)
    last = cell.body.pop() if isinstance(cell.body[-1], ast.Expr) else None
    exec(compile(cell, "cell", "exec"), scope)
    return last and eval(compile(ast.Expression(last.value), "cell", "eval"), scope)
