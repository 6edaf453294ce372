"""A model of any library: taken apart, run with probes, and its layers."""

import contextlib
import dataclasses
import functools
import inspect
import itertools
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vgkit import _check
from vgkit._typeset import table
from vgkit.trace import jaxpr
from vgkit.trace.jaxpr import Equation, Program, Scan
from vgkit.trace.layers import LayerGraph, LayerOp, Loop, Origin, analyse, depths

BATCH = "batch"
"""Name of the batch's axis while a model of one example is mapped over it."""


class Model(NamedTuple):
    """A model and its arguments."""

    function: Callable  # (parameters, inputs) -> outputs, any pytree
    parameters: list[Any]  # floating-point arrays
    names: list[str]  # their paths in the parameters' tree
    inputs: list[Any]  # leaves of x, examples first
    examples: int
    tree: Callable  # makes a tree like the parameters' of such arrays, with None for other leaves
    outputs: Any  # shapes and dtypes of the outputs


def floating(value: Any) -> bool:
    """Whether a leaf is an array of real floating-point numbers."""
    return isinstance(value, (jax.Array, np.ndarray, np.floating)) and jnp.issubdtype(
        value.dtype, jnp.floating
    )


def read_model(model: Any, params: Any, x: Any) -> Model:
    """Check a model and its arguments, and take their trees apart."""
    function, params = as_function(model, params)
    leaves, treedef = jax.tree.flatten(params)
    places = [i for i, leaf in enumerate(leaves) if floating(leaf) and np.size(leaf)]
    if not places:
        kinds = ", ".join(sorted({type(leaf).__name__ for leaf in leaves})) or "nothing"
        raise ValueError(f"params must hold a floating-point array; it holds {kinds}")
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    names = [jax.tree_util.keystr(paths[i], simple=True, separator="/") for i in places]
    # Flax's variables add a last part to the path that tells nothing.
    names = [name.removesuffix("/value").removesuffix("/raw_value") for name in names]
    inputs, inputs_tree = jax.tree.flatten(jax.tree.map(jnp.asarray, x))
    examples = count_examples("x", inputs)
    _check.finite("x", filter(floating, inputs))

    def tree(arrays: Sequence[Any], others: Sequence[Any] = (None,) * len(leaves)) -> Any:
        by_place = dict(zip(places, arrays, strict=True))
        return treedef.unflatten([by_place.get(i, leaf) for i, leaf in enumerate(others)])

    def of_arrays(parameters: Sequence[Any], inputs: Sequence[Any]) -> Any:
        return function(tree(parameters, leaves), inputs_tree.unflatten(inputs))

    parameters = [jnp.asarray(leaves[i]) for i in places]
    try:
        outputs = jax.eval_shape(of_arrays, parameters, inputs)
    except Exception as error:  # whatever the user's function raises
        raised = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        hint = next((f"; {hint}" for name, hint in HINTS.items() if re.search(name, raised)), "")
        raise ValueError(
            "model must be a function (params, x) of the parameters and the whole batch; "
            f"called so it raised {raised}{hint}"
        ) from error
    return Model(of_arrays, parameters, names, inputs, examples, tree, outputs)


HINTS = {
    "TrainState": "give state.apply_fn and {'params': state.params}",
    "ScopeCollectionNotFound": "params must be the variables, {'params': params}",
    "ModifyScopeVariableError": "for batch normalisation give params and lambda params, x: "
    "module.apply({**variables, 'params': params}, x, mutable=['batch_stats'])[0]",
    "'get'": "for batch normalisation give the module and lambda module, x: jax.vmap(module, "
    "axis_name='batch', in_axes=(0, None), out_axes=(0, None))(x, state)[0]",
    "'rng'": "give params and lambda params, x: net.apply(params, state, None, x)[0]",
    "RNG|key": "for dropout give lambda v, x: module.apply(v, x, rngs={'dropout': key})",
}
"""What to do about errors in which a pattern is found."""


