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
from vgkit import monitor
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
def argmax_in_the_loss():
    """google-deepmind/dm-haiku#442: the loss compares the argmax of the outputs with the label."""
    hk = pytest.importorskip("haiku")
    net = hk.transform(lambda x: hk.nets.MLP([64, 64, 4])(x))
    params = net.init(jax.random.key(0), X)
    loss = lambda output, label: (jnp.argmax(output) - label) ** 2.0  # noqa: E731
    model = lambda params, x: net.apply(params, None, x)  # noqa: E731
    truth = norm(mean_loss(model, X, Y, loss), params) == 0
    yield Ask(NO_PATH, truth, net, params, X, Y, loss)


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
def second_derivative_of_relu():
    """lululxvi/deepxde#80, ComputationalDomain/PINNs#1: a differential equation and ReLU."""
    t = jnp.linspace(0.0, 1.0, 64)[:, None]
    force = jnp.sin(6 * t)

    def residual(phi):
        u = lambda params, t: mlp(params, t[None], phi)[0]  # noqa: E731
        twice = jax.grad(jax.grad(u, 1), 1)
        return jax.vmap(twice, (None, 0))

    params = layers(0, (1, 32, 32, 1))
    flat, curved = (residual(phi) for phi in (jax.nn.relu, jnp.tanh))
    t = t[:, 0]
    truth = norm(mean_loss(flat, t, force[:, 0], SQUARES), params) == 0
    yield Ask(NO_PATH, truth, flat, params, t, force[:, 0], SQUARES)
    truth = learns(mean_loss(curved, t, force[:, 0], SQUARES), params)
    yield Ask(WELL, truth, curved, params, t, force[:, 0], SQUARES)


@case
def a_mask_the_wrong_way_round():
    """facebookresearch/detr#96: the padding mask is True where there is no padding."""
    x = normal(1, 32, 10, 8)
    mask = jnp.zeros((32, 10), bool)  # of sequences that are all of full length, inverted
    params = {"embed": layers(0, (8, 32)), "head": layers(5, (32, 32, 4))}

    def model(params, batch):
        h = jax.nn.relu(mlp(params["embed"], batch[0]))
        outputs = mlp(params["head"], h)
        return jnp.where(batch[1][..., None], outputs, 0.0).mean(1)

    y = labels(x)
    truth = norm(mean_loss(model, (x, mask), y), params) == 0
    yield Ask(NO_PATH, truth, model, params, (x, mask), y)
    yield Ask(WELL, True, model, params, (x, ~mask), y)


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


@case
def density_of_a_radiance_field():
    """kwea123/nerf_pl#51, bmild/nerf#29: for some seeds the picture stays blank."""

    class Field(equinox.Module):
        trunk: equinox.nn.MLP
        density: Any = equinox.field(static=True)

        def __call__(self, ray):
            at = ray[:3] + jnp.linspace(2.0, 6.0, 16)[:, None] * ray[3:]
            waves = [f(2.0**k * at) for k in range(3) for f in (jnp.sin, jnp.cos)]
            raw = jax.vmap(self.trunk)(jnp.concatenate([at, *waves], -1))
            alpha = 1 - jnp.exp(-self.density(raw[:, 0]) * 0.25)
            through = jnp.concatenate([jnp.ones(1), jnp.cumprod(1 - alpha)[:-1]])
            weight = alpha * through
            return weight @ jax.nn.sigmoid(raw[:, 1:]) + 1 - weight.sum()

    def field(seed, density=jax.nn.relu):
        trunk = equinox.nn.MLP(21, 4, 32, 3, jax.nn.relu, key=jax.random.key(seed))
        return Field(trunk, density)

    towards = normal(2, 48, 3) * 0.15 + jnp.array([0, 0, 1.0])
    rays = jnp.concatenate([jnp.tile(jnp.array([[0.0, 0.0, -4.0]]), (48, 1)), towards], 1)
    y = jnp.where(jnp.abs(towards[:, :1]) < 0.15, jnp.array([0.8, 0.2, 0.1]), 1.0)

    def of_arrays(net):
        arrays, rest = equinox.partition(net, equinox.is_array)
        model = lambda arrays, x: jax.vmap(equinox.combine(arrays, rest))(x)  # noqa: E731
        return mean_loss(model, rays, y, SQUARES), arrays

    blank = next(net for net in map(field, range(40)) if norm(*of_arrays(net)) == 0)
    cure = field(0, lambda z: jax.nn.softplus(z - 1))
    yield Ask(NO_PATH, not learns(*of_arrays(blank)), blank, None, rays, y, SQUARES)
    yield Ask(WELL, learns(*of_arrays(cure), to=0.9), cure, None, rays, y, SQUARES)


