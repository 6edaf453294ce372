"""Exact gradients, layer by layer: weight gradients, error signals, layer Jacobians.

Two signals are kept apart. The **error signal** of a layer, delta_l = dL/dz_l, is what travels
backward. The **weight gradient**, dL/dW_l = delta_l h_(l-1)^T, is what moves the weights. They can
differ by many orders of magnitude. Layers count from 1 at the input; arrays are ordered likewise.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Shaped

from vgkit import _check, activations, nets

Loss = Callable[[Float[Array, " outputs"], Array], Float[Array, ""]]


def mean_squared_error(
    output: Float[Array, " outputs"], target: Float[Array, " outputs"]
) -> Float[Array, ""]:
    r"""Loss of one example.

    .. math:: L = \frac{1}{n} \sum_{k=1}^{n} (\hat y_k - y_k)^2
    """
    return jnp.mean(optax.losses.squared_error(output, target))


def cross_entropy(output: Float[Array, " outputs"], label: Int[Array, ""]) -> Float[Array, ""]:
    r"""Loss of one example, where the outputs are logits.

    .. math:: L = -\log \mathrm{softmax}(\hat y)_{\text{label}} \quad \text{(in nats)}
    """
    return optax.losses.softmax_cross_entropy_with_integer_labels(output, label)


LOSSES: dict[str, Loss] = {
    "mean_squared_error": mean_squared_error,
    "cross_entropy": cross_entropy,
}


def _prepare(
    weights: Sequence[Array], outputs: int, x: Array, y: Array, loss: str | Loss
) -> tuple[Array, Array, Loss]:
    """Check a batch against the network that it is for."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    _check.shape("x", x, (None, weights[0].shape[-1]))
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
    _check.finite("net", weights)
    return x, y, loss if callable(loss) else _check.choice("loss", loss, LOSSES)


