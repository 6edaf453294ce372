"""Claims on squashing activations and recurrence."""

import jax
import jax.numpy as jnp
import numpy as np

from vgcourse.claims.claim import Claim, Evidence, over, say
from vgcourse.claims.programs import TIME, kept, seeds
from vgkit import activations, data, grads, nets, recurrent

NAMES = ("sigmoid", "tanh")


def _recurrent_matrix() -> Evidence:
    cells = jax.vmap(lambda key: recurrent.rnn(key, 4, 32, "orthogonal"))(seeds())
    w, z = np.array([[8.0, 8.0], [-8.0, -8.0]]), np.array([0.0, np.arctanh(0.5)])
    steep = recurrent.from_arrays("rnn", np.zeros((2, 1)), w, z - w @ np.tanh(z))
    rest = recurrent.State(jnp.tanh(z))  # a fixed point
    jacobians = grads.state_jacobians(steep, jnp.zeros((21, 1)), start=rest)
    sizes = [float(grads.product_spectrum(jacobians[:steps])[0]) for steps in (20, 21)]
    return {
        "kept_below": over(kept(cells._replace(w_rec=0.9 * cells.w_rec), 0.01)),
        "kept_at_one": over(kept(cells, 0.01)),
        "radius": over(round(np.max(np.abs(np.linalg.eigvals(w))), 5)),
        "growth": over(sizes[1] / sizes[0]),
    }


def _squash() -> Evidence:
    found = {}
    for name in NAMES:
        phi = activations.function(name)
        found[f"{name}_output"] = over(phi(20.0) - phi(2.0))
        found[f"{name}_slope"] = over(activations.slope(name, 10.0))
    x = data.digits().x_train[:32]
    for label, std in (("glorot", 64**-0.5), ("large", 1.0)):
        parts = []
        for key in seeds():
            net = nets.mlp(key, (64, 64, 10), "normal", std=std)
            parts.append(float(jnp.mean(activations.saturated("tanh", x @ net[0].w.T))))
        found[f"saturated_{label}"] = over(parts)
    return found


def _grid(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and slopes over [-15, 15], 0 among the points."""
    z = jnp.linspace(-15, 15, 6001)
    return np.asarray(activations.function(name)(z)), np.asarray(activations.slope(name, z))


def _slopes() -> Evidence:
    found = {}
    for name in NAMES:
        slope = _grid(name)[1]
        found |= {f"{name}_largest": over(slope.max()), f"{name}_least": over(slope.min())}
    return found


def _outputs() -> Evidence:
    found = {}
    for name, lowest in zip(NAMES, (0, -1), strict=True):
        output = _grid(name)[0]
        found[f"{name}_from_lowest"] = over(output.min() - lowest)
        found[f"{name}_from_1"] = over(1 - output.max())
    return found


CLAIMS = (
    Claim(
        "C05", ("D0", "D2"),
        "In a recurrent net the signal meets the same recurrent matrix once per step, so its "
        "magnitude decides.",
        "holds",
        "The magnitude that decides is the largest singular value times the largest slope, not the "
        "spectral radius.",
        _recurrent_matrix,
        lambda e: 0 < e["kept_below"].largest <= 0.9**TIME and e["kept_at_one"].least > 0.1
        and e["kept_at_one"].largest <= 1 and e["radius"].median == 0
        and abs(e["growth"].median - 2) < 1e-3,
        lambda e: "Over 100 steps of a tanh net with small inputs, an orthogonal matrix keeps "
        f"{say(e['kept_at_one'])} of the signal and 0.9 times it keeps "
        f"{say(e['kept_below'], '.0e')}; a net of spectral radius 0 multiplies it by "
        f"{say(e['growth'], '.2f')} a step.",
        "recurrence", "Which number of the matrix decides?",
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
        lambda e: "From z = 2 to 20 the output rises by "
        f"{say(e['sigmoid_output'])} (sigmoid) and {say(e['tanh_output'])} (tanh); at z = 10 the "
        f"slope is {say(e['sigmoid_slope'], '.0e')} and {say(e['tanh_slope'], '.0e')}; of tanh "
        f"units {say(e['saturated_glorot'], '.0%')} are saturated with Glorot's weights and "
        f"{say(e['saturated_large'], '.0%')} with standard normal ones.",
        "causes", "Squashing and saturation",
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
        lambda e: "Between z = -15 and 15 the slope is "
        f"{say(e['sigmoid_least'], '.0e')} to {say(e['sigmoid_largest'])} for the sigmoid and "
        f"{say(e['tanh_least'], '.0e')} to {say(e['tanh_largest'])} for tanh.",
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
        lambda e: "At z = -15 and 15 the sigmoid is "
        f"{say(e['sigmoid_from_lowest'], '.0e')} from 0 and {say(e['sigmoid_from_1'], '.0e')} from "
        f"1, tanh {say(e['tanh_from_lowest'], '.0e')} from -1 and {say(e['tanh_from_1'], '.0e')} "
        "from 1.",
        "causes", "Squashing and saturation",
    ),
)  # fmt: skip
