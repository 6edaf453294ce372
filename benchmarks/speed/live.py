"""A slider move in a kernel: from the event to new data, and to the picture in JupyterLab."""

import functools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ipywidgets
import jax
import matplotlib.pyplot as plt
import nbformat
import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.speed.measure import Row
from tools import chromium, explorers, lab, pages
from vgcourse import charts, profiles
from vgkit import data, explore, grads, nets
from vgkit.explore.explorer import numbers, options

PART = "A slider move, live"
ROOT = Path(__file__).parents[2]
STARTS = ["glorot_normal", "he_normal", "orthogonal", "lecun_uniform", "he_uniform"]
NAMES = list(profiles.ACTIVATIONS)
CELL = "from benchmarks.speed import live\n\nlive.{0}()"

# Presses a key on the slider, and waits until what it changes is on the screen.
PRESS = """async ([slider, target, moves]) => {
  const handle = document.querySelector(slider), place = document.querySelector(target);
  const picture = () => place.querySelector('img')?.src ?? place.dataset.setting;
  const taken = [];
  for (let i = 0; i < moves; i++) {
    await new Promise((done) => setTimeout(done, 200));
    const before = performance.now(), old = picture();
    handle.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
    while ((picture() ?? old) === old) {
      if (performance.now() - before > 60000) throw new Error('nothing changed');
      await new Promise(requestAnimationFrame);
    }
    await place.querySelector('img')?.decode();
    await new Promise(requestAnimationFrame);
    await new Promise((done) => {
      const channel = new MessageChannel();
      channel.port1.onmessage = done;
      channel.port2.postMessage(0);
    });
    taken.push(performance.now() - before);
  }
  return taken;
}"""


def depth_explorer() -> explore.Explorer:
    """An explorer like that of the Depth chapter, with every depth from 1 to 64."""
    digits = data.digits()
    networks = [
        nets.mlp(jax.random.key(0), (64,) * 65 + (10,), "tanh", init=init) for init in STARTS
    ]
    compute = profiles.profiles(networks, digits.x_train[:16], digits.y_train[:16], "cross_entropy")
    return explore.Explorer(
        "Depth of a benchmark",
        compute,
        {
            "depth": ipywidgets.IntSlider(8, 1, 64, description="Hidden layers"),
            "activation": ipywidgets.Dropdown(options=NAMES, description="Activation"),
            "initialiser": ipywidgets.Dropdown(options=STARTS, description="Initialiser"),
            "skip": ipywidgets.ToggleButtons(options=["off", "on"], description="Skip"),
        },
        charts.signals(),
    )


@functools.cache
def per_depth(depth: int, activation: str):
    """The usual way's function, compiled for each depth and kept."""
    digits = data.digits()
    net = nets.mlp(jax.random.key(0), (64,) * (depth + 1) + (10,), activation)
    x, y = digits.x_train[:16], digits.y_train[:16]

    @jax.jit
    def norms(net: nets.Net) -> tuple[jax.Array, jax.Array]:
        signals = grads.signals(net, x, y)
        return signals.error_norms, signals.weight_norms

    return functools.partial(norms, net)


def draw(depth: int, activation: str) -> None:
    """Compute and draw anew, as a function for `interact` does."""
    figure, axes = plt.subplots()
    for norms in per_depth(depth, activation)():
        axes.semilogy(np.arange(len(norms)) + 1, norms)
    axes.set(xlabel="layer", ylabel="RMS")
    plt.show()
    plt.close(figure)


def usual() -> None:
    """What a notebook otherwise has: `interact`, a program for each depth, matplotlib."""
    slider = ipywidgets.IntSlider(8, 1, 64, description="Hidden layers")
    ipywidgets.interact(draw, depth=slider, activation=NAMES)


def percentiles(milliseconds: list[float]) -> str:
    """Median and 95th percentile in words."""
    return "p50 {:.1f} ms, p95 {:.1f} ms".format(*np.percentile(milliseconds, [50, 95]))


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Collects what JAX's compiler is asked for meanwhile."""
    seen: list[str] = []

    def listen(event: str, *_: object, **__: object) -> None:
        if "backend_compile" in event:
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def inputs(explorer: explore.Explorer) -> dict[str, list[int] | list[float]]:
    """Values of every control as the computation gets them, those of the first control last."""
    first, *others = explorer.controls
    return {n: numbers(options(explorer.controls[n])) for n in (*others, first)}


