"""Losses, number formats, and the one backward pass that measures a network of any kind."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from vgkit import _check, nets, trace
from vgkit.grads.signals import PerLayer, Signals, per_layer
from vgkit.nets import net as forward_pass
from vgkit.trace.traced import count_examples, floating, widen

FORMATS = {name: jnp.dtype(name) for name in ("float16", "bfloat16", "float32", "float64")}
"""Every number format by name, narrowest first."""
Loss = Callable[[Float[Array, " outputs"], Array], Float[Array, ""]]
"""A function (output, target) -> scalar, the loss of one example."""


def cross_entropy(output: Float[Array, " outputs"], label: Int[Array, ""]) -> Float[Array, ""]:
    r"""Loss of one example, where the outputs are logits.

    .. math:: L = -\log \mathrm{softmax}(\hat y)_{\text{label}} \quad \text{(in nats)}

    Args:
        output: One logit for each class.
        label: Number of the right class, from 0.
    """
    return optax.losses.softmax_cross_entropy_with_integer_labels(output, label)


def _mean_squared_error(output: Array, target: Array) -> Float[Array, ""]:
    return jnp.mean(optax.losses.squared_error(output, target))


LOSSES: dict[str, Loss] = {
    "mean_squared_error": _mean_squared_error,
    "cross_entropy": cross_entropy,
}
"""Losses of one example by name; the first is the mean of the squared errors of all outputs."""


def loss_function(loss: str | Loss) -> Loss:
    """A loss of one example by its name, or the function given."""
    return loss if callable(loss) else _check.choice("loss", loss, LOSSES)


class Backward(NamedTuple):
    """What one pass forward and back gives: losses and aux are those of the forward pass."""

    losses: Array
    aux: Any
    by_params: PyTree
    by_probes: PyTree


def backward(
    run: Callable[[PyTree, PyTree], tuple[Array, Any]],
    params: PyTree,
    probes: PyTree,
    *,
    examples: int,
    loss_scale: float | Array = 1.0,
) -> Backward:
    r"""Differentiate a batch's mean loss by parameters and by probes.

    A **probe** is an array of zeros, with a row for each example, that the forward pass adds to a
    quantity z. The gradient with respect to it is the gradient with respect to z:

    .. math:: \frac{\partial L_i}{\partial z_i}, \quad
              \frac{\partial}{\partial \theta} \frac{1}{B} \sum_i L_i

    `run` is a function (params, probes) -> (losses, aux), with losses of shape (examples,) or their
    mean of shape ().
    """

    def mean_loss(params: PyTree, probes: PyTree) -> tuple[Array, tuple]:
        losses, aux = run(params, probes)
        return loss_scale * jnp.mean(losses), (losses, aux)

    gradients, (losses, aux) = jax.grad(mean_loss, (0, 1), has_aux=True)(params, probes)
    by_params, by_probes = jax.tree.map(lambda g: g / loss_scale, gradients)
    return Backward(losses, aux, by_params, jax.tree.map(lambda g: g * examples, by_probes))


def number_format(format: str) -> Any:
    """The dtype of a format, for measurements that are collected in float64."""
    dtype = _check.choice("dtype", format, FORMATS)
    if not jax.config.jax_enable_x64:
        raise ValueError("jax_enable_x64 must be True to compare with float64; got False")
    return dtype


def signals(
    model: Any,
    *batch: Any,
    loss: str | Loss = "cross_entropy",
    dtype: Any = None,
    loss_scale: float | Array = 1.0,
    statistics: Any = None,
) -> Signals:
    r"""Measure every layer's gradients and error signals on a batch, in one backward pass.

    `signals(net, x, y)` measures a `nets.Net`; `signals(model, params, x, y)` any other model, a
    function (params, x) -> outputs of the whole batch or a module of Flax, Equinox or Haiku, whose
    layers are found by `trace`. It is compiled once for each form and shape; inside `jax.vmap`,
    which compiles nothing, put a `jax.jit` around it.

    Args:
        model: The network.
        *batch: x and y, or params, x and y. x holds examples in its rows; y their targets: labels
            for "cross_entropy", outputs for "mean_squared_error". `params` is any pytree, None for
            a module that holds its own.
        loss: A key of `LOSSES`, or a function (output, target) -> scalar of one example.
        dtype: Number format to compute in, a key of `FORMATS`: weights and examples are rounded to
            it, and the network runs forward and backward in it. The loss is taken in float32 at
            least, and the gradients are returned in float64. None for the parameters' format.
        loss_scale: S. The gradient of S L is computed and divided by S, so that little underflows
            {cite:p}`micikevicius2018`.
        statistics: For batch normalisation at inference, see `nets.batch_statistics`.

    Raises:
        ValueError: If an argument is unknown, empty, not finite, out of range or of the wrong
            shape, or a number format is asked for while JAX's 64-bit numbers are off.
    """
    if not isinstance(model, nets.Net):
        return _model_signals(model, batch, loss, dtype, loss_scale)
    if len(batch) != 2:
        raise ValueError(f"batch must be x and y for a Net; got {len(batch)} arguments")
    x, y, loss = prepare(model, *batch, loss)
    _check.positive("loss_scale", loss_scale)
    dtype = None if dtype is None else number_format(dtype)
    given = jax.tree.leaves((model, x, y, statistics, loss_scale))
    traced = any(map(_check.traced, [*given, *dataclasses.astuple(model.form)]))
    measure = _measured if traced else _compiled
    return measure(model, x, y, statistics, loss_scale, loss=loss, dtype=dtype)


def prepare(
    net: nets.Net, x: Array, y: Array, loss: str | Loss
) -> tuple[Array, Array, Callable[[Array, Array], Array]]:
    """Check a batch against its network."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    outputs = net.readout.b.shape[-1]
    _check.shape("x", x, (None, *net.input_shape))
    if jnp.ndim(y) == 0 or len(y) != len(x):
        raise ValueError(f"y must have one row for each of the {len(x)} examples; got {y.shape}")
    if loss == "cross_entropy":
        _check.shape("y", y, (len(x),))
        _check.labels("y", y, outputs)
    if loss == "mean_squared_error":
        _check.shape("y", y, (len(x), outputs))
    for argument, value in (("x", x), ("y", y), ("net", net)):
        _check.finite(argument, jax.tree.leaves(value))
    return x, y, loss_function(loss)


