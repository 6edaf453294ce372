"""The code of a page without what checks its claims and hands numbers to its text."""

import ast
import re
from collections.abc import Iterator

CALL = re.compile(r"(?:say|page\.numbers|page\.texts)\(|.*\bassert_", re.DOTALL)
BINDING = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


def is_check(node: ast.stmt) -> bool:
    """Whether a statement asserts something or hands over numbers, and does nothing else."""
    match node:
        case ast.Assert():
            return True
        case ast.Expr(ast.Call() as call) | ast.Assign(value=ast.Call() as call):
            return bool(CALL.match(ast.unparse(call)))
        case ast.For(body=body, orelse=other) | ast.If(body=body, orelse=other):
            return all(map(is_check, [*body, *other]))
        case ast.With(items=items, body=body):
            raises = any(CALL.match(ast.unparse(item)) for item in items)
            return raises or all(map(is_check, body))
    return False


def checks(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The checks of a cell, those inside its loops too."""
    for node in body:
        if is_check(node):
            yield node
        elif isinstance(node, (ast.For, ast.With)) and not all(map(is_check, node.body)):
            yield from checks(node.body)


def without(source: str, nodes: list[ast.stmt]) -> str:
    """A source without some of its statements and the comments above them."""
    lines: list[str | None] = list(source.split("\n"))
    for node in nodes:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
        while first and (lines[first - 1] or "").lstrip().startswith("#"):
            first -= 1
        lines[first : node.end_lineno] = [None] * (node.end_lineno - first)
    kept = "\n".join(line for line in lines if line is not None)
    return re.sub(r"\n{4,}", "\n\n\n", kept).strip()


def unchecked(source: str) -> str:
    """A cell without its checks."""
    return without(source, list(checks(ast.parse(source).body)))


def names(node: ast.AST, context: type[ast.expr_context]) -> set[str]:
    """Names that a statement reads (`ast.Load`) or binds (`ast.Store`)."""
    found = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and type(n.ctx) is context}
    if context is ast.Store:
        aliases = (n for n in ast.walk(node) if isinstance(n, ast.alias))
        found |= {(a.asname or a.name).split(".")[0] for a in aliases}
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found = {node.name}
    return found


def used(source: str, read: set[str]) -> str:
    """A cell without what it binds for no one, as later cells read only these names."""
    read, unused = set(read), []
    for node in reversed(ast.parse(source).body):
        bound = names(node, ast.Store)
        if isinstance(node, BINDING) and bound and not bound & read:
            unused.append(node)
        else:
            read |= names(node, ast.Load)
    return without(source, unused)
