"""The project's own rules: layering, sizes, what is committed, what the README says."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT, tracked

from tools import pages
from vgkit import diagnose

KIT, COURSE = ROOT / "vgkit", ROOT / "vgcourse"
# Which room may import which; everything may import _check, and a room its own modules.
ALLOWED = {
    "_check": set(),
    "activations": set(),
    "data": set(),
    "nets": {"activations"},
    "recurrent": {"activations"},
    "grads": {"nets", "recurrent", "activations"},
    "theory": {"activations"},
    "monitor": set(),
    "train": {"nets", "recurrent", "grads", "monitor", "activations"},
    "diagnose": {"grads", "monitor"},
    "plots": set(),
    "explore": {"plots"},
}
ALLOWED["__init__"] = ALLOWED.keys() - {"_check"}
MODULES = sorted([*KIT.rglob("*.py"), *COURSE.rglob("*.py")])
# No lessons; each has a test of its own name.
REFERENCES = {ROOT / f"chapters/{name}.md" for name in ("claims", "classics")}
CHAPTERS = sorted(set((ROOT / "chapters").rglob("*.md")) - REFERENCES)


def room(path):
    return path.relative_to(ROOT).parts[1].removesuffix(".py")


def imports(path):
    """Full names of what a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layering_and_size(path):
    parts = [name.split(".") for name in imports(path)]
    assert not {first for first, *_ in parts} & {"benchmarks", "tests", "tools"}
    if path.is_relative_to(KIT):
        assert room(path) in ALLOWED, "say in ALLOWED what the new room may import"
        assert "vgcourse" not in {first for first, *_ in parts}
        rooms = {name[1] for name in parts if name[0] == "vgkit"}
        assert rooms <= ALLOWED[room(path)] | {"_check", room(path)}
        assert len(path.read_text().splitlines()) <= 300


def lines_of_code(path):
    """Lines that say something to Python: no docstring, comment or empty line."""
    tree = ast.parse(path.read_text())
    strings = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    lines = enumerate(path.read_text().splitlines(), start=1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in strings
        for number, line in lines
    )


def test_the_package_stays_small():
    kit = {path for path in MODULES if path.is_relative_to(KIT)}
    diagnosis = {path for path in kit if room(path) == "diagnose"}
    assert sum(map(lines_of_code, diagnosis)) < 1600
    assert sum(map(lines_of_code, kit - diagnosis)) < 3300


def test_import_changes_no_setting():
    code = (
        "import jax, matplotlib; x = jax.config.jax_enable_x64, dict(matplotlib.rcParams);"
        "from vgkit import *; assert x == (jax.config.jax_enable_x64, dict(matplotlib.rcParams))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_namespaces_load_when_they_are_first_used():
    code = (
        "import sys, vgkit; assert not any(name.startswith('vgkit.') for name in sys.modules)\n"
        "assert {*vgkit.__all__} <= {*dir(vgkit)} and not hasattr(vgkit, 'net'); vgkit.nets\n"
        "from vgkit import activations, data, diagnose, grads, monitor, recurrent, theory, train\n"
        "assert not {'matplotlib', 'ipywidgets', 'anywidget', 'PIL'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_workflows_are_valid_and_pinned():
    paths = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    subprocess.run([*command, "vendor.github-workflows", *paths], check=True, capture_output=True)
    used = re.findall(r"uses: (.*)", "".join(path.read_text() for path in paths))
    assert used and all(re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", action) for action in used)


def test_nothing_of_a_machine_is_committed():
    pattern = re.compile(
        "/" + r"(?:work|root|home|tmp)/\w|files\.python" + r"hosted|extra-" + r"index"
    )
    for path in tracked():
        if path.suffix not in {".npz", ".png"}:
            found = pattern.search(path.read_text("utf-8"))
            assert not found, f"{path.relative_to(ROOT)}: {found[0]}"
        assert path.suffix != ".ipynb"
        assert path.stat().st_size < 2**20


REMEDY_HEADS = [
    "## The idea in three sentences",
    "## The equation and ten lines of code",
    "## Before and after",
    "## When it does not help",
    "## What it costs",
    "## When to choose it",
    "## Check yourself",
    "## Exercises",
]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_has_its_parts(path):
    text, remedy = path.read_text(), path.parent.name == "solutions"
    low, high = (120, 560) if remedy else (200, 620)
    assert low <= len(text.splitlines()) <= high
    assert path.relative_to(ROOT).with_suffix("").as_posix() in pages.all_pages()
    parts = ["What you will learn", "**Before:**", "**Time:**", "**Predict.**", "## Exercises"]
    parts += ["{cite:", "remove-cell"]
    parts += [] if remedy else ["## A surprise", "## Take-away", "explore.Explorer("]
    for part in parts:
        assert part in text, part
    if remedy:
        heads = re.findall("^## .*", text, re.M)
        assert heads[heads[0] == "## A surprise" :] == REMEDY_HEADS
    exercises = re.findall(r"```\{exercise-start\}\n:label: (\S+)", text)
    solutions = re.findall(r"```\{solution-start\} (\S+)\n:class: dropdown", text)
    assert len(exercises) >= 4 and exercises == solutions
    tasks = re.findall(r"^:label: \S+\n```\n(.*?)```\{exercise-end\}", text, re.M | re.S)
    assert len(tasks) == len(exercises) and all("```{code-cell}" in task for task in tasks)
    assert tasks[0].startswith("*Warm-up.*") and tasks[-1].startswith("*Open.*")
    assert text.count("image: {alt:") == pages.figures(text)
    used = set(re.findall(r"\{eval\}`said\.(\w+)`", text))
    said = re.findall(r"(\w+)=\(", " ".join(re.findall(r"^say\(.*?\)\n", text, re.M | re.S)))
    assert used and used == set(said), "every number in the prose comes from a cell of the page"
    assert "{glue" not in text


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_asks_its_reader(path):
    text, remedy = path.read_text(), path.parent.name == "solutions"
    before, asked, _ = re.split("^## (?:Check yourself|Exercises)$", text, flags=re.M)
    label = re.search(r"^\((.+)\)=$", before, re.M)[1]
    assert asked.count(f'selfcheck.show("{label}", [') == 1  # answers are kept under the label
    kinds = re.findall(r"^    selfcheck\.(\w+)\(", asked, re.M)
    assert len(kinds) >= (3 if remedy else 5) and {"choice", "number", "curve"} == set(kinds)


def test_every_remedy_that_diagnose_names_has_a_page():
    named = {remedy for remedies in diagnose.REMEDIES.values() for remedy in remedies}
    assert {f"chapters/solutions/{remedy}" for remedy in named} <= set(pages.all_pages())


def test_scripts_are_executable():
    for name in (".ci/run", "binder/postBuild", "binder/start"):
        assert (ROOT / name).stat().st_mode & 0o100, name


def test_readme_example_prints_what_it_says(tmp_path):
    readme = (ROOT / "README.md").read_text()
    code, printed = re.search(
        r"```python\n(.*?)```\n+```text\n(.*?)```", readme, re.DOTALL
    ).groups()
    assert 8 <= len([line for line in code.splitlines() if line.strip()]) <= 14
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == printed
