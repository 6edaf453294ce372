"""Claims on squashing activations and recurrence."""

import jax.numpy as jnp
import numpy as np

from vgcourse import causes as page
from vgcourse import recurrence
from vgcourse.claims.claim import Claim, Numbers
from vgcourse.claims.programs import seeds
from vgkit import activations

NAMES = ("sigmoid", "tanh")


def _recurrent_matrix() -> Numbers:
    kept, doubling = recurrence.shares(), recurrence.products()[recurrence.RADIUS_0]
    return {
        "ratio_below_one": kept["below"],
        "ratio_at_one": kept["weak"],
        "radius": round(np.max(np.abs(np.linalg.eigvals(doubling.cell.w_rec))), 5),
        "growth": doubling.grown[21] / doubling.grown[20],
    }


def _squash() -> Numbers:
    numbers = {}
    for name in NAMES:
        phi = activations.function(name)
        numbers[f"{name}_output"] = phi(20.0) - phi(2.0)
        numbers[f"{name}_slope"] = activations.slope(name, 10.0)
    layer_1 = page.measured_of(seeds(), jnp.array([1.0, 8.0]), "tanh").saturated[:, :, 0]
    return numbers | {"saturated_glorot": layer_1[:, 0], "saturated_large": layer_1[:, 1]}


def _slopes() -> Numbers:
    numbers = {}
    for name in NAMES:
        slope = page.values(name)[1]
        numbers |= {f"{name}_largest": slope.max(), f"{name}_least": slope.min()}
    return numbers


def _outputs() -> Numbers:
    numbers = {}
    for name, lowest in zip(NAMES, (0, -1), strict=True):
        output = page.values(name)[0]
        numbers |= {
            f"{name}_from_lowest": output.min() - lowest,
            f"{name}_from_1": 1 - output.max(),
        }
    return numbers


CLAIMS = (
    Claim(
        "C05", ("D0", "D2"),
        "In a recurrent net the signal meets the same recurrent matrix once per step, so its "
        "magnitude decides.",
        "holds",
        "The magnitude that decides is the largest singular value times the largest slope, not the "
        "spectral radius.",
        _recurrent_matrix,
        lambda e: 0 < e["ratio_below_one"].largest <= 0.9**recurrence.TIME
        and 0.1 < e["ratio_at_one"].least and e["ratio_at_one"].largest <= 1
        and e["radius"].median == 0 and abs(e["growth"].median - 2) < 1e-3,
        "Over 100 steps of a tanh net with small inputs, an orthogonal matrix keeps {ratio_at_one} "
        "of the signal and 0.9 times it keeps {ratio_below_one:.0e}; a net of spectral radius 0 "
        "multiplies it by {growth:.2f} a step.",
        "causes/recurrence", "Which number of the matrix decides?",
    ),
    Claim(
        "C06", ("D0", "D3", "D4"),
        "Sigmoid and tanh squash a large range into a narrow one; outside it the slope is almost 0 "
        "(saturation).",
        "holds",
        "Beyond a few units from 0 they are flat, and large weights drive units there.",
        _squash,
        lambda e: e["sigmoid_output"].median < 0.12 and e["tanh_output"].median < 0.04
        and 0 < e["sigmoid_slope"].median < 1e-4 and 0 < e["tanh_slope"].median < 1e-4
        and e["saturated_glorot"].largest < 0.2 and e["saturated_large"].least > 0.6,
        "From z = 2 to 20 the output rises by {sigmoid_output} (sigmoid) and {tanh_output} (tanh); "
        "at z = 10 the slope is {sigmoid_slope:.0e} and {tanh_slope:.0e}; of tanh units "
        "{saturated_glorot:.0%} are saturated with Glorot's weights and {saturated_large:.0%} with "
        "standard normal ones.",
        "causes", "Saturation",
    ),
    Claim(
        "C07", ("D3",),
        "Slopes range from 0 to 0.25 for the sigmoid and from 0 to 1 for tanh.",
        "holds",
        "The largest slope is that at 0; the lower end is approached and not attained.",
        _slopes,
        lambda e: abs(e["sigmoid_largest"].median - 0.25) < 1e-15
        and abs(e["tanh_largest"].median - 1) < 1e-15
        and 0 < e["sigmoid_least"].median < 1e-6 and 0 < e["tanh_least"].median < 1e-6,
        "Between z = -15 and 15 the slope is {sigmoid_least:.0e} to {sigmoid_largest} for the "
        "sigmoid and {tanh_least:.0e} to {tanh_largest} for tanh.",
        "causes", "The range of every slope",
    ),
    Claim(
        "C08", ("D3",),
        "Outputs lie in [0, 1] and [-1, 1], saturating at 0 and 1 and at -1 and 1.",
        "holds",
        "The ends are approached and not attained.",
        _outputs,
        lambda e: all(0 < e[f"{name}_{end}"].median < 1e-6
                      for name in NAMES for end in ("from_lowest", "from_1")),
        "At z = -15 and 15 the sigmoid is {sigmoid_from_lowest:.0e} from 0 and "
        "{sigmoid_from_1:.0e} from 1, tanh {tanh_from_lowest:.0e} from -1 and {tanh_from_1:.0e} "
        "from 1.",
        "causes", "What squashing does to numbers",
    ),
)  # fmt: skip