# 2. Numbers that are none


@case
def root_at_zero_in_a_distance():
    """michuanhaohao/keras_reid#1, jax-ml/jax#3058: an example's distance to itself is 0."""
    ids = jnp.repeat(jnp.arange(8), 4)
    x, params = normal(0, 8, 32)[ids] + 0.5 * normal(1, 32, 32), layers(0, (32, 32, 16))

    def triplet(inside):
        def loss(e, ids):
            squares = jnp.sum((e[:, None] - e[None]) ** 2, -1)
            distance = jnp.sqrt(squares + inside)
            same = ids[:, None] == ids[None]
            far = jnp.max(jnp.where(same, distance, -jnp.inf), 1)
            near = jnp.min(jnp.where(same, jnp.inf, distance), 1)
            return jnp.maximum(far - near + 0.3, 0).mean()

        return loss

    for inside in (0.0, 1e-8):
        loss = triplet(inside)
        finite = np.isfinite(norm(lambda params, loss=loss: loss(mlp(params, x), ids), params))
        said = WELL if inside else ("non-finite",)
        yield Ask(said, finite == bool(inside), mlp, params, x, ids, loss)


@case
def norm_of_an_empty_picture():
    """jax-ml/jax#4177 and #21723: features divided by their norm, which is 0 for a blank input."""
    net = equinox.nn.MLP(16, 8, 32, 2, use_bias=False, use_final_bias=False, key=jax.random.key(0))
    head = normal(1, 8, 4)
    x = X.at[3].set(0.0)

    def model(params, x):
        e = jax.vmap(params[0])(x)
        return e / (jnp.linalg.norm(e, axis=-1, keepdims=True) + 1e-6) @ params[1]

    arrays, rest = equinox.partition((net, head), equinox.is_array)
    function = mean_loss(lambda p, x: model(equinox.combine(p, rest), x), x, Y)
    truth = np.isfinite(function(arrays)) and not np.isfinite(norm(function, arrays))
    yield Ask(("non-finite",), truth, model, (net, head), x, Y)


@case
def where_around_a_root():
    """jax-ml/jax#347: the branch that is not taken has a derivative that is none."""

    def model(params, x):
        z = mlp(params[:2], x)
        return jnp.where(z > 0, jnp.sqrt(z), 0.0) @ params[2][0]

    params, y = layers(0, (16, 32, 32, 4)), Y
    function = mean_loss(model, X, y)
    truth = np.isfinite(function(params)) and not np.isfinite(norm(function, params))
    yield Ask(("non-finite",), truth, model, params, X, y)


@case
def adam_in_half_precision():
    """afiaka87/glide-finetune#5, keras-team/keras#11860: Adam's epsilon is 0 in float16."""

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            dense = functools.partial(nn.Dense, dtype=jnp.float16, param_dtype=jnp.float16)
            return dense(4)(nn.relu(dense(32)(x)))

    x = X.at[:, 5].set(0.0).astype(jnp.float16)  # a pixel that is always black
    net = Net()
    variables = net.init(jax.random.key(0), x)
    function = mean_loss(net.apply, x, Y)
    for epsilon, said in ((1e-8, ("non-finite",)), (1e-4, WELL)):
        optimiser = optax.adam(1e-3, eps=epsilon)
        finite = np.isfinite(fit(function, variables, optimiser, 3)[1][-1])
        yield Ask(said, finite == (said == WELL), net, variables, x, Y, "cross_entropy",
                  {"optimiser": optimiser})  # fmt: skip


