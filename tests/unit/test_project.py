"""The project's own rules: who imports whom, sizes, what is committed, what the README says."""

import ast
import graphlib
import re
import subprocess
import sys
from itertools import chain

from conftest import ROOT, public, tracked

import vgkit
from tools import pages
from vgkit import diagnosis

# Which room of vgkit may import which; modules whose name begins with _ are everyone's.
ROOMS = {
    "activations": set(),
    "data": set(),
    "trace": set(),
    "monitor": set(),
    "plots": set(),
    "explore": {"plots"},
    "nets": {"activations"},
    "recurrent": {"activations", "nets"},
    "theory": {"activations"},
    "grads": {"nets", "recurrent", "trace", "activations"},
    "train": {"nets", "recurrent", "grads", "activations"},
    "diagnosis": {"grads", "trace", "monitor"},
}
DRAWING = {"matplotlib", "ipywidgets", "anywidget", "IPython", "PIL"}


def module(path):
    """A module's full name."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(p): p for top in ("vgkit", "vgcourse") for p in (ROOT / top).rglob("*.py")}


def imports(path):
    """Full names of the modules that a module imports, or of what it imports from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


IMPORTS = {name: {*imports(path)} for name, path in MODULES.items()}


def test_rooms_import_what_they_may():
    for name, imported in IMPORTS.items():
        roots = {full.split(".")[0] for full in imported}
        assert not roots & {"benchmarks", "tests", "tools"}, name
        if name.split(".")[0] == "vgcourse" or name == "vgkit":
            continue
        room = name.split(".")[1]
        assert room[0] == "_" or room in ROOMS, f"say in ROOMS what {room} may import"
        assert "vgcourse" not in roots, name
        used = {full.split(".")[1] for full in imported if full.startswith("vgkit.")}
        others = {other for other in used if other[0] != "_"} - {room}
        assert others <= ROOMS.get(room, set()), name
        assert room in ("plots", "explore") or not roots & DRAWING, name


def test_imports_make_no_circle():
    graph = {}
    for name, imported in IMPORTS.items():
        owners = {full if full in MODULES else full.rpartition(".")[0] for full in imported}
        graph[name] = owners & MODULES.keys() - {name}
    graph["vgkit"] = set()  # loads its namespaces when they are first used
    graphlib.TopologicalSorter(graph).prepare()


def lines(paths):
    return sum(len(path.read_text().splitlines()) for path in paths)


def named(test):
    """What a file of tests may be named after."""
    name = test.stem.removeprefix("test_")
    return {name, name.removesuffix("_page")}


def test_sizes():
    """Docstrings included: what is not needed goes, before something new comes.

    The aim for the package is 6,000 lines, for tests 6,500; until then their bound only comes down.
    """
    kit = [path for name, path in MODULES.items() if name.split(".")[0] == "vgkit"]
    assert lines(kit) <= 6287 and all(lines([path]) <= 450 for path in kit)
    # A module or a test named as a page is that page's, and grows as pages hand theirs over.
    of_pages = {page.rpartition("/")[2].replace("-", "_") for page in pages.all_pages()}
    # These three go when the pages on remedies read what replaces them: league, memory, shortcuts.
    replaced = {f"experiments.{name}" for name in ("convolutions", "recurrence", "remedies")}
    shared = [
        path
        for name, path in MODULES.items()
        if name.split(".")[0] == "vgcourse"
        and name.removeprefix("vgcourse.") not in of_pages | replaced
    ]
    assert lines(shared) <= 5600
    tests = (ROOT / "tests").rglob("*.py")
    assert lines(path for path in tests if not named(path) & of_pages) <= 7500
    names = {*chain(*(dict(public(getattr(vgkit, room))) for room in ROOMS))}
    assert len(names) <= 120


def python(code, **options):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def test_import_changes_no_setting_and_loads_namespaces_when_they_are_used():
    python(
        "import sys, vgkit; assert not any(name.startswith('vgkit.') for name in sys.modules)\n"
        "assert {*vgkit.__all__} <= {*dir(vgkit)} and not hasattr(vgkit, 'net')\n"
        "import jax; before = jax.config.values.copy()\n"
        f"for name in {sorted(ROOMS.keys() - {'plots', 'explore'})}: getattr(vgkit, name)\n"
        f"assert not {DRAWING} & sys.modules.keys()\n"
        "import matplotlib; style = dict(matplotlib.rcParams)\n"
        "vgkit.plots, vgkit.explore\n"
        "assert jax.config.values == before and dict(matplotlib.rcParams) == style",
        cwd=ROOT,
    )


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


def test_scripts_are_executable():
    for name in (".ci/run", "binder/postBuild", "binder/start"):
        assert (ROOT / name).stat().st_mode & 0o100, name


def test_every_remedy_that_diagnose_names_has_a_page():
    named = {remedy for remedies in diagnosis.REMEDIES.values() for remedy in remedies}
    assert {f"chapters/solutions/{remedy}" for remedy in named} <= set(pages.all_pages())


def test_readme_example_prints_what_it_says(tmp_path):
    readme = (ROOT / "README.md").read_text()
    code, printed = re.search(r"```python\n(.*?)```\n+```text\n(.*?)```", readme, re.S).groups()
    assert 8 <= len([line for line in code.splitlines() if line.strip()]) <= 14
    assert python(code, cwd=tmp_path) == printed
