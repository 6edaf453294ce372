"""Jacobians of layers and of time steps, and gradients with respect to a recurrent net's states."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from vgkit import _check, nets, recurrent
from vgkit._numbers import l2, rms
from vgkit.grads.measure import backward
from vgkit.nets.layers import hidden_layer


def jacobians(net: nets.Net, x: Float[Array, " fan_in"]) -> list[Float[Array, "_fan_out _fan_in"]]:
    r"""Jacobian of every hidden layer at one example, by forward-mode differentiation.

    .. math:: J_\ell = \frac{\partial h_\ell}{\partial h_{\ell-1}}
              = \mathrm{diag}(\phi'(z_\ell))\, W_\ell \ (+\, I \text{ with a skip})

    Args:
        net: A network in the order "standard" without batch normalisation.
        x: One example.

    Returns:
        One matrix for each hidden layer, input side first.
    """
    _check.shape("x", x, net.input_shape)
    _check.finite("x", [x])
    _check.finite("net", jax.tree.leaves(net))

    def output(layer: nets.Layer, h: Array) -> Array:
        return hidden_layer(layer, (h, h), net.form).h

    matrices, h = [], x
    for layer in nets.unstack(net).layers:
        matrices.append(jax.jacfwd(output, argnums=1)(layer, h))
        h = output(layer, h)
    return matrices


class StateNorms(NamedTuple):
    """Size of the gradient with respect to the state of every step, step 0 first.

    Attributes:
        h: Of the hidden state's part.
        c: Of the cell state's part; None for cells without one.
        state: Of both parts together: all that reaches the steps before.
    """

    h: Float[Array, " states"]
    c: Float[Array, " states"] | None
    state: Float[Array, " states"]


def state_gradients(
    cell: recurrent.Cell,
    x: Float[Array, "time inputs"],
    loss: Callable[[Float[Array, "states hidden"]], Float[Array, ""]],
    *,
    start: recurrent.State | None = None,
) -> recurrent.State:
    r"""Gradient of a loss with respect to the state of every step, for one sequence.

    .. math:: \frac{\partial L}{\partial h_t} \text{ and, for an LSTM, }
              \frac{\partial L}{\partial c_t}, \quad t = 0, \dots, T

    Of a pair (h_t, c_t) one is held while the other is moved, so that dL/dc_T is 0: frameworks that
    keep the gradient of c_t as a node of the graph add the way through h_t. Only the norm of the
    pair says whether the loss depends on step t, see `StateNorms`.

    Args:
        x: One sequence of T inputs.
        loss: Function of all hidden states, shape (T + 1, hidden), to a scalar.
        start: State before the first input, zeros if left out.

    Returns:
        T + 1 rows of h and, for an LSTM, of c; in units of loss per unit of state.
    """

    def run(_: tuple, probes: recurrent.State) -> tuple[Array, None]:
        return loss(recurrent.run(cell, x, start=start, probes=probes).h), None

    states = jax.eval_shape(lambda: recurrent.run(cell, x, start=start))
    probes = jax.tree.map(lambda rows: jnp.zeros(rows.shape, rows.dtype), states)
    return backward(run, (), probes, examples=1).by_probes


def state_norms(
    cell: recurrent.Cell,
    x: Float[Array, "batch time inputs"],
    direction: Float[Array, "batch hidden"],
    *,
    start: recurrent.State | None = None,
    length: int | Int[Array, ""] | None = None,
) -> StateNorms:
    r"""Size of the gradient at every step, of sequences whose last state is read along a direction.

    .. math:: L = u^{\mathsf T} h_T, \quad
              \|\partial L / \partial (h_t, c_t)\|^2
              = \|\partial L / \partial h_t\|^2 + \|\partial L / \partial c_t\|^2

    Where u has length 1, each size is the share of the gradient that is left.

    Args:
        x: Batch of sequences.
        direction: u of every sequence.
        start: State before the first input, of all sequences; zeros if left out.
        length: T, the number of inputs if left out; may be traced.

    Returns:
        Euclidean norms, RMS over the sequences; NaN for steps beyond `length`.
    """
    _check.shape("x", x, (None, None, cell.w_in.shape[-1]))
    _check.shape("direction", direction, (len(x), cell.w_rec.shape[-1]))
    inputs = x.shape[1]
    length = inputs if length is None else length
    if not _check.traced(length) and _check.int_at_least("length", length, 1) > inputs:
        raise ValueError(f"length must be at most {inputs}, the inputs there are; got {length}")

    def one(x: Array, u: Array) -> StateNorms:
        parts = state_gradients(cell, x, lambda h: u @ h[length], start=start)
        both = jnp.concatenate(jax.tree.leaves(parts), axis=1)
        return jax.tree.map(jax.vmap(l2), StateNorms(*parts, both))

    norms = jax.tree.map(jax.vmap(rms, 1), jax.vmap(one)(x, direction))
    beyond = jnp.where(jnp.arange(inputs + 1) <= length, 0.0, jnp.nan)
    return jax.tree.map(lambda rows: rows + beyond, norms)


def state_jacobians(
    cell: recurrent.Cell, x: Float[Array, "time inputs"], *, start: recurrent.State | None = None
) -> Float[Array, "time state state"]:
    r"""Jacobian of every step with respect to the state before it, for one sequence.

    .. math:: J_t = \frac{\partial s_t}{\partial s_{t-1}}, \quad s_t = h_t
              \text{ or, for an LSTM, } (h_t, c_t)

    For a vanilla cell it is diag(phi'(z_t)) W_rec. Where the loss reads the last state only, the
    gradient with respect to s_(t-1) is J_t transposed times that with respect to s_t. The
    arguments are those of `state_gradients`, and so are the errors.

    Returns:
        T matrices, that of step 1 first; for an LSTM the rows and columns of h come before those
        of c.
    """
    states = recurrent.run(cell, x, start=start)
    flat = jax.vmap(lambda state: ravel_pytree(state)[0])(states)
    _, unravel = ravel_pytree(jax.tree.map(lambda rows: rows[0], states))

    def flat_step(before: Array, x: Array) -> Array:
        return ravel_pytree(recurrent.step(cell, unravel(before), x))[0]

    return jax.vmap(jax.jacfwd(flat_step))(flat[:-1], x)
