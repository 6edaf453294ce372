"""Other people's networks, rebuilt small from public reports, and what `diagnose` says of them.

Every function is one report: it builds the net, measures by plain JAX what is the matter with it,
and gives what the diagnosis is asked (`Ask`). `ill` marks what must come first in the verdicts;
where nothing is wrong, "healthy" or "converged" must be all that is said.
"""

import functools
from typing import Any, NamedTuple

import equinox
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import vgkit
from vgkit.trace.jaxpr import enable_x64

WELL = ("healthy", "converged")
NO_PATH = ("no path", "dead units")
TOO_FAR = ("learning rate too high", "inputs or targets unscaled")
SQUARES = "mean_squared_error"


class Ask(NamedTuple):
    """One call of `diagnose`, the verdicts that are right, and whether plain JAX confirms them."""

    said: tuple[str, ...]
    truth: Any
    model: Any
    params: Any
    x: Any
    y: Any
    loss: Any = "cross_entropy"
    more: dict[str, Any] = {}  # noqa: RUF012


CASES = {}


def case(report):
    """Register a function that rebuilds a public report."""
    CASES[report.__name__] = report
    return report


@pytest.fixture(autouse=True)
def as_users_have_it(unchecked):
    """JAX as it comes: 32-bit numbers, biases added to batches as they are."""
    with enable_x64(False), jax.numpy_rank_promotion("allow"):
        yield


# What plain JAX says


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def labels(x, classes=4):
    """Classes that depend on the inputs."""
    flat = x.reshape(len(x), -1)
    return jnp.argmax(flat @ normal(99, flat.shape[1], classes), axis=1).astype(jnp.int32)


def layers(seed, widths, gain=2**0.5, bias=0.0):
    keys = zip(range(seed, seed + len(widths)), widths[:-1], widths[1:], strict=False)
    return [(normal(k, a, b) * gain / a**0.5, jnp.full(b, bias, jnp.float32)) for k, a, b in keys]


def mlp(params, x, phi=jax.nn.relu):
    *hidden, (w, b) = params
    for v, c in hidden:
        x = phi(x @ v + c)
    return x @ w + b


def mean_loss(model, x, y, loss="cross_entropy"):
    """Mean loss as a function of the parameters, written as a user would write it."""
    if loss == "cross_entropy":
        each = optax.softmax_cross_entropy_with_integer_labels
        return lambda params: each(model(params, x), y).mean()
    if loss == SQUARES:
        return lambda params: jnp.mean((model(params, x).reshape(y.shape) - y) ** 2)
    return lambda params: jnp.mean(jax.vmap(loss)(model(params, x), y))


def norm(function, params):
    """Norm of the gradient."""
    leaves = jax.tree.leaves(jax.jit(jax.grad(function))(params))
    return float(jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in leaves)))


def fit(function, params, optimiser, steps):
    """Train; parameters and the losses before every step."""

    def step(carry, _):
        params, state = carry
        value, gradient = jax.value_and_grad(function)(params)
        updates, state = optimiser.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), value

    run = jax.jit(lambda p: jax.lax.scan(step, (p, optimiser.init(p)), length=steps))
    (params, _), losses = run(params)
    return params, np.asarray(losses)


def learns(function, params, optimiser=None, steps=300, to=0.5):
    """Whether training brings the loss down to a share of what it was."""
    _, losses = fit(function, params, optimiser or optax.adam(1e-3), steps)
    return losses[-1] < to * losses[0]


def runs_away(losses):
    """Whether the loss is ten times what it was at some time, or no number."""
    return not np.nan_to_num(losses, nan=np.inf).max() < 10 * losses[0]


X = normal(0, 64, 16)
Y = labels(X)
TARGET = jnp.sin(X[:, :1]) + X[:, 1:2] * X[:, 2:3]


# 1. Every gradient is exactly 0


@case
def softmax_over_one_output():
    """FluxML/Flux.jl#1546: a softmax over a single output is 1 whatever the net does."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.softmax(nn.Dense(1)(nn.sigmoid(nn.Dense(16)(x))))

    net = Net()
    variables = net.init(jax.random.key(0), X)
    truth = norm(mean_loss(net.apply, X, TARGET, SQUARES), variables) == 0
    yield Ask((*NO_PATH, "saturated"), truth, net, variables, X, TARGET, SQUARES)


@case
def zeros_at_the_start():
    """davharris/mistnet#87, wagonhelm/NaNmnist#2: all weights are 0, in hidden layers too."""
    zeros = nnx.initializers.zeros_init()

    class Net(nnx.Module):
        def __init__(self, rngs):
            sizes = (16, 32), (32, 32), (32, 4)
            self.layers = nnx.List([nnx.Linear(*s, kernel_init=zeros, rngs=rngs) for s in sizes])

        def __call__(self, x):
            for layer in list(self.layers)[:-1]:
                x = nnx.relu(layer(x))
            return self.layers[-1](x)

    net = Net(nnx.Rngs(0))
    graph, state = nnx.split(net)
    function = mean_loss(lambda state, x: nnx.merge(graph, state)(x), X, Y)
    after, _ = fit(function, state, optax.adam(1e-3), 50)
    kernels = [leaf for leaf in jax.tree.leaves(after) if leaf.ndim == 2]
    yield Ask(NO_PATH, not any(map(jnp.any, kernels)), net, None, X, Y)


