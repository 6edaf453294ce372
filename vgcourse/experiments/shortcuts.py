"""Convolutional nets with and without shortcuts, also where the number of channels changes.

    python -m vgcourse.experiments.shortcuts [--write] [--reverse]

The nets are small residual nets as in He et al., Deep residual learning (2016), section 4.2: a
convolution, three stages of n blocks of two convolutions, and a dense layer, 6n + 2 layers in all.
From stage to stage 2 x 2 positions are averaged and the first block doubles the channels. There an
identity can't be added: the path ends ("identity"), goes on with zeros for the new channels ("zero
padding"), or through a learnt 1 x 1 convolution ("projection"). They are trained on the digits as
`search` says, by momentum.
"""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from vgcourse.experiments import search
from vgcourse.experiments.league import FITTED, digits
from vgkit import activations, grads

DEPTHS, PROFILED = (8, 20), 20
SEEDS, CHANNELS, SIDES, PROBE, KEY = 5, (8, 16, 32), (8, 4, 2), 64, 10
STARTS = (-6, -4, -2)


class Kind(NamedTuple):
    """Activation, gain of the initial weights' variance, shortcut, and whether to normalise."""

    activation: str = "relu"
    gain: float = 2.0
    shortcut: str = "none"
    norm: bool = False


SHORTCUTS = ("none", "identity", "zero padding", "projection")
KINDS = (
    {f"ReLU, {name}": Kind(shortcut=name) for name in SHORTCUTS}
    | {f"ReLU, batch norm, {name}": Kind(shortcut=name, norm=True) for name in SHORTCUTS}
    | {f"sigmoid, {name}": Kind("sigmoid", 1.0, name) for name in ("none", "zero padding")}
)
LABELS = [(name, str(depth)) for name in KINDS for depth in DEPTHS]


class Layer(NamedTuple):
    """A 3 x 3 convolution as a matrix, and each channel's scale after normalisation, and shift."""

    w: Float[Array, "*stack patch channels"]
    scale: Float[Array, "*stack channels"]
    shift: Float[Array, "*stack channels"]


class Block(NamedTuple):
    """Two layers, and the matrix that projects the shortcut where the channels change."""

    first: Layer
    second: Layer
    project: Float[Array, "channels_in channels"] | None = None


class Probes(NamedTuple):
    """Zeros added to z of every block's second layer and to h after the block."""

    z: Any = 0.0
    h: Any = 0.0


class Net(NamedTuple):
    """A first layer, stages of a block and of more blocks stacked, and a dense readout."""

    stem: Layer
    stages: tuple[tuple[Block, Block], ...]
    readout: Float[Array, "channels outputs"]