def _measured(
    net: nets.Net, x: Array, y: Array, statistics: Any, loss_scale: Any, *, loss: Loss, dtype: Any
) -> Signals:
    if dtype is not None:  # gradients are collected in float64, whatever they are computed in
        wide = jnp.promote_types(dtype, jnp.float32)
        net = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), net)
        loss_scale = jnp.asarray(loss_scale, wide)
        y = y.astype(wide) if jnp.issubdtype(y.dtype, jnp.floating) else y
    examples = forward_pass.Probes(*[int(net.stacked)] * 2, 0)  # the examples' axis in the probes

    def forward(net: nets.Net, probes: Any, keep: Any) -> tuple[Any, Array]:
        def one(x: Array, probes: Any) -> tuple[Any, Array]:
            return forward_pass.run(net, x, keep, probes=probes, statistics=statistics, dtype=dtype)

        axes = None if probes is None else examples
        return jax.vmap(one, (0, axes), (int(net.stacked), 0), axis_name=nets.BATCH)(x, probes)

    def run(net: nets.Net, probes: Any) -> tuple[Array, None]:
        _, outputs = forward(net, probes, lambda here: None)
        outputs = outputs if dtype is None else outputs.astype(wide)
        return jax.vmap(loss)(outputs, y), None

    def zeros(like: Any) -> Array:
        return jnp.zeros(like.shape, like.dtype if dtype is None else jnp.float64)

    rows, output = jax.eval_shape(lambda net: forward(net, None, lambda row: (row.z, row.h)), net)
    z, h = rows if net.stacked else (tuple(row[part] for row in rows) for part in (0, 1))
    probes = jax.tree.map(zeros, forward_pass.Probes(z, h, output))
    back = backward(run, net, probes, examples=len(x), loss_scale=loss_scale)
    return Signals(
        losses=back.losses if dtype is None else back.losses.astype(jnp.float64),
        error_signals=PerLayer(back.by_probes.z, back.by_probes.output),
        hidden_gradients=PerLayer(back.by_probes.h),
        weight_gradients=per_layer(back.by_params),
        bias_gradients=per_layer(back.by_params, "b"),
        gradient=back.by_params,
        depth=net.depth,
    )


