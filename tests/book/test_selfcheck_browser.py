"""Self-checks: the form as a reader uses it."""

import re

import pytest
from conftest import faults
from questions import three

from tools import pages
from vgcourse import selfcheck

ASK = "Type a number first, such as 0.05 or 1e-5."
TYPED = {
    "✓ Right. Exactly.": ("2e-5", "0.00002", " 0,0000205 ", "2·10^-5", "2 x 10^−5", "2 × 10⁻⁵"),
    "✗ Not so. More than that.": ("10^-5", "0", "-2e-5"),
    "✗ Not so. Less than that.": ("2.2e-5", "1.000"),
    ASK: ("", "two", "1.5.2", "Infinity"),
}


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


def answer(page, number, value=None):
    """Give an answer to a question; returns what the form says to it."""
    if value is not None and number == 1:
        form(page, 1).get_by_label("Your answer").fill(value)
    elif value is not None:
        form(page, number).get_by_role("radio", name=value).check()
    form(page, number).get_by_role("button", name="Check").click()
    return status(page, number)


def status(page, number):
    return form(page, number).locator("[role=status]").text_content()


def score(page):
    """How many answers were right at the first try, and how many there are."""
    words = page.locator(".vg-score p").text_content().split()
    return int(words[0]), int(words[words.index("answered.") - 1])


def test_feedback_on_every_answer(opened):
    page = opened()
    assert page.problems == [] and score(page) == (0, 0)
    text = page.locator(".vg-quiz").inner_text()
    hidden = ("alas", "Because", "Exactly", "than that", "grows", "shrinks", "2e-05", "Answer\n")
    assert [word for word in hidden if word in text] == []
    assert answer(page, 0) == "Choose an answer first."
    assert answer(page, 0, "Yes & no") == "✗ Not so. Wrong, alas."
    form(page, 0).get_by_role("radio", name="<Yes>").check()
    assert status(page, 0) == ""  # the feedback on another answer is gone
    assert answer(page, 0) == "✓ Right. Because b > a." and score(page) == (0, 1)
    page.evaluate("eval(document.querySelector('script').textContent)")  # changes nothing
    assert answer(page, 2, "Curve B") == "✓ Right. It shrinks." and score(page) == (1, 2)


def test_numbers_as_people_type_them(opened):
    page = opened()
    field = page.get_by_label("Your answer")
    for feedback, texts in TYPED.items():
        for typed in texts:
            field.fill(typed)
            field.press("Enter")
            assert status(page, 1) == feedback, typed
    assert page.url.endswith("quiz.html")


def test_by_keyboard_alone(opened):
    page = opened()
    for keys, number, feedback in (
        ("Tab Space ArrowDown Tab Enter", 0, "✓ Right. Because b > a."),
        ("Tab 2 e - 5 Enter", 1, "✓ Right. Exactly."),
        ("Tab Tab Space Enter", 2, "✗ Not so. It grows."),
    ):
        for key in keys.split():
            page.keyboard.press(key)
        assert status(page, number) == feedback
    assert score(page) == (2, 3)
    for key in ("Tab", "Tab", "Enter"):
        page.keyboard.press(key)
    assert score(page) == (0, 0)


def test_answers_stay_over_a_reload_until_they_are_forgotten(opened):
    page = opened()
    page.evaluate("localStorage.setItem('another', 'stays')")
    answer(page, 0, "Yes & no"), answer(page, 1, "2e-5")
    page.reload()
    assert form(page, 0).get_by_role("radio", name="Yes & no").is_checked()
    assert form(page, 1).get_by_label("Your answer").input_value() == "2e-5"
    feedback = [status(page, number) for number in range(3)]
    assert feedback == ["✗ Not so. Wrong, alas.", "✓ Right. Exactly.", ""]
    assert score(page) == (1, 2)
    page.get_by_role("button", name="Forget my answers").click()
    page.reload()
    assert page.locator("input:checked").count() == 0
    assert all(status(page, number) == "" for number in range(3))
    assert page.evaluate("Object.keys(localStorage)") == ["another"]


@pytest.mark.parametrize("script", [
    "Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new Error('refused'); }",
    "localStorage.setItem('vgkit-selfcheck', 'no JSON')",
    "localStorage.setItem('vgkit-selfcheck', '5')",
])  # fmt: skip
def test_a_browser_that_stores_nothing_still_gives_feedback(opened, script):
    page = opened()
    page.add_init_script(script)
    page.reload()
    assert answer(page, 1, "1") == "✗ Not so. Less than that." and score(page) == (0, 1)
    assert answer(page, 1, "2e-5") == "✓ Right. Exactly." and score(page) == (0, 1)
    assert page.problems == []


@pytest.fixture
def waiting(open_page, tmp_path):
    """A section with a prediction before its answer, and another section."""
    question = selfcheck.power("What is left?", 3e-4, (-9, 0), "Yes.", "More.", "Less.")
    html = selfcheck.predict("demo", question).html()
    path = tmp_path / "predict.html"
    head = '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
    path.write_text(
        f'{head}<title>P</title><main><h1>P</h1><section><div class="cell">{html}</div>'
        '<p id="answer">The answer.</p><section id="next"><h2>Next</h2></section></section></main>',
        "utf-8",
    )
    return lambda **options: open_page(path.as_uri(), **options)


