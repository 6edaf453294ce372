"""What a live explorer shows of a function that is wrong."""

import re

import jax.numpy as jnp
import pytest
from powers import CHART, compute, sliders

from vgkit import explore


def live(compute, chart=CHART):
    explorer = explore.Explorer("Mine", compute, sliders(), chart)
    return explorer, explorer.widget.children[-1]


def raises(error):
    raise error


WRONG = {
    "ValueError: compute must return power, which the explorer shows; got powers, sentence":
        lambda base, mode: {"powers": base ** jnp.arange(1.0, 5), "sentence": 0},
    r"ValueError: .* arrays of shape \(points,\); got power of shape \(3, 4\)":
        lambda base, mode: {"power": jnp.ones((3, 4)) * base},
    "ValueError: compute must return a dict of arrays; got ":
        lambda base, mode: base ** jnp.arange(1.0, 5),
    "TracerBoolConversionError: Attempted boolean conversion of traced array":
        lambda base, mode: {"power": jnp.arange(3.0)} if base > 2 else {},
    "TypeError: .*unexpected keyword argument 'mode'": lambda base: {"power": jnp.ones(3)},
    "ValueError: sentence must be a position from 0 to 1; got 2":
        lambda base, mode: {"power": jnp.ones(3), "sentence": 2},
    "ValueError: x{300}…": lambda base, mode: raises(ValueError("x" * 5000)),
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_an_error_is_shown_in_the_charts(unchecked, message, capsys):
    explorer, charts = live(WRONG[message])
    assert charts.problem.startswith("The computation failed at Base 3, Mode all. ")
    assert re.search(message, charts.problem)
    assert len(charts.problem) < 500 and charts.data == {}
    explorer.controls["base"].value = 4
    assert "at Base 4, Mode all" in charts.problem
    bundle = explorer._repr_mimebundle_()
    assert bundle["text/plain"] == charts.problem
    assert "application/vnd.jupyter.widget-view+json" in bundle
    for refused in (explorer.at, explorer.static):  # nor is a page built from it
        with pytest.raises(Exception, match=message.split(": ", 1)[1].removesuffix("…")):
            refused()
    assert capsys.readouterr() == ("", "")


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
        assert f"compute must return {name}, which the explorer shows" in problem()
        arrays[name] = missing


def test_the_picture_comes_back_with_the_next_good_setting():
    broken = [RuntimeError("not yet")]
    explorer, charts = live(lambda **now: raises(broken[0]) if broken else compute(**now))
    assert "RuntimeError: not yet" in charts.problem
    broken.clear()
    explorer.controls["base"].value = 4
    assert (charts.problem, charts.data["power"]) == ("", [4, 16, 64, 256])
