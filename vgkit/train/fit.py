"""Training by any optax optimiser, compiled as one program, with a history."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from vgkit import _check, grads, nets, recurrent
from vgkit.grads.measure import prepare
from vgkit.train.history import Data, History, mean_loss, outputs, scores, with_layers

Model = nets.Net | recurrent.Network


class Run(NamedTuple):
    """What `fit` returns.

    Attributes:
        net: The trained network.
        history: How it got there.
        state: The optimiser's last state.
    """

    net: Model
    history: History
    state: optax.OptState


def fit(
    net: Model,
    data: Any,
    optimiser: optax.GradientTransformation,
    *,
    key: Array,
    epochs: int = 20,
    batch: int | None = 32,
    loss: str | grads.Loss = "cross_entropy",
    every: int | None = None,
    layers: bool = True,
    probe: int | None = None,
    seeds: bool = False,
) -> Run:
    r"""Train a network, and record its state before the first step and then after every few.

    .. math:: \theta_{t+1} = \theta_t + u(g_t), \quad
              g_t = \nabla_\theta \frac{1}{B} \sum_{i \in B_t} L_i(\theta_t)

    Each epoch shuffles the training examples and cuts them into batches; less than a batch is left
    out. For several seeds at once::

        start = jax.vmap(lambda key: nets.mlp(key, widths, "relu"))(jax.random.split(key, 5))
        runs = train.fit(start, digits, optax.sgd(0.1), key=key, seeds=True)

    To hold the first three layers at their initial values::

        labels = net.replace(layers=("freeze",) * 3 + ("train",) * (net.depth - 3), readout="train")
        optimiser = optax.multi_transform(
            {"train": optax.sgd(0.1), "freeze": optax.set_to_zero()}, lambda _: labels
        )

    The compiled program is kept for the same optimiser object and the same `loss`.

    Args:
        net: The initial network. A `recurrent.Network` answers with its last output, or with all of
            them where the targets have a time axis too.
        data: Training examples, shape (examples, ...), and targets, and test ones if there are any.
        optimiser: u. Its state is returned, so that a `monitor` in it can be read.
        key: Source of the shuffling.
        epochs: How often the training examples are gone through.
        batch: B, examples for each step; None for all, in their order.
        loss: A key of `grads.LOSSES`, or a function (output, target) -> scalar of one example.
        every: Steps from one row of the history to the next; an epoch if left out.
        layers: Whether to record every layer's signals, of a `nets.Net`; it is slower.
        probe: How many of the first training examples show the layers' signals; at most 128 if
            left out.
        seeds: Whether `net` holds many networks, on a leading axis of every array, as all that is
            returned has it. Each has its own shuffling.

    Raises:
        ValueError: If an argument is unknown or out of range, or data do not fit or are not finite.
    """
    if not isinstance(optimiser, optax.GradientTransformation):
        raise ValueError(
            f"optimiser must be an optax.GradientTransformation, such as optax.sgd(0.1); "
            f"got {optimiser!r}"
        )
    first = jax.tree.map(lambda leaf: leaf[0], net) if seeds else net
    data, function = _prepared(first, data, loss)
    examples = len(data.x_train)
    epochs = _check.int_at_least("epochs", epochs, 1)
    batch = examples if batch is None else _check.int_at_least("batch", batch, 1)
    probe = min(128, examples) if probe is None else _check.int_at_least("probe", probe, 1)
    for name, value in (("batch", batch), ("probe", probe)):
        if value > examples:
            raise ValueError(
                f"{name} must be at most {examples}, the training examples; got {value}"
            )
    per_epoch = examples // batch
    every = per_epoch if every is None else _check.int_at_least("every", every, 1)
    if epochs * per_epoch % every:
        raise ValueError(f"every must divide the {epochs * per_epoch} steps; got {every}")
    keys = jax.random.split(key, len(jax.tree.leaves(net)[0])) if seeds else key
    probe = probe if layers else None
    return _run(net, data, keys, optimiser, function, epochs, batch, every, probe, many=seeds)


def _prepared(net: Model, data: Any, loss: str | grads.Loss) -> tuple[Data, grads.Loss]:
    """Data as arrays that fit the network, and the loss as a function."""
    if len(data) not in (2, 4):
        raise ValueError(
            f"data must hold x_train, y_train and maybe x_test, y_test; got {len(data)} arrays"
        )
    arrays = [jnp.asarray(array) for array in data]
    for part, x, y in zip(("training", "test"), arrays[::2], arrays[1::2], strict=False):
        if isinstance(net, nets.Net):
            try:
                prepare(net, x, y, loss)
            except ValueError as error:
                raise ValueError(f"{part} data: {error}") from None
        _check.finite(f"{part} data", [x])
    return Data(*arrays), grads.loss_function(loss)


@partial(jax.jit, static_argnums=range(3, 9), static_argnames="many")
def _run(
    net: Model,
    data: Data,
    key: Array,
    optimiser: optax.GradientTransformation,
    loss: grads.Loss,
    epochs: int,
    batch: int,
    every: int,
    probe: int | None,
    *,
    many: bool,
) -> Run:
    examples = len(data.x_train)
    per_epoch = examples // batch

    def one(initial: Model, key: Array) -> Run:
        def record(net: Model, step: Array, ratios: Array) -> History:
            row = scores(net, data, step, step / per_epoch, loss)
            if probe is None:
                return row
            x, y = data.x_train[:probe], data.y_train[:probe]
            return with_layers(row, net, initial, x, y, ratios / every, loss)

        def update_ratios(updates: Model, net: Model) -> Array:
            if probe is None:
                return jnp.zeros(())
            return grads.per_layer(updates).norms() / grads.per_layer(net).norms()

        def batch_loss(net: Model, x: Array, y: Array) -> Array:
            return mean_loss(outputs(net, x, y), y, loss)

        order = batches(key, examples, epochs, batch) if batch < examples else None
        steps = epochs * per_epoch
        done = descend(
            batch_loss, initial, data, order, optimiser, steps, every, record, update_ratios
        )
        return Run(*done)

    return jax.vmap(one)(net, key) if many else one(net, key)


@partial(jax.jit, static_argnums=(1, 2, 3))
def batches(key: Array, examples: int, epochs: int, batch: int) -> Int[Array, "steps {batch}"]:
    """Positions of the examples of every step, shuffled anew in each epoch."""
    shuffled = jax.vmap(lambda key: jax.random.permutation(key, examples))(
        jax.random.split(key, epochs)
    )
    used = examples // batch * batch
    return shuffled[:, :used].reshape(-1, batch)


def descend(
    loss: Callable[[PyTree, Array, Array], Array],
    params: PyTree,
    data: Data,
    order: Int[Array, "steps batch"] | None,
    optimiser: optax.GradientTransformation,
    steps: int,
    every: int,
    record: Callable[..., PyTree],
    accumulate: Callable[[PyTree, PyTree], PyTree] = lambda updates, params: (),
) -> tuple[PyTree, PyTree, optax.OptState]:
    """The loop that all training goes through: trained parameters, rows, the optimiser's state.

    Args:
        loss: Mean loss of a batch: (params, inputs, targets) -> scalar.
        params: Initial parameters.
        data: Examples.
        order: Positions of every step's training examples; None for all of them each time.
        optimiser: Of optax.
        steps: How many, a multiple of `every`.
        every: Steps from one record to the next.
        record: (params, steps taken, sum) -> a row.
        accumulate: (updates, params) -> what is summed from row to row; NaN before the first step.
    """
    optimiser = optax.with_extra_args_support(optimiser)

    def step(number: Array, carry: tuple) -> tuple:
        params, state, total = carry
        rows = slice(None) if order is None else order[number]
        x, y = data.x_train[rows], data.y_train[rows]

        def value_fn(params: PyTree) -> Array:
            return loss(params, x, y)

        value, gradient = jax.value_and_grad(value_fn)(params)
        updates, state = optimiser.update(
            gradient, state, params, value=value, grad=gradient, value_fn=value_fn
        )
        total = jax.tree.map(jnp.add, total, accumulate(updates, params))
        return optax.apply_updates(params, updates), state, total

    def row(carry: tuple, number: Array) -> tuple[tuple, PyTree]:
        # Row 0 is the initial network: no step before it, but the same program.
        before, after = jnp.maximum(number - 1, 0) * every, number * every
        start = jnp.where(number == 0, jnp.nan, 0.0)
        none = jax.tree.map(lambda a: jnp.full_like(a, start), accumulate(params, params))
        *carry, total = jax.lax.fori_loop(before, after, step, (*carry, none))
        return tuple(carry), record(carry[0], after, total)

    numbers = jnp.arange(steps // every + 1)
    (trained, state), rows = jax.lax.scan(row, (params, optimiser.init(params)), numbers)
    return trained, rows, state