def weight_gradients(
    net: nets.MLP,
    x: Float[Array, "batch fan_in"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss = "cross_entropy",
    activation: str = "tanh",
    *,
    skip: bool = False,
) -> nets.MLP:
    r"""Gradient of the mean loss of a batch with respect to every weight and bias.

    .. math:: \frac{\partial L}{\partial W_\ell}, \frac{\partial L}{\partial b_\ell},
              \quad L = \frac{1}{B} \sum_i L_i

    Args:
        net: Layers, input side first.
        x: Batch of examples.
        y: Targets: labels for "cross_entropy", outputs for "mean_squared_error".
        loss: A key of `LOSSES`, or any function (output, target) -> scalar of one example.
        activation: Name of the hidden layers' activation.
        skip: Whether hidden layers have identity skip connections.

    Returns:
        A network of the same shapes that holds gradients, in units of loss per unit of weight.

    Raises:
        ValueError: If an argument is unknown, empty, not finite, of the wrong shape, or a label is
            out of range.
    """
    x, y, loss = _prepare([layer.w for layer in net], len(net[-1].b), x, y, loss)

    def mean_loss(net: nets.MLP) -> Array:
        outputs = jax.vmap(lambda x: nets.forward(net, x, activation, skip=skip))(x)
        return jnp.mean(jax.vmap(loss)(outputs, y))

    return jax.grad(mean_loss)(net)


def error_signals(
    net: nets.MLP,
    x: Float[Array, "batch fan_in"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss = "cross_entropy",
    activation: str = "tanh",
    *,
    skip: bool = False,
) -> list[Float[Array, "batch _fan_out"]]:
    r"""Error signal of every layer, for every example of a batch by itself.

    .. math:: \delta_{\ell,i} = \frac{\partial L_i}{\partial z_{\ell,i}}

    It is the gradient with respect to zeros added to the pre-activations (`nets.probes`). Nothing
    is averaged over the batch: averaging first would let examples cancel.

    Args:
        net: Layers, input side first.
        x: Batch of examples.
        y: Targets: labels for "cross_entropy", outputs for "mean_squared_error".
        loss: A key of `LOSSES`, or any function (output, target) -> scalar of one example.
        activation: Name of the hidden layers' activation.
        skip: Whether hidden layers have identity skip connections.

    Returns:
        One array for each layer, in units of loss per unit of pre-activation.

    Raises:
        ValueError: As for `weight_gradients`.
    """
    x, y, loss = _prepare([layer.w for layer in net], len(net[-1].b), x, y, loss)

    def one_loss(probes: list[Array], x: Array, y: Array) -> Array:
        return loss(nets.forward(net, x, activation, skip=skip, probes=probes), y)

    return jax.vmap(jax.grad(one_loss), (None, 0, 0))(nets.probes(net), x, y)


def rms(array: Float[Array, "..."]) -> Float[Array, ""]:
    r"""Root mean square of all elements, the size of a typical one.

    .. math:: \sqrt{\frac{1}{n} \sum_k a_k^2}
    """
    return jnp.sqrt(jnp.mean(jnp.square(array)))


def l2(array: Float[Array, "..."]) -> Float[Array, ""]:
    r"""Euclidean norm of all elements taken as one vector.

    .. math:: \sqrt{\sum_k a_k^2}
    """
    return jnp.sqrt(jnp.sum(jnp.square(array)))


NORMS = {"rms": rms, "l2": l2}


def norms(arrays: Sequence[Float[Array, "..."]], kind: str = "rms") -> Float[Array, " layers"]:
    """Size of every layer's signal, as one number each.

    Args:
        arrays: One array for each layer, such as what `error_signals` returns.
        kind: "rms", comparable between layers of different width, or "l2".

    Raises:
        ValueError: If the kind is unknown or there is no layer.
    """
    norm = _check.choice("kind", kind, NORMS)
    if not len(arrays):
        raise ValueError("arrays must hold at least one layer; got none")
    return jnp.stack([norm(array) for array in arrays])


def weight_norms(gradients: nets.MLP, kind: str = "rms") -> Float[Array, " layers"]:
    """Size of every layer's weight gradient, biases left out.

    Raises:
        ValueError: As for `norms`.
    """
    return norms([layer.w for layer in gradients], kind)


def end_to_end_ratio(error_norms: Float[Array, " layers"]) -> Float[Array, ""]:
    r"""Change of the error signal from the last hidden layer back to the first.

    .. math:: G = \frac{\|\delta_1\|}{\|\delta_{L-1}\|}

    Args:
        error_norms: RMS of the error signal of all layers, output layer included, input side first.

    Returns:
        G: below 1 the signal shrinks on its way to the input, above 1 it grows. With a single
        hidden layer it is 1.

    Raises:
        ValueError: If there is no hidden layer.
    """
    error_norms = jnp.asarray(error_norms)
    if error_norms.ndim != 1 or len(error_norms) < 2:
        raise ValueError(
            f"error_norms must hold a hidden and an output layer at least; got {error_norms.shape}"
        )
    return error_norms[0] / error_norms[-2]


def decades_per_layer(norms: Float[Array, " layers"]) -> Float[Array, ""]:
    r"""Powers of ten that a signal loses with every layer on its way back.

    .. math:: \log_{10} \|g_\ell\| \approx a + d\, \ell

    Args:
        norms: Size of a signal at every layer, input side first, all positive.

    Returns:
        d by least squares, in decades per layer. Positive: the signal vanishes towards the input.
        Negative: it explodes.

    Raises:
        ValueError: If there are fewer than two layers, or a norm is not positive and finite.
    """
    norms = jnp.asarray(norms)
    if norms.ndim != 1 or len(norms) < 2:
        raise ValueError(f"norms must hold at least two layers; got shape {norms.shape}")
    if not _check.traced(norms):
        _check.positive("norms", norms)
    layer = jnp.arange(len(norms)) - (len(norms) - 1) / 2
    return jnp.sum(layer * jnp.log10(norms)) / jnp.sum(layer**2)


def jacobians(
    net: nets.MLP, x: Float[Array, " fan_in"], activation: str = "tanh", *, skip: bool = False
) -> list[Float[Array, "_fan_out _fan_in"]]:
    r"""Jacobian of every hidden layer at one example, by forward-mode differentiation.

    .. math:: J_\ell = \frac{\partial h_\ell}{\partial h_{\ell-1}}
              = \mathrm{diag}(\phi'(z_\ell))\, W_\ell \ (+\, I \text{ with a skip})

    Returns:
        One matrix for each hidden layer, input side first. The gradient with respect to h_(l-1) is
        J_l transposed times that with respect to h_l.

    Raises:
        ValueError: If the activation is unknown, or `x` does not fit or is not finite.
    """
    phi = activations.function(activation)
    _check.shape("x", x, (net[0].w.shape[1],))
    _check.finite("x", [x])
    _check.finite("net", [layer.w for layer in net])
    found, h = [], x
    for layer in net[:-1]:
        found.append(jax.jacfwd(lambda h, layer=layer: nets.dense(layer, h, phi, skip))(h))
        h = nets.dense(layer, h, phi, skip)
    return found


def singular_values(
    matrices: Sequence[Float[Array, "_fan_out _fan_in"]],
) -> list[Float[Array, " _rank"]]:
    """Singular values of every matrix, largest first."""
    return [jnp.linalg.svd(matrix, compute_uv=False) for matrix in matrices]


def product_spectrum(
    jacobians: Sequence[Float[Array, "_fan_out _fan_in"]],
) -> Float[Array, " rank"]:
    r"""Singular values of the product of layer Jacobians, largest first.

    .. math:: \mathrm{svd}(J_{L-1} \cdots J_2 J_1)

    The largest is the most that a signal's norm can change on its way through all the layers.
    Values below the largest times the format's precision (2e-16 in float64) are rounding noise.

    Raises:
        ValueError: If there is no matrix, or neighbours do not fit together.
    """
    if not len(jacobians):
        raise ValueError("jacobians must hold at least one matrix; got none")
    product = jacobians[0]
    for number, matrix in enumerate(jacobians[1:], start=2):
        _check.shape(f"jacobian {number}", matrix, (None, product.shape[0]))
        product = matrix @ product
    return jnp.linalg.svd(product, compute_uv=False)


class Profile(NamedTuple):
    """What one network's gradients look like, layer by layer.

    Attributes:
        error_signal: RMS of the error signal over units and examples, loss per pre-activation.
        weight_gradient: RMS of the gradient of the mean loss over a layer's weights.
        readout_signal: RMS of dL/dh of the last hidden layer: what the output layer sends back.

    The first two have one number for each stacked layer; layers beyond the depth hold NaN.
    """

    error_signal: Float[Array, " layers"]
    weight_gradient: Float[Array, " layers"]
    readout_signal: Float[Array, ""]


def profile(
    stacked: nets.Stack,
    x: Float[Array, "batch width"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss,
    phi: activations.Function,
    depth: int | Int[Array, ""],
    *,
    skip: bool | Array = False,
) -> Profile:
    """Error signal and weight gradient of every hidden layer of the net cut off at `depth`.

    The same numbers as `error_signals` and `weight_gradients` give for `nets.unstack(stacked,
    depth)`, from one backward pass. `depth`, `skip` and the choice of `phi` may be traced, so that
    one compilation serves all.

    Raises:
        ValueError: As for `weight_gradients`.
    """
    weights = [stacked.hidden.w, stacked.output.w]
    x, y, loss = _prepare(weights, stacked.output.b.shape[-1], x, y, loss)

    def mean_loss(w: Array, probes: Array, top: Array) -> Array:
        net = stacked._replace(hidden=stacked.hidden._replace(w=w))

        def one_loss(x: Array, y: Array, probes: Array, top: Array) -> Array:
            h = nets.hidden_stack(net, x, phi, depth, skip=skip, probes=probes) + top
            return loss(net.output.w @ h + net.output.b, y)

        return jnp.mean(jax.vmap(one_loss)(x, y, probes, top))

    probes = jnp.zeros((len(x), *stacked.hidden.b.shape))
    by_weight, by_probe, by_top = jax.grad(mean_loss, (0, 1, 2))(
        stacked.hidden.w, probes, probes[:, 0]
    )
    missing = jnp.where(jnp.arange(probes.shape[1]) < depth, 0.0, jnp.nan)
    return Profile(
        error_signal=jax.vmap(rms, 1)(by_probe) * len(x) + missing,
        weight_gradient=jax.vmap(rms)(by_weight) + missing,
        readout_signal=rms(by_top) * len(x),
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
