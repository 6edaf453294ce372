"""What a program's layers are, found without running it.

A **layer** is a product (`dot_general`, `conv_general_dilated`) of data with parameters or a `tap`.
An **activation** is a chain of elementwise operations on one variable. A **cut** is a variable that
everything after it depends on through it alone, such as the stream of a residual network between
two blocks: its gradient is all that reaches the layers before it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from vgkit.trace.jaxpr import (
    PRODUCTS,
    Equation,
    Program,
    primitives_inside,
    product_units,
)

TAP = "vgkit:"
BACKWARD = "the backward pass of a derivative in the model"
CALLS = {"jit", "pjit", "broadcast_in_dim"}
LINEAR = {"add", "add_any", "sub", "neg", "convert_element_type", "copy", "name"}
ELEMENTWISE = LINEAR | set(
    "mul div max min tanh logistic exp exp2 log log1p expm1 erf erfc sqrt rsqrt cbrt pow "
    "integer_pow square select_n sign abs gt lt ge le eq ne and or not is_finite clamp sin cos tan "
    "atan sinh cosh asinh floor round stop_gradient custom_jvp_call custom_vjp_call".split()
)
MOVES = {"transpose", "reshape", "squeeze", "convert_element_type", "copy"}


def tap(z: Float[Array, "examples ..."], name: str) -> Float[Array, "examples ..."]:
    """Mark a value as a layer for `diagnose` and `grads.signals`; otherwise the identity.

    For a layer that is no product of data and parameters, and so is not found by itself.

    Args:
        z: Any floating-point array of the model, examples along its first axis.
        name: Name of the layer in the report.
    """
    return checkpoint_name(z, TAP + name)


class Origin(NamedTuple):
    """Where a value comes from."""

    leaves: frozenset[int] = frozenset()  # parameters it depends on, for what depends on no data
    data: bool = False  # whether it depends on the data
    depth: int = 0  # most layers on a way from the data to it
    root: int | None = None  # variable that it is an elementwise function of
    units: tuple[int, ...] | None = None  # axes of its units, where known
    product: int | None = None  # product that it is, apart from the order of its elements

    def shifted(self, by: int) -> "Origin":
        """That of one row of the value (-1), or of an array whose rows are such values (1)."""
        axes = [axis + by for axis in self.units or ()]
        return self._replace(units=tuple(axes) if axes and min(axes) >= 0 else None)


class Loop(NamedTuple):
    """The scan that something is inside of."""

    offsets: tuple[int, ...]  # how much deeper each iteration is than the first, as stacked
    rows: frozenset[int]  # parameters of which every iteration may read a row of its own


class LayerOp(NamedTuple):
    """An operation that is a layer, or, inside a scan, a layer for each iteration."""

    z: int  # variable of the product
    h: int  # variable of the data that goes in
    leaves: frozenset[int]  # parameters that the data is multiplied with; none for a tap
    depth: int  # the largest that leaves the layers after it theirs; counts from 1
    units: tuple[int, ...]  # axes of z that are its units
    name: str = ""  # that of a tap
    bias: int | None = None  # parameter added to z
    alone: bool = False  # whether all that comes after it depends on z alone
    loop: Loop | None = None


class Cut(NamedTuple):
    """Variables that all later ones depend on through them alone."""

    variables: tuple[int, ...]
    depth: int
    loop: Loop | None = None


class Activation(NamedTuple):
    """A nonlinear elementwise function: `chain` leads from `root` to `finals`.

    Those of one `kind` carry out the same operations, with parameters of their own.
    """

    root: int
    finals: tuple[int, ...]
    chain: tuple[Equation, ...]
    kind: str
    units: tuple[int, ...]
    depth: int
    loop: Loop | None = None


class LayerGraph(NamedTuple):
    """Layers, cuts and activations; `opaque` names operations with layers that are not found."""

    layers: list[LayerOp]
    cuts: list[Cut]
    activations: list[Activation]
    opaque: list[str]


def depths(part: LayerOp | Cut | Activation) -> list[int]:
    """Depth in every iteration, in the order in which the iterations' arrays are stacked."""
    return [part.depth + offset for offset in (part.loop.offsets if part.loop else (0,))]


