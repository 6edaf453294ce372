"""Gradients of many networks as one function of numbers, for the pages' explorers."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from vgcourse import charts
from vgkit import _check, activations, grads, nets

Number = int | Int[Array, ""]
ACTIVATIONS = tuple(name for name in activations.ACTIVATIONS if name != "gelu_tanh")
"""Activations that the explorers offer: of GELU the exact form alone."""


def error_bound(
    readout_signal: Float[Array, ""],
    spectral_norms: Float[Array, " layers"],
    slope_bound: float | Float[Array, ""],
    depth: int | Int[Array, ""],
    *,
    skip: bool | Array = False,
) -> Float[Array, " layers"]:
    r"""The most that the error signals can be, whatever the input.

    .. math:: \|\delta_\ell\| \le s\, \|dL/dh_{L-1}\|
              \prod_{k=\ell+1}^{L-1} (s \|W_k\|_2 + \sigma)

    with s the largest absolute slope and sigma = 1 for identity skips, else 0. It follows from the
    chain rule, as no factor of a product can stretch a vector by more than its spectral norm.

    Args:
        readout_signal: Size of dL/dh of the last hidden layer, `Signals.hidden_norms`.
        spectral_norms: Largest singular value of every hidden layer's weights.
        slope_bound: s.
        depth: Number of hidden layers, at most the length of `spectral_norms`.
        skip: Whether hidden layers have identity skip connections.

    Returns:
        One bound for each layer, in the units of `readout_signal`; NaN beyond `depth`.
    """
    active = jnp.arange(len(spectral_norms)) < depth
    factors = jnp.where(active, slope_bound * spectral_norms + skip, 1.0)
    products = jnp.cumprod(factors[::-1])[::-1]
    beyond = jnp.append(products[1:], 1.0)
    return jnp.where(active, slope_bound * readout_signal * beyond, jnp.nan)


def profiles(
    networks: Sequence[nets.Net],
    x: Float[Array, "batch width"],
    y: Shaped[Array, "batch ..."],
    loss: str | grads.Loss = "cross_entropy",
) -> Callable[..., dict[str, Array]]:
    """Gradients of any of several networks as a function of numbers, for an explorer.

    Args:
        networks: Networks of equal shapes whose hidden layers can be stacked.

    Returns:
        A function (depth, activation, initialiser, skip), where activation and initialiser are
        positions in `ACTIVATIONS` and `networks`. It returns what `charts.signals`
        draws, see `arrays`.
    """
    stacked = _all_stacked(networks)
    spectral_norms = jnp.linalg.norm(stacked.layers.w, 2, axis=(-2, -1))
    ranges = [activations.slope_range(name) for name in ACTIVATIONS]
    slope_bounds = jnp.array([max(abs(low), abs(high)) for low, high in ranges])

    def at(
        depth: Number, activation: Number, initialiser: Number, skip: Number
    ) -> dict[str, Array]:
        depth, skip = jnp.asarray(depth), jnp.asarray(skip)
        net = jax.tree.map(lambda leaf: leaf[initialiser], stacked)
        phi = activations.by_index(activation, ACTIVATIONS)
        net = net.replace(depth=depth, activation=phi, skip=skip)
        signals = grads.signals(net, x, y, loss=loss)
        bound = error_bound(
            signals.hidden_norms[depth - 1],
            spectral_norms[initialiser],
            slope_bounds[activation],
            depth,
            skip=skip,
        )
        return arrays(signals, bound)

    return at


def one_example(
    networks: Sequence[nets.Net],
    x: Float[Array, " width"],
    y: Shaped[Array, ""],
    units: int = 8,
) -> Callable[..., dict[str, Array]]:
    """What one example does in any of several networks, unit by unit, for the network view.

    Args:
        networks: As for `profiles`.
        x: One example.
        y: Its label.
        units: How many units of each layer are drawn.

    Returns:
        A function (depth, activation, initialiser, skip=0), as `profiles` returns it. It adds to
        the arrays of `grads.unit_signals` what `charts.signals` draws, for the one example.
    """
    profile = profiles(networks, x[None], y[None])
    stacked = _all_stacked(networks)

    def at(
        depth: Number, activation: Number, initialiser: Number, skip: Number = 0
    ) -> dict[str, Array]:
        net = jax.tree.map(lambda leaf: leaf[initialiser], stacked)
        phi = activations.by_index(activation, ACTIVATIONS)
        net = net.replace(depth=jnp.asarray(depth), activation=phi, skip=jnp.asarray(skip))
        return profile(depth, activation, initialiser, skip) | grads.unit_signals(
            net, x, y, units=units
        )

    return at


def arrays(
    signals: grads.Signals, bound: Float[Array, " hidden"] | float = jnp.nan
) -> dict[str, Array]:
    """What `charts.signals` draws of a network: a number for each hidden layer.

    Args:
        signals: Of the network.
        bound: The most that the error signals can be, NaN to draw none.
    """
    hidden, ratio = signals.error_norms[:-1], signals.ratio
    return {
        "error_signal": hidden,
        "weight_gradient": signals.weight_norms[:-1],
        "bound": jnp.broadcast_to(bound, hidden.shape),
        "ratio": ratio,
        "sentence": charts.outcome(ratio, hidden[0]),
    }


SKIPS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "none": lambda depth: {},
    "unscaled": lambda depth: {"skip": True},
    "1/√L": lambda depth: {"skip": True, "branch": depth**-0.5},
    "ReZero": lambda depth: {"skip": True, "branch": 0.0},
    "pre-activation": lambda depth: {"skip": True, "order": "pre_activation"},
    "pre-activation, 1/√L": lambda depth: {
        "skip": True,
        "branch": depth**-0.5,
        "order": "pre_activation",
    },
    "post-activation": lambda depth: {"skip": True, "order": "post_activation"},
}
"""Kinds of residual nets by name: a net's keywords, given its depth.