# Each operation is rounded to its own format, as the hardware of narrow formats does it.
_compiled = partial(
    jax.jit,
    static_argnames=("loss", "dtype"),
    compiler_options={"xla_allow_excess_precision": False},
)(_measured)


class Problem(NamedTuple):
    """A model and x, targets, and (outputs, y) -> losses of the examples or their mean."""

    traced: trace.Traced
    y: Any
    losses: Callable


def read_problem(model: Any, params: Any, x: Any, y: Any, loss: Any) -> Problem:
    """Check a model, a batch and a loss; see `trace.read` and `signals` for what is allowed."""
    traced, y = trace.read(model, params, x), jax.tree.map(jnp.asarray, y)
    targets = jax.tree.leaves(y)
    examples = count_examples("x and y", [*traced.model.inputs, *targets])
    _check.finite("y", filter(floating, targets))
    return Problem(traced, y, _batch_loss(loss, traced.model.outputs, y, examples))


def measure_model(
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


def _model_signals(model: Any, batch: Any, loss: Any, dtype: Any, loss_scale: Any) -> Signals:
    """`signals` of a model that is no `nets.Net`; the last layer counts as the output layer.

    `hidden_gradients` are None where not everything that leaves a layer is in one array; the
    gradient of weights or of a bias that a layer does not have is NaN.
    """
    if len(batch) != 3:
        raise ValueError(f"batch must be params, x and y for a model; got {len(batch)} arguments")
    traced, y, losses = read_problem(model, *batch, loss)
    parameters, inputs = traced.model.parameters, traced.model.inputs
    if not traced.layers:
        raise ValueError("model must hold a product of data and params, or a diagnosis.tap")
    if dtype is not None:
        if number_format(dtype) != jnp.float64:
            raise ValueError(f"dtype must be None or 'float64' for this model; got {dtype!r}")
        traced = traced.ways()[0]
        parameters, inputs, y = jax.tree.map(widen, (parameters, inputs, y))
    back = jax.jit(measure_model(traced, losses, loss_scale=loss_scale))(parameters, inputs, y)
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
    cuts = traced.at_cuts(by_probes).items()
    cuts = {depth: parts[0] for depth, parts in cuts if len(parts) == 1}
    places = [layer.depth for layer in traced.layers[:-1]]
    if len(set(places)) < len(places) or not cuts.keys() >= set(places):
        return None
    return PerLayer(tuple(_examples_first(cuts[d], traced.model.examples) for d in places))


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
        rows = examples, -1
        return lambda outputs, y: jax.vmap(one)(outputs.reshape(rows), y.reshape(rows))
    if len(shape) < 2 or target != shape[:-1]:
        raise ValueError(
            f"y must hold one label for each output, shape {shape[:-1]}; got shape {target}"
        )
    _check.labels("y", y, shape[-1])

    def cross_entropy(outputs: Any, y: Any) -> Array:
        losses = jax.vmap(one)(outputs.reshape(-1, shape[-1]), jnp.ravel(y))
        return losses.reshape(examples, -1).mean(axis=1)

    return cross_entropy
