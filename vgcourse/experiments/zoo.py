"""Labelled networks for `diagnose`: drawn by a seed, and what ails each measured without it.

Every network is a stack of equal hidden layers between an input and an output layer. `drawn` makes
some after each of the `RECIPES`, which are meant to give healthy ones and those of every verdict.
What a network has come out as is for `truth` to say. A label is True, False or None; None means
that the measurement falls between two lines drawn apart, or that another ailment hides this one, so
that either answer is right.
"""

from collections.abc import Callable
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
    "learning rate too low", "learning rate too high", "inputs or targets unscaled",
    "frozen layer", "collapsed geometry", "non-finite",
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
    """How a network is made."""

    name: str  # its recipe and its number
    phi: str
    depth: int  # hidden layers
    width: int = 64
    gain: float = 1.0  # standard deviation of a weight times the square root of its fan-in
    bias: float = 0.0  # standard deviation
    shift: float = 0.0  # added to every bias
    block: str = "plain"  # or skip (h + scale phi(z)), branch (h + scale W phi(h)), batch, layer
    scale: float = 1.0  # of the branches
    loss: str = "cross_entropy"  # or "mean_squared_error"
    inputs: float = 1.0  # factor on the data
    targets: float = 1.0
    train: tuple[str, float, int] | None = None  # optimiser, rate and steps before the diagnosis
    given: tuple[str, float] | None = None  # optimiser and rate that `diagnose` is told
    told: bool = False  # whether it is told the history of the training too
    frozen: tuple[int, ...] = ()  # hidden layers held in training
    black: bool = False  # whether the first pixel is 0 in every digit
    missing: bool = False  # whether a weight of the first layer is NaN
    dtype: str = "float32"  # of the parameters
    seed: int = 0  # of the weights


Draw = np.random.Generator
GOOD = (  # activations with gains that suit them at the depths drawn here
    ("relu", HE), ("relu", HE), ("leaky", HE), ("gelu", HE), ("tanh", 1.0), ("selu", 1.0),
    ("elu", 1.2), ("silu", HE),
)  # fmt: skip


def pick(draw: Draw, *options: Any) -> Any:
    """One of the options."""
    return options[draw.integers(len(options))]


def sound(draw: Draw) -> dict[str, Any]:
    """Settings of a network that should learn: each recipe changes some of them."""
    phi, gain = pick(draw, *GOOD)
    depth = pick(draw, 2, 3, 5, 8)
    block = pick(draw, "plain", "plain", "plain", "skip", "branch", "batch", "layer")
    scaled = block in ("skip", "branch")
    return {
        "phi": phi, "gain": gain, "depth": depth, "width": pick(draw, 16, 24, 32), "block": block,
        "scale": pick(draw, depth**-0.5, 0.0) if scaled else 1.0,
        "loss": pick(draw, "cross_entropy", "mean_squared_error"),
        "seed": int(draw.integers(10**6)),
    }  # fmt: skip


def healthy(draw: Draw) -> dict[str, Any]:
    """Fresh, or on its way; sometimes told how it is trained."""
    how = pick(draw, ("sgd", 0.03), ("adam", 1e-3))
    train, told, known = pick(draw, None, None, (*how, 20)), *(draw.random(2) < 0.5)
    given = how if known else None
    return sound(draw) | {"train": train, "given": given, "told": bool(told and train)}


def vanishing(draw: Draw) -> dict[str, Any]:
    """Deep, with weights that are too small for the activation."""
    phi, gain, depth = pick(
        draw, ("sigmoid", 1.0, 8), ("sigmoid", HE, 12), ("tanh", UNIFORM, 16), ("tanh", 0.4, 12),
        ("relu", 0.7, 12), ("leaky", 0.6, 12), ("silu", 0.8, 12),
    )  # fmt: skip
    return sound(draw) | {"phi": phi, "gain": gain, "depth": depth, "block": "plain", "scale": 1.0}


def exploding(draw: Draw) -> dict[str, Any]:
    """Deep, with weights or branches that are too large."""
    phi, gain, depth, block = pick(
        draw, ("relu", 3.0, 12, "plain"), ("leaky", 4.0, 8, "plain"), ("relu", 3.0, 12, "branch"),
        ("tanh", 6.0, 12, "plain"), ("relu", 2 * HE, 12, "skip"), ("selu", 3.0, 12, "plain"),
    )  # fmt: skip
    parts = {"phi": phi, "gain": gain, "depth": depth, "block": block, "scale": 1.0}
    return sound(draw) | parts | {"width": pick(draw, 24, 32)}


