"""What a reader sees whose own function is wrong, in a live explorer."""

import re

import ipywidgets
import jax.numpy as jnp
import pytest
from powers import CHART, compute

from vgkit import explore
from vgkit.explore import charts


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