def draw(key: Array, kind: Kind, depth: int) -> Net:
    """One network of normal weights of variance gain / fan-in; readout and projections have gain 1.

    Fan-in counts the inputs that a unit has on average: at the border some are the zeros around the
    image, and in images this small that would be half of them.
    """
    keys = iter(jax.random.split(key, 20))

    def matrix(*shape: int, gain: float = 1.0) -> Array:
        return jax.random.normal(next(keys), shape) * (gain / shape[-2]) ** 0.5

    def layer(side: int, inputs: int, outputs: int, *stack: int) -> Layer:
        ones, gain = jnp.ones((*stack, outputs)), kind.gain * (9 / (3 - 2 / side) ** 2)
        return Layer(matrix(*stack, 9 * inputs, outputs, gain=gain), ones, 0 * ones)

    def stage(side: int, inputs: int, outputs: int) -> tuple[Block, Block]:
        project = kind.shortcut == "projection" and inputs != outputs
        first = layer(side, inputs, outputs), layer(side, outputs, outputs)
        more = (layer(side, outputs, outputs, (depth - 2) // 6 - 1) for _ in range(2))
        return Block(*first, matrix(inputs, outputs) if project else None), Block(*more)

    stages = tuple(map(stage, SIDES, (CHANNELS[0], *CHANNELS), CHANNELS))
    return Net(layer(SIDES[0], 1, CHANNELS[0]), stages, matrix(CHANNELS[-1], 10))


def convolve(w: Array, h: Float[Array, "batch side side channels_in"]) -> Array:
    """Convolution with zeros around the image, as one product over all patches."""
    side, padded = h.shape[1], jnp.pad(h, [(0, 0), (1, 1), (1, 1), (0, 0)])
    shifted = [padded[:, r : r + side, c : c + side] for r in range(3) for c in range(3)]
    return jnp.concatenate(shifted, axis=-1) @ w


def forward(
    kind: Kind, net: Net, x: Array, count: int | None = None, probes: Any = (None,) * 3
) -> Array:
    """Outputs for a batch; the first `count` examples give batch norm its statistics."""
    phi = activations.function(kind.activation)

    def apply(layer: Layer, h: Array, probe: Array | float = 0.0) -> Array:
        a = convolve(layer.w, h) + probe
        if kind.norm:
            a = (
                jax.nn.standardize(a, (0, 1, 2), *moments(a[:count]), epsilon=1e-5)
                * layer.scale[None, None, None]
            )
        return a + layer.shift[None, None, None]

    def moments(a: Array) -> tuple[Array, Array]:
        return jnp.mean(a, (0, 1, 2), keepdims=True), jnp.var(a, (0, 1, 2), keepdims=True)

    def shortcut(block: Block, h: Array, channels: int) -> Array | float:
        new = channels - h.shape[-1]
        if kind.shortcut == "none" or (kind.shortcut == "identity" and new):
            return 0.0
        if block.project is not None:
            return h @ block.project
        return jnp.pad(h, [(0, 0)] * 3 + [(0, new)])

    def through(h: Array, given: tuple[Block, Probes | None]) -> tuple[Array, None]:
        block, probe = given
        probe = probe or Probes()
        z = apply(block.second, phi(apply(block.first, h)), probe.z)
        return phi(shortcut(block, h, z.shape[-1]) + z) + probe.h, None

    h = phi(apply(net.stem, x))
    for number, ((first, more), probe) in enumerate(zip(net.stages, probes, strict=True)):
        if number:
            h = jnp.mean(h.reshape(len(h), h.shape[1] // 2, 2, h.shape[2] // 2, 2, -1), (2, 4))
        h, _ = through(h, (first, jax.tree.map(lambda zeros: zeros[0], probe)))
        h, _ = jax.lax.scan(through, h, (more, jax.tree.map(lambda zeros: zeros[1:], probe)))
    return jnp.mean(h, (1, 2)) @ net.readout


def answer(kind: Kind, net: Net, x: Array, reference: Array | None) -> Array:
    """As `search.Plan` wants it."""
    if reference is None or not kind.norm:
        return forward(kind, net, x)
    count = len(reference)
    return forward(kind, net, jnp.concatenate([reference, x]), count)[count:]


@cache
def plan(kind: Kind) -> search.Plan:
    """How nets of a kind are trained; one object, one program."""
    return search.Plan(
        partial(optax.sgd, momentum=0.9), partial(answer, kind),
        batch=32, short=220, least=440, patience=880, most=1760,
    )  # fmt: skip


def images() -> search.Data:
    """The digits as images with the channel last."""
    given = digits()
    shaped = {n: getattr(given, n).reshape(-1, 8, 8, 1) for n in ("x", "x_validation", "x_test")}
    return given._replace(**shaped)


@partial(jax.jit, static_argnums=0)
def profile(kind: Kind, net: Net) -> dict[str, Array]:
    """RMS of dL/dz of every block's second layer, and of dL/dh after it; L a sum of examples'."""
    data, blocks = images(), 1 + net.stages[0][1].first.w.shape[0]
    zeros = [jnp.zeros((blocks, PROBE, s, s, c)) for s, c in zip(SIDES, CHANNELS, strict=True)]

    def loss(probes: list[Probes]) -> Array:
        outputs = forward(kind, net, data.x[:PROBE], None, probes)
        return jnp.sum(jax.vmap(grads.cross_entropy)(outputs, data.y[:PROBE]))

    found = jax.grad(loss)([Probes(z, z) for z in zeros])
    return {
        name: jnp.concatenate([jnp.sqrt(jnp.mean(a**2, (1, 2, 3, 4))) for a in parts])
        for name, parts in zip(("dL/dz", "dL/dh"), zip(*found, strict=True), strict=True)
    }


def networks(kind: Kind, depth: int) -> list[Net]:
    """The initial networks, one for each seed."""
    one = jax.jit(partial(draw, kind=kind, depth=depth))
    return [one(key) for key in jax.random.split(jax.random.key(KEY), SEEDS)]


def medians(kind: Kind, drawn: list[Net]) -> dict[str, list[float]]:
    """The profiles of all seeds, to two digits."""
    rows = [profile(kind, net) for net in drawn]
    return {
        name: [float(f"{size:.2g}") for size in np.median([row[name] for row in rows], axis=0)]
        for name in rows[0]
    }


def measure(label: search.Label) -> dict[str, Any]:
    """Results of one kind of net at one depth; profiles are kept of one depth alone."""
    kind, depth = KINDS[label[0]], int(label[1])
    drawn = networks(kind, depth)
    found = search.measure(drawn, jax.random.key(KEY), images(), plan(kind), STARTS)
    return found | (medians(kind, drawn) if depth == PROFILED else {})


def main() -> None:
    """Measure what is missing; see `search.main`."""
    search.main(
        "shortcuts", LABELS, measure, seeds=SEEDS, key=KEY, channels=CHANNELS, fitted=FITTED,
        **search.budget(plan(Kind())),
    )  # fmt: skip


if __name__ == "__main__":
    main()
