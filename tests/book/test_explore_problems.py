"""What an explorer shows where there is nothing to draw."""

import ipywidgets
import jax.numpy as jnp
from powers import CHART, make

from vgkit import explore
from vgkit.explore import charts
from vgkit.explore.live import SCRIPT


def test_nothing_but_nan_is_said(open_page, tmp_path):
    explorer = explore.Explorer(
        "Nothing",
        lambda base: {"power": jnp.where(base > 2, jnp.nan, 1.0) * jnp.ones(3)},
        {"base": ipywidgets.IntSlider(2, 1, 4, description="Base")},
        charts.chart(CHART["series"], x=CHART["x"], y=CHART["y"], summary=[("", "Drawn.")]),
    )
    path = tmp_path / "nan.html"
    path.write_text("<!doctype html><meta charset=utf-8>" + explorer.html())
    page = open_page(path.as_uri())
    slider, summary = page.locator("[data-control=base]"), page.locator(".vg-summary")
    for value, said in [("2", "every number"), ("1", "Drawn."), ("3", "is NaN, not a number")]:
        slider.fill(value)
        assert said in summary.inner_text()
    # What is saved then is empty, and no error.
    with page.expect_download() as download:
        page.locator("[data-export=svg]").click()
    assert "NaN" not in download.value.path().read_text()
    assert page.problems == []


def test_a_problem_of_the_model_takes_the_place_of_the_picture(open_page, tmp_path):
    path = tmp_path / "problem.html"
    path.write_text("<!doctype html><meta charset=utf-8>" + make().html())
    page = open_page(path.as_uri())
    # The chart's own module, with a model as a kernel would give it.
    said = page.evaluate(
        """async ([source, spec]) => {
          const blob = new Blob([source], {type: "text/javascript"});
          const module = await import(URL.createObjectURL(blob));
          const values = {spec, data: {power: [1, 2]}, names: {base: "3", mode: "m"},
                          setting: "now", problem: "", title: "T", quoted: [], first: true};
          const heard = {}, status = [];
          const drop = (all, one) => all.splice(all.indexOf(one), 1);
          const kernel = {statusChanged: {connect: (f) => status.push(f),
                                          disconnect: (f) => drop(status, f)}};
          const model = {get: (name) => values[name], widget_manager: {kernel},
                         on: (event, f) => (heard[event] ??= []).push(f),
                         off: (event, f) => drop(heard[event], f)};
          const el = document.createElement("div");
          document.body.append(el);
          const end = module.default.render({model, el});
          const text = () => [el.querySelector(".vg-summary").textContent,
                              el.querySelectorAll("svg .vg-line").length,
                              el.querySelector(".vg-lost").textContent];
          const said = [text()];
          const set = (changed) => { Object.assign(values, changed);
            for (const name in changed) heard[`change:${name}`]?.forEach((f) => f()); };
          set({data: {}, problem: "It failed: <b>so</b>"});
          said.push(text());
          set({problem: "It failed again"});
          said.push(text());
          set({data: {power: [3, 4]}, problem: ""});
          status.forEach((f) => f(kernel, "busy"));
          said.push(text());
          status.forEach((f) => f(kernel, "autorestarting"));
          said.push(text());
          end();
          said.push([status.length, Object.values(heard).flat().length]);
          return said;
        }""",
        [SCRIPT, CHART],
    )
    good, failed, again, back, lost, left = said
    assert good[1] == back[1] == 2 and good[2] == back[2] == ""  # legend and picture
    assert failed[:2] == ["It failed: <b>so</b>", 1] and again[:2] == ["It failed again", 1]
    assert "restarted or has died" in lost[2]
    assert left == [0, 0]  # nothing listens any more
    assert page.problems == []
