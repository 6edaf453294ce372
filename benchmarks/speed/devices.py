"""One sweep over one device and over eight, and how long 100,000 settings take."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from benchmarks import sweep
from benchmarks.speed.measure import Row

PART = "Many devices"
VIRTUAL = "--xla_force_host_platform_device_count=8"


def swept(seeds: int, flags: str, top: str) -> tuple[float, dict[str, np.ndarray]]:
    """The command in a process of its own: its time with all that starting takes, and its parts."""
    folder = Path(top) / str(time.time_ns())
    command = [sys.executable, "-m", "benchmarks.sweep", str(folder), "--seeds", str(seeds)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    before = time.perf_counter()
    subprocess.run(command, env={**os.environ, "XLA_FLAGS": flags}, check=True, **quiet)
    taken = time.perf_counter() - before
    return taken, {file.name: np.load(file)["ratio"] for file in sorted(folder.glob("part-*.npz"))}


def one_by_one(count: int) -> float:
    """Seconds for each setting of a loop of calls of one compiled program."""
    compute, axes = sweep.deep_nets(1)
    run, random = jax.jit(compute), np.random.default_rng(0)
    settings = [{n: v[random.integers(len(v))] for n, v in axes.items()} for _ in range(count + 1)]
    jax.block_until_ready(run(**settings[0]))
    before = time.perf_counter()
    for setting in settings[1:]:
        jax.block_until_ready(run(**setting))
    return (time.perf_counter() - before) / count


def rows(rounds: int = 2, seeds: int = 10) -> list[Row]:
    """10,000 settings on one device and on eight virtual ones in turn; then all."""
    ones, eights, differ = [], [], 0
    with tempfile.TemporaryDirectory() as top:
        for _ in range(rounds):
            taken, one = swept(1, "", top)
            ones.append(taken)
            taken, eight = swept(1, VIRTUAL, top)
            eights.append(taken)
            differ += sum(not np.array_equal(one[n], eight[n], equal_nan=True) for n in one)
        whole, _ = swept(seeds, "", top)
    middle, alone = float(np.median(eights)), one_by_one(200)
    settings, peer = 10_000 * seeds, "a call for each (extrapolated)"
    return [
        Row(PART, "10,000 settings on 8 virtual devices", middle, "s",
            middle / float(np.median(ones)), peer="on 1 device"),
        Row(PART, "parts of it in which a number differs between 8 devices and 1", differ,
            limit=0, on="value"),
        Row(PART, f"{settings:,} settings by one command, start and compilation included", whole,
            "s", whole / (alone * settings), peer=peer),
    ]  # fmt: skip
