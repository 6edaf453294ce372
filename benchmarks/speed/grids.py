"""The explorers' grids, cold: one program each, beside a loop that compiles for every setting."""

import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from benchmarks.speed.measure import Row, seconds

PART = "The grids"
BOOK = (
    "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1"
)
"""XLA's settings in `make book` and `make test`."""
PROCESSES = 2


def peak() -> float:
    """The most memory that this process has had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def child(number: int, sample: int) -> None:
    """Make a share of the explorers; when told so, their grids; when told so, a loop's sample."""
    from benchmarks.speed.live import inputs
    from tools import explorers, pages
    from vgkit.explore import grid

    def tell(found: Any) -> None:
        print("GRID", json.dumps(found), flush=True)
        sys.stdin.readline()

    made = [e for page in pages.live()[number::PROCESSES] for e in explorers.of(page)]
    made = [explorer for explorer in made if explorer.title != "Your turn"]

    def packed(explorer: Any) -> None:
        axes = inputs(explorer)
        for array in grid.sweep(explorer.compute, axes).values():
            grid.pack(array, list(axes))

    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # without it JAX goes on as it began
    jax.clear_caches()
    tell(peak())
    tell([[seconds(lambda one=one: packed(one)) for one in made], peak()])
    random, found = np.random.default_rng(0), []
    for explorer in made:
        axes = inputs(explorer)
        looped = []
        for _ in range(sample):
            setting = {name: values[random.integers(len(values))] for name, values in axes.items()}
            one = jax.jit(lambda c=explorer.compute, s=setting: c(**s))
            looped.append(seconds(lambda one=one: jax.block_until_ready(one())))
        settings = int(np.prod([len(values) for values in axes.values()]))
        found.append([explorer.title, settings, settings * float(np.median(looped))])
    tell(found)


def answer(process: subprocess.Popen) -> Any:
    """What a process says next."""
    for line in process.stdout:
        if line.startswith("GRID "):
            return json.loads(line.removeprefix("GRID "))
    raise RuntimeError("a process that makes grids has ended too early")


def answers(processes: list[subprocess.Popen]) -> list[Any]:
    """What each process says when it is told to go on."""
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    return [answer(process) for process in processes]


def rows(sample: int = 3) -> list[Row]:
    """In two processes, as pages are built, with the book's settings and no program kept.

    What the pages prepare for their explorers may come from the cache; that is no part of a grid.
    """
    environment = {**os.environ, "XLA_FLAGS": BOOK, "JAX_ENABLE_COMPILATION_CACHE": "true"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    programs = [
        f"from benchmarks.speed import grids; grids.child({number}, {sample})"
        for number in range(PROCESSES)
    ]
    processes = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, **pipes)
        for program in programs
    ]
    before = [answer(process) for process in processes]
    begin = time.perf_counter()
    swept = answers(processes)
    whole = time.perf_counter() - begin
    looped = answers(processes)
    for process in processes:
        process.communicate("\n")
    found, peer = [], "compiled for each setting"
    for (times, _), loops in zip(swept, looped, strict=True):
        for taken, (title, settings, loop) in zip(times, loops, strict=True):
            what, note = f"{title}: {settings:,} settings", f"the peer from {sample} settings"
            found.append(Row(PART, what, taken, "s", taken / loop, peer=peer, note=note))
    shared = sum(loop for loops in looped for *_, loop in loops) / PROCESSES
    total = Row(PART, f"all of them in {PROCESSES} processes, swept and packed", whole, "s")
    after = max(most for _, most in swept)
    return [
        *found,
        total._replace(ratio=whole / shared, limit=0.05, peer=peer, note="the peer extrapolated"),
        total._replace(limit=60, on="value"),
        Row(PART, "peak memory of the larger process", after, "MB", after / max(before),
            peer="before its grids"),
    ]  # fmt: skip
