"""Results of runs that are too long for a page."""

import json
import math
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(str(resources.files("vgcourse"))) / "_data"


def load(name: str) -> dict[str, Any]:
    """Load results that came with the course.

    Under "made" stand their command and versions. A test makes a sample of them again.

    Args:
        name: Such as "remedies", from `python -m vgcourse.experiments.remedies --write`.
    """
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    if name not in names:
        raise ValueError(f"name must be one of {', '.join(names)}; got {name!r}")
    return json.loads((FOLDER / f"{name}.json").read_text())


def save(name: str, results: dict[str, Any], **settings: Any) -> None:
    """Write results to where `load` reads them.

    Args:
        name: Of the module in `vgcourse.experiments` that made them.
        results: What is to be saved besides "made".
        **settings: What they were made with.
    """
    made = {
        "command": f"python -m vgcourse.experiments.{name} --write",
        **settings,
        "versions": {package: version(package) for package in ("jax", "optax", "numpy")},
    }
    text = json.dumps({**results, "made": made}, sort_keys=True, separators=(",", ":"))
    (FOLDER / f"{name}.json").write_text(text + "\n")


def interval(errors: int, count: int) -> tuple[float, float]:
    """Wilson's interval of 95 % for a share."""
    z, n = 1.96, max(count, 1)
    middle, root = errors + z**2 / 2, z * math.sqrt(errors * (1 - errors / n) + z**2 / 4)
    return (middle - root) / (n + z**2), (middle + root) / (n + z**2)


def shown(errors: int, count: int) -> str:
    """A share of errors with its interval."""
    return "{} of {} ({:.0%} to {:.0%})".format(errors, count, *interval(errors, count))
