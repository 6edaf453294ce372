"""Running a program with probes added to some of its variables, and the values of others."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from vgkit.trace.jaxpr import Constant, Equation, Program, bind, custom_rule, wider

Values = dict[int, Any]


def run(
    program: Program,
    args: Sequence[Any],
    probes: Mapping[int, Array],
    record: Collection[int] = (),
    wide: bool = False,
) -> tuple[list[Any], Values]:
    """Outputs of a program with `probes` added to variables, and the values of those in `record`.

    Both have one more axis in front for variables inside a scan. With `wide` everything is computed
    in float64, even where the program asks for a narrower format.
    """
    values: Values = {}
    recorded: Values = {}

    def read(operand: int | Constant) -> Any:
        value = operand.value if isinstance(operand, Constant) else values[operand]
        return widen(value) if wide else value

    def put(variables: Sequence[int], results: Sequence[Any]) -> None:
        for v, value in zip(variables, results, strict=True):
            values[v] = value + probes[v] if v in probes else value

    put(program.inputs, args)
    for equation in program.equations:
        inputs = [read(operand) for operand in equation.inputs]
        if equation.scan is None:
            outputs = apply(equation, inputs, wide)
        else:
            outputs, inner = _scan(equation, inputs, probes, record, wide)
            recorded |= inner
        put(equation.outputs, outputs)
    recorded |= {v: values[v] for v in record if v in values}
    return [read(operand) for operand in program.outputs], recorded


def apply(equation: Equation, inputs: Sequence[Any], wide: bool = False) -> list[Any]:
    """Carry out one equation that is no scan."""
    if not wide:
        return bind(equation, inputs)
    rule = custom_rule(equation)
    if rule is None:
        return bind(equation, inputs, **wider(equation))
    name, inner = rule
    expected = [inner.shapes[v].dtype for v in inner.inputs]
    if all(v.dtype == dtype for v, dtype in zip(inputs, expected, strict=True)):
        return bind(equation, inputs)
    if name == "relu":  # its derivative at 0 is 0 by its rule alone
        return [jax.nn.relu(*inputs)]
    return run(inner, inputs, {}, wide=True)[0]


def widen(value: Any) -> Any:
    """A floating-point value in float64; any other as it is."""
    dtype = getattr(value, "dtype", None)
    narrow = dtype is not None and jnp.issubdtype(dtype, jnp.floating) and dtype != jnp.float64
    return value.astype(jnp.float64) if narrow else value


def _scan(
    equation: Equation,
    inputs: Sequence[Any],
    probes: Mapping[int, Array],
    record: Collection[int],
    wide: bool,
) -> tuple[list[Any], Values]:
    scan = equation.scan
    constants, carry, rows = scan.split(inputs)
    inside = {v: probe for v, probe in probes.items() if v in scan.body.shapes}

    def iteration(carry: list, row: tuple) -> tuple[list, tuple]:
        row, probes = row
        args = [*constants, *carry, *row]
        outputs, recorded = run(scan.body, args, probes, record, wide)
        new = [widen(value) if wide else value for value in outputs[: len(carry)]]
        return new, (outputs[len(carry) :], recorded)

    carry, (stacked, recorded) = jax.lax.scan(
        iteration, carry, (rows, inside), length=scan.length, reverse=scan.reverse
    )
    return [*carry, *stacked], recorded
