"""Slopes of activations: which units have none, and which share is flat."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgkit.trace import Traced
from vgkit.trace.interpreter import apply, widen
from vgkit.trace.jaxpr import Constant
from vgkit.trace.layers import Activation, depths

_HALF = (0.3, 0.7, 1.5, 3.0, 6.0, 20.0, 1e3, 1e4)  # the last two beyond any bias
GRID = (*(-z for z in reversed(_HALF)), 0.0, *_HALF)
"""Arguments at which an activation's slope shows its largest value and its tails."""


class Slopes(NamedTuple):
    """Sizes of the slopes of every activation, and by kind those on `GRID`."""

    sizes: list[Any]
    curves: dict[str, Any]


def slope_variables(traced: Traced) -> set[int]:
    """Variables that the slopes of activations are computed from."""
    return set().union(*map(_operands, traced.graph.activations))


def _operands(activation: Activation) -> set[int]:
    made = {equation.outputs[0] for equation in activation.chain}
    return {activation.root}.union(*(e.variables for e in activation.chain)) - made


def slopes(traced: Traced, values: dict[int, Any]) -> Slopes:
    """Slopes of all activations, from the values of `slope_variables`."""
    found = Slopes([], {})
    for activation in traced.graph.activations:
        here = {v: values[v] for v in _operands(activation)}
        every = jax.vmap if activation.loop else lambda function: function
        found.sizes.append(every(partial(_slope, activation))(here))
        if activation.kind not in found.curves:
            found.curves[activation.kind] = every(partial(_curve, activation))(here)
    return found


def _curve(activation: Activation, values: dict[int, Any]) -> Any:
    """Largest slope at every point of `GRID`."""
    root = values[activation.root]

    def largest(z: Any) -> Any:
        return jnp.max(_slope(activation, values | {activation.root: jnp.full_like(root, z)}))

    return jax.lax.map(largest, jnp.array(GRID))


def _slope(activation: Activation, values: dict[int, Any]) -> Any:
    """Size of an activation's slope."""

    def function(root: Any) -> list[Any]:
        inner = values | {activation.root: root}
        for equation in activation.chain:
            operands = [v.value if isinstance(v, Constant) else inner[v] for v in equation.inputs]
            (inner[equation.outputs[0]],) = apply(equation, list(map(widen, operands)), wide=True)
        return [inner[v] for v in activation.finals]

    at = values[activation.root]
    _, slopes = jax.jvp(function, (at,), (jnp.ones_like(at),))
    return jnp.max(jnp.abs(jnp.stack(slopes)), axis=0)


class UnitSlopes(NamedTuple):
    """What the slopes of one activation say of its units.

    `dead` marks units without slope for any example, if the activation is flat on one side;
    `saturated` is the share of slopes below a tenth of the largest, if it is flat on both.
    """

    depth: int
    dead: np.ndarray | None
    saturated: float


def unit_slopes(traced: Traced, slopes: Slopes) -> list[UnitSlopes]:
    """Dead and saturated units, for every activation and iteration."""
    units = []
    for activation, sizes in zip(traced.graph.activations, slopes.sizes, strict=True):
        curve = slopes.curves[activation.kind].reshape(-1, len(GRID)).max(axis=0)
        curve = np.nan_to_num(curve)
        largest = curve.max()
        # A branch that is multiplied by 0 has no slope anywhere, whatever its activation.
        left, right = (curve[:2].max(), curve[-2:].max()) if largest > 0 else (1.0, 1.0)
        one_sided = (left < 1e-3 * largest) != (right < 1e-3 * largest)
        two_sided = max(left, right) < 0.01 * largest
        every = depths(activation)
        for depth, size in zip(every, sizes if activation.loop else [sizes], strict=True):
            others = tuple(axis for axis in range(size.ndim) if axis not in activation.units)
            dead = np.max(size, axis=others) < 1e-3 * largest if one_sided else None
            flat = float(np.mean(size < 0.1 * largest)) if two_sided else np.nan
            units.append(UnitSlopes(depth, dead, flat))
    return units