def moves(explorer: explore.Explorer, count: int) -> tuple[list[float], list[float], int]:
    """Milliseconds from an event to new data, and of the computation alone; compilations.

    The computation alone has its turn after every fifth move.
    """
    random = np.random.default_rng(0)
    explorer.widget  # noqa: B018 - from now on the controls drive the chart
    names, numbers = list(explorer.controls), inputs(explorer)
    values = {n: [v for _, v in options(c)] for n, c in explorer.controls.items()}
    compute = jax.jit(explorer.compute)
    compute(**{name: row[0] for name, row in numbers.items()})
    whole, alone = [], []
    with compilations() as compiled:
        for number in range(count):
            name = names[random.integers(len(names))]
            control = explorer.controls[name]
            others = [value for value in values[name] if value != control.value]
            value = others[random.integers(len(others))]
            before = time.perf_counter()
            control.value = value
            whole.append(1e3 * (time.perf_counter() - before))
            if number % 5:
                continue
            setting = {
                n: numbers[n][values[n].index(c.value)] for n, c in explorer.controls.items()
            }
            before = time.perf_counter()
            jax.block_until_ready(compute(**setting))
            alone.append(1e3 * (time.perf_counter() - before))
    return whole, alone, len(compiled)


def in_python(count: int) -> list[Row]:
    """Every explorer of the book: events to data beside the computation alone."""
    made = [explorer for page in pages.live() for explorer in explorers.of(page)]
    made = [explorer for explorer in made if explorer.title != "Your turn"]
    found, total = [], 0
    for explorer in made:
        whole, alone, compiled = moves(explorer, count)
        total += compiled
        low, middle, high = np.percentile(np.divide(whole[::5], alone), [25, 50, 75])
        found.append(
            Row(PART, f"{explorer.title}: event to new data, p95", float(np.percentile(whole, 95)),
                "ms", float(middle), (float(low), float(high)), "the JAX function alone", 50,
                "value", percentiles(whole))
        )  # fmt: skip
    what = f"compilations in {count} random moves of each of the {len(made)} explorers"
    found.append(Row(PART, what, total, limit=0, on="value"))
    ours, _, _ = moves(depth_explorer(), count)
    backend = plt.get_backend()
    plt.switch_backend("agg")
    random, theirs = np.random.default_rng(0), []
    for depth in random.choice(np.arange(1, 65), 10, replace=False):
        before = time.perf_counter()
        draw(int(depth), "sigmoid")
        theirs.append(1e3 * (time.perf_counter() - before))
    plt.switch_backend(backend)
    middle = statistics.median(ours)
    found.append(
        Row(PART, "Depth, every stop from 1 to 64: event to new data, p50", middle, "ms",
            middle / statistics.median(theirs), peer="a program for each depth, at a new depth")
    )  # fmt: skip
    return found


@contextmanager
def notebooks() -> Iterator[str]:
    """Address of a JupyterLab with two notebooks."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder, own = Path(name) / "notebooks", Path(name) / "own"
        folder.mkdir()
        for maker in ("depth_explorer", "usual"):
            cells = [nbformat.v4.new_code_cell(CELL.format(maker))]
            nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / f"{maker}.ipynb")
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with lab.served(folder, own, {"PYTHONPATH": path}) as address:
            yield address


def painted(page: Page, address: str, maker: str, target: str, count: int) -> list[float]:
    """Milliseconds from a key on the slider to the painted picture."""
    page.goto(f"{address}/lab/tree/{maker}.ipynb?reset&token=secret")
    page.wait_for_selector(".jp-NotebookPanel .jp-CodeCell", timeout=90_000)
    page.get_by_text("| Idle").wait_for(timeout=90_000)
    page.locator(".jp-CodeCell .jp-Editor").first.click()
    page.keyboard.press("Shift+Enter")
    page.locator(f"{target} :is(img, svg)").first.wait_for(state="attached", timeout=120_000)
    page.wait_for_timeout(1500)
    return page.evaluate(PRESS, [".widget-slider .noUi-handle", target, count])


def in_lab(count: int) -> list[Row]:
    """A key on the depth slider in JupyterLab, ours beside the usual way."""
    with notebooks() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        ours = painted(page, address, "depth_explorer", ".jp-OutputArea .vg-chart", count)
        theirs = painted(
            page, address, "usual", ".jp-OutputArea .widget-output", max(5, count // 5)
        )
        browser.close()
    middle = statistics.median(ours)
    what = "Depth in JupyterLab: key to painted chart, p50"
    peer = "interact, a program for each depth, matplotlib"
    note = f"{percentiles(ours)}; there {percentiles(theirs)}"
    return [Row(PART, what, middle, "ms", middle / statistics.median(theirs), peer=peer, note=note)]


def rows(count: int = 200) -> list[Row]:
    """In Python, then in JupyterLab."""
    return in_python(count) + in_lab(count // 4)