@case
def relu_on_the_output():
    """jax-ml/jax#19268: for some seeds all gradients are 0; the last layer has a ReLU too."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            for width in (32, 32, 1):
                x = nn.relu(nn.Dense(width)(x))
            return x

    net, y = Net(), jnp.abs(X[:, :1] * X[:, 1:2]) + 0.5
    function = mean_loss(net.apply, X, y, SQUARES)
    starts = [net.init(jax.random.key(seed), X) for seed in range(40)]
    alive = [float((net.apply(start, X) > 0).mean()) for start in starts]
    bad, good = (starts[alive.index(extreme(alive))] for extreme in (min, max))
    yield Ask(NO_PATH, not learns(function, bad), net, bad, X, y, SQUARES)
    yield Ask(WELL, learns(function, good), net, good, X, y, SQUARES)


# 2. Numbers that are none


# 3. Units that are not dead, and units that are


@case
def narrow_relu_nets():
    """The good seeds of jax-ml/jax#19268: narrow nets of He's initialiser that do learn."""
    for seed in range(4):
        params = layers(10 * seed, (16, 12, 12, 12, 4))
        truth = learns(mean_loss(mlp, X, Y), params, steps=600)
        yield Ask(WELL, truth, mlp, params, X, Y)


@case
def residual_net_without_scale():
    """arXivTimes#1092 (Fixup), jay-mahadeokar/pynetbuilder#8: residual blocks, no normalisation."""
    params = [(normal(k, 24, 24) * (2 / 24) ** 0.5, jnp.zeros(24)) for k in range(31)]
    ends = layers(50, (16, 24)), layers(60, (24, 4))

    def model(params, x):
        x = mlp(params["first"], x)
        for w, b in params["blocks"]:
            x = x + jax.nn.relu(x @ w + b)
        return mlp(params["last"], x)

    params = {"first": ends[0], "blocks": params, "last": ends[1]}
    size = jnp.abs(model(params, X)).max()
    yield Ask(("exploding",), size > 1e6, model, params, X, Y)


@case
def saturated_actor():
    """floodsung/DDPG#6, rmst/ddpg#10: the actions stick at 1 and -1."""
    hk = pytest.importorskip("haiku")

    def actor(x):
        h = jnp.tanh(hk.Linear(32)(x))
        return jnp.tanh(hk.Linear(2)(h))

    net, x = hk.transform(actor), 100 * X
    params = net.init(jax.random.key(0), x)
    h = jnp.tanh(x @ params["linear"]["w"] + params["linear"]["b"])
    truth = jnp.mean(1 - h**2 < 0.1) > 0.8
    y = jnp.sin(X[:, :2])
    yield Ask(("saturated", *TOO_FAR), truth, net, params, x, y, SQUARES)


# 4. Models that are not plain


@case
def quantised_layers():
    """google/flax#4651, jax-ml/jax#27144: a rounding with a derivative of its own."""

    @jax.custom_vjp
    def quantise(x):
        return jnp.round(x * 16) / 16

    quantise.defvjp(lambda x: (quantise(x), None), lambda _, g: (g,))

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.a, self.b = nnx.Linear(16, 32, rngs=rngs), nnx.Linear(32, 32, rngs=rngs)
            self.c = nnx.Linear(32, 4, rngs=rngs)

        def __call__(self, x):
            for layer in (self.a, self.b):
                x = quantise(nnx.relu(layer(x)))
            return self.c(x)

    net = Net(nnx.Rngs(0))
    graph, state = nnx.split(net)
    truth = learns(mean_loss(lambda state, x: nnx.merge(graph, state)(x), X, Y), state)
    yield Ask(WELL, truth, net, None, X, Y, "cross_entropy", {"optimiser": optax.adam(1e-3)})


