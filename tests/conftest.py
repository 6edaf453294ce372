import functools
import http.server
import importlib.resources
import os
import re
import subprocess
import threading
import types
from contextlib import contextmanager
from pathlib import Path

import jax
import jaxtyping
import pytest

ROOT = Path(__file__).parent.parent
os.environ["MPLBACKEND"] = "agg"
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Without these Chromium calls home, which a closed network refuses and a test would see.
QUIET = """--no-sandbox --disable-gpu --disable-quic --disable-background-networking
    --disable-component-update --disable-sync --no-first-run""".split()

# The theme looks a while later which boxes scroll on another screen; and colours may fade.
SETTLED = """theme => document.documentElement.dataset.theme === theme
  && document.getAnimations().every(fade => fade.playState === 'finished')
  && [...document.querySelectorAll('pre, .pst-scrollable-table-container')].every(
    box => box.scrollWidth <= box.clientWidth || box.tabIndex === 0)"""


def tracked():
    """Files of the project that are, or are about to be, committed."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def public(module):
    """Full name and object of all that a module lists as public, or that a package imports."""
    own = [
        n for n, v in vars(module).items() if n[0] != "_" and not isinstance(v, types.ModuleType)
    ]
    for name in getattr(module, "__all__", own):
        value = getattr(module, name)
        if isinstance(value, types.ModuleType):
            yield from public(value)
        else:
            yield f"{module.__name__}.{name}", value


@contextmanager
def compilations():
    """Collects what JAX's compiler is asked for meanwhile."""
    compiled = []

    def listen(event, *_, **__):
        if "backend_compile" in event:
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.clear_event_listeners()


def heap(session):
    """Bytes of live JavaScript objects."""
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    return session.send("Runtime.getHeapUsage")["usedSize"]


def sideways(page):
    """Whether a page is wider than the screen."""
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [f"{wide} px wider than the screen"] * (wide > 0)


def faults(page, part="html"):
    """What axe finds serious or critical, headings out of order, and what `sideways` finds.

    `part` is a selector of what axe looks at.
    """
    axe = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js")
    page.evaluate(axe.read_text())
    run = "part => axe.run({include: [[part]]}, {resultTypes: ['violations']})"
    found = page.evaluate(run, part)["violations"]
    return sideways(page) + [
        (v["id"], v["impact"], [node["html"][:120] for node in v["nodes"]][:3])
        for v in found
        if v["impact"] in ("serious", "critical") or v["id"] == "heading-order"
    ]


@pytest.fixture(autouse=True, scope="module")
def programs():
    """What JAX has compiled for a file's tests is dropped after them: together it is gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture
def unchecked():
    """Runs without the annotations' shape checks, as users run the package."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def book():
    """Folder of the built book. `make test` builds it; a stale or missing one is an error."""
    html = ROOT / "_build" / "html"
    if not (html / "index.html").exists():
        pytest.fail("The book is not built; run: make book")
    return html


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright  # unit tests need no browser

    from tools import chromium

    path = chromium.find()
    if not path:
        pytest.fail("There is no Chromium; run: python tools/chromium.py")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield launched
        launched.close()


@contextmanager
def serve(folder):
    """Address of a folder on a local server, which lets a browser show notebooks as text."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def guess_type(self, path):
            return "text/plain" if path.endswith(".ipynb") else super().guess_type(path)

        def log_message(self, *_):
            pass

    answer = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def site(book):
    """Address of the book on a local server."""
    with serve(book) as address:
        yield address


@pytest.fixture
def open_page(browser):
    """Opens an address; whatever went wrong on the page is collected in its `problems`.

    The theme is the one that the reader's system asks for. Nothing may be stored before a page from
    a folder runs its own scripts: Chromium then sometimes loses what the page itself stores.
    """
    contexts = []

    def open_it(url, theme="light", **options):
        options = {"viewport": {"width": 1400, "height": 900}, "color_scheme": theme, **options}
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        origin = url.split("/")[2]

        def console(message):
            first_visit = "invalid theme mode: . Resetting" in message.text  # says the theme itself
            if message.type in ("error", "warning") and not first_visit:
                page.problems.append(f"console: {message.text}")

        def request(request):
            if request.url.startswith("http") and request.url.split("/")[2] != origin:
                page.problems.append(f"another host: {request.url}")

        page.on("console", console)
        page.on("pageerror", lambda error: page.problems.append(f"error: {error}"))
        page.on("request", request)
        page.on("requestfailed", lambda r: page.problems.append(f"failed: {r.url}"))
        page.on(
            "response",
            lambda r: r.status < 400 or page.problems.append(f"{r.status}: {r.url}"),
        )
        page.goto(url)
        page.wait_for_load_state("networkidle")
        return page

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab server on the course's notebooks, with settings of its own."""
    import jupytext  # unit tests need no notebooks

    from tools import notebooks
    from tools.lab import served

    top = tmp_path_factory.mktemp("lab")
    notebooks.write(top / "course")
    for page in (ROOT / "tests" / "notebooks").glob("*.md"):
        jupytext.write(jupytext.read(page), top / "course" / f"{page.stem}.ipynb")
    with served(top / "course", top / "own") as address:
        yield address


def run_all(page):
    """Run all cells of the notebook that JupyterLab shows."""
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
