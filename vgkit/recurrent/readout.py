"""Linear readouts of a recurrent net's states, trained by gradients or solved for."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from vgkit import _check
from vgkit.recurrent.cells import Cell, run


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Readout:
    r"""A linear layer on the hidden state; `readout(h)` is its output.

    .. math:: y_t = W h_t + b

    Attributes:
        w: Weights on the hidden state, shape (outputs, hidden).
        b: Biases, shape (outputs,).
    """

    w: Any
    b: Any

    def __call__(self, h: Float[Array, " hidden"]) -> Float[Array, " outputs"]:
        """Output at one state."""
        return self.w @ h + self.b


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Network:
    """A cell and the readout of its states; `network(x)` gives the outputs of one sequence.

    Attributes:
        cell: A cell.
        readout: What turns each state into an output.
    """

    cell: Any
    readout: Any

    def __call__(self, x: Float[Array, "time inputs"]) -> Float[Array, "time outputs"]:
        """Outputs after each input, in rows; the last answers the sequence."""
        return jax.vmap(self.readout)(run(self.cell, x).h[1:])


def network(key: Array, cell: Cell, outputs: int) -> Network:
    """Give a cell a readout: weights of variance 1 / hidden, biases zero.

    Args:
        key: Source of all randomness.
        cell: Parameters of the cell.
        outputs: Units of the readout.

    Raises:
        ValueError: If `outputs` is below 1.
    """
    outputs = _check.int_at_least("outputs", outputs, 1)
    hidden = cell.w_rec.shape[-1]
    w = jax.random.normal(key, (outputs, hidden)) / jnp.sqrt(hidden)
    return Network(cell, Readout(w, jnp.zeros(outputs)))


def ridge(
    states: Float[Array, "examples hidden"],
    targets: Float[Array, "examples outputs"],
    strength: float,
) -> Readout:
    r"""The readout of least squares with a penalty on its weights, from one linear solve.

    .. math:: \min_{W, b} \sum_i \|W h_i + b - y_i\|^2 + \lambda \|W\|^2, \quad
              (H^{\mathsf T} H + \lambda I)\, W^{\mathsf T} = H^{\mathsf T} Y

    with H and Y less their means; b makes up for them and is not penalised.

    Args:
        states: One state in each row.
        targets: The output wanted at each state, one row for each.
        strength: lambda, at least 0, in units of the states squared.

    Raises:
        ValueError: If a shape does not fit, a number is not finite, `strength` is negative, or the
            equations are singular in this precision: `strength` is too small for states that are
            linearly dependent, as they are where there are more units than states.
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
    return Readout(w, mean_target - w @ mean_state)
