"""Multilayer perceptrons as plain pytrees, written for one example; batch them with `jax.vmap`.

A network is a list of `Layer`, input side first. Layer l computes z_l = W_l h_(l-1) + b_l and, but
for the last, h_l = phi(z_l). The last layer is linear: its z is the network's output.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from numpy.typing import ArrayLike

from vgkit import _check, activations

Initialiser = Callable[..., Float[Array, "fan_out fan_in"]]


class Layer(NamedTuple):
    """Weights and biases of one dense layer, or of many stacked on leading axes."""

    w: Float[Array, "*stack fan_out fan_in"]
    b: Float[Array, "*stack fan_out"]


MLP = list[Layer]


class Stack(NamedTuple):
    """A network whose hidden layers are all square and of one width, stacked for `lax.scan`.

    Attributes:
        hidden: w of shape (depth, width, width) and b of shape (depth, width).
        output: The linear layer that reads the last hidden layer.
    """

    hidden: Layer
    output: Layer


_FANS = {"in_axis": -1, "out_axis": -2}
INITIALISERS: dict[str, Initialiser] = {
    "lecun_normal": jax.nn.initializers.lecun_normal(**_FANS),
    "lecun_uniform": jax.nn.initializers.lecun_uniform(**_FANS),
    "glorot_normal": jax.nn.initializers.glorot_normal(**_FANS),
    "glorot_uniform": jax.nn.initializers.glorot_uniform(**_FANS),
    "he_normal": jax.nn.initializers.he_normal(**_FANS),
    "he_uniform": jax.nn.initializers.he_uniform(**_FANS),
    "orthogonal": jax.nn.initializers.orthogonal(),
}
"""Initialisers without a parameter, from `jax.nn.initializers`.

