"""The forward pass of one example."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vgkit import _check, activations
from vgkit.nets.layers import Conv, Layer, Net, as_input, image_side, input_size, linear
from vgkit.nets.norms import Statistics, normalise

Map = Callable[[Array], Array]
Probe = Array | float
Normalised = Callable[[Array], tuple[Array, Statistics | None]]


class Trace(NamedTuple):
    """What happens in one hidden layer.

    Attributes:
        z: Pre-activation, W h + b. The error signal is the gradient with respect to it.
        a: What the activation is applied to: z, unless a normalisation or an addition is between.
        h: What the layer hands on: to the next layer's skip connection, and to its weights, unless
            the order is "pre_activation".
        u: What the next layer's weights are given.
        statistics: What a batch normalisation took for mean and variance, else None.
    """

    z: Float[Array, "..."]
    a: Float[Array, "..."]
    h: Float[Array, "..."]
    u: Float[Array, "..."]
    statistics: Statistics | None


def _standard(z: Array, add: Map, phi: Map, norm: Normalised, probe: Probe) -> tuple:
    a, seen = norm(z)
    h = add(phi(a)) + probe
    return a, h, h, seen


def _norm_after_activation(z: Array, add: Map, phi: Map, norm: Normalised, probe: Probe) -> tuple:
    out, seen = norm(phi(z))
    h = add(out) + probe
    return z, h, h, seen


def _post_activation(z: Array, add: Map, phi: Map, norm: Normalised, probe: Probe) -> tuple:
    out, seen = norm(z)
    a = add(out)
    h = phi(a) + probe
    return a, h, h, seen


def _pre_activation(z: Array, add: Map, phi: Map, norm: Normalised, probe: Probe) -> tuple:
    h = add(z) + probe
    a, seen = norm(h)
    return a, h, phi(a), seen


ORDERS: dict[str, Callable[..., tuple]] = {
    "standard": _standard,
    "norm_after_activation": _norm_after_activation,
    "post_activation": _post_activation,
    "pre_activation": _pre_activation,
}
r"""Orders of a hidden layer's parts. With u = h but in the last, and u_0 = h_0 = x:

- "standard": :math:`h_\ell = s h_{\ell-1} + a\,\phi(N(z_\ell))`
- "norm_after_activation": :math:`h_\ell = s h_{\ell-1} + a\,N(\phi(z_\ell))`
- "post_activation": :math:`h_\ell = \phi(s h_{\ell-1} + a\,N(z_\ell))`, the first residual nets
- "pre_activation": :math:`h_\ell = s h_{\ell-1} + a\,z_\ell,\ u_\ell = \phi(N(h_\ell))`, residual
  nets with identity mappings: nothing stands in the way from the last h to the first