@case
def gradient_penalty():
    """keras-team/keras-io#910: the penalty takes the root of a gradient that is 0."""

    def model(params, x):
        critic = lambda x: mlp(params, x[None], jax.nn.softplus)[0, 0]  # noqa: E731
        value, slope = jax.vmap(jax.value_and_grad(critic))(x)
        return value, jnp.sqrt(jnp.sum(slope**2, -1) + model.inside)

    def loss(output, sign):
        value, size = output
        return sign * value + 10 * (size - 1) ** 2

    y = jnp.where(jnp.arange(64) % 2, 1.0, -1.0)
    params = layers(0, (16, 32, 32, 1))
    zeros = [*params[:2], jax.tree.map(jnp.zeros_like, params[2])]  # the last layer starts at 0
    model.inside = 0.0
    function = mean_loss(model, X, y, loss)
    yield Ask(("non-finite",), not np.isfinite(norm(function, zeros)), model, zeros, X, y, loss)
    model.inside = 1e-12
    yield Ask(WELL, learns(function, params), model, params, X, y, loss)


@case
def entropy_behind_a_mask():
    """jax-ml/jax#17070: softmax under a mask, and its entropy, which takes the logarithm of 0."""
    mask = jnp.arange(8) < jnp.arange(1, 65)[:, None] % 8 + 1

    def model(params, batch):
        x, mask = batch
        scores = jnp.where(mask, mlp(params, x), -jnp.inf)
        share = jax.nn.softmax(scores)
        logs = jnp.where(mask, jnp.log(share), 0.0)
        return share @ normal(7, 8, 4) + 0.1 * jnp.sum(share * logs, -1, keepdims=True)

    params, batch = layers(0, (16, 32, 8)), (X, mask)
    function = mean_loss(model, batch, Y)
    truth = np.isfinite(function(params)) and not np.isfinite(norm(function, params))
    yield Ask(("non-finite",), truth, model, params, batch, Y)


@case
def relu_in_an_lstm():
    """keras-team/keras#2194 and #13221: with activation relu the loss is NaN or grows, tanh cures.

    The inputs' products are taken before the scan, as fast code does.
    """
    hk = pytest.importorskip("haiku")
    x = normal(0, 16, 200, 8)
    y = (x[:, -20:, 0].mean(1) > 0).astype(int)

    def network(phi):
        def forward(x):
            z = hk.Linear(128)(x)
            orthogonal = hk.initializers.Orthogonal()
            recurrent = hk.get_parameter("recurrent", (32, 128), init=orthogonal)

            def step(state, z):
                h, c = state
                i, f, g, o = jnp.split(z + h @ recurrent, 4, -1)
                c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * phi(g)
                return (jax.nn.sigmoid(o) * phi(c), c), None

            zero = jnp.zeros((len(x), 32))
            (h, _), _ = jax.lax.scan(step, (zero, zero), jnp.swapaxes(z, 0, 1))
            return hk.Linear(2)(h)

        return hk.without_apply_rng(hk.transform(forward))

    optimiser = optax.chain(optax.clip_by_global_norm(50.0), optax.nadam(1e-2))
    for phi, said in (
        (jax.nn.relu, ("exploding", "non-finite", *TOO_FAR)),
        (jnp.tanh, ("vanishing", *WELL)),
    ):
        net = network(phi)
        params = net.init(jax.random.key(0), x)
        params, losses = fit(mean_loss(net.apply, x, y), params, optimiser, 30)
        grows = not np.nan_to_num(losses, nan=np.inf).max() < 10
        yield Ask(said, grows == (phi is jax.nn.relu), net, params, x, y, "cross_entropy",
                  {"optimiser": optimiser})  # fmt: skip


# 3. Units that are not dead, and units that are


