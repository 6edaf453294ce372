"""The API reference: every public name is explained, with the shapes of its arrays, on its page."""

import ast
import inspect
import re
import textwrap

from conftest import ROOT, public

import vgkit

# Float[Array, "batch units"], or a single number that may be traced: float | Array
SHAPED = re.compile(r"\w+\[[^\[\]]*, ['\"][^'\"]*['\"]\]|\b(?:bool|int|float|str) \| Array")
WORDS = re.compile(r"shape|\(\w+(, [\w.]+)*,?\)|scalar|number|Source of")


INDEX = (ROOT / "api" / "index.md").read_text()
COMMON = re.findall(r"`(\w+)`", re.search(r"\| Argument \|.*?\n\n", INDEX, re.S)[0])


ROOMS = {name: dict(public(getattr(vgkit, name))) for name in vgkit.__all__}
EVERY = {name: value for names in ROOMS.values() for name, value in names.items()}


def entries(doc):
    """Texts of the sections Args and Attributes, by name."""
    section = re.search(r"^(?:Args|Attributes):\n((?:    .*\n|\n)+)", doc + "\n", re.M)
    found = (
        re.findall(r"^    \*{0,2}(\w+): ((?:.*\n?)(?:     .*\n?)*)", section[1], re.M)
        if section
        else []
    )
    return dict(found)


def annotations(value):
    """Types of arguments or fields, and what is returned, as written in the source."""
    node = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    if isinstance(node, ast.ClassDef):
        made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not made:
            fields = [n for n in node.body if isinstance(n, ast.AnnAssign)]
            return {n.target.id: ast.unparse(n.annotation) for n in fields}
        node = made[0]
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    found = {a.arg: ast.unparse(a.annotation) for a in every if a and a.arg != "self"}
    returned = node.returns and node.name != "__init__"
    return found | ({"return": ast.unparse(node.returns)} if returned else {})


def described(name, value):
    """Texts on arguments; a docstring may say whose arguments its own are."""
    doc = inspect.getdoc(value) or ""
    found = entries(doc)
    room = name.split(".")[1]
    for sentence in re.findall(r"arguments are those of ([^.]*)\.", doc):
        for same in re.findall(r"`(\w+)`", sentence):
            full = f"vgkit.{room}.{same}"
            found = described(full, EVERY[full]) | found
    return found


def problems(name, value):
    """What the docstring of a function or class leaves open."""
    doc = inspect.getdoc(value) or ""
    if not doc or doc.startswith(f"{value.__name__}("):  # a NamedTuple's own is no docstring
        yield "no docstring"
    texts = described(name, value)
    for argument, kind in annotations(value).items():
        if argument in COMMON:
            continue
        if argument != "return" and argument not in texts:
            yield f"{argument} is not explained"
        bare = re.search(r"\b(Array|ArrayLike|ndarray)\b", SHAPED.sub("", kind))
        if bare and not WORDS.search(doc if argument == "return" else texts.get(argument, "")):
            yield f"{argument} has no shape"


CODE = [n for n, value in EVERY.items() if inspect.isfunction(value) or inspect.isclass(value)]


def test_every_name_is_explained():
    found = {name: list(problems(name, EVERY[name])) for name in CODE}
    assert {name: open for name, open in found.items() if open} == {}


def test_every_page_says_where_it_is_taught():
    pages = []
    for path in (ROOT / "chapters").rglob("*.md"):
        module = ROOT / "vgcourse" / f"{path.stem.replace('-', '_')}.py"
        pages.append(path.read_text() + (module.read_text() if module.is_file() else ""))
    for room in ROOMS.keys() - {"monitor"}:  # which is for loops that no chapter has
        labels = re.findall(r"\{ref\}`([\w-]+)`", (ROOT / "api" / f"{room}.md").read_text())
        assert labels
        for label in labels:
            assert room in next(text for text in pages if f"({label})=" in text), (room, label)


def test_every_page_says_why_each_name_is_public():
    for room, names in ROOMS.items():
        rows = re.findall(r"^\| (`.*?) \|", (ROOT / "api" / f"{room}.md").read_text(), re.M)
        listed = re.findall(r"`(\w+)`", " ".join(rows))
        assert sorted(listed) == sorted(name.rpartition(".")[2] for name in names)
