"""The same experiment for every remedy.

    python -m vgcourse.experiments.remedies [--write] [name ...]

Networks of one depth are trained on the digits by plain gradient descent, all by the same number of
steps on the same batches, at the best of `RATES`. The gradients are those of the first examples at
the start. About 15 minutes on 2 cores; the results go into the package, where the pages on the
remedies find them.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgcourse import results
from vgcourse.experiments import best_rate, relative_times, rounded, train_at_rates
from vgcourse.profiles import SKIPS
from vgkit import data, grads, nets, train

DEPTHS = (10, 30, 50)
SHALLOW = (1, 2, 4)
ALL_DEPTHS = (*SHALLOW, *DEPTHS)
SEEDS, WIDTH, EPOCHS, BATCH, PROBE = 5, 64, 10, 64, 64
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
ADAPTIVE_RATES = (0.00003, 0.0001, 0.0003, 0.001, 0.003)
KEY = 5


class Remedy(NamedTuple):
    """How a network is made and trained.

    Attributes:
        activation: As for `nets.mlp`.
        init: As for `nets.mlp`, or "lsuv".
        norm: As for `nets.mlp`.
        skip: A key of `SKIPS`.
        gate: As for `nets.mlp`.
        optimiser: Function rate -> optimiser.
        rates: Learning rates to choose from.
        depths: Numbers of hidden layers.
    """

    activation: str = "relu"
    init: str = "he_normal"
    norm: str = "none"
    skip: str = "none"
    gate: float | None = None
    optimiser: Callable[[Any], optax.GradientTransformation] = optax.sgd
    rates: tuple[float, ...] = RATES
    depths: tuple[int, ...] = DEPTHS

    def draw(self, key: jax.Array, depth: int) -> nets.Net:
        """One network for the ten digits."""
        lsuv = self.init == "lsuv"
        net = nets.mlp(
            key, (WIDTH,) * (depth + 1) + (10,), self.activation,
            init="orthogonal" if lsuv else self.init,
            norm=self.norm, gate=self.gate, stacked=True, **SKIPS[self.skip](depth),
        )  # fmt: skip
        return nets.lsuv(net, data.digits().x_train[:256]) if lsuv else net


def clipped(rate: Any) -> optax.GradientTransformation:
    """Gradient descent along a gradient whose norm is at most 1."""
    return optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(rate))


SIGMOID = Remedy("sigmoid", "glorot_normal")
TANH = Remedy("tanh", "glorot_normal")
ADAM = Remedy(optimiser=optax.adam, rates=ADAPTIVE_RATES)
REMEDIES = {
    "sigmoid, Glorot": SIGMOID._replace(depths=ALL_DEPTHS),
    "tanh, Glorot": TANH._replace(depths=ALL_DEPTHS),
    "tanh, orthogonal": Remedy("tanh", "orthogonal"),
    "tanh, LSUV": Remedy("tanh", "lsuv"),
    "ReLU, Glorot": Remedy(init="glorot_normal"),
    "ReLU, He": Remedy(depths=ALL_DEPTHS),
    "ReLU, LSUV": Remedy(init="lsuv"),
    "Leaky ReLU, He": Remedy("leaky_relu"),
    "PReLU, He": Remedy("prelu"),
    "SELU, LeCun": Remedy("selu", "lecun_normal"),
    "ELU, He": Remedy("elu"),
    "GELU, He": Remedy("gelu"),
    "SiLU, He": Remedy("silu"),
    "GELU, LSUV": Remedy("gelu", "lsuv"),
    "sigmoid, batch norm": SIGMOID._replace(norm="batch"),
    "tanh, batch norm": TANH._replace(norm="batch"),
    "ReLU, batch norm": Remedy(norm="batch"),
    "sigmoid, layer norm": SIGMOID._replace(norm="layer"),
    "tanh, layer norm": TANH._replace(norm="layer"),
    "ReLU, layer norm": Remedy(norm="layer"),
    "sigmoid, residual": SIGMOID._replace(skip="unscaled"),
    "residual, unscaled": Remedy(skip="unscaled"),
    "residual, 1/√L": Remedy(skip="1/√L"),
    "residual, ReZero": Remedy(skip="unscaled", gate=0.0),
    "residual, pre-activation": Remedy(skip="pre-activation"),
    "residual, pre-activation, 1/√L": Remedy(skip="pre-activation, 1/√L"),
    "residual, post-activation": Remedy(skip="post-activation"),
    "residual, batch norm": Remedy(skip="unscaled", norm="batch"),
    "residual, pre-activation, layer norm": Remedy(skip="pre-activation", norm="layer"),
    "sigmoid, clipping": SIGMOID._replace(optimiser=clipped),
    "residual, unscaled, clipping": Remedy(skip="unscaled", optimiser=clipped),
    "sigmoid, Adam": ADAM._replace(activation="sigmoid", init="glorot_normal"),
    "ReLU, Glorot, Adam": ADAM._replace(init="glorot_normal"),
    "ReLU, He, Adam": ADAM,
    "residual, ReZero, Adam": ADAM._replace(skip="unscaled", gate=0.0),
}


def start(remedy: Remedy, depth: int, seeds: int = SEEDS) -> nets.Net:
    """The initial networks, one for each seed on the leading axis."""
    keys = jax.random.split(jax.random.key(KEY), seeds)
    return jax.vmap(partial(remedy.draw, depth=depth))(keys)


@jax.jit
@jax.vmap
def ratios(net: nets.Net) -> jax.Array:
    """G of each network: dL/dh of the first hidden layer over that of the last."""
    digits = data.digits()
    norms = grads.signals(net, digits.x_train[:PROBE], digits.y_train[:PROBE]).hidden_norms
    return norms[0] / norms[-1]


def run(remedy: Remedy, depth: int, rates: tuple[float, ...]) -> train.History:
    """Train at every rate: rates on the leading axis, then seeds."""
    networks, key = start(remedy, depth), jax.random.key(KEY)
    return train_at_rates(
        networks, data.digits(), remedy.optimiser, rates, key=key, epochs=EPOCHS, batch=BATCH
    ).history


def measure(remedy: Remedy, depth: int) -> dict[str, Any]:
    """One cell of the league table."""
    history = run(remedy, depth, remedy.rates)
    best = best_rate(history.train_loss)
    return {
        "rate": remedy.rates[best],
        "accuracy": rounded(history.test_accuracy[best]),
        "train_loss": rounded(history.train_loss[best]),
        "G": rounded(ratios(start(remedy, depth))),
    }


def training_step(remedy: Remedy, depth: int) -> Callable[[], nets.Net]:
    """One step of one network on one batch."""
    digits, optimiser = data.digits(), remedy.optimiser(0.01)
    x, y = digits.x_train[:BATCH], digits.y_train[:BATCH]
    net = remedy._replace(init="he_normal").draw(jax.random.key(KEY), depth)
    state = optimiser.init(net)

    def loss(net: nets.Net) -> jax.Array:
        return jnp.mean(jax.vmap(grads.cross_entropy)(nets.forward(net, x), y))

    @jax.jit
    def step(net: nets.Net) -> nets.Net:
        return optax.apply_updates(net, optimiser.update(jax.grad(loss)(net), state, net)[0])

    return partial(step, net)


def main() -> None:
    """Measure the remedies named, or all, and print the league table."""
    names = [argument for argument in sys.argv[1:] if argument != "--write"] or list(REMEDIES)
    runs = results.load("remedies")["runs"]
    for name in names:
        for depth in REMEDIES[name].depths:
            begin = time.perf_counter()
            row = measure(REMEDIES[name], depth)
            runs.setdefault(name, {})[str(depth)] = row
            accuracy = np.array(row["accuracy"])[:, -1]
            print(
                f"{depth} {name:36} rate {row['rate']:<8} accuracy {np.median(accuracy):.3f} "
                f"({accuracy.min():.3f} to {accuracy.max():.3f}) G {np.median(row['G']):.1e} "
                f"{time.perf_counter() - begin:.0f} s", flush=True,
            )  # fmt: skip
    for depth in ALL_DEPTHS:
        steps = {n: training_step(r, depth) for n, r in REMEDIES.items() if depth in r.depths}
        for name, ratio in relative_times(steps, "ReLU, He", rounds=75).items():
            runs[name][str(depth)]["step_time"] = ratio
            print(depth, name, ratio, flush=True)
    if "--write" in sys.argv:
        results.save(
            "remedies", {"runs": runs},
            seeds=SEEDS, key=KEY, epochs=EPOCHS, batch=BATCH, width=WIDTH, rates=RATES,
        )  # fmt: skip


if __name__ == "__main__":
    main()
