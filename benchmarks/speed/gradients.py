"""Weight-gradient norms of all layers: vgkit beside other ways to get them, and a floor."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed.measure import Row, compare, in_turn, seconds
from vgkit import grads, nets

PART = "All layers' exact gradient norms"
SIZES = [(20, 64, 128), (64, 64, 128), (20, 256, 256), (100, 128, 128), (10, 512, 512)]
OUTPUTS = 10

Run = Callable[[], Any]


def problem(depth: int, width: int, batch: int) -> tuple[nets.Net, np.ndarray, np.ndarray]:
    """A tanh net of equal layers in float32, and a batch of random inputs and labels."""
    widths = (width,) * (depth + 1) + (OUTPUTS,)
    net = nets.unstack(nets.mlp(jax.random.key(0), widths, "tanh", stacked=True))
    net = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), net)
    random = np.random.default_rng(0)
    x = random.standard_normal((batch, width), np.float32)
    return net, x, random.integers(0, OUTPUTS, batch).astype(np.int32)


def by_vgkit(net: nets.Net, x: np.ndarray, y: np.ndarray) -> Run:
    """`grads.signals`, as the README has it, in one compiled function."""
    run = jax.jit(lambda net, x, y: grads.signals(net, x, y).weight_norms)
    return lambda: jax.block_until_ready(run(net, x, y))


def by_scan(net: nets.Net, x: np.ndarray, y: np.ndarray) -> Run:
    """The same of stacked layers, as explorers do: one program for every depth."""
    stacked = nets.stack(net)
    run = jax.jit(lambda net, x, y: grads.signals(net, x, y).weight_norms)
    return lambda: jax.block_until_ready(run(stacked, x, y))


def by_jax(net: nets.Net, x: np.ndarray, y: np.ndarray) -> Run:
    """What one writes without vgkit: batches as matrices, and plain root mean squares."""
    weights = [(layer.w.T, layer.b) for layer in (*net.layers, net.readout)]

    def mean_loss(weights: list, x: jax.Array, y: jax.Array) -> jax.Array:
        for w, b in weights[:-1]:
            x = jnp.tanh(x @ w + b)
        logits = x @ weights[-1][0] + weights[-1][1]
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])

    @jax.jit
    def run(weights: list, x: jax.Array, y: jax.Array) -> jax.Array:
        found = jax.grad(mean_loss)(weights, x, y)
        return jnp.stack([jnp.sqrt(jnp.mean(w**2)) for w, _ in found])

    return lambda: jax.block_until_ready(run(weights, x, y))


def by_jax_scan(net: nets.Net, x: np.ndarray, y: np.ndarray) -> Run:
    """The same with a loop that is compiled once: `lax.scan` over stacked layers."""
    stacked = nets.stack(net)

    def mean_loss(net: nets.Net, x: jax.Array, y: jax.Array) -> jax.Array:
        h, _ = jax.lax.scan(lambda h, at: (jnp.tanh(h @ at.w.T + at.b), None), x, net.layers)
        logits = h @ net.readout.w.T + net.readout.b
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(len(y)), y])

    @jax.jit
    def run(net: nets.Net, x: jax.Array, y: jax.Array) -> jax.Array:
        found = jax.grad(mean_loss)(net, x, y)
        hidden = jnp.sqrt(jnp.mean(found.layers.w**2, axis=(1, 2)))
        return jnp.append(hidden, jnp.sqrt(jnp.mean(found.readout.w**2)))

    return lambda: jax.block_until_ready(run(stacked, x, y))


def by_torch(net: nets.Net, x: np.ndarray, y: np.ndarray) -> Run:
    """PyTorch, eager."""
    import torch

    def tensor(a: Any, **options: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(a), **options)

    weights = [tensor(layer.w, requires_grad=True) for layer in (*net.layers, net.readout)]
    biases = [tensor(layer.b, requires_grad=True) for layer in (*net.layers, net.readout)]
    inputs, labels = tensor(x), tensor(y, dtype=torch.long)

    def run() -> np.ndarray:
        h = inputs
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            h = torch.tanh(torch.nn.functional.linear(h, w, b))
        logits = torch.nn.functional.linear(h, weights[-1], biases[-1])
        loss = torch.nn.functional.cross_entropy(logits, labels)
        found = torch.autograd.grad(loss, weights + biases)[: len(weights)]
        return torch.stack([w.square().mean().sqrt() for w in found]).numpy()

    return run


def by_autograd(net: nets.Net, x: np.ndarray, y: np.ndarray) -> Run:
    """HIPS autograd: the derivative of NumPy code."""
    import autograd
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    weights = [
        (np.asarray(layer.w).T.copy(), np.asarray(layer.b)) for layer in (*net.layers, net.readout)
    ]

    def mean_loss(weights: list) -> Any:
        h = x
        for w, b in weights[:-1]:
            h = anp.tanh(anp.dot(h, w) + b)
        logits = anp.dot(h, weights[-1][0]) + weights[-1][1]
        return anp.mean(logsumexp(logits, axis=1) - logits[anp.arange(len(y)), y])

    gradient = autograd.grad(mean_loss)
    return lambda: np.array([np.sqrt(np.mean(w**2)) for w, _ in gradient(weights)])


def floor(net: nets.Net, x: np.ndarray, y: np.ndarray) -> Run:
    """Only the three matrix products of each hidden layer, by NumPy into arrays at hand."""
    weights = [np.asarray(layer.w) for layer in net.layers]
    forward, back, gradient = np.empty_like(x), np.empty_like(x), np.empty_like(weights[0])

    def run() -> None:
        for w in weights:
            np.matmul(x, w.T, out=forward)
        for w in weights:
            np.matmul(x, w, out=back)
            np.matmul(x.T, back, out=gradient)

    return run


LIST, STACK = "vgkit", "vgkit, stacked"
PEERS: dict[str, Callable[..., Run]] = {
    "PyTorch eager": by_torch,
    "JAX, unrolled": by_jax,
    "HIPS autograd": by_autograd,
}
IN_KIND = {LIST: "JAX, unrolled", STACK: "JAX, lax.scan"}
"""What one compares first calls with, and a stacked net, whose compilation is short."""
WAYS = {LIST: by_vgkit, STACK: by_scan, "JAX, lax.scan": by_jax_scan, **PEERS}
FLOOR = "NumPy floor"


def rows(rounds: int = 11) -> list[Row]:
    """Every size: each way beside each peer and the floor, and its first call."""
    found: list[Row] = []
    for size in SIZES:
        found += at(size, rounds)
    return found


def at(size: tuple[int, int, int], rounds: int) -> list[Row]:
    """One size."""
    depth, width, batch = size
    name = f"{depth} layers of {width}, batch {batch}"
    given, runs, first, absent, results = problem(*size), {}, {}, {}, {}
    for way, make in WAYS.items():
        try:
            run = make(*given)
        except ImportError as error:
            absent[way] = f"{error.name} is not installed here"
            continue
        first[way] = seconds(lambda run=run, way=way: results.update({way: run()}))
        runs[way] = run
    for way, result in results.items():  # a wrong answer may be as fast as it likes
        np.testing.assert_allclose(result, results["vgkit"], rtol=1e-3, err_msg=way)
    times = in_turn({**runs, FLOOR: floor(*given)}, rounds)
    peers = [way for way in PEERS if way in runs]
    fastest = min(peers, key=lambda way: np.median(times[way]))
    found = []
    for way, kin in IN_KIND.items():
        ms = 1e3 * float(np.median(times[way]))
        for peer in [*dict.fromkeys([*peers, kin]), FLOOR]:
            what, ratio = f"{name}: {way}", compare(times[way], times[peer])
            row = Row(PART, what, ms, "ms", **ratio, peer=peer)
            if way == LIST and peer == FLOOR and width >= 256:
                row = row._replace(limit=1.2)
            if peer == (fastest if way == LIST else kin):
                row = row._replace(limit=1.05, note="fastest peer" if way == LIST else "")
            if way == LIST and peer == "PyTorch eager" and width == 64:
                row = row._replace(limit=0.5)
            found.append(row)
        what, ratio = f"{name}: {way}, first call", first[way] / first[kin]
        found.append(Row(PART, what, 1e3 * first[way], "ms", ratio, peer=kin))
    return found + [Row(PART, f"{name}: {way}", None, note=why) for way, why in absent.items()]
