"""What watching a training step costs, and what a diagnosis costs beside one."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.speed.measure import Row, compare, in_turn, seconds
from vgkit import data, diagnose, grads, monitor, nets

PART = "Monitoring"
LENGTH = 100
NETWORKS = {
    "small net (3 layers of 32), batch 32": ((64, 32, 32, 10), 32, 400),
    "deep net (20 layers of 64), batch 32": ((64,) * 20 + (10,), 32, 100),
    "large net (3 layers of 1024), batch 256": ((64, 1024, 1024, 10), 256, 10),
}
WITHOUT, OTHER = "without", "optax.snapshot of norms, every step"


def layer_norms(updates: optax.Updates) -> list[jax.Array]:
    """What one would hand to `optax.snapshot`: one of the monitor's five numbers."""
    return [grads.rms(leaf) for leaf in jax.tree.leaves(updates)]


VARIANTS = {
    WITHOUT: [],
    "monitor": [monitor.record(rows=LENGTH)],
    "monitor, every step": [monitor.record(every=1, rows=LENGTH)],
    "monitor, every 100th step": [monitor.record(every=100, rows=LENGTH)],
    OTHER: [optax.snapshot("norms", layer_norms)],
}


def runner(widths: tuple[int, ...], batch: int, watchers: list, steps: int, scan: bool):
    """A function that takes so many steps, in one compiled loop or one call after the other."""
    digits = data.digits()
    x, y = digits.x_train[:batch], digits.y_train[:batch]
    optimiser = optax.chain(optax.adam(1e-3), *watchers)

    def step(net: nets.Net, state: Any) -> tuple:
        def mean_loss(net: nets.Net) -> jax.Array:
            return jnp.mean(jax.vmap(grads.cross_entropy)(nets.forward(net, x), y))

        updates, state = optimiser.update(jax.grad(mean_loss)(net), state, net)
        return optax.apply_updates(net, updates), state

    net = nets.mlp(jax.random.key(0), widths, "relu", init="he_normal")
    carry = net, optimiser.init(net)
    loop = jax.jit(
        lambda *carry: jax.lax.scan(lambda c, _: (step(*c), None), carry, length=steps)[0],
        donate_argnums=(0, 1),
    )
    one = jax.jit(step, donate_argnums=(0, 1))

    def run() -> None:
        nonlocal carry
        if scan:
            carry = loop(*carry)
        else:
            for _ in range(steps):
                carry = one(*carry)
        jax.block_until_ready(carry)

    return run


def watching(rounds: int) -> list[Row]:
    """Every network and way of running: a step without, and how much more with each watcher."""
    found = []
    for network, (widths, batch, steps) in NETWORKS.items():
        for scan in (True, False):
            way = f"{network}, {'in lax.scan' if scan else 'jitted step'}"
            runs = {
                name: runner(widths, batch, watchers, steps, scan)
                for name, watchers in VARIANTS.items()
            }
            times = {name: 1e6 * t / steps for name, t in in_turn(runs, rounds, least=0.0).items()}
            for name, watched in times.items():
                if name == WITHOUT:
                    continue
                found.append(
                    Row(
                        PART, f"{way}: step with {name}", float(np.median(watched)), "µs",
                        **compare(watched, times[WITHOUT]), peer="the step without",
                        limit=1.05 if name == "monitor" else None,
                    )
                )  # fmt: skip
    return found


def diagnosing(rounds: int) -> list[Row]:
    """A diagnosis, first and again, beside one training step of the same net and batch."""
    found = []
    digits = data.digits()
    for network, (widths, batch, steps) in NETWORKS.items():
        net = nets.mlp(jax.random.key(0), widths, "relu", init="he_normal")
        x, y = digits.x_train[:batch], digits.y_train[:batch]

        def say(net: nets.Net = net, x: jax.Array = x, y: jax.Array = y) -> Callable:
            return diagnose(nets.forward, net, x, y)

        first = seconds(say)
        runs = {"diagnose": say, "step": runner(widths, batch, [], steps, True)}
        times = in_turn(runs, max(3, rounds // 4), least=0.0)
        step = times["step"] / steps
        found += [
            Row(PART, f"{network}: diagnose", 1e3 * float(np.median(times["diagnose"])), "ms",
                **compare(times["diagnose"], step), peer="one training step"),
            Row(PART, f"{network}: diagnose, first call", 1e3 * first, "ms",
                first / float(np.median(step)), peer="one training step"),
        ]  # fmt: skip
    return found


def rows(rounds: int = 7) -> list[Row]:
    """The monitor, then the diagnosis."""
    return watching(rounds) + diagnosing(rounds)
