"""The few compiled programs that many claims share; settings are data, so that each serves all."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from vgcourse import formats, results
from vgcourse.profiles import SKIPS
from vgkit import activations, data, grads, nets, recurrent, train
from vgkit.train import accuracy, batches, descend, mean_loss

SEEDS = 5
DEPTH, WIDTH, BATCH = 50, 64, 32
NAMES = ("sigmoid", "tanh", "relu", "gelu", "silu")


def seeds() -> Array:
    """The keys of all claims."""
    return jax.random.split(jax.random.key(6), SEEDS)


def first_digits() -> tuple[Array, Array]:
    """A batch of digits and their labels."""
    digits = data.digits()
    return digits.x_train[:BATCH], digits.y_train[:BATCH]


def draw(activation: str, depth: int, width: int, init: str, **settings: Any) -> nets.Net:
    """Networks for the ten digits, one for each seed on the leading axis.

    They can be normalised by `net.replace(norm=...)`. `settings` are `std`, a `gain` on the hidden
    weights and a `bias` of all hidden units.
    """
    return _draw(depth, width, init, **settings).replace(activation=activation, norm="none")


@partial(jax.jit, static_argnames=("depth", "width", "init", "std"))
def _draw(
    depth: int,
    width: int,
    init: str,
    std: float | None = None,
    gain: float | Array = 1.0,
    bias: float | Array = 0.0,
) -> nets.Net:
    def one(key: Array) -> nets.Net:
        widths = (width,) * (depth + 1) + (10,)
        net = nets.mlp(key, widths, "identity", init=init, std=std, norm="layer", stacked=True)
        layers = net.layers.replace(w=gain * net.layers.w, b=net.layers.b + bias)
        return net.replace(layers=layers)

    return jax.vmap(one)(seeds())


class Norms(NamedTuple):
    """RMS of both signals in every hidden layer."""

    error_signals: Float[Array | np.ndarray, "*seeds layers"]
    weight_gradients: Float[Array | np.ndarray, "*seeds layers"]


def norms(net: nets.Net, x: Array, y: Array, loss: Any = "cross_entropy") -> Norms:
    """Norms of one network on a batch."""
    signals = grads.signals(net, x, y, loss=loss)
    return Norms(signals.error_norms[:-1], signals.weight_norms[:-1])


def first_over_last(
    layers: Float[Array | np.ndarray, "seeds layers"],
) -> Float[Array | np.ndarray, " seeds"]:
    """What layer 1 has over what the last hidden layer has, for every seed."""
    return layers[:, 0] / layers[:, -1]


def norms_at_start(
    activation: str,
    init: str,
    depth: int,
    *,
    norm: str = "none",
    skip: str = "none",
    loss_scale: float = 1.0,
    **settings: Any,
) -> Norms:
    """Norms on the first digits of networks of 64 units: (seeds, layers), as NumPy arrays.

    Args:
        activation: One of `NAMES`.
        init: Initialiser.
        depth: Hidden layers.
        norm: A key of `nets.NORMALISATIONS`.
        skip: A key of `SKIPS`.
        loss_scale: Factor on the loss.
        **settings: As for `draw`.
    """
    form = nets.Form(activation, **SKIPS[skip](depth))
    choices = {
        "depth": depth,
        "skip": form.skip,
        "branch": form.branch,
        "order": list(nets.ORDERS).index(form.order),
        "norm": list(nets.NORMALISATIONS).index(norm),
    }
    networks = draw("identity", DEPTH, WIDTH, init, **settings)
    layers = _norms(networks, *first_digits(), NAMES.index(activation), choices, loss_scale)
    return jax.tree.map(lambda numbers: np.asarray(numbers)[:, :depth], layers)


@jax.jit
def _norms(
    networks: nets.Net,
    x: Array,
    y: Array,
    activation: Array,
    choices: dict[str, Array],
    loss_scale: Array,
) -> Norms:
    def loss(output: Array, label: Array) -> Array:
        return loss_scale * grads.cross_entropy(output, label)

    phi = activations.by_index(activation, NAMES)
    return jax.vmap(lambda net: norms(net.replace(activation=phi, **choices), x, y, loss))(networks)


def ratio(activation: str, init: str, depth: int, **settings: Any) -> Float[np.ndarray, " seeds"]:
    """G: error signal of layer 1 over that of the last hidden layer, for every seed."""
    return first_over_last(norms_at_start(activation, init, depth, **settings).error_signals)


@partial(jax.jit, static_argnames="dtype")
def first_layer_error(networks: nets.Net, x: Array, y: Array, dtype: str) -> formats.FormatError:
    """Error of layer 1's weight gradient in a number format, for every seed."""

    def one(net: nets.Net) -> formats.FormatError:
        narrow, exact = (grads.signals(net, x, y, dtype=name) for name in (dtype, "float64"))
        errors = formats.format_errors(narrow, exact).weight_gradients
        return jax.tree.map(lambda layers: layers[0], errors)

    return jax.vmap(one)(networks)


class Trained(NamedTuple):
    """Small networks before and after training, one for each seed.

    Attributes:
        loss: Mean loss of the training examples, at the start and then every 30 steps.
        accuracy: Of the test examples at the end.
        moved: RMS change of a hidden layer's weights over their RMS at the start.
        weights: RMS of a hidden layer's weights over that at the start.
        ratio: G at the start.
    """

    loss: Float[Array | np.ndarray, "*seeds rows"]
    accuracy: Float[Array | np.ndarray, "*seeds"]
    moved: Float[Array | np.ndarray, "*seeds layers"]
    weights: Float[Array | np.ndarray, "*seeds layers"]
    ratio: Float[Array | np.ndarray, "*seeds"]


