"""Networks drawn from a key or made of given arrays."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpy.typing import ArrayLike

from vgkit import _check, activations
from vgkit.nets.initialisers import Initialiser, initialiser
from vgkit.nets.layers import Form, Layer
from vgkit.nets.net import Net, check_net
from vgkit.nets.norms import Norm

SLOPE = 0.25
"""Where the negative slope of a PReLU starts {cite:p}`he2015`."""


def mlp(
    key: Array,
    widths: Sequence[int],
    activation: str | activations.Function,
    *,
    init: str | Initialiser = "glorot_normal",
    std: float | None = None,
    stacked: bool = False,
    gate: float | None = None,
    **form: Any,
) -> Net:
    """Draw a multilayer perceptron; its biases start at zero.

    Args:
        key: Source of all randomness, split once for each layer.
        widths: Units of the input, of every hidden layer and of the output.
        activation: phi, a key of `activations.ACTIVATIONS` or a function of each element.
        init: Initialiser of the weights, see `initialiser`.
        std: Standard deviation, for `init="normal"`.
        stacked: Whether to draw the hidden layers in one array each, with the same numbers.
        gate: Start of a learnt factor on the branch of every layer that can have a skip connection,
            0 for ReZero {cite:p}`bachlechner2021`.
        **form: `skip`, `branch`, `order` and `norm`, see `Form`.

    Raises:
        ValueError: If `widths` are too few, below 1 or unequal in a stacked net, a name is unknown,
            or choices contradict each other.
    """
    draw = initialiser(init, std)
    if len(widths) < 2:
        raise ValueError(f"widths must name the input and the output at least; got {widths!r}")
    widths = [_check.int_at_least("each of widths", width, 1) for width in widths]
    *keys, last = jax.random.split(key, len(widths) - 1)
    *hidden, outputs = widths

    def drawn(key: Array, fan_in: int, fan_out: int) -> Layer:
        return Layer(draw(key, (fan_out, fan_in), float), jnp.zeros(fan_out))

    if stacked:
        if len(hidden) < 2 or len(set(hidden)) > 1:
            raise ValueError(
                f"widths must be equal up to the output's for a stacked net; got {tuple(widths)}"
            )
        layers = jax.vmap(lambda key: drawn(key, *hidden[:2]))(jnp.stack(keys))
    else:
        layers = tuple(map(drawn, keys, hidden[:-1], hidden[1:]))
    return assemble(layers, drawn(last, hidden[-1], outputs), activation, init, gate, **form)


def from_arrays(
    weights: Sequence[ArrayLike],
    biases: Sequence[ArrayLike] | None,
    activation: str | activations.Function,
    *,
    gate: float | None = None,
    **form: Any,
) -> Net:
    """Make a network of given arrays.

    Args:
        weights: One matrix of shape (fan_out, fan_in) for each layer, the readout's last.
        biases: One vector of shape (fan_out,) for each layer; zeros if None.
        activation: phi, as for `mlp`.
        gate: As for `mlp`.
        **form: As for `mlp`.

    Raises:
        ValueError: If there is no layer, the shapes do not fit together, a number is not finite, or
            as for `mlp`.
    """
    if not len(weights):
        raise ValueError("weights must hold at least one matrix; got none")
    weights, fan_in = [jnp.asarray(w, float) for w in weights], None
    biases = [jnp.zeros(len(w)) for w in weights] if biases is None else biases
    if len(biases) != len(weights):
        raise ValueError(f"biases must hold {len(weights)} vectors; got {len(biases)}")
    biases = [jnp.asarray(b, float) for b in biases]
    for number, (w, b) in enumerate(zip(weights, biases, strict=True), start=1):
        _check.shape(f"weights of layer {number}", w, (None, fan_in))
        _check.shape(f"bias of layer {number}", b, (len(w),))
        fan_in = len(w)
    _check.finite("weights", weights)
    _check.finite("biases", biases)
    *layers, readout = map(Layer, weights, biases)
    return assemble(tuple(layers), readout, activation, "given", gate, **form)


def assemble(
    layers: Any,
    readout: Any,
    activation: str | activations.Function,
    init: str | Initialiser,
    gate: float | None = None,
    **form: Any,
) -> Net:
    """A network of given layers, with the further parameters that its form needs."""
    _check.finite("gate", [] if gate is None else [gate])

    def equipped(layer: Any) -> Any:
        ones, shape, parts = jnp.ones_like(layer.b), layer.b.shape[:-1], {}
        if form.get("norm", "none") != "none":
            parts["norm"] = Norm(ones, jnp.zeros_like(ones))
        if gate is not None and layer.b.shape[-1] == layer.input_shape[0]:
            parts["gate"] = jnp.full(shape, gate, ones.dtype)
        if activation == "prelu":
            parts["alpha"] = jnp.full(shape, SLOPE, ones.dtype)
        return layer.replace(**parts)

    layers = tuple(map(equipped, layers)) if isinstance(layers, tuple) else equipped(layers)
    label = init if isinstance(init, str) else getattr(init, "__name__", "given")
    net = Net(layers, readout, Form(activation, label, **form))
    check_net(net)
    return net
