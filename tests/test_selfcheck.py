"""Self-checks: what the questions demand of their authors, and the form as a reader uses it."""

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import faults

from tools import pages
from vgkit import selfcheck
from vgkit.selfcheck import picture

VOID = {"input"}
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


class Outline(HTMLParser):
    """Fails where an element is not closed in order; notes every element with its attributes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.seen = [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, wanted):
        return [attributes for tag, attributes in self.seen if tag == wanted]


def test_the_html_is_whole_and_escaped():
    html = selfcheck.show("demo", three()).html()
    outline = Outline(html)
    assert (
        len(outline.all("form")) == len(outline.all("fieldset")) == len(outline.all("legend")) == 3
    )
    assert len(outline.all("svg")) == 1 and len(outline.all("polyline")) == 2
    assert len(outline.all("input")) == 2 + 1 + 2
    assert "Is <code>a &lt; b</code>?" in html and "Because <code>b &gt; a</code>." in html
    assert "<Yes>" not in html and "Yes &amp; no" in html
    assert not re.search(r"(?:src|href)=|https?:", html)  # nothing from elsewhere


def test_nothing_visible_gives_the_answer_away():
    outline = Outline(selfcheck.show("demo", three()).html())
    assert not [a for a in outline.all("input") if "checked" in a or "data-right" in a]
    assert not [a for a in outline.all("details") if "open" in a]
    first, second = (selfcheck.choice("Q", {"a": "f", "b": "g"}, right=r) for r in "ab")
    visible = [
        re.sub('<details>.*?</details>|data-key="\\w+"', "", selfcheck.show("p", [q]).html())
        for q in (first, second)
    ]
    assert visible[0] == visible[1]
    label = outline.all("svg")[0]["aria-label"]
    assert label == (
        "y against x, 2 curves. Curve A: 1 at 1, 2 at 2, 3 at 3. "
        "Curve B: 0.1 at 1, 0.01 at 2, 0.001 at 3."
    )


def test_without_a_script_every_answer_has_its_feedback_in_a_fold():
    html = selfcheck.show("demo", three()).html()
    folds = re.findall("<details>.*?</details>", html)
    assert [fold.count("<li") for fold in folds] == [2, 3, 2]
    assert all(fold.count("<li data-right>") == 1 for fold in folds)
    assert "✓ 2e-05" in folds[1] and "✓ Curve B" in folds[2] and "It grows." in folds[2]
    assert html.count('<button type="submit" disabled hidden>') == 3


def test_the_curves_stand_where_their_numbers_are():
    svg = selfcheck.curve("Q", X, CURVES, {"A": "f", "B": "g"}, "A", "x", "y", log=True).picture
    points = [
        np.array([pair.split(",") for pair in text.split()], float)
        for text in re.findall('points="(.*?)"', svg)
    ]
    for line, values in zip(points, CURVES.values(), strict=True):
        assert np.all(np.diff(line[:, 0]) > 0)
        assert line[0, 0] == picture.LEFT and line[-1, 0] == picture.RIGHT
        assert (np.sign(np.diff(line[:, 1])) == -np.sign(np.diff(values))).all()
    # On the logarithmic axis a decade is the same everywhere: B loses one at every step.
    decade = np.diff(points[1][:, 1])
    assert decade[0] == pytest.approx(decade[1], abs=0.11)  # drawn to a tenth of a pixel
    assert points[0][0, 1] - points[1][2, 1] == pytest.approx(-3 * decade[0], abs=0.31)
    centres = np.array(re.findall(r'circle cx="([\d.]+)" cy="([\d.]+)"', svg), float)
    assert np.hypot(*(centres[0] - centres[1])) > 18  # the letters do not overlap


def test_letters_of_curves_that_lie_together_do_not_overlap():
    curves = {"A": X, "B": X + 1e-3, "C": X - 1e-3, "D": X}
    svg = selfcheck.curve("Q", X, curves, dict.fromkeys(curves, "f"), "A", "x", "y").picture
    centres = np.array(re.findall(r'circle cx="([\d.]+)" cy="([\d.]+)"', svg), float)
    apart = np.hypot(*(centres[:, None] - centres[None]).T) + 100 * np.eye(4)
    assert apart.min() > 18  # two radii


def test_a_changed_question_has_another_key():
    def key(page="p", **changed):
        given = {"text": "Q", "feedback": {"a": "f", "b": "g"}, "right": "a", **changed}
        return re.search(
            'data-key="(.*?)"', selfcheck.show(page, [selfcheck.choice(**given)]).html()
        )[1]

    keys = [
        key(),
        key("q"),
        key(text="R"),
        key(right="b"),
        key(feedback={"b": "g", "a": "f"}),
        key(feedback={"a": "f", "b": "g", "c": "h"}),
    ]
    assert len(set(keys)) == len(keys)
    assert key(feedback={"a": "better said", "b": "g"}) == keys[0]
    numbers = [
        re.search(
            'data-key="(.*?)"',
            selfcheck.show("p", [selfcheck.number("Q", v, "r", "s", "l")]).html(),
        )[1]
        for v in (0.5, 0.5 + 1e-12, 0.6)
    ]
    assert numbers[0] == numbers[1] != numbers[2]


def test_the_span_of_a_number():
    span = selfcheck.number("Q", -2, "r", "s", "l", tolerance=0.1).span
    assert span == pytest.approx((-2.2, -2, -1.8))
    assert selfcheck.number("Q", np.float32(0), "r", "s", "l", absolute=1e-3).span == (
        -1e-3,
        0,
        1e-3,
    )


def wrong(**changed):
    return {"text": "Q", "feedback": {"a": "f", "b": "g"}, "right": "a", **changed}


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: selfcheck.choice(**wrong(right="c")), "right must be one of a, b; got 'c'"),
        (lambda: selfcheck.choice(**wrong(feedback={"a": "f"})), "at least two answers; got 1"),
        (lambda: selfcheck.choice(**wrong(feedback={"a": "f", "b": " "})), "got ' ' on 'b'"),
        (lambda: selfcheck.choice(**wrong(text="")), "text must hold the question"),
        (lambda: selfcheck.number("Q", math.nan, "r", "s", "l"), "value must be finite"),
        (lambda: selfcheck.number("Q", 1, "r", "s", "l", tolerance=0.0), "tolerance must be"),
        (lambda: selfcheck.number("Q", 1, "r", "s", "l", absolute=-1.0), "absolute must be p"),
        (lambda: selfcheck.number("Q", 1, "r", "s", "l", absolute=0.0), "absolute must be p"),
        (lambda: selfcheck.number("Q", 0, "r", "s", "l"), "absolute must be given"),
        (lambda: selfcheck.number("Q", 1, "r", "", "l"), "got '' on 'small'"),
        (lambda: selfcheck.show("p", []), "at least one question"),
        (lambda: selfcheck.show("p", [three()[0]] * 2), "twice"),
        (lambda: plot(feedback={"A": "f", "C": "g"}), "on the curves A, B; got A, C"),
        (lambda: plot(right="D"), "right must be one of Curve A, Curve B"),
        (lambda: plot(x=X[::-1]), "ascending"),
        (lambda: plot(curves={"A": X, "B": X - 1}, log=True), "curve B must be positive"),
        (lambda: plot(curves={"A": X, "B": X * math.inf}), "curve B must be finite"),
        (lambda: plot(curves=dict.fromkeys("ABCDE", X), feedback=dict.fromkeys("ABCDE", "f")),
         "at most four; got 5"),
    ],
)  # fmt: skip
def test_bad_questions_are_refused(make, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        make()


def plot(**changed):
    given = {"x": X, "curves": CURVES, "feedback": {"A": "f", "B": "g"}, "right": "A"}
    return selfcheck.curve("Q", **{**given, **changed}, xlabel="x", ylabel="y")


def test_a_curve_of_another_length_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"curve B must have shape \(3\); got \(2,\)"):
        plot(curves={"A": X, "B": X[:2]})


def test_a_notebook_without_html_lists_the_questions():
    shown = selfcheck.show("demo", three())._repr_mimebundle_()
    assert shown["text/plain"] == "1. Is `a < b`?\n2. How much?\n3. Which one?"
    assert set(shown) == {"text/plain", "text/html"}


@pytest.fixture
def opened(open_page, tmp_path):
    """A page that holds nothing but the three questions."""
    html = selfcheck.show("demo", three()).html()
    path = tmp_path / "quiz.html"
    head = '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
    path.write_text(f"{head}<title>Quiz</title><main><h1>Quiz</h1>{html}</main></html>", "utf-8")
    return lambda **options: open_page(path.as_uri(), **options)


def form(page, number):
    return page.locator(".vg-quiz form").nth(number)


def status(page, number):
    return form(page, number).locator("[role=status]").text_content()


def score(page):
    return page.locator(".vg-score p").text_content()


def test_before_an_answer_no_feedback_is_shown(opened):
    page = opened()
    assert page.problems == []
    text = page.locator(".vg-quiz").inner_text()
    for said in (
        "alas",
        "Because",
        "Exactly",
        "than that",
        "grows",
        "shrinks",
        "2e-05",
        "Answer\n",
    ):
        assert said not in text
    assert score(page).startswith("0 of 3 right at the first try, 0 answered.")


def test_feedback_on_every_answer(opened):
    page = opened()
    check = form(page, 0).get_by_role("button", name="Check")
    check.click()
    assert status(page, 0) == "Choose an answer first."
    form(page, 0).get_by_role("radio", name="Yes & no").check()
    check.click()
    assert status(page, 0) == "✗ Not so. Wrong, alas."
    form(page, 0).get_by_role("radio", name="<Yes>").check()
    assert status(page, 0) == ""  # what was said of another answer is gone
    check.click()
    assert status(page, 0) == "✓ Right. Because b > a."
    assert score(page).startswith("0 of 3 right at the first try, 1 answered.")
    form(page, 2).get_by_role("radio", name="Curve B").check()
    form(page, 2).get_by_role("button").click()
    assert score(page).startswith("1 of 3 right at the first try, 2 answered.")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("2e-5", "✓ Right. Exactly."),
        ("0.00002", "✓ Right. Exactly."),
        (" 0,0000205 ", "✓ Right. Exactly."),
        ("2·10^-5", "✓ Right. Exactly."),
        ("2 x 10^−5", "✓ Right. Exactly."),
        ("10^-5", "✗ Not so. More than that."),
        ("0", "✗ Not so. More than that."),
        ("-2e-5", "✗ Not so. More than that."),
        ("2.2e-5", "✗ Not so. Less than that."),
        ("1.000", "✗ Not so. Less than that."),
        ("", "Type a number first, such as 0.05 or 1e-5."),
        ("two", "Type a number first, such as 0.05 or 1e-5."),
        ("1.5.2", "Type a number first, such as 0.05 or 1e-5."),
        ("Infinity", "Type a number first, such as 0.05 or 1e-5."),
    ],
)
def test_a_number_as_people_type_it(opened, typed, said):
    page = opened()
    field = page.get_by_label("Your answer")
    field.fill(typed)
    field.press("Enter")
    assert status(page, 1) == said
    assert page.url.endswith("quiz.html")


def test_by_keyboard_alone(opened):
    page = opened()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert status(page, 0) == "✓ Right. Because b > a."
    page.keyboard.press("Tab")
    page.keyboard.type("2e-5")
    page.keyboard.press("Enter")
    assert status(page, 1) == "✓ Right. Exactly."
    for key in ("Tab", "Tab", "Space", "Enter"):
        page.keyboard.press(key)
    assert status(page, 2) == "✗ Not so. It grows."
    assert score(page).startswith("2 of 3 right at the first try, 3 answered.")
    for key in ("Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    assert score(page).startswith("0 of 3 right at the first try, 0 answered.")


def test_answers_are_kept_over_a_reload_until_they_are_forgotten(opened):
    page = opened()
    # A private window of Chromium can lose its storage in a reload unless another page holds it.
    holds = page.context.new_page()
    holds.goto(page.url)
    page.evaluate("localStorage.setItem('another', 'stays')")
    form(page, 0).get_by_role("radio", name="Yes & no").check()
    form(page, 0).get_by_role("button").click()
    form(page, 1).get_by_label("Your answer").fill("2e-5")
    form(page, 1).get_by_role("button").click()
    holds.wait_for_function("localStorage.getItem('vgkit-selfcheck')?.includes('2e-5')")
    page.reload()
    assert form(page, 0).get_by_role("radio", name="Yes & no").is_checked()
    assert status(page, 0) == "✗ Not so. Wrong, alas."
    assert form(page, 1).get_by_label("Your answer").input_value() == "2e-5"
    assert status(page, 1) == "✓ Right. Exactly." and status(page, 2) == ""
    assert score(page).startswith("1 of 3 right at the first try, 2 answered.")
    page.get_by_role("button", name="Forget my answers").click()
    holds.wait_for_function("localStorage.getItem('vgkit-selfcheck') === null")
    page.reload()
    assert page.locator("input:checked").count() == 0
    assert all(status(page, number) == "" for number in range(3))
    kept = page.evaluate("Object.keys(localStorage)")
    assert "another" in kept and "vgkit-selfcheck" not in kept


@pytest.mark.parametrize("script", [
    "Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new Error('refused'); }",
    "localStorage.setItem('vgkit-selfcheck', 'no JSON')",
    "localStorage.setItem('vgkit-selfcheck', '5')",
])  # fmt: skip
def test_a_browser_that_keeps_nothing_still_gives_feedback(opened, script):
    page = opened()
    page.add_init_script(script)
    page.reload()
    form(page, 1).get_by_label("Your answer").fill("1")
    form(page, 1).get_by_role("button").click()
    assert status(page, 1) == "✗ Not so. Less than that."
    assert score(page).startswith("0 of 3 right at the first try, 1 answered.")
    form(page, 1).get_by_label("Your answer").fill("2e-5")
    form(page, 1).get_by_role("button").click()
    assert score(page).startswith("0 of 3 right at the first try, 1 answered.")
    assert page.problems == []


def test_running_the_script_again_changes_nothing(opened):
    page = opened()
    page.evaluate("eval(document.querySelector('script').textContent)")
    form(page, 2).get_by_role("radio", name="Curve B").check()
    form(page, 2).get_by_role("button").click()
    assert status(page, 2) == "✓ Right. It shrinks."
    assert score(page).startswith("1 of 3")


def test_without_a_script(opened):
    page = opened(java_script_enabled=False)
    assert page.get_by_role("button").count() == 0
    assert page.locator(".vg-score").is_hidden()
    page.get_by_label("Your answer").press("Enter")
    assert page.url.endswith("quiz.html")
    for number in range(3):
        fold = form(page, number).locator("details")
        assert not fold.locator("li").first.is_visible()
        fold.locator("summary").click()
        assert fold.locator("li").first.is_visible()


def test_print_leaves_the_questions(opened):
    page = opened()
    form(page, 0).get_by_role("radio", name="<Yes>").check()
    form(page, 0).get_by_role("button").click()
    page.emulate_media(media="print")
    assert page.locator(".vg-quiz legend").first.is_visible()
    assert page.locator(".vg-quiz input").first.is_visible()
    for hidden in ("button", "[role=status]", ".vg-score", "details"):
        assert not any(found.is_visible() for found in page.locator(f".vg-quiz {hidden}").all())


def accessible(page, part="html"):
    """No severe finding by axe, nothing wider than the screen, targets large enough."""
    assert faults(page, part) == []
    for target in page.locator(".vg-quiz :is(label, button)").all():
        assert target.bounding_box()["height"] >= 44


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [380, 1400])
def test_accessible_and_within_the_screen(opened, width, theme):
    page = opened(viewport={"width": width, "height": 900})
    if theme == "dark":
        page.evaluate("""() => {
            document.documentElement.dataset.theme = "dark";
            document.body.style.cssText = "background: #14181e; color: #ced6dd;"
                + "--pst-color-background: #14181e; --pst-color-text-base: #ced6dd;";
        }""")
    for number, answer in enumerate(["Yes & no", "", "Curve B"]):
        if answer:
            form(page, number).get_by_role("radio", name=answer).check()
        form(page, number).get_by_role("button").click()
    accessible(page)


CHOOSE = """form => [...form.querySelectorAll('[type=radio]')].map(choice => {
  choice.click();
  form.querySelector('button').click();
  return form.querySelector('[role=status]').textContent;
})"""


@pytest.mark.parametrize("page", pages.asking())
def test_every_answer_of_the_book_is_judged(book, open_page, page):
    opened = open_page(
        (book / f"{page}.html").as_uri(), theme="dark", viewport={"width": 380, "height": 900}
    )
    forms = opened.locator(".vg-quiz[data-ready] form").all()
    assert len(forms) >= (3 if "/solutions/" in page else 5)
    for asked in forms:
        marks = [item.get_attribute("data-right") is not None for item in asked.locator("li").all()]
        said = asked.locator("[role=status]")
        assert sum(marks) == 1 and said.text_content() == ""
        choices = asked.evaluate(CHOOSE)
        for answer, right in zip(choices, marks, strict=bool(choices)):
            assert answer.startswith("✓" if right else "✗")
        if not choices:  # the digits that the answer is shown with are near enough
            shown = asked.locator("li[data-right] strong").text_content().split()[1]
            for typed, mark in ((shown, "✓"), ("1e30", "✗"), ("-1e30", "✗")):
                asked.get_by_role("textbox").fill(typed)
                asked.get_by_role("button").click()
                assert said.text_content().startswith(mark)
    accessible(opened, ".vg-quiz")
