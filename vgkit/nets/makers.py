"""Networks drawn from a key or made of given arrays, and the parts that they are given."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array
from numpy.typing import ArrayLike

from vgkit import _check
from vgkit.nets.initialisers import initialiser
from vgkit.nets.layers import MLP, Conv, Layer, Net
from vgkit.nets.norms import NORMALISATIONS, ChosenNorm
from vgkit.nets.stacks import Stack


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


def conv_net(
    key: Array,
    channels: Sequence[int],
    outputs: int,
    init: str = "he_normal",
    *,
    std: float | None = None,
    kernel: int = 3,
    side: int = 8,
) -> Net:
    """Draw a small convolutional net for square images; its biases start at zero.

    Every hidden layer is convolutional and keeps the image's size. The output layer is dense and
    reads all channels and positions.

    Args:
        key: Source of all randomness, split once for each layer.
        channels: Channels of the input and of every hidden layer: (1, 8, 8) has two hidden layers.
        outputs: Units of the output layer.
        init: Initialiser of the weights, see `initialiser`. A layer's fan-in and fan-out are
            channels times the kernel's size; orthogonal weights are so as a matrix of one row for
            each output channel.
        std: Standard deviation, for `init="normal"`.
        kernel: Rows and columns of a kernel, an odd number.
        side: Rows and columns of an image.

    Raises:
        ValueError: If there are fewer than two channel numbers, a size is below 1, `kernel` is
            even, or the initialiser is unknown.
    """
    draw = initialiser(init, std)
    if len(channels) < 2:
        raise ValueError(
            f"channels must name the input and a hidden layer at least; got {channels!r}"
        )
    channels = [_check.whole("each of channels", count, 1) for count in channels]
    outputs, side = _check.whole("outputs", outputs, 1), _check.whole("side", side, 1)
    if _check.whole("kernel", kernel, 1) % 2 == 0:
        raise ValueError(f"kernel must be an odd number; got {kernel}")
    *keys, key_output = jax.random.split(key, len(channels))

    def kernels(key: Array, channels_in: int, channels_out: int) -> Array:
        if init == "orthogonal":
            matrix = draw(key, (channels_out, channels_in * kernel**2), float)
            return matrix.reshape(channels_out, channels_in, kernel, kernel)
        drawn = draw(key, (kernel, kernel, channels_out, channels_in), float)
        return drawn.transpose(2, 3, 0, 1)

    hidden = [
        Conv(kernels(key, channels_in, channels_out), jnp.zeros(channels_out))
        for key, channels_in, channels_out in zip(keys, channels[:-1], channels[1:], strict=True)
    ]
    w = draw(key_output, (outputs, channels[-1] * side**2), float)
    return [*hidden, Layer(w, jnp.zeros(outputs))]


def from_arrays(weights: Sequence[ArrayLike], biases: Sequence[ArrayLike] | None = None) -> Net:
    """Make a network of given arrays.

    Args:
        weights: One matrix of shape (fan_out, fan_in) for each layer, input side first. The first
            layers may be convolutional: (channels out, channels in, rows, columns), with an odd
            number of rows and of columns.
        biases: One vector of shape (fan_out,) for each layer; zeros if left out.

    Raises:
        ValueError: If there is no layer, the shapes do not fit together, or a number is not finite.
    """
    if not len(weights):
        raise ValueError("weights must hold at least one matrix; got none")
    weights = [jnp.asarray(w, float) for w in weights]
    for number, w in enumerate(weights, start=1):
        _check_weights(number, w, weights[number - 2] if number > 1 else None, len(weights))
    if biases is None:
        biases = [jnp.zeros(len(w)) for w in weights]
    if len(biases) != len(weights):
        raise ValueError(f"biases must hold {len(weights)} vectors; got {len(biases)}")
    biases = [jnp.asarray(b, float) for b in biases]
    for number, (w, b) in enumerate(zip(weights, biases, strict=True), start=1):
        _check.shape(f"bias of layer {number}", b, (len(w),))
    _check.finite("weights", weights)
    _check.finite("biases", biases)
    kinds = [Conv if w.ndim == 4 else Layer for w in weights]
    return [kind(w, b) for kind, w, b in zip(kinds, weights, biases, strict=True)]


def _check_weights(number: int, w: Array, before: Array | None, layers: int) -> None:
    """Require weights that fit those of the layer before."""
    name, given = f"weights of layer {number}", None if before is None else before.shape[0]
    after_image = before is not None and before.ndim == 4
    if w.ndim == 4 and number < layers and (before is None or after_image):
        _check.shape(name, w, (None, given, None, None))
        if w.shape[2] % 2 == 0 or w.shape[3] % 2 == 0:
            raise ValueError(f"{name} must have an odd number of rows and columns; got {w.shape}")
    elif after_image:
        _check.shape(name, w, (None, None))
        if math.isqrt(w.shape[1] // given) ** 2 * given != w.shape[1]:
            raise ValueError(f"{name} must read {given} square images; got shape {w.shape}")
    else:
        _check.shape(name, w, (None, given))


def equip(
    net: Net | Stack,
    *,
    norm: str | Array | None = None,
    gate: float | None = None,
    alpha: float | None = None,
) -> Net | Stack:
    r"""Give parts to the hidden layers of a network; what they have already they keep.

    Args:
        net: The network, or many stacked.
        norm: A key of `NORMALISATIONS`, started at scale 1 and shift 0; or its position there,
            which may be traced, for a `ChosenNorm`.
        gate: Start of the learnt factor on the branch of every layer that can have a skip
            connection. At 0 (ReZero) each such layer begins as the identity.
        alpha: Start of the learnt negative slope of a PReLU.

    Raises:
        ValueError: If `norm` is unknown or a number is not finite.

    Source:
        ReZero is from {cite:t}`bachlechner2021`, PReLU from {cite:t}`he2015`.
    """
    for name, value in (("gate", gate), ("alpha", alpha)):
        _check.finite(name, [] if value is None else [value])
    kind = _check.choice("norm", norm, NORMALISATIONS) if isinstance(norm, str) else None

    def parts(layer: Layer | Conv) -> Layer | Conv:
        ones, shape = jnp.ones_like(layer.b), layer.b.shape[:-1]
        new = {}
        if kind is not None:
            new["norm"] = kind(ones, jnp.zeros_like(ones))
        elif norm is not None and not isinstance(norm, str):
            kinds = jnp.broadcast_to(norm, shape)
            new["norm"] = ChosenNorm(kinds, ones, jnp.zeros_like(ones))
        fan_out, fan_in = layer.w.shape[-4:-2] if isinstance(layer, Conv) else layer.w.shape[-2:]
        if gate is not None and fan_out == fan_in:
            new["gate"] = jnp.full(shape, gate, ones.dtype)
        if alpha is not None:
            new["alpha"] = jnp.full(shape, alpha, ones.dtype)
        return layer._replace(**new)

    if isinstance(net, Stack):
        return net._replace(hidden=parts(net.hidden))
    return [*map(parts, net[:-1]), net[-1]]
