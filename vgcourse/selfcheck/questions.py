"""What a question is made of, and the kinds of questions."""

from collections.abc import Mapping
from typing import NamedTuple, SupportsFloat

import numpy as np
from jaxtyping import Array, Real

from vgcourse.selfcheck import picture
from vgkit import _check


class Span(NamedTuple):
    """The numbers that count as right.

    Attributes:
        low: Least of them.
        value: The exact one.
        high: Largest of them.
    """

    low: float
    value: float
    high: float


class Question(NamedTuple):
    """A question with feedback on every answer; `choice`, `number`, `power`, `curve` make one.

    Attributes:
        text: The question. Words between backticks are set as code, here and in all texts.
        feedback: A sentence or two by answer: why it is right, or why not. The answers to a number
            are "right", "small" and "large".
        right: The right one among the answers.
        span: For a number, which ones are right; None for a choice.
        unit: What stands behind the number.
        picture: HTML of the figure that the question is about, or nothing.
        powers: For a power of ten, the exponents at the two ends of its slider.
    """

    text: str
    feedback: dict[str, str]
    right: str
    span: Span | None = None
    unit: str = ""
    picture: str = ""
    powers: tuple[int, int] | None = None


def choice(text: str, feedback: Mapping[str, str], right: str) -> Question:
    """One answer of several, shown in the order given.

    Args:
        text: The question.
        feedback: Why an answer is right or wrong, by the answer.
        right: The right answer.
    """
    _complete(text, feedback)
    _check.choice("right", right, feedback)
    return Question(text, dict(feedback), right)


def number(
    text: str,
    value: SupportsFloat,
    right: str,
    small: str,
    large: str,
    tolerance: float = 0.05,
    absolute: float | None = None,
    unit: str = "",
) -> Question:
    """A number that the reader types, right within `tolerance * |value|`, or within `absolute`.

    Args:
        text: The question.
        value: The right answer, computed on the page.
        right: Feedback on the right answer.
        small: Feedback on a number below the tolerance.
        large: Feedback on a number above it.
        tolerance: As a share of the value.
        absolute: In the value's unit; replaces `tolerance`.
        unit: What stands behind the field, such as "%".
    """
    value = float(value)
    _check.finite("value", [value])
    _check.positive("tolerance", tolerance)
    if absolute is None and not value:
        raise ValueError("absolute must be given where value is 0; got None")
    within = abs(value) * tolerance if absolute is None else absolute
    _check.positive("absolute", within)
    feedback = {"right": right, "small": small, "large": large}
    _complete(text, feedback)
    return Question(text, feedback, "right", Span(value - within, value, value + within), unit)


def power(
    text: str,
    value: SupportsFloat,
    powers: tuple[int, int],
    right: str,
    small: str,
    large: str,
    decades: float = 1.0,
) -> Question:
    """A power of ten that the reader sets by a slider, right within some decades of the value.

    Args:
        text: The question.
        value: The right answer, positive, computed on the page.
        powers: Exponents at the slider's two ends.
        right: Feedback on the right answer.
        small: Feedback on a smaller number.
        large: Feedback on a larger one.
        decades: How far from the value an answer may be.

    Raises:
        ValueError: If a feedback is missing, or the value is not positive or beyond the ends.
    """
    value = float(value)
    _check.positive("value", value)
    _check.positive("decades", decades)
    low, high = powers
    if not 10.0**low <= value <= 10.0**high:
        raise ValueError(f"powers must enclose the value {value:.1e}; got {powers}")
    feedback = {"right": right, "small": small, "large": large}
    _complete(text, feedback)
    span = Span(value / 10**decades, value, value * 10**decades)
    return Question(text, feedback, "right", span, powers=(low, high))


def curve(
    text: str,
    x: Real[Array | np.ndarray, " points"],
    curves: Mapping[str, Real[Array | np.ndarray, " points"]],
    feedback: Mapping[str, str],
    right: str,
    xlabel: str,
    ylabel: str,
    log: bool = False,
) -> Question:
    """Which curve is it? A figure, and its curves to choose from.

    Args:
        text: The question.
        x: Positions that all curves share, ascending.
        curves: Values by the curves' names, "A", "B" and so on: at most four.
        feedback: Why a curve is the right one or not, by its name.
        right: The right curve's name.
        xlabel: What x is, with its unit.
        ylabel: What the curves show, with its unit.
        log: Whether the vertical axis is logarithmic.
    """
    if list(curves) != list(feedback):
        raise ValueError(
            f"feedback must be on the curves {', '.join(curves)}; got {', '.join(feedback)}"
        )
    question = choice(
        text, {f"Curve {name}": reason for name, reason in feedback.items()}, f"Curve {right}"
    )
    drawn = picture.draw(x, curves, xlabel, ylabel, log)
    return question._replace(picture=drawn)


def _complete(text: str, feedback: Mapping[str, str]) -> None:
    if not text.strip():
        raise ValueError("text must hold the question; got none")
    if len(feedback) < 2:
        raise ValueError(f"feedback must be on at least two answers; got {len(feedback)}")
    for answer, reason in feedback.items():
        if not (answer.strip() and reason.strip()):
            raise ValueError(
                f"feedback must say something on every answer; got {reason!r} on {answer!r}"
            )
