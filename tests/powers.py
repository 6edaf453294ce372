"""A small explorer for tests: powers of a base."""

import json
import subprocess

import ipywidgets
import jax
import jax.numpy as jnp
from playwright._impl._driver import compute_driver_executable

from vgkit import explore
from vgkit.explore import charts
from vgkit.explore.live import HERE, SCRIPT

CHART = charts.chart(
    [charts.series("power", "Power")],
    x={"label": "Exponent", "name": "exponent", "start": 1},
    y={"label": "Value", "scale": "log"},
    summary=[("power > 10", "Large: {power} of {base}."), ("", "Base {base}, {mode}.")],
)


def compute(base, mode):
    """base, base^2, ... base^4, or 0 from the second on; the last point exists for even bases."""
    power = base ** jnp.arange(1.0, 5.0)
    power = jax.lax.switch(mode, [lambda p: p, lambda p: p * jnp.array([1.0, 0, 0, 0])], power)
    return {"power": power.at[3].set(jnp.where(base % 2 == 0, power[3], jnp.nan))}


def make(**presets):
    controls = {
        "base": ipywidgets.IntSlider(3, 1, 6, description="Base"),
        "mode": ipywidgets.Dropdown(options=["whole", "first"], description="Mode"),
    }
    return explore.Explorer("Powers", compute, controls, CHART, presets)


def in_javascript(expression):
    """Value of an expression in the scope of both scripts, run by the Node.js of Playwright."""
    node, _ = compute_driver_executable()
    host = (HERE / "host.mjs").read_text()
    host = host[: host.index("document.querySelectorAll")]
    script = f"{SCRIPT}\n{host}\nconsole.log(JSON.stringify({expression}));"
    command = [node, "--input-type=module", "-e", script]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
