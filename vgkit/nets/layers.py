"""One hidden layer, and the form that says what it does."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float

from vgkit import activations
from vgkit.nets.norms import Statistics, normalise


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Layer:
    r"""Weights and biases of one dense layer, or of many stacked on a leading axis.

    .. math:: z = W h + b

    Attributes:
        w: Weights, shape `(*stack, fan_out, fan_in)`.
        b: Biases, shape `(*stack, fan_out)`.
        norm: `Norm`, where the layer is normalised.
        gate: Learnt factor on the branch of a residual layer (ReZero), shape `(*stack,)`.
        alpha: Learnt negative slope of a PReLU, shape `(*stack,)`.
    """

    w: Any
    b: Any
    norm: Any = None
    gate: Any = None
    alpha: Any = None

    def __call__(self, h: Float[Array, "..."]) -> Float[Array, " fan_out"]:
        """Pre-activation for one example; an image is read as one long vector."""
        return self.w @ h.ravel() + self.b

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Shape of what the layer reads, None for any size."""
        return (self.w.shape[-1],)

    def replace(self, **changes: Any) -> "Layer":
        """The same layer with other arrays."""
        return dataclasses.replace(self, **changes)


class Intermediates(NamedTuple):
    """What one example makes of one hidden layer.

    Attributes:
        z: Pre-activation, W u + b. The error signal is the gradient with respect to it.
        a: What the activation is applied to.
        h: What the layer hands on to the next one's skip connection.
        u: What the next layer's weights are given.
        statistics: Mean and variance of a batch normalisation, else None.
    """

    z: Float[Array, "..."]
    a: Float[Array, "..."]
    h: Float[Array, "..."]
    u: Float[Array, "..."]
    statistics: Statistics | None


Map = Callable[[Array], Array]
Normalised = Callable[[Array], tuple[Array, Statistics | None]]


def _standard(z: Array, add: Map, phi: Map, norm: Normalised, probe: Array | float) -> tuple:
    a, statistics = norm(z)
    h = add(phi(a)) + probe
    return a, h, h, statistics


def _norm_after(z: Array, add: Map, phi: Map, norm: Normalised, probe: Array | float) -> tuple:
    out, statistics = norm(phi(z))
    h = add(out) + probe
    return z, h, h, statistics


def _post_activation(z: Array, add: Map, phi: Map, norm: Normalised, probe: Array | float) -> tuple:
    out, statistics = norm(z)
    a = add(out)
    h = phi(a) + probe
    return a, h, h, statistics


def _pre_activation(z: Array, add: Map, phi: Map, norm: Normalised, probe: Array | float) -> tuple:
    h = add(z) + probe
    a, statistics = norm(h)
    return a, h, phi(a), statistics


ORDERS: dict[str, Callable[..., tuple]] = {
    "standard": _standard,
    "norm_after_activation": _norm_after,
    "post_activation": _post_activation,
    "pre_activation": _pre_activation,
}
r"""Orders of a hidden layer's parts. With u = h but in the last, and u_0 = h_0 = x:

- "standard": :math:`h_\ell = s h_{\ell-1} + a\,\phi(N(z_\ell))`
- "norm_after_activation": :math:`h_\ell = s h_{\ell-1} + a\,N(\phi(z_\ell))`
- "post_activation": :math:`h_\ell = \phi(s h_{\ell-1} + a\,N(z_\ell))`, the first residual nets
- "pre_activation": :math:`h_\ell = s h_{\ell-1} + a\,z_\ell,\ u_\ell = \phi(N(h_\ell))`

Without skip connections and normalisation they are all the same.
"""


@dataclass(frozen=True, eq=False)
class Form:
    """What a network is besides its parameters; the static part of a `Net`.

    Every choice but the label `init` may be traced. Two forms are equal if their choices are,
    traced ones if they are the same object.

    Attributes:
        activation: phi, a name or a function of each element.
        init: Name of the weights' initialiser, a label.
        skip: s. Whether hidden layers add their input to their output, where the shapes agree.
        branch: a, in layers that can have a skip connection, times their gate if they have one.
        order: A key of `ORDERS`, or its position.
        norm: A key of `NORMALISATIONS`, or its position.
        depth: How many of the layers of a stacked net are in use, None for all.
    """

    activation: Any
    init: str = "given"
    skip: Any = False
    branch: Any = 1.0
    order: Any = "standard"
    norm: Any = "none"
    depth: Any = None

    @property
    def _choices(self) -> tuple[Any, ...]:
        chosen = (self.activation, self.skip, self.branch, self.order, self.norm, self.depth)
        return tuple(id(c) if isinstance(c, jax.Array) else c for c in chosen)

    def __eq__(self, other: object) -> bool:
        """Whether every choice is the same."""
        return isinstance(other, Form) and self._choices == other._choices

    def __hash__(self) -> int:
        """Hash of all choices."""
        return hash(self._choices)


def hidden_layer(
    layer: Layer,
    before: tuple[Array, Array],
    form: Form,
    *,
    statistics: Statistics | None = None,
    probe: Array | float = 0.0,
    hidden_probe: Array | float = 0.0,
) -> Intermediates:
    """One hidden layer, given h and u of the layer before, with probes added to z and to h."""
    h, u = before
    phi = activations.function(form.activation)
    if layer.alpha is not None:
        phi = partial(phi, alpha=layer.alpha)
    factor = form.branch if layer.gate is None else form.branch * layer.gate

    def add(value: Array) -> Array:
        if value.shape != h.shape:
            return value
        # XLA would work out 0 * h, for every layer once more through all the layers before it.
        return factor * value if form.skip is False else factor * value + form.skip * h

    def norm(a: Array) -> tuple[Array, Statistics | None]:
        return normalise(form.norm, layer.norm, a, statistics)

    z = layer(u) + probe
    orders = {
        name: partial(function, add=add, phi=phi, norm=norm, probe=hidden_probe)
        for name, function in ORDERS.items()
    }
    if isinstance(form.order, str):
        return Intermediates(z, *orders[form.order](z))
    return Intermediates(z, *jax.lax.switch(form.order, list(orders.values()), z))
