"""Echo state networks: a recurrent net that is not trained, and what its state remembers."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check
from vgkit.recurrent.cells import RNN, Cell, State, run
from vgkit.recurrent.makers import rnn
from vgkit.recurrent.readout import ridge


def spectral_radius(w: Float[Array, "hidden hidden"]) -> Float[Array, ""]:
    r"""Largest absolute value of an eigenvalue.

    .. math:: \rho(W) = \max_k |\lambda_k|

    Args:
        w: A square matrix.
    """
    return jnp.max(jnp.abs(jnp.linalg.eigvals(w)))


def reservoir(
    key: Array, inputs: int, hidden: int, radius: float | Array = 0.9, *, input_gain: float = 1.0
) -> RNN:
    """Draw the recurrent net of an echo state network: normal weights, scaled, no biases, tanh.

    Args:
        key: Source of all randomness.
        inputs: Size of the input at one step.
        hidden: Number of units.
        radius: Spectral radius of the recurrent matrix, a number that may be traced.
        input_gain: Factor on the input weights, which have the variance 1 / inputs before.

    Raises:
        ValueError: If a size is below 1, or `radius` or `input_gain` is not positive and finite.

    Source:
        {cite}`jaeger2001`.
    """
    _check.positive("input_gain", input_gain)
    if not _check.traced(radius):
        _check.positive("radius", radius)
    cell = rnn(key, inputs, hidden, init="lecun_normal")
    scale = radius / spectral_radius(cell.w_rec)
    return cell.replace(w_in=input_gain * cell.w_in, w_rec=cell.w_rec * scale)


def echo_distances(
    cell: Cell, x: Float[Array, "time inputs"], starts: Float[Array, "starts hidden"]
) -> Float[Array, " states"]:
    r"""How far apart the states are that one input leads to from different starts.

    .. math:: d_t = \max_k \|h_t^{(k)} - h_t^{(1)}\|

    With the **echo state property** the distance goes to 0 whatever the starts: the state is then
    an echo of the inputs alone. A largest singular value below 1 is enough for it with tanh. A
    spectral radius below 1 is not.

    Args:
        cell: The reservoir.
        x: One sequence.
        starts: Two states or more to start from.

    Returns:
        T + 1 distances, that of the starts first.

    Raises:
        ValueError: As for `run`, or if there are fewer than two starts.

    Source:
        {cite}`yildiz2012`.
    """
    if len(starts) < 2:
        raise ValueError(f"starts must hold at least 2 states; got {len(starts)}")
    states = jax.vmap(lambda start: run(cell, x, start=State(start)).h)(starts)
    return jnp.max(jnp.linalg.norm(states - states[:1], axis=2), axis=0)


def memory_curve(
    cell: Cell,
    u: Float[Array, " time"],
    delays: int,
    *,
    washout: int = 100,
    strength: float = 1e-8,
) -> Float[Array, " delays"]:
    r"""How well a linear readout of the state recovers the input of 1, 2, ... steps ago.

    .. math:: r_k^2 = \operatorname{corr}(u_{t-k},\ w_k^{\mathsf T} h_t + b_k)^2, \quad
              \text{memory capacity} = \sum_k r_k^2

    The readout is fitted on the first half of the states and judged on the second. For independent
    inputs the capacity is at most the number of units.

    Args:
        cell: A reservoir with one input.
        u: Independent inputs, many more than there are units.
        delays: Largest k.
        washout: States at the beginning that are left out, at least `delays`.
        strength: See `ridge`.

    Raises:
        ValueError: If the cell has several inputs, `delays` is below 1, `washout` is below `delays`
            or leaves fewer than 4 states, or as for `ridge`.

    Source:
        {cite}`jaeger2001memory`.
    """
    _check.shape("u", u, (None,))
    delays = _check.int_at_least("delays", delays, 1)
    washout = _check.int_at_least("washout", washout, delays)
    if len(u) - washout < 4:
        raise ValueError(f"washout must leave at least 4 of the {len(u)} states; got {washout}")
    states = run(cell, u[:, None]).h[1:][washout:]
    past = jnp.stack([u[washout - k : len(u) - k] for k in range(1, delays + 1)], axis=1)
    half = len(states) // 2
    recovered = jax.vmap(ridge(states[:half], past[:half], strength))(states[half:])

    def squared_correlation(a: Array, b: Array) -> Array:
        a, b = a - jnp.mean(a), b - jnp.mean(b)
        squares = jnp.sum(a * a) * jnp.sum(b * b)
        return jnp.where(squares > 0, jnp.sum(a * b) ** 2 / jnp.where(squares > 0, squares, 1), 0)

    return jax.vmap(squared_correlation, 1)(recovered, past[half:])
