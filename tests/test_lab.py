"""A real JupyterLab: a chapter opens as a notebook, runs, and its slider drives JAX."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from conftest import ROOT

QUIZ = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

```{code-cell} ipython3
from vgkit import selfcheck

feedback = {"One": "Too few.", "Two": "Two it is.", "Three": "Too many."}
selfcheck.show("quiz", [selfcheck.choice("How many?", feedback, right="Two")])
```
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab server on a copy of the chapters, with settings of its own."""
    top = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "chapters", top / "course" / "chapters")
    shutil.copy(ROOT / "index.md", top / "course")
    (top / "course" / "quiz.md").write_text(QUIZ)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {
        name: str(top / name)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
                     "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    }  # fmt: skip
    environment = {**os.environ, **folders}
    environment.pop("VGKIT_STATIC", None)
    # All cells stay in the page, so that the test can look at them without scrolling.
    settings = top / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    scripts = os.path.dirname(sys.executable)
    environment["PATH"] = scripts + os.pathsep + environment["PATH"]
    viewer = [f"{scripts}/jupytext-config", "set-default-viewer", "markdown"]
    subprocess.run(viewer, env=environment, check=True, capture_output=True)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
               f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1",
               "--IdentityProvider.token=secret", "--LabApp.news_url=''",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    log = (top / "log").open("w")
    server = subprocess.Popen(command, cwd=top / "course", env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/api?token=secret").close()
            break
        except OSError:
            time.sleep(0.25)
    else:
        server.kill()
        pytest.fail((top / "log").read_text())
    yield address
    server.terminate()
    server.wait(20)
    log.close()


@pytest.fixture
def run(lab, browser):
    """Opens a notebook of the course and runs all of it; a picture of the end is left."""
    page = browser.new_page(viewport={"width": 1300, "height": 1000})

    def open_and_run(path):
        page.goto(f"{lab}/lab/tree/{path}?reset&token=secret")  # no tab of another test
        page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=90_000)
        # The notebook calls itself idle before it has a kernel, the status bar only after.
        page.get_by_text("| Idle").wait_for(timeout=90_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
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
