"""One backward pass through a network, whatever is asked of it."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from vgkit import _check, nets
from vgkit.grads.signals import PerLayer, Signals, per_layer
from vgkit.nets import net as forward_pass

FORMATS = {
    "float16": jnp.float16,
    "bfloat16": jnp.bfloat16,
    "float32": jnp.float32,
    "float64": jnp.float64,
}
"""Every number format by name, narrowest first."""

Loss = Callable[[Float[Array, " outputs"], Array], Float[Array, ""]]
"""A function (output, target) -> scalar, the loss of one example."""


def mean_squared_error(
    output: Float[Array, " outputs"], target: Float[Array, " outputs"]
) -> Float[Array, ""]:
    r"""Loss of one example.

    .. math:: L = \frac{1}{n} \sum_{k=1}^{n} (\hat y_k - y_k)^2

    Args:
        output: The network's output for one example.
        target: What the output should be.
    """
    return jnp.mean(optax.losses.squared_error(output, target))


def cross_entropy(output: Float[Array, " outputs"], label: Int[Array, ""]) -> Float[Array, ""]:
    r"""Loss of one example, where the outputs are logits.

    .. math:: L = -\log \mathrm{softmax}(\hat y)_{\text{label}} \quad \text{(in nats)}

    Args:
        output: One logit for each class.
        label: Number of the right class, from 0.
    """
    return optax.losses.softmax_cross_entropy_with_integer_labels(output, label)


LOSSES: dict[str, Loss] = {
    "mean_squared_error": mean_squared_error,
    "cross_entropy": cross_entropy,
}
"""Losses of one example by name."""


def loss_function(loss: str | Loss) -> Loss:
    """A loss of one example by its name, or the function given.

    Args:
        loss: A key of `LOSSES`, or a function (output, target) -> scalar of one example.

    Raises:
        ValueError: If there is no such loss.
    """
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
    mean of shape (). Both gradients are multiplied and divided by the loss scale in their own
    formats.
    """

    def mean_loss(params: PyTree, probes: PyTree) -> tuple[Array, tuple]:
        losses, aux = run(params, probes)
        return loss_scale * jnp.mean(losses), (losses, aux)

    gradients, (losses, aux) = jax.grad(mean_loss, (0, 1), has_aux=True)(params, probes)
    by_params, by_probes = jax.tree.map(lambda g: g / loss_scale, gradients)
    return Backward(losses, aux, by_params, jax.tree.map(lambda g: g * examples, by_probes))


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
        ValueError: If an argument is unknown, empty, not finite, of the wrong shape or missing, a
            label is out of range, `loss_scale` is not positive and finite, or a number format is
            asked for while JAX's 64-bit numbers are off.
    """
    if not isinstance(model, nets.Net):
        from vgkit.grads.models import model_signals

        return model_signals(model, *batch, loss=loss, dtype=dtype, loss_scale=loss_scale)
    if len(batch) != 2:
        raise ValueError(f"batch must be x and y for a Net; got {len(batch)} arguments")
    x, y, loss = prepare(model, *batch, loss)
    if not _check.traced(loss_scale):
        _check.positive("loss_scale", loss_scale)
    dtype = None if dtype is None else number_format(dtype)
    given = jax.tree.leaves((model, x, y, statistics, loss_scale))
    traced = any(map(_check.traced, [*given, *dataclasses.astuple(model.form)]))
    measure = _measured if traced else _compiled
    return measure(model, x, y, statistics, loss_scale, loss=loss, dtype=dtype)


def number_format(format: str) -> Any:
    """The dtype of a format, for measurements that are collected in float64."""
    dtype = _check.choice("dtype", format, FORMATS)
    if not jax.config.jax_enable_x64:
        raise ValueError("jax_enable_x64 must be True to compare with float64; got False")
    return dtype


def prepare(
    net: nets.Net, x: Array, y: Array, loss: str | Loss
) -> tuple[Array, Array, Callable[[Array, Array], Array]]:
    """Check a batch against the network that it is for."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    outputs = net.readout.b.shape[-1]
    _check.shape("x", x, (None, *net.input_shape))
    if jnp.ndim(y) == 0 or len(y) != len(x):
        raise ValueError(f"y must have one row for each of the {len(x)} examples; got {y.shape}")
    if loss == "cross_entropy":
        _check.shape("y", y, (len(x),))
        if not jnp.issubdtype(y.dtype, jnp.integer):
            raise ValueError(f"y must hold whole-number labels for cross_entropy; got {y.dtype}")
        if not _check.traced(y):
            _check.labels("y", y, outputs)
    if loss == "mean_squared_error":
        _check.shape("y", y, (len(x), outputs))
    _check.finite("x", [x])
    _check.finite("y", [y])
    _check.finite("net", jax.tree.leaves(net))
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
