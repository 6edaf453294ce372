"""A model as a flat list of JAX operations, as `jax.make_jaxpr` writes it, and running it again.

Calls (`jax.jit`, `jax.checkpoint`, ...) are unfolded; derivative rules of the user's or JAX's own
(`jax.custom_jvp`, as ReLU has) stay whole. `jax.lax.scan` keeps its body as a program of its own.
Variables are whole numbers.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
from jaxtyping import Array

INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
CALLS = {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"}


class Known(NamedTuple):
    """An operand that is no variable: a number of the model's code."""

    value: Any


Operand = int | Known
Values = dict[int, Any]


class Step(NamedTuple):
    """One operation.

    Attributes:
        primitive: What is done.
        params: The primitive's parameters.
        inputs: Operands.
        outputs: Variables that it makes.
        body: Program of one iteration, for a scan.
    """

    primitive: Any
    params: dict[str, Any]
    inputs: tuple[Operand, ...]
    outputs: tuple[int, ...]
    body: "Program | None" = None


class Program(NamedTuple):
    """Operations in the order in which they run, and the shape and dtype of every variable."""

    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[Operand, ...]
    shapes: dict[int, jax.ShapeDtypeStruct]


def trace(function: Callable, *args: Any) -> Program:
    """Write a function of arrays down as a program."""
    return flatten(jax.make_jaxpr(function)(*args), itertools.count())


def flatten(closed: Any, fresh: itertools.count) -> Program:
    """Unfold the calls of a closed jaxpr and leave out what nothing depends on."""
    names: dict[Any, Operand] = {}
    steps: list[Step] = []
    shapes: dict[int, jax.ShapeDtypeStruct] = {}

    def make(atoms: Sequence[Any]) -> tuple[int, ...]:
        new = tuple(next(fresh) for _ in atoms)
        made = [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in atoms]
        shapes.update(zip(new, made, strict=True))
        return new

    def read(atom: Any) -> Operand:
        literal = isinstance(atom, jax.extend.core.Literal)
        return Known(atom.val) if literal else names[atom]

    def unfold(jaxpr: Any, constants: Sequence[Any], inputs: Sequence[Operand]) -> list[Operand]:
        names.update(zip(jaxpr.constvars, map(Known, constants), strict=True))
        names.update(zip(jaxpr.invars, inputs, strict=True))
        for eqn in jaxpr.eqns:
            operands = [read(atom) for atom in eqn.invars]
            inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
            if eqn.primitive.name in CALLS and inner is not None:
                body, constants = getattr(inner, "jaxpr", inner), getattr(inner, "consts", ())
                outputs = unfold(body, constants, operands)
            else:
                outputs = make(eqn.outvars)
                body = flatten(inner, fresh) if eqn.primitive.name == "scan" else None
                steps.append(Step(eqn.primitive, eqn.params, tuple(operands), outputs, body))
            names.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    inputs = make(closed.jaxpr.invars)
    outputs = unfold(closed.jaxpr, closed.consts, inputs)
    used, kept = {v for v in outputs if isinstance(v, int)}, []
    for step in reversed(steps):
        if used.intersection(step.outputs):
            used.update(v for v in step.inputs if isinstance(v, int))
            kept.append(step)
    return Program(tuple(reversed(kept)), inputs, tuple(outputs), shapes)


def variables(program: Program) -> set[int]:
    """All variables of a program and of the bodies inside it."""
    inner = [variables(step.body) for step in program.steps if step.body]
    return set(program.inputs).union(*inner, *(step.outputs for step in program.steps))


