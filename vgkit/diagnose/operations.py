"""What single operations do to data, to parameters and to the axes of a layer's units."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vgkit.diagnose.program import Known, Program, Step

PRODUCTS = {"dot_general", "conv_general_dilated"}
LINEAR = {"add", "add_any", "sub", "neg", "convert_element_type", "copy", "name"}
ELEMENTWISE = LINEAR | set(
    "mul div max min tanh logistic exp exp2 log log1p expm1 erf erfc sqrt rsqrt cbrt pow "
    "integer_pow square select_n sign abs gt lt ge le eq ne and or not is_finite clamp sin cos tan "
    "atan sinh cosh asinh floor round stop_gradient custom_jvp_call custom_vjp_call".split()
)


class Source(NamedTuple):
    """Where a value comes from.

    Attributes:
        leaves: Parameters it depends on, for what depends on no data.
        data: Whether it depends on the data.
        depth: Most layers on a way from the data to it.
        root: Variable that it is an elementwise function of.
        units: Axes of its units, where known; the others are examples and positions.
    """

    leaves: frozenset[int] = frozenset()
    data: bool = False
    depth: int = 0
    root: int | None = None
    units: tuple[int, ...] | None = None


def _ndim(program: Program, operand: Any) -> int:
    known = isinstance(operand, Known)
    return jnp.ndim(operand.value) if known else len(program.shapes[operand].shape)


def units(program: Program, step: Step, data: int) -> tuple[int, ...]:
    """Axes of a product's output that its weights bring in."""
    numbers = step.params["dimension_numbers"]
    if step.primitive.name == "conv_general_dilated":
        return (numbers.out_spec[1],)
    (contracted, _), (batch, _) = numbers
    left = _ndim(program, step.inputs[0]) - len(contracted)
    rank = len(program.shapes[step.outputs[0]].shape)
    free = range(len(batch), left) if data == 1 else range(left, rank)
    return (*range(len(batch)), *free)


def kept_units(program: Program, step: Step, inputs: Sequence[Source]) -> tuple[int, ...] | None:
    """Axes of the units after an operation that keeps or permutes the axes."""
    shape = program.shapes[step.outputs[0]].shape
    if step.primitive.name in PRODUCTS:
        return None
    for v, source in zip(step.inputs, inputs, strict=True):
        if source.units is None:
            continue
        if step.primitive.name == "transpose":
            order = list(step.params["permutation"])
            return tuple(order.index(axis) for axis in source.units)
        before = program.shapes[v].shape
        if len(before) == len(shape) and all(before[k] == shape[k] for k in source.units):
            return source.units
    return None


def _inner(params: dict) -> list[Any]:
    return [getattr(j, "jaxpr", j) for j in jax.extend.core.jaxprs_in_params(params)]


def holds_product(step: Any) -> bool:
    """Whether an operation that is kept whole has a product inside."""
    eqns = [eqn for jaxpr in _inner(step.params) for eqn in jaxpr.eqns]
    return any(eqn.primitive.name in PRODUCTS or holds_product(eqn) for eqn in eqns)


def elementwise(step: Any) -> bool:
    """Whether every element of the output depends on the inputs' elements at its place alone."""
    return step.primitive.name in ELEMENTWISE and _elementwise_inside(step)


def _elementwise_inside(step: Any) -> bool:
    eqns = [eqn for jaxpr in _inner(step.params) for eqn in jaxpr.eqns]
    calls = {"jit", "pjit", "broadcast_in_dim"}
    return all(
        eqn.primitive.name in calls | ELEMENTWISE and _elementwise_inside(eqn) for eqn in eqns
    )


def kind(step: Step) -> str:
    """Name of an operation together with the numbers in it."""
    numbers = [str(v.value) for v in step.inputs if isinstance(v, Known) and jnp.ndim(v.value) == 0]
    return f"{step.primitive.name}{step.params.get('name', '')}({','.join(numbers)})"


def bends(step: Step, known: dict[int, Source]) -> bool:
    """Whether an elementwise operation is not linear in the data."""
    data = [v for v in step.inputs if isinstance(v, int) and known[v].data]
    if step.primitive.name in {"mul", "div"}:
        return len(data) > 1
    return step.primitive.name not in LINEAR


def floating(program: Program, variable: int) -> bool:
    """Whether a variable is a floating-point one."""
    return jnp.issubdtype(program.shapes[variable].dtype, jnp.floating)
