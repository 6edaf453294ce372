"""The explorers' grids, cold: one program each, beside a loop that compiles for every setting."""

import json
import os
import resource
import subprocess
import sys
import time

import jax
import numpy as np

from benchmarks.speed.measure import Row

PART = "The grids"
BOOK = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
"""XLA's settings in `make book`."""


def measure(sample: int) -> None:
    """Print what each explorer's grid takes, and a loop over a sample of its settings."""
    from benchmarks.speed import pages
    from vgkit.explore import live

    made = [explorer for page in pages.explorers().values() for explorer in page]
    jax.config.update("jax_enable_compilation_cache", False)
    jax.clear_caches()
    random = np.random.default_rng(0)
    for explorer in made:
        before = time.perf_counter()
        explorer.grid()
        swept = time.perf_counter() - before
        axes = {name: live.numbers(options) for name, options in explorer._options.items()}
        looped = []
        for _ in range(sample):
            setting = {name: values[random.integers(len(values))] for name, values in axes.items()}
            before = time.perf_counter()
            one = jax.jit(lambda c=explorer._compute, s=setting: c(**s))
            jax.block_until_ready(one())
            looped.append(time.perf_counter() - before)
        settings = int(np.prod([len(values) for values in axes.values()]))
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print("GRID", json.dumps([explorer.title, settings, swept, looped, kilobytes]), flush=True)


def rows(sample: int = 3) -> list[Row]:
    """In a process of its own, with the book's settings and no program kept from before.

    What the pages prepare for their explorers may come from the cache; that is no part of a grid.
    """
    environment = {**os.environ, "XLA_FLAGS": BOOK, "JAX_ENABLE_COMPILATION_CACHE": "true"}
    command = [sys.executable, "-c", f"from benchmarks.speed import grids; grids.measure({sample})"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.removeprefix("GRID ") for line in done.stdout.splitlines() if "GRID " in line]
    found, all_swept, all_looped, peak = [], 0.0, 0.0, 0
    peer = "compiled for each setting"
    for title, settings, swept, looped, kilobytes in map(json.loads, lines):
        loop = settings * float(np.median(looped))
        what, note = f"{title}: {settings:,} settings", f"the peer from {len(looped)} settings"
        found.append(Row(PART, what, swept, "s", swept / loop, peer=peer, note=note))
        all_swept, all_looped, peak = all_swept + swept, all_looped + loop, max(peak, kilobytes)
    total = Row(PART, "all of them, swept and packed", all_swept, "s", peer=peer)
    ratio = all_swept / all_looped
    return [
        *found,
        total._replace(ratio=ratio, limit=0.05, note="the peer extrapolated"),
        total._replace(limit=60, on="value", peer=""),
        Row(PART, "peak memory of the process that made them all", peak / 1000, "MB"),
    ]
