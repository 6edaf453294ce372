"""What watching costs a training step. Run by `make bench`.

Prints one table. Every figure is the time of a step with a monitor over that of the same step
without: the variants take turns, in an order drawn anew for each round, and a round's times are
compared with each other only. Medians and quartiles over the rounds.
"""

import argparse
import platform
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.explorers import row
from vgkit import data, grads, monitor, nets

LENGTH = 100
NETWORKS = {
    "small net (3 layers of 32), batch 32": ((64, 32, 32, 10), 32, 400),
    "deep net (20 layers of 64), batch 32": ((64,) * 20 + (10,), 32, 40),
    "large net (3 layers of 1024), batch 256": ((64, 1024, 1024, 10), 256, 20),
}


def layer_norms(updates: optax.Updates) -> list[jax.Array]:
    """What one would hand to `optax.snapshot`: one of the monitor's five numbers."""
    return [grads.rms(leaf) for leaf in jax.tree.leaves(updates)]


VARIANTS = {
    "without": [],
    "monitor": [monitor.record(LENGTH)],
    "monitor, every step": [monitor.record(LENGTH, every=1)],
    "optax.snapshot of norms, every step": [optax.snapshot("norms", layer_norms)],
}


def runner(widths: tuple[int, ...], batch: int, watchers: list, steps: int, scan: bool):
    """A function that takes so many steps, in one compiled loop or one call after the other."""
    digits = data.digits()
    x, y = digits.x_train[:batch], digits.y_train[:batch]
    optimiser = optax.chain(optax.adam(1e-3), *watchers)

    def step(net, state):
        def mean_loss(net):
            outputs = jax.vmap(lambda x: nets.forward(net, x, "relu"))(x)
            return jnp.mean(jax.vmap(grads.cross_entropy)(outputs, y))

        updates, state = optimiser.update(jax.grad(mean_loss)(net), state, net)
        return optax.apply_updates(net, updates), state

    net = nets.mlp(jax.random.key(0), widths, "he_normal")
    carry = net, optimiser.init(net)
    if scan:
        loop = jax.jit(
            lambda *carry: jax.lax.scan(lambda c, _: (step(*c), None), carry, length=steps)[0],
            donate_argnums=(0, 1),
        )
    one = jax.jit(step, donate_argnums=(0, 1))

    def run() -> float:
        nonlocal carry
        before = time.perf_counter()
        if scan:
            carry = loop(*carry)
        else:
            for _ in range(steps):
                carry = one(*carry)
        jax.block_until_ready(carry)
        return (time.perf_counter() - before) / steps

    return run


def main(rounds: int) -> None:
    """One row for each network, way of running and variant."""
    random = np.random.default_rng(0)
    for network, (widths, batch, steps) in NETWORKS.items():
        for scan in (True, False):
            runs = {
                name: runner(widths, batch, watchers, steps, scan)
                for name, watchers in VARIANTS.items()
            }
            for run in runs.values():
                run()
            times = {name: [] for name in runs}
            for _ in range(rounds):
                for name in random.permutation(list(runs)):
                    times[name].append(runs[name]())
            plain = np.array(times.pop("without"))
            way = "in lax.scan" if scan else "jitted step"
            row(f"{network}, {way}: step", f"{1e6 * np.median(plain):.0f} µs")
            for name, watched in times.items():
                low, middle, high = np.percentile(watched / plain, [25, 50, 75])
                target = "1.05" if name == "monitor" else ""
                row(f"— {name}", f"{middle:.3f} times ({low:.3f} to {high:.3f})", target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    print(f"{platform.machine()}, Python {platform.python_version()}, JAX {jax.__version__}\n")
    print("| what | measured | target or comparison |\n|---|---|---|")
    main(rounds)
