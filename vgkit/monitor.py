"""A part of any optax optimiser that records, layer by layer, what passes through it.

    optimiser = optax.chain(monitor.record(every=10), optax.adam(1e-3))
    ...
    history = monitor.read(opt_state)

First in a chain it records gradients, last it records updates. It changes neither. A layer here is
one array of the parameters' tree, and its name is its path there, such as "layers/0/w".
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from vgkit import _check
from vgkit._numbers import rms

__all__ = ["Record", "State", "read", "record"]


@jax.tree_util.register_static
@dataclass(frozen=True)
class _RecordedLeaf:
    """Stands for one array that is recorded; holds nothing, so that it costs nothing."""

    def __getitem__(self, _: Any) -> "_RecordedLeaf":
        return self  # so Flax before 0.12 reads the value of a variable


class State(NamedTuple):
    """What the monitor carries from step to step; its structure and shapes never change.

    Attributes:
        layout: The parameters' tree with marks for what is recorded.
        updates: How many updates have passed.
        step: Step of every row of `rows`, -1 where nothing has been written yet.
        rows: RMS, largest, zeros, non-finite and weights of every layer; the oldest row is
            overwritten.
    """

    layout: Any
    updates: Int[Array, "*batch"]
    step: Int[Array, "*batch length"]
    rows: Float[Array, "*batch length layers 5"]


class Record(NamedTuple):
    """What a monitor recorded, oldest step first: gradients or updates, by its place in the chain.

    Attributes:
        names: Path of every layer in the parameters' tree.
        step: How many updates had passed before.
        rms: Root mean square of the layer's elements.
        largest: Largest absolute value.
        zeros: Share of the elements that are exactly 0.
        non_finite: Share of the elements that are infinite or not a number; where it is not 0,
            `rms` and `largest` are not finite either.
        weights: Root mean square of the layer's parameters before the step; NaN if the optimiser
            is not given any.
        ratio: `rms` over `weights`; infinite for weights that are all 0, as new biases are.
    """

    names: tuple[str, ...]
    step: Int[np.ndarray, " steps"]
    rms: Float[np.ndarray, "*batch steps layers"]
    largest: Float[np.ndarray, "*batch steps layers"]
    zeros: Float[np.ndarray, "*batch steps layers"]
    non_finite: Float[np.ndarray, "*batch steps layers"]
    weights: Float[np.ndarray, "*batch steps layers"]
    ratio: Float[np.ndarray, "*batch steps layers"]


def record(every: int = 10, rows: int = 1000) -> optax.GradientTransformationExtraArgs:
    """A transformation for `optax.chain` that passes updates on untouched and records them.

    It works under `jax.jit`, `jax.lax.scan` and `jax.vmap`, and inside `optax.multi_transform` and
    `optax.MultiSteps`. Arrays that are empty or hold whole numbers are left out. Donate the
    optimiser's state to a jitted step, or the record is copied at every step.

    Args:
        every: Steps from one row to the next. At every tenth it costs a few percent of a step where
            layers are a thousand units wide, but can cost most of a step of a tiny network.
        rows: How many rows there are; the newest overwrite the oldest.
    """
    every = _check.int_at_least("every", every, 1)
    rows = _check.int_at_least("rows", rows, 1)

    def init(params: optax.Params) -> State:
        arrays = _recorded(params)
        if not arrays and jax.tree.leaves(params):
            kinds = sorted({str(jnp.result_type(leaf)) for leaf in jax.tree.leaves(params)})
            raise ValueError(
                f"params must hold a floating-point array; got only {', '.join(kinds)}"
            )
        dtype = jnp.result_type(jnp.float32, *(jnp.abs(array).dtype for array in arrays))
        return State(
            layout=jax.tree.map(lambda leaf: _RecordedLeaf() if _counts(leaf) else None, params),
            updates=jnp.zeros((), jnp.int32),
            step=jnp.full(rows, -1, jnp.int32),
            rows=jnp.full((rows, len(arrays), 5), jnp.nan, dtype),
        )

    def update(
        updates: optax.Updates, state: State, params: optax.Params | None = None, **_: Any
    ) -> tuple[optax.Updates, State]:
        arrays = _recorded(updates)
        weights = [None] * len(arrays) if params is None else _recorded(params)
        layers = state.rows.shape[1]
        if not len(arrays) == len(weights) == layers:
            raise ValueError(
                f"updates and params must hold the {layers} floating-point arrays of the start; "
                f"got {len(arrays)} and {len(weights)}"
            )
        if not layers:
            return updates, state
        slot = state.updates // every % rows
        due = state.updates % every == 0

        def measure() -> Array:
            pairs = zip(arrays, weights, strict=True)
            return jnp.stack([_statistics(*pair, state.rows.dtype) for pair in pairs])

        row = jax.lax.cond(due, measure, lambda: state.rows[slot])
        return updates, State(
            layout=state.layout,
            updates=optax.safe_increment(state.updates),
            step=state.step.at[slot].set(jnp.where(due, state.updates, state.step[slot])),
            rows=state.rows.at[slot].set(row),
        )

    return optax.GradientTransformationExtraArgs(init, update)


def read(state: optax.OptState) -> Record:
    """Take a monitor's record out of an optimiser's state, wherever in it the monitor stands.

    Args:
        state: State of the whole optimiser, or, if there are several monitors, of a part with one;
            the record has the leading axes that it has.

    Raises:
        ValueError: If the state does not hold one monitor, is traced, or is that of networks that
            have not taken the same steps.
    """
    nodes = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, State))
    monitors = [node for node in nodes if isinstance(node, State)]
    if len(monitors) != 1:
        raise ValueError(f"state must hold one monitor; got a state with {len(monitors)}")
    (monitor,) = monitors
    if _check.traced(monitor.step):
        raise ValueError("state must be known; got a traced one: read it outside of jax.jit")
    step, rows = np.asarray(monitor.step), np.asarray(monitor.rows)
    step, *others = step.reshape(-1, step.shape[-1])
    if any((other != step).any() for other in others):
        raise ValueError("state must be of networks that took the same steps; read one at a time")
    order = np.argsort(step)[np.sum(step < 0) :]
    size, *shares, weights = np.moveaxis(rows[..., order, :, :], -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = size / weights
    leaves = jax.tree.leaves_with_path(
        monitor.layout, is_leaf=lambda node: isinstance(node, _RecordedLeaf)
    )
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    names = [name.removesuffix("/value").removesuffix("/raw_value") for name in names]  # of Flax
    if len(set(names)) < len(names):  # such as the keys 1 and "1" of one dictionary
        names = [jax.tree_util.keystr(path) for path, _ in leaves]
    return Record(tuple(names), step[order], size, *shares, weights, ratio)


def _counts(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) and jnp.size(leaf) > 0


def _recorded(tree: Any) -> list[Array]:
    return [leaf for leaf in jax.tree.leaves(tree) if _counts(leaf)]


def _statistics(update: Array, weights: Array | None, dtype: jnp.dtype) -> Float[Array, " 5"]:
    size = jnp.abs(update).astype(dtype)
    shares = [jnp.mean(chosen, dtype=dtype) for chosen in (size == 0, ~jnp.isfinite(size))]
    of_weights = jnp.nan if weights is None else rms(jnp.abs(weights).astype(dtype))
    return jnp.array([rms(size), jnp.max(size), *shares, of_weights], dtype)