`net.replace(**SKIPS["1/√L"](net.depth))` is a net of that kind. ReZero is as it starts, with all
its gates at 0.
"""


def remedy_profiles(
    networks: Sequence[nets.Net],
    x: Float[Array, "batch width"],
    y: Shaped[Array, "batch ..."],
    loss: str | grads.Loss = "cross_entropy",
    names: Sequence[str] = ACTIVATIONS,
    skips: Sequence[str] = tuple(SKIPS),
) -> Callable[..., dict[str, Array]]:
    """Gradients under any combination of remedies as a function of numbers, for an explorer.

    Args:
        networks: As for `profiles`, drawn with a `norm` of whatever kind.
        x: Batch of examples, at least 2.
        names: The activations to choose from.
        skips: The keys of `SKIPS` to choose from.

    Returns:
        A function (depth, activation, initialiser, normalisation, skip), all but the depth
        positions in `names`, `networks`, `nets.NORMALISATIONS` and `skips`. It returns the arrays
        "error_signal", "hidden_signal" and "weight_gradient", a number for each hidden layer,
        "ratio", the first layer's hidden gradient over that of the last hidden layer, and
        "sentence", its `charts.outcome`.
    """
    stacked = _all_stacked(networks)
    kinds = [_check.choice("each of skips", name, SKIPS) for name in skips]

    def at(
        depth: Number, activation: Number, initialiser: Number, normalisation: Number, skip: Number
    ) -> dict[str, Array]:
        depth = jnp.asarray(depth)
        forms = [nets.Form("identity", **kind(depth)) for kind in kinds]
        net = jax.tree.map(lambda leaf: leaf[initialiser], stacked).replace(
            depth=depth,
            activation=activations.by_index(activation, names),
            norm=jnp.asarray(normalisation),
            skip=jnp.array([form.skip for form in forms])[skip],
            branch=jnp.stack([jnp.asarray(form.branch, x.dtype) for form in forms])[skip],
            order=jnp.array([list(nets.ORDERS).index(form.order) for form in forms])[skip],
        )
        signals = grads.signals(net, x, y, loss=loss)
        hidden = signals.hidden_norms
        ratio = hidden[0] / hidden[depth - 1]
        return {
            "error_signal": signals.error_norms[:-1],
            "hidden_signal": hidden,
            "weight_gradient": signals.weight_norms[:-1],
            "ratio": ratio,
            "sentence": charts.outcome(ratio, hidden[0]),
        }

    return at


def _all_stacked(networks: Sequence[nets.Net]) -> nets.Net:
    """Networks of equal shapes as one whose arrays have the networks on a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(nets.stack, networks))
