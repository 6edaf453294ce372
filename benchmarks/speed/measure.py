"""The shape that all parts share: take turns, compare within a round, say it in one row."""

import os
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        part: Which part of the suite it belongs to.
        what: What was measured.
        value: How much it took, in `unit`; None if it could not be measured, `note` says why.
        unit: Such as "ms"; empty for a pure ratio.
        ratio: The value over that of `peer` in the same run: below 1 is less. None if there is
            no peer.
        spread: Quartiles of the ratio over the rounds, if there were several.
        peer: What it is compared with.
        limit: The most that may come out if the target is to be reached.
        on: What the limit is for: "ratio" or "value".
        note: What else a reader has to know.
    """

    part: str
    what: str
    value: float | None
    unit: str = ""
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    peer: str = ""
    limit: float | None = None
    on: str = "ratio"
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None if there is none, or nothing was measured."""
        measured = self.ratio if self.on == "ratio" else self.value
        return None if self.limit is None or measured is None else bool(measured <= self.limit)


def seconds(run: Callable[[], Any]) -> float:
    """Time of one call; it must wait for its own result."""
    before = time.perf_counter()
    run()
    return time.perf_counter() - before


def in_turn(
    runs: Mapping[str, Callable[[], Any]], rounds: int, least: float = 0.02, pause: float = 0.005
) -> dict[str, np.ndarray]:
    """Times of one call of each function, one for each round.

    In every round all functions have their turn, in an order drawn anew, so that a busy machine
    meets them alike. A turn is as many calls as fill `least` seconds, after a pause and a call that
    does not count: the threads of the one before have gone to rest by then.
    """
    random = np.random.default_rng(0)
    calls = {}
    for name, run in runs.items():
        run()
        calls[name] = max(1, round(least / max(seconds(run), 1e-7)))
    times = {name: np.empty(rounds) for name in runs}
    for i in range(rounds):
        for name in random.permutation(list(runs)):
            run = runs[name]
            time.sleep(pause)
            run()
            times[name][i] = seconds(lambda n=calls[name], f=run: [f() for _ in range(n)])
            times[name][i] /= calls[name]
    return times


def compare(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """Ratio within each round: its median and quartiles, as `Row` takes them."""
    low, middle, high = np.percentile(ours / theirs, [25, 50, 75])
    return {"ratio": float(middle), "spread": (float(low), float(high))}


def part(name: str) -> list[Row]:
    """One part's rows. First calls are to compile; only what pages prepare may be kept programs."""
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = str(name == "live").lower()
    return import_module(f"benchmarks.speed.{name}").rows()
