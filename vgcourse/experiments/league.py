"""Every remedy, trained on the digits under three optimisers.

    python -m vgcourse.experiments.league [--write] [--reverse]

Networks 64 wide, at four depths, are trained as `search` says, on the first 1152 of the training
examples; the other 285 choose the rate and say when training is done.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from vgcourse.experiments import search
from vgcourse.profiles import SKIPS
from vgkit import data, grads, nets

DEPTHS = (4, 10, 30, 50)
SEEDS, WIDTH, FITTED, PROBE, KEY = 5, 64, 1152, 64, 7
OPTIMISERS: dict[str, tuple[Callable[[Any], optax.GradientTransformation], tuple[int, ...]]] = {
    "SGD": (optax.sgd, (-6, -4, -2, 0)),
    "momentum": (partial(optax.sgd, momentum=0.9), (-8, -6, -4, -2)),
    "Adam": (optax.adam, (-10, -8, -6, -4)),
}
"""Function rate -> optimiser, and where the search for a rate begins."""
START = ("parameters", "step time", "dL/dz", "dL/dh", "dL/dW")
"""What is said of networks before training; of gradients, first hidden layer over the last."""


class Remedy(NamedTuple):
    """How a network is made and trained.

    Attributes:
        activation: As for `nets.mlp`.
        init: As for `nets.mlp`, or "lsuv".
        norm: As for `nets.mlp`.
        skip: A key of `SKIPS`.
        gate: As for `nets.mlp`.
        clip: Largest norm of the gradient.
        depths: Numbers of hidden layers.
        optimisers: Keys of `OPTIMISERS`.
    """

    activation: str = "relu"
    init: str = "he_normal"
    norm: str = "none"
    skip: str = "none"
    gate: float | None = None
    clip: float = float("inf")
    depths: tuple[int, ...] = DEPTHS
    optimisers: tuple[str, ...] = tuple(OPTIMISERS)

    def draw(self, key: jax.Array, depth: int) -> nets.Net:
        """One network for the ten digits."""
        lsuv = self.init == "lsuv"
        net = nets.mlp(
            key, (WIDTH,) * (depth + 1) + (10,), self.activation,
            init="orthogonal" if lsuv else self.init, norm=self.norm, gate=self.gate,
            stacked=depth > 0, **SKIPS[self.skip](depth),
        )  # fmt: skip
        return nets.lsuv(net, digits().x[:256]) if lsuv else net


SIGMOID = Remedy("sigmoid", "glorot_normal")
TANH = Remedy("tanh", "glorot_normal")
REMEDIES = {
    "logistic regression": Remedy(depths=(0,)),
    "one hidden layer": Remedy(depths=(1,)),
    "sigmoid": SIGMOID,
    "sigmoid, LSUV": SIGMOID._replace(init="lsuv"),
    "sigmoid, batch norm": SIGMOID._replace(norm="batch"),
    "sigmoid, layer norm": SIGMOID._replace(norm="layer"),
    "sigmoid, residual": SIGMOID._replace(skip="unscaled"),
    "sigmoid, clipping": SIGMOID._replace(clip=1.0, optimisers=("SGD",)),
    "tanh, Glorot": TANH,
    "tanh, orthogonal": TANH._replace(init="orthogonal"),
    "tanh, LSUV": TANH._replace(init="lsuv"),
    "tanh, batch norm": TANH._replace(norm="batch"),
    "tanh, layer norm": TANH._replace(norm="layer"),
    "ReLU, Glorot": Remedy(init="glorot_normal"),
    "ReLU, He": Remedy(),
    "ReLU, LSUV": Remedy(init="lsuv"),
    "leaky ReLU, He": Remedy("leaky_relu"),
    "PReLU, He": Remedy("prelu"),
    "ELU, He": Remedy("elu"),
    "SELU, LeCun": Remedy("selu", "lecun_normal"),
    "GELU, He": Remedy("gelu"),
    "GELU, LSUV": Remedy("gelu", "lsuv"),
    "SiLU, He": Remedy("silu"),
    "SiLU, LSUV": Remedy("silu", "lsuv"),
    "ReLU, He, batch norm": Remedy(norm="batch"),
    "ReLU, He, layer norm": Remedy(norm="layer"),
    "residual": Remedy(skip="unscaled"),
    "residual, 1/√L": Remedy(skip="1/√L"),
    "residual, ReZero": Remedy(skip="unscaled", gate=0.0),
    "residual, clipping": Remedy(skip="unscaled", clip=1.0, optimisers=("SGD",)),
    "residual, batch norm": Remedy(skip="unscaled", norm="batch"),
    "post-activation": Remedy(skip="post-activation"),
    "post-activation, batch norm": Remedy(skip="post-activation", norm="batch"),
    "pre-activation": Remedy(skip="pre-activation"),
    "pre-activation, 1/√L": Remedy(skip="pre-activation, 1/√L"),
    "pre-activation, batch norm": Remedy(skip="pre-activation", norm="batch"),
    "pre-activation, layer norm": Remedy(skip="pre-activation", norm="layer"),
}
LABELS = [
    (optimiser, name, str(depth))
    for optimiser in OPTIMISERS
    for name, remedy in REMEDIES.items()
    if optimiser in remedy.optimisers
    for depth in remedy.depths
]


def digits() -> search.Data:
    """The digits, the last training examples held back to choose by."""
    x, y, x_test, y_test = data.digits()
    return search.Data(x[:FITTED], y[:FITTED], x[FITTED:], y[FITTED:], x_test, y_test)


def answer(net: nets.Net, x: jax.Array, reference: jax.Array | None) -> jax.Array:
    """Outputs for a batch, at inference with the statistics of the training data."""
    statistics = None if reference is None else nets.batch_statistics(net, reference)
    return nets.forward(net, x, statistics=statistics)


@cache
def plan(optimiser: str, clip: float) -> search.Plan:
    """The plan of all networks that are trained by one optimiser; one object, one program."""
    make = OPTIMISERS[optimiser][0]
    if clip < float("inf"):
        return search.Plan(
            lambda rate: optax.chain(optax.clip_by_global_norm(clip), make(rate)), answer
        )
    return search.Plan(make, answer)


def networks(name: str, depth: int) -> list[nets.Net]:
    """The initial networks, one for each seed."""
    keys = jax.random.split(jax.random.key(KEY), SEEDS)
    drawn = jax.jit(jax.vmap(partial(REMEDIES[name].draw, depth=depth)))(keys)
    return [jax.tree.map(lambda leaf, seed=seed: leaf[seed], drawn) for seed in range(SEEDS)]


def measure(label: search.Label) -> dict[str, Any]:
    """Results of one remedy at one depth under one optimiser."""
    optimiser, name, depth = label
    how, starts = plan(optimiser, REMEDIES[name].clip), OPTIMISERS[optimiser][1]
    return search.measure(networks(name, int(depth)), jax.random.key(KEY), digits(), how, starts)


@jax.jit
def ratios(net: nets.Net) -> dict[str, jax.Array]:
    """First hidden layer over the last, of three gradients."""
    examples = digits()
    signals = grads.signals(net, examples.x[:PROBE], examples.y[:PROBE])
    dz, dw, dh = signals.error_norms, signals.weight_norms, signals.hidden_norms
    return {"dL/dz": dz[0] / dz[-2], "dL/dh": dh[0] / dh[-1], "dL/dW": dw[0] / dw[-2]}


def at_the_start(name: str, depth: int) -> dict[str, Any]:
    """Parameters of a network, and its three ratios before training, the median of all seeds."""
    drawn = networks(name, depth)
    rows = [ratios(net) for net in drawn] if depth else [{}]
    medians = {key: float(f"{np.median([row[key] for row in rows]):.2g}") for key in rows[0]}
    return {"parameters": sum(leaf.size for leaf in jax.tree.leaves(drawn[0])), **medians}


def also() -> dict[str, Any]:
    """A row of `START` for every remedy at every depth.

    Times are relative to "ReLU, He" at the same depth.
    """
    start: dict[str, dict[str, list]] = {}
    for depth in DEPTHS:
        names = [name for name, remedy in REMEDIES.items() if depth in remedy.depths]
        first = {name: networks(name, depth)[0] for name in names}
        times = search.times(first, digits(), plan("SGD", np.inf), "ReLU, He")
        for name in names:
            found = at_the_start(name, depth) | {"step time": times[name]}
            start.setdefault(name, {})[str(depth)] = [found[column] for column in START]
    return {"start": start, "start columns": START}


def main() -> None:
    """Measure what is missing; see `search.main`."""
    search.main(
        "league", LABELS, measure, also,
        seeds=SEEDS, key=KEY, width=WIDTH, fitted=FITTED, **search.budget(plan("SGD", np.inf)),
    )  # fmt: skip


if __name__ == "__main__":
    main()
