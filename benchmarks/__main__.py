"""How fast it is, beside what people would otherwise use: `python -m benchmarks [part ...]`.

Prints one table and writes it to `_build/speed.md` and `_build/speed.json`; with `--write` also to
`benchmarks/speed.md` and `speed.json`. All parts take about a quarter of an hour on 2 cores, those
of `--whole` as long again.
"""

import argparse
import multiprocessing
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.speed import measure, table

PARTS = ("imports", "gradients", "live", "book", "grids", "scaling", "monitoring", "course")
LONG = ("clone",)
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Measure the parts named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS + LONG))
    parser.add_argument("--write", action="store_true", help="keep it in benchmarks/speed.md")
    parser.add_argument("--whole", action="store_true", help="all parts, and a fresh clone too")
    given = parser.parse_args()
    if unknown := set(given.parts) - {*PARTS, *LONG}:
        known = ", ".join(PARTS + LONG)
        parser.error(f"part must be one of {known}; got {', '.join(sorted(unknown))}")
    rows, took, failed = [], {}, []
    for part in given.parts or PARTS + LONG * given.whole:
        print(f"{part} ...", end=" ", file=sys.stderr, flush=True)
        begin = time.perf_counter()
        # A process for each: what one sets or loads cannot change what the next one measures.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
            try:
                rows += alone.submit(measure.part, part).result()
            except Exception:  # any: what the other parts found after minutes is not to be lost
                traceback.print_exc()
                failed.append(part)
                continue
        took[part] = round(time.perf_counter() - begin)
        print(f"{took[part]} s", file=sys.stderr, flush=True)
    result = table.result(rows, took, " ".join(["python -m benchmarks", *sys.argv[1:]]))
    table.save(result, ROOT / "_build" / "speed")
    if given.write and rows:
        table.save(table.merged(result, table.KEPT), table.KEPT.with_suffix(""))
    print(table.markdown(result))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
