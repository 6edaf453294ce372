"""A slider move in the built book, beside the same explorer through Jupyter's html-manager."""

import functools
import gzip
import http.server
import json
import re
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import traitlets
from ipywidgets.embed import embed_data
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.speed.live import depth_explorer, percentiles
from benchmarks.speed.measure import Row
from tools import chromium, grids, pages
from vgkit.explore.explorer import HOST, STYLE, VIEWS

PART = "A slider move, in the book"
ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
MANAGER = ROOT / "_build" / "peers" / "package" / "dist" / "embed-amd.js"
REQUIRE = ROOT / "_build" / "peers" / "package" / "require.js"
"""Where `make bench` unpacks the npm packages @jupyter-widgets/html-manager and requirejs."""

# Moves a control at the start of a frame, where browsers deliver a drag's events too, and waits
# until the picture has changed and that frame is painted. An idle move changes nothing: the floor.
MOVE = """async ([handle, moves]) => {
  const input = document.querySelector(handle ? '.noUi-handle' : '.vg-explorer input[type=range]');
  const chart = [...document.querySelectorAll('.vg-chart')].find((e) => e.dataset.setting);
  const painted = {idle: [], moved: []};
  const frame = () => new Promise((done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  });
  input.scrollIntoView({block: 'center'});
  for (let i = 0; i < 2 * moves; i++) {
    await new Promise((done) => setTimeout(done, 20));
    await new Promise(requestAnimationFrame);
    const old = chart.dataset.setting, before = performance.now();
    if (i % 2 === 0) {
      document.body.dispatchEvent(new Event('idle'));
    } else if (handle) {
      const key = Math.floor(i / 40) % 2 ? 'ArrowLeft' : 'ArrowRight';
      input.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
    } else {
      input.value = (Number(input.value) + 1 + (i % Number(input.max))) % (Number(input.max) + 1);
      input.dispatchEvent(new Event('input', {bubbles: true}));
    }
    while (i % 2 && chart.dataset.setting === old) {
      if (performance.now() - before > 5000) throw new Error('nothing changed');
      await new Promise(requestAnimationFrame);
    }
    document.body.getBoundingClientRect();
    await frame();
    painted[i % 2 ? 'moved' : 'idle'].push(performance.now() - before);
  }
  return painted;
}"""
LOADED = "performance.getEntriesByName('vg-ready').length"
TIMES = """() => [performance.getEntriesByName('vg-ready')[0].startTime,
  performance.getEntriesByType('navigation')[0].responseEnd]"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of a folder on a local server."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def opened(browser: Browser, url: str) -> tuple[Page, float, float]:
    """A page, and the milliseconds from navigation until its explorers work and its text is in."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(url)
    page.wait_for_function(LOADED)
    usable, answered = page.evaluate(TIMES)
    return page, usable, answered


def compressed(*parts: str | bytes) -> float:
    """Kilobytes as a server sends them."""
    data = b"".join(p.encode() if isinstance(p, str) else p for p in parts)
    return len(gzip.compress(data, 9)) / 1000


def chapter(browser: Browser, address: str, name: str, loads: int, count: int) -> list[Row]:
    """One page of the book."""
    usable = []
    for _ in range(loads):
        page, ready, answered = opened(browser, f"{address}/{name}.html")
        usable.append((ready, answered))
        last = page.evaluate(MOVE, [False, count]) if len(usable) == loads else None
        charts = page.locator(".vg-explorer").first.locator(".vg-chart").count()
        page.close()
    ready = statistics.median(r for r, _ in usable)
    text = (HTML / f"{name}.html").read_text()
    own = re.findall(r'<script class="vg-script">.*?</script>|<style>.*?</style>', text, re.S)
    shipped = re.findall(r'<div class="vg-explorer">.*?</script>', text, re.S)
    moved, idle = np.array(last["moved"]), np.array(last["idle"])
    low, middle, high = np.percentile(moved / idle, [25, 50, 75])
    return [
        Row(PART, f"{name}: input to painted chart, p95", float(np.percentile(moved, 95)), "ms",
            float(middle), (float(low), float(high)), "a frame without a change", 16, "value",
            f"{percentiles(last['moved'])}; charts: {charts}"),
        Row(PART, f"{name}: navigation to usable", ready, "ms",
            ready / statistics.median(a for _, a in usable), None, "until the page's text is in",
            300, "value"),
        Row(PART, f"{name}: script, style and data, gzip", compressed(*own, *shipped), "kB",
            compressed(*own, *shipped) / compressed(text), None, "the whole page", 250, "value",
            f"script and style {compressed(*own):.1f} kB"),
    ]  # fmt: skip


