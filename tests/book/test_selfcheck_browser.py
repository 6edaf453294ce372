"""Self-checks: the form as a reader uses it."""

import pytest
from conftest import faults
from questions import three

from tools import pages
from vgcourse import selfcheck


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
