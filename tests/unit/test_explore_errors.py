"""What a live explorer shows of a function that is wrong."""

import re

import jax.numpy as jnp
import pytest
from powers import CHART, compute, sliders

from vgkit import explore


def live(compute, chart=CHART):
    explorer = explore.Explorer("Mine", compute, sliders(), chart)
    return explorer, explorer.widget.children[-1]


def misspelt(base, mode):
    return {"powers": base ** jnp.arange(1.0, 5), "sentence": 0}


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


def undecided(base, mode):
    return {"power": jnp.ones(3)}


def outside(base, mode):
    return {"power": jnp.ones(3), "sentence": 2}


def endless(base, mode):
    raise ValueError("x" * 5000)


WRONG = {
    misspelt: "ValueError: compute must return power, which the chart shows; got powers, sentence",
    matrix: r"ValueError: .* arrays of shape \(points,\); got power of shape \(3, 4\)",
    bare: "ValueError: compute must return a dict of arrays; got ",
    raises: "KeyError: 'no such net'",
    branches: "TracerBoolConversionError: Attempted boolean conversion of traced array",
    clashes: "TypeError: .*incompatible shapes for broadcasting",
    lacks: "TypeError: .*unexpected keyword argument 'mode'",
    undecided: "ValueError: compute must return sentence, which the chart shows; got power",
    outside: "ValueError: sentence must be a position from 0 to 1; got 2",
    endless: "ValueError: x{300}…",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_error_is_shown_in_the_charts(wrong, capsys):
    explorer, charts = live(wrong)
    assert charts.problem.startswith("The computation failed at Base 3, Mode all. ")
    assert re.search(WRONG[wrong], charts.problem)
    assert len(charts.problem) < 500 and charts.data == {}
    explorer.controls["base"].value = 4
    assert "at Base 4, Mode all" in charts.problem
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == charts.problem
    assert "application/vnd.jupyter.widget-view+json" in bundle
    with pytest.raises(Exception, match=WRONG[wrong].split(": ", 1)[1].removesuffix("…")):
        explorer.at()
    assert capsys.readouterr() == ("", "")


def test_a_page_is_not_built_from_a_wrong_function():
    explorer, _ = live(misspelt)
    with pytest.raises(ValueError, match="compute must return power"):
        explorer.static()


def test_arrays_belong_together():
    chart = explore.chart(
        [explore.series("power", "Power", x="place")],
        x={"label": "x"}, y={"label": "y"}, summary=["{base}: {size}"], columns={"more": "More"},
    )  # fmt: skip
    arrays = {"power": jnp.ones(3), "place": jnp.ones(3), "more": jnp.ones(3), "size": 1.0}

    def problem(**changed):
        return live(lambda base, mode: {**arrays, **changed}, chart)[1].problem

    assert problem() == ""
    assert "power and place of one length; got 3 and 4" in problem(place=jnp.ones(4))
    for name in ("more", "size"):
        missing = arrays.pop(name)
        assert f"compute must return {name}, which the chart shows" in problem()
        arrays[name] = missing


def test_the_picture_comes_back_with_the_next_good_setting():
    broken = [True]

    def sometimes(base, mode):
        if broken[0]:
            raise RuntimeError("not yet")
        return compute(base, mode)

    explorer, charts = live(sometimes)
    assert "RuntimeError: not yet" in charts.problem
    broken[0] = False
    explorer.controls["base"].value = 4
    assert (charts.problem, charts.data["power"]) == ("", [4, 16, 64, 256])
