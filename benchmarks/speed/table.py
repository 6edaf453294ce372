"""The table: what was measured on which machine, as JSON and as Markdown."""

import datetime
import importlib.metadata
import inspect
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.speed.measure import Row

KEPT = Path(__file__).parents[1] / "speed.json"
VERSIONS = ("jax", "jaxlib", "numpy", "optax", "ipywidgets", "anywidget", "jupyterlab", "torch",
            "autograd")  # fmt: skip


def version(name: str) -> str:
    """Version of a package, or a word for none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def machine() -> dict[str, Any]:
    """Processor, cores and memory."""
    processor, memory = platform.processor() or platform.machine(), None
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(l.split(": ")[1] for l in lines if l.startswith("model name"))  # noqa: E741
        memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (OSError, StopIteration, ValueError):
        pass
    return {"processor": processor, "cores": os.cpu_count(), "memory_GiB": memory,
            "system": platform.system(), "python": platform.python_version()}  # fmt: skip


def result(rows: Sequence[Row], took: Mapping[str, int], command: str) -> dict[str, Any]:
    """Everything that the table says, as JSON can hold it; numbers to four digits."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.4g}")
        return [short(v) for v in value] if isinstance(value, tuple) else value

    repetitions = {
        part: {name: p.default for name, p in
               inspect.signature(import_module(f"benchmarks.speed.{part}").rows).parameters.items()
               if type(p.default) is int}
        for part in took
    }  # fmt: skip
    whole = [{**row._asdict(), "cells": cells(row), "reached": row.reached} for row in rows]
    return {
        "made": {
            "command": command,
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "versions": {name: version(name) for name in VERSIONS},
            "repetitions": repetitions,
            "seconds": dict(took),
        },
        "rows": [{k: short(v) for k, v in row.items() if v not in (None, "")} for row in whole],
    }


def merged(new: Mapping[str, Any], kept: Path) -> dict[str, Any]:
    """A new result in place of the old one's parts of the same names."""
    old = json.loads(kept.read_text()) if kept.exists() else {"made": {}, "rows": []}
    parts = {row["part"] for row in new["rows"]}
    rows = [row for row in old["rows"] if row["part"] not in parts] + new["rows"]
    made = {**new["made"]}
    for name in ("repetitions", "seconds"):
        made[name] = {**old["made"].get(name, {}), **made[name]}
    return {"made": made, "rows": rows}


def save(found: Mapping[str, Any], path: Path) -> None:
    """Write the result as JSON, and as Markdown beside it."""
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    path.with_suffix(".json").write_text(text.replace('},{"part"', '},\n{"part"') + "\n")
    path.with_suffix(".md").write_text(markdown(found) + "\n")


def number(value: float) -> str:
    """A number to three digits, or more where it is whole and large."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells(row: Row) -> tuple[str, str, str, str, str]:
    """What was measured, its value, its ratio to what, the target, and what else to know."""
    if row.value is None:
        return row.what, "–", "–", "", row.note
    ratio = "–"
    if row.ratio is not None:
        spread = f" ({number(row.spread[0])} to {number(row.spread[1])})" if row.spread else ""
        ratio = f"{number(row.ratio)}{spread} × {row.peer}"
    target = ""
    if row.limit is not None:
        unit = "×" if row.on == "ratio" else row.unit
        sign = "✓ reached" if row.reached else "✗ missed"
        target = f"{sign}: at most {number(row.limit)} {unit}".rstrip()
    return row.what, f"{number(row.value)} {row.unit}".rstrip(), ratio, target, row.note


def markdown(found: Mapping[str, Any]) -> str:
    """The whole table, one part after the other."""
    made, rows = found["made"], found["rows"]
    machine = ", ".join(f"{k} {v}" for k, v in made["machine"].items())
    versions = ", ".join(f"{k} {v}" for k, v in made["versions"].items())
    head = ["| What | Measured | Ratio | Target | Note |", "|---|---|---|---|---|"]
    lines = [f"{made['date']}, `{made['command']}`: {machine}; {versions}"]
    for part in dict.fromkeys(row["part"] for row in rows):
        lines += ["", f"## {part}", "", *head]
        lines += [f"| {' | '.join(row['cells'])} |" for row in rows if row["part"] == part]
    return "\n".join(lines)
