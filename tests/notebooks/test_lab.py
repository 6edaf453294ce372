"""A real JupyterLab: quizzes, explorers of a reader's own, random moves, a lost kernel.

VGKIT_MOVES sets how often an explorer is moved at random, up to 500 times.
"""

import os
import re

import numpy as np
import psutil
import pytest
from conftest import heap, run_all

MOVES = min(500, int(os.environ.get("VGKIT_MOVES", "60")))


def test_a_quiz_works_by_keyboard_and_keeps_its_answer(run):
    page = run("quiz.ipynb")
    quiz = page.locator(".vg-quiz[data-ready]")
    quiz.wait_for(timeout=120_000)
    quiz.locator("input").first.focus()
    for key in ("Space", "ArrowDown", "Tab", "Enter"):  # with other meanings in JupyterLab
        page.keyboard.press(key)
    assert quiz.get_by_role("radio", name="Two").is_checked()
    assert quiz.locator("[role=status]").text_content() == "✓ Right. Two it is."
    page = run("quiz.ipynb")
    quiz.wait_for(timeout=120_000)
    assert quiz.locator("[role=status]").text_content() == "✓ Right. Two it is."
    assert quiz.locator(".vg-score p").text_content().startswith("1 of 1 right at the first try")


@pytest.fixture(scope="module")
def own(run):
    """A notebook with a slow explorer, a wrong one and one to move, run; the last test ends it."""
    return run("own.ipynb")


def kernel(page):
    """The process of the notebook's kernel, once every cell has run and shows what it made."""
    ready = page.get_by_text(re.compile(r"^kernel \d+ is ready"))
    ready.wait_for(timeout=120_000)
    page.locator(".vg-chart").nth(2).wait_for(state="attached", timeout=60_000)
    return psutil.Process(int(ready.text_content().split()[1]))


def test_explorers_of_a_readers_own(own):
    page = own
    kernel(page)
    slow, wrong, _ = page.locator(".vg-chart").all()
    problem = wrong.locator(".vg-summary").inner_text()
    assert "The computation failed at K 1. ValueError: compute must return power" in problem
    assert "got pwoer" in problem

    # Forty key presses, faster than their computations: most of those in between are dropped.
    summary = slow.locator(".vg-summary")
    page.wait_for_function("e => e.textContent.startsWith('1 steps')", arg=summary.element_handle())
    before = int(re.search(r"computed (\d+) times", summary.inner_text())[1])
    page.locator(".widget-slider .noUi-handle").first.focus()
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "e => e.textContent.startsWith('41 steps')", arg=summary.element_handle(), timeout=30_000
    )
    page.wait_for_timeout(600)
    assert summary.inner_text().startswith("41 steps")  # and stays there
    computed = int(re.search(r"computed (\d+) times", summary.inner_text())[1]) - before
    assert computed < 20

    # The buttons work by keyboard, and no cell runs or is edited by it.
    menu = page.locator(".vg-live").first.locator(".vg-more")
    menu.locator("summary").press("Enter")
    menu.locator("[data-export=csv]").focus()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "Slow_steps=41.csv"
    saved = download.value.path().read_bytes().decode().splitlines()
    assert saved == ["Step,Power: Power", "1,41", "2,82", "3,123"]
    status = slow.locator("[role=status]")
    assert status.text_content() == "Saved as Slow_steps=41.csv"
    menu.locator("[data-export=python]").focus()
    page.keyboard.press("Space")
    page.wait_for_function("e => e.textContent.includes('Python')", arg=status.element_handle())
    code = menu.locator("textarea").input_value().splitlines()
    assert code[0].endswith('the explorer "Slow":')
    assert code[1].startswith("explorer.choose(steps=41)")

    # A drag by the mouse, past the slider's end, as fast.
    handle = page.locator(".widget-slider .noUi-handle").first
    handle.scroll_into_view_if_needed()
    corner = handle.bounding_box()
    page.mouse.move(corner["x"] + 5, corner["y"] + 5)
    page.mouse.down()
    page.mouse.move(0, corner["y"] + 5, steps=40)
    page.mouse.up()
    page.wait_for_function("e => e.textContent.startsWith('1 steps')", arg=summary.element_handle())


