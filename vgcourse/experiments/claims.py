"""The evidence for every claim: `python -m vgcourse.experiments.claims [--write] [id ...]`.

Prints each verdict with its numbers, and whether it follows from them. About 2 minutes on 2 cores,
most of it for compiling. The numbers go into the package, where the claims page finds them; a test
measures them again.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from vgcourse import claims
from vgcourse.claims import programs

KEPT = Path(__file__).parents[1] / "_data/claims.json"


def main() -> None:
    """Measure the claims named, or all."""
    asked = [argument for argument in sys.argv[1:] if argument != "--write"] or list(claims.ALL)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"runs": {}}
    wrong = []
    for name in asked:
        claim, begin = claims.ALL[name], time.perf_counter()
        found = claims.measure(claim)
        if not claim.follows(found):
            wrong.append(name)
        print(
            f"{name} {claim.verdict}{' DOES NOT FOLLOW' if name in wrong else ''}: "
            f"{claim.sentence(found)} [{time.perf_counter() - begin:.0f} s]", flush=True,
        )  # fmt: skip
        kept["runs"][name] = {
            number: [float(f"{value:.10g}") for value in spread] for number, spread in found.items()
        }
    kept["made"] = {
        "command": "python -m vgcourse.experiments.claims --write",
        "seeds": programs.SEEDS,
        "versions": {name: version(name) for name in ("jax", "optax", "numpy")},
    }
    if wrong:
        sys.exit(f"The verdict does not follow from the numbers: {', '.join(wrong)}")
    if "--write" in sys.argv:
        KEPT.write_text(json.dumps(kept, sort_keys=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
