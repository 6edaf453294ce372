"""The layers that networks are made of, and what they do to one example."""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit.nets.norms import Norm


class Layer(NamedTuple):
    """Weights and biases of one dense layer, or of many stacked on leading axes.

    Attributes:
        w: Weights.
        b: Biases.
        norm: Normalisation, or None.
        gate: Learnt factor on the branch of a layer with a skip connection, or None for 1.
        alpha: Learnt negative slope of a PReLU, or None.
    """

    w: Float[Array, "*stack fan_out fan_in"]
    b: Float[Array, "*stack fan_out"]
    norm: Norm | None = None
    gate: Float[Array, "*stack"] | None = None
    alpha: Float[Array, "*stack"] | None = None


class Conv(NamedTuple):
    """A convolutional layer: stride 1, zeros around the image, which keeps its size.

    Attributes:
        w: Kernels.
        b: Biases, one for each channel.
        norm: Normalisation, or None.
        gate: Learnt factor on the branch of a layer with a skip connection, or None for 1.
        alpha: Learnt negative slope of a PReLU, or None.
    """

    w: Float[Array, "*stack channels_out channels_in rows columns"]
    b: Float[Array, "*stack channels_out"]
    norm: Norm | None = None
    gate: Float[Array, "*stack"] | None = None
    alpha: Float[Array, "*stack"] | None = None


MLP = list[Layer]
"""A multilayer perceptron, as its layers, input side first."""
Net = list[Layer | Conv]
"""A network, as its layers, input side first."""


def linear(layer: Layer | Conv, h: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Weights and biases on what the layer before hands on.

    .. math:: z = W h + b \quad \text{or, for channel } o, \quad
              z_{o,y,x} = b_o + \sum_{i,r,c} W_{o,i,r,c}\, h_{i,\, y+r-r_0,\, x+c-c_0}

    A dense layer takes an image as one long vector.
    """
    if isinstance(layer, Layer):
        return layer.w @ h.ravel() + layer.b
    # One matrix product over all patches: XLA's own convolution has no fast path on CPUs in
    # float64, nor for many networks at once.
    _, side, width = h.shape
    out, _, rows, columns = layer.w.shape
    padded = jnp.pad(h, [(0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2)])
    shifted = [padded[:, r : r + side, c : c + width] for r in range(rows) for c in range(columns)]
    patches = jnp.stack(shifted, axis=1).reshape(-1, side * width)
    return (layer.w.reshape(out, -1) @ patches + layer.b[:, None]).reshape(out, side, width)


def as_input(net: Net, x: Float[Array, " inputs"]) -> Float[Array, "..."]:
    """One example as the first layer wants it: a vector, or a square image."""
    if isinstance(net[0], Layer):
        return x
    side = image_side(net)
    return x.reshape(-1, side, side)


def image_side(net: Net) -> int:
    """Rows of the images of a convolutional net, told by its first dense layer's weights."""
    channels, pixels = net[0].w.shape[0], 0
    for layer in net:
        if isinstance(layer, Layer):
            pixels = layer.w.shape[-1] // channels
            break
        channels = layer.w.shape[0]
    return math.isqrt(pixels)


def input_size(net: Net) -> int:
    """Number of values in one example.

    Args:
        net: Layers, input side first.
    """
    if isinstance(net[0], Layer):
        return net[0].w.shape[-1]
    return net[0].w.shape[1] * image_side(net) ** 2
