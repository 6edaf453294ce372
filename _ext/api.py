"""The API reference: a directive that writes down a room of vgkit from its source alone.

Nothing is imported: names are those of `__all__`, types stand as the author wrote them.
"""

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.docutils import SphinxDirective

PACKAGE = Path(__file__).parent.parent / "vgkit"
NAPOLEON = Config(napoleon_use_ivar=True, napoleon_custom_sections=["Source"])
ENTRY = re.compile(r"    (\*{0,2}\w+): ([A-Za-z]\.)?")
EXAMPLE = re.compile(r"^((?!\.\.|::)\S.*)\n\n(?=    \S)", re.MULTILINE)
NAME = re.compile(r'"[^"]*"|[\w.]+')
ROLE = re.compile(r":\w+:`[^`]+`|``[^`]+``|(\{cite(?::t)?\})?`([^`]+)`")


class Entry(NamedTuple):
    """A public name: where it is public and where defined, by what, and what is said of it."""

    owner: str
    module: str
    name: str
    node: ast.stmt
    doc: str


@functools.cache
def tree(module: str) -> ast.Module:
    """Syntax tree of a module of vgkit."""
    return ast.parse(source(module).read_text("utf-8"))


def source(module: str) -> Path:
    """File of a module of vgkit."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def public(parsed: ast.Module) -> list[str]:
    """The names in `__all__`."""
    for node in parsed.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


def defined(module: str) -> dict[str, Entry]:
    """Everything defined on the top level of a module, by name, with its docstring."""
    found, body = {}, tree(module).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = Entry(module, module, node.name, node, ast.get_docstring(node) or "")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            name = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            doc = inspect.cleandoc(str(after.value.value)) if said else ""
            found[name] = Entry(module, module, name, node, doc)
    return found


def entries(room: str) -> list[Entry]:
    """The public names of a room, module by module as it imports them."""
    parsed, names = tree(room), public(tree(room))
    found = [entry for name, entry in defined(room).items() if name in names]
    for node in parsed.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(room):
            for alias in node.names:
                part = f"{node.module}.{alias.name}"
                if alias.name not in names:
                    continue
                elif source(part).exists():
                    found += entries(part)
                else:
                    found.append(defined(node.module)[alias.name]._replace(owner=room))
    return found


def rooms() -> list[str]:
    """The rooms of vgkit."""
    return [f"vgkit.{name}" for name in public(tree("vgkit"))]


@functools.cache
def full_names() -> frozenset[str]:
    """Every public name of the package with all that leads to it."""
    every = [f"{entry.owner}.{entry.name}" for room in rooms() for entry in entries(room)]
    return frozenset([*every, *rooms()])


def resolved(name: str, room: str) -> str | None:
    """Full name of what the docstrings and types of a room call so, if it is public."""
    return next((n for n in (f"{room}.{name}", f"vgkit.{name}") if n in full_names()), None)


def written(annotation: ast.expr | None, room: str = "") -> str:
    """A type on one line, its public names ready to be linked.

    jaxtyping needs a blank before a single axis; readers do not.
    """
    if annotation is None:
        return ""
    text = ast.unparse(annotation).replace("' ", "'").replace("'", '"')

    def link(match: re.Match) -> str:
        full = resolved(match[0], room) if room and match[0][0] != '"' else None
        return f"~{full}" if full else match[0]

    return NAME.sub(link, text)


def fields(node: ast.ClassDef) -> list[ast.AnnAssign]:
    """What a NamedTuple holds."""
    return [part for part in node.body if isinstance(part, ast.AnnAssign)]


def methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    """A class's functions by name."""
    return {part.name: part for part in node.body if isinstance(part, ast.FunctionDef)}


def arguments(node: ast.FunctionDef) -> list[ast.arg]:
    """All arguments of a function or method."""
    given = node.args
    every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
    return [argument for argument in every if argument and argument.arg != "self"]


def types(node: ast.AST, room: str) -> dict[str, str]:
    """Types of a function's arguments or a class's fields, by name."""
    if isinstance(node, ast.FunctionDef):
        return {a.arg: written(a.annotation, room) for a in arguments(node)}
    if isinstance(node, ast.ClassDef):
        made = methods(node).get("__init__")
        own = {ast.unparse(field.target): written(field.annotation, room) for field in fields(node)}
        return types(made, room) if made else own
    return {}


