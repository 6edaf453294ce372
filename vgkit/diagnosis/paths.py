"""Which operation is the first that is not finite, and at which one a gradient ends."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vgkit.grads.measure import Problem
from vgkit.trace.jaxpr import Equation, Program, custom_rule, primitives_inside
from vgkit.trace.traced import Traced, _traced, run_program, widen

WORDS = {
    "select_n": "where", "max": "maximum", "min": "minimum", "dot_general": "matrix product",
    "conv_general_dilated": "convolution", "integer_pow": "power", "mul": "product",
    "div": "division", "reduce_sum": "sum", "convert_element_type": "change of number format",
}  # fmt: skip
GROWING = set(
    "mul square integer_pow pow exp exp2 dot_general conv_general_dilated add add_any sub cumsum "
    "cumprod reduce_sum convert_element_type".split()
)


class Place(NamedTuple):
    """An operation of a model or of its loss, and where it stands."""

    equation: Equation
    where: str

    def __str__(self) -> str:
        name, rule = self.equation.name, custom_rule(self.equation)
        name = rule[0] or name if rule else name
        return f"{WORDS.get(name, name)}, {self.where}"

    @property
    def stops(self) -> bool:
        """Whether it is a `stop_gradient`, or a loop with one."""
        return "stop_gradient" in {self.equation.name, *primitives_inside(self.equation)}


def whole(problem: Problem, wide: bool = False) -> Traced:
    """The mean loss as a model of x and y, operation by operation."""
    model, (targets, tree) = problem.traced.model, jax.tree.flatten(problem.y)
    count = len(model.inputs)

    def loss(parameters: Any, inputs: Any) -> Any:
        outputs = model.function(parameters, inputs[:count])
        return jnp.mean(problem.losses(outputs, tree.unflatten(inputs[count:])))

    return _traced(model._replace(function=loss, inputs=[*model.inputs, *targets]), wide)


def first_non_finite(traced: Traced, slopes: bool) -> Place | None:
    """The first operation with a result or, with `slopes`, a derivative that is not finite.

    Operations on numbers that are not finite by design, such as a mask of minus infinities, are
    passed over.
    """
    found = _first(traced.program, [*traced.model.parameters, *traced.model.inputs], slopes)
    return Place(found[-1], _where(traced, found[0])) if found else None


def end(traced: Traced, sources: Sequence[int]) -> Place | None:
    """The operation nearest to some parameters to whose result the gradient comes, but no further.

    If there is none, the loss does not depend on them.
    """
    program = traced.program
    active, makers, pulls = {program.inputs[i] for i in sources}, {}, []
    args = [*traced.model.parameters, *traced.model.inputs]
    for equation, inputs, function in _steps(program, map(widen, args) if traced.wide else args):
        if active.intersection(equation.inputs):
            active.update(equation.outputs)
            makers |= dict.fromkeys(equation.outputs, equation)
            pulls.append((equation, _pull(function, inputs)))
    last, reaches = None, dict.fromkeys(program.outputs, jnp.ones(()))
    for equation, (made, pull) in reversed(pulls):
        signals = [reaches.get(v) for v in equation.outputs if program.floating(v)]
        if not any(signal is not None and jnp.any(signal) for signal in signals):
            continue
        given = [jnp.zeros_like(v) if g is None else g for g, v in zip(signals, made, strict=True)]
        floats = [v for v in equation.inputs if program.floating(v)]
        back = [(v, g) for v, g in zip(floats, pull(given), strict=True) if v in active]
        if not any(jnp.any(g) for _, g in back):
            while not any(program.floating(v) and v in active for v in equation.inputs):
                equation = next(makers[v] for v in equation.inputs if v in makers)
            last = Place(equation, _where(traced, equation))
        for v, g in back:
            reaches[v] = reaches.get(v, 0.0) + g
    return last


def finite(tree: Any) -> bool:
    """Whether all floating-point numbers are finite."""
    return all(bool(jnp.all(jnp.isfinite(v))) for v in jax.tree.leaves(tree) if _floats(v))


def _floats(value: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(value), jnp.floating)


def _where(traced: Traced, equation: Equation) -> str:
    """After which layer an operation comes."""
    names, where = {la.op.z: la for la in traced.layers}, "before layer 1"
    for each in traced.program.equations:
        for la in (names[v] for v in each.outputs if v in names):
            where = f"after layer {la.depth} ({la.name})"
        if each is equation:
            break
    return where


def _steps(program: Program, args: Iterable[Any]) -> Iterator[tuple]:
    """Carry out a program: every operation, what goes in, and what it does as a function."""
    values = program.constants | dict(zip(program.inputs, args, strict=True))
    for equation in program.equations:
        inputs = [values[v] for v in equation.inputs]
        wide = any(getattr(v, "dtype", None) == jnp.float64 for v in inputs)
        one = Program((equation,), equation.inputs, equation.outputs, program.shapes, {})
        function = partial(_carry_out, one, wide)
        yield equation, inputs, function
        values |= zip(equation.outputs, function(*inputs), strict=True)


def _carry_out(program: Program, wide: bool, *args: Any) -> list[Any]:
    return run_program(program, args, {}, wide=wide)[0]


def _pull(function: Callable, inputs: Sequence[Any]) -> tuple[list, Callable]:
    """The floating-point results of a function, and the way back from them to its arguments."""
    places = [i for i, value in enumerate(inputs) if _floats(value)]

    def of_floats(*floats: Any) -> list[Any]:
        given = dict(zip(places, floats, strict=True))
        made = function(*(given.get(i, value) for i, value in enumerate(inputs)))
        return [value for value in made if _floats(value)]

    return jax.vjp(of_floats, *(inputs[i] for i in places))


def _breaks(function: Callable, inputs: Sequence[Any], slopes: bool) -> bool:
    """Whether finite numbers lead to others here, or to derivatives that are not finite."""
    if not finite(inputs):
        return False
    if not slopes:
        return not finite(function(*inputs))
    made, pull = _pull(function, inputs)
    return not (finite(made) and finite(pull(jax.tree.map(jnp.ones_like, made))))


def _first(program: Program, args: Sequence[Any], slopes: bool) -> tuple[Equation, ...]:
    """The first operation that breaks, and if it is a loop the one inside."""
    for equation, inputs, function in _steps(program, args):
        if not _breaks(function, inputs, slopes):
            continue
        if equation.scan is None:
            return (equation,)
        scan = equation.scan
        constants, carry, rows = scan.split(inputs)
        body = jax.jit(partial(_carry_out, scan.body, False))
        for t in range(scan.length)[:: -1 if scan.reverse else 1]:
            now = [*constants, *carry, *(row[t] for row in rows)]
            inner = _first(scan.body, now, slopes) if _breaks(body, now, slopes) else ()
            if inner:
                return equation, inner[-1]
            carry = body(*now)[: scan.carry]
        return (equation,)
    return ()