# What Notebook 7 does with a key: it takes it before the element gets it.
AS_NOTEBOOK_7 = """() => document.addEventListener('keydown', (event) =>
  event.target.hasAttribute('data-lm-suppress-shortcuts') || event.stopPropagation(), true)"""


STEPS = {"ArrowUp": 1, "ArrowDown": -1, "ArrowRight": 1, "ArrowLeft": -1, "Home": -9, "End": 9}


def move(page, box, random, places):
    """Moves one control by keyboard; returns where it says that the controls then are."""
    name = list(places)[random.integers(len(places))]
    last = {"a": 8, "b": 3, "word": 2, "kind": 1}[name]
    if name == "kind":
        place = int(random.integers(2))
        box.locator(".widget-toggle-button").nth(place).focus()
        page.keyboard.press(["Enter", "Space"][random.integers(2)])
    else:
        key = list(STEPS)[random.integers(6)]
        step = STEPS[key]
        if name == "word":
            box.locator("select").focus()
            step = -step if key in ("ArrowUp", "ArrowDown") else step
        else:
            box.locator(".noUi-handle").nth(["a", "b"].index(name)).focus()
        page.keyboard.press(key)
        place = min(max(places[name] + step, 0), last)
    return {**places, name: place}


def test_random_moves(own):
    page = own
    process = kernel(page)
    slow, wrong, chart = page.locator(".vg-chart").all()
    box = page.locator(".vg-live").nth(2)
    box.scroll_into_view_if_needed()

    def drawn():
        return [one.locator(".vg-summary, svg").all_text_contents() for one in (slow, wrong)]

    others = drawn()
    problems = []
    page.on("pageerror", lambda error: problems.append(error))
    session = page.context.new_cdp_session(page)
    collect = page.get_by_role("button", name=re.compile("Collect|blocks"))

    def memory():
        """Live blocks of the kernel, its resident bytes, and live bytes of the page's objects."""
        before = collect.text_content()
        collect.click()
        page.wait_for_function(
            "([e, before]) => e.textContent !== before", arg=[collect.element_handle(), before]
        )
        blocks = int(collect.text_content().split()[0])
        return np.array([blocks, process.memory_info().rss, heap(session)])

    def check(places):
        a, b = places["a"] + 1, 2 ** places["b"]
        word, kind = ["none", "relu", "tanh"][places["word"]], ["off", "on"][places["kind"]]
        first = ["Off.", "On."][places["kind"]]
        number = 1000 * places["kind"] + 100 * places["word"] + 10 * b + a
        summary = chart.locator(".vg-summary").element_handle()
        shown = [summary, f"{first} {a}, {b}, {word}, {kind}: {number}"]
        page.wait_for_function("([e, text]) => e.textContent === text", arg=shown, timeout=5000)

    random = np.random.default_rng(0)
    box.locator("select").focus()
    page.keyboard.press("r")  # at a cell, this makes it raw
    places = {"a": 2, "b": 1, "word": 1, "kind": 0}
    check(places)
    for number in range(MOVES):
        if number == MOVES // 5:
            before = memory()
        if number == MOVES // 2:
            page.evaluate(AS_NOTEBOOK_7)
        places = move(page, box, random, places)
        if number % 25 == 24:
            check(places)
            box.get_by_role("button", name="Middle").click()
            places |= {"a": 4, "word": 1}
            check(places)
    check(places)
    growth = memory() / before - 1
    print(f"{MOVES} moves, {before} blocks and bytes, grown by {growth}")
    assert growth.max() < 0.05
    assert drawn() == others and problems == []


def test_a_lost_kernel_is_reported(own):
    page = own
    kernel(page)
    lost = page.locator(".vg-lost").first

    def reported():
        page.wait_for_function(
            "e => e.textContent !== ''", arg=lost.element_handle(), timeout=60_000
        )
        assert lost.text_content().startswith("The kernel was restarted or has died")

    assert lost.text_content() == ""
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Restart Kernel…")).click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    reported()
    page.get_by_text(re.compile(r"^kernel \d+ is ready")).evaluate("e => e.remove()")
    run_all(page)  # as it tells the reader to
    process = kernel(page)
    assert lost.text_content() == ""
    process.kill()
    reported()
