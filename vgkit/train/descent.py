"""The loop that all training here goes through."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from vgkit.train.history import Data

Loss = Callable[[Any, Array, Array], Array]


@partial(jax.jit, static_argnums=(1, 2, 3))
def batches(key: Array, examples: int, epochs: int, batch: int) -> Int[Array, "steps {batch}"]:
    """Positions of the examples of every step, shuffled anew in each epoch."""
    shuffled = jax.vmap(lambda key: jax.random.permutation(key, examples))(
        jax.random.split(key, epochs)
    )
    used = examples // batch * batch
    return shuffled[:, :used].reshape(-1, batch)


def descend(
    loss: Loss,
    params: PyTree,
    data: Data,
    order: Int[Array, "steps batch"] | None,
    optimiser: optax.GradientTransformation,
    steps: int,
    every: int,
    record: Callable[..., PyTree],
    accumulate: Callable[[PyTree, PyTree], PyTree] = lambda updates, params: (),
) -> tuple[PyTree, PyTree, optax.OptState]:
    """Train, and record the parameters' state before the first step and then after every few.

    Args:
        loss: Mean loss of a batch: (params, inputs, targets) -> scalar.
        params: Initial parameters.
        data: Examples.
        order: Positions of every step's training examples; None for all of them each time.
        optimiser: Of optax.
        steps: How many, a multiple of `every`.
        every: Steps from one record to the next.
        record: (params, steps taken, sum) -> a row.
        accumulate: (updates, params) -> what is summed over the steps between two rows; NaN before
            the first step.

    Returns:
        Trained parameters, all rows, and the optimiser's state.
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
