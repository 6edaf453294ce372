"""Self-checks: what the questions demand of their authors."""

import re

import numpy as np
import pytest
from questions import CURVES, X, three

from vgcourse import selfcheck


def html(*questions, page="p"):
    return selfcheck.show(page, questions).html()


def test_the_html_is_escaped_and_self_contained():
    text = html(*three())
    assert [text.count(f"<{tag}") for tag in ("form", "legend", "img", "input")] == [3, 3, 1, 5]
    assert "Is <code>a &lt; b</code>?" in text and "Because <code>b &gt; a</code>." in text
    assert "<Yes>" not in text and "Yes &amp; no" in text
    assert not re.search(r"(?:src|href)=(?!\"data:)|https?:", text)  # nothing from elsewhere
    assert (
        'alt="y against x, 2 curves. Curve A: 1 at 1, 2 at 2, 3 at 3. '
        'Curve B: 0.1 at 1, 0.01 at 2, 0.001 at 3."'
    ) in text


def test_nothing_visible_gives_the_answer_away():
    text = html(*three())
    assert not re.search(r"<input[^>]*(checked|data-right)|<details open", text)
    first, second = (
        re.sub('<details>.*?</details>|data-key="\\w+"', "", html(question))
        for question in (selfcheck.choice("Q", {"a": "f", "b": "g"}, right=r) for r in "ab")
    )
    assert first == second
    # Without a script every answer has its feedback in a fold.
    folds = re.findall("<details>.*?</details>", text)
    assert [fold.count("<li") for fold in folds] == [2, 3, 2]
    assert all(fold.count("<li data-right>") == 1 for fold in folds)
    assert "✓ 2\xa0×\xa010⁻⁵" in folds[1] and "✓ Curve B" in folds[2] and "It grows." in folds[2]
    assert text.count('<button type="submit" disabled hidden>') == 3


def test_a_changed_question_has_another_key():
    def key(question, page="p"):
        return re.search('data-key="(.*?)"', html(question, page=page))[1]

    def choice(**changed):
        return selfcheck.choice(**wrong(**changed))

    keys = [key(choice()), key(choice(), "q"), key(choice(text="R")), key(choice(right="b")),
            key(choice(feedback={"b": "g", "a": "f"})),
            key(choice(feedback={"a": "f", "b": "g", "c": "h"}))]  # fmt: skip
    assert len(set(keys)) == len(keys)
    assert key(choice(feedback={"a": "in better words", "b": "g"})) == keys[0]
    one, same, other = (
        key(selfcheck.number("Q", value, "r", "s", "l")) for value in (0.5, 0.5 + 1e-12, 0.6)
    )
    assert one == same != other


def test_the_span_of_a_number():
    span = selfcheck.number("Q", -2, "r", "s", "l", tolerance=0.1).span
    assert span == pytest.approx((-2.2, -2, -1.8))
    zero = selfcheck.number("Q", np.float32(0), "r", "s", "l", absolute=1e-3)
    assert zero.span == (-1e-3, 0, 1e-3)
    power = selfcheck.power("Q", 3e-4, (-9, 0), "r", "s", "l", decades=0.5).span
    assert np.log10(power) == pytest.approx(np.log10(3e-4) + np.array([-0.5, 0, 0.5]))


def wrong(**changed):
    return {"text": "Q", "feedback": {"a": "f", "b": "g"}, "right": "a", **changed}


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: selfcheck.choice(**wrong(right="c")), "right must be one of a, b; got 'c'"),
        (lambda: selfcheck.choice(**wrong(feedback={"a": "f", "b": " "})), "got ' ' on 'b'"),
        (lambda: selfcheck.number("Q", 1, "r", "s", "l", tolerance=0.0), "tolerance must be"),
        (lambda: selfcheck.number("Q", 1, "r", "s", "l", absolute=0.0), "absolute must be p"),
        (lambda: selfcheck.number("Q", 0, "r", "s", "l"), "absolute must be given"),
        (lambda: selfcheck.power("Q", 0.0, (-3, 0), "r", "s", "l"), "value must be positive"),
        (lambda: selfcheck.power("Q", 2.0, (-3, 0), "r", "s", "l"), "must enclose the value"),
        (lambda: selfcheck.show("p", []), "at least one question"),
        (lambda: selfcheck.show("p", [three()[0]] * 2), "twice"),
        (lambda: plot(feedback={"A": "f", "C": "g"}), "on the curves A, B; got A, C"),
        (lambda: plot(x=X[::-1]), "ascending"),
        (lambda: plot(curves={"A": X, "B": X - 1}, log=True), "curve B must be positive"),
        (lambda: plot(curves=dict.fromkeys("ABCDE", X), feedback=dict.fromkeys("ABCDE", "f")),
         "at most four; got 5"),
        (lambda: plot(curves={"A": X, "B": X[:2]}), "curve B must have shape (3); got (2,)"),
    ],
)  # fmt: skip
def test_bad_questions_are_refused(unchecked, make, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        make()


def plot(**changed):
    given = {"x": X, "curves": CURVES, "feedback": {"A": "f", "B": "g"}, "right": "A"}
    return selfcheck.curve("Q", **{**given, **changed}, xlabel="x", ylabel="y")


def test_a_notebook_without_html_lists_the_questions():
    shown = selfcheck.show("demo", three())._repr_mimebundle_()
    assert shown["text/plain"] == "1. Is `a < b`?\n2. How much?\n3. Which one?"
    assert set(shown) == {"text/plain", "text/html"}
