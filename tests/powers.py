"""Small explorers for tests: powers of a base, and a net."""

import json
import subprocess

import ipywidgets
import jax
import jax.numpy as jnp
from playwright._impl._driver import compute_driver_executable

from vgkit import explore, grads, nets
from vgkit.explore import explorer

CHART = explore.chart(
    [explore.series("power", "Power")],
    x={"label": "Exponent", "name": "exponent", "start": 1},
    y={"label": "Value", "scale": "log"},
    summary=["Large: {power} of {base}.", "Base {base}, {mode}."],
)


def compute(base, mode):
    """base, base^2, ... base^4, or 0 from the second on; the last point exists for even bases."""
    power = base ** jnp.arange(1.0, 5.0)
    power = jax.lax.switch(mode, [lambda p: p, lambda p: p * jnp.array([1.0, 0, 0, 0])], power)
    power = power.at[3].set(jnp.where(base % 2 == 0, power[3], jnp.nan))
    return {"power": power, "sentence": explore.first_true(power[0] > 5)}


def sliders():
    return {
        "base": ipywidgets.IntSlider(3, 1, 6, description="Base"),
        "mode": ipywidgets.Dropdown(options=["all", "first"], description="Mode"),
    }


def make(**presets):
    return explore.Explorer("Powers", compute, sliders(), CHART, presets)


UNITS = 3


def network(**options):
    """A net of 1 to 7 tanh layers of 4 units, of which 3 are drawn."""
    net = nets.mlp(jax.random.key(1), (4,) * 8 + (3,), "tanh", init="he_normal", stacked=True)

    def at(depth):
        return grads.unit_signals(net.replace(depth=depth), jnp.arange(4.0), 1, units=UNITS)

    depth = ipywidgets.IntSlider(3, 1, 7, description="Layers")
    view = explore.network(UNITS, summary=["{depth} layers, {loss}."], **options)
    return explore.Explorer("Net", at, {"depth": depth}, view)


def in_javascript(expression):
    """Value of an expression in the scope of a page's scripts, run by Playwright's Node.js."""
    node, _ = compute_driver_executable()
    host = explorer.HOST[: explorer.HOST.index("document.querySelectorAll")]
    script = f"{explorer.VIEWS}{host}\nconsole.log(JSON.stringify({expression}));"
    command = [node, "--input-type=module", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
