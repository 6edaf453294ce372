"""The same experiment for every remedy.

    python -m vgcourse.experiments.remedies [--write] [name ...]

Networks of one depth are trained on the digits by plain gradient descent, all by the same number of
steps on the same batches, at each of `RATES`. The rate is kept at which the worst seed ends with
the lowest training loss; test examples have no part in that. The gradients are those of the
first examples at the start. About 15 minutes on 2 cores; the results go into the package, where the
pages on the remedies find them.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgkit import activations, data, grads, nets, train

KEPT = Path(__file__).parents[1] / "_data/remedies.json"
DEPTHS = (10, 30, 50)
SHALLOW = (1, 2, 4)
SEEDS, WIDTH, EPOCHS, BATCH, PROBE = 5, 64, 10, 64, 64
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
ADAPTIVE_RATES = (0.00003, 0.0001, 0.0003, 0.001, 0.003)
KEY = 5
NO_PARTS: dict[str, Any] = {}


class Remedy(NamedTuple):
    """How a network is made and trained."""

    activation: str = "relu"
    init: str = "he_normal"
    parts: dict[str, Any] = NO_PARTS
    form: Callable[[int], dict[str, Any]] = lambda depth: {}
    optimiser: Callable[[Any], optax.GradientTransformation] = optax.sgd
    rates: tuple[float, ...] = RATES
    depths: tuple[int, ...] = DEPTHS


def skips(**form: Any) -> Callable[[int], dict[str, Any]]:
    """Identity skips, the branches as they are."""
    return lambda depth: {"skip": True, **form}


def scaled(**form: Any) -> Callable[[int], dict[str, Any]]:
    """Identity skips, the branches divided by the square root of the depth."""
    return lambda depth: {"skip": True, "branch": depth**-0.5, **form}


def clipped(rate: Any) -> optax.GradientTransformation:
    """Gradient descent along a gradient whose norm is at most 1."""
    return optax.chain(train.clipping(1.0), optax.sgd(rate))


SIGMOID = Remedy("sigmoid", "glorot_normal")
ALL_DEPTHS = (*SHALLOW, *DEPTHS)
REMEDIES = {
    "sigmoid, Glorot": SIGMOID._replace(depths=ALL_DEPTHS),
    "tanh, Glorot": Remedy("tanh", "glorot_normal", depths=ALL_DEPTHS),
    "tanh, orthogonal": Remedy("tanh", "orthogonal"),
    "tanh, LSUV": Remedy("tanh", "lsuv"),
    "ReLU, Glorot": Remedy(init="glorot_normal"),
    "ReLU, He": Remedy(depths=ALL_DEPTHS),
    "ReLU, LSUV": Remedy(init="lsuv"),
    "Leaky ReLU, He": Remedy("leaky_relu"),
    "PReLU, He": Remedy("prelu", parts={"alpha": 0.25}),
    "SELU, LeCun": Remedy("selu", "lecun_normal"),
    "ELU, He": Remedy("elu"),
    "GELU, He": Remedy("gelu"),
    "SiLU, He": Remedy("silu"),
    "GELU, LSUV": Remedy("gelu", "lsuv"),
    "sigmoid, batch norm": SIGMOID._replace(parts={"norm": "batch"}),
    "tanh, batch norm": Remedy("tanh", "glorot_normal", {"norm": "batch"}),
    "ReLU, batch norm": Remedy(parts={"norm": "batch"}),
    "sigmoid, layer norm": SIGMOID._replace(parts={"norm": "layer"}),
    "tanh, layer norm": Remedy("tanh", "glorot_normal", {"norm": "layer"}),
    "ReLU, layer norm": Remedy(parts={"norm": "layer"}),
    "sigmoid, residual": SIGMOID._replace(form=skips()),
    "residual, unscaled": Remedy(form=skips()),
    "residual, 1/√L": Remedy(form=scaled()),
    "residual, ReZero": Remedy(form=skips(), parts={"gate": 0.0}),
    "residual, pre-activation": Remedy(form=skips(order="pre_activation")),
    "residual, pre-activation, 1/√L": Remedy(form=scaled(order="pre_activation")),
    "residual, post-activation": Remedy(form=skips(order="post_activation")),
    "residual, batch norm": Remedy(form=skips(), parts={"norm": "batch"}),
    "residual, pre-activation, layer norm": Remedy(
        form=skips(order="pre_activation"), parts={"norm": "layer"}
    ),
    "sigmoid, clipping": SIGMOID._replace(optimiser=clipped),
    "residual, unscaled, clipping": Remedy(form=skips(), optimiser=clipped),
    "sigmoid, Adam": SIGMOID._replace(optimiser=optax.adam, rates=ADAPTIVE_RATES),
    "ReLU, Glorot, Adam": Remedy(init="glorot_normal", optimiser=optax.adam, rates=ADAPTIVE_RATES),
    "ReLU, He, Adam": Remedy(optimiser=optax.adam, rates=ADAPTIVE_RATES),
    "residual, ReZero, Adam": Remedy(
        form=skips(), parts={"gate": 0.0}, optimiser=optax.adam, rates=ADAPTIVE_RATES
    ),
}


def start(remedy: Remedy, depth: int, seeds: int = SEEDS) -> nets.Stack:
    """The initial networks, one for each seed on the leading axis."""
    keys = jax.random.split(jax.random.key(KEY), seeds)
    if remedy.init != "lsuv":
        draw = partial(nets.mlp_stack, depth=depth, width=WIDTH, outputs=10, init=remedy.init)
        return nets.equip(jax.vmap(draw)(keys), **remedy.parts)
    x, form = data.digits().x_train[:256], remedy.form(depth)
    found = []
    for key in keys:
        net = nets.unstack(nets.mlp_stack(key, depth, WIDTH, 10, "orthogonal"), depth)
        found.append(nets.stack(nets.lsuv(net, x, remedy.activation, **form)))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *found)
    return nets.equip(stacked, **remedy.parts)


def signals(remedy: Remedy, depth: int, nets_: nets.Stack) -> np.ndarray:
    """G of each network: dL/dh of the first hidden layer over that of the last."""
    digits, phi = data.digits(), activations.function(remedy.activation)

    @jax.jit
    @jax.vmap
    def ratio(net: nets.Stack) -> jax.Array:
        found = grads.profile(
            net, digits.x_train[:PROBE], digits.y_train[:PROBE], "cross_entropy", phi, depth,
            **remedy.form(depth),
        )  # fmt: skip
        return found.hidden_signal[0] / found.hidden_signal[-1]

    return np.asarray(ratio(nets_))


def run(remedy: Remedy, depth: int, rates: tuple[float, ...], seeds: int = SEEDS) -> train.Trials:
    """Train at every rate: rates on the leading axis, then seeds."""

    @jax.jit
    @jax.vmap
    def at(rate: jax.Array) -> train.Trials:
        return train.trials(
            start_, data.digits(), remedy.optimiser(rate), EPOCHS, BATCH, jax.random.key(KEY),
            activation=remedy.activation, **remedy.form(depth),
        )  # fmt: skip

    start_ = start(remedy, depth, seeds)
    return at(jnp.array(rates))


def measure(remedy: Remedy, depth: int) -> dict[str, Any]:
    """One cell of the league table."""
    found = run(remedy, depth, remedy.rates)
    loss = np.asarray(found.train_loss)
    final = np.max(np.where(np.isfinite(loss[..., -1]), loss[..., -1], np.inf), axis=1)
    best = int(np.argmin(final))
    return {
        "rate": remedy.rates[best],
        "accuracy": np.asarray(found.test_accuracy[best], float).round(4).tolist(),
        "train_loss": np.asarray(found.train_loss[best], float).round(4).tolist(),
        "G": [float(f"{g:.3e}") for g in signals(remedy, depth, start(remedy, depth))],
    }


def step_time(remedies: dict[str, Remedy], depth: int, rounds: int = 15) -> dict[str, float]:
    """Time of a training step over that of "ReLU, He", median of interleaved rounds."""
    steps = {}
    for name, remedy in remedies.items():
        net = jax.tree.map(lambda leaf: leaf[0], start(remedy._replace(init="he_normal"), depth, 1))
        steps[name] = compiled_step(remedy, depth, net), net
    times: dict[str, list[float]] = {name: [] for name in remedies}
    for _ in range(rounds):
        for name, (step, net) in steps.items():
            begin = time.perf_counter()
            for _ in range(5):
                jax.block_until_ready(step(net))
            times[name].append(time.perf_counter() - begin)
    base = np.array(times["ReLU, He"])
    return {name: float(np.median(np.array(t) / base).round(2)) for name, t in times.items()}


def compiled_step(remedy: Remedy, depth: int, net: nets.Stack) -> Callable:
    """A training step, compiled by a first call."""
    digits, optimiser = data.digits(), remedy.optimiser(0.01)
    x, y = digits.x_train[:BATCH], digits.y_train[:BATCH]
    state = optimiser.init(net)

    def loss(net: nets.Stack) -> jax.Array:
        outputs = nets.forward_batch(net, x, remedy.activation, **remedy.form(depth))
        return jnp.mean(jax.vmap(grads.cross_entropy)(outputs, y))

    def step(net: nets.Stack) -> nets.Stack:
        updates, _ = optimiser.update(jax.grad(loss)(net), state, net)
        return optax.apply_updates(net, updates)

    step = jax.jit(step)
    jax.block_until_ready(step(net))
    return step


def main() -> None:
    """Measure the remedies named, or all, and print the league table."""
    asked = [argument for argument in sys.argv[1:] if argument != "--write"] or list(REMEDIES)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {"runs": {}}
    for name in asked:
        for depth in REMEDIES[name].depths:
            begin = time.perf_counter()
            found = measure(REMEDIES[name], depth)
            kept["runs"].setdefault(name, {})[str(depth)] = found
            accuracy = np.array(found["accuracy"])[:, -1]
            print(
                f"{depth} {name:36} rate {found['rate']:<8} accuracy {np.median(accuracy):.3f} "
                f"({accuracy.min():.3f} to {accuracy.max():.3f}) G {np.median(found['G']):.1e} "
                f"{time.perf_counter() - begin:.0f} s", flush=True,
            )  # fmt: skip
    for depth in ALL_DEPTHS:
        measured = {name: REMEDIES[name] for name in REMEDIES if depth in REMEDIES[name].depths}
        for name, ratio in step_time(measured, depth).items():
            kept["runs"][name][str(depth)]["step_time"] = ratio
            print(depth, name, ratio, flush=True)
    kept["made"] = {
        "command": "python -m vgcourse.experiments.remedies --write",
        "seeds": SEEDS, "key": KEY, "epochs": EPOCHS, "batch": BATCH, "width": WIDTH,
        "rates": RATES, "versions": {name: version(name) for name in ("jax", "optax", "numpy")},
    }  # fmt: skip
    if "--write" in sys.argv:
        KEPT.write_text(json.dumps(kept, sort_keys=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