def analyse(
    program: Program, inputs: Sequence[Origin], inside: bool = False
) -> tuple[LayerGraph, list[Origin]]:
    """What a program holds whose inputs come from the given origins, and where its outputs do."""
    graph = LayerGraph([], [], [], [])
    origins = dict.fromkeys(program.constants, Origin())
    origins |= {v: s._replace(root=v) for v, s in zip(program.inputs, inputs, strict=True)}
    chains: dict[int, list[Equation]] = {}
    cuts: dict[int, int] = {}
    last_use = {v: i for i, equation in enumerate(program.equations) for v in equation.inputs}
    last_use |= dict.fromkeys(program.outputs, len(program.equations))
    live = {v for v in program.inputs if origins[v].data and v in last_use}
    for place, equation in enumerate(program.equations):
        given = [origins[v] for v in equation.inputs]
        live = {v for v in live if last_use[v] > place}
        root = None
        if equation.scan is None:
            made = [_output(program, equation, given, graph)] * len(equation.outputs)
            root = _root(program, equation, given)
            if root is not None:
                chains.setdefault(root, []).append(equation)
        elif inside:
            graph.opaque.append("scan inside a scan")
            made = [union(given)] * len(equation.outputs)
        else:
            inner, made = _analyse_scan(equation, given)
            if live:
                inner.cuts.clear()
            for mine, its in zip(graph, inner, strict=True):
                mine.extend(its)
        for v, origin in zip(equation.outputs, made, strict=True):
            origins[v] = origin._replace(root=v if root is None else root)
            if origin.data and v in last_use and program.floating(v):
                live.add(v)
        if len(live) == 1 and not equation.backward:
            (only,) = live
            cuts[origins[only].depth] = only
            if graph.layers and graph.layers[-1].z == only:
                graph.layers[-1] = graph.layers[-1]._replace(alone=True)
    graph.cuts.extend(Cut((v,), depth) for depth, v in cuts.items())
    _move_to_latest_depth(program, origins, graph)
    graph.activations.extend(_activations(program, origins, chains))
    return graph, [origins[v] for v in program.outputs]


def _move_to_latest_depth(program: Program, origins: dict[int, Origin], graph: LayerGraph) -> None:
    """Move layers to the depth where what they make is used.

    A recurrent net that reads its input at every step has, unrolled, products of inputs at depth 1
    that join the state much later: what reaches them says nothing of the way to depth 1.
    """
    places = {layer.z: i for i, layer in enumerate(graph.layers) if layer.loop is None}
    last = max((origin.depth for origin in origins.values() if origin.data), default=0)
    latest = dict.fromkeys(program.outputs, last)
    for equation in reversed(program.equations):
        depth = min((latest.get(v, last) for v in equation.outputs), default=last)
        if equation.scan is not None:
            given = {*equation.inputs} - program.constants.keys()
            depth = min((origins[v].depth for v in given), default=last)
            carry = equation.scan.split([origins[v] for v in equation.inputs])[1]
            depth = max([origin.depth for origin in carry if origin.data], default=depth)
        elif equation.outputs[0] in places:
            i = places[equation.outputs[0]]
            graph.layers[i] = graph.layers[i]._replace(depth=depth)
            depth -= 1
        for v in equation.inputs:
            latest[v] = min(latest.get(v, last), depth)


def _output(
    program: Program, equation: Equation, inputs: Sequence[Origin], graph: LayerGraph
) -> Origin:
    """Where an operation's output comes from; a layer goes into the graph."""
    origin = union(inputs)
    if not origin.data:
        return origin
    origin = origin._replace(units=preserved_units(program, equation, inputs))
    (z, *_), (h, *_) = equation.outputs, equation.inputs
    if equation.backward:
        if equation.name in PRODUCTS and any(given.leaves for given in inputs):
            graph.opaque.append(BACKWARD)
        return origin
    if equation.name in PRODUCTS and inputs[0].data != inputs[1].data:
        data = int(inputs[1].data)
        if leaves := inputs[1 - data].leaves:
            units = product_units(program, equation, data)
            made = origin._replace(depth=origin.depth + 1, units=units, product=z)
            graph.layers.append(LayerOp(z, equation.inputs[data], leaves, made.depth, units))
            return made
    if equation.name == "name" and equation.params["name"].startswith(TAP):
        name = equation.params["name"].removeprefix(TAP)
        for i, layer in enumerate(graph.layers):
            if layer.z == inputs[0].root:  # the product itself is marked: its layer gets the name
                graph.layers[i] = layer._replace(name=name)
                return origin
        units = origin.units or (len(program.shapes[z].shape) - 1,)
        made = origin._replace(depth=origin.depth + 1, units=units)
        graph.layers.append(LayerOp(z, h, frozenset(), made.depth, units, name))
        return made
    if equation.name in MOVES:
        return origin._replace(product=inputs[0].product)
    if equation.name == "add":
        _note_bias(inputs, graph)
    elif any(given.leaves for given in inputs) and PRODUCTS & {*primitives_inside(equation)}:
        graph.opaque.append(equation.name)
    return origin


def _note_bias(inputs: Sequence[Origin], graph: LayerGraph) -> None:
    """Note which parameter is added to a layer's product."""
    products = [given.product for given in inputs if given.product is not None]
    leaves = frozenset().union(*(given.leaves for given in inputs if not given.data))
    for i, layer in enumerate(graph.layers):
        if [layer.z] == products and len(leaves) == 1:
            graph.layers[i] = layer._replace(bias=min(leaves))


def _root(program: Program, equation: Equation, inputs: Sequence[Origin]) -> int | None:
    """The one variable that an operation's output is an elementwise function of, if there is."""
    roots = {origin.root for origin in inputs if origin.data}
    alone = len(roots) == 1 and len(equation.outputs) == 1 and not equation.backward
    if not alone or not elementwise(equation):
        return None
    (root,) = roots
    same = program.shapes[root].shape == program.shapes[equation.outputs[0]].shape
    return root if same else None