def through_manager(folder: Path) -> float:
    """Write the depth explorer as a page of ours and as one of html-manager; bytes of the latter.

    Both hold the same grid and draw with the same script. There the controls are ipywidgets, linked
    in the browser to a widget that looks the results up.
    """
    explorer = depth_explorer()
    ours = explorer.static()["text/html"]
    (folder / "ours.html").write_text(f"<!doctype html><meta charset=utf-8><body>{ours}")
    script = VIEWS.removesuffix("export default { render };\n")

    (page,) = grids.shipped(ours)
    positions = {c["name"]: traitlets.Int(c["position"]).tag(sync=True) for c in page["controls"]}
    decoder = HOST[: HOST.index("// A control as a native input")]
    peer = type(
        "Peer",
        (anywidget.AnyWidget,),
        {
            "_esm": script + decoder + PEER,
            "_css": STYLE,
            "page": traitlets.Dict().tag(sync=True),
            **positions,
        },
    )(page=page)
    controls = []
    for spec in page["controls"]:
        stops, named = len(spec["options"]), {"description": spec["label"]}
        if spec["kind"] == "slider":
            control, value = ipywidgets.IntSlider(spec["position"], 0, stops - 1, **named), "value"
        else:
            kind = {"select": ipywidgets.Dropdown, "buttons": ipywidgets.ToggleButtons}[
                spec["kind"]
            ]
            control, value = kind(options=spec["options"], **named), "index"
        controls += [control, ipywidgets.jslink((control, value), (peer, spec["name"]))]
    shown = [c for c in controls if isinstance(c, ipywidgets.DOMWidget)]
    data = embed_data(views=[ipywidgets.VBox([*shown, peer])], drop_defaults=False)
    state = json.dumps(data["manager_state"]).replace("</", "<\\u002f")
    (view,) = data["view_specs"]
    module = (Path(anywidget.__file__).parent / "nbextension" / "index.js").read_bytes()
    scripts = {"require.js": REQUIRE.read_bytes(), "embed-amd.js": MANAGER.read_bytes(),
               "anywidget.js": module}  # fmt: skip
    for name, text in scripts.items():
        (folder / name).write_bytes(text)
    kind = "application/vnd.jupyter.widget"
    text = (
        '<!doctype html><meta charset=utf-8><body><script src="require.js"></script>'
        "<script>requirejs.config({paths: {anywidget: 'anywidget'}})</script>"
        f'<script type="{kind}-state+json">{state}</script>'
        f'<script type="{kind}-view+json">{json.dumps(view)}</script>'
        '<script src="embed-amd.js"></script>'
    )
    (folder / "theirs.html").write_text(text)
    return compressed(text) + sum(compressed(part) for part in scripts.values())


PEER = """
export default { render: ({ model, el }) => {
  const { title, controls, views, grid } = model.get('page');
  const read = gridReader(grid, controls), inner = modelOf({ title, views });
  const update = () => {
    const positions = Object.fromEntries(controls.map(({ name }) => [name, model.get(name)]));
    const labels = controls.map(({ name, options }) => [name, options[positions[name]]]);
    const setting = labels.join();
    inner.set({ labels: Object.fromEntries(labels), setting, data: read(positions) });
  };
  update();
  render({ model: inner, el });
  controls.forEach(({ name }) => model.on(`change:${name}`, update));
  performance.mark('vg-ready');
} };
"""


def beside_manager(browser: Browser, loads: int, count: int) -> list[Row]:
    """The same explorer twice; pages take turns."""
    name = "Depth, every stop from 1 to 64"
    if not (MANAGER.exists() and REQUIRE.exists()):
        why = "html-manager is not installed here: npm is missing, or has no network"
        return [Row(PART, f"{name}: html-manager", None, note=why)]
    with tempfile.TemporaryDirectory() as top:
        theirs = through_manager(Path(top))
        ours = compressed((Path(top) / "ours.html").read_text())
        usable: dict[str, list[float]] = {"ours": [], "theirs": []}
        moved: dict[str, list[float]] = {"ours": [], "theirs": []}
        with served(Path(top)) as address:
            for _ in range(loads):
                for which in usable:
                    page, ready, _ = opened(browser, f"{address}/{which}.html")
                    page.wait_for_timeout(300)
                    usable[which].append(ready)
                    moved[which] += page.evaluate(MOVE, [which == "theirs", count // loads])[
                        "moved"
                    ]
                    page.close()
    peer = "html-manager 1.0.15"
    ready, theirs_ready = (statistics.median(usable[which]) for which in usable)
    p95, theirs_p95 = (float(np.percentile(moved[which], 95)) for which in moved)
    note = f"{percentiles(moved['ours'])}; there {percentiles(moved['theirs'])}"
    return [
        Row(PART, f"{name}: input to painted chart, p95", p95, "ms", p95 / theirs_p95, peer=peer,
            note=note),
        Row(PART, f"{name}: navigation to usable", ready, "ms", ready / theirs_ready, peer=peer),
        Row(PART, f"{name}: script, style and data, gzip", ours, "kB", ours / theirs, peer=peer),
    ]  # fmt: skip


def rows(count: int = 50, loads: int = 3) -> list[Row]:
    """Every page that has an explorer, then html-manager."""
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(), args=["--no-sandbox", "--disable-gpu"]
        )
        with served(HTML) as address:
            for name in pages.live():
                if (HTML / f"{name}.html").exists():
                    found += chapter(browser, address, name, loads, count)
                else:
                    found.append(Row(PART, name, None, note="not built: run make book"))
        found += beside_manager(browser, loads, count)
        browser.close()
    return found
