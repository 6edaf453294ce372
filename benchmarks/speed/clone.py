"""A fresh clone: the book with nothing kept from before, then all tests; a quarter of an hour."""

import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.speed.course import ROOT, build, make
from benchmarks.speed.measure import Row

PART = "A fresh clone"


def rows() -> list[Row]:
    """A build beside Sphinx alone, then all tests; of what is committed."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder) / "course"
        subprocess.run(["git", "clone", "--quiet", ROOT, top], check=True)
        built, sphinx = build(top), build(top, "FLAGS=--all")
        begin = time.perf_counter()
        for target in ("test", "check"):
            done = make(target, top)
            if done.returncode:
                raise RuntimeError(f"not all tests pass:\n{done.stdout[-10_000:]}")
        tested = time.perf_counter() - begin
    cold = Row(PART, "cold build", built / 60, "min", built / sphinx, None, "no page executed", 5,
               "value")  # fmt: skip
    tests = Row(PART, "all tests after it", tested / 60, "min", tested / built, None, "cold build",
                20, "value")  # fmt: skip
    return [cold, tests]
