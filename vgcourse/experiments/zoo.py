"""Labelled networks for `diagnose`: what ails each was measured here, without `diagnose`.

Every network is a stack of equal hidden layers between an input and an output layer. A label is
True, False or None; None means that the measurement falls between two lines drawn apart, so that
either answer is right. The measurements are `truth` and the functions before it.
"""

import hashlib
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.special

from vgkit import data

EXAMPLES = 64
VERDICTS = (
    "vanishing", "exploding", "dead units", "saturated", "underflow", "no path", "converged",
    "learning rate too low", "frozen layer", "collapsed geometry",
)  # fmt: skip
FUNCTIONS = {
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky": lambda z: jax.nn.leaky_relu(z, 0.01),
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "selu": jax.nn.selu,
    "elu": jax.nn.elu,
}
HE, GLOROT, UNIFORM = 2**0.5, 1.0, 3**-0.5
"""Standard deviation of a weight times the square root of its fan-in."""


class Spec(NamedTuple):
    """How a network is made.

    Attributes:
        name: Says what it is, and decides which half it belongs to.
        phi: Activation.
        depth: Hidden layers.
        width: Units of each.
        gain: Standard deviation of a weight times the square root of its fan-in.
        bias: Standard deviation of a bias.
        shift: Added to every bias.
        block: plain, skip (h + scale * phi(z)), branch (h + scale * W phi(h)), batch or layer.
        scale: Of the branches.
        loss: "cross_entropy" or "mean_squared_error".
        inputs, targets: Factors on the data.
        train: Optimiser, rate and steps of the training before the diagnosis.
        given: Optimiser and rate that `diagnose` is told; None for neither.
        told: Whether it is told the history of the training too.
        frozen: Hidden layers held in training.
        noise: Standard deviation of what is added to a regression's targets.
        dtype: Number format of the parameters.
        seed: Of the weights.
    """

    name: str
    phi: str
    depth: int
    width: int = 64
    gain: float = 1.0
    bias: float = 0.0
    shift: float = 0.0
    block: str = "plain"
    scale: float = 1.0
    loss: str = "cross_entropy"
    inputs: float = 1.0
    targets: float = 1.0
    train: tuple[str, float, int] | None = None
    given: tuple[str, float] | None = None
    told: bool = False
    frozen: tuple[int, ...] = ()
    noise: float = 0.0
    dtype: str = "float32"
    seed: int = 0


