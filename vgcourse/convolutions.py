"""A convolutional layer that can take the place of a dense one in a `nets.Net`."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check, activations, nets
from vgkit.nets.makers import assemble


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Conv(nets.Layer):
    r"""A convolutional layer: stride 1, zeros around the image, which keeps its size.

    .. math:: z_{o,y,x} = b_o + \sum_{i,r,c} W_{o,i,r,c}\, h_{i,\, y+r-r_0,\, x+c-c_0}

    Attributes:
        w: Kernels, shape (*stack, channels_out, channels_in, rows, columns), the last two odd.
        b: Biases, one for each channel, shape (*stack, channels_out).
        side: Rows and columns of an image.
    """

    side: int = dataclasses.field(default=8, metadata={"static": True})

    def __call__(self, h: Float[Array, "channels_in side side"]) -> Float[Array, "_ side side"]:
        """Pre-activation of one layer for one example."""
        # One matrix product over all patches: XLA's own convolution has no fast path on CPUs in
        # float64, nor for many networks at once.
        side, (out, _, rows, columns) = self.side, self.w.shape
        padded = jnp.pad(h, [(0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2)])
        shifted = [
            padded[:, r : r + side, c : c + side] for r in range(rows) for c in range(columns)
        ]
        patches = jnp.stack(shifted, axis=1).reshape(-1, side * side)
        z = self.w.reshape(out, -1) @ patches + self.b[:, None]
        return z.reshape(out, side, side)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of what the layer reads."""
        return (self.w.shape[-3], self.side, self.side)


def conv_net(
    key: Array,
    channels: Sequence[int],
    outputs: int,
    activation: str | activations.Function,
    *,
    init: str | nets.Initialiser = "he_normal",
    std: float | None = None,
    kernel: int = 3,
    side: int = 8,
    gate: float | None = None,
    **form: Any,
) -> nets.Net:
    """Draw a small convolutional net for square images; its biases start at zero.

    Every hidden layer is convolutional and keeps the image's size. The output layer is dense and
    reads all channels and positions. An example has the shape (channels, side, side).

    Args:
        key: Source of all randomness, split once for each layer.
        channels: Channels of the input and of every hidden layer: (1, 8, 8) has two hidden layers.
        outputs: Units of the output layer.
        activation: As for `nets.mlp`.
        init: Initialiser of the weights, as for `nets.mlp`. A layer's fan-in and fan-out are
            channels times the kernel's size; orthogonal weights are so as a matrix of one row for
            each output channel.
        std: Standard deviation, for `init="normal"`.
        kernel: Rows and columns of a kernel, an odd number.
        side: Rows and columns of an image.
        gate: As for `nets.mlp`.
        **form: `skip`, `branch`, `order` and `norm`, see `nets.Form`.
    """
    draw = nets.initialiser(init, std)
    if len(channels) < 2:
        raise ValueError(
            f"channels must name the input and a hidden layer at least; got {channels!r}"
        )
    channels = [_check.int_at_least("each of channels", count, 1) for count in channels]
    outputs, side = _check.int_at_least("outputs", outputs, 1), _check.int_at_least("side", side, 1)
    if _check.int_at_least("kernel", kernel, 1) % 2 == 0:
        raise ValueError(f"kernel must be an odd number; got {kernel}")
    *keys, last = jax.random.split(key, len(channels))

    def drawn(key: Array, channels_in: int, channels_out: int) -> Conv:
        if init == "orthogonal":
            matrix = draw(key, (channels_out, channels_in * kernel**2), float)
            w = matrix.reshape(channels_out, channels_in, kernel, kernel)
        else:  # JAX's initialisers take the axes before the last two for a receptive field
            w = draw(key, (kernel, kernel, channels_out, channels_in), float).transpose(2, 3, 0, 1)
        return Conv(w, jnp.zeros(channels_out), side=side)

    readout = nets.Layer(draw(last, (outputs, channels[-1] * side**2), float), jnp.zeros(outputs))
    layers = tuple(map(drawn, keys, channels[:-1], channels[1:]))
    return assemble(layers, readout, activation, init, gate, **form)
