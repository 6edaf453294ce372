"""What one backward pass says of every layer, in numbers that can be judged."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgkit._numbers import mean_cosine, rms
from vgkit.grads.measure import Problem, measure_model
from vgkit.trace import Traced
from vgkit.trace.layers import Activation, depths
from vgkit.trace.traced import Layer, apply, widen

_HALF = (0.3, 0.7, 1.5, 3.0, 6.0, 20.0, 1e3, 1e4)  # the last two beyond any bias
GRID = (*(-z for z in reversed(_HALF)), 0.0, *_HALF)
"""Arguments at which an activation's slope shows its largest value and its tails."""


class LayerEvidence(NamedTuple):
    """One layer, or one iteration of a layer in a scan; NaN where there is no such number."""

    name: str  # path of its weights in the parameters' tree, or the name of a tap
    depth: int  # place in the order from the input, from 1 on
    units: int
    output: bool  # whether nothing comes after it
    error_signal: float  # RMS of dL_i/dz over examples and units
    error_norm: float  # L2 norm of dL_i/dz of one example, RMS over the examples
    upstream_gradient: float  # the same for all that reaches the layers up to here
    weight_gradient: float  # RMS of the gradient of the mean loss with respect to its weights
    weights: float  # RMS
    cosine: float  # mean cosine between the layer's data h for two different examples
    dead: float  # share of its units whose activation has no slope for any example
    saturated: float  # share of slopes below a tenth of the largest, if flat on both sides


class Slopes(NamedTuple):
    """Sizes of the slopes of every activation, and by kind those on `GRID`."""

    sizes: list[Any]
    curves: dict[str, Any]


class Measured(NamedTuple):
    """One pass forward and back in float64, as NumPy arrays: see `measure.Backward`."""

    loss: Any
    outputs: Any
    data: dict[int, Any]  # values of the layers' data h, by variable
    slopes: Slopes
    by_params: list[Any]
    by_probes: dict[int, Any]


class Experiment:
    """A model run in one way, with what was measured of it; lives inside `enable_x64(True)`."""

    def __init__(self, problem: Problem, traced: Traced):
        model, self.traced = traced.model, traced
        # In NumPy, whose arithmetic compiles nothing; and one program for all of a model.
        self.parameters, self.inputs, self.y = jax.tree.map(
            lambda part: widen(np.asarray(part)) if traced.wide else np.asarray(part),
            (model.parameters, model.inputs, problem.y),
        )
        data = {op.h for op in traced.graph.layers}
        run = measure_model(traced, problem.losses, data | slope_variables(traced))

        @jax.jit
        def measured(parameters: Any, inputs: Any, y: Any) -> Measured:
            back = run(parameters, inputs, y)
            outputs, recorded = back.aux
            h, found = {v: recorded[v] for v in data}, slopes(traced, recorded)
            loss = jnp.mean(back.losses)
            return Measured(loss, outputs, h, found, back.by_params, back.by_probes)

        @jax.jit
        def loss(parameters: Any) -> Any:
            outputs, _ = traced.run(parameters, self.inputs, {})
            return jnp.mean(problem.losses(outputs, self.y))

        self._measured, self.loss = measured, loss
        self.measured = self.measure(self.parameters)

    def measure(self, parameters: Sequence[Any]) -> Measured:
        """Measure everything at other parameters."""
        return as_numpy(self._measured(parameters, self.inputs, self.y))


def experiment(problem: Problem) -> Experiment:
    """Measure a model in the first of the `Traced.ways` that it takes part in."""
    *ways, last = problem.traced.ways()
    for traced in ways:
        with contextlib.suppress(Exception):  # whatever the user's functions raise
            return Experiment(problem, traced)
    return Experiment(problem, last)


def as_numpy(tree: Any) -> Any:
    """The same in NumPy; formats that NumPy does not have become float32."""

    def convert(array: Any) -> np.ndarray:
        array = np.asarray(array)
        return array if array.dtype.kind in "fiub" else array.astype(np.float32)

    return jax.tree.map(convert, tree)


def layer_evidence(traced: Traced, measured: Measured) -> list[LayerEvidence]:
    """One entry for each layer, input side first."""
    cuts = traced.at_cuts(measured.by_probes).items()
    squares = {depth: sum(np.sum(array**2) for array in parts) for depth, parts in cuts}
    units = {depth: here for depth, *here in unit_slopes(traced, measured.slopes)}
    parameters = [np.asarray(array, np.float64) for array in traced.model.parameters]
    examples = traced.model.examples

    def size(layer: Layer, arrays: Sequence[Any]) -> float:
        none = layer.weights is None
        return np.nan if none else float(rms(layer.parameter(arrays, layer.weights)))

    def row(layer: Layer) -> LayerEvidence:
        error = layer.of(measured.by_probes)
        dead, saturated = units.get(layer.depth, (None, np.nan))
        return LayerEvidence(
            name=layer.name,
            depth=layer.depth,
            units=layer.units,
            output=layer.output,
            error_signal=float(rms(error)),
            error_norm=float(np.sqrt(np.sum(error**2) / examples)),
            upstream_gradient=float(np.sqrt(squares.get(layer.depth, np.nan) / examples)),
            weight_gradient=size(layer, measured.by_params),
            weights=size(layer, parameters),
            cosine=_cosine(layer.of(measured.data, "h"), examples),
            dead=np.nan if dead is None else float(np.mean(dead)),
            saturated=saturated,
        )

    return [row(layer) for layer in traced.layers]


