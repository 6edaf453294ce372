"""How the cost grows: with depth, width, batch and settings; memory with `jax.checkpoint`."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.measure import Row, compare, in_turn, seconds
from vgkit import grads, nets

PART = "Scaling"
DEPTHS = (10, 100, 1000)
PLAIN, SMALL = " by a plain lax.scan", " at width 16, batch 8"


def batch_of(width: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs and labels."""
    random = np.random.default_rng(0)
    x = random.standard_normal((batch, width), np.float32)
    return x, random.integers(0, 10, batch).astype(np.int32)


def tanh_net(depth: int, width: int) -> nets.Net:
    """Equal layers, stacked."""
    widths = (width,) * (depth + 1) + (10,)
    return nets.mlp(jax.random.key(0), widths, "tanh", stacked=True)


def profile_of(depth: int, width: int, batch: int):
    """`grads.signals` compiled for stacked layers; it and its arguments."""
    stacked = tanh_net(depth, width)
    x, y = batch_of(width, batch)

    def norms(net: nets.Net) -> tuple[jax.Array, jax.Array]:
        signals = grads.signals(net, x, y)
        return signals.error_norms, signals.weight_norms

    return jax.jit(norms), stacked


def scan_of(depth: int, width: int, batch: int):
    """The weight gradients alone by JAX's own `lax.scan`, without vgkit; the run and its net."""
    stacked = tanh_net(depth, width)
    x, y = batch_of(width, batch)

    def mean_loss(net: nets.Net) -> jax.Array:
        h, _ = jax.lax.scan(lambda h, l: (jnp.tanh(h @ l.w.T + l.b), None), x, net.layers)  # noqa: E741
        logits = h @ net.readout.w.T + net.readout.b
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])

    def norms(net: nets.Net) -> jax.Array:
        return jnp.sqrt(jnp.mean(jax.grad(mean_loss)(net).layers.w ** 2, axis=(1, 2)))

    return jax.jit(norms), stacked


def finished(run, *given) -> None:
    """One call and its end."""
    jax.block_until_ready(run(*given))


def beside_scan(rounds: int) -> list[Row]:
    """Both signals by `grads.signals` beside the weight gradients by a plain scan."""
    found = []
    for depth in DEPTHS:
        runs = {
            name: partial(finished, *make(depth, 64, 32))
            for name, make in {"profile": profile_of, "scan": scan_of}.items()
        }
        times = in_turn(runs, rounds)
        value = 1e3 * float(np.median(times["profile"]))
        what = f"run at depth {depth}: grads.signals, both signals"
        peer = "a plain lax.scan, weight gradients only"
        found.append(Row(PART, what, value, "ms", **compare(*times.values()), peer=peer))
    return found


KEEP = {"MALLOC_MMAP_THRESHOLD_": "4000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
"""Makes glibc keep memory that XLA gives back and asks for again at every call."""


def child(rounds: int) -> None:
    """Print the growth with depth."""
    for row in by_depth(rounds):
        print("ROW", json.dumps(row))


def with_memory_kept(rounds: int) -> list[Row]:
    """The growth with depth where memory does not go back to the system after every call."""
    command = [
        sys.executable,
        "-c",
        f"from benchmarks.speed import scaling; scaling.child({rounds})",
    ]
    environment = {**os.environ, **KEEP}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.removeprefix("ROW ") for line in done.stdout.splitlines() if "ROW " in line]
    found = [Row(*json.loads(line)) for line in lines]
    note = "MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ set high"
    last = f"run at depth {DEPTHS[-1]}"
    kept = [row for row in found if row.what == last]
    return [
        row._replace(what=f"{last}, memory kept between calls", limit=None, note=note)
        for row in kept
    ]


def by_depth(rounds: int) -> list[Row]:
    """The growth with depth at width 64."""
    return growth("depth", DEPTHS, lambda depth: profile_of(depth, 64, 32), rounds, 11)