@case
def batch_norm_after_relu():
    """keras-team/keras#1802, #4618, #5465: is batch normalisation after ReLU wrong? It works."""
    y = jnp.arange(48) % 4
    x = normal(0, 4, 10, 10, 3)[y] + normal(1, 48, 10, 10, 3)

    class Net(nnx.Module):
        def __init__(self, norm, phi, rngs):
            self.a, self.b = nnx.Conv(3, 8, (3, 3), rngs=rngs), nnx.Conv(8, 8, (3, 3), rngs=rngs)
            self.m, self.n = norm(8, rngs=rngs), norm(8, rngs=rngs)
            self.out = nnx.Linear(8, 4, rngs=rngs)
            self.phi = phi

        def __call__(self, x):
            x = self.n(self.phi(self.b(self.m(self.phi(self.a(x))))))
            return self.out(x.mean((1, 2)))

    @nnx.jit
    def step(net, optimiser):
        def loss(net):
            return optax.softmax_cross_entropy_with_integer_labels(net(x), y).mean()

        optimiser.update(net, nnx.grad(loss)(net))

    for norm_, phi in ((nnx.BatchNorm, nnx.relu), (nnx.LayerNorm, nnx.gelu)):
        net = Net(norm_, phi, nnx.Rngs(0))
        optimiser = nnx.Optimizer(net, optax.adam(1e-2), wrt=nnx.Param)
        more = {"optimiser": optax.adam(1e-2)}
        yield Ask(WELL, True, net, None, x, y, "cross_entropy", more)
        for _ in range(60):
            step(net, optimiser)
        right = (net(x).argmax(1) == y).mean() > 0.9
        yield Ask(WELL, right, net, None, x, y, "cross_entropy", more)


@case
def squared_relu():
    """jax-ml/jax#12274, kyegomez-style feed-forward blocks: the square of ReLU is no fault."""

    def model(params, x):
        for w, v in params["blocks"]:
            h = x / jnp.sqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)
            x = x + jnp.square(jax.nn.relu(h @ w)) @ v
        return x @ params["head"]

    blocks = [(normal(k, 16, 64) / 4, normal(k + 9, 64, 16) / 12) for k in range(4)]
    params = {"blocks": blocks, "head": normal(30, 16, 4) / 4}
    yield Ask(WELL, learns(mean_loss(model, X, Y), params), model, params, X, Y)


@case
def narrow_relu_nets():
    """The good seeds of jax-ml/jax#19268: narrow nets of He's initialiser that do learn."""
    for seed in range(4):
        params = layers(10 * seed, (16, 12, 12, 12, 4))
        truth = learns(mean_loss(mlp, X, Y), params, steps=600)
        yield Ask(WELL, truth, mlp, params, X, Y)


@case
def attention_and_softmax():
    """nexri in karpathy/nanochat#58 compares activations: a block of attention is healthy."""

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            h = nn.LayerNorm()(x)
            x = x + nn.MultiHeadDotProductAttention(num_heads=2)(h, h)
            return x + nn.Dense(16)(jnp.square(nn.relu(nn.Dense(64)(nn.LayerNorm()(x)))))

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = Block()(Block()(nn.Dense(16)(x)))
            return nn.Dense(4)(x.mean(1))

    net, x = Net(), normal(0, 48, 6, 8)
    variables, y = net.init(jax.random.key(0), x), labels(x)
    truth = learns(mean_loss(net.apply, x, y), variables, optax.adam(3e-3))
    yield Ask(WELL, truth, net, variables, x, y)


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
def pixels_that_kill_every_unit():
    """DanielSlater/PyGamePlayer#7: inputs of 0 or 255; one step, and nothing is alive."""
    x = jnp.where(normal(3, 64, 36) > 0, 255.0, 0.0)
    y = TARGET + 3.0
    function = mean_loss(mlp, x, y, SQUARES)
    start = layers(0, (36, 32, 32, 1))
    wreck = fit(function, start, optax.sgd(1e-3), 2)[0]
    dead = (jnp.maximum(x @ wreck[0][0] + wreck[0][1], 0).max(0) == 0).all()
    more = {"optimiser": optax.sgd(1e-3)}
    yield Ask(TOO_FAR, True, mlp, start, x, y, SQUARES, more)
    yield Ask(("dead units", "no path"), dead, mlp, wreck, x, y, SQUARES, more)


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
def adam_at_the_rate_of_sgd():
    """OpenNMT/OpenNMT-py#805: Adam is given 1.0, the default of another optimiser."""
    module = equinox.nn.MLP(16, 4, 32, 3, jax.nn.relu, key=jax.random.key(0))
    arrays, rest = equinox.partition(module, equinox.is_array)
    model = lambda arrays, x: jax.vmap(equinox.combine(arrays, rest))(x)  # noqa: E731
    function = mean_loss(model, X, Y)
    for rate, said in ((1.0, TOO_FAR), (1e-3, WELL)):
        _, losses = fit(function, arrays, optax.adam(rate), 100)
        truth = runs_away(losses) == (said == TOO_FAR)
        yield Ask(said, truth, module, None, X, Y, "cross_entropy",
                  {"optimiser": optax.adam(rate)})  # fmt: skip


