"""Training by any optax optimiser, compiled as one program, with a history of every layer."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from vgkit import _check, activations, grads, nets, recurrent
from vgkit.grads.measure import loss_function, prepare

__all__ = ["History", "Run", "fit"]

Model = nets.Net | recurrent.Network


class Data(NamedTuple):
    """Examples in rows and their targets, to train on and to test with."""

    x_train: Float[Array, "examples ..."]
    y_train: Array
    x_test: Float[Array, "tests ..."] | None = None
    y_test: Array | None = None


class History(NamedTuple):
    """One training run: a row for every few steps, the initial network first.

    What has a number for each layer is of the probe batch, the first training examples, or None
    where only losses were recorded. Sizes are RMS over all elements of a layer's weights (biases
    left out), units and examples; the output layer comes last.

    Attributes:
        step: Steps taken.
        epoch: Passes through the training examples.
        train_loss: Mean loss of all training examples.
        test_loss: Mean loss of all test examples; None without any.
        train_accuracy: Share of training examples whose label has the largest output; NaN if
            targets are no whole-number labels.
        test_accuracy: The same for test examples; None without any.
        error_signal: Size of dL/dz, each example by itself.
        weight_gradient: Size of the gradient of the mean loss.
        weights: Size of the weights.
        moved: Size of the difference from the initial weights.
        update_ratio: Size of an update over that of the weights, averaged over the steps since the
            last row; NaN in the first row, before any step.
        dead: Share of a hidden layer's units whose slope is exactly 0 for all of the probe batch.
        saturated: Share of a hidden layer's slopes that are small, see `activations.saturated`.
        extra: What the function `extra` of `fit` returned.
    """

    step: Int[Array, "*rows"]
    epoch: Float[Array, "*rows"]
    train_loss: Float[Array, "*rows"]
    test_loss: Float[Array, "*rows"] | None
    train_accuracy: Float[Array, "*rows"]
    test_accuracy: Float[Array, "*rows"] | None
    error_signal: Float[Array, "*rows layers"] | None = None
    weight_gradient: Float[Array, "*rows layers"] | None = None
    weights: Float[Array, "*rows layers"] | None = None
    moved: Float[Array, "*rows layers"] | None = None
    update_ratio: Float[Array, "*rows layers"] | None = None
    dead: Float[Array, "*rows hidden"] | None = None
    saturated: Float[Array, "*rows hidden"] | None = None
    extra: Any = None


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
    probe: int = 128,
    extra: Callable | None = None,
    seeds: bool = False,
) -> Run:
    r"""Train a network, and record its state before the first step and then after every few.

    .. math:: \theta_{t+1} = \theta_t + u(g_t), \quad
              g_t = \nabla_\theta \frac{1}{B} \sum_{i \in B_t} L_i(\theta_t)

    Each epoch shuffles the training examples and cuts them into batches; less than a batch is left
    out. For several seeds at once::

        start = jax.vmap(lambda key: nets.mlp(key, widths, "relu"))(jax.random.split(key, 5))
        runs = train.fit(start, digits, optax.sgd(0.1), key=key, seeds=True)

    The compiled program is kept for the same optimiser object, `loss` and `extra`.

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
        probe: How many of the first training examples show the layers' signals, at most.
        extra: Function (net, x, signals) -> arrays to record as well, with x the probe batch and
            its `grads.Signals`.
        seeds: Whether `net` holds many networks, on a leading axis of every array, as all that is
            returned has it. Each has its own shuffling.
    """
    if not isinstance(optimiser, optax.GradientTransformation):
        raise ValueError(f"optimiser must be an optax.GradientTransformation; got {optimiser!r}")
    first = jax.tree.map(lambda leaf: leaf[0], net) if seeds else net
    data, loss = _prepared(first, data, loss)
    examples = len(data.x_train)
    epochs = _check.int_at_least("epochs", epochs, 1)
    batch = examples if batch is None else _check.int_at_least("batch", batch, 1)
    if batch > examples:
        raise ValueError(f"batch must be at most {examples}, the training examples; got {batch}")
    probe = _check.int_at_least("probe", probe, 1) if layers else None
    per_epoch = examples // batch
    every = per_epoch if every is None else _check.int_at_least("every", every, 1)
    if epochs * per_epoch % every:
        raise ValueError(f"every must divide the {epochs * per_epoch} steps; got {every}")
    keys = jax.random.split(key, len(jax.tree.leaves(net)[0])) if seeds else key
    settings = optimiser, loss, epochs, batch, every, probe, extra, seeds
    return _run(net, data, keys, settings)


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
    return Data(*arrays), loss_function(loss)


@partial(jax.jit, static_argnums=3)
def _run(net: Model, data: Data, key: Array, settings: tuple) -> Run:
    optimiser, loss, epochs, batch, every, probe, extra, seeds = settings
    examples = len(data.x_train)
    per_epoch = examples // batch

    def one(initial: Model, key: Array) -> Run:
        def record(net: Model, step: Array, ratios: Array) -> History:
            row = _scores(net, data, step, step / per_epoch, loss)
            if probe is None:
                return row
            x = data.x_train[:probe]
            signals = grads.signals(net, x, data.y_train[:probe], loss=loss)
            moved = jax.tree.map(jnp.subtract, net, initial)
            dead, saturated = _flat_shares(net, x)
            return row._replace(
                error_signal=signals.error_norms,
                weight_gradient=signals.weight_norms,
                weights=grads.per_layer(net).norms(),
                moved=grads.per_layer(moved).norms(),
                update_ratio=ratios / every,
                dead=dead,
                saturated=saturated,
                extra=None if extra is None else extra(net, x, signals),
            )

        def update_ratios(updates: Model, net: Model) -> Array:
            if probe is None:
                return jnp.zeros(())
            return grads.per_layer(updates).norms() / grads.per_layer(net).norms()

        def batch_loss(net: Model, x: Array, y: Array) -> Array:
            return mean_loss(outputs(net, x, y), y, loss)

        order = batches(key, examples, epochs, batch) if batch < examples else None
        how = optimiser, epochs * per_epoch, every, record, update_ratios
        return Run(*descend(batch_loss, initial, data, order, *how))

    return jax.vmap(one)(net, key) if seeds else one(net, key)


@partial(jax.jit, static_argnums=(1, 2, 3))
def batches(key: Array, examples: int, epochs: int, batch: int) -> Int[Array, "steps {batch}"]:
    """Positions of the examples of every step, shuffled anew in each epoch."""
    keys = jax.random.split(key, epochs)
    shuffled = jax.vmap(lambda key: jax.random.permutation(key, examples))(keys)
    return shuffled[:, : examples // batch * batch].reshape(-1, batch)


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

    `loss` is a function (params, inputs, targets) -> mean of a batch, `order` the positions of
    every step's examples, or None for all of them each time. A row comes every `every` steps, from
    `record`, a function (params, steps taken, sum): the sum of what `accumulate` made of (updates,
    params) since the last row, NaN before the first step.
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


def outputs(model: Any, x: Array, y: Array, statistics: Any = None) -> Array:
    """Outputs for a batch; a recurrent net's last, or all where targets have a time axis too."""
    if isinstance(model, nets.Net):
        return nets.forward(model, x, statistics=statistics)
    answers = jax.vmap(model)(x)
    return answers if answers.ndim < 3 or y.shape[1:2] == x.shape[1:2] else answers[:, -1]


