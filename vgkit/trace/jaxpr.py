"""All that is read of JAX's internals, so that a new release of JAX needs changes here alone.

Known to work: JAX 0.6 to 0.12. They differ in where `enable_x64` is (public since 0.8), in what
`get_bind_params` returns (parameters alone since 0.9), in whether a closed jaxpr is a class of its
own (until 0.11), and in how a scan counts its operands (`ft_in` since 0.12).

A jaxpr becomes a `Program`: a flat list of equations on numbered variables. Calls (`jax.jit`,
`jax.checkpoint`, ...) are unfolded; functions with a derivative rule of their own
(`jax.custom_jvp`, as ReLU has) stay one equation; a `jax.lax.scan` has its body as a program.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp

CALLS = {"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"}
PRODUCTS = {"dot_general", "conv_general_dilated"}


class Equation(NamedTuple):
    """One operation: what is done, with which parameters, from what, to which variables."""

    primitive: Any
    params: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    scan: "Scan | None" = None
    backward: bool = False  # whether it belongs to a derivative that the model takes

    @property
    def name(self) -> str:
        """Name of the primitive."""
        return self.primitive.name


class Program(NamedTuple):
    """Equations in the order in which they run, and the shape and dtype of every variable.

    `constants` are the values of those variables that the model's code gives a number.
    """

    equations: tuple[Equation, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: dict[int, jax.ShapeDtypeStruct]
    constants: dict[int, Any]

    def floating(self, variable: int) -> bool:
        """Whether a variable holds floating-point numbers."""
        return jnp.issubdtype(self.shapes[variable].dtype, jnp.floating)


class Scan(NamedTuple):
    """What a `jax.lax.scan` repeats.

    The first `consts` operands are the same in all iterations, the next `carry` go from one
    iteration to the next, and of the others each iteration reads a row of its own.
    """

    body: Program
    consts: int
    carry: int
    length: int
    reverse: bool

    def split(self, operands: Sequence[Any]) -> tuple[list, list, list]:
        """Operands that are the same, carried, and read row by row."""
        first, last = self.consts, self.consts + self.carry
        return list(operands[:first]), list(operands[first:last]), list(operands[last:])


def flatten(closed: Any, fresh: Iterator[int], backward: bool = False) -> Program:
    """Unfold the calls of a jaxpr and leave out what its outputs do not depend on."""
    names: dict[Any, int] = {}
    equations: list[Equation] = []
    shapes: dict[int, jax.ShapeDtypeStruct] = {}
    constants: dict[int, Any] = {}

    def make(atoms: Sequence[Any]) -> tuple[int, ...]:
        new = tuple(next(fresh) for _ in atoms)
        made = [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in atoms]
        shapes.update(zip(new, made, strict=True))
        return new

    def read(atom: Any) -> int:
        if not isinstance(atom, jax.extend.core.Literal):
            return names[atom]
        (new,) = make([atom])
        constants[new] = atom.val
        return new

    def unfold(closed: Any, inputs: Sequence[int], backward: bool) -> list[int]:
        jaxpr = _open(closed)
        given = make(jaxpr.constvars)
        constants.update(zip(given, getattr(closed, "consts", ()), strict=True))
        names.update(zip([*jaxpr.constvars, *jaxpr.invars], [*given, *inputs], strict=True))
        for eqn in jaxpr.eqns:
            operands = [read(atom) for atom in eqn.invars]
            inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
            back = backward or "transpose(" in str(eqn.source_info.name_stack)
            if eqn.primitive.name in CALLS and inner is not None:
                outputs = unfold(inner, operands, back)
            else:
                outputs = make(eqn.outvars)
                scan = _scan(eqn.params, fresh, back) if eqn.primitive.name == "scan" else None
                constants.update(scan.body.constants if scan else {})
                parts = eqn.primitive, eqn.params, tuple(operands), outputs, scan, back
                equations.append(Equation(*parts))
            names.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    inputs = make(_open(closed).invars)
    outputs = unfold(closed, inputs, backward)
    used, needed = set(outputs), []
    for equation in reversed(equations):
        if used.intersection(equation.outputs):
            used.update(equation.inputs)
            needed.append(equation)
    return Program(tuple(reversed(needed)), inputs, tuple(outputs), shapes, constants)


def _open(jaxpr: Any) -> Any:
    return getattr(jaxpr, "jaxpr", jaxpr)


def _scan(params: dict[str, Any], fresh: Iterator[int], backward: bool) -> Scan:
    if "ft_in" in params:
        consts, carry, _ = (len(list(part)) for part in params["ft_in"].unpack())
    else:
        consts, carry = params["num_consts"], params["num_carry"]
    body = flatten(params["jaxpr"], fresh, backward)
    return Scan(body, consts, carry, params["length"], params["reverse"])


def bind(equation: Equation, inputs: Sequence[Any], **changes: Any) -> list[Any]:
    """Carry out an equation that is no scan, with some of its parameters changed."""
    bound = equation.primitive.get_bind_params(equation.params | changes)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)
    outputs = equation.primitive.bind(*functions, *inputs, **params)
    return list(outputs) if equation.primitive.multiple_results else [outputs]


def custom_rule(equation: Equation) -> tuple[str, Program] | None:
    """Name and program of a function that has a derivative rule of its own; else None."""
    inner = equation.params.get("call_jaxpr", equation.params.get("fun_jaxpr"))
    if inner is None:
        return None
    names = [eqn.params.get("name", "") for eqn in _open(inner).eqns]
    return "".join(map(str, names)), flatten(inner, itertools.count())


def wider(equation: Equation) -> dict[str, Any]:
    """Parameters that make an equation's result float64, where it asks for a narrower format."""
    formats = {k: equation.params.get(k) for k in ("new_dtype", "preferred_element_type")}
    narrow = [k for k, v in formats.items() if v is not None and jnp.issubdtype(v, jnp.floating)]
    return dict.fromkeys(narrow, jnp.dtype("float64"))


def primitives_inside(equation: Any) -> Iterator[str]:
    """Names of the operations in the functions that an equation holds."""
    for value in equation.params.values():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            for eqn in getattr(_open(part), "eqns", ()):
                yield eqn.primitive.name
                yield from primitives_inside(eqn)


def product_units(program: Program, equation: Equation, data: int) -> tuple[int, ...]:
    """Axes of a product's output that its weights bring in; operand number `data` is the data."""
    numbers = equation.params["dimension_numbers"]
    if equation.name == "conv_general_dilated":
        return (numbers.out_spec[1],)
    (contracted, _), (batch, _) = numbers
    first, output = (program.shapes[v].shape for v in (equation.inputs[0], equation.outputs[0]))
    left = len(first) - len(contracted)
    free = range(len(batch), left) if data == 1 else range(left, len(output))
    return (*range(len(batch)), *free)


def enable_x64(wide: bool) -> AbstractContextManager:
    """Allow float64 or not inside this context, in this thread, and as before after it."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(wide)
    from jax.experimental import enable_x64  # JAX before 0.8

    return enable_x64(wide)
