"""What importing vgkit costs beside the libraries that it needs."""

import subprocess
import sys

import numpy as np

from benchmarks.speed.measure import Row, compare, in_turn

PART = "Import"
FLOOR = "import jax, optax"
ALL = "import vgkit, and every namespace but plots and explore"
PROGRAMS = {
    "import vgkit": "import vgkit",
    ALL: "import vgkit; [getattr(vgkit, n) for n in {*vgkit.__all__} - {'plots', 'explore'}]",
    FLOOR: FLOOR,
}


def rows(rounds: int = 10) -> list[Row]:
    """Fresh processes, in turn."""

    def run(program: str) -> None:
        subprocess.run([sys.executable, "-c", program], check=True)

    times = in_turn({name: lambda p=program: run(p) for name, program in PROGRAMS.items()}, rounds)
    floor = times.pop(FLOOR)
    measured = [
        Row(PART, name, float(np.median(took)), "s", peer=FLOOR, **compare(took, floor))
        for name, took in times.items()
    ]
    return [measured[0]._replace(limit=1.15), *measured[1:]]