def specs() -> list[Spec]:
    """All networks of the zoo."""
    S = Spec
    ce_fit, fit = ("adam", 1e-3, 600), ("sgd", 0.1, 60)
    return [
        # Healthy, at the start.
        S("relu-he-3", "relu", 3, gain=HE),
        S("relu-he-10", "relu", 10, gain=HE),
        S("relu-he-20", "relu", 20, gain=HE),
        S("relu-he-20-wide", "relu", 20, 256, gain=HE),
        S("relu-he-30-wide", "relu", 30, 128, gain=HE, seed=1),
        S("relu-he-10-narrow", "relu", 10, 16, gain=HE, seed=2),
        S("relu-he-6-very-narrow", "relu", 6, 8, gain=HE, seed=3),
        S("leaky-he-15", "leaky", 15, gain=HE),
        S("tanh-glorot-5", "tanh", 5),
        S("tanh-glorot-20", "tanh", 20),
        S("tanh-glorot-40", "tanh", 40, 128),
        S("tanh-edge-30", "tanh", 30, 128, gain=1.12, bias=0.05),
        S("selu-lecun-30", "selu", 30),
        S("gelu-he-8", "gelu", 8, gain=HE),
        S("silu-he-5", "silu", 5, gain=HE),
        S("elu-he-12", "elu", 12, gain=1.2),
        S("sigmoid-glorot-2", "sigmoid", 2),
        S("sigmoid-4x-3", "sigmoid", 3, gain=4.0),
        S("softplus-3", "softplus", 3, gain=1.5),
        S("small-loss-tanh-8", "tanh", 8, loss="mean_squared_error", targets=1e-4, inputs=1e-2),
        S("big-loss-tanh-8", "tanh", 8, loss="mean_squared_error", targets=1e4),
        S("small-inputs-relu-8", "relu", 8, gain=HE, inputs=1e-3),
        S("skip-scaled-30", "tanh", 30, block="skip", scale=30**-0.5),
        S("branch-scaled-40", "relu", 40, gain=HE, block="branch", scale=40**-0.5),
        S("rezero-30", "relu", 30, gain=HE, block="skip", scale=0.0),
        S("batch-norm-relu-6", "relu", 6, block="batch"),
        S("batch-norm-sigmoid-30", "sigmoid", 30, block="batch"),
        S("layer-norm-tanh-12", "tanh", 12, block="layer"),
        # Vanishing.
        S("sigmoid-glorot-6", "sigmoid", 6),
        S("sigmoid-glorot-12", "sigmoid", 12),
        S("sigmoid-he-20", "sigmoid", 20, gain=HE),
        S("sigmoid-4x-40", "sigmoid", 40, gain=4.0),
        S("t1-tanh-uniform-15", "tanh", 15, 128, gain=UNIFORM),
        S("t1-tanh-uniform-30", "tanh", 30, 256, gain=UNIFORM),
        S("t1-relu-glorot-30", "relu", 30, 128),
        S("relu-small-12", "relu", 12, gain=0.5),
        S("silu-he-50", "silu", 50, gain=HE),
        S("softplus-15", "softplus", 15),
        S("tanh-biased-20", "tanh", 20, 128, gain=0.6, bias=0.5),
        S("leaky-glorot-40", "leaky", 40, 128),
        S("elu-small-25", "elu", 25, gain=0.6),
        S("big-loss-sigmoid-10", "sigmoid", 10, loss="mean_squared_error", targets=1e5),
        S("t2-plateau-sigmoid-8", "sigmoid", 8, train=("sgd", 0.3, 400), told=True,
          given=("sgd", 0.3)),
        S("t2-plateau-mse-7", "sigmoid", 7, loss="mean_squared_error", train=("sgd", 0.3, 400)),
        S("t4-adam-sigmoid-10", "sigmoid", 10, train=("adam", 1e-3, 100), given=("adam", 1e-3),
          told=True),
        S("t4-adam-relu-glorot-25", "relu", 25, train=("adam", 1e-3, 30), given=("adam", 1e-3)),
        S("skip-vanishing-none-12", "silu", 40, gain=1.0),
        # Exploding.
        S("tanh-normal-8", "tanh", 8, 128, gain=128**0.5),
        S("tanh-2.5-30", "tanh", 30, 128, gain=2.5),
        S("relu-3-12", "relu", 12, gain=3.0),
        S("relu-2-40", "relu", 40, gain=2.0),
        S("skip-unscaled-30", "relu", 30, gain=HE, block="skip"),
        S("branch-unscaled-40", "relu", 40, gain=HE, block="branch"),
        S("batch-norm-relu-50", "relu", 50, block="batch"),
        S("leaky-3-15", "leaky", 15, gain=3.0, loss="mean_squared_error"),
        S("selu-2-20", "selu", 20, gain=2.2),
        # Dead, saturated.
        S("dead-relu-5", "relu", 5, gain=HE, shift=-4.0),
        S("dead-relu-3-wide", "relu", 3, 256, gain=HE, shift=-3.0),
        S("mostly-dead-relu-4", "relu", 4, gain=HE, shift=-1.5),
        S("dying-relu-6", "relu", 6, gain=HE, train=("sgd", 1.0, 5)),
        S("biased-relu-4", "relu", 4, gain=HE, shift=-0.2),
        S("saturated-tanh-3", "tanh", 3, gain=12.0),
        S("saturated-inputs-tanh-4", "tanh", 4, inputs=100.0),
        S("saturated-sigmoid-3", "sigmoid", 3, gain=40.0),
        S("saturated-bias-sigmoid-5", "sigmoid", 5, shift=8.0),
        # Numbers.
        S("underflow-sigmoid-60", "sigmoid", 60, 32),
        S("underflow-half-sigmoid-8", "sigmoid", 8, dtype="float16"),
        S("underflow-relu-45", "relu", 45, gain=0.15),
        S("no-path-tanh-zero-5", "tanh", 5, gain=0.0),
        S("no-path-relu-zero-4", "relu", 4, gain=0.0),
        S("no-path-gelu-zero-4", "gelu", 4, gain=0.0),
        # Converged, slow, frozen.
        S("converged-relu-3", "relu", 3, gain=HE, train=ce_fit, told=True),
        S("converged-tanh-4", "tanh", 4, train=ce_fit, given=("sgd", 0.1)),
        S("converged-relu-10", "relu", 10, gain=HE, train=ce_fit),
        S("converged-mse-tanh-3", "tanh", 3, loss="mean_squared_error", train=("adam", 1e-3, 2000)),
        S("converged-noise-tanh-1", "tanh", 2, 8, loss="mean_squared_error", noise=1.0,
          train=("adam", 3e-3, 6000)),
        S("fit-relu-4", "relu", 4, gain=HE, train=fit, given=("sgd", 0.1), told=True),
        S("fit-tanh-10", "tanh", 10, train=fit, given=("sgd", 0.1), told=True),
        S("fit-adam-relu-6", "relu", 6, gain=HE, train=("adam", 1e-3, 15), given=("adam", 1e-3)),
        S("slow-relu-5", "relu", 5, gain=HE, given=("sgd", 1e-6)),
        S("slow-tanh-6", "tanh", 6, train=("sgd", 1e-6, 50), told=True),
        S("slow-tanh-4-told", "tanh", 4, train=("sgd", 1e-5, 50), told=True, given=("sgd", 1e-5)),
        S("slow-adam-relu-5", "relu", 5, gain=HE, given=("adam", 1e-8)),
        S("slow-adam-tanh-8", "tanh", 8, train=("adam", 1e-8, 50), told=True),
        S("slow-selu-10", "selu", 10, given=("sgd", 3e-6)),
        S("rate-fine-relu-5", "relu", 5, gain=HE, given=("sgd", 0.03)),
        S("rate-fine-adam-tanh-8", "tanh", 8, given=("adam", 1e-3)),
        S("frozen-relu-5", "relu", 5, gain=HE, train=("sgd", 0.05, 40), frozen=(0, 1), told=True),
        S("frozen-adam-tanh-6", "tanh", 6, train=("adam", 1e-3, 40), frozen=(2,), told=True),
        S("frozen-given-tanh-5", "tanh", 5, given=("sgd", 0.1), frozen=(1,)),
        # Collapsed.
        S("t7-relu-he-60", "relu", 60, 64, gain=HE, seed=5),
        S("t7-relu-he-60-b", "relu", 60, 128, gain=HE, seed=6),
        S("t7-biased-relu-40", "relu", 40, 128, gain=HE, bias=1.0, seed=7),
        S("t7-biased-tanh-30", "tanh", 30, 128, gain=1.3, bias=0.6),
    ]  # fmt: skip


