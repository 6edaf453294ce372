"""Both signals of a deep network at a depth that may be traced, so that all share a program."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from vgkit import activations, nets
from vgkit.grads.signals import Loss, prepare, rms


class Profile(NamedTuple):
    """What one network's gradients look like, layer by layer.

    Attributes:
        error_signal: RMS of the error signal over units and examples, loss per pre-activation.
        weight_gradient: RMS of the gradient of the mean loss over a layer's weights.
        readout_signal: RMS of what the output layer sends back: the gradient with respect to its
            input, dL/dh of the last hidden layer.
        hidden_signal: RMS of dL/dh, with h what a layer hands on. In a residual net the error
            signal has the factor on the branch in it, which may be 0; this one has not.

    All but the readout signal have one number for each stacked layer; layers beyond the depth hold
    NaN.
    """

    error_signal: Float[Array, " layers"]
    weight_gradient: Float[Array, " layers"]
    readout_signal: Float[Array, ""]
    hidden_signal: Float[Array, " layers"]


def profile(
    stacked: nets.Stack,
    x: Float[Array, "batch width"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss,
    phi: activations.Function,
    depth: int | Int[Array, ""],
    **form: Any,
) -> Profile:
    """Error signal and weight gradient of every hidden layer of the net cut off at `depth`.

    The same numbers as `error_signals` and `weight_gradients` give for `nets.unstack(stacked,
    depth)`, from one backward pass. `depth`, the choice of `phi`, and `skip`, `branch` and `order`
    (see `nets.stack_trace`) may be traced, so that one compilation serves all.

    Args:
        stacked: The network, see `nets.stack`.
        x: Batch of examples.
        y: Targets: labels for "cross_entropy", outputs for "mean_squared_error".
        loss: A key of `LOSSES`, or any function (output, target) -> scalar of one example.
        phi: Activation of the hidden layers.
        depth: How many of the hidden layers are used.
        **form: `skip`, `branch`, `order` and `statistics`, see `nets.stack_trace`.

    Raises:
        ValueError: As for `weight_gradients`.
    """
    weights = [stacked.hidden.w, stacked.output.w]
    x, y, loss = prepare(weights, stacked.output.b.shape[-1], x, y, loss)

    def mean_loss(w: Array, probes: Array, hidden_probes: Array, top: Array) -> Array:
        net = stacked._replace(hidden=stacked.hidden._replace(w=w))

        def one_loss(x: Array, y: Array, probes: Array, hidden_probes: Array, top: Array) -> Array:
            u, _ = nets.stack_trace(
                net, x, phi, depth,
                probes=probes, hidden_probes=hidden_probes, axis_name=nets.BATCH, **form,
            )  # fmt: skip
            return loss(net.output.w @ (u + top) + net.output.b, y)

        batched = jax.vmap(one_loss, axis_name=nets.BATCH)
        return jnp.mean(batched(x, y, probes, hidden_probes, top))

    probes = jnp.zeros((len(x), *stacked.hidden.b.shape), stacked.hidden.b.dtype)
    by_weight, by_probe, by_hidden, by_top = jax.grad(mean_loss, (0, 1, 2, 3))(
        stacked.hidden.w, probes, probes, probes[:, 0]
    )
    missing = jnp.where(jnp.arange(probes.shape[1]) < depth, 0.0, jnp.nan)
    return Profile(
        error_signal=jax.vmap(rms, 1)(by_probe) * len(x) + missing,
        weight_gradient=jax.vmap(rms)(by_weight) + missing,
        readout_signal=rms(by_top) * len(x),
        hidden_signal=jax.vmap(rms, 1)(by_hidden) * len(x) + missing,
    )


def error_bound(
    readout_signal: Float[Array, ""],
    spectral_norms: Float[Array, " layers"],
    slope_bound: float | Float[Array, ""],
    depth: int | Int[Array, ""],
    *,
    skip: bool | Array = False,
) -> Float[Array, " layers"]:
    r"""The most that the error signals can be, whatever the input.

    .. math:: \|\delta_\ell\| \le s\, \|dL/dh_{L-1}\|
              \prod_{k=\ell+1}^{L-1} (s \|W_k\|_2 + \sigma)

    with s the largest absolute slope and sigma = 1 for identity skips, else 0. It follows from the
    chain rule, as no factor of a product can stretch a vector by more than its spectral norm.

    Args:
        readout_signal: Size of dL/dh of the last hidden layer, see `Profile`.
        spectral_norms: Largest singular value of every hidden layer's weights.
        slope_bound: s.
        depth: Number of hidden layers, at most the length of `spectral_norms`.
        skip: Whether hidden layers have identity skip connections.

    Returns:
        One bound for each layer, in the units of `readout_signal`; NaN beyond `depth`.
    """
    active = jnp.arange(len(spectral_norms)) < depth
    factors = jnp.where(active, slope_bound * spectral_norms + skip, 1.0)
    products = jnp.cumprod(factors[::-1])[::-1]
    beyond = jnp.append(products[1:], 1.0)
    return jnp.where(active, slope_bound * readout_signal * beyond, jnp.nan)
