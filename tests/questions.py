"""Three questions for tests, one of each kind."""

import numpy as np

from vgcourse import selfcheck

X = np.array([1.0, 2.0, 3.0])
CURVES = {"A": X, "B": 10.0**-X}


def three():
    return [
        selfcheck.choice(
            "Is `a < b`?", {"Yes & no": "Wrong, alas.", "<Yes>": "Because `b > a`."}, right="<Yes>"
        ),
        selfcheck.number(
            "How much?", 2e-5, right="Exactly.", small="More than that.", large="Less than that."
        ),
        selfcheck.curve(
            "Which one?", X, CURVES, {"A": "It grows.", "B": "It shrinks."}, "B", "x", "y", log=True
        ),
    ]
