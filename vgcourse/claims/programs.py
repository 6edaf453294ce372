"""The few compiled programs that many claims share; settings are data, so that each serves all."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from vgcourse import profiles, results
from vgkit import activations, data, grads, nets, recurrent, train
from vgkit.train.descent import batches, descend

SEEDS = 5
DEPTH, WIDTH, BATCH = 50, 64, 32
NAMES = ("sigmoid", "tanh", "relu", "gelu", "silu")


def seeds() -> Array:
    """The keys of all claims."""
    return jax.random.split(jax.random.key(6), SEEDS)


@partial(jax.jit, static_argnames=("depth", "width", "init", "std"))
def draw(
    depth: int, width: int, init: str, std: float | None = None, gain: float | Array = 1.0
) -> nets.Stack:
    """Networks for the ten digits, one for each seed on the leading axis."""
    draw_one = partial(nets.mlp_stack, depth=depth, width=width, outputs=10, init=init, std=std)
    net = jax.vmap(draw_one)(seeds())
    return net._replace(hidden=net.hidden._replace(w=gain * net.hidden.w))


def signals(
    activation: str,
    init: str,
    depth: int,
    *,
    std: float | None = None,
    gain: float = 1.0,
    norm: str = "none",
    skip: str = "none",
    loss_scale: float = 1.0,
) -> grads.Profile:
    """Both signals on the first digits of networks of 64 units: (seeds, layers), as NumPy arrays.

    `norm` is a key of `nets.NORMALISATIONS`, `skip` one of `profiles.SKIPS`.
    """
    digits, kind = data.digits(), profiles.SKIPS[skip]
    found = _signals(
        draw(DEPTH, WIDTH, init, std, gain), digits.x_train[:BATCH], digits.y_train[:BATCH], depth,
        NAMES.index(activation), list(nets.NORMALISATIONS).index(norm), kind.skip,
        float(kind.branch(np.float64(depth))), list(nets.ORDERS).index(kind.order), loss_scale,
    )  # fmt: skip
    return jax.tree.map(np.asarray, found)


@jax.jit
def _signals(
    net: nets.Stack,
    x: Array,
    y: Array,
    depth: Array,
    activation: Array,
    norm: Array,
    skip: Array,
    branch: Array,
    order: Array,
    loss_scale: Array,
) -> grads.Profile:
    def loss(output: Array, label: Array) -> Array:
        return loss_scale * grads.cross_entropy(output, label)

    def one(net: nets.Stack) -> grads.Profile:
        return grads.profile(
            nets.equip(net, norm=norm), x, y, loss, activations.by_index(activation, NAMES), depth,
            skip=skip, branch=branch, order=order,
        )  # fmt: skip

    return jax.vmap(one)(net)


def share(activation: str, init: str, depth: int, **settings: Any) -> Float[np.ndarray, " seeds"]:
    """G: error signal of layer 1 over that of the last hidden layer, for every seed."""
    signal = signals(activation, init, depth, **settings).error_signal
    return signal[:, 0] / signal[:, depth - 1]


class Trained(NamedTuple):
    """Small networks before and after training, one for each seed.

    Attributes:
        net: As trained.
        loss: Mean loss of the training examples, at the start and then every 30 steps.
        accuracy: Of the test examples at the end.
        moved: RMS change of a hidden layer's weights over their RMS at the start.
        weights: RMS of a hidden layer's weights over that at the start.
        before: Signals at the start.
        after: Signals at the end.
    """

    net: nets.Stack
    loss: Float[np.ndarray, "seeds rows"]
    accuracy: Float[np.ndarray, " seeds"]
    moved: Float[np.ndarray, "seeds layers"]
    weights: Float[np.ndarray, "seeds layers"]
    before: grads.Profile
    after: grads.Profile


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
    gain: float = 1.0,
    bias: float = 0.0,
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
        gain: Factor on the initial hidden weights.
        bias: Initial biases of the hidden layers.
    """
    net = draw(TRAIN_DEPTH, TRAIN_WIDTH, init, None, gain)
    net = net._replace(hidden=net.hidden._replace(b=net.hidden.b + bias))
    found = _trained(net, _pixels(), depth, NAMES.index(activation), rate, adam, decay, frozen)
    return jax.tree.map(np.asarray, found)