The variance of a weight is 1 / fan_in (LeCun), 2 / (fan_in + fan_out) (Glorot) or 2 / fan_in (He).
JAX's "normal" forms draw from a normal distribution cut off at two standard deviations and rescaled
to that variance. `normal`, which takes a standard deviation, is not cut off.
"""


def initialiser(name: str, std: float | None = None) -> Initialiser:
    """Return the initialiser called `name`: a function (key, shape, dtype) -> weights.

    Args:
        name: A key of `INITIALISERS`, or "normal".
        std: Standard deviation of a weight, for "normal" and for nothing else.

    Raises:
        ValueError: If the name is unknown, or `std` is missing, superfluous, negative or not
            finite.
    """
    if name == "normal":
        if std is None or not 0 <= std < float("inf"):
            raise ValueError(f"std must be a number of at least 0 for 'normal'; got {std!r}")
        return jax.nn.initializers.normal(std)
    if name not in INITIALISERS:
        names = ", ".join([*INITIALISERS, "normal"])
        raise ValueError(f"initialiser must be one of {names}; got {name!r}")
    if std is not None:
        raise ValueError(f"std must be left out for {name!r}; got {std!r}")
    return INITIALISERS[name]


def mlp(
    key: Array,
    widths: Sequence[int],
    init: str = "glorot_normal",
    *,
    std: float | None = None,
) -> MLP:
    """Draw a multilayer perceptron; its biases start at zero.

    Args:
        key: Source of all randomness, split once for each layer.
        widths: Units of the input, of every hidden layer and of the output: (64, 32, 32, 10) is a
            network with two hidden layers.
        init: Initialiser of the weights, see `initialiser`.
        std: Standard deviation, for `init="normal"`.

    Returns:
        One layer for each pair of neighbouring widths, input side first.

    Raises:
        ValueError: If there are fewer than two widths, one of them is below 1, or the initialiser
            is unknown.
    """
    draw = initialiser(init, std)
    if len(widths) < 2:
        raise ValueError(f"widths must name the input and the output at least; got {widths!r}")
    widths = [_check.whole("each of widths", width, 1) for width in widths]
    keys = jax.random.split(key, len(widths) - 1)
    return [
        Layer(draw(key, (fan_out, fan_in), float), jnp.zeros(fan_out))
        for key, fan_in, fan_out in zip(keys, widths[:-1], widths[1:], strict=True)
    ]


def from_arrays(weights: Sequence[ArrayLike], biases: Sequence[ArrayLike] | None = None) -> MLP:
    """Make a network of given arrays.

    Args:
        weights: One matrix of shape (fan_out, fan_in) for each layer, input side first.
        biases: One vector of shape (fan_out,) for each layer; zeros if left out.

    Raises:
        ValueError: If there is no layer, the shapes do not fit together, or a number is not finite.
    """
    if not len(weights):
        raise ValueError("weights must hold at least one matrix; got none")
    weights = [jnp.asarray(w, float) for w in weights]
    for number, w in enumerate(weights, start=1):
        fan_in = weights[number - 2].shape[0] if number > 1 else None
        _check.shape(f"weights of layer {number}", w, (None, fan_in))
    if biases is None:
        biases = [jnp.zeros(len(w)) for w in weights]
    if len(biases) != len(weights):
        raise ValueError(f"biases must hold {len(weights)} vectors; got {len(biases)}")
    biases = [jnp.asarray(b, float) for b in biases]
    for number, (w, b) in enumerate(zip(weights, biases, strict=True), start=1):
        _check.shape(f"bias of layer {number}", b, (len(w),))
    _check.finite("weights", weights)
    _check.finite("biases", biases)
    return [Layer(w, b) for w, b in zip(weights, biases, strict=True)]


def probes(net: MLP) -> list[Float[Array, " _fan_out"]]:
    """Zeros of the shape of every layer's pre-activation.

    `forward` adds them to the pre-activations. The gradient of a loss with respect to a probe is
    that layer's error signal, delta_l = dL/dz_l.
    """
    return [jnp.zeros_like(layer.b) for layer in net]


def dense(
    layer: Layer,
    h: Float[Array, " fan_in"],
    phi: activations.Function,
    skip: bool | Array = False,
    probe: Float[Array, " fan_out"] | float = 0.0,
) -> Float[Array, " fan_out"]:
    r"""One hidden layer.

    .. math:: h_\ell = \phi(W_\ell h_{\ell-1} + b_\ell) + s\, h_{\ell-1}, \quad s \in \{0, 1\}

    Only a layer with fan_in = fan_out can have a skip connection; any other goes without.
    """
    return _activate(layer.w @ h + layer.b + probe, h, phi, skip)


def _activate(z: Array, h: Array, phi: activations.Function, skip: bool | Array) -> Array:
    out = phi(z)
    return out + skip * h if out.shape == h.shape else out


def pre_activations(
    net: MLP,
    x: Float[Array, " fan_in"],
    activation: str = "tanh",
    *,
    skip: bool = False,
    probes: Sequence[Float[Array, " _fan_out"]] | None = None,
) -> list[Float[Array, " _fan_out"]]:
    r"""Pre-activations of every layer for one example; the last is the network's output.

    .. math:: z_\ell = W_\ell h_{\ell-1} + b_\ell \ (+ \text{probe}_\ell)

    Args:
        net: Layers, input side first.
        x: One example.
        activation: Name of the hidden layers' activation.
        skip: Whether hidden layers add their input to their output, where the shapes agree.
        probes: Added to the pre-activations, see `probes`.

    Raises:
        ValueError: If the activation is unknown or `x` does not fit the first layer.
    """
    phi = activations.function(activation)
    _check.shape("x", x, (net[0].w.shape[1],))
    found, h = [], x
    for layer, probe in zip(net, probes or [0.0] * len(net), strict=True):
        if found:
            h = _activate(found[-1], h, phi, skip)
        found.append(layer.w @ h + layer.b + probe)
    return found


def forward(
    net: MLP,
    x: Float[Array, " fan_in"],
    activation: str = "tanh",
    *,
    skip: bool = False,
    probes: Sequence[Float[Array, " _fan_out"]] | None = None,
) -> Float[Array, " outputs"]:
    """Output of the network for one example: the last of its `pre_activations`, see there."""
    return pre_activations(net, x, activation, skip=skip, probes=probes)[-1]


def stack(net: MLP) -> Stack:
    """Stack the hidden layers of a network, so that one `lax.scan` runs through them.

    Raises:
        ValueError: If there is no hidden layer, or the hidden layers are not square and of one
            width (the input included).
    """
    *hidden, output = net
    if not hidden:
        raise ValueError("net must have at least one hidden layer; got none")
    width = hidden[0].w.shape[0]
    for number, layer in enumerate(hidden, start=1):
        _check.shape(f"weights of layer {number}", layer.w, (width, width))
    return Stack(jax.tree.map(lambda *leaves: jnp.stack(leaves), *hidden), output)


def mlp_stack(
    key: Array,
    depth: int,
    width: int,
    outputs: int,
    init: str = "glorot_normal",
    *,
    std: float | None = None,
) -> Stack:
    """Draw a network of equal layers in one piece, which compiles quickly however deep it is.

    The numbers are those of `stack(mlp(key, (width,) * (depth + 1) + (outputs,), init))`.

    Raises:
        ValueError: If `depth`, `width` or `outputs` is below 1, or the initialiser is unknown.
    """
    draw = initialiser(init, std)
    depth = _check.whole("depth", depth, 1)
    width, outputs = _check.whole("width", width, 1), _check.whole("outputs", outputs, 1)
    keys = jax.random.split(key, depth + 1)
    hidden = jax.vmap(lambda key: draw(key, (width, width), float))(keys[:-1])
    return Stack(
        Layer(hidden, jnp.zeros((depth, width))),
        Layer(draw(keys[-1], (outputs, width), float), jnp.zeros(outputs)),
    )


def unstack(stacked: Stack, depth: int) -> MLP:
    """The ordinary network of the first `depth` hidden layers of a stack and its output layer.

    Raises:
        ValueError: If `depth` is below 1 or above the number of stacked layers.
    """
    available = len(stacked.hidden.b)
    depth = _check.whole("depth", depth, 1)
    if depth > available:
        raise ValueError(f"depth must be at most {available}, the layers stacked; got {depth}")
    return [Layer(stacked.hidden.w[i], stacked.hidden.b[i]) for i in range(depth)] + [
        stacked.output
    ]


def hidden_stack(
    stacked: Stack,
    x: Float[Array, " width"],
    phi: activations.Function,
    depth: int | Int[Array, ""],
    *,
    skip: bool | Array = False,
    probes: Float[Array, "layers width"] | None = None,
) -> Float[Array, " width"]:
    """Last hidden layer's output in the network of the first `depth` layers of a stack.

    Layers beyond `depth` hand their input on unchanged. Since `depth`, `skip` and the choice of
    `phi` may all be traced, one compilation serves every depth.
    """
    if probes is None:
        probes = jnp.zeros_like(stacked.hidden.b)

    def step(h: Array, inputs: tuple) -> tuple[Array, None]:
        layer, probe, number = inputs
        return jnp.where(number < depth, dense(layer, h, phi, skip, probe), h), None

    h, _ = jax.lax.scan(step, x, (stacked.hidden, probes, jnp.arange(len(probes))))
    return h
