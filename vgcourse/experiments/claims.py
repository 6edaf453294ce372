"""The evidence for every claim: `python -m vgcourse.experiments.claims [--write] [id ...]`.

Prints each verdict with its numbers, and whether it follows from them. About 2 minutes on 2 cores,
most of it for compiling. The numbers go into the package, where the claims page finds them; a test
measures them again.
"""

import sys
import time

from vgcourse import claims, results
from vgcourse.claims import programs


def main() -> None:
    """Measure the claims named, or all."""
    names = [argument for argument in sys.argv[1:] if argument != "--write"] or list(claims.ALL)
    runs, wrong = results.load("claims")["runs"], []
    for name in names:
        claim, begin = claims.ALL[name], time.perf_counter()
        evidence = claims.measure(claim)
        if not claim.follows(evidence):
            wrong.append(name)
        print(
            f"{name} {claim.verdict}{' DOES NOT FOLLOW' if name in wrong else ''}: "
            f"{claim.sentence(evidence)} [{time.perf_counter() - begin:.0f} s]", flush=True,
        )  # fmt: skip
        runs[name] = {
            number: [float(f"{value:.10g}") for value in spread]
            for number, spread in evidence.items()
        }
    if wrong:
        sys.exit(f"The verdict does not follow from the numbers: {', '.join(wrong)}")
    if "--write" in sys.argv:
        results.save("claims", {"runs": runs}, seeds=programs.SEEDS)


if __name__ == "__main__":
    main()
