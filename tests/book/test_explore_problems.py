"""What an explorer shows where there is nothing to draw."""

import ipywidgets
import jax.numpy as jnp
from powers import CHART

from vgkit import explore
from vgkit.explore.explorer import CHART as SCRIPT
from vgkit.explore.explorer import EXPORT


def test_nothing_but_nan_is_explained(open_page, tmp_path):
    explorer = explore.Explorer(
        "Nothing",
        lambda base: {"power": jnp.where(base > 2, jnp.nan, 1.0) * jnp.ones(3)},
        {"base": ipywidgets.IntSlider(2, 1, 4, description="Base")},
        {**CHART, "summary": ["Drawn."]},
    )
    path = tmp_path / "nan.html"
    path.write_text("<!doctype html><meta charset=utf-8>" + explorer.static()["text/html"])
    page = open_page(path.as_uri())
    slider, summary = page.locator("[data-control=base]"), page.locator(".vg-summary")
    for value, text in [("2", "every number"), ("1", "Drawn."), ("3", "is NaN, not a number")]:
        slider.fill(value)
        assert text in summary.inner_text()
    # What is saved then is empty, and no error.
    with page.expect_download() as download:
        page.locator("[data-export=svg]").click()
    assert "NaN" not in download.value.path().read_text()
    assert page.problems == []


def test_a_problem_of_the_model_takes_the_place_of_the_picture(open_page, tmp_path):
    path = tmp_path / "problem.html"
    path.write_text("<!doctype html><meta charset=utf-8>")
    page = open_page(path.as_uri())
    # The charts' own module, with a model as a kernel would give it.
    shown = page.evaluate(
        """async ([source, chart]) => {
          const blob = new Blob([source], {type: "text/javascript"});
          const module = await import(URL.createObjectURL(blob));
          const values = {charts: [chart], data: {power: [1, 2], sentence: [0]}, title: "T",
                          labels: {base: "3", mode: "m"}, setting: "now", problem: ""};
          const listeners = {}, status = [];
          const drop = (all, one) => all.splice(all.indexOf(one), 1);
          const kernel = {statusChanged: {connect: (f) => status.push(f),
                                          disconnect: (f) => drop(status, f)}};
          const model = {get: (name) => values[name], widget_manager: {kernel},
                         on: (event, f) => (listeners[event] ??= []).push(f),
                         off: (event, f) => drop(listeners[event], f)};
          const el = document.createElement("div");
          document.body.append(el);
          const end = module.default.render({model, el});
          const text = () => [el.querySelector(".vg-summary").textContent,
                              el.querySelectorAll("svg .vg-line").length,
                              el.querySelector(".vg-lost").textContent];
          const shown = [text()];
          const set = (changed) => { Object.assign(values, changed);
            for (const name in changed) listeners[`change:${name}`]?.forEach((f) => f()); };
          set({data: {}, problem: "It failed: <b>so</b>"});
          shown.push(text());
          set({problem: "It failed again"});
          shown.push(text());
          set({data: {power: [3, 4], sentence: [1]}, problem: ""});
          status.forEach((f) => f(kernel, "busy"));
          shown.push(text());
          status.forEach((f) => f(kernel, "autorestarting"));
          shown.push(text());
          end();
          shown.push([status.length, Object.values(listeners).flat().length]);
          return shown;
        }""",
        [EXPORT + SCRIPT, CHART],
    )
    good, failed, again, back, lost, left = shown
    assert good == ["Large: 1 of 3.", 2, ""] and back == ["Base 3, m.", 2, ""]  # legend and picture
    assert failed[:2] == ["It failed: <b>so</b>", 1] and again[:2] == ["It failed again", 1]
    assert "restarted or has died" in lost[2]
    assert left == [0, 0]  # nothing listens any more
    assert page.problems == []