def mean_loss(answers: Float[Array, "batch *time outputs"], y: Array, loss: grads.Loss) -> Array:
    """Mean loss of a batch, over its examples and time steps."""
    flat = answers.reshape(-1, answers.shape[-1])
    return jnp.mean(jax.vmap(loss)(flat, y.reshape(len(flat), *y.shape[answers.ndim - 1 :])))


def accuracy(answers: Float[Array, "*shape outputs"], y: Array) -> Float[Array, ""]:
    """Share of labels that have the largest output; NaN where targets are no labels."""
    if y.shape != answers.shape[:-1] or not jnp.issubdtype(y.dtype, jnp.integer):
        return jnp.full_like(answers, jnp.nan, shape=())
    return jnp.mean(jnp.argmax(answers, axis=-1) == y, dtype=answers.dtype)


def _scores(model: Any, data: Data, step: Array, epoch: Array, loss: grads.Loss) -> History:
    """Losses and accuracies now, as at inference: with the training data's statistics."""
    known = isinstance(model, nets.Net)
    statistics = nets.batch_statistics(model, data.x_train) if known else None

    def score(x: Array | None, y: Array | None) -> tuple:
        if x is None:
            return None, None
        answers = outputs(model, x, y, statistics)
        return mean_loss(answers, y, loss), accuracy(answers, y)

    train_loss, train_accuracy = score(data.x_train, data.y_train)
    test_loss, test_accuracy = score(data.x_test, data.y_test)
    return History(step, epoch, train_loss, test_loss, train_accuracy, test_accuracy)


def _flat_shares(net: nets.Net, x: Float[Array, "batch ..."]) -> tuple[Array, Array]:
    """Share of the units without slope for the whole batch, and of small slopes, of every layer."""
    small = partial(activations.saturated, net.activation)

    def flat(x: Array) -> list[tuple[Array, Array]]:
        hidden, _ = nets.intermediates(net, x)
        inputs = hidden.a if net.stacked else [here.a for here in hidden]
        return [(small(a, threshold=0.0), small(a)) for a in inputs]

    rows, dtype = jax.vmap(flat, axis_name=nets.BATCH)(x), net.readout.b.dtype
    dead = jnp.array([jnp.mean(off.all(axis=0), dtype=dtype) for off, _ in rows], dtype)
    return dead, jnp.array([jnp.mean(small, dtype=dtype) for _, small in rows], dtype)