def _pixels() -> train.history.Data:
    """Digits with neighbouring pixels averaged: 32 numbers of variance 1."""
    digits = data.digits()
    x = jnp.concatenate([digits.x_train[:TRAIN_EXAMPLES], digits.x_test])
    x = x.reshape(-1, TRAIN_WIDTH, 2).mean(axis=2)
    x = x / jnp.std(x)
    return train.history.Data(
        x[:TRAIN_EXAMPLES], digits.y_train[:TRAIN_EXAMPLES], x[TRAIN_EXAMPLES:], digits.y_test
    )


@jax.jit
def _trained(
    start: nets.Stack,
    given: train.history.Data,
    depth: Int[Array, ""],
    activation: Int[Array, ""],
    rate: Array,
    adam: Array,
    decay: Array,
    frozen: Array,
) -> Trained:
    phi = activations.by_index(activation, NAMES)
    learns = (jnp.arange(TRAIN_DEPTH) >= frozen).astype(float)
    scale = optax.scale_by_adam()

    def update(gradient: nets.Stack, state: Any, net: nets.Stack) -> tuple[nets.Stack, Any]:
        scaled, state = scale.update(gradient, state)
        step = jax.tree.map(
            lambda s, g, w: -rate * (jnp.where(adam, s, g) + decay * w), scaled, gradient, net
        )
        w, b = learns[:, None, None] * step.hidden.w, learns[:, None] * step.hidden.b
        return step._replace(hidden=step.hidden._replace(w=w, b=b)), state

    def outputs(net: nets.Stack, x: Array) -> Array:
        u = jax.vmap(lambda x: nets.stack_trace(net, x, phi, depth)[0])(x)
        return u @ net.output.w.T + net.output.b[None]

    def loss(net: nets.Stack, x: Array, y: Array) -> Array:
        return jnp.mean(jax.vmap(grads.cross_entropy)(outputs(net, x), y))

    def profile(net: nets.Stack) -> grads.Profile:
        x, y = given.x_train[:TRAIN_BATCH], given.y_train[:TRAIN_BATCH]
        return grads.profile(net, x, y, "cross_entropy", phi, depth)

    def one(net: nets.Stack, key: Array) -> Trained:
        order = batches(key, TRAIN_EXAMPLES, -(-STEPS * TRAIN_BATCH // TRAIN_EXAMPLES), TRAIN_BATCH)
        end, losses, _ = descend(
            loss, net, given, order, optax.GradientTransformation(scale.init, update),
            STEPS, EVERY, lambda net, *_: loss(net, given.x_train, given.y_train),
        )  # fmt: skip
        right = jnp.argmax(outputs(end, given.x_test), axis=1) == given.y_test
        size = jax.vmap(grads.rms)(net.hidden.w)
        return Trained(
            end, losses, jnp.mean(right), jax.vmap(grads.rms)(end.hidden.w - net.hidden.w) / size,
            jax.vmap(grads.rms)(end.hidden.w) / size, profile(net), profile(end),
        )  # fmt: skip

    return jax.vmap(one)(start, seeds())


TIME, UNITS = 100, 32


@jax.jit
def kept(cells: recurrent.Cell, input_size: float | Array = 1.0) -> Float[Array, " seeds"]:
    """Share of the gradient with respect to the last state that reaches the first, 100 steps back.

    For recurrent nets of 4 inputs, one for each seed on the leading axis; inputs are normal.
    """
    key_x, key_u = jax.random.split(jax.random.key(7))
    x = input_size * jax.random.normal(key_x, (4, TIME, 4))
    u = jax.random.normal(key_u, (4, cells.w_rec.shape[-1]))
    u = u / jnp.linalg.norm(u, axis=1, keepdims=True)
    return jax.vmap(lambda cell: grads.state_profile(cell, x, u).whole[0])(cells)


def league(name: str, depth: int) -> dict[str, Any]:
    """Kept training runs of 10 epochs at the best of five rates: five seeds in each row."""
    found = results.load("remedies")["runs"][name][str(depth)]
    loss = np.array(found["train_loss"], float)
    return {"accuracy": np.array(found["accuracy"]), "loss": np.where(np.isnan(loss), np.inf, loss)}
