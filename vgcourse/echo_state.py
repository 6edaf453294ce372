"""What the state of a reservoir forgets and remembers, and the readout fitted to it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check, nets, recurrent


def ridge(
    states: Float[Array, "examples hidden"],
    targets: Float[Array, "examples outputs"],
    strength: float,
) -> nets.Layer:
    r"""The readout of least squares with a penalty on its weights, from one linear solve.

    .. math:: \min_{W, b} \sum_i \|W h_i + b - y_i\|^2 + \lambda \|W\|^2, \quad
              (H^{\mathsf T} H + \lambda I)\, W^{\mathsf T} = H^{\mathsf T} Y

    H and Y are less their means; b, which makes up for them, is not penalised.

    Args:
        states: One state in each row.
        targets: The output wanted at each state, one row for each.
        strength: lambda, at least 0, in units of the states squared.
    """
    _check.shape("states", states, (None, None))
    _check.shape("targets", targets, (len(states), None))
    _check.finite("states", [states])
    _check.finite("targets", [targets])
    if not 0 <= strength < float("inf"):
        raise ValueError(f"strength must be a number of at least 0; got {strength!r}")
    hidden = states.shape[1]
    mean_state, mean_target = jnp.mean(states, 0), jnp.mean(targets, 0)
    centred = states - mean_state[None]
    gram = centred.T @ centred + strength * jnp.eye(hidden, dtype=states.dtype)
    if not _check.traced(gram):
        sizes = jnp.linalg.eigvalsh(gram)
        if not sizes[0] > hidden * jnp.finfo(gram.dtype).eps * sizes[-1]:
            raise ValueError(
                f"strength must be larger for these states: the equations are singular, with "
                f"eigenvalues from {sizes[0]:.1e} to {sizes[-1]:.1e}; got {strength!r}"
            )
    w = jnp.linalg.solve(gram, centred.T @ (targets - mean_target[None])).T
    return nets.Layer(w, mean_target - w @ mean_state)


def echo_distances(
    cell: recurrent.Cell, x: Float[Array, "time inputs"], starts: Float[Array, "starts hidden"]
) -> Float[Array, " states"]:
    r"""How far apart the states are that one input leads to from two or more different starts.

    .. math:: d_t = \max_k \|h_t^{(k)} - h_t^{(1)}\|

    With the **echo state property** the distance goes to 0 whatever the starts. A largest singular
    value below 1 is enough for it with tanh; a spectral radius below 1 is not.

    Returns:
        T + 1 distances, that of the starts first.

    Source:
        {cite}`yildiz2012`.
    """
    if len(starts) < 2:
        raise ValueError(f"starts must hold at least 2 states; got {len(starts)}")
    states = jax.vmap(lambda start: recurrent.run(cell, x, start=recurrent.State(start)).h)(starts)
    return jnp.max(jnp.linalg.norm(states - states[:1], axis=2), axis=0)


def memory_curve(
    cell: recurrent.Cell,
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

    Source:
        {cite}`jaeger2001memory`.
    """
    delays = _check.int_at_least("delays", delays, 1)
    washout = _check.int_at_least("washout", washout, delays)
    if len(u) - washout < 4:
        raise ValueError(f"washout must leave at least 4 of the {len(u)} states; got {washout}")
    states = recurrent.run(cell, u[:, None]).h[1:][washout:]
    past = jnp.stack([u[washout - k : len(u) - k] for k in range(1, delays + 1)], axis=1)
    half = len(states) // 2
    readout = ridge(states[:half], past[:half], strength)
    recovered = jax.vmap(readout)(states[half:])

    def squared_correlation(a: Array, b: Array) -> Array:
        a, b = a - jnp.mean(a), b - jnp.mean(b)
        squares = jnp.sum(a * a) * jnp.sum(b * b)
        return jnp.where(squares > 0, jnp.sum(a * b) ** 2 / jnp.where(squares > 0, squares, 1), 0)

    return jax.vmap(squared_correlation, 1)(recovered, past[half:])