def growth(
    name: str, sizes: tuple, at: Callable, rounds: int, limit: float | None = None, of: str = ""
) -> list[Row]:
    """Compilation and run at several sizes, each beside the size before it."""
    runs, compiled = {}, {}
    for size in sizes:
        run, given = at(size)
        compiled[size] = seconds(lambda run=run, given=given: run.lower(given).compile())
        runs[size] = lambda run=run, given=given: jax.block_until_ready(run(given))
    times = in_turn(runs, rounds)
    found = []
    for small, large in itertools.pairwise(sizes):
        ratio = compare(times[large], times[small])
        value = 1e3 * float(np.median(times[large]))
        row = Row(PART, f"run at {name} {large}{of}", value, "ms", **ratio, peer=f"{name} {small}")
        found += [
            row._replace(limit=limit) if large == sizes[-1] else row,
            Row(PART, f"tracing and compiling at {name} {large}{of}", compiled[large], "s",
                compiled[large] / compiled[small], peer=f"{name} {small}"),
        ]  # fmt: skip
    return found


def alike(rounds: int) -> list[Row]:
    """The growth with depth of what has no part of vgkit, and where all fits into the caches."""
    plain = growth("depth", DEPTHS, lambda n: scan_of(n, 64, 32), rounds, of=PLAIN)
    small = growth("depth", DEPTHS, lambda n: profile_of(n, 16, 8), rounds, of=SMALL)
    return [row for row in [*plain, *small] if row.what.startswith("run")]


def settings(rounds: int) -> list[Row]:
    """A sweep over many networks in one program beside one over a tenth of them."""
    x, y = batch_of(32, 8)
    net = tanh_net(20, 32)

    def at(count: int):
        def signals(gains: jax.Array) -> jax.Array:
            def one(gain: jax.Array) -> jax.Array:
                scaled = net.replace(layers=net.layers.replace(w=gain * net.layers.w))
                return grads.signals(scaled, x, y).error_norms

            return jax.lax.map(one, gains, batch_size=10)

        return jax.jit(signals), jnp.linspace(0.5, 2, count)

    return growth("settings", (100, 1000), at, rounds, 11)


def memory() -> list[Row]:
    """Temporary memory of a gradient with and without rematerialisation, as XLA plans it."""

    def gradient(depth: int, checkpoint: int):
        x, y = batch_of(128, 128)
        stacked = tanh_net(depth, 128)

        def loss(net: nets.Net) -> jax.Array:
            def block(h: jax.Array, layers: nets.Layer) -> tuple[jax.Array, None]:
                layer = lambda h, layer: (jnp.tanh(h @ layer.w.T + layer.b), None)  # noqa: E731
                return jax.lax.scan(layer, h, layers)

            blocks = jax.tree.map(
                lambda leaf: leaf.reshape(checkpoint, -1, *leaf.shape[1:]), net.layers
            )
            body = jax.checkpoint(block) if checkpoint > 1 else block
            h, _ = jax.lax.scan(body, x, blocks)
            return jnp.mean(jax.vmap(grads.cross_entropy)(h @ net.readout.w.T + net.readout.b, y))

        run = jax.jit(lambda net: jax.tree.map(lambda g: jnp.sum(g**2), jax.grad(loss)(net)))
        compiled = run.lower(stacked).compile()
        analysis = compiled.memory_analysis()
        return compiled, stacked, analysis.temp_size_in_bytes / 1e6

    found = []
    for depth, blocks in ((100, 10), (1000, 25)):
        plain, stacked, usual = gradient(depth, 1)
        saving, _, less = gradient(depth, blocks)
        runs = {
            "plain": partial(finished, plain, stacked),
            "saving": partial(finished, saving, stacked),
        }
        times = in_turn(runs, 7)
        slower = float(np.median(times["saving"] / times["plain"]))
        name = f"depth {depth}, width and batch 128"
        note = f"takes {slower:.2f} times as long"
        found += [
            Row(PART, f"temporary memory of a gradient, {name}", usual, "MB"),
            Row(PART, f"the same with jax.checkpoint on {blocks} blocks", less, "MB", less / usual,
                peer="without", note=note),
        ]  # fmt: skip
    return found


def rows(rounds: int = 11) -> list[Row]:
    """Depth, width, batch, settings, memory."""
    return [
        *by_depth(rounds),
        *alike(rounds),
        *with_memory_kept(rounds),
        *beside_scan(rounds),
        *growth("width", (32, 128, 512), lambda width: profile_of(20, width, 64), rounds),
        *growth("batch", (16, 128, 1024), lambda batch: profile_of(20, 64, batch), rounds),
        *settings(rounds),
        *memory(),
    ]