def _cosine(data: np.ndarray, examples: int) -> float:
    """Mean cosine between two examples' data; NaN for fewer than two that are not 0."""
    axes = [i for i, size in enumerate(data.shape) if size == examples]
    axes += [i for i, size in enumerate(data.shape) if size % examples == 0]
    if examples < 2 or not axes:
        return np.nan
    rows = np.moveaxis(np.asarray(data, np.float64), axes[0], 0).reshape(examples, -1)
    rows = rows[np.linalg.norm(rows, axis=1) > 0]
    return float(mean_cosine(rows)) if len(rows) > 1 else np.nan


def slope_variables(traced: Traced) -> set[int]:
    """Variables that the slopes of activations are computed from."""
    return set().union(*(_operands(traced, part) for part in traced.graph.activations))


def _operands(traced: Traced, activation: Activation) -> set[int]:
    made = {equation.outputs[0] for equation in activation.chain}
    read = {activation.root}.union(*(equation.inputs for equation in activation.chain))
    return read - made - traced.program.constants.keys()


def slopes(traced: Traced, values: dict[int, Any]) -> Slopes:
    """Slopes of all activations, from the values of `slope_variables`."""
    found = Slopes([], {})
    for activation in traced.graph.activations:
        here = {v: values[v] for v in _operands(traced, activation)}
        every = jax.vmap if activation.loop else lambda function: function
        found.sizes.append(every(partial(_slope, traced, activation))(here))
        if activation.kind not in found.curves:
            found.curves[activation.kind] = every(partial(_curve, traced, activation))(here)
    return found


def _curve(traced: Traced, activation: Activation, values: dict[int, Any]) -> Any:
    """Largest slope at every point of `GRID`."""
    root = values[activation.root]

    def largest(z: Any) -> Any:
        here = values | {activation.root: jnp.full_like(root, z)}
        return jnp.max(_slope(traced, activation, here))

    return jax.lax.map(largest, jnp.array(GRID))


def _slope(traced: Traced, activation: Activation, values: dict[int, Any]) -> Any:
    """Size of an activation's slope."""

    def function(root: Any) -> list[Any]:
        inner = traced.program.constants | values | {activation.root: root}
        for equation in activation.chain:
            operands = [widen(inner[v]) if traced.wide else inner[v] for v in equation.inputs]
            (inner[equation.outputs[0]],) = apply(equation, operands, traced.wide)
        return [inner[v] for v in activation.finals]

    # Backwards, so that a rule for this direction alone will do.
    outputs, back = jax.vjp(function, values[activation.root])
    ones = [[jnp.full_like(v, k == i) for i, v in enumerate(outputs)] for k in range(len(outputs))]
    return jnp.max(jnp.abs(jnp.stack([back(one)[0] for one in ones])), axis=0)


def unit_slopes(traced: Traced, slopes: Slopes) -> list[tuple[int, np.ndarray | None, float]]:
    """Depth, dead units and share of saturated slopes, for every activation and iteration.

    Dead are units without slope for any example, if the activation is flat on one side, and
    saturated are slopes below a tenth of the largest, if it is flat on both.
    """
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
            units.append((depth, dead, flat))
    return units


class DeadUnits(NamedTuple):
    """Shares of units without slope, by depth, and the depths at which none has one on the batch.

    With `wide_inputs`, the shares are of those that have none for random inputs wider than the data
    either.
    """

    shares: Mapping[int, float] = MappingProxyType({})
    on_batch: frozenset[int] = frozenset()
    wide_inputs: bool = False


def dead_units(here: Experiment) -> DeadUnits:
    """Look for units without slope, on the batch and on wider random inputs."""
    traced, found = here.traced, here.measured.slopes
    dead = [(d, units) for d, units, _ in unit_slopes(traced, found) if units is not None]
    on_batch = frozenset(depth for depth, units in dead if np.all(units))
    wide_inputs = all(v.dtype.kind == "f" for v in here.inputs)
    if wide_inputs and any(np.mean(units) > 0.3 for _, units in dead):

        @jax.jit
        def slope_sizes(inputs: Any) -> list[Any]:
            _, recorded = traced.run(here.parameters, inputs, {}, slope_variables(traced))
            return slopes(traced, recorded).sizes

        random = np.random.default_rng(0)
        for k in range(max(4, -(-512 // traced.model.examples))):
            wider = [_wider(random, v, (1.0, 3.0)[k % 2]) for v in here.inputs]
            again = unit_slopes(traced, found._replace(sizes=as_numpy(slope_sizes(wider))))
            others = [units for _, units, _ in again if units is not None]
            dead = [(d, a & b) for (d, a), b in zip(dead, others, strict=True)]
    shares: dict[int, float] = {}
    for depth, units in dead:
        shares[depth] = max(float(np.mean(units)), shares.get(depth, 0.0))
    return DeadUnits(shares, on_batch, wide_inputs)


def _wider(random: np.random.Generator, data: np.ndarray, scale: float) -> Any:
    """Gaussian inputs around the data's mean, wider than the data."""
    spread = scale * (data.std(axis=0) + data.std())
    wider = data.mean(axis=0) + spread * random.standard_normal(data.shape)
    return wider.astype(data.dtype)