@case
def prices_of_houses():
    """rstudio-conf-2020/dl-keras-tf#9: prices up to 755 000 and SGD at 0.1 give NaN at once."""
    y = 180_000 + 60_000 * TARGET
    params, optimiser = layers(0, (16, 32, 32, 1)), optax.sgd(0.1)
    losses = fit(mean_loss(mlp, X, y, SQUARES), params, optimiser, 20)[1]
    yield Ask(TOO_FAR, runs_away(losses), mlp, params, X, y, SQUARES, {"optimiser": optimiser})
    y, optimiser = (y - y.mean()) / y.std(), optax.sgd(0.01)
    learnt = learns(mean_loss(mlp, X, y, SQUARES), params, optimiser)
    yield Ask(WELL, learnt, mlp, params, X, y, SQUARES, {"optimiser": optimiser})


@case
def weights_of_people():
    """NeuraLegion/shainet#39: heights in metres to kilograms; the error becomes NaN."""
    height = 1.65 + 0.1 * jnp.tanh(normal(0, 64, 1))
    y = 61.3 * height - 39.1 + 0.5 * normal(1, 64, 1)
    params = layers(20, (1, 32, 32, 1))
    function = mean_loss(mlp, height, y, SQUARES)
    _, fast = fit(function, params, optax.sgd(0.01), 20)
    calm, slow = fit(function, params, optax.sgd(1e-4), 2000)
    worse = fit(function, calm, optax.sgd(1e-3), 200)[1].max() > 3 * slow[-1]
    more = {"optimiser": optax.sgd(0.01)}
    yield Ask(TOO_FAR, runs_away(fast), mlp, params, height, y, SQUARES, more)
    more = {"optimiser": optax.sgd(1e-4), "history": slow[::20]}
    yield Ask(WELL, worse, mlp, calm, height, y, SQUARES, more)


@case
def line_through_unscaled_points():
    """tensorflow/tensorflow#3148: x runs from 0 to 99, and SGD at 0.5 gives NaN."""
    x = jnp.arange(100.0)[:, None]
    params, optimiser = layers(0, (1, 1)), optax.sgd(0.5)
    y = 0.1 * x + 0.3
    losses = fit(mean_loss(mlp, x, y, SQUARES), params, optimiser, 50)[1]
    yield Ask(TOO_FAR, runs_away(losses), mlp, params, x, y, SQUARES,
              {"optimiser": optimiser})  # fmt: skip


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


@case
def padded_sequences():
    """keras-team/keras#7878 and #4594: what do the padded steps do to the gradient?

    Behind an example's end the state is kept, so that a few short ones hide what the others lack.
    """
    x, length = normal(0, 48, 40, 8), jnp.where(jnp.arange(48) < 6, 2, 40)
    mask = jnp.arange(40)[None] < length[:, None]
    y = labels(x[:, 0])

    def model(params, batch):
        x, mask = batch

        def step(h, row):
            x, keep = row
            new = jnp.tanh(x @ params["u"] + h @ params["w"] + params["b"])
            return jnp.where(keep[:, None], new, h), None

        rows = jnp.swapaxes(x, 0, 1), mask.T
        h, _ = jax.lax.scan(step, jnp.zeros((len(x), 32)), rows)
        return h @ params["v"]

    def params(gain):
        w = gain * jnp.linalg.qr(normal(1, 32, 32))[0]
        return {"u": normal(2, 8, 32) * 0.03, "w": w, "b": jnp.zeros(32), "v": normal(3, 32, 4) / 5}

    def reaches(params):  # the median example's share of the gradient that gets to the first input
        loss = lambda x: mean_loss(model, (x, mask), y)(params)  # noqa: E731
        g = jnp.linalg.norm(jax.grad(loss)(x), axis=-1)
        return np.median(g[6:, 0] / g[6:, -1])

    for gain, said in ((0.6, ("vanishing",)), (1.0, WELL)):
        given = params(gain)
        truth = reaches(given) < 1e-3 if gain < 1 else reaches(given) > 0.1
        yield Ask(said, truth, model, given, (x, mask), y)


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
def loop_that_drops_the_updates():
    """jax-ml/jax#2097: the optimiser does not change the weights: the loop drops the new ones."""
    params, optimiser = layers(0, (16, 32, 32, 4)), optax.chain(optax.adam(1e-3), monitor.record(1))
    function, state, losses = mean_loss(mlp, X, Y), None, []
    state = optimiser.init(params)
    for _ in range(20):
        value, gradient = jax.value_and_grad(function)(params)
        _, state = optimiser.update(gradient, state, params)  # and never applied
        losses.append(value)
    more = {"history": monitor.read(state), "optimiser": optax.adam(1e-3)}
    yield Ask(("frozen layer",), np.ptp(losses) == 0, mlp, params, X, Y, "cross_entropy", more)


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


