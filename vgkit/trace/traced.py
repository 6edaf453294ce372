"""A model of any library, taken apart into its layers."""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vgkit.trace import interpreter, jaxpr
from vgkit.trace.layers import LayerGraph, LayerOp, Loop, Origin, depths, find_layers
from vgkit.trace.model import Model, read_model


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of a model; inside a scan every iteration has its own.

    Attributes:
        name: Path of its weights in the parameters' tree, or the name of a tap.
        depth: Its place in the order from the input, from 1 on; branches share one.
        units: How many it has.
        output: Whether nothing comes after it.
        weights: Number of its weights among the model's parameters; None for a tap.
        iteration: Which iteration of a scan it is; None outside of one.
        op: The operation.
    """

    name: str
    depth: int
    units: int
    output: bool
    weights: int | None
    iteration: int | None
    op: LayerOp

    def of(self, arrays: Mapping[int, Any], variable: str = "z") -> Any:
        """The layer's own part of arrays that are known by variable, of z or of h."""
        array = arrays[getattr(self.op, variable)]
        return array if self.iteration is None else array[self.iteration]

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
        program: Its operations.
        graph: Which of them are layers, activations, and cuts between layers.
        outputs: Shapes and dtypes of the outputs.
        wide: Whether everything is computed in float64.
    """

    model: Model
    program: jaxpr.Program
    graph: LayerGraph
    outputs: Any
    wide: bool

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
                layer = Layer(
                    name=name if uses[name] == 1 else f"{name}, use {uses[name]}",
                    depth=depth,
                    units=math.prod(shape[axis] for axis in op.units),
                    output=op.leaves in final if others else depth == last,
                    weights=max(leaves, key=sizes.__getitem__, default=None),
                    iteration=None if op.loop is None else t,
                    op=op,
                )
                layers.append(layer)
        return sorted(layers, key=lambda layer: layer.depth)

    def shape(self, variable: int) -> jax.ShapeDtypeStruct:
        """Shape and dtype of a variable, for one inside a scan those in one iteration."""
        bodies = [e.scan.body for e in self.program.equations if e.scan]
        return next(p.shapes[variable] for p in (self.program, *bodies) if variable in p.shapes)

    def probes(self) -> dict[int, Any]:
        """Zeros for the z of every layer and for every cut."""
        parts = [((op.z,), op.loop) for op in self.graph.layers]
        parts += [(cut.variables, cut.loop) for cut in self.graph.cuts]

        def zeros(variable: int, loop: Loop | None) -> Any:
            like, rows = self.shape(variable), () if loop is None else (len(loop.offsets),)
            return jnp.zeros((*rows, *like.shape), jnp.float64 if self.wide else like.dtype)

        return {v: zeros(v, loop) for variables, loop in parts for v in variables}

    def run(
        self,
        parameters: Sequence[Any],
        inputs: Sequence[Any],
        probes: Mapping[int, Any],
        record: Collection[int] = (),
    ) -> tuple[Any, dict[int, Any]]:
        """Outputs, and the values of the variables in `record`; see `interpreter.run`."""
        args = [*parameters, *inputs]
        outputs, recorded = interpreter.run(self.program, args, probes, record, self.wide)
        return jax.tree.structure(self.outputs).unflatten(outputs), recorded

    def widened(self) -> "Traced":
        """The same in float64; runs inside `jaxpr.enable_x64(True)` only."""
        with jaxpr.enable_x64(True):
            try:
                return _traced(self.model, interpreter.widen, wide=True)
            except TypeError:  # the model insists on its format: each operation is widened alone
                return dataclasses.replace(self, wide=True)

    def __repr__(self) -> str:
        """A line for each layer."""
        width = max([len("layer"), *(len(layer.name) for layer in self.layers)])
        lines = [f"{la.name:{width}}{la.depth:7}{la.units:7}" for la in self.layers]
        missing = [f"Not traced, though layers are inside: {name}" for name in self.graph.opaque]
        return "\n".join([f"{'layer':{width}}  depth  units", *lines, *missing])


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

    Raises:
        ValueError: If `model` can't be called so, `params` hold no floating-point array, or `x` is
            empty or not finite.
    """
    return _traced(read_model(model, params, x), lambda value: value, wide=False)


def _traced(model: Model, convert: Callable, wide: bool) -> Traced:
    parameters, inputs = (list(map(convert, part)) for part in (model.parameters, model.inputs))
    program, outputs = jaxpr.trace(model.function, parameters, inputs)
    origins = [Origin(leaves=frozenset([i])) for i in range(len(parameters))]
    origins += [Origin(data=True)] * len(inputs)
    return Traced(model, program, find_layers(program, origins), outputs, wide)
