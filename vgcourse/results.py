"""Results of runs that are too long for a page."""

import json
from importlib import resources
from typing import Any


def load(name: str) -> dict[str, Any]:
    """Load results that came with the course.

    Under "made" they say by which command they were made, and with which versions. A test makes a
    sample of them again.

    Args:
        name: Such as "remedies", from `python -m vgcourse.experiments.remedies --write`.

    Raises:
        ValueError: If there are no results of that name.
    """
    folder = resources.files("vgcourse").joinpath("_data")
    names = sorted(f.name.removesuffix(".json") for f in folder.iterdir() if ".json" in f.name)
    if name not in names:
        raise ValueError(f"name must be one of {', '.join(names)}; got {name!r}")
    return json.loads(folder.joinpath(f"{name}.json").read_text())