def as_function(model: Any, params: Any) -> tuple[Callable, Any]:
    """The model as a function (params, x) of a batch, and its parameters.

    Modules of Flax nnx hold their parameters, and so do Equinox's and any other pytree that can be
    called with one example, under `jax.vmap` or not. A linen module has its `apply`, a pair of
    Haiku's `transform` likewise.
    """
    flax = any(kind.__module__.startswith("flax.") for kind in type(model).__mro__)
    if params is None and flax and not hasattr(model, "apply"):
        from flax import nnx

        graph, state = nnx.split(model)
        return lambda state, x: nnx.merge(graph, state)(x), state
    module = inspect.unwrap(model) if callable(model) else model
    holds = callable(module) and any(map(floating, jax.tree.leaves(module)))
    if holds and (params is None or params is module):
        return lambda module, x: jax.vmap(module, axis_name=BATCH)(x), module
    if hasattr(model, "apply") and (flax or not callable(model)):
        if params is None:
            raise ValueError("params must be the variables of the model; got None")
        model = model.apply
    if not callable(model):
        raise ValueError(f"model must be a function (params, x) -> outputs; got {model!r}")
    if list(inspect.signature(model).parameters)[1:2] == ["rng"]:  # of hk.transform
        return lambda params, x: model(params, None, x), params
    return model, params


def count_examples(argument: str, arrays: Sequence[Any]) -> int:
    """Number of examples along the first axis of some arrays."""
    shapes = [np.shape(array) for array in arrays]
    if len({shape[:1] for shape in shapes}) != 1 or not shapes[0]:
        raise ValueError(f"{argument} must have one row for each example; got shapes {shapes}")
    examples = shapes[0][0]
    if not examples:
        raise ValueError(f"{argument} must hold at least one example; got an empty batch")
    return examples


def run_program(
    program: Program,
    args: Sequence[Any],
    probes: Mapping[int, Array],
    record: Collection[int] = (),
    wide: bool = False,
) -> tuple[list[Any], dict[int, Any]]:
    """Outputs of a program with `probes` added to variables, and the values of those in `record`.

    Both have one more axis in front for variables inside a scan. With `wide` everything is computed
    in float64, even where the program asks for a narrower format.
    """
    values = dict(program.constants)
    recorded: dict[int, Any] = {}

    def read(variable: int) -> Any:
        return widen(values[variable]) if wide else values[variable]

    def put(variables: Sequence[int], results: Sequence[Any]) -> None:
        for v, value in zip(variables, results, strict=True):
            values[v] = value + probes[v] if v in probes else value

    def repeat(scan: Scan, inputs: Sequence[Any]) -> list[Any]:
        constants, carry, rows = scan.split(inputs)
        inside = {v: probe for v, probe in probes.items() if v in scan.body.shapes}

        def iteration(carry: list, row: tuple) -> tuple[list, tuple]:
            row, probes = row
            args = [*constants, *carry, *row]
            outputs, recorded = run_program(scan.body, args, probes, record, wide)
            return outputs[: len(carry)], (outputs[len(carry) :], recorded)

        carry, (stacked, inner) = jax.lax.scan(
            iteration, carry, (rows, inside), length=scan.length, reverse=scan.reverse
        )
        recorded.update(inner)
        return [*carry, *stacked]

    put(program.inputs, args)
    for equation in program.equations:
        inputs = list(map(read, equation.inputs))
        scan = equation.scan
        put(equation.outputs, repeat(scan, inputs) if scan else apply(equation, inputs, wide))
    recorded |= {v: values[v] for v in record if v in values}
    return list(map(read, program.outputs)), recorded


