"""The same budget for several networks at once: what comes out, with its spread over seeds."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Shaped

from vgkit import _check, activations, grads, nets, recurrent
from vgkit.train.descent import batches, descend
from vgkit.train.history import Data, accuracy

Model = nets.Net | nets.Stack | recurrent.Network


class Trials(NamedTuple):
    """Several networks after the same training.

    Attributes:
        net: The trained networks, on the leading axis of every array.
        epoch: Passes through the training examples, from 0 on.
        train_loss: Mean loss of all training examples.
        test_loss: Mean loss of all test examples.
        test_accuracy: Share of test labels that have the largest output; NaN if the targets are no
            whole-number labels.
    """

    net: Any
    epoch: Int[Array, "seeds rows"]
    train_loss: Float[Array, "seeds rows"]
    test_loss: Float[Array, "seeds rows"]
    test_accuracy: Float[Array, "seeds rows"]


def trials(
    start: Model,
    data: tuple[
        Float[Array, "train ..."],
        Shaped[Array, "train ..."],
        Float[Array, "test ..."],
        Shaped[Array, "test ..."],
    ],
    optimiser: optax.GradientTransformation,
    epochs: int,
    batch: int,
    key: Array,
    *,
    loss: str | grads.Loss = "cross_entropy",
    activation: str = "tanh",
    every: int = 1,
    **form: Any,
) -> Trials:
    r"""Train several networks by the same number of steps and score them on the way.

    .. math:: \theta_{t+1} = \theta_t + u(g_t), \quad
              g_t = \nabla_\theta \frac{1}{B} \sum_{i \in B_t} L_i(\theta_t)

    One compiled program trains them all. It keeps nothing of the layers, so that it compiles and
    runs much faster than `fit`, above all with networks that are a `nets.Stack`:

        start = jax.vmap(lambda key: nets.mlp_stack(key, 20, 64, 10, "he_normal"))(keys)
        found = train.trials(start, digits, optax.sgd(0.1), 10, 64, key, activation="relu")

    Args:
        start: The initial networks, on the leading axis of every array: of layers, a `nets.Stack`,
            or a `recurrent.Network`, which answers with its last output, or with all of them where
            the targets have a time axis too.
        data: Training examples and targets, test examples and targets.
        optimiser: u.
        epochs: How often the training examples are gone through.
        batch: B, examples for each step; each network has its own shuffling.
        key: Source of the shuffling.
        loss: A key of `grads.LOSSES`, or a function (output, target) -> scalar of one output.
        activation: Name of the hidden layers' activation.
        every: Epochs from one score to the next.
        **form: `skip`, `branch` and `order`, see `nets.trace`; none for recurrent networks.

    Raises:
        ValueError: If a name is unknown, a number is out of range, or an array is not finite.
    """
    activations.function(activation)
    function = _check.choice("loss", loss, grads.LOSSES) if isinstance(loss, str) else loss
    data = Data(*map(jnp.asarray, data))
    _check.finite("data", [data.x_train, data.x_test])
    examples = len(data.x_train)
    epochs, batch = _check.whole("epochs", epochs, 1), _check.whole("batch", batch, 1)
    if batch > examples:
        raise ValueError(f"batch must be at most {examples}, the training examples; got {batch}")
    if epochs % _check.whole("every", every, 1):
        raise ValueError(f"every must divide the {epochs} epochs; got {every}")
    keys = jax.random.split(key, len(jax.tree.leaves(start)[0]))
    model = (function, activation, tuple(sorted(form.items())))
    return _run(start, data, optimiser, epochs, batch, keys, every, model)


@partial(jax.jit, static_argnums=(2, 3, 4, 6, 7))
def _run(
    start: Model,
    data: Data,
    optimiser: optax.GradientTransformation,
    epochs: int,
    batch: int,
    keys: Array,
    every: int,
    model: tuple,
) -> Trials:
    loss, activation, form = model[0], model[1], dict(model[2])
    per_epoch = len(data.x_train) // batch

    def outputs(net: Model, x: Array, statistics: Any = None) -> Array:
        if not isinstance(net, recurrent.Network):
            return nets.forward_batch(net, x, activation, statistics=statistics, **form)
        found = jax.vmap(lambda x: recurrent.outputs(net, x, activation))(x)
        every_step = data.y_train.shape[1:2] == x.shape[1:2]
        return found if every_step else found[:, -1]

    def mean_loss(outputs: Array, y: Array) -> Array:
        flat = outputs.reshape(-1, outputs.shape[-1])
        return jnp.mean(jax.vmap(loss)(flat, y.reshape(len(flat), *y.shape[outputs.ndim - 1 :])))

    def look(net: Model, step: Array, _: tuple) -> tuple[Array, ...]:
        statistics = None
        if not isinstance(net, recurrent.Network):
            statistics = nets.batch_statistics(net, data.x_train, activation, **form)
        train = outputs(net, data.x_train, statistics)
        test = outputs(net, data.x_test, statistics)
        train_loss, test_loss = mean_loss(train, data.y_train), mean_loss(test, data.y_test)
        return step // per_epoch, train_loss, test_loss, accuracy(test, data.y_test)

    def one(net: Model, key: Array) -> Trials:
        order = batches(key, len(data.x_train), epochs, batch)
        trained, kept, _ = descend(
            lambda net, x, y: mean_loss(outputs(net, x), y),
            net, data, order, optimiser, epochs * per_epoch, every * per_epoch, look,
        )  # fmt: skip
        return Trials(trained, *kept)

    return jax.vmap(one)(start, keys)
