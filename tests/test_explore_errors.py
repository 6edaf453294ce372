"""What a reader sees whose own function is wrong, in a live explorer."""

import re

import ipywidgets
import jax.numpy as jnp
import pytest
from test_explore import CHART, compute, make

from vgkit import explore
from vgkit.explore import charts
from vgkit.explore.live import SCRIPT


def live(compute, chart=CHART):
    controls = {
        "base": ipywidgets.IntSlider(3, 1, 6, description="Base"),
        "mode": ipywidgets.Dropdown(options=["whole", "first"], description="Mode"),
    }
    explorer = explore.Explorer("Mine", compute, controls, chart)
    return explorer, explorer.widget.children[-1].children


def misspelt(base, mode):
    return {"powers": base ** jnp.arange(1.0, 5)}


def matrix(base, mode):
    return {"power": jnp.ones((3, 4)) * base}


def bare(base, mode):
    return base ** jnp.arange(1.0, 5)


def raises(base, mode):
    raise KeyError("no such net")


def branches(base, mode):
    return {"power": jnp.arange(3.0)} if base > 2 else {}


def clashes(base, mode):
    return {"power": jnp.ones(3) + jnp.ones(4)}


def lacks(base):
    return {"power": jnp.ones(3)}


WRONG = {
    misspelt: "ValueError: compute must return power, which the chart draws; got powers",
    matrix: r"ValueError: .* arrays of shape \(points,\); got power of shape \(3, 4\)",
    bare: "ValueError: compute must return a dict of arrays by name; got ",
    raises: "KeyError: 'no such net'",
    branches: "TracerBoolConversionError: Attempted boolean conversion of traced array",
    clashes: "TypeError: .*incompatible shapes for broadcasting",
    lacks: "TypeError: .*unexpected keyword argument 'mode'",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_function_is_told_in_the_chart(wrong, capsys):
    explorer, (chart,) = live(wrong)
    assert chart.problem.startswith("The computation failed at Base 3, Mode whole. ")
    assert re.search(WRONG[wrong], chart.problem)
    assert len(chart.problem) < 500 and chart.data == {}
    explorer.controls["base"].value = 4
    assert "at Base 4, Mode whole" in chart.problem
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == chart.problem
    assert "application/vnd.jupyter.widget-view+json" in bundle
    with pytest.raises(Exception, match=WRONG[wrong].split(": ", 1)[1]):
        explorer.at()
    assert capsys.readouterr() == ("", "")


def test_a_page_is_not_built_from_a_wrong_function(monkeypatch):
    explorer, _ = live(misspelt)
    monkeypatch.setenv("VGKIT_STATIC", "1")
    with pytest.raises(ValueError, match="compute must return power"):
        explorer._repr_mimebundle_()


def test_arrays_drawn_against_each_other_have_one_length():
    chart = charts.chart(
        [charts.series("power", "Power", x="place")],
        x={"label": "x", "name": "x"}, y={"label": "y"}, summary=[], columns={"more": "More"},
    )  # fmt: skip

    def uneven(base, mode):
        return {"power": jnp.ones(3), "place": jnp.ones(4), "more": jnp.ones(3)}

    _, (panel,) = live(uneven, chart)
    assert "power and place of one length; got 3 and 4" in panel.problem
    _, (panel,) = live(lambda base, mode: {"power": jnp.ones(3), "place": jnp.ones(3)}, chart)
    assert "compute must return more, which the chart draws" in panel.problem


def test_the_picture_comes_back_with_the_next_good_setting():
    broken = [True]

    def sometimes(base, mode):
        if broken[0]:
            raise RuntimeError("not yet")
        return compute(base, mode)

    explorer, (chart,) = live(sometimes)
    assert "RuntimeError: not yet" in chart.problem
    broken[0] = False
    explorer.controls["base"].value = 4
    assert (chart.problem, chart.data["power"]) == ("", [4, 16, 64, 256])


def test_long_messages_are_cut():
    def endless(base, mode):
        raise ValueError("x" * 5000)

    _, (chart,) = live(endless)
    assert len(chart.problem) < 500


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
