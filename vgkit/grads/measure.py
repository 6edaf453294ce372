"""One backward pass through a network, whatever is asked of it."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from vgkit import _check, nets
from vgkit.grads.kernel import Loss, backward, loss_function, number_format
from vgkit.grads.signals import PerLayer, Signals, per_layer
from vgkit.nets import net as forward_pass


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