class Animal(NamedTuple):
    """One network, ready for `diagnose`."""

    spec: Spec
    model: Any
    params: dict
    x: Any
    y: Any
    history: dict | None
    optimiser: Any


Net = dict[str, np.ndarray]
"""Parameters in float64: w0 and b0 read the data, w and b are the hidden layers' that follow, v and
c the output's, s scales the branches. All have one more axis in front, so that several are trained
at once."""


def phi(name: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An activation and its slope, in closed form."""
    s = scipy.special.expit(z)
    gelu = np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))
    inner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * z**2)
    exp = np.exp(np.minimum(z, 0))
    scale, alpha = 1.0507009873554805, 1.6732632423543772
    return {
        "sigmoid": lambda: (s, s * scipy.special.expit(-z)),
        "tanh": lambda: (np.tanh(z), np.cosh(np.clip(z, -300, 300)) ** -2.0),
        "relu": lambda: (np.maximum(z, 0), (z > 0) * 1.0),
        "leaky": lambda: (np.where(z > 0, z, 0.01 * z), np.where(z > 0, 1, 0.01)),
        "gelu": lambda: (z * (1 + gelu) / 2, (1 + gelu) / 2 + z * (1 - gelu**2) * inner / 2),
        "silu": lambda: (z * s, s * (1 + z * (1 - s))),
        "softplus": lambda: (np.logaddexp(z, 0), s),
        "elu": lambda: (np.where(z > 0, z, exp - 1), np.where(z > 0, 1, exp)),
        "selu": lambda: (
            scale * np.where(z > 0, z, alpha * (exp - 1)), scale * np.where(z > 0, 1, alpha * exp)
        ),
    }[name]()  # fmt: skip


def batch(spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    """Digits; as targets of a regression a function of them, or the same with noise."""
    digits = data.digits()
    x = np.asarray(digits.x_train[:EXAMPLES], np.float64)
    if spec.loss == "cross_entropy":
        return x * spec.inputs, np.asarray(digits.y_train[:EXAMPLES])
    random = np.random.default_rng(99)
    w = random.standard_normal((64, 3)) / 8
    if spec.noise:  # each input is seen four times, with different targets
        x = np.repeat(x[: EXAMPLES // 4], 4, axis=0)
    y = 1.0 + np.sin(x @ w) + spec.noise * random.standard_normal((EXAMPLES, 3))
    return x * spec.inputs, y * spec.targets


def start(spec: Spec) -> Net:
    """Draw the parameters."""
    random = np.random.default_rng(spec.seed)
    n, m = spec.width, spec.depth - 1
    outputs = 10 if spec.loss == "cross_entropy" else 3
    normal = random.standard_normal
    return {
        "w0": normal((1, 64, n)) * spec.gain / 8,
        "w": normal((1, m, n, n)) * spec.gain * n**-0.5,
        "v": normal((1, n, outputs)) * (spec.gain > 0) * n**-0.5,
        "b0": normal((1, n)) * spec.bias + spec.shift,
        "b": normal((1, m, n)) * spec.bias + spec.shift,
        "c": np.zeros((1, outputs)),
        "s": np.full((1, m), spec.scale),
    }


class Pass(NamedTuple):
    """Forward and back once.

    Mean loss, outputs h and pre-activations z of every hidden layer, dL/dh of the summed loss, and
    the gradient of the mean loss.
    """

    loss: np.ndarray
    h: list[np.ndarray]
    z: list[np.ndarray]
    by_h: list[np.ndarray]
    gradient: Net


def passes(spec: Spec, net: Net, x: np.ndarray, y: np.ndarray) -> Pass:
    """Backpropagation written out by hand."""
    blocks, norm = spec.block, {"batch": -2, "layer": -1}.get(spec.block)

    def up(d: np.ndarray, w: np.ndarray) -> np.ndarray:
        return d @ np.swapaxes(w, -1, -2)

    z = x @ net["w0"] + net["b0"][:, None]
    out, slope = phi(spec.phi, z)
    hs, zs, back = [out], [z], [slope]
    deviations: list[Any] = [None]
    outs: list[Any] = []
    for k in range(spec.depth - 1):
        w, b, h = net["w"][:, k], net["b"][:, k], hs[-1]
        scale = net["s"][:, k, None, None]
        if blocks == "branch":
            out, slope = phi(spec.phi, h)
            branch = out @ w + b[:, None]
            hs.append(h + scale * branch)
            zs.append(h)
            back.append((out, slope, branch))
            deviations.append(None)
            continue
        z, deviation = h @ w + b[:, None], None
        if norm is not None:
            deviation = np.sqrt(z.var(norm, keepdims=True) + 1e-5)
            z = (z - z.mean(norm, keepdims=True)) / deviation
        out, slope = phi(spec.phi, z)
        hs.append(h + scale * out if blocks == "skip" else out)
        outs.append(out)
        zs.append(z)
        back.append(slope)
        deviations.append(deviation)
    output = hs[-1] @ net["v"] + net["c"][:, None]
    if spec.loss == "cross_entropy":
        loss = -scipy.special.log_softmax(output, axis=-1)[:, np.arange(len(y)), y]
        d = scipy.special.softmax(output, axis=-1) - np.eye(output.shape[-1])[y]
    else:
        loss = np.mean((output - y) ** 2, axis=-1)
        d = 2 * (output - y) / output.shape[-1]
    gradient = {name: np.zeros_like(value) for name, value in net.items()}
    gradient["v"], gradient["c"] = np.swapaxes(hs[-1], -1, -2) @ d, d.sum(-2)
    by_h = [up(d, net["v"])]
    for k in range(spec.depth - 2, -1, -1):
        w, d, h = net["w"][:, k], by_h[0], hs[k]
        scale = net["s"][:, k, None, None]
        if blocks == "branch":
            out, slope, branch = back[k + 1]
            gradient["s"][:, k] = np.sum(d * branch, axis=(-2, -1))
            into = scale * d
            below = d + slope * up(into, w)
            gradient["w"][:, k] = np.swapaxes(out, -1, -2) @ into
        else:
            if blocks == "skip":
                gradient["s"][:, k] = np.sum(d * outs[k], axis=(-2, -1))
            into = (scale if blocks == "skip" else 1.0) * d * back[k + 1]
            if norm is not None:
                z = zs[k + 1]
                mean, along = into.mean(norm, keepdims=True), (into * z).mean(norm, keepdims=True)
                into = (into - mean - z * along) / deviations[k + 1]
            below = up(into, w) + (d if blocks == "skip" else 0)
            gradient["w"][:, k] = np.swapaxes(h, -1, -2) @ into
        gradient["b"][:, k] = into.sum(-2)
        by_h.insert(0, below)
    into = by_h[0] * back[0]
    gradient["w0"], gradient["b0"] = np.swapaxes(x, -1, -2)[None] @ into, into.sum(-2)
    gradient = {name: value / len(x) for name, value in gradient.items()}
    return Pass(loss.mean(-1), hs, zs, by_h, gradient)


@np.errstate(all="ignore")
def train(
    spec: Spec, kind: str, steps: int, rates: Any, net: Net, frozen: tuple[int, ...] = ()
) -> tuple[Net, np.ndarray]:
    """Train on the whole batch at several rates at once; loss before every step and at the end.

    `frozen` are layers held: 0, 1, ... are those of w, -1 is the first and depth - 1 the output.
    """
    x, y = batch(spec)
    rates = np.asarray(rates, float)
    net = {name: np.repeat(value, len(rates), axis=0) for name, value in net.items()}
    m1, m2 = ({name: np.zeros_like(v) for name, v in net.items()} for _ in range(2))
    history = []
    for step in range(1, steps + 1):
        now = passes(spec, net, x, y)
        history.append(now.loss)
        for name, g in now.gradient.items():
            if name in ("w", "b"):
                g[:, [k for k in frozen if 0 <= k < spec.depth - 1]] = 0
            elif (name in ("w0", "b0") and -1 in frozen) or (
                name in ("v", "c") and spec.depth - 1 in frozen
            ):
                g[:] = 0
            rate = rates.reshape(-1, *[1] * (g.ndim - 1))
            if kind == "adam":
                m1[name] += 0.1 * (g - m1[name])
                m2[name] += 0.001 * (g**2 - m2[name])
                g = m1[name] / (1 - 0.9**step) / (
                    np.sqrt(m2[name] / (1 - 0.999**step)) + 1e-8
                )  # fmt: skip
            net[name] = net[name] - rate * g
    history.append(passes(spec, net, x, y).loss)
    return net, np.array(history)


def apply(spec: Spec, params: dict, x: Any) -> Any:
    """The network as its user writes it, layer after layer, in JAX."""
    function = FUNCTIONS[spec.phi]
    axis = {"batch": 0, "layer": 1}.get(spec.block)
    h = function(x @ params["first"]["w"] + params["first"]["b"][None])
    for layer in params["layers"]:
        if spec.block == "branch":
            h = h + layer["scale"] * (function(h) @ layer["w"] + layer["b"][None])
            continue
        z = h @ layer["w"] + layer["b"][None]
        if axis is not None:
            z = (z - z.mean(axis, keepdims=True)) / jnp.sqrt(z.var(axis, keepdims=True) + 1e-5)
        h = h + layer["scale"] * function(z) if spec.block == "skip" else function(z)
    return h @ params["last"]["w"] + params["last"]["b"][None]


def listed(spec: Spec, net: Net, dtype: Any) -> dict:
    """Parameters for `apply`."""
    cast = partial(jnp.asarray, dtype=dtype)
    layers = [
        {"w": cast(w), "b": cast(b)}
        | ({"scale": cast(s)} if spec.block in ("skip", "branch") else {})
        for w, b, s in zip(net["w"][0], net["b"][0], net["s"][0], strict=True)
    ]
    return {
        "first": {"w": cast(net["w0"][0]), "b": cast(net["b0"][0])},
        "layers": layers,
        "last": {"w": cast(net["v"][0]), "b": cast(net["c"][0])},
    }


def rounded(net: Net, dtype: str) -> Net:
    """The parameters as the network's number format holds them."""
    return {name: value.astype(dtype).astype(np.float64) for name, value in net.items()}


def make(spec: Spec) -> tuple[Animal, Net]:
    """Draw a network and train it as its spec says; also its parameters in float64."""
    x, y = batch(spec)
    net, history = start(spec), None
    if spec.train:
        kind, rate, steps = spec.train
        after, loss = train(spec, kind, steps, [rate], net, spec.frozen)
        if spec.told:
            before = [net["w0"][0], *net["w"][0], net["v"][0]]
            now = [after["w0"][0], *after["w"][0], after["v"][0]]
            moved = [np.sqrt(np.mean((a - b) ** 2)) for a, b in zip(now, before, strict=True)]
            history = {"loss": loss[:, 0], "moved": np.array([moved])}
        net = after
    optimiser = None
    if spec.given:
        kind, rate = spec.given
        optimiser = {"sgd": optax.sgd, "adam": optax.adam}[kind](rate)
        if spec.frozen:

            def label(params: dict) -> dict:
                held = {"layers": [k in spec.frozen for k in range(spec.depth - 1)]}
                flags = {"first": False, "last": False} | held
                return jax.tree.map(
                    lambda flag, part: jax.tree.map(lambda _: "held" if flag else "free", part),
                    flags, params,
                )  # fmt: skip

            transforms = {"held": optax.set_to_zero(), "free": optimiser}
            optimiser = optax.multi_transform(transforms, label)
    targets = jnp.asarray(y) if spec.loss == "cross_entropy" else jnp.asarray(y, spec.dtype)
    params = listed(spec, net, spec.dtype)
    inputs = jnp.asarray(x, spec.dtype)
    animal = Animal(spec, partial(apply, spec), params, inputs, targets, history, optimiser)
    return animal, rounded(net, spec.dtype)


def between(value: float, no: float | int, yes: float | int) -> bool | None:
    """False on the one side of two lines, True on the other, None between them."""
    if np.isnan(value):
        return False
    if yes > no:
        return True if value >= yes else False if value <= no else None
    return True if value <= yes else False if value >= no else None


def sensitivity(now: Pass) -> float:
    """Size of dL/dh at the first hidden layer over that at the last; NaN for zeros."""
    early, late = (np.linalg.norm(d / (np.abs(d).max() or 1)) * np.abs(d).max()
                   for d in (now.by_h[0], now.by_h[-1]))  # fmt: skip
    return float(early / late) if early > 0 and late > 0 else np.nan


def flat_share(spec: Spec, now: Pass) -> float:
    """Largest share, over layers, of slopes below a tenth of the largest."""
    if spec.phi not in ("sigmoid", "tanh"):
        return 0.0
    largest = {"sigmoid": 0.25, "tanh": 1.0}[spec.phi]
    return max(float(np.mean(phi(spec.phi, z)[1] < 0.1 * largest)) for z in now.z)


def dead_share(spec: Spec, net: Net, x: np.ndarray) -> float:
    """Largest share, over layers, of ReLU units at 0 for the data and 2048 wider inputs."""
    if spec.phi != "relu":
        return 0.0
    wide = np.random.default_rng(8).standard_normal((2048, x.shape[1]))
    wide = x.mean(0, keepdims=True) + 2 * x.std() * wide
    both = np.concatenate([x, wide])
    zs = passes(spec, net, both, np.zeros(len(both), int) if spec.loss == "cross_entropy" else
                np.zeros((len(both), 3))).z  # fmt: skip
    return max(float(np.mean((z[0] <= 0).all(axis=0))) for z in zs)


def lost_share(animal: Animal, net: Net) -> float:
    """Share of the first layer's weight gradient that JAX makes 0 and that is only too small."""
    spec = animal.spec
    x, y = batch(spec)
    exact = passes(spec, net, x, y).gradient["w0"][0]
    small = (exact != 0) & (np.abs(exact) < 1e3 * float(jnp.finfo(spec.dtype).tiny))
    if not small.any():
        return 0.0

    def loss(w: Any) -> Any:
        first = animal.params["first"] | {"w": w}
        output = animal.model(animal.params | {"first": first}, animal.x)
        if spec.loss == "mean_squared_error":
            return jnp.mean((output - animal.y) ** 2)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(output), animal.y[:, None], 1))

    own = jax.grad(loss)(animal.params["first"]["w"])
    return float(np.mean((np.asarray(own) == 0) & small))


