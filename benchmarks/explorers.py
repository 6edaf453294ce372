"""Speed of the explorers: in the built book, live, and their grids. Run by `make bench`.

Prints one table. Times are medians and 95th percentiles of repeated runs on this machine; the last
column compares with a peer in the same run: a program compiled for each setting, as a function that
is jitted with static arguments gives.
"""

import functools
import gzip
import http.server
import platform
import re
import statistics
import threading
import time
from pathlib import Path

import ipywidgets
import jax
import numpy as np
from playwright.sync_api import sync_playwright

from tools import chromium, pages
from vgkit import activations, data, explore, grads, nets

ROOT = Path(__file__).parent.parent
HTML = ROOT / "_build" / "html"
PAGES = pages.live()

# Dispatches an input event at the start of a frame, where browsers deliver a drag's events too, and
# waits until that frame is painted.
MOVE = """async ([selector, moves]) => {
  const input = document.querySelector(selector);
  const top = Number(input.max);
  const script = [], painted = [];
  for (let i = 0; i < moves; i++) {
    await new Promise((done) => setTimeout(done, 20));
    await new Promise(requestAnimationFrame);
    input.value = (Number(input.value) + 7 + (i % 5)) % (top + 1);
    const before = performance.now();
    input.dispatchEvent(new Event('input', {bubbles: true}));
    document.body.getBoundingClientRect();
    script.push(performance.now() - before);
    await new Promise((done) => {
      const channel = new MessageChannel();
      channel.port1.onmessage = done;
      channel.port2.postMessage(0);
    });
    painted.push(performance.now() - before);
  }
  return [script, painted];
}"""


def row(what: str, value: str, target: str = "") -> None:
    """One line of the table."""
    print(f"| {what} | {value} | {target} |", flush=True)


def percentiles(milliseconds: list[float]) -> str:
    """Median and 95th percentile."""
    return "p50 {:.1f} ms, p95 {:.1f} ms".format(*np.percentile(milliseconds, [50, 95]))


def in_the_book() -> None:
    """Input event to layout and to painted frame, time to usable, and bytes, for every page."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=HTML)
    http.server.SimpleHTTPRequestHandler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(), args=["--no-sandbox", "--disable-gpu"]
        )
        for name in PAGES:
            url = f"http://127.0.0.1:{server.server_port}/{name}.html"
            usable = []
            for _ in range(7):
                page = browser.new_page(viewport={"width": 1400, "height": 900})
                page.goto(url)
                page.wait_for_function("performance.getEntriesByName('vg-ready').length")
                usable.append(
                    page.evaluate("performance.getEntriesByName('vg-ready')[0].startTime")
                )
                if len(usable) < 7:
                    page.close()
            page.locator(".vg-explorer").last.scroll_into_view_if_needed()
            page.wait_for_timeout(1000)
            selector = ".vg-explorer:last-of-type input[type=range]"
            script, painted = page.evaluate(MOVE, [selector, 200])
            page.close()
            row(
                f"{name}: navigation to usable",
                f"median {statistics.median(usable):.0f} ms",
                "300 ms",
            )
            row(f"{name}: input to chart laid out", percentiles(script), "")
            row(f"{name}: input to painted chart", percentiles(painted), "p95 16 ms")
            text = (HTML / f"{name}.html").read_text()
            own = re.findall(
                r'<script class="vg-script">.*?</script>|<style>.*?</style>', text, re.S
            )
            shipped = re.findall(r'<div class="vg-explorer">.*?</script>', text, re.S)
            sizes = [len(gzip.compress("".join(part).encode(), 9)) for part in (own, own + shipped)]
            row(f"{name}: script and style, gzip", f"{sizes[0] / 1000:.1f} kB", "60 kB")
            row(f"{name}: with data, gzip", f"{sizes[1] / 1000:.1f} kB", "250 kB")
        browser.close()
    server.shutdown()


def depth_explorer() -> explore.Explorer:
    """The depth explorer of the book."""
    digits = data.digits()
    starts = ["glorot_normal", "he_normal", "orthogonal", "lecun_uniform", "he_uniform"]
    networks = [nets.mlp(jax.random.key(0), (64,) * 65 + (10,), init) for init in starts]
    compute = grads.profiles(networks, digits.x_train[:16], digits.y_train[:16], "cross_entropy")
    names = list(activations.ACTIVATIONS)
    return explore.Explorer(
        "Depth",
        compute,
        {
            "depth": ipywidgets.IntSlider(20, 1, 64, description="Hidden layers"),
            "activation": ipywidgets.Dropdown(options=names, description="Activation"),
            "initialiser": ipywidgets.Dropdown(options=starts, description="Initialiser"),
            "skip": ipywidgets.ToggleButtons(options=["off", "on"], description="Skip"),
        },
        explore.charts.signals(),
    )


def live() -> None:
    """Control event to new data, beside one compiled program for each depth."""
    explorer = depth_explorer()
    chart = explorer.widget.children[-1]
    random = np.random.default_rng(0)
    moves = []
    for _ in range(200):
        control = explorer.controls["depth"]
        other = int(random.integers(1, 65))
        explorer.controls["activation"].index = int(random.integers(11))
        before, seen = time.perf_counter(), chart.setting
        control.value = other
        assert chart.setting != seen or control.value == other
        moves.append(1e3 * (time.perf_counter() - before))
    row("live: event to new data", percentiles(moves), "p95 50 ms")

    digits = data.digits()
    x, y = digits.x_train[:16], digits.y_train[:16]
    usual = []
    for depth in (8, 16, 24, 32):
        net = nets.mlp(jax.random.key(0), (64,) * (depth + 1) + (10,))

        @jax.jit
        def per_depth(net: nets.MLP) -> jax.Array:
            return grads.norms(grads.error_signals(net, x, y, "cross_entropy", "sigmoid"))

        before = time.perf_counter()
        jax.block_until_ready(per_depth(net))
        usual.append(1e3 * (time.perf_counter() - before))
    times = statistics.median(usual) / statistics.median(moves)
    row("the usual way, a program per depth", percentiles(usual), f"{times:.0f} times slower")


def grids() -> None:
    """One vectorised sweep beside a loop that compiles for every setting (a sample of it)."""
    explorer = depth_explorer()
    settings = int(np.prod([len(options) for options in explorer._options.values()]))
    before = time.perf_counter()
    explorer.grid()
    swept = time.perf_counter() - before
    compute = explorer._compute
    sample = [
        (depth, a, i, s)
        for depth, a, i, s in zip(range(5, 65, 12), range(5), range(5), [0] * 5, strict=False)
    ]
    before = time.perf_counter()
    for depth, activation, init, skip in sample:
        one = jax.jit(lambda d=depth, a=activation, i=init, s=skip: compute(d, a, i, s))
        jax.block_until_ready(one())
    looped = (time.perf_counter() - before) / len(sample) * settings
    row(f"grid of {settings} settings, swept and packed", f"{swept:.1f} s", "60 s for all grids")
    row("the same, compiled for each setting (extrapolated)", f"{looped:.0f} s",
        f"{looped / swept:.0f} times slower")  # fmt: skip


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    print(f"{platform.machine()}, Python {platform.python_version()}, JAX {jax.__version__}\n")
    print("| what | measured | target or comparison |\n|---|---|---|")
    in_the_book()
    live()
    grids()