def apply(equation: Equation, inputs: Sequence[Any], wide: bool = False) -> list[Any]:
    """Carry out one equation that is no scan."""
    if not wide:
        return jaxpr.bind(equation, inputs)
    rule = jaxpr.custom_rule(equation)
    if rule is None:
        return jaxpr.bind(equation, inputs, **jaxpr.wider(equation))
    name, inner = rule
    expected = [inner.shapes[v].dtype for v in inner.inputs]
    matches = all(v.dtype == dtype for v, dtype in zip(inputs, expected, strict=True))
    if matches or "vjp" in equation.name:  # the rule may be another function's derivative
        inputs = [v.astype(dtype) for v, dtype in zip(inputs, expected, strict=True)]
        return list(map(widen, jaxpr.bind(equation, inputs)))
    if name == "relu":  # its derivative at 0 is 0 by its rule alone
        return [jax.nn.relu(*inputs)]
    return run_program(inner, inputs, {}, wide=True)[0]


def widen(value: Any) -> Any:
    """A floating-point value in float64; any other as it is."""
    dtype = getattr(value, "dtype", None)
    narrow = dtype is not None and jnp.issubdtype(dtype, jnp.floating) and dtype != jnp.float64
    return value.astype(jnp.float64) if narrow else value


class Layer(NamedTuple):
    """One layer of a model; inside a scan every iteration has its own."""

    name: str  # path of its weights in the parameters' tree, or the name of a tap
    depth: int  # its place in the order from the input, from 1 on; branches share one
    units: int
    output: bool  # whether nothing comes after it
    weights: int | None  # number of its weights among the model's parameters; None for a tap
    iteration: int | None  # which iteration of a scan it is; None outside of one
    op: LayerOp

    def of(self, arrays: Mapping[int, Any], variable: str = "z") -> Any:
        """The layer's own part of arrays that are known by variable, of z or of h."""
        array = arrays[getattr(self.op, variable)]
        return array if self.op.loop is None else array[self.iteration]

    def parameter(self, arrays: Sequence[Any], number: int) -> Any:
        """The layer's own part of one of the parameters, or of a gradient with respect to them."""
        loop = self.op.loop
        own_row = loop and number in loop.rows and len(arrays[number]) == len(loop.offsets)
        return arrays[number][self.iteration] if own_row else arrays[number]


