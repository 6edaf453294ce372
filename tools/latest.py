"""Try the newest releases of what the package and its tests need: python -m tools.latest.

They go into an environment of their own, so that the pinned one stays as it is. Sphinx and Jupyter
Book are left out: the book stays with Jupyter Book 1.
"""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "_build" / "latest"
TESTS = ["activations", "nets", "grads", "monitor", "explore"]
NAME = re.compile(r"[\w.-]+")


def wanted() -> list[str]:
    """Names of the package's dependencies and the tests' tools, without versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    ours = project["project"]
    listed = [*ours["dependencies"], *ours["optional-dependencies"]["course"]]
    listed += project["dependency-groups"]["test"]
    return [NAME.match(requirement)[0] for requirement in listed] + ["jupytext", "pyyaml"]


def pinned() -> dict[str, str]:
    """Version of every package that the book's and the tests' environment is pinned to."""
    lines = [
        line
        for name in ("requirements.txt", "tests/requirements.txt")
        for line in (ROOT / name).read_text("utf-8").splitlines()
    ]
    return dict(line.split(" ;")[0].split("==") for line in lines)


def installed(folder: Path) -> dict[str, str]:
    """Version of every package in an environment."""
    place = next(folder.glob("l*b/**/site-packages"))
    return {found.name.lower(): found.version for found in distributions(path=[str(place)])}


def try_out(folder: Path) -> int:
    """Install, say what is newer than the pins, run the quick tests; return their exit code."""
    python = str(folder / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    subprocess.run([*pip, *wanted()], check=True)
    new, old = installed(folder), pinned()
    for name in sorted(new.keys() & old.keys()):
        if new[name] != old[name]:
            print(f"{name:24} pinned {old[name]:14} newest {new[name]}")
    tests = [f"tests/unit/test_{name}.py" for name in TESTS]
    return subprocess.run([python, "-m", "pytest", "-q", *tests], cwd=ROOT).returncode


if __name__ == "__main__":
    failed = try_out(FOLDER)
    print("The newest releases " + ("need work; see above." if failed else "pass the quick tests."))
    sys.exit(failed)