def _activations(
    program: Program, origins: dict[int, Origin], chains: dict[int, list[Equation]]
) -> list[Activation]:
    """Chains that are not linear and whose result does more than open and close a gate."""
    users: dict[int, list[Equation | None]] = {}
    for equation in program.equations:
        for v in equation.inputs:
            users.setdefault(v, []).append(equation)
    for v in program.outputs:
        users.setdefault(v, []).append(None)
    activations = []
    for root, chain in chains.items():
        made = {equation.outputs[0] for equation in chain}
        finals = []
        for v in (equation.outputs[0] for equation in chain):
            outside = [user for user in users.get(v, []) if not user or user.outputs[0] not in made]
            gate = all(user and user.name == "mul" for user in outside)
            if outside and not gate and program.floating(v):
                finals.append(v)
        origin, bent = origins[root], any(bends(equation, origins) for equation in chain)
        if finals and bent and origin.units is not None and program.floating(root):
            kind = " ".join(label(program, equation) for equation in chain)
            parts = tuple(finals), tuple(chain), kind, origin.units, origin.depth
            activations.append(Activation(root, *parts))
    return activations


def _analyse_scan(equation: Equation, inputs: Sequence[Origin]) -> tuple[LayerGraph, list[Origin]]:
    """What a scan's body holds, and where the scan's outputs come from."""
    scan = equation.scan
    constants, carry, rows = scan.split(inputs)
    rows = [origin.shifted(-1) for origin in rows]
    depth = max((origin.depth for origin in carry if origin.data), default=0)
    while True:  # until what is carried depends on all that it comes to depend on
        inner, outputs = analyse(scan.body, [*constants, *carry, *rows], inside=True)
        pairs = zip(carry, outputs[: len(carry)], strict=True)
        new = [a if a.data or not b.data else Origin(data=True) for a, b in pairs]
        new = [a._replace(depth=depth) if a.data else a for a in new]
        if new == carry:
            break
        carry = new
    state = [i for i, origin in enumerate(carry) if origin.data]
    deepest = max([outputs[i].depth for i in state], default=depth)
    stride = deepest - depth
    leaves = frozenset().union(*(row.leaves for row in rows if len(row.leaves) == 1))
    offsets = [stride * t for t in range(scan.length)]
    loop = Loop(tuple(reversed(offsets) if scan.reverse else offsets), leaves)
    variables = [scan.body.inputs[len(constants) + i] for i in state]
    variables = tuple(v for v in variables if scan.body.floating(v))
    if variables and stride and not any(cut.depth > depth for cut in inner.cuts):
        inner.cuts.append(Cut(variables, depth))
    looped = [[part._replace(loop=loop) for part in parts] for parts in inner[:3]]
    further = stride * (scan.length - 1)
    outputs = [s._replace(depth=s.depth + further) if s.data else s for s in outputs]
    stacked = [origin.shifted(1) for origin in outputs[len(carry) :]]
    return LayerGraph(*looped, inner.opaque), [*outputs[: len(carry)], *stacked]


def union(inputs: Sequence[Origin]) -> Origin:
    """Where an operation's output comes from, if nothing more is known of the operation."""
    if any(origin.data for origin in inputs):
        return Origin(data=True, depth=max(origin.depth for origin in inputs))
    return Origin(frozenset().union(*(origin.leaves for origin in inputs)))


def preserved_units(
    program: Program, equation: Equation, inputs: Sequence[Origin]
) -> tuple[int, ...] | None:
    """Axes of the units after an operation that leaves or permutes the axes."""
    shape = program.shapes[equation.outputs[0]].shape
    if equation.name in PRODUCTS:
        return None
    for v, origin in zip(equation.inputs, inputs, strict=True):
        if origin.units is None:
            continue
        if equation.name == "transpose":
            return tuple(map(equation.params["permutation"].index, origin.units))
        before = program.shapes[v].shape
        if len(before) == len(shape) and all(before[k] == shape[k] for k in origin.units):
            return origin.units
    return None


def elementwise(equation: Equation) -> bool:
    """Whether every element of the output depends on the inputs' elements at its place alone."""
    inside = set(primitives_inside(equation))
    return equation.name in ELEMENTWISE and inside <= ELEMENTWISE | CALLS


def bends(equation: Equation, origins: Mapping[int, Origin]) -> bool:
    """Whether an elementwise operation is not linear in the data."""
    if equation.name in {"mul", "div"}:
        return sum(origins[v].data for v in equation.inputs) > 1
    return equation.name not in LINEAR


def label(program: Program, equation: Equation) -> str:
    """Name of an operation together with the operations and numbers in it."""
    constants = [program.constants[v] for v in equation.inputs if v in program.constants]
    numbers = [str(value) for value in constants if np.ndim(value) == 0]
    return f"{equation.name}({','.join([*primitives_inside(equation), *numbers])})"