STEPS, EVERY, TRAIN_WIDTH, TRAIN_DEPTH, TRAIN_EXAMPLES, TRAIN_BATCH = 300, 30, 32, 8, 512, 64


def trained(
    activation: str,
    init: str,
    depth: int,
    rate: float,
    *,
    adam: bool = False,
    decay: float = 0.0,
    frozen: int = 0,
    **settings: Any,
) -> Trained:
    """Train networks of up to 8 layers of 32 units on digits of 32 pixels, for 300 steps.

    Args:
        activation: One of `NAMES`.
        init: Initialiser.
        depth: Hidden layers.
        rate: Learning rate.
        adam: Whether by Adam; else by gradient descent.
        decay: Weight decay, added to the gradient as decay * weights.
        frozen: How many of the first layers are held.
        **settings: As for `draw`.
    """
    start = draw("identity", TRAIN_DEPTH, TRAIN_WIDTH, init, **settings)
    index = NAMES.index(activation)
    return jax.tree.map(
        np.asarray, _trained(start, _pixels(), depth, index, rate, adam, decay, frozen)
    )


def _pixels() -> train.Data:
    """Digits with neighbouring pixels averaged: 32 numbers of variance 1."""
    digits = data.digits()
    x = jnp.concatenate([digits.x_train[:TRAIN_EXAMPLES], digits.x_test])
    x = x.reshape(-1, TRAIN_WIDTH, 2).mean(axis=2)
    x = x / jnp.std(x)
    return train.Data(
        x[:TRAIN_EXAMPLES], digits.y_train[:TRAIN_EXAMPLES], x[TRAIN_EXAMPLES:], digits.y_test
    )


@jax.jit
def _trained(
    start: nets.Net,
    digits: train.Data,
    depth: Array,
    activation: Array,
    rate: Array,
    adam: Array,
    decay: Array,
    frozen: Array,
) -> Trained:
    scale = optax.scale_by_adam()

    def update(gradient: nets.Net, state: Any, net: nets.Net) -> tuple[nets.Net, Any]:
        scaled, state = scale.update(gradient, state)
        step = jax.tree.map(
            lambda s, g, w: -rate * (jnp.where(adam, s, g) + decay * w), scaled, gradient, net
        )
        learns = jnp.arange(TRAIN_DEPTH) >= frozen
        layers = jax.tree.map(
            lambda leaf: leaf * learns.reshape(-1, *[1] * (leaf.ndim - 1)), step.layers
        )
        return step.replace(layers=layers), state

    def loss(net: nets.Net, x: Array, y: Array) -> Array:
        return mean_loss(nets.forward(net, x), y, grads.cross_entropy)

    def size(w: Array) -> Array:
        return jax.vmap(grads.rms)(w)

    def one(net: nets.Net, key: Array) -> Trained:
        net = net.replace(depth=depth, activation=activations.by_index(activation, NAMES))
        x, y = digits.x_train[:TRAIN_BATCH], digits.y_train[:TRAIN_BATCH]
        epochs = -(-STEPS * TRAIN_BATCH // TRAIN_EXAMPLES)
        end, losses, _ = descend(
            loss, net, digits, batches(key, TRAIN_EXAMPLES, epochs, TRAIN_BATCH),
            optax.GradientTransformation(scale.init, update), STEPS, EVERY,
            lambda net, *_: loss(net, digits.x_train, digits.y_train),
        )  # fmt: skip
        before, after = net.layers.w, end.layers.w
        return Trained(
            loss=losses,
            accuracy=accuracy(nets.forward(end, digits.x_test), digits.y_test),
            moved=size(after - before) / size(before),
            weights=size(after) / size(before),
            ratio=grads.signals(net, x, y).ratio,
        )

    return jax.vmap(one)(start, seeds())


TIME, UNITS = 100, 32


@jax.jit
def state_ratio(cells: recurrent.Cell, input_size: float | Array = 1.0) -> Float[Array, " seeds"]:
    """Share of the gradient with respect to the last state that reaches the first, 100 steps back.

    For recurrent nets of 4 inputs, one for each seed on the leading axis; inputs are normal.
    """
    key_x, key_u = jax.random.split(jax.random.key(7))
    x = input_size * jax.random.normal(key_x, (4, TIME, 4))
    u = jax.random.normal(key_u, (4, cells.w_rec.shape[-1]))
    u = u / jnp.linalg.norm(u, axis=1, keepdims=True)
    return jax.vmap(lambda cell: grads.state_norms(cell, x, u).state[0])(cells)


def load_remedy_runs(name: str, depth: int) -> dict[str, np.ndarray]:
    """Stored runs of 10 epochs at the best of five rates: five seeds in each row."""
    run = results.load("remedies")["runs"][name][str(depth)]
    loss = np.array(run["train_loss"], float)
    return {"accuracy": np.array(run["accuracy"]), "loss": np.where(np.isnan(loss), np.inf, loss)}


def final_accuracy(name: str, depth: int) -> Float[np.ndarray, " seeds"]:
    """Test accuracy at the end of these runs."""
    return load_remedy_runs(name, depth)["accuracy"][:, -1]