def signature(node: ast.AST, room: str) -> str:
    """Arguments with their defaults, and what is returned; the arguments' types come below."""
    if isinstance(node, ast.ClassDef):
        if made := methods(node).get("__init__"):
            return signature(made, room).partition(" -> ")[0]
        each = (f"={ast.unparse(field.value)}" if field.value else "" for field in fields(node))
        return f"({', '.join(map(''.join, zip(types(node, room), each, strict=True)))})"
    bare = ast.parse(ast.unparse(node)).body[0]
    for argument in arguments(bare):
        argument.annotation = None
    bare.args.args = [argument for argument in bare.args.args if argument.arg != "self"]
    returned = f" -> {written(node.returns, room)}" if node.returns else ""
    return f"({ast.unparse(bare.args)}){returned}"


def text(doc: str, node: ast.AST, room: str) -> list[str]:
    """A docstring as reStructuredText: types added, names and citations linked."""
    known = types(node, room)

    def with_type(match: re.Match) -> str:
        # A symbol with a full stop would begin a list: the backslash prevents it.
        symbol = f"\\{match[2]}" if match[2] else ""
        kind = known.get(match[1].lstrip("*"), "").replace("*", "\\*")
        return f"    {match[1]} ({kind}): {symbol}" if kind else match[0]

    def link(match: re.Match) -> str:
        cite, name = match.groups()
        if not name:
            return match[0]
        if cite:
            return f":cite:{'t' if cite == '{cite:t}' else 'p'}:`{name}`"
        full = resolved(name, room)
        return f":py:obj:`{name} <{full}>`" if full and name not in known else f"``{name}``"

    lines = [ENTRY.sub(with_type, line, count=1) for line in doc.splitlines()]
    ready = EXAMPLE.sub(r"\1\n\n::\n\n", ROLE.sub(link, "\n".join(lines)))
    # Else what stands before the first colon would be taken for a type.
    ready = ready.replace("\nReturns:\n    ", "\nReturns:\n    : ")
    return GoogleDocstring(ready.splitlines(), NAPOLEON).lines()


def described(entry: Entry, room: str) -> Iterator[str]:
    """An entry as reStructuredText."""
    node, name = entry.node, f"{entry.owner}.{entry.name}".removeprefix(f"{room}.")
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        kind = "function" if isinstance(node, ast.FunctionDef) else "class"
        yield from [f".. py:{kind}:: {name}{signature(node, room)}", ""]
    else:
        yield f".. py:data:: {name}"
        if isinstance(node, ast.AnnAssign):
            yield f"   :type: {written(node.annotation, room)}"
        if len(value := written(node.value)) <= 80:
            yield f"   :value: {value}"
        elif isinstance(node.value, ast.Dict):
            keys = ", ".join(f"``{written(key)}``" for key in node.value.keys)
            yield from ["", f"   Keys: {keys}."]
        yield ""
    yield from (f"   {line}" for line in text(entry.doc, node, room))
    for method in methods(node).values() if isinstance(node, ast.ClassDef) else ():
        doc = ast.get_docstring(method)
        if doc and not method.name.startswith("_"):
            yield from ["", f"   .. py:method:: {method.name}{signature(method, room)}", ""]
            yield from (f"      {line}" for line in text(doc, method, room))
    yield ""


class Room(SphinxDirective):
    """`.. room:: vgkit.grads`: every public name of it, for use in reStructuredText."""

    required_arguments = 1

    def parsed(self, lines: list[str]) -> list[nodes.Node]:
        """The nodes that reStructuredText stands for."""
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, source=self.arguments[0]), 0, holder)
        return holder.children

    def run(self) -> list[nodes.Node]:
        """The room's own text, then a section for each of its modules."""
        room = self.arguments[0]
        for path in [Path(__file__), *sorted(PACKAGE.rglob("*.py"))]:
            self.env.note_dependency(str(path))
        for function in (tree, full_names):
            function.cache_clear()
        by_module: dict[str, list[str]] = {room: [f".. py:module:: {room}", ""]}
        for entry in entries(room):
            by_module.setdefault(entry.module, []).extend(described(entry, room))
        found = []
        for module, lines in by_module.items():
            said = text(ast.get_docstring(tree(module)) or "", tree(module), room)
            parts = self.parsed([*said, "", *lines])
            if module == room:
                found += parts
                continue
            title = module.rpartition(".")[2].replace("_", " ").capitalize()
            found.append(nodes.section("", nodes.title(title, title), *parts, ids=[module]))
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("room", Room)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