def dead(draw: Draw) -> dict[str, Any]:
    """ReLU behind biases that no digit overcomes."""
    shift = float(draw.uniform(-6, -3))
    return sound(draw) | {"phi": "relu", "gain": HE, "shift": shift, "block": "plain", "scale": 1.0}


def saturated(draw: Draw) -> dict[str, Any]:
    """Sigmoid or tanh with large weights, biases or inputs."""
    phi, gain, shift, inputs = pick(
        draw, ("tanh", 15.0, 0.0, 1.0), ("sigmoid", 60.0, 0.0, 1.0), ("tanh", 1.5, 0.0, 60.0),
        ("sigmoid", 1.0, 8.0, 1.0), ("tanh", 1.0, 4.0, 1.0),
    )  # fmt: skip
    parts = {"phi": phi, "gain": gain, "shift": shift, "inputs": inputs}
    return sound(draw) | parts | {"depth": pick(draw, 2, 3), "block": "plain", "scale": 1.0}


def underflow(draw: Draw) -> dict[str, Any]:
    """Signals below what float16 holds."""
    depth, phi, gain = pick(draw, (8, "sigmoid", 1.0), (10, "tanh", 0.25), (8, "relu", 0.15))
    parts = {"phi": phi, "gain": gain, "depth": depth, "dtype": "float16"}
    return sound(draw) | parts | {"block": "plain", "scale": 1.0}


def no_path(draw: Draw) -> dict[str, Any]:
    """All weights are 0."""
    parts = {"phi": pick(draw, "tanh", "gelu", "silu"), "gain": 0.0}
    return sound(draw) | parts | {"depth": pick(draw, 3, 5), "block": "plain", "scale": 1.0}


def converged(draw: Draw) -> dict[str, Any]:
    """Trained until nothing is left to learn."""
    how, told = pick(draw, ("adam", 3e-3), ("adam", 1e-2)), bool(draw.random() < 0.5)
    parts = {"depth": pick(draw, 2, 3), "width": 32, "block": pick(draw, "plain", "layer")}
    given = how if draw.random() < 0.5 else None
    return sound(draw) | parts | {"scale": 1.0, "train": (*how, 1500), "given": given, "told": told}


def too_low(draw: Draw) -> dict[str, Any]:
    """A rate at which nothing happens."""
    kind, most = pick(draw, ("sgd", -5.5), ("adam", -7.0))
    return sound(draw) | {"given": (kind, float(10 ** draw.uniform(most - 2, most)))}


def too_high(draw: Draw) -> dict[str, Any]:
    """A rate at which the loss goes up."""
    kind, least = pick(draw, ("sgd", 1.0), ("adam", 0.0))
    given = kind, float(10 ** draw.uniform(least, least + 1))
    return sound(draw) | {"block": "plain", "scale": 1.0, "given": given}


def unscaled(draw: Draw) -> dict[str, Any]:
    """Inputs or targets far from 1, and a rate that is made for such of 1."""
    large, how = float(10 ** draw.uniform(1.7, 2.7)), pick(draw, ("sgd", 0.03), ("adam", 1e-3))
    phi, gain = pick(draw, ("relu", HE), ("leaky", HE), ("gelu", HE), ("elu", 1.2))
    parts = {"phi": phi, "gain": gain} | pick(
        draw, {"inputs": large}, {"targets": large, "loss": "mean_squared_error"},
        {"targets": 100 * large, "loss": "mean_squared_error"},
    )  # fmt: skip
    return sound(draw) | {"block": "plain", "scale": 1.0, "given": how} | parts


def frozen(draw: Draw) -> dict[str, Any]:
    """Some layers are held, by the optimiser or in the training that is told."""
    made = sound(draw) | {"depth": pick(draw, 5, 8), "scale": 0.3}
    how = pick(draw, ("sgd", 0.03), ("adam", 1e-3))
    held = tuple(sorted({int(k) for k in draw.integers(made["depth"] - 1, size=pick(draw, 1, 2))}))
    train, given = pick(draw, ((*how, 40), None), (None, how))
    return made | {"frozen": held, "train": train, "given": given, "told": train is not None}


def collapsed(draw: Draw) -> dict[str, Any]:
    """So deep, or with biases so large, that all digits end alike."""
    phi, gain, bias, depth = pick(
        draw, ("sigmoid", 5.0, 1.0, 12), ("sigmoid", 6.0, 1.0, 14), ("relu", HE, 0.6, 35),
        ("tanh", 1.4, 0.8, 30),
    )  # fmt: skip
    parts = {"phi": phi, "gain": gain, "bias": bias, "depth": depth, "loss": "cross_entropy"}
    return sound(draw) | parts | {"block": "plain", "scale": 1.0, "width": pick(draw, 24, 32)}


