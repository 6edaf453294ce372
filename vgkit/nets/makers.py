"""Networks drawn from a key or made of given arrays, and the initialisers of their weights."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from vgkit import _check, activations
from vgkit.nets.layers import BATCH, Form, Layer, Norm, hidden_layer
from vgkit.nets.net import Net, check_net, stack, unstack

Initialiser = Callable[..., Float[Array, "fan_out fan_in"]]
"""A function (key, shape, dtype) -> weights."""
INITIALISERS: dict[str, Initialiser] = {
    f"{family}_{kind}": getattr(jax.nn.initializers, f"{family}_{kind}")(in_axis=-1, out_axis=-2)
    for family in ("lecun", "glorot", "he")
    for kind in ("normal", "uniform")
} | {"orthogonal": jax.nn.initializers.orthogonal()}
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
        widths: Units of the input, of every hidden layer and of the output; all but the last are
            equal in a stacked net.
        init: Initialiser of the weights, see `initialiser`.
        std: Standard deviation, for `init="normal"`.
        stacked: Whether to draw the hidden layers in one array each, with the same numbers.
        gate: Start of a learnt factor on the branch of every layer that can have a skip connection,
            0 for ReZero {cite:p}`bachlechner2021`.
        **form: `skip`, `branch`, `order` and `norm`, see `Form`.
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
    """Make a network of given arrays; the other arguments are those of `mlp`.

    Args:
        weights: One matrix of shape (fan_out, fan_in) for each layer, the readout's last.
        biases: One vector of shape (fan_out,) for each layer; zeros if None.
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


def initialiser(init: str | Initialiser, std: float | None = None) -> Initialiser:
    """Return an initialiser: a function (key, shape, dtype) -> weights.

    A weight has the variance 1 / fan_in ("lecun_normal", "lecun_uniform"), 2 / (fan_in + fan_out)
    ("glorot_normal", "glorot_uniform") or 2 / fan_in ("he_normal", "he_uniform"); these "normal"
    ones draw from a normal distribution cut off at two standard deviations and rescaled to that
    variance. "orthogonal" draws orthonormal rows or columns.

    Args:
        init: One of these names, "normal", or such a function.
        std: Standard deviation of a weight, for "normal" and for nothing else.
    """
    if isinstance(init, str) and init == "normal":
        if std is None or not 0 <= std < float("inf"):
            raise ValueError(f"std must be a number of at least 0 for 'normal'; got {std!r}")
        return jax.nn.initializers.normal(std)
    if std is not None:
        raise ValueError(f"std must be left out for {init!r}; got {std!r}")
    names = INITIALISERS | {"normal": None}
    return init if callable(init) else _check.choice("init", init, names)


def lsuv(net: Net, x: Float[Array, "batch ..."]) -> Net:
    r"""Layer-sequential unit-variance initialisation.

    .. math:: W_\ell = Q_\ell / \sqrt{\operatorname{Var}(Q_\ell\, u_{\ell-1})}

    Q is the orthonormal matrix nearest to the weights given. The variance is that over all units
    and examples of the batch; biases become zero.

    Args:
        net: The network; its form and every other part of its layers stay.
        x: Examples, one in each row.

    Raises:
        ValueError: If `x` does not fit, or the pre-activations of a layer do not vary.

    Source:
        {cite}`mishkin2016`.
    """
    _check.shape("x", x, (None, *net.input_shape))
    _check.finite("x", [x])
    scaled, before, form = [], (x, x), net.form
    for number, layer in enumerate([*unstack(net).layers, net.readout], start=1):
        start = layer.replace(w=_orthonormal(layer), b=jnp.zeros_like(layer.b))
        spread = jnp.std(jax.vmap(start)(before[1]))
        if not _check.traced(spread) and not spread > 0:
            raise ValueError(
                f"x must make the pre-activations of layer {number} vary; their standard "
                f"deviation is {spread}"
            )
        scaled.append(start.replace(w=start.w / spread))
        if number <= net.depth:
            run = partial(hidden_layer, scaled[-1], form=form)
            here = jax.vmap(run, axis_name=BATCH)(before)
            before = here.h, here.u
    *layers, readout = scaled
    done = unstack(net).replace(layers=tuple(layers), readout=readout, init="lsuv")
    return stack(done) if net.stacked else done


def _orthonormal(layer: Any) -> Array:
    left, _, right = jnp.linalg.svd(layer.w.reshape(len(layer.w), -1), full_matrices=False)
    return (left @ right).reshape(layer.w.shape)