@case
def batch_norm_of_equinox():
    """patrick-kidger/equinox#659: batch normalisation in training mode, with its state."""

    class Net(equinox.Module):
        first: equinox.nn.Linear
        norm: equinox.nn.BatchNorm
        last: equinox.nn.Linear

        def __call__(self, x, state):
            h, state = self.norm(self.first(x), state)
            return self.last(jax.nn.relu(h)), state

    def make(key):
        keys = jax.random.split(key)
        norm = equinox.nn.BatchNorm(32, "batch", mode="batch")
        return Net(equinox.nn.Linear(16, 32, key=keys[0]), norm,
                   equinox.nn.Linear(32, 4, key=keys[1]))  # fmt: skip

    net, state = equinox.nn.make_with_state(make)(jax.random.key(0))

    def model(net, x):
        return jax.vmap(net, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)[0]

    arrays, rest = equinox.partition(net, equinox.is_array)
    function = mean_loss(lambda arrays, x: model(equinox.combine(arrays, rest), x), X, Y)
    yield Ask(WELL, learns(function, arrays), model, net, X, Y)


@case
def a_model_that_insists_on_float32():
    """liamclarkza in jax-ml/jax#27144: chains of operations that check their number formats."""

    def model(params, x):
        for w, b in params[:-1]:
            x = jax.nn.relu(x @ w + b)
            if x.dtype != jnp.float32:
                raise AssertionError(f"float32 wanted, got {x.dtype}")
        return x @ params[-1][0] + params[-1][1]

    params = layers(0, (16, 32, 32, 4))
    yield Ask(WELL, learns(mean_loss(model, X, Y), params), model, params, X, Y, "cross_entropy",
              {"optimiser": optax.adam(1e-3)})  # fmt: skip


# 5. The learning rate and the scale of the data


@case
def rooms_and_square_feet():
    """BrainJS/brain.js#195: features from 1 to 10 000 go into sigmoids as they are."""
    x = jnp.array([3.0, 2.0, 1500.0]) * (1 + 0.3 * jnp.tanh(normal(0, 64, 3)))
    y = x[:, 2:] / 1000
    params = layers(0, (3, 32, 1), gain=1.0)
    model = functools.partial(mlp, phi=jax.nn.sigmoid)
    h = jax.nn.sigmoid(x @ params[0][0])
    yield Ask(("saturated", *TOO_FAR), jnp.mean(h * (1 - h) < 0.025) > 0.8, model, params, x, y,
              SQUARES, {"optimiser": optax.adam(1e-3)})  # fmt: skip


# 6. Inputs that look alike


@case
def one_positive_feature():
    """apache/mxnet#1546, NeuraLegion/shainet#39: inputs of one number are all collinear."""
    for x in (jnp.linspace(1.0, 2.0, 64)[:, None], 5 + 0.2 * normal(3, 64, 8)):
        y = jnp.sin(6 * x[:, :1]) if x.shape[1] == 1 else 5 * (x[:, :1] - 5)
        params = layers(0, (x.shape[1], 64, 64, 1))
        truth = learns(mean_loss(mlp, x, y, SQUARES), params, steps=1500)
        yield Ask(WELL, truth, mlp, params, x, y, SQUARES)


# 7. Derivatives inside the model


@case
def score_of_an_energy():
    """probml/pyprobml#673, Jiyao06/GenPose#25: the model is the gradient of a net's output."""

    def model(params, x):
        energy = lambda x: mlp(params, x[None], jax.nn.silu)[0, 0]  # noqa: E731
        return -jax.vmap(jax.grad(energy))(x)

    clean = jnp.where(normal(0, 128, 1) > 0, 2.0, -2.0) + 0.1 * normal(1, 128, 2)
    noise = normal(2, 128, 2)
    params = layers(0, (2, 64, 64, 1))
    x, y = clean + 0.5 * noise, -noise / 0.5
    truth = learns(mean_loss(model, x, y, SQUARES), params, to=0.8)
    yield Ask(WELL, truth, model, params, x, y, SQUARES)


# 8. Sequences


# 9. Frozen, converged, and what a history shows


@case
def triplets_that_are_all_met():
    """HanjiangHu/DASGIL#7: the loss of the triplets is 0; is that normal?"""
    ids = jnp.repeat(jnp.arange(6), 4)
    x = 3 * normal(0, 6, 16)[ids] + 0.2 * normal(1, 24, 16)

    def loss(e, ids):
        squares = jnp.sum((e[:, None] - e[None]) ** 2, -1)
        same = ids[:, None] == ids[None]
        far = jnp.max(jnp.where(same, squares, 0.0), 1)
        near = jnp.min(jnp.where(same, jnp.inf, squares), 1)
        return jnp.maximum(far - near + 0.3, 0).mean()

    params = layers(0, (16, 32, 8))
    params, losses = fit(lambda p: loss(mlp(p, x), ids), params, optax.adam(1e-2), 300)
    more = {"optimiser": optax.adam(1e-2), "history": losses}
    yield Ask(("converged",), losses[-1] == 0, mlp, params, x, ids, loss, more)