def cosine(h: np.ndarray) -> float:
    """Mean cosine between different rows that are not 0."""
    rows = h[np.linalg.norm(h, axis=1) > 0]
    if len(rows) < 2:
        return np.nan
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    table = unit @ unit.T
    return float(table[~np.eye(len(table), dtype=bool)].mean())


def baseline(spec: Spec, y: np.ndarray) -> float:
    """Loss of the best constant output."""
    if spec.loss == "cross_entropy":
        share = np.bincount(y) / len(y)
        return float(-np.sum(share[share > 0] * np.log(share[share > 0])))
    return float(np.mean(np.var(y, axis=0)))


def fall(
    spec: Spec, kind: str, steps: int, rates: Any, net: Net, frozen: tuple[int, ...] = ()
) -> float:
    """Largest share of the loss that training takes away, over several rates."""
    _, history = train(spec, kind, steps, rates, net, frozen)
    ends = np.where(np.isfinite(history[-1]), history[-1], np.inf)
    return float(1 - ends.min() / history[0, 0])


def idle(spec: Spec, net: Net) -> bool:
    """Whether the first third of the layers can be frozen at no cost.

    Gradient descent, 25 steps at the best of five rates, takes as much off the loss without them.
    """
    held = tuple(range(-1, max(1, spec.depth // 3) - 1))
    rates = 10.0 ** np.arange(-7, 3, 2) / (baseline(spec, batch(spec)[1]) or 1.0)
    whole = fall(spec, "sgd", 25, rates, net)
    return fall(spec, "sgd", 25, rates, net, held) > whole - 0.02


@np.errstate(all="ignore")
def truth(animal: Animal, net: Net) -> dict[str, bool | None]:
    """What ails a network, by measurement in float64.

    - vanishing: `sensitivity` below 1e-3 (not above 3e-2), and the first layers are `idle`.
    - exploding: `sensitivity` above 1e3 (not below 30).
    - dead units: `dead_share` above 0.8 (not below 0.5), or a whole layer that is 0 on the batch
      and still is after 20 steps of gradient descent.
    - saturated: `flat_share` above 0.7 (not below 0.35).
    - underflow: `lost_share` above 0.1 (not below 0.01).
    - no path: the weight gradient of some hidden layer is exactly 0, and still is after these
      steps, although the loss is not and no layer is dead.
    - converged: 200 steps of Adam at four rates lower the loss by less than 0.01 of that of the
      best constant output (not: by more than 0.05), and it is below 0.8 of it.
    - learning rate too low: 100 steps as told lower the loss by less than 2 % (not: more than
      10 %), and at 10^2 to 10^6 times the rate by more than 30 %. Left open where nothing is told.
    - frozen layer: hidden layers were held, or will be.
    - collapsed geometry: the last hidden layer gives inputs a mean cosine above 0.985, and 80
      steps of gradient descent at the best of four rates take less than 30 % off the loss (not: a
      cosine below 0.97, or more than 60 %). Left open where the loss has no way down for another
      reason.
    """
    spec = animal.spec
    x, y = batch(spec)
    now = passes(spec, net, x, y)
    loss, constant = float(now.loss[0]), baseline(spec, y)
    ratio = sensitivity(now)
    told = spec.given or (spec.told and spec.train)
    labels: dict[str, bool | None] = {
        "vanishing": between(ratio, 3e-2, 1e-3),
        "exploding": between(ratio, 30, 1e3),
        "dead units": between(dead_share(spec, net, x), 0.5, 0.8),
        "saturated": between(flat_share(spec, now), 0.35, 0.7),
        "underflow": between(lost_share(animal, net), 0.01, 0.1),
        "no path": False,
        "converged": False,
        "learning rate too low": False if told else None,
        "frozen layer": bool(spec.frozen),
        "collapsed geometry": False,
    }
    if labels["vanishing"] and not idle(spec, net):
        labels["vanishing"] = None
    still = [k for k in range(spec.depth - 1) if not now.gradient["w"][0, k].any()]
    if still and loss > 1e-6 and not labels["dead units"]:
        after, _ = train(spec, "sgd", 20, [0.1], net)
        later = passes(spec, after, x, y)
        stays = any(not later.gradient["w"][0, k].any() for k in still)
        off = spec.phi == "relu" and any((z < 0).all() for z in later.z)
        labels["dead units" if stays and off else "no path"] = stays
    if loss < 0.8 * constant:
        gain = fall(spec, "adam", 200, [1e-5, 1e-4, 1e-3, 1e-2], net) * loss / constant
        labels["converged"] = between(gain, 0.05, 0.01)
    sick = any(labels[v] is not False for v in VERDICTS[:7] if v != "learning rate too low")
    if told and not sick:
        kind, rate = told[:2]
        as_told = fall(spec, kind, 100, [rate], net)
        faster = fall(spec, kind, 100, rate * 10.0 ** np.arange(2, 7), net)
        if faster > 0.3:
            labels["learning rate too low"] = between(as_told, 0.1, 0.02)
    similar = cosine(now.h[-1][0])
    open_anyway = labels["no path"] or labels["dead units"] or labels["converged"] is not False
    if open_anyway or (labels["vanishing"] and similar > 0.97):
        labels["collapsed geometry"] = None
    elif similar > 0.97 and cosine(x) < 0.9:
        learnt = fall(spec, "sgd", 80, [1e-2, 3e-2, 0.1, 0.5], net)
        stuck, alike = between(learnt, 0.6, 0.3), between(similar, 0.97, 0.985)
        labels["collapsed geometry"] = (
            False if stuck is False else None if None in (stuck, alike) else True
        )
    return labels


def drawn(seed: int, count: int) -> list[Spec]:
    """Networks that nobody chose: every part is drawn."""
    draw = np.random.default_rng(seed)
    found = []
    for number in range(count):
        depth, width = (
            int(draw.choice([2, 3, 5, 8, 12, 18, 25, 35])),
            int(draw.choice([8, 32, 128])),
        )
        block = str(draw.choice(["plain", "plain", "plain", "skip", "branch", "batch", "layer"]))
        scale = float(draw.choice([1.0, depth**-0.5, 0.0])) if block in ("skip", "branch") else 1.0
        regression, trained, told = draw.random(3) < (0.5, 0.4, 0.5)
        optimiser, rate = str(draw.choice(["sgd", "adam"])), float(10 ** draw.uniform(-6, -1))
        train = (optimiser, {"sgd": 0.05, "adam": 1e-3}[optimiser], int(draw.choice([50, 300])))
        found.append(
            Spec(
                f"drawn-{number:03}", str(draw.choice(list(FUNCTIONS))), depth, width,
                gain=float(draw.choice([UNIFORM, 1.0, 1.2, HE, 2.0, 3.0])),
                bias=float(draw.choice([0.0, 0.0, 0.1, 0.5])),
                shift=float(draw.choice([0.0, 0.0, 0.0, 0.0, -1.0, 1.0])),
                block=block, scale=scale,
                loss="mean_squared_error" if regression else "cross_entropy",
                inputs=float(10 ** draw.uniform(-2, 1)),
                targets=float(10 ** draw.uniform(-2, 2)) if regression else 1.0,
                train=train if trained else None,
                given=(train[:2] if trained else (optimiser, rate)) if told else None,
                seed=int(draw.integers(1000)),
            )
        )  # fmt: skip
    return found


def halves(labels: dict[str, dict[str, bool | None]]) -> tuple[list[str], list[str]]:
    """Names of the half on which thresholds are fixed, and of the half that is scored.

    Networks with the same ailments are put in the order of a hash of their name and dealt out in
    turn.
    """
    groups: dict[tuple, list[str]] = {}
    for name, truth in labels.items():
        groups.setdefault(tuple(v for v in VERDICTS if truth[v]), []).append(name)
    dealt: tuple[list[str], list[str]] = ([], [])
    turn = 0
    for key in sorted(groups):
        order = sorted(groups[key], key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        for name in order:
            dealt[turn % 2].append(name)
            turn += 1
    return dealt
