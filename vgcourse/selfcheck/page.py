"""Questions as a part of a page: plain HTML, with a script that gives feedback and keeps score."""

import hashlib
import re
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any, NamedTuple

from vgcourse.selfcheck.questions import Question
from vgkit._typeset import SUPERSCRIPTS, typeset

SCORE = '<div class="vg-score" hidden><p></p><button type="button">Forget my answers</button></div>'
SKIP = (
    '<p class="vg-skip" hidden>The answer appears when you have decided. '
    '<button type="button">Show it now</button> '
    '<button type="button">Always show answers</button></p>'
)


class Quiz(NamedTuple):
    """The questions of a page; a notebook and the book show it as a form for each.

    Attributes:
        page: The page's label; answers are stored under it in the reader's browser.
        questions: In the order shown.
        prediction: Whether it is a question before its answer: what follows waits for it.
    """

    page: str
    questions: tuple[Question, ...]
    prediction: bool = False

    def html(self) -> str:
        """The forms, their style and their script, which works wherever the HTML stands.

        Without the script every question has its answers in a fold.
        """
        folder = resources.files("vgcourse").joinpath("selfcheck")
        style, script = (
            folder.joinpath(f"quiz.{kind}").read_text("utf-8") for kind in ("css", "js")
        )
        number = "" if self.prediction else "{}. "
        forms = "".join(
            _form(self.page, number.format(i), q) for i, q in enumerate(self.questions, start=1)
        )
        kind, below = ("vg-quiz vg-predict", SKIP) if self.prediction else ("vg-quiz", SCORE)
        return (
            f'<style>{style}</style><div class="{kind}">{forms}{below}</div>'
            f'<script>(() => {{"use strict";\n{script}}})();</script>'
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        lines = [f"{i}. {question.text}" for i, question in enumerate(self.questions, start=1)]
        if self.prediction:
            lines = [f"Predict. {self.questions[0].text}"]
        return {"text/plain": "\n".join(lines), "text/html": self.html()}


def show(page: str, questions: Sequence[Question]) -> Quiz:
    """Put questions on a page, once.

    Args:
        page: The page's label.
        questions: In the order shown.
    """
    texts = [question.text for question in questions]
    if not texts:
        raise ValueError("questions must hold at least one question; got none")
    for text in texts:
        if texts.count(text) > 1:
            raise ValueError(f"questions must differ; got {text!r} twice")
    return Quiz(page, tuple(questions))


def predict(page: str, question: Question) -> Quiz:
    """Ask before the answer: in the book, the rest of the section appears when it is given.

    Args:
        page: The page's label.
        question: From `choice`, `number`, `power` or `curve`.
    """
    return Quiz(page, (question,), prediction=True)


def _form(page: str, number: str, question: Question) -> str:
    make = _choices if question.span is None else _slider if question.powers else _field
    field = make(question)
    span = question.span and f' data-low="{question.span.low!r}" data-high="{question.span.high!r}"'
    return (
        f'<form data-key="{_key(page, question)}"{span or ""} autocomplete="off" novalidate>'
        f"<fieldset><legend>{number}{_inline(question.text)}</legend>"
        f"{question.picture}{field}</fieldset>"
        # Disabled, it keeps the Enter key from sending the form where there is no script.
        '<button type="submit" disabled hidden>Check</button>'
        '<p role="status"></p>'
        f"<details><summary>Answer</summary>{_answers(question)}</details></form>"
    )


def _choices(question: Question) -> str:
    return "".join(
        f'<label><input type="radio" name="answer" value="{i}"> '
        f"<span>{_inline(answer)}</span></label>"
        for i, answer in enumerate(question.feedback)
    )


def _field(question: Question) -> str:
    # The decimal keypads of telephones have no minus and no e.
    mode = "decimal" if question.span.value >= 1e-3 else "text"
    return (
        f'<label>Your answer <input type="text" name="answer" inputmode="{mode}" size="9"> '
        f"<span>{_inline(question.unit)}</span></label>"
    )


def _slider(question: Question) -> str:
    low, high = question.powers
    start = min(low, high, key=abs)  # a middle would often be close to the answer
    return (
        f'<label><input type="range" name="answer" min="{low}" max="{high}" step="1" '
        f'value="{start}" aria-label="Power of ten"> '
        f"<output>10{str(start).translate(SUPERSCRIPTS)}</output></label>"
    )


def _answers(question: Question) -> str:
    """Every answer with its feedback; the script takes what it says from here."""
    names = {answer: answer for answer in question.feedback}
    if question.span:
        exact = typeset(f"{question.span.value:.4g} {question.unit}".strip())
        names = {"right": exact, "small": "Smaller", "large": "Larger"}
    items = "".join(
        f"<li{' data-right' * (answer == question.right)}>"
        f"<strong>{'✓' if answer == question.right else '✗'} {_inline(names[answer])}</strong> "
        f"<span>{_inline(feedback)}</span></li>"
        for answer, feedback in question.feedback.items()
    )
    return f"<ul>{items}</ul>"


def _inline(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _key(page: str, question: Question) -> str:
    """What an answer is stored under: a question that has changed gets another.

    Of a number two digits count: the last ones differ from machine to machine.
    """
    value = question.span and f"{question.span.value:.1e}"
    parts = [page, question.text, *question.feedback, question.right, str(value)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