@case
def half_of_the_net_held():
    """google-deepmind/optax#477: multi_transform with set_to_zero; gradients, but no change."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            for width in (32, 32):
                x = nn.relu(nn.Dense(width)(x))
            return nn.Dense(4)(x)

    net = Net()
    variables = net.init(jax.random.key(0), X)

    def held(path, _):
        return "held" if "Dense_1" in jax.tree_util.keystr(path) else "free"

    label = lambda params: jax.tree_util.tree_map_with_path(held, params)  # noqa: E731
    transforms = {"held": optax.set_to_zero(), "free": optax.adam(1e-3)}
    optimiser = optax.multi_transform(transforms, label)
    kernel = lambda v: v["params"]["Dense_1"]["kernel"]  # noqa: E731
    after, _ = fit(mean_loss(net.apply, X, Y), variables, optimiser, 5)
    truth = (kernel(after) == kernel(variables)).all()
    yield Ask(("frozen layer",), truth, net, variables, X, Y, "cross_entropy",
              {"optimiser": optimiser})  # fmt: skip


@case
def seven_layers_of_sigmoid():
    """microsoft/CNTK#476: six hidden layers of sigmoid train, with one more nothing happens."""
    module = equinox.nn.MLP(16, 4, 64, 8, jax.nn.sigmoid, key=jax.random.key(0))
    arrays, rest = equinox.partition(module, equinox.is_array)
    model = lambda arrays, x: jax.vmap(equinox.combine(arrays, rest))(x)  # noqa: E731
    optimiser = optax.sgd(0.1)
    _, losses = fit(mean_loss(model, X, Y), arrays, optimiser, 200)
    shares = -np.sum(np.bincount(Y, minlength=4) / 64 * np.log(np.bincount(Y, minlength=4) / 64))
    yield Ask(("vanishing",), losses[-1] > 0.98 * shares, module, None, X, Y, "cross_entropy",
              {"optimiser": optimiser})  # fmt: skip


@case
def zeros_that_are_meant():
    """facebookresearch/DiT#82, lucidrains/alphafold3-pytorch#303: gates and outputs start at 0."""

    class Block(equinox.Module):
        norm: equinox.nn.LayerNorm
        gate: equinox.nn.Linear
        up: equinox.nn.Linear
        down: equinox.nn.Linear

        def __call__(self, x, c):
            shift, scale, gate = jnp.split(self.gate(jax.nn.silu(c)), 3)
            h = self.norm(x) * (1 + scale) + shift
            return x + gate * self.down(jax.nn.gelu(self.up(h)))

    class Net(equinox.Module):
        blocks: list
        last: equinox.nn.Linear

        def __call__(self, pair):
            x, c = pair
            for block in self.blocks:
                x = block(x, c)
            return self.last(x)

    def zero(layer):
        return jax.tree.map(lambda leaf: jnp.zeros_like(leaf), layer)

    linear, keys = equinox.nn.Linear, iter(jax.random.split(jax.random.key(0), 20))
    blocks = [
        Block(equinox.nn.LayerNorm(16), zero(linear(8, 48, key=next(keys))),
              linear(16, 64, key=next(keys)), linear(64, 16, key=next(keys)))
        for _ in range(4)
    ]  # fmt: skip
    net = Net(blocks, zero(linear(16, 4, key=next(keys))))
    x, y = (X, normal(8, 64, 8)), normal(9, 16, 4).T @ X.T
    y = jnp.tanh(y.T)
    arrays, rest = equinox.partition(net, equinox.is_array)
    function = mean_loss(lambda a, x: jax.vmap(equinox.combine(a, rest))(x), x, y, SQUARES)
    yield Ask(WELL, learns(function, arrays, optax.adam(3e-3)), net, None, x, y, SQUARES)


@case
def a_regression_that_is_done():
    """dnouri/nolearn#72 and many like it: the loss stays; here because nothing is left to learn."""
    params, y = layers(0, (4, 32, 1), gain=1.0), jnp.sin(X[:32, :1])
    model = functools.partial(mlp, phi=jnp.tanh)
    x = X[:32, :4]
    params, losses = fit(mean_loss(model, x, y, SQUARES), params, optax.adam(1e-2), 2000)
    truth = losses[-1] < 1e-2 * float(y.var())
    yield Ask(("converged",), truth, model, params, x, y, SQUARES, {"history": losses[::20]})


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    for number, ask in enumerate(CASES[name]()):
        assert np.all(ask.truth), f"{name} {number}: the net is not what it was built to be"
        report = vgkit.diagnose(ask.model, ask.params, ask.x, ask.y, ask.loss, **ask.more)
        well = set(ask.said) <= set(WELL)
        told = set(report.verdicts) if well else {report.verdicts[0]}
        assert told <= set(ask.said), f"{name} {number}: {report}"