def run(
    program: Program,
    args: Sequence[Any],
    probes: Mapping[int, Array],
    wanted: Callable[[Program, Values], dict],
    wide: bool = False,
) -> tuple[list[Any], dict]:
    """Run a program with probes added to variables.

    Args:
        program: What to run.
        args: Its inputs.
        probes: Arrays added to variables; with one more axis in front inside a scan.
        wanted: Function (program, values of its variables) -> what to return of them. What comes
            from inside a scan has one more axis in front.
        wide: Compute in float64 even where the program asks for a narrower format.

    Returns:
        The outputs, and what is wanted.
    """
    values: Values = {}
    records: dict = {}

    def read(operand: Operand) -> Any:
        value = operand.value if isinstance(operand, Known) else values[operand]
        return widen(value) if wide else value

    def put(variable: int, value: Any) -> None:
        values[variable] = value + probes[variable] if variable in probes else value

    for variable, value in zip(program.inputs, args, strict=True):
        put(variable, value)
    for step in program.steps:
        inputs = [read(operand) for operand in step.inputs]
        if step.body is None:
            outputs = apply(step, inputs, wide)
        else:
            outputs, inner = _scan(step, inputs, probes, wanted, wide)
            records.update(inner)
        for variable, value in zip(step.outputs, outputs, strict=True):
            put(variable, value)
    records.update(wanted(program, values))
    return [read(operand) for operand in program.outputs], records


def apply(step: Step, inputs: Sequence[Any], wide: bool = False) -> list[Any]:
    """Carry out one operation."""
    inner = next((step.params[name] for name in INNER if name in step.params), None)
    if wide and inner is not None:
        expected = [v.aval.dtype for v in getattr(inner, "jaxpr", inner).invars]
        if any(v.dtype != dtype for v, dtype in zip(inputs, expected, strict=True)):
            return _widened(step, inner, inputs)
    params = dict(step.params)
    if wide:
        for name in ("new_dtype", "preferred_element_type"):
            if params.get(name) is not None and jnp.issubdtype(params[name], jnp.floating):
                params[name] = jnp.dtype("float64")
    bound = step.primitive.get_bind_params(params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)  # JAX before 0.9
    outputs = step.primitive.bind(*functions, *inputs, **params)
    return list(outputs) if step.primitive.multiple_results else [outputs]


def _widened(step: Step, inner: Any, inputs: Sequence[Any]) -> list[Any]:
    """A function with a derivative rule of its own, traced in a narrower format, in float64."""
    if step.params.get("name") == "relu":  # whose slope at 0 is 0 by its rule alone
        return [jax.nn.relu(*inputs)]
    closed = inner if hasattr(inner, "consts") else jax.extend.core.ClosedJaxpr(inner, ())
    return run(flatten(closed, itertools.count()), inputs, {}, lambda *_: {}, wide=True)[0]


def widen(value: Any) -> Any:
    """A floating-point value in float64; any other as it is."""
    dtype = getattr(value, "dtype", None)
    narrow = dtype is not None and jnp.issubdtype(dtype, jnp.floating) and dtype != jnp.float64
    return value.astype(jnp.float64) if narrow else value


def _scan(
    step: Step,
    inputs: Sequence[Any],
    probes: Mapping[int, Array],
    wanted: Callable[[Program, Values], dict],
    wide: bool,
) -> tuple[list[Any], dict]:
    constants, carry, rows = split_scan(step, inputs)
    own = {v: probe for v, probe in probes.items() if v in variables(step.body)}

    def iteration(carry: list, row: tuple) -> tuple[list, tuple]:
        row, probes = row
        outputs, records = run(step.body, [*constants, *carry, *row], probes, wanted, wide)
        new = [widen(value) if wide else value for value in outputs[: len(carry)]]
        return new, (outputs[len(carry) :], records)

    carry, (stacked, records) = jax.lax.scan(
        iteration, list(carry), (list(rows), own), length=step.params["length"],
        reverse=step.params["reverse"],
    )  # fmt: skip
    return [*carry, *stacked], records


def split_scan(step: Step, operands: Sequence[Any]) -> tuple[list, list, list]:
    """The operands of a scan: constants, what is carried, and what is read row by row."""
    first, count = step.params["num_consts"], step.params["num_carry"]
    operands = list(operands)
    return operands[:first], operands[first : first + count], operands[first + count :]
