"""Networks whose hidden layers are stacked, so that one `lax.scan` runs through them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vgkit import _check, activations
from vgkit.nets.forward import hidden_layer
from vgkit.nets.initialisers import initialiser
from vgkit.nets.layers import MLP, Layer
from vgkit.nets.norms import Statistics


class Stack(NamedTuple):
    """A network whose hidden layers are all square and of one width, stacked for `lax.scan`.

    Attributes:
        hidden: w of shape (depth, width, width) and b of shape (depth, width); parts alike.
        output: The linear layer that reads the last hidden layer.
    """

    hidden: Layer
    output: Layer


def stack(net: MLP) -> Stack:
    """Stack the hidden layers of a network, so that one `lax.scan` runs through them.

    Args:
        net: Dense layers, input side first.

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

    Args:
        key: Source of all randomness, split once for each layer.
        depth: Number of hidden layers.
        width: Units of the input and of every hidden layer.
        outputs: Units of the output layer.
        init: Initialiser of the weights, see `initialiser`.
        std: Standard deviation, for `init="normal"`.

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

    Args:
        stacked: The layers.
        depth: How many of the hidden layers to take, from the input side.

    Raises:
        ValueError: If `depth` is below 1 or above the number of stacked layers.
    """
    available = len(stacked.hidden.b)
    depth = _check.whole("depth", depth, 1)
    if depth > available:
        raise ValueError(f"depth must be at most {available}, the layers stacked; got {depth}")
    layers = [jax.tree.map(lambda leaf, i=i: leaf[i], stacked.hidden) for i in range(depth)]
    return [*layers, stacked.output]


def stack_trace(
    stacked: Stack,
    x: Float[Array, " width"],
    phi: activations.Function,
    depth: int | Int[Array, ""] | None = None,
    *,
    probes: Float[Array, "layers width"] | None = None,
    hidden_probes: Float[Array, "layers width"] | None = None,
    statistics: Statistics | None = None,
    dtype: Any = None,
    **form: Any,
) -> tuple[Float[Array, " width"], Statistics | None]:
    """What the output layer is given in the network of the first `depth` layers of a stack.

    Layers beyond `depth` hand their input on unchanged. Since `depth`, the choice of `phi`, `skip`,
    `branch`, a position in `ORDERS` as `order` and the kind of a `ChosenNorm` may all be traced,
    one compilation serves every network.

    Args:
        stacked: The layers.
        x: One example.
        phi: The activation.
        depth: How many of the layers are used; all if left out.
        probes: Added to the pre-activations z.
        hidden_probes: Added to what the layers hand on, h.
        statistics: For batch normalisation at inference, with the layers on the leading axis.
        dtype: Number format, that of `x`, to which each layer is rounded when its turn comes.
        **form: `skip`, `branch`, `order` and `axis_name`, see `trace`.

    Returns:
        u of the last layer, and the statistics of a `BatchNorm` in each layer, else None.
    """
    zeros = jnp.zeros_like(stacked.hidden.b)
    depth = len(zeros) if depth is None else depth
    probes = zeros if probes is None else probes
    hidden_probes = zeros if hidden_probes is None else hidden_probes

    def step(before: tuple[Array, Array], inputs: tuple) -> tuple[tuple, Statistics | None]:
        *own, fixed, number = inputs
        if dtype is not None:
            own = jax.tree.map(lambda leaf: leaf.astype(dtype), own)
        layer, probe, hidden_probe = own
        found = hidden_layer(
            layer, before, phi, probe=probe, hidden_probe=hidden_probe, statistics=fixed, **form
        )
        after = tuple(
            jnp.where(number < depth, new, old)
            for new, old in zip((found.h, found.u), before, strict=True)
        )
        return after, found.statistics

    inputs = (stacked.hidden, probes, hidden_probes, statistics, jnp.arange(len(probes)))
    if dtype is not None:  # recomputed: XLA would widen all kept layers of a narrow format at each
        step = jax.checkpoint(step)
    (_, u), seen = jax.lax.scan(step, (x, x), inputs)
    return u, seen
