"""Signals of many networks as one function of numbers, for the pages' explorers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from vgkit import _check, activations, nets
from vgkit.grads import Loss, error_bound, profile

Number = int | Int[Array, ""]


def profiles(
    networks: Sequence[nets.MLP],
    x: Float[Array, "batch width"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss,
) -> Callable[..., dict[str, Array]]:
    """A function of numbers that profiles any of several networks, for an explorer.

    Args:
        networks: Networks of equal shapes whose hidden layers can be stacked.
        x: Batch of examples.
        y: Targets.
        loss: As for `weight_gradients`.

    Returns:
        A function (depth, activation, initialiser, skip), where activation and initialiser are
        positions in `ACTIVATIONS` and `networks`. It returns the arrays "error_signal",
        "weight_gradient" and "bound" per layer, and "ratio", the first layer's error signal over
        that of the last hidden layer.
    """
    stacks = [nets.stack(net) for net in networks]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *stacks)
    spectral_norms = jnp.linalg.norm(stacked.hidden.w, 2, axis=(-2, -1))
    ranges = [activation.slope_range for activation in activations.ACTIVATIONS.values()]
    slope_bounds = jnp.array([max(abs(low), abs(high)) for low, high in ranges])

    def at(
        depth: Number, activation: Number, initialiser: Number, skip: Number
    ) -> dict[str, Array]:
        depth, skip = jnp.asarray(depth), jnp.asarray(skip)
        net = jax.tree.map(lambda leaf: leaf[initialiser], stacked)
        phi = activations.by_index(activation)
        found = profile(net, x, y, loss, phi, depth, skip=skip)
        bound = error_bound(
            found.readout_signal,
            spectral_norms[initialiser],
            slope_bounds[activation],
            depth,
            skip=skip,
        )
        ratio = found.error_signal[0] / found.error_signal[depth - 1]
        return {
            "error_signal": found.error_signal,
            "weight_gradient": found.weight_gradient,
            "bound": bound,
            "ratio": ratio[None],
        }

    return at


class Skip(NamedTuple):
    """A way to lay identity skips around the layers.

    Attributes:
        skip: Whether there are any.
        branch: Factor on the branches of a net of a given depth, both single numbers.
        order: A key of `nets.ORDERS`.
    """

    skip: bool
    branch: Callable[[Array], Array | float]
    order: str = "standard"


SKIPS: dict[str, Skip] = {
    "none": Skip(False, lambda depth: 1.0),
    "unscaled": Skip(True, lambda depth: 1.0),
    "1/√L": Skip(True, lambda depth: depth**-0.5),
    "ReZero": Skip(True, lambda depth: 0.0),
    "pre-activation": Skip(True, lambda depth: 1.0, "pre_activation"),
    "pre-activation, 1/√L": Skip(True, lambda depth: depth**-0.5, "pre_activation"),
    "post-activation": Skip(True, lambda depth: 1.0, "post_activation"),
}
"""Kinds of residual nets by name. ReZero is as it starts, with all its gates at 0."""


def remedy_profiles(
    networks: Sequence[nets.MLP],
    x: Float[Array, "batch width"],
    y: Shaped[Array, "batch ..."],
    loss: str | Loss,
    names: Sequence[str] = tuple(activations.ACTIVATIONS),
    skips: Sequence[str] = tuple(SKIPS),
) -> Callable[..., dict[str, Array]]:
    """A function of numbers that profiles any combination of remedies, for an explorer.

    Args:
        networks: As for `profiles`, without normalisations.
        x: Batch of examples, at least 2.
        y: Targets.
        loss: As for `weight_gradients`.
        names: The activations to choose from.
        skips: The keys of `SKIPS` to choose from.

    Returns:
        A function (depth, activation, initialiser, normalisation, skip), all but the depth
        positions in `names`, `networks`, `nets.NORMALISATIONS` and `skips`. It returns the arrays
        "error_signal", "hidden_signal" and "weight_gradient" per layer, and "ratio", the first
        layer's hidden signal over that of the last hidden layer.

    Raises:
        ValueError: As for `weight_gradients`, or if a name is unknown.
    """
    stacks = [nets.stack(net) for net in networks]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *stacks)
    kinds = [_check.choice("each of skips", name, SKIPS) for name in skips]
    given = jnp.array([kind.skip for kind in kinds])
    orders = jnp.array([list(nets.ORDERS).index(kind.order) for kind in kinds])

    def at(
        depth: Number, activation: Number, initialiser: Number, normalisation: Number, skip: Number
    ) -> dict[str, Array]:
        depth = jnp.asarray(depth)
        net = jax.tree.map(lambda leaf: leaf[initialiser], stacked)
        branch = jnp.stack([jnp.asarray(kind.branch(depth), x.dtype) for kind in kinds])
        found = profile(
            nets.equip(net, norm=jnp.asarray(normalisation)), x, y, loss,
            activations.by_index(activation, names), depth,
            skip=given[skip], branch=branch[skip], order=orders[skip],
        )  # fmt: skip
        ratio = found.hidden_signal[0] / found.hidden_signal[depth - 1]
        return {
            "error_signal": found.error_signal,
            "hidden_signal": found.hidden_signal,
            "weight_gradient": found.weight_gradient,
            "ratio": ratio[None],
        }

    return at
