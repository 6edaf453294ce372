"""The same gradients in narrower number formats: what underflows, what overflows, loss scaling.

What JAX does on the CPU with subnormal numbers, those below a format's smallest normal one: sums
and products of bfloat16, float32 and float64 that would be subnormal become 0. float16 keeps its
subnormals, since XLA computes it in float32 and rounds the result. It does so for a whole dot
product at once, so neither its products nor its partial sums are rounded to float16 one by one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from vgkit import _check, activations, nets
from vgkit.grads.signals import Loss, l2, prepare

FORMATS = {
    "float16": jnp.float16,
    "bfloat16": jnp.bfloat16,
    "float32": jnp.float32,
    "float64": jnp.float64,
}
"""Every number format by name, narrowest first."""


class Limits(NamedTuple):
    """What a number format can hold.

    Attributes:
        smallest_subnormal: Smallest number above 0, with a single digit of precision.
        smallest_normal: Smallest number with full precision.
        largest: Largest finite number.
        epsilon: Distance from 1 to the next number.
    """

    smallest_subnormal: float
    smallest_normal: float
    largest: float
    epsilon: float


class Signals(NamedTuple):
    """Gradients of a whole network.

    Attributes:
        weight_gradients: Of the mean loss, as a network of the same shapes, biases included.
        error_signals: dL/dz of every example by itself: (batch, units) for each layer.
    """

    weight_gradients: Any
    error_signals: Any


class Entries(NamedTuple):
    """What has become of the entries of gradients, in a format beside float64.

    Attributes:
        lost: Share that is exactly 0 among the entries that float64 has nonzero. By underflow, or,
            rarely, by rounding: a ReLU at its kink, a difference of nearly equal numbers. NaN where
            float64 has only zeros.
        no_path: Share of all entries that float64 has exactly 0: no weight or unit can change it.
        not_finite: Share of all entries that is infinite or not a number.
        relative_error: Euclidean norm of the difference over that of the float64 gradient; infinite
            where an entry is not finite.
        size: RMS of the float64 gradient.
    """

    lost: Float[Array, "*layers"]
    no_path: Float[Array, "*layers"]
    not_finite: Float[Array, "*layers"]
    relative_error: Float[Array, "*layers"]
    size: Float[Array, "*layers"]


class Comparison(NamedTuple):
    """A network's gradients in a format, beside float64.

    Attributes:
        weight_gradient: One number for each layer.
        error_signal: One number for each layer.
        finite: Whether all gradients are finite, those of biases and of the output layer included.
            Training with a loss scale throws a step away if they are not.
    """

    weight_gradient: Entries
    error_signal: Entries
    finite: Bool[Array, ""]


def format_limits(format: str) -> Limits:
    """What a format can hold, as `jnp.finfo` has it.

    Args:
        format: A key of `FORMATS`.

    Raises:
        ValueError: If there is no such format.
    """
    found = jnp.finfo(_check.choice("format", format, FORMATS))
    return Limits(
        *map(float, (found.smallest_subnormal, found.smallest_normal, found.max, found.eps))
    )


def gradients_in(
    format: str,
    net: nets.MLP,
    x: Float[Array, "batch fan_in"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss = "cross_entropy",
    activation: str = "tanh",
    *,
    skip: bool = False,
    loss_scale: float = 1.0,
) -> Signals:
    r"""Weight gradients and error signals, computed in a number format with loss scaling.

    .. math:: g = \frac{1}{S} \frac{\partial (S L)}{\partial W_\ell}

    Weights and examples are rounded to the format, and the network runs forward and backward in
    it. As is usual, the loss itself is taken in float32 at least. The result is divided by S in
    float64, and so is the batch size multiplied back into the error signals.

    Args:
        format: A key of `FORMATS`.
        net: Layers, input side first.
        x: Batch of examples.
        y: Targets: labels for "cross_entropy", outputs for "mean_squared_error".
        loss: A key of `LOSSES`, or any function (output, target) -> scalar of one example.
        activation: Name of the hidden layers' activation.
        skip: Whether hidden layers have identity skip connections.
        loss_scale: S. A power of two changes no digit of what neither underflows nor overflows.

    Returns:
        Gradients in float64, input side first.

    Raises:
        ValueError: As for `weight_gradients`; also if the format is unknown, `loss_scale` is not
            positive and finite, or JAX's 64-bit numbers are off.

    Source:
        {cite}`micikevicius2018`.
    """
    x, y, loss = prepare([layer.w for layer in net], len(net[-1].b), x, y, loss)
    dtype = _check.choice("format", format, FORMATS)

    def run(net: nets.MLP, x: Array, probes: list[Array]) -> Array:
        net, probes = _cast((net, probes), dtype)
        return nets.forward(net, x, activation, skip=skip, probes=probes)

    return _gradients(run, net, nets.probes(net), x, y, loss, dtype, loss_scale)


def entries(narrow: Float[Array, "..."], exact: Float[Array, "..."]) -> Entries:
    """Compare one gradient with the same gradient in float64.

    Args:
        narrow: Gradients computed in the format, as float64 numbers.
        exact: The same gradients computed in float64.

    Raises:
        ValueError: If the shapes differ.
    """
    _check.shape("narrow", narrow, exact.shape)
    path, finite = exact != 0, jnp.isfinite(narrow)
    # In units of the largest entry, since squares of very small numbers would underflow too.
    unit = jnp.where(path.any(), jnp.max(jnp.abs(exact)), 1.0)
    error = l2((narrow - exact) / unit) / l2(exact / unit)
    return Entries(
        lost=jnp.sum((narrow == 0) & path) / jnp.sum(path),
        no_path=jnp.mean(~path, dtype=exact.dtype),
        not_finite=jnp.mean(~finite, dtype=exact.dtype),
        relative_error=jnp.where(finite.all(), error, jnp.inf),
        size=l2(exact / unit) / exact.size**0.5 * unit,
    )


def compare_formats(
    format: str,
    net: nets.MLP,
    x: Float[Array, "batch fan_in"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss = "cross_entropy",
    activation: str = "tanh",
    *,
    skip: bool = False,
    loss_scale: float = 1.0,
) -> Comparison:
    """Both signals of every layer in a format, beside float64.

    The arguments are those of `gradients_in`. The float64 gradients are those of the weights as
    they are, so errors include the rounding of the weights to the format.

    Raises:
        ValueError: As for `gradients_in`.
    """
    narrow = gradients_in(format, net, x, y, loss, activation, skip=skip, loss_scale=loss_scale)
    exact = gradients_in("float64", net, x, y, loss, activation, skip=skip)

    def compare(narrow: list[Array], exact: list[Array]) -> Entries:
        return jax.tree.map(lambda *each: jnp.stack(each), *map(entries, narrow, exact))

    return Comparison(
        compare(*([layer.w for layer in found.weight_gradients] for found in (narrow, exact))),
        compare(narrow.error_signals, exact.error_signals),
        _all_finite(narrow),
    )


def format_profile(
    format: str | int | Int[Array, ""],
    stacked: nets.Stack,
    x: Float[Array, "batch width"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss,
    phi: activations.Function,
    depth: int | Int[Array, ""],
    *,
    skip: bool | Array = False,
    loss_scale: float | Float[Array, ""] = 1.0,
) -> Comparison:
    """What `compare_formats` finds in each hidden layer of the net cut off at `depth`; else NaN.

    The arguments are those of `profile` and `gradients_in`. But `format` may be a position in
    `FORMATS`, and it, `depth`, `skip`, `loss_scale` and the choice of `phi` may be traced.

    Raises:
        ValueError: As for `gradients_in`.
    """
    weights = [stacked.hidden.w, stacked.output.w]
    x, y, loss = prepare(weights, stacked.output.b.shape[-1], x, y, loss)

    def run(net: nets.Stack, x: Array, probes: Array) -> Array:
        h, _ = nets.stack_trace(net, x, phi, depth, skip=skip, probes=probes, dtype=x.dtype)
        output = _cast(net.output, x.dtype)
        return output.w @ h + output.b

    def signals(dtype: Any, scale: float | Array) -> Signals:
        probes = jnp.zeros_like(stacked.hidden.b)
        return _gradients(run, stacked, probes, x, y, loss, dtype, scale)

    if isinstance(format, str):
        narrow = signals(_check.choice("format", format, FORMATS), loss_scale)
    else:
        branches = [lambda scale, d=dtype: signals(d, scale) for dtype in FORMATS.values()]
        narrow = jax.lax.switch(format, branches, loss_scale)
    exact = signals(jnp.float64, 1.0)
    missing = jnp.where(jnp.arange(len(stacked.hidden.b)) < depth, 0.0, jnp.nan)

    def compare(narrow: Array, exact: Array, layers: int) -> Entries:
        found = jax.vmap(entries, layers)(narrow, exact)
        return jax.tree.map(lambda numbers: numbers + missing, found)

    return Comparison(
        compare(narrow.weight_gradients.hidden.w, exact.weight_gradients.hidden.w, 0),
        compare(narrow.error_signals, exact.error_signals, 1),
        _all_finite(narrow),
    )


def _gradients(
    run: Callable[..., Array],
    net: Any,
    probes: Any,
    x: Array,
    y: Array,
    loss: Loss,
    dtype: Any,
    scale: float | Array,
) -> Signals:
    """Gradient of the mean loss by the network, and of each loss by the probes, in float64."""
    if not jax.config.jax_enable_x64:
        raise ValueError("jax_enable_x64 must be True to compare with float64; got False")
    if not _check.traced(scale):
        _check.positive("loss_scale", scale)
    wide = jnp.promote_types(dtype, jnp.float32)
    scale = jnp.asarray(scale, wide)

    def one_loss(net: Any, probes: Any, x: Array, y: Array) -> Array:
        return loss(run(net, x, probes).astype(wide), y)

    def scaled_loss(net: Any, probes: Any) -> Array:
        targets = y.astype(wide) if jnp.issubdtype(y.dtype, jnp.floating) else y
        losses = jax.vmap(one_loss, (None, 0, 0, 0))(net, probes, x.astype(dtype), targets)
        return scale * jnp.mean(losses)

    each = jax.tree.map(lambda probe: jnp.zeros((len(x), *probe.shape)), probes)
    found = jax.grad(scaled_loss, (0, 1))(_cast(net, jnp.float64), each)  # which `run` rounds
    by_net, by_probe = jax.tree.map(lambda gradient: gradient / scale.astype(jnp.float64), found)
    return Signals(by_net, jax.tree.map(lambda gradient: gradient * len(x), by_probe))


def _cast(tree: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def _all_finite(tree: Any) -> Bool[Array, ""]:
    return jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]))