def missing(draw: Draw) -> dict[str, Any]:
    """A weight that is NaN, or Adam in float16, whose epsilon is 0 there, and a black pixel."""
    half = {"dtype": "float16", "black": True, "given": ("adam", 1e-3), "block": "plain"}
    return sound(draw) | pick(draw, {"missing": True}, half | {"scale": 1.0})


RECIPES: dict[str, tuple[Callable[[Draw], dict[str, Any]], int]] = {
    "healthy": (healthy, 70), "vanishing": (vanishing, 20), "exploding": (exploding, 22),
    "dead": (dead, 22), "saturated": (saturated, 22), "underflow": (underflow, 24),
    "no-path": (no_path, 22), "converged": (converged, 24), "too-low": (too_low, 22),
    "too-high": (too_high, 26), "unscaled": (unscaled, 28), "frozen": (frozen, 22),
    "collapsed": (collapsed, 34), "missing": (missing, 22), "deep": (exploding, 8),
}  # fmt: skip
"""Every recipe, and how many networks are drawn after it."""


def drawn(seed: int) -> list[Spec]:
    """All networks of a seed."""
    draw = np.random.default_rng(seed)
    return [
        Spec(f"{name}-{number:02}", **recipe(draw))
        for name, (recipe, count) in RECIPES.items()
        for number in range(count)
    ]


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
    """Digits; as targets of a regression a function of them."""
    digits = data.digits()
    x = np.array(digits.x_train[:EXAMPLES], np.float64)
    if spec.black:
        x[:, 0] = 0
    if spec.loss == "cross_entropy":
        return x * spec.inputs, np.asarray(digits.y_train[:EXAMPLES])
    random = np.random.default_rng(99)
    w = random.standard_normal((64, 3)) / 8
    y = 1.0 + np.sin(x @ w)
    return x * spec.inputs, y * spec.targets


def start(spec: Spec) -> Net:
    """Draw the parameters."""
    random = np.random.default_rng(spec.seed)
    n, m = spec.width, spec.depth - 1
    outputs = 10 if spec.loss == "cross_entropy" else 3
    normal = random.standard_normal
    first = normal((1, 64, n)) * spec.gain / 8
    first[0, 3, 3] = np.nan if spec.missing else first[0, 3, 3]
    return {
        "w0": first,
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


def sensitivity(spec: Spec, now: Pass) -> tuple[float, float]:
    """Size of dL/dz at the first hidden layer over that at the last; NaN for zeros.

    Over all examples, and of the median of those that have any. Where skips or norms stand between
    layers, dL/dh takes the place of dL/dz.
    """
    early, late = (now.by_h[k][0] * (phi(spec.phi, now.z[k])[1][0] if spec.block == "plain" else 1)
                   for k in (0, -1))  # fmt: skip
    size = np.abs(early).max() or 1.0
    early, late = (np.linalg.norm(d / size, axis=1) for d in (early, late))
    with np.errstate(all="ignore"):
        whole = np.linalg.norm(early) / np.linalg.norm(late) if late.any() else np.nan
        median = np.median(early[late > 0] / late[late > 0]) if late.any() else np.nan
    return (float(whole), float(median)) if early.any() else (np.nan, np.nan)


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


def mean_loss(animal: Animal, params: dict) -> Any:
    """As the user has it, in the network's own format."""
    output = animal.model(params, animal.x)
    if animal.spec.loss == "mean_squared_error":
        return jnp.mean((output - animal.y) ** 2)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(output), animal.y[:, None], 1))


def lost_share(animal: Animal, net: Net) -> float:
    """Share of the first layer's weight gradient that JAX makes 0 and that is only too small."""
    spec = animal.spec
    x, y = batch(spec)
    exact = passes(spec, net, x, y).gradient["w0"][0]
    small = (exact != 0) & (np.abs(exact) < 1e3 * float(jnp.finfo(spec.dtype).tiny))
    if not small.any():
        return 0.0

    def loss(w: Any) -> Any:
        return mean_loss(animal, animal.params | {"first": animal.params["first"] | {"w": w}})

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


def finite(animal: Animal) -> bool:
    """Whether the gradient and the first update are finite in the network's own format, by JAX."""
    after = jax.jit(jax.grad(partial(mean_loss, animal)))(animal.params)
    if animal.optimiser is not None:
        state = animal.optimiser.init(animal.params)
        after = after, animal.optimiser.update(after, state, animal.params)[0]
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(after))


