"""The same measurement for a model of any library, whose layers `trace` finds."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vgkit import _check, trace
from vgkit.grads.kernel import Backward, backward, loss_function, number_format
from vgkit.grads.signals import PerLayer, Signals
from vgkit.trace.interpreter import widen
from vgkit.trace.layers import depths
from vgkit.trace.model import count_examples, floating


class Problem(NamedTuple):
    """A model and x, targets, and (outputs, y) -> losses of the examples or their mean."""

    traced: trace.Traced
    y: Any
    losses: Callable


def problem(model: Any, params: Any, x: Any, y: Any, loss: Any) -> Problem:
    """Check a model, a batch and a loss; see `trace.read` and `signals` for what is allowed."""
    traced, y = trace.read(model, params, x), jax.tree.map(jnp.asarray, y)
    targets = jax.tree.leaves(y)
    examples = count_examples("x and y", [*traced.model.inputs, *targets])
    _check.finite("y", filter(floating, targets))
    return Problem(traced, y, _batch_loss(loss, traced.outputs, y, examples))


def measure(
    traced: trace.Traced, losses: Callable, record: Collection[int] = (), loss_scale: Any = 1.0
) -> Callable[[Sequence[Array], Sequence[Array], Any], Backward]:
    """A function (parameters, inputs, y) -> `Backward`.

    Its `aux` are the outputs and the values of the variables in `record`, its `by_probes` the error
    signals of layers and the gradients with respect to cuts, by variable.
    """

    def measured(parameters: Sequence[Array], inputs: Sequence[Array], y: Any) -> Backward:
        def run(parameters: Sequence[Array], probes: Any) -> tuple[Array, Any]:
            outputs, recorded = traced.run(parameters, inputs, probes, record)
            return losses(outputs, y), (outputs, recorded)

        examples = traced.model.examples
        return backward(run, parameters, traced.probes(), examples=examples, loss_scale=loss_scale)

    return measured


def model_signals(
    model: Any, *batch: Any, loss: Any = "cross_entropy", dtype: Any = None, loss_scale: Any = 1.0
) -> Signals:
    """`signals` of a model that is no `nets.Net`; the last layer counts as the output layer.

    `hidden_gradients` are None where not everything that leaves a layer is in one array; the
    gradient of weights or of a bias that a layer does not have is NaN.
    """
    if len(batch) != 3:
        raise ValueError(
            f"signals(model, params, x, y) takes params, x and y; got {len(batch)} arguments"
        )
    traced, y, losses = problem(model, *batch, loss)
    parameters, inputs = traced.model.parameters, traced.model.inputs
    if not traced.layers:
        raise ValueError("model must hold a product of data and params, or a diagnosis.tap")
    if dtype is not None:
        if number_format(dtype) != jnp.float64:
            raise ValueError(f"dtype must be None or 'float64' for this model; got {dtype!r}")
        traced = traced.widened()
        parameters, inputs, y = jax.tree.map(widen, (parameters, inputs, y))
    back = jax.jit(measure(traced, losses, loss_scale=loss_scale))(parameters, inputs, y)
    layers, examples = traced.layers, traced.model.examples

    def gradient(layer: Any, number: int | None) -> Array:
        if number is None:
            return jnp.full((), jnp.nan, parameters[0].dtype)
        return layer.parameter(back.by_params, number)

    def split(arrays: Iterable[Array]) -> PerLayer:
        *hidden, output = arrays
        return PerLayer(tuple(hidden), output)

    return Signals(
        losses=jnp.broadcast_to(back.losses, (examples,)),
        error_signals=split(
            _examples_first(layer.of(back.by_probes), examples, layer.op.units) for layer in layers
        ),
        hidden_gradients=_hidden_gradients(traced, back.by_probes),
        weight_gradients=split(gradient(layer, layer.weights) for layer in layers),
        bias_gradients=split(gradient(layer, layer.op.bias) for layer in layers),
        gradient=traced.model.tree(back.by_params),
        depth=len(layers) - 1,
        names=tuple(layer.name for layer in layers),
    )


def _examples_first(array: Array, examples: int, units: Collection[int] = ()) -> Array:
    """Move the axis of the examples to the front."""
    axes = [i for i, size in enumerate(array.shape) if size == examples and i not in units]
    return jnp.moveaxis(array, axes[0], 0) if axes else array


def _hidden_gradients(traced: trace.Traced, by_probes: dict[int, Array]) -> PerLayer | None:
    """Gradient with respect to the one array through which each hidden layer acts."""
    arrays: dict[int, Array] = {}
    for cut in traced.graph.cuts:
        if len(cut.variables) == 1:
            array = by_probes[cut.variables[0]]
            arrays |= zip(depths(cut), [array] if cut.loop is None else array, strict=True)
    places = [layer.depth for layer in traced.layers[:-1]]
    if len(set(places)) < len(places) or not arrays.keys() >= set(places):
        return None
    return PerLayer(tuple(_examples_first(arrays[d], traced.model.examples) for d in places))


def _batch_loss(loss: Any, outputs: Any, y: Any, examples: int) -> Callable:
    """Losses of the examples from outputs and targets, for a loss of one example or of a batch."""
    if not callable(loss):
        return _known_loss(loss, outputs, y, examples)
    problems = []
    for form, shape in ((jax.vmap(loss), (examples,)), (loss, (examples,)), (loss, ())):
        try:
            value = jax.eval_shape(form, outputs, y)
        except Exception as error:  # whatever the user's function raises
            problems.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")
            continue
        if getattr(value, "shape", None) == shape and jnp.issubdtype(value.dtype, jnp.floating):
            return form
        problems.append(f"shape {getattr(value, 'shape', None)}")
    raise ValueError(
        "loss must be a function (output, target) -> scalar of one example, or of the whole batch; "
        f"got {'; '.join(dict.fromkeys(problems))}"
    )


def _known_loss(loss: str, outputs: Any, y: Any, examples: int) -> Callable:
    one = loss_function(loss)
    shape, target = getattr(outputs, "shape", None), getattr(y, "shape", None)
    if shape is None or target is None:
        raise ValueError(f"model and y must give one array for loss {loss!r}")
    if loss == "mean_squared_error":
        if np.prod(shape) != np.prod(target):
            raise ValueError(f"y must have the shape of the outputs, {shape}; got {target}")
        return lambda outputs, y: jax.vmap(one)(
            outputs.reshape(examples, -1), y.reshape(examples, -1)
        )
    if len(shape) < 2 or target != shape[:-1]:
        raise ValueError(
            f"y must hold one label for each output, shape {shape[:-1]}; got shape {target}"
        )
    _check.labels("y", y, shape[-1])

    def cross_entropy(outputs: Any, y: Any) -> Array:
        losses = jax.vmap(one)(outputs.reshape(-1, shape[-1]), jnp.ravel(y))
        return losses.reshape(examples, -1).mean(axis=1)

    return cross_entropy
