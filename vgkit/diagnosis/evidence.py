"""What one backward pass says of every layer, in numbers that can be judged."""

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgkit._numbers import l2, mean_cosine, rms
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
    upstream_gradient: float  # L2 norm of all that reaches the layers up to here, of one example
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

        @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
        def measured(parameters: Any, inputs: Any, y: Any) -> Measured:
            back = run(parameters, inputs, y)
            outputs, recorded = back.aux
            h, found = {v: recorded[v] for v in data}, slopes(traced, recorded)
            loss = jnp.mean(back.losses)
            return Measured(loss, outputs, h, found, back.by_params, back.by_probes)

        self._measured, self.losses = measured, problem.losses
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
    examples = traced.model.examples
    cuts = traced.at_cuts(measured.by_probes).items()
    at_cuts = {depth: float(l2(np.array(list(map(l2, parts))))) for depth, parts in cuts}
    units = {depth: here for depth, *here in unit_slopes(traced, measured.slopes)}
    parameters = [np.asarray(array, np.float64) for array in traced.model.parameters]

    def size(layer: Layer, arrays: Sequence[Any]) -> float:
        none = layer.weights is None
        return np.nan if none else float(rms(layer.parameter(arrays, layer.weights)))

    def row(layer: Layer) -> LayerEvidence:
        dead, saturated = units.get(layer.depth, (None, np.nan))
        return LayerEvidence(
            *layer[:4],
            error_signal=float(rms(layer.of(measured.by_probes))),
            upstream_gradient=at_cuts.get(layer.depth, np.nan) / examples**0.5,
            weight_gradient=size(layer, measured.by_params),
            weights=size(layer, parameters),
            cosine=_cosine(by_example(layer.of(measured.data, "h"), examples)),
            dead=np.nan if dead is None else float(np.mean(dead)),
            saturated=saturated,
        )

    return [row(layer) for layer in traced.layers]


def by_example(array: np.ndarray, examples: int, units: Sequence[int] = ()) -> np.ndarray:
    """An array with a row for each example, or with one row if none of its axes is theirs."""
    sizes = [(i, size) for i, size in enumerate(array.shape) if i not in units]
    axes = [i for i, size in sizes if size == examples]
    axes += [i for i, size in sizes if size % examples == 0]
    rows = np.moveaxis(np.asarray(array, np.float64), axes[0], 0) if axes else array
    return rows.reshape(examples if axes else 1, -1)


def _cosine(rows: np.ndarray) -> float:
    """Mean cosine between two examples' data; NaN for fewer than two that are not 0."""
    rows = rows[np.linalg.norm(rows, axis=1) > 0]
    return float(mean_cosine(rows)) if len(rows) > 1 else np.nan


def signal_path(traced: Traced, by_probes: dict[int, Any]) -> list[np.ndarray]:
    """L2 norm of what reaches each depth from above, by example; the output layer left out.

    It is dL/dz of a layer that everything passes through, as in a plain net; or else the gradient
    at the cuts, such as the stream of a residual net, if there are enough of them; or else the
    largest dL/dz of the layers at each depth.
    """
    examples = traced.model.examples

    def norms(parts: Sequence[Any], units: Sequence[int] = ()) -> np.ndarray:
        rows = np.concatenate([by_example(part, examples, units) for part in parts], axis=1)
        scale = np.max(np.abs(rows), initial=0.0) or 1.0
        return scale * np.linalg.norm(rows / scale, axis=1)

    hidden: dict[int, list[Layer]] = {}
    for layer in traced.layers:
        if not layer.output:
            hidden.setdefault(layer.depth, []).append(layer)
    own = {d: [norms([la.of(by_probes)], la.op.units) for la in hidden[d]] for d in sorted(hidden)}
    cuts = {d: norms(p) for d, p in traced.at_cuts(by_probes).items() if d in hidden}
    states = {d for cut in traced.graph.cuts if cut.loop for d in depths(cut)}
    for d, (layer, *_) in hidden.items():
        if layer.op.alone and (layer.op.loop or d not in states):
            cuts[d] = own[d][0]
    order, third = sorted(hidden), int(len(hidden) / 3)
    ends = cuts and min(cuts) <= order[third] and max(cuts) >= order[-1 - third]
    if ends and len(cuts) >= 0.25 * len(hidden) and (len(cuts) > 1 or len(hidden) == 1):
        return [cuts[depth] for depth in sorted(cuts)]
    return [max(same, key=np.linalg.norm) for same in own.values()]


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
    """Largest slope of each final result at every point of `GRID`."""
    root = values[activation.root]

    def largest(z: Any) -> Any:
        here = values | {activation.root: jnp.full_like(root, z)}
        sizes = _slope(traced, activation, here)
        return jnp.max(sizes.reshape(len(sizes), -1), axis=1)

    return jax.lax.map(largest, jnp.array(GRID))