@dataclasses.dataclass(frozen=True, repr=False)
class Traced:
    """A model with its layers, in one number format; see `read`. Printed, it lists the layers.

    Attributes:
        model: The model as a function of plain lists of arrays, and these arrays.
        program: Its operations; None if they are not known.
        graph: Which of them are layers, activations, and cuts between layers.
        wide: Whether everything is computed in float64.
    """

    model: Model
    program: jaxpr.Program | None
    graph: LayerGraph
    wide: bool = False

    @functools.cached_property
    def layers(self) -> list[Layer]:
        """The layers, input side first."""
        ops = self.graph.layers
        last = max((max(depths(op)) for op in ops), default=0)
        final = {op.leaves for op in ops if last in depths(op)}
        others = any(op.leaves not in final for op in ops)
        sizes = [array.size for array in self.model.parameters]
        layers, uses = [], {}
        for op in ops:
            leaves, shape = sorted(op.leaves), self.shape(op.z).shape
            label = op.name or " * ".join(self.model.names[leaf] for leaf in leaves)
            for t, depth in enumerate(depths(op)):
                name = label if op.loop is None else f"{label}[{t}]"
                uses[name] = uses.get(name, 0) + 1
                name = name if uses[name] == 1 else f"{name}, use {uses[name]}"
                units = math.prod(shape[axis] for axis in op.units)
                output = op.leaves in final if others else depth == last
                weights = max(leaves, key=sizes.__getitem__, default=None)
                t = None if op.loop is None else t
                layers.append(Layer(name, depth, units, output, weights, t, op))
        return sorted(layers, key=lambda layer: layer.depth)

    def shape(self, variable: int) -> jax.ShapeDtypeStruct:
        """Shape and dtype of a variable, for one inside a scan those in one iteration."""
        bodies = [e.scan.body for e in self.program.equations if e.scan]
        return next(p.shapes[variable] for p in (self.program, *bodies) if variable in p.shapes)

    def probes(self) -> dict[int, Any]:
        """Zeros for the z of every layer and for every cut."""
        loops = {op.z: op.loop for op in self.graph.layers}
        loops |= {v: cut.loop for cut in self.graph.cuts for v in cut.variables}

        def zeros(variable: int, loop: Loop | None) -> Any:
            like, rows = self.shape(variable), () if loop is None else (len(loop.offsets),)
            return jnp.zeros((*rows, *like.shape), jnp.float64 if self.wide else like.dtype)

        return {v: zeros(v, loop) for v, loop in loops.items()}

    def at_cuts(self, arrays: Mapping[int, Any]) -> dict[int, list[Any]]:
        """The cuts' own parts of arrays that are known by variable, by depth."""
        parts: dict[int, list[Any]] = {}
        for cut in self.graph.cuts:
            own = [arrays[v] for v in cut.variables]
            for t, depth in enumerate(depths(cut)):
                parts[depth] = own if cut.loop is None else [array[t] for array in own]
        return parts

    def run(
        self, parameters: Any, inputs: Any, probes: Mapping[int, Any], record: Collection[int] = ()
    ) -> tuple[Any, dict[int, Any]]:
        """Outputs, and the values of the variables in `record`; see `run_program`."""
        if not self.wide:
            own = self.model.parameters, self.model.inputs
            given = list(parameters), list(inputs)
            parameters, inputs = jax.tree.map(lambda v, w: jnp.asarray(v, w.dtype), given, own)
        if self.program is None:
            return self.model.function(parameters, inputs), {}
        args = [*parameters, *inputs]
        outputs, recorded = run_program(self.program, args, probes, record, self.wide)
        return jax.tree.structure(self.model.outputs).unflatten(outputs), recorded

    def ways(self) -> list["Traced"]:
        """Ways to run the model inside `jaxpr.enable_x64(True)`, the best one first.

        In float64; with each operation widened alone, where the model insists on a format of its
        own; in that format; and as one function whose layers are not known.
        """
        ways = [] if self.program is None else [dataclasses.replace(self, wide=True), self]
        with contextlib.suppress(Exception), jaxpr.enable_x64(True):  # whatever the model raises
            ways.insert(0, _traced(self.model, wide=True))
        return [*ways, _untraced(self.model)]

    def __repr__(self) -> str:
        rows = [(layer.name, str(layer.depth), str(layer.units)) for layer in self.layers]
        missing = [f"Not traced, though layers are inside: {name}" for name in self.graph.opaque]
        return "\n".join([*table([("layer", "depth", "units"), *rows]), *missing])


def read(model: Any, params: Any, x: Any) -> Traced:
    """Find the layers of a model; nothing is computed.

    Args:
        model: Function (params, x) -> outputs for a whole batch, such as `module.apply` of Flax
            linen or of Haiku's `transform`. A module of Flax nnx, of Equinox, or any other pytree
            that can be called with one example will do, and a linen module together with its
            variables.
        params: Any pytree with floating-point arrays, such as a list of (w, b); None if `model`
            holds them.
        x: A batch, examples along the first axis; a pytree of such arrays will do.
    """
    model = read_model(model, params, x)
    try:
        return _traced(model)
    except Exception:  # operations in a form that is not known here
        return _untraced(model)


def _untraced(model: Model) -> Traced:
    """A model that cannot be looked into."""
    return Traced(model, None, LayerGraph([], [], [], ["the whole model"]))


def _traced(model: Model, wide: bool = False) -> Traced:
    arrays = model.parameters, model.inputs
    parameters, inputs = jax.tree.map(widen, arrays) if wide else arrays
    program = jaxpr.flatten(jax.make_jaxpr(model.function)(parameters, inputs), itertools.count())
    origins = [Origin(leaves=frozenset([i])) for i in range(len(parameters))]
    origins += [Origin(data=True)] * len(inputs)
    return Traced(model, program, analyse(program, origins)[0], wide)