Without skip connections and normalisation they are all the same.
"""


def hidden_layer(
    layer: Layer | Conv,
    before: tuple[Array, Array],
    phi: activations.Function,
    *,
    skip: bool | float | Array = False,
    branch: float | Array = 1.0,
    order: str | Int[Array, ""] = "standard",
    axis_name: str | None = None,
    statistics: Statistics | None = None,
    probe: Probe = 0.0,
    hidden_probe: Probe = 0.0,
) -> Trace:
    """One hidden layer, given h and u of the layer before; see `trace`."""
    h, u = before
    if layer.alpha is not None:
        if phi is not activations.prelu:
            raise ValueError("activation must be 'prelu' for a net with learnt slopes alpha")
        phi = partial(activations.prelu, alpha=layer.alpha)
    if skip is False and layer.gate is not None:
        raise ValueError("skip must be True for a net with gates on its branches; got False")
    factor = branch if layer.gate is None else branch * layer.gate

    def add(value: Array) -> Array:
        if value.shape != h.shape:
            return value
        # XLA would work out 0 * h, for every layer once more through all the layers before it.
        return factor * value if skip is False else factor * value + skip * h

    parts = {
        "add": add,
        "phi": phi,
        "norm": lambda a: normalise(layer.norm, a, axis_name, statistics),
        "probe": hidden_probe,
    }
    z = linear(layer, u) + probe
    if isinstance(order, str):
        return Trace(z, *_check.choice("order", order, ORDERS)(z, **parts))
    orders = [partial(function, **parts) for function in ORDERS.values()]
    return Trace(z, *jax.lax.switch(order, orders, z))


def trace(
    net: Net,
    x: Float[Array, " inputs"],
    activation: str = "tanh",
    *,
    skip: bool = False,
    branch: float = 1.0,
    order: str = "standard",
    axis_name: str | None = None,
    statistics: Sequence[Statistics | None] | None = None,
    probes: Sequence[Float[Array, "..."]] | None = None,
) -> tuple[list[Trace], Float[Array, " outputs"]]:
    r"""Everything that one example does in the network.

    .. math:: z_\ell = W_\ell u_{\ell-1} + b_\ell \ (+ \text{probe}_\ell), \quad
              h_\ell = s\, h_{\ell-1} + a\, \phi(N(z_\ell)), \quad u_\ell = h_\ell

    Args:
        net: Layers, input side first.
        x: One example.
        activation: Name of the hidden layers' activation.
        skip: s. Whether hidden layers add their input to their output, where the shapes agree.
        branch: a, in layers that can have a skip connection, times their gate if they have one.
            For a net of L residual layers, 1 / sqrt(L) keeps the sum of all branches bounded.
        order: A key of `ORDERS`, which has the other equations. The one above is "standard".
        axis_name: For batch normalisation in training: name of the `jax.vmap` axis of the batch.
        statistics: For batch normalisation at inference: one for each hidden layer, see
            `batch_statistics`.
        probes: Added to the pre-activations, see `probes`.

    Returns:
        One `Trace` for each hidden layer, and the network's output.

    Raises:
        ValueError: If a name is unknown, `x` does not fit the first layer, a branch is scaled but
            nothing is skipped, alpha or gates are without their activation or skip, or batch
            normalisation is without a batch of at least two and without statistics.
    """
    phi = activations.function(activation)
    _check.choice("order", order, ORDERS)
    _check.shape("x", x, (input_size(net),))
    if skip is False and isinstance(branch, (int, float)) and branch != 1:
        raise ValueError(f"branch must be 1 without skip connections; got {branch!r}")
    *hidden, output = net
    probes = probes or [0.0] * len(net)
    given = statistics or [None] * len(hidden)
    found, h = [], as_input(net, x)
    u = h
    for layer, probe, fixed in zip(hidden, probes[:-1], given, strict=True):
        found.append(
            hidden_layer(
                layer, (h, u), phi, skip=skip, branch=branch, order=order,
                axis_name=axis_name, statistics=fixed, probe=probe,
            )
        )  # fmt: skip
        h, u = found[-1].h, found[-1].u
    return found, linear(output, u) + probes[-1]


def pre_activations(
    net: Net, x: Float[Array, " inputs"], activation: str = "tanh", **form: Any
) -> list[Float[Array, "..."]]:
    r"""Pre-activations of every layer for one example; the last is the network's output.

    .. math:: z_\ell = W_\ell h_{\ell-1} + b_\ell \ (+ \text{probe}_\ell)

    Args:
        net: Layers, input side first.
        x: One example.
        activation: Name of the hidden layers' activation.
        **form: `skip`, `probes` and what else `trace` takes.

    Raises:
        ValueError: As for `trace`.
    """
    hidden, output = trace(net, x, activation, **form)
    return [*(layer.z for layer in hidden), output]


def forward(
    net: Net, x: Float[Array, " inputs"], activation: str = "tanh", **form: Any
) -> Float[Array, " outputs"]:
    """Output of the network for one example, the last of its pre-activations.

    The arguments are those of `pre_activations`.
    """
    return trace(net, x, activation, **form)[1]


def probes(net: Net) -> list[Float[Array, "..."]]:
    """Zeros of the shape of every layer's pre-activation.

    `trace` adds them to the pre-activations. The gradient of a loss with respect to a probe is that
    layer's error signal, delta_l = dL/dz_l.

    Args:
        net: Layers, input side first.
    """

    def zeros(layer: Layer | Conv) -> Array:
        positions = (image_side(net),) * 2 if isinstance(layer, Conv) else ()
        return jnp.zeros_like(layer.b, shape=(*layer.b.shape, *positions))

    return [zeros(layer) for layer in net]


def dense(
    layer: Layer,
    h: Float[Array, " fan_in"],
    phi: activations.Function,
    skip: bool | Array = False,
) -> Float[Array, " fan_out"]:
    r"""One hidden layer by itself.

    .. math:: h_\ell = \phi(W_\ell h_{\ell-1} + b_\ell) + s\, h_{\ell-1}, \quad s \in \{0, 1\}

    Only a layer with fan_in = fan_out can have a skip connection; any other goes without.

    Args:
        layer: Weights and biases.
        h: What the layer before hands on.
        phi: The activation.
        skip: s. Whether the layer has a skip connection.
    """
    return hidden_layer(layer, (h, h), phi, skip=skip).h
