"""What single operations do to data, to parameters and to the axes of a layer's units."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vgkit.trace.jaxpr import PRODUCTS, Constant, Equation, Program, primitives_inside

CALLS = {"jit", "pjit", "broadcast_in_dim"}
LINEAR = {"add", "add_any", "sub", "neg", "convert_element_type", "copy", "name"}
ELEMENTWISE = LINEAR | set(
    "mul div max min tanh logistic exp exp2 log log1p expm1 erf erfc sqrt rsqrt cbrt pow "
    "integer_pow square select_n sign abs gt lt ge le eq ne and or not is_finite clamp sin cos tan "
    "atan sinh cosh asinh floor round stop_gradient custom_jvp_call custom_vjp_call".split()
)
MOVES = {"transpose", "reshape", "squeeze", "convert_element_type", "copy"}


class Origin(NamedTuple):
    """Where a value comes from.

    Attributes:
        leaves: Parameters it depends on, for what depends on no data.
        data: Whether it depends on the data.
        depth: Most layers on a way from the data to it.
        root: Variable that it is an elementwise function of.
        units: Axes of its units, where known; the others are examples and positions.
        product: Product that it is, apart from the order of its elements; for finding biases.
    """

    leaves: frozenset[int] = frozenset()
    data: bool = False
    depth: int = 0
    root: int | None = None
    units: tuple[int, ...] | None = None
    product: int | None = None

    def shifted(self, by: int) -> "Origin":
        """That of one row of the value (-1), or of an array whose rows are such values (1)."""
        axes = [axis + by for axis in self.units or ()]
        return self._replace(units=tuple(axes) if axes and min(axes) >= 0 else None)


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
            order = list(equation.params["permutation"])
            return tuple(order.index(axis) for axis in origin.units)
        before = program.shapes[v].shape
        if len(before) == len(shape) and all(before[k] == shape[k] for k in origin.units):
            return origin.units
    return None


def contains_product(equation: Equation) -> bool:
    """Whether an operation that is not unfolded has a product inside."""
    return not PRODUCTS.isdisjoint(primitives_inside(equation))


def elementwise(equation: Equation) -> bool:
    """Whether every element of the output depends on the inputs' elements at its place alone."""
    inside = set(primitives_inside(equation))
    return equation.name in ELEMENTWISE and inside <= ELEMENTWISE | CALLS


def bends(equation: Equation, origins: Mapping[int, Origin]) -> bool:
    """Whether an elementwise operation is not linear in the data."""
    if equation.name in {"mul", "div"}:
        return sum(origins[v].data for v in equation.variables) > 1
    return equation.name not in LINEAR


def label(equation: Equation) -> str:
    """Name of an operation together with the operations and numbers in it."""
    constants = [v.value for v in equation.inputs if isinstance(v, Constant)]
    numbers = [str(value) for value in constants if np.ndim(value) == 0]
    return f"{equation.name}({','.join([*primitives_inside(equation), *numbers])})"
