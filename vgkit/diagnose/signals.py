"""Signals of every layer of any model: error signals, slopes, gradients, representations.

Zeros (probes) are added to the layers' products and to the cuts between layers. The gradient of the
summed loss with respect to them is dL_i/dz_i, each example by itself.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vgkit.diagnose import program as programs
from vgkit.diagnose.layers import Activation, Anatomy, anatomy
from vgkit.diagnose.operations import Source
from vgkit.diagnose.program import Program
from vgkit.diagnose.subject import Subject, x64_context

_HALF = (0.3, 0.7, 1.5, 3.0, 6.0, 20.0, 1e3, 1e4)  # the last two beyond any bias
GRID = (*(-z for z in reversed(_HALF)), 0.0, *_HALF)
"""Where an activation's slope is looked at to learn its largest value and its tails."""


class Model(NamedTuple):
    """A subject's program with its layers, in one number format."""

    subject: Subject
    program: Program
    anatomy: Anatomy
    wide: bool
    outputs: Any

    def shape(self, variable: int) -> Any:
        """Shape and dtype of a variable, also of one inside a scan."""
        bodies = [step.body for step in self.program.steps if step.body]
        return next(p.shapes[variable] for p in (self.program, *bodies) if variable in p.shapes)


class Measured(NamedTuple):
    """What one pass forward and back gives.

    Attributes:
        losses: Of each example, or one mean.
        outputs: Of the model.
        gradients: Of the summed loss, by the leaves.
        signals: Of the summed loss, by every probed variable.
        records: Data h of the layers and slopes of the activations.
    """

    losses: Any
    outputs: Any
    gradients: list[Any]
    signals: dict[int, Any]
    records: dict[str, Any]


def prepare(subject: Subject, wide: bool) -> Model:
    """Take a model apart; for `wide` this must run inside `x64_context(True)`."""

    def traced(convert: Callable) -> tuple[Program, Any]:
        leaves, inputs = (list(map(convert, part)) for part in (subject.leaves, subject.x))
        shape = jax.eval_shape(subject.model, leaves, inputs)
        return programs.trace(
            lambda leaves, inputs: jax.tree.leaves(subject.model(leaves, inputs)), leaves, inputs
        ), shape

    try:
        program, shape = traced(programs.widen if wide else lambda value: value)
    except TypeError:  # a model that insists on its own format is widened operation by operation
        with x64_context(subject.x64):
            program, shape = traced(lambda value: value)
    sources = [Source(leaves=frozenset([i])) for i in range(len(subject.leaves))]
    sources += [Source(data=True)] * len(subject.x)
    return Model(subject, program, anatomy(program, sources), wide, shape)


def probes(model: Model) -> dict[int, Any]:
    """Zeros for every layer's product and every cut."""
    parts, found = {}, model.anatomy
    for variables, loop in [
        *(((site.z,), site.loop) for site in found.sites),
        *((cut.variables, cut.loop) for cut in found.cuts),
    ]:
        for v in variables:
            shape = model.shape(v)
            length = () if loop is None else (loop.length,)
            dtype = jnp.float64 if model.wide else shape.dtype
            parts[v] = jnp.zeros((*length, *shape.shape), dtype)
    return parts


def forward(model: Model, leaves: Sequence[Any], inputs: Sequence[Any], parts: Any) -> tuple:
    """Outputs and records of the program, with probes added."""
    found, wide = model.anatomy, model.wide

    def wanted(program: Program, values: dict[int, Any]) -> dict[str, Any]:
        data = {f"h{i}": values[s.h] for i, s in enumerate(found.sites) if s.z in program.shapes}
        seen = set()
        for i, activation in enumerate(found.activations):
            if activation.root not in program.shapes:
                continue
            root = jax.lax.stop_gradient(values[activation.root])
            data[f"slope{i}"] = _slope(activation, values, root, wide)
            if activation.kind not in seen:
                seen.add(activation.kind)
                curve = [_slope(activation, values, jnp.full_like(root, z), wide) for z in GRID]
                data[f"curve{i}"] = jnp.stack([jnp.max(slope) for slope in curve])
        return data

    outputs, records = programs.run(model.program, [*leaves, *inputs], parts, wanted, model.wide)
    return jax.tree.unflatten(jax.tree.structure(model.outputs), outputs), records


def _slope(activation: Activation, values: dict[int, Any], at: Any, wide: bool) -> Any:
    """Size of an activation's slope where its variable is `at`."""

    def function(root: Any) -> list[Any]:
        inner = dict(values) | {activation.root: root}
        for step in activation.steps:
            operands = [v.value if isinstance(v, programs.Known) else inner[v] for v in step.inputs]
            operands = [programs.widen(v) for v in operands] if wide else operands
            (inner[step.outputs[0]],) = programs.apply(step, operands, wide)
        return [inner[v] for v in activation.finals]

    _, slopes = jax.jvp(function, (at,), (jnp.ones_like(at),))
    return jnp.max(jnp.stack([jnp.abs(slope) for slope in slopes]), axis=0)


def measurer(model: Model) -> Callable:
    """A function (leaves, inputs, y, scale) -> `Measured` of `scale` times the loss."""
    parts = probes(model)
    examples = model.subject.examples

    def total(leaves: Any, parts: Any, inputs: Any, y: Any, scale: Any) -> tuple:
        outputs, records = forward(model, leaves, inputs, parts)
        losses = model.subject.losses(outputs, y)
        whole = jnp.sum(losses) * (examples if losses.ndim == 0 else 1)
        return scale * whole, (losses, outputs, records)

    def measure(leaves: Any, inputs: Any, y: Any, scale: Any) -> Measured:
        (by_leaf, by_probe), (losses, outputs, records) = jax.grad(total, (0, 1), has_aux=True)(
            leaves, parts, inputs, y, scale
        )
        return Measured(losses, outputs, by_leaf, by_probe, records)

    return measure


def mean_loss(model: Model, inputs: Sequence[Any], y: Any) -> Callable:
    """The mean loss as a function of the leaves."""

    def function(leaves: Sequence[Any]) -> Any:
        outputs, _ = forward(model, leaves, inputs, {})
        return jnp.mean(model.subject.losses(outputs, y))

    return jax.jit(function)


def as_numpy(measured: Any) -> Any:
    """The same in NumPy; formats that NumPy does not have become float32."""

    def convert(array: Any) -> np.ndarray:
        array = np.asarray(array)
        return array if array.dtype.kind in "fiub" else array.astype(np.float32)

    return jax.tree.map(convert, measured)
