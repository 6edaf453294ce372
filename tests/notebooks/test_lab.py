"""A real JupyterLab: a chapter opens as a notebook, runs, and its slider drives JAX.

VGKIT_MOVES sets how often an explorer is moved at random, up to 500 times.
"""

import os
import re
import shutil

import numpy as np
import psutil
import pytest
from conftest import ROOT, heap

import tools.lab

MOVES = min(500, int(os.environ.get("VGKIT_MOVES", "60")))

QUIZ = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

```{code-cell} ipython3
from vgcourse import selfcheck

feedback = {"One": "Too few.", "Two": "Two it is.", "Three": "Too many."}
selfcheck.show("quiz", [selfcheck.choice("How many?", feedback, right="Two")])
```
"""

OWN = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

```{code-cell} ipython3
import gc
import os
import sys
import time

import ipywidgets as widgets
import jax
import jax.numpy as jnp
from vgkit import explore

times = []


def slow(steps):  # as slow as a large net
    times.append(time.time())
    time.sleep(0.15)
    return jnp.int32(len(times))


def compute(steps):
    count = jax.pure_callback(slow, jax.ShapeDtypeStruct((), jnp.int32), steps)
    return {"power": steps * jnp.arange(1.0, 4), "count": count[None]}


chart = explore.charts.chart(
    [explore.charts.series("power", "Power")], x={"label": "Step", "name": "step", "start": 1},
    y={"label": "Power"}, summary=[("", "{steps} steps, computed {count} times.")])
slider = widgets.IntSlider(1, 1, 60, description="Steps")
explore.Explorer("Slow", compute, {"steps": slider}, chart)
```

```{code-cell} ipython3
explore.Explorer("Wrong", lambda k: {"pwoer": jnp.ones(3) * k},
                 {"k": widgets.IntSlider(1, 1, 5, description="K")}, chart)
```

```{code-cell} ipython3
def total(a, b, word, kind):
    return {"total": a + 10 * b + 100 * word + 1000 * kind * jnp.ones(1)}


chart = explore.charts.chart(
    [explore.charts.series("total", "Total")], x={"label": "Step", "name": "step"},
    y={"label": "Total"}, summary=[("", "{a}, {b}, {word}, {kind}: {total}")])
explore.Explorer("Moved", total, {
    "a": widgets.IntSlider(3, 1, 9, description="A"),
    "b": widgets.SelectionSlider(options=[1, 2, 4, 8], value=2, description="B"),
    "word": widgets.Dropdown(options=["none", "relu", "tanh"], description="Word"),
    "kind": widgets.ToggleButtons(options=["off", "on"], description="Kind"),
}, chart, presets={"Middle": {"a": 5, "word": "relu"}})
```

```{code-cell} ipython3
def collect(button):
    gc.collect()
    button.description = f"{sys.getallocatedblocks()} blocks at {time.time()}"


button = widgets.Button(description="Collect")
button.on_click(collect)
button
```

```{code-cell} ipython3
print("kernel", os.getpid(), "is ready")
```
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab server on a copy of the chapters, with settings of its own."""
    top = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "chapters", top / "course" / "chapters")
    shutil.copy(ROOT / "index.md", top / "course")
    (top / "course" / "quiz.md").write_text(QUIZ)
    (top / "course" / "own.md").write_text(OWN)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("VGKIT_STATIC", raising=False)
        with tools.lab.served(top / "course", top / "own") as address:
            yield address


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()


@pytest.fixture(scope="module")
def run(lab, browser):
    """Opens a notebook of the course and runs all of it; a picture of the end is left."""
    page = browser.new_page(viewport={"width": 1300, "height": 1000})

    def open_and_run(path):
        page.goto(f"{lab}/lab/tree/{path}?reset&token=secret")  # no tab of another test
        page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=90_000)
        # The notebook calls itself idle before it has a kernel, the status bar only after.
        page.get_by_text("| Idle").wait_for(timeout=90_000)
        run_all(page)
        return page

    yield open_and_run
    shots = ROOT / "_build" / "test-artifacts"
    shots.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=shots / "lab.png")
    page.close()


def test_a_chapter_runs_and_its_slider_is_live(run):
    page = run("chapters/chain-rule.md")
    chart = page.locator(".vg-chart").first
    chart.wait_for(state="attached", timeout=120_000)
    idle = (
        "() => document.querySelector('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator')"
        "?.dataset.status === 'idle'"
    )
    page.wait_for_function(idle, timeout=180_000)
    assert page.locator(".jp-OutputArea-output[data-mime-type*=error]").count() == 0
    assert "{term}" not in page.locator(".jp-Notebook").inner_text()  # they read as links
    chart.scroll_into_view_if_needed()
    summary = chart.locator(".vg-summary")
    before = summary.inner_text()
    assert "multiply to 0.0027" in before
    slider = page.locator(".widget-slider .noUi-handle").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([element, before]) => element.textContent !== before",
        arg=[summary.element_handle(), before],
    )
    chart.locator("details summary").click()
    chart.locator(".vg-values tbody tr").last.wait_for()
    assert chart.locator(".vg-values tbody tr").count() == 5
    assert "multiply to 6.1e-4" in summary.inner_text()