def test_a_prediction_keeps_the_answer_back(waiting):
    page = waiting(viewport={"width": 380, "height": 700})
    told, slider = page.locator("#answer"), page.get_by_role("slider")
    assert told.is_hidden() and page.locator("#next").is_visible() and faults(page) == []
    assert page.locator("output").inner_text() == "10⁰"  # the end nearest 1, not the answer
    for _ in range(4):
        slider.press("ArrowLeft")
    assert page.locator("output").inner_text() == "10⁻⁴"
    assert told.is_hidden()
    page.get_by_role("button", name="Check").click()
    assert status(page, 0) == "✓ Right. Yes." and told.is_visible()
    assert page.locator(".vg-skip").is_hidden() and page.problems == []


def test_a_prediction_can_be_skipped(waiting):
    page = waiting()
    page.emulate_media(media="print")
    assert page.locator("#answer").is_visible() and page.get_by_role("slider").count() == 0
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Show it now").click()
    assert page.locator("#answer").is_visible() and status(page, 0) == ""
    again = waiting()
    again.get_by_role("button", name="Always").click()
    assert again.locator("#answer").is_visible()
    linked = waiting()
    linked.evaluate("location.hash = 'answer'")
    linked.wait_for_function("document.getElementById('answer').getClientRects().length > 0")


def test_without_a_script_a_prediction_hides_nothing(waiting):
    page = waiting(java_script_enabled=False)
    assert page.locator("#answer").is_visible() and page.locator(".vg-skip").is_hidden()


def test_without_a_script(opened):
    page = opened(java_script_enabled=False)
    assert page.get_by_role("button").count() == 0 and page.locator(".vg-score").is_hidden()
    page.get_by_label("Your answer").press("Enter")
    assert page.url.endswith("quiz.html")
    for number in range(3):
        fold = form(page, number).locator("details")
        assert not fold.locator("li").first.is_visible()
        fold.locator("summary").click()
        assert fold.locator("li").first.is_visible()


def test_print_leaves_the_questions(opened):
    page = opened()
    answer(page, 0, "<Yes>")
    page.emulate_media(media="print")
    for part in ("legend", "input"):
        assert page.locator(f".vg-quiz {part}").first.is_visible()
    for part in ("button", "[role=status]", ".vg-score", "details"):
        assert not any(found.is_visible() for found in page.locator(f".vg-quiz {part}").all())


CHOOSE = """form => [...form.querySelectorAll('[type=radio]')].map(choice => {
  choice.click();
  form.querySelector('button').click();
  return form.querySelector('[role=status]').textContent;
})"""


SLIDE = """form => {
  const slider = form.elements.answer;
  const marks = [slider.value];
  for (let place = Number(slider.min); place <= Number(slider.max); place++) marks.push(place);
  return marks.map(place => {
    slider.value = place;
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    form.querySelector('button').click();
    return form.querySelector('[role=status]').textContent[0];
  });
}"""


@pytest.mark.parametrize("page", pages.asking())
def test_every_answer_of_the_book_is_judged(book, open_page, page):
    """And the forms are accessible then, within the screen, and large enough for a thumb."""
    theme = ("dark", "light")[pages.asking().index(page) % 2]
    size = {"width": 380, "height": 900}
    opened = open_page((book / f"{page}.html").as_uri(), theme=theme, viewport=size)
    sliders = opened.locator(".vg-quiz[data-ready] form:has([type=range])").all()
    for asked in sliders:  # a place on the slider is right, and where it begins is not
        marks = asked.evaluate(SLIDE)
        assert {*marks} == {"✓", "✗"} and marks[0] == "✗"
    forms = opened.locator(".vg-quiz[data-ready] form:not(:has([type=range]))").all()
    assert len(forms) >= (3 if "/solutions/" in page else 5)
    for asked in forms:
        marks = [item.get_attribute("data-right") is not None for item in asked.locator("li").all()]
        feedback = asked.locator("[role=status]")
        assert sum(marks) == 1 and feedback.text_content() == ""
        choices = asked.evaluate(CHOOSE)
        for text, right in zip(choices, marks, strict=bool(choices)):
            assert text.startswith("✓" if right else "✗")
        if not choices:  # the digits that the answer is shown with are near enough
            shown = asked.locator("li[data-right] strong").text_content()
            shown = re.match(r"✓ (\S+(?:\s×\s\S+)?)", shown)[1]
            for typed, mark in ((shown, "✓"), ("1e30", "✗"), ("-1e30", "✗")):
                asked.get_by_role("textbox").fill(typed)
                asked.get_by_role("button").click()
                assert feedback.text_content().startswith(mark)
    assert faults(opened, ".vg-quiz") == []
    for target in opened.locator(".vg-quiz :is(label, button)").all():
        assert not target.is_visible() or target.bounding_box()["height"] >= 44
