"""Training by any optax optimiser, compiled as one program, with a history."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import optax
from jaxtyping import Array, Float, Int, Shaped

from vgkit import _check, activations, grads, nets
from vgkit.grads.signals import prepare_net
from vgkit.train.descent import batches, descend
from vgkit.train.history import Data, History, mean_loss, measure

Progress = Callable[[int, int], None]


class Run(NamedTuple):
    """What `fit` returns.

    Attributes:
        net: The trained network, of the same shapes as before.
        history: How it got there.
        state: The optimiser's last state.
    """

    net: nets.Net
    history: History
    state: optax.OptState


def fit(
    net: nets.Net,
    data: tuple[
        Float[Array, "train inputs"],
        Shaped[Array, "train ..."],
        Float[Array, "test inputs"],
        Shaped[Array, "test ..."],
    ],
    optimiser: optax.GradientTransformation,
    epochs: int,
    batch: int | None,
    key: Array,
    *,
    loss: str | grads.Loss = "cross_entropy",
    activation: str = "tanh",
    every: int | None = None,
    probe: int | None = None,
    progress: Progress | None = None,
    **form: Any,
) -> Run:
    r"""Train a network and look at it before the first step and then again and again.

    .. math:: \theta_{t+1} = \theta_t + u(g_t), \quad
              g_t = \nabla_\theta \frac{1}{B} \sum_{i \in B_t} L_i(\theta_t)

    Each epoch shuffles the training examples and cuts them into batches; what is left over, less
    than a batch, sits this epoch out. For several seeds at once::

        keys = jax.random.split(key, 5)
        start = jax.vmap(lambda key: nets.mlp(key, widths))(keys)
        fit = lambda net, key: train.fit(net, digits, optimiser, 20, 32, key)
        runs = jax.vmap(fit)(start, keys)

    To hold the first three layers at their initial values::

        optimiser = optax.multi_transform(
            {"train": optax.sgd(0.1), "freeze": optax.set_to_zero()},
            lambda net: ["freeze"] * 3 + ["train"] * (len(net) - 3),
        )

    Make an optimiser once and use it again: the compiled program is kept for the same optimiser
    object, and for the same `loss` and `progress`.

    Args:
        net: Layers, input side first: the initial values.
        data: Training examples and targets, test examples and targets, such as `data.digits()`.
        optimiser: u. Its state is returned, so that a `monitor` in it can be read.
        epochs: How often the training examples are gone through.
        batch: B, examples for each step; None for all, in their order.
        key: Source of the shuffling.
        loss: A key of `grads.LOSSES`, or a function (output, target) -> scalar of one example.
        activation: Name of the hidden layers' activation.
        every: Steps from one row of the history to the next; an epoch if left out.
        probe: How many of the first training examples show the layers' signals; 128 if left out,
            or all where there are fewer.
        progress: Called with the steps taken and the steps in all at every row, such as
            `show_progress`.
        **form: `skip`, `branch` and `order`, see `nets.trace`. A batch normalisation takes the
            statistics of each batch; for the test examples, those of all training examples.

    Raises:
        ValueError: If an argument is unknown or out of range, the data do not fit the network or
            are not finite, or `every` does not divide the number of steps.
    """
    activations.function(activation)
    if not isinstance(optimiser, optax.GradientTransformation):
        raise ValueError(
            f"optimiser must be an optax.GradientTransformation, such as optax.sgd(0.1); "
            f"got {optimiser!r}"
        )
    if len(data) != 4:
        raise ValueError(f"data must hold x_train, y_train, x_test, y_test; got {len(data)} arrays")
    checked: list[Array] = []
    for part, x, y in (("training", *data[:2]), ("test", *data[2:])):
        try:
            x, y, function = prepare_net(net, x, y, loss)
        except ValueError as error:
            raise ValueError(f"{part} data: {error}") from None
        checked += [x, y]
    examples = len(checked[0])
    epochs = _check.whole("epochs", epochs, 1)
    batch = examples if batch is None else _check.whole("batch", batch, 1)
    probe = min(128, examples) if probe is None else _check.whole("probe", probe, 1)
    for name, value in (("batch", batch), ("probe", probe)):
        if value > examples:
            raise ValueError(
                f"{name} must be at most {examples}, the training examples; got {value}"
            )
    steps = epochs * (examples // batch)
    every = examples // batch if every is None else _check.whole("every", every, 1)
    if steps % every:
        raise ValueError(f"every must divide the {steps} steps; got {every}")
    order = None if batch == examples else batches(key, examples, epochs, batch)
    return _run(
        net, Data(*checked), order, optimiser, function, activation,
        tuple(sorted(form.items())), steps, every, examples // batch, probe, progress,
    )  # fmt: skip


@partial(jax.jit, static_argnums=range(3, 12))
def _run(
    net: nets.Net,
    data: Data,
    order: Int[Array, "steps batch"] | None,
    optimiser: optax.GradientTransformation,
    loss: grads.Loss,
    activation: str,
    form: tuple[tuple[str, Any], ...],
    steps: int,
    every: int,
    per_epoch: int,
    probe: int,
    progress: Progress | None,
) -> Run:
    model, initial = {"loss": loss, "activation": activation, **dict(form)}, net

    def look(net: nets.Net, step: Array, ratios: Array) -> History:
        if progress is not None:
            jax.debug.callback(progress, step, steps)
        return measure(
            net, initial, data, probe,
            step=step, epoch=step / per_epoch, update_ratio=ratios / every, **model,
        )  # fmt: skip

    def update_ratios(updates: nets.Net, net: nets.Net) -> Array:
        return grads.weight_norms(updates) / grads.weight_norms(net)

    return Run(
        *descend(
            lambda net, x, y: mean_loss(net, x, y, **model)[0],
            net, data, order, optimiser, steps, every, look, update_ratios,
        )
    )  # fmt: skip


def show_progress(step: int, steps: int) -> None:
    """Show how far a run has got, on one line of text that is written over.

    Args:
        step: Steps taken so far.
        steps: Steps in all.
    """
    end = "\n" if step == steps else ""
    print(f"\rstep {step} of {steps} ({step / steps:.0%})", end=end, file=sys.stderr, flush=True)