def _slope(traced: Traced, activation: Activation, values: dict[int, Any]) -> Any:
    """Sizes of an activation's slopes, one row for each final result."""

    def function(root: Any) -> list[Any]:
        inner = traced.program.constants | values | {activation.root: root}
        for equation in activation.chain:
            operands = [widen(inner[v]) if traced.wide else inner[v] for v in equation.inputs]
            (inner[equation.outputs[0]],) = apply(equation, operands, traced.wide)
        return [inner[v] for v in activation.finals]

    # Backwards, so that a rule for this direction alone will do.
    outputs, back = jax.vjp(function, values[activation.root])
    ones = [[jnp.full_like(v, k == i) for i, v in enumerate(outputs)] for k in range(len(outputs))]
    return jnp.abs(jnp.stack([back(one)[0] for one in ones]))


def shape(curve: np.ndarray) -> tuple[float, float, bool, bool]:
    """Of a function with these slopes on `GRID`: the largest; up to which a slope counts as none.

    And whether the function is flat on one side, as ReLU or, by its exact zeros, ReLU6; and on
    both. A slope that grows without bound, as that of a square or of exp, has no largest value
    that a small one could be compared with: only a slope of exactly 0 is none.
    """
    at = dict(zip(GRID, np.nan_to_num(curve, posinf=1e300).tolist(), strict=True))
    bounded = max(at[-1e4], at[1e4]) <= min(2 * max(at[-1e3], at[1e3]), 1e99)
    largest = max(at.values()) if bounded else 1.0
    least = 1e-3 * largest if bounded else 0.0
    tails = ([side * 1e4, side * 1e3, *([] if bounded else [side * 20])] for side in (-1, 1))
    left, right = (max(at[z] for z in tail) <= least for tail in tails)
    clamped = at[-6] == at[20] == 0
    return largest, least, left != right or (left and clamped), left and right and not clamped


def unit_slopes(traced: Traced, slopes: Slopes) -> list[tuple[int, np.ndarray | None, float]]:
    """Depth, dead units and share of saturated slopes, for every activation and iteration.

    Dead are units without slope for any example, if the activation is flat on one side, and
    saturated are slopes below a tenth of the largest, if it is flat on both. If an activation is
    used in several ways, as by a normalisation that squares it too, a unit is dead in all of them.
    """
    units = []
    for activation, sizes in zip(traced.graph.activations, slopes.sizes, strict=True):
        curves = slopes.curves[activation.kind]
        shapes = list(map(shape, curves.reshape(-1, *curves.shape[-2:]).max(axis=0).T))
        works = all(largest > 0 for largest, *_ in shapes)  # no branch that is multiplied by 0
        can_die, two_sided = (works and all(each[k] for each in shapes) for k in (2, 3))
        every = depths(activation)
        for depth, size in zip(every, sizes if activation.loop else [sizes], strict=True):
            others = tuple(axis - 1 for axis in range(1, size.ndim)
                           if axis - 1 not in activation.units)  # fmt: skip
            parts = list(zip(size, shapes, strict=True))
            dead = [np.max(part, axis=others) <= least for part, (_, least, *_) in parts]
            flat = [part < 0.1 * largest for part, (largest, *_) in parts] if two_sided else np.nan
            dead = np.all(dead, axis=0) if can_die else None
            units.append((depth, dead, float(np.mean(np.all(flat, axis=0) if two_sided else flat))))
    return units


class DeadUnits(NamedTuple):
    """By depth: share of the units without slope on the batch and on `other_inputs`, and number."""

    shares: Mapping[int, float] = MappingProxyType({})
    units: Mapping[int, int] = MappingProxyType({})
    on_batch: frozenset[int] = frozenset()  # depths at which none has one on the batch


def dead_units(here: Experiment) -> DeadUnits:
    """Look for units without slope, on the batch and on other inputs from the data's range."""
    traced, found = here.traced, here.measured.slopes
    dead = [(d, units) for d, units, _ in unit_slopes(traced, found) if units is not None]
    on_batch = frozenset(depth for depth, units in dead if np.all(units))
    if traced.model.examples > 1 and any(np.mean(units) > 0.5 for _, units in dead):

        @jax.jit
        def slope_sizes(inputs: Any) -> list[Any]:
            _, recorded = traced.run(here.parameters, inputs, {}, slope_variables(traced))
            return slopes(traced, recorded).sizes

        random = np.random.default_rng(0)
        for k in range(max(4, -(-512 // traced.model.examples))):
            others = [other_inputs(random, v, corners=k % 2 == 1) for v in here.inputs]
            again = unit_slopes(traced, found._replace(sizes=as_numpy(slope_sizes(others))))
            again = [units for _, units, _ in again if units is not None]
            dead = [(d, a & b) for (d, a), b in zip(dead, again, strict=True)]
    dead = sorted(dead, key=lambda part: np.mean(part[1]))  # of several at a depth, the worst
    shares = {depth: float(np.mean(units)) for depth, units in dead}
    return DeadUnits(shares, {depth: units.size for depth, units in dead}, on_batch)


def other_inputs(random: np.random.Generator, data: np.ndarray, corners: bool) -> Any:
    """Inputs from the data's own range: every feature is shuffled, or at one end of its range."""
    if not corners or data.dtype.kind != "f":
        return random.permuted(data, axis=0)
    ends = np.where(random.random(data.shape) < 0.5, data.min(axis=0), data.max(axis=0))
    return ends.astype(data.dtype)