@case
def post_norm_transformer():
    """The order of the first transformers (arXiv 1706.03762); six blocks train, if slowly."""

    def scaled(h):
        return (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)

    def model(params, x):
        h = params["embedding"][x]
        for q, k, v, o, up, down in params["blocks"]:
            scores = jax.nn.softmax((h @ q) @ jnp.swapaxes(h @ k, -1, -2) / 32**0.5)
            h = scaled(h + scores @ (h @ v) @ o)
            h = scaled(h + jax.nn.relu(h @ up) @ down)
        return h.mean(axis=1) @ params["output"]

    shapes = [(32, 32)] * 4 + [(32, 128), (128, 32)]
    blocks = [
        [normal(10 * b + i, *s) / s[0] ** 0.5 for i, s in enumerate(shapes)] for b in range(6)
    ]
    params = {
        "embedding": normal(1, 20, 32),
        "blocks": blocks,
        "output": normal(2, 32, 4) / 32**0.5,
    }
    x = jnp.asarray(np.random.default_rng(0).integers(0, 20, (16, 8)))
    y = labels(jax.nn.one_hot(x, 20).sum(axis=1))
    truth = learns(mean_loss(model, x, y), params, optax.adam(1e-3))
    yield Ask(WELL, truth, model, params, x, y)


@case
def oversmoothed_graph():
    """Sixteen rounds of averaging over neighbours make all nodes alike (arXiv 1801.07606)."""
    linked = np.random.default_rng(0).random((64, 64)) < 0.15
    linked = linked | linked.T | np.eye(64, dtype=bool)
    average = jnp.asarray(linked / linked.sum(axis=1, keepdims=True), jnp.float32)

    def states(params, x):
        for w in params[:-1]:
            x = jnp.tanh(average @ (x @ w))
        return x

    def model(params, x):
        return states(params, x) @ params[-1]

    params = [normal(i, 16, 16) / 4 for i in range(16)] + [normal(20, 16, 4) / 4]
    last = states(params, X) / jnp.linalg.norm(states(params, X), axis=1, keepdims=True)
    truth = jnp.min(last @ last.T) > 0.999
    yield Ask(("collapsed geometry",), truth, model, params, X, Y)


@case
def underflow_in_half_precision():
    """Gradients of float16 that are 0 and need loss scaling (arXiv 1710.03740)."""
    wide = layers(0, (16, *[64] * 8, 4), gain=1.0)
    model = functools.partial(mlp, phi=jax.nn.sigmoid)
    half = jax.tree.map(lambda a: a.astype(jnp.float16), wide)
    gradients = [jax.grad(mean_loss(model, x, Y))(p)[0][0]
                 for p, x in ((wide, X), (half, X.astype(jnp.float16)))]  # fmt: skip
    truth = np.mean((gradients[1] == 0) & (gradients[0] != 0)) > 0.1
    yield Ask(("underflow",), truth, model, half, X.astype(jnp.float16), Y)


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    for number, ask in enumerate(CASES[name]()):
        assert np.all(ask.truth), f"{name} {number}: the net is not what it was built to be"
        report = vgkit.diagnose(ask.model, ask.params, ask.x, ask.y, ask.loss, **ask.more)
        well = set(ask.said) <= set(WELL)
        told = set(report.verdicts) if well else {report.verdicts[0]}
        assert told <= set(ask.said), f"{name} {number}: {report}"
