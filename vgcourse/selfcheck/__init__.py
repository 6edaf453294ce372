"""Questions that readers check themselves by, in the page alone, without a kernel.

At the end of a cell::

    quiz = [
        selfcheck.choice("Which layer starves?", {"The first.": "Yes: ...", "The last.": "No: ..."},
                         right="The first."),
        selfcheck.number("Which share is left?", share, right="...", small="...", large="..."),
        selfcheck.curve("Which is the sigmoid's?", layers, {"A": tanh, "B": sigmoid},
                        {"A": "...", "B": "..."}, right="B", log=True),
    ]
    selfcheck.show("depth", quiz)

And before a figure, which then waits for the reader's answer::

    selfcheck.predict("depth", selfcheck.power("What is left?", share, (-30, 0), ...))
"""

from vgcourse.selfcheck.page import Quiz, predict, show
from vgcourse.selfcheck.questions import Question, Span, choice, curve, number, power

__all__ = ["Question", "Quiz", "Span", "choice", "curve", "number", "power", "predict", "show"]