def wrecked(history: np.ndarray, level: float) -> bool | None:
    """Whether a run ends high above a level, or in no number; None where it only went up."""
    end, worst = np.nan_to_num([history[-5:].mean(), history.max()], nan=np.inf, posinf=np.inf)
    if end > 3 * level and worst > 30 * level:
        return True
    return None if end > 0.98 * level or worst > 3 * level else False


@np.errstate(all="ignore")
def truth(animal: Animal, net: Net) -> dict[str, bool | None]:
    """What ails a network, by measurement in float64.

    - non-finite: a gradient, or the optimiser's first update, is no number in the network's own
      format. It leaves everything else open.
    - vanishing: both of `sensitivity` below 1e-3 (not above 3e-2), and the first layers are `idle`.
    - exploding: `sensitivity` over all examples above 1e3 (not below 30).
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
    - learning rate too high: 40 steps as told end more than 3 times, and come more than 30 times,
      as high as the start and a constant, and at 10^-1 to 10^-4 times the rate the loss falls by
      more than 30 % (not: the loss falls and never comes above 3 times that).
    - inputs or targets unscaled: RMS above 15 (not below 4), 100 steps as told end above 0.7 of
      the constant's loss, and on data of RMS 1 take more than 30 % off it. Where this is so,
      whether the rate is right is left open.
    - frozen layer: hidden layers were held, or will be.
    - collapsed geometry: the last hidden layer gives inputs a mean cosine above 0.985, and 80
      steps of gradient descent at the best of four rates take less than 30 % off the loss (not: a
      cosine below 0.97, or more than 60 %). Left open where the loss has no way down for another
      reason.
    """
    spec = animal.spec
    if not finite(animal):
        return dict.fromkeys(VERDICTS) | {"non-finite": True}
    x, y = batch(spec)
    now = passes(spec, net, x, y)
    loss, constant = float(now.loss[0]), baseline(spec, y)
    ratios = sensitivity(spec, now)
    whole, median = (between(ratio, 3e-2, 1e-3) for ratio in ratios)
    told = spec.given or (spec.train if spec.told else None)
    labels: dict[str, bool | None] = dict.fromkeys(VERDICTS, False) | {
        "vanishing": whole if whole is median else None,
        "exploding": between(ratios[0], 30, 1e3),
        "dead units": between(dead_share(spec, net, x), 0.5, 0.8),
        "saturated": between(flat_share(spec, now), 0.35, 0.7),
        "underflow": between(lost_share(animal, net), 0.01, 0.1),
        "frozen layer": bool(spec.frozen),
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
    labels |= of_rate(spec, net, told, labels) | of_scale(spec, net, told)
    if labels["inputs or targets unscaled"]:
        labels |= dict.fromkeys(("learning rate too low", "learning rate too high"))
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


def of_rate(spec: Spec, net: Net, told: Any, labels: dict) -> dict[str, bool | None]:
    """The labels of the learning rate."""
    if not told:
        return {"learning rate too low": None, "learning rate too high": None}
    kind, rate = told[:2]
    _, history = train(spec, kind, 100, rate * 10.0 ** np.arange(-4, 7), net)
    fallen = 1 - np.nan_to_num(history[-1], nan=np.inf) / history[0]
    level = max(float(history[0, 4]), baseline(spec, batch(spec)[1]))
    high = wrecked(history[:41, 4], level)
    if high and fallen[:4].max() < 0.3:
        high = None
    low: bool | None = False
    if not any(labels[v] is not False for v in VERDICTS[:7]) and fallen[6:].max() > 0.3:
        low = between(fallen[4], 0.1, 0.02)
    return {"learning rate too low": low, "learning rate too high": high}


def of_scale(spec: Spec, net: Net, told: Any) -> dict[str, bool | None]:
    """The label of the data's scale."""
    x, y = batch(spec)
    regression = spec.loss == "mean_squared_error"
    size = max(np.sqrt(np.mean(part**2)) for part in (x, *([y] if regression else [])))
    large = between(size, 4.0, 15.0)
    if large:
        kind, rate = told[:2] if told else ("adam", 1e-3)
        _, raw = train(spec, kind, 100, [rate], net)
        fails = not raw[-1, 0] < 0.7 * baseline(spec, y)
        scaled = spec._replace(inputs=1.0, targets=1.0)
        large = True if fails and fall(scaled, kind, 100, [rate], net) > 0.3 else None
    return {"inputs or targets unscaled": large}
