"""One hidden layer, its normalisation, and the form that says what it does."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vgkit import activations

BATCH = "batch"
"""The axis name under which networks are batched, as in `jax.vmap(net, axis_name=nets.BATCH)`."""
EPSILON = 1e-5
"""Added to every variance, as PyTorch does."""


class Norm(NamedTuple):
    r"""Learnt scale and shift of a normalisation; which one it is, the net's form says.

    .. math:: y = \gamma \frac{a - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Attributes:
        scale: gamma.
        shift: beta.
    """

    scale: Float[Array, "*stack units"]
    shift: Float[Array, "*stack units"]


class Statistics(NamedTuple):
    """Mean and variance of what a batch normalisation is given, for each unit or channel.

    Attributes:
        mean: The mean.
        var: The unbiased estimate of the variance, with n - 1 in the denominator.
    """

    mean: Float[Array, "*stack units"]
    var: Float[Array, "*stack units"]


Normalised = tuple[Float[Array, "units ..."], Statistics | None]


def _unchanged(norm: Norm | None, a: Array, statistics: Statistics | None) -> Normalised:
    return a, None


def _layer(norm: Norm, a: Array, statistics: Statistics | None) -> Normalised:
    return _scaled(norm, a, jnp.mean(a), jnp.var(a)), None


def _batch(norm: Norm, a: Array, statistics: Statistics | None) -> Normalised:
    if statistics is not None:
        return _scaled(norm, a, *(_per_unit(s, a) for s in statistics)), statistics
    try:
        batch = jax.lax.psum(1, BATCH)
    except NameError:
        raise ValueError(
            "x must come in a batch for batch normalisation, as in nets.forward(net, x) or "
            "jax.vmap(net, axis_name=nets.BATCH)(x), or statistics must be given; got one example"
        ) from None
    if batch < 2:
        raise ValueError(
            f"x must hold at least 2 examples for batch normalisation in training; got {batch}"
        )
    positions = tuple(range(1, a.ndim))
    mean = jax.lax.pmean(jnp.mean(a, positions), BATCH)
    var = jax.lax.pmean(jnp.mean(jnp.square(a - _per_unit(mean, a)), positions), BATCH)
    count = batch * (a.size // len(a))
    measured = Statistics(mean, var * (count / (count - 1)))
    return _scaled(norm, a, _per_unit(mean, a), _per_unit(var, a)), measured


NORMALISATIONS: dict[str, Callable[..., Normalised]] = {
    "none": _unchanged,
    "batch": _batch,
    "layer": _layer,
}
"""Kinds of normalisation by name.

- "batch": each unit, or channel, by its mean and variance over a batch's examples (and positions),
  at inference by fixed `Statistics` of the training data {cite:p}`ioffe2015`.
- "layer": each example by its mean and variance over a layer's units (channels and positions)
  {cite:p}`ba2016`.
"""


def normalise(
    kind: str | Int[Array, ""], norm: Norm | None, a: Array, statistics: Statistics | None
) -> Normalised:
    """One example normalised, and the batch's statistics or those given, None without any.

    Of a kind given by its position, which may be traced, there are no statistics.
    """
    if isinstance(kind, str):
        return NORMALISATIONS[kind](norm, a, statistics)
    functions = NORMALISATIONS.values()
    values = [lambda a, function=function: function(norm, a, None)[0] for function in functions]
    return jax.lax.switch(kind, values, a), None


def _per_unit(values: Array, a: Array) -> Array:
    return values.reshape(-1, *[1] * (a.ndim - 1))


def _scaled(norm: Norm, a: Array, mean: Array, var: Array) -> Array:
    y = (a - mean) * jax.lax.rsqrt(var + EPSILON)
    return _per_unit(norm.scale, a) * y + _per_unit(norm.shift, a)


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


ORDERS = ("standard", "norm_after_activation", "post_activation", "pre_activation")
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
        return isinstance(other, Form) and self._choices == other._choices

    def __hash__(self) -> int:
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
    h_before, u = before
    phi = activations.function(form.activation)
    if layer.alpha is not None:
        phi = partial(phi, alpha=layer.alpha)
    factor = form.branch if layer.gate is None else form.branch * layer.gate

    def add(value: Array) -> Array:
        if value.shape != h_before.shape:
            return value
        # XLA would work out 0 * h, for every layer once more through all the layers before it.
        return factor * value if form.skip is False else factor * value + form.skip * h_before

    def norm(a: Array) -> Normalised:
        return normalise(form.norm, layer.norm, a, statistics)

    def standard(z: Array) -> tuple:
        a, found = norm(z)
        h = add(phi(a)) + hidden_probe
        return a, h, h, found

    def norm_after_activation(z: Array) -> tuple:
        out, found = norm(phi(z))
        h = add(out) + hidden_probe
        return z, h, h, found

    def post_activation(z: Array) -> tuple:
        out, found = norm(z)
        a = add(out)
        h = phi(a) + hidden_probe
        return a, h, h, found

    def pre_activation(z: Array) -> tuple:
        h = add(z) + hidden_probe
        a, found = norm(h)
        return a, h, phi(a), found

    z = layer(u) + probe
    orders = standard, norm_after_activation, post_activation, pre_activation
    if isinstance(form.order, str):
        return Intermediates(z, *orders[ORDERS.index(form.order)](z))
    return Intermediates(z, *jax.lax.switch(form.order, orders, z))
