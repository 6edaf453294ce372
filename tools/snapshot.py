"""What the course says, as data, to compare before and after a change of its code.

    python -m tools.snapshot write before.json      # from the pages as the book's build ran them
    python -m tools.snapshot compare before.json    # the same, beside what was written
    python -m tools.snapshot compare before.json chapters/depth.md ...  # runs these pages itself

For every page: the numbers in its text, what its cells print, the packed grid of every explorer.
"""

import json
import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from jupyter_cache import get_cache
from myst_nb.core.read import read_myst_markdown_notebook
from nbclient import NotebookClient

from tools import grids, pages

GLUED = "application/papermill.record/text/plain"
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")
CLOSE = 0.004
"""Two roundings of the grid's coarser step, as a share."""


def outputs(notebook: nbformat.NotebookNode) -> Iterator[Any]:
    """Every output of every cell."""
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def contents(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Numbers, text and explorers of a page that was run."""
    numbers, text, explorers = {}, [], {}
    for output in outputs(notebook):
        if output.output_type == "error":
            raise RuntimeError(f"{output.ename}: {output.evalue}")
        if output.output_type == "stream" and output.name == "stdout":
            text.append(output.text)
        data = output.get("data", {})
        if GLUED in data:
            numbers[output.metadata["scrapbook"]["name"]] = data[GLUED].strip("'\"")
        for explorer in grids.shipped(data.get("text/html", "")):
            arrays = {name: unpacked(packed) for name, packed in explorer["grid"].items()}
            explorers[explorer["title"]] = arrays
    return {"numbers": numbers, "text": "".join(text).splitlines(), "explorers": explorers}


def unpacked(packed: dict[str, Any]) -> dict[str, Any]:
    """An explorer's array with its axes, NaN and infinities as text."""
    rows = grids.unpack(packed)
    return {"over": packed["over"], "rows": [[plain(v) for v in row] for row in rows.tolist()]}


def plain(value: float) -> float | str:
    """A number that JSON can hold, to five digits."""
    return float(f"{value:.5g}") if math.isfinite(value) else str(value)


def built() -> dict[str, Any]:
    """Contents of all pages as the build ran them."""
    (folder,) = (pages.ROOT / "_build" / ".jupyter_cache").iterdir()
    cache = get_cache(folder)
    found = {}
    for record in cache.list_project_records():
        kept = cache.get_cached_project_nb(record.uri)
        page = Path(record.uri).relative_to(pages.ROOT).as_posix()
        found[page] = contents(cache.get_cache_bundle(kept.pk).nb)
    return found


def run(page: str) -> dict[str, Any]:
    """Contents of a page, run now in the book's kernel."""
    os.environ["JUPYTER_PATH"] = str(pages.ROOT / "_ext")
    path = pages.ROOT / page
    notebook = read_myst_markdown_notebook(path.read_text("utf-8"))
    cells = notebook.cells
    notebook.cells = [c for c in cells if "skip-execution" not in c.metadata.get("tags", [])]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}}).execute()
    return contents(notebook)


def differences(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """What is no longer as it was, beyond rounding."""
    for name in old["numbers"].keys() | new["numbers"].keys():
        before, after = old["numbers"].get(name), new["numbers"].get(name)
        if before != after:
            yield f"number {name}: {before} -> {after}"
    for title in old["explorers"].keys() | new["explorers"].keys():
        before, after = old["explorers"].get(title), new["explorers"].get(title)
        if before is None or after is None:
            yield f"explorer {title!r}: {'new' if before is None else 'gone'}"
            continue
        for name in before.keys() | after.keys():
            if name not in before or name not in after:
                yield f"explorer {title!r}: array {name} {'new' if name not in before else 'gone'}"
            elif problem := unequal(before[name], after[name]):
                yield f"explorer {title!r}, {name}: {problem}"
    for before, after in zip(old["text"], new["text"], strict=False):
        if not same_text(before, after):
            yield f"text: {before!r} -> {after!r}"
    if len(old["text"]) != len(new["text"]):
        yield f"text: {len(old['text'])} lines -> {len(new['text'])}"


def unequal(old: dict[str, Any], new: dict[str, Any]) -> str:
    """How two unpacked arrays differ, or nothing."""
    if old["over"] != new["over"]:
        return f"depends on {old['over']} -> {new['over']}"
    a, b = np.array(old["rows"], float), np.array(new["rows"], float)
    if a.shape != b.shape:
        return f"shape {a.shape} -> {b.shape}"
    with np.errstate(invalid="ignore"):
        bad = ~(np.isclose(a, b, rtol=CLOSE, atol=0, equal_nan=True))
    if not bad.any():
        return ""
    place = tuple(np.argwhere(bad)[0])
    return f"{bad.sum()} of {bad.size} differ, first {a[place]:.4g} -> {b[place]:.4g} at {place}"


def same_text(old: str, new: str) -> bool:
    """Whether two lines are the same but for the last digits of their numbers."""
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return False
    pairs = zip(NUMBER.findall(old), NUMBER.findall(new), strict=True)
    return all(a == b or math.isclose(value(a), value(b), rel_tol=0.06) for a, b in pairs)


def value(text: str) -> float:
    """A number as it is printed."""
    return float(text.replace(",", ""))


def main() -> None:
    """Write or compare."""
    action, file, *wanted = sys.argv[1:]
    if action == "write":
        Path(file).write_text(json.dumps(built()))
        return
    before = json.loads(Path(file).read_text())
    after = {page: run(page) for page in wanted} if wanted else built()
    worst = 0
    for page in after:
        found = list(differences(before[page], after[page]))
        worst += len(found)
        print(f"{page}: {len(found)} differences", *found, sep="\n    ")
    sys.exit(bool(worst))


if __name__ == "__main__":
    main()