def test_a_quiz_works_by_keyboard_and_keeps_its_answer(run):
    page = run("quiz.md")
    quiz = page.locator(".vg-quiz[data-ready]")
    quiz.wait_for(timeout=120_000)
    quiz.locator("input").first.focus()
    for key in ("Space", "ArrowDown", "Tab", "Enter"):  # with other meanings in JupyterLab
        page.keyboard.press(key)
    assert quiz.get_by_role("radio", name="Two").is_checked()
    assert quiz.locator("[role=status]").text_content() == "✓ Right. Two it is."
    page = run("quiz.md")
    quiz.wait_for(timeout=120_000)
    assert quiz.locator("[role=status]").text_content() == "✓ Right. Two it is."
    assert quiz.locator(".vg-score p").text_content().startswith("1 of 1 right at the first try")


@pytest.fixture(scope="module")
def own(run):
    """A notebook with a slow explorer, a wrong one and one to move, run; the last test ends it."""
    return run("own.md")


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
    said = wrong.locator(".vg-summary").inner_text()
    assert "The computation failed at K 1. ValueError: compute must return power" in said
    assert "got pwoer" in said

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
    slow.locator("[data-export=csv]").focus()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "Slow_steps=41.csv"
    assert download.value.path().read_bytes().decode() == (
        "Step,Power: Power\n1,41\n2,82\n3,123\n".replace("\n", "\r\n")
    )
    status = slow.locator("[role=status]")
    assert status.text_content() == "Saved as Slow_steps=41.csv"
    slow.locator("[data-export=python]").focus()
    page.keyboard.press("Space")
    page.wait_for_function("e => e.textContent.includes('Python')", arg=status.element_handle())
    code = slow.locator("textarea").input_value().splitlines()
    assert code[0].endswith("first run the cells of this notebook")
    assert code[1] == 'explorer = explore.find("Slow").choose(steps=41)'

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


def move(page, box, random, places):
    """Moves one control by keyboard or mouse; returns where it says that the controls then are."""
    name = list(places)[random.integers(len(places))]
    last = {"a": 8, "b": 3, "word": 2, "kind": 1}[name]
    if name == "kind":
        place = int(random.integers(2))
        box.locator(".widget-toggle-button").nth(place).focus()
        page.keyboard.press(["Enter", "Space"][random.integers(2)])
    elif name != "word" and random.random() < 0.3:
        place = int(random.integers(last + 1))
        track = box.locator(".noUi-base").nth(["a", "b"].index(name)).bounding_box()
        # The slider takes no click while it glides to where the last one sent it.
        box.locator(".noUi-state-tap").first.wait_for(state="detached")
        along = min(max(place / last * track["width"], 1), track["width"] - 1)
        page.mouse.click(track["x"] + along, track["y"] + track["height"] / 2)
    else:
        keys = {
            "ArrowUp": 1,
            "ArrowDown": -1,
            "ArrowRight": 1,
            "ArrowLeft": -1,
            "Home": -9,
            "End": 9,
        }
        key = list(keys)[random.integers(6)]
        if name == "word":
            box.locator("select").focus()
            step = -keys[key] if key in ("ArrowUp", "ArrowDown") else keys[key]
        else:
            box.locator(".noUi-handle").nth(["a", "b"].index(name)).focus()
            step = keys[key]
        page.keyboard.press(key)
        place = min(max(places[name] + step, 0), last)
    return {**places, name: place}


def test_random_moves(own):
    page = own
    process = kernel(page)
    slow, wrong, chart = page.locator(".vg-chart").all()
    box = page.locator(".vg-live").nth(2)
    box.scroll_into_view_if_needed()

    def drawn(one):
        return one.locator(".vg-summary, svg").all_text_contents()

    others = [drawn(one) for one in (slow, wrong)]
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
        number = 1000 * places["kind"] + 100 * places["word"] + 10 * b + a
        summary = chart.locator(".vg-summary").element_handle()
        shown = [summary, f"{a}, {b}, {word}, {kind}: {number}"]
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
    assert [drawn(one) for one in (slow, wrong)] == others
    assert problems == []


def test_a_lost_kernel_is_told(own):
    page = own
    kernel(page)
    lost = page.locator(".vg-lost").first

    def told():
        page.wait_for_function(
            "e => e.textContent !== ''", arg=lost.element_handle(), timeout=60_000
        )
        assert lost.text_content().startswith("The kernel was restarted or has died")

    assert lost.text_content() == ""
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Restart Kernel…")).click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    told()
    page.get_by_text(re.compile(r"^kernel \d+ is ready")).evaluate("e => e.remove()")
    run_all(page)  # as it tells the reader to
    process = kernel(page)
    assert lost.text_content() == ""
    process.kill()
    told()
