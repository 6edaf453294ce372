"""Normalisations, residual nets, convolutions, LSUV, and their combinations."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_activations import NUMPY
from test_grads import mean_cross_entropy

from vgcourse import profiles
from vgcourse.convolutions import Conv, conv_net
from vgkit import activations, grads, nets

KEY = jax.random.key(8)
ORDERS, NORMS = list(nets.ORDERS), list(nets.NORMALISATIONS)


def random_net(widths=(6, 5, 5, 5, 3), activation="tanh", norm="layer", **form):
    """A net all of whose parameters are at work, with gates and slopes unlike each other."""
    net = nets.mlp(KEY, widths, activation, init="he_normal", norm=norm, **form)
    leaves, structure = jax.tree.flatten(net)
    keys = jax.random.split(jax.random.key(9), len(leaves))
    moved = [a + 0.1 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, moved)


def batch(size=6, inputs=6, outputs=3):
    x = jax.random.normal(jax.random.key(10), (size, inputs))
    return x, jnp.arange(size) % outputs


def normalised(kind, norm, a):
    """Rows are examples."""
    if kind == "none":
        return a
    axis = {"batch": 0, "layer": 1}[kind]
    mean, var = a.mean(axis, keepdims=True), a.var(axis, keepdims=True)
    return np.asarray(norm.scale) * (a - mean) / np.sqrt(var + 1e-5) + np.asarray(norm.shift)


def by_hand(net, x, probes=None):
    """z, a, h and u of all hidden layers for a batch in NumPy, by their equations; outputs."""
    probes, rows = probes or [0.0] * (net.depth + 1), []
    h = u = np.asarray(x)
    for layer, probe in zip(net.layers, probes[:-1], strict=True):

        def phi(z, alpha=layer.alpha):
            return (
                NUMPY[net.activation](z) if alpha is None else np.where(z > 0, z, float(alpha) * z)
            )

        def norm(a, layer=layer):
            return normalised(net.norm, layer.norm, a)

        z = u @ np.asarray(layer.w).T + np.asarray(layer.b) + probe
        s, factor = (net.skip, net.branch) if z.shape == h.shape else (0, 1)
        if layer.gate is not None and z.shape == h.shape:
            factor = factor * float(layer.gate)
        stream = s * h if s else 0.0
        if net.order == "standard":
            a = norm(z)
            h = u = stream + factor * phi(a)
        elif net.order == "norm_after_activation":
            a = z
            h = u = stream + factor * norm(phi(a))
        elif net.order == "post_activation":
            a = stream + factor * norm(z)
            h = u = phi(a)
        else:
            h = stream + factor * z
            a = norm(h)
            u = phi(a)
        rows.append((z, a, h, u))
    return rows, u @ np.asarray(net.readout.w).T + np.asarray(net.readout.b) + probes[-1]


def places(order, norm):
    return ORDERS.index(order), NORMS.index(norm)


@pytest.mark.parametrize("gated", [False, True])
def test_every_combination_agrees_with_numpy(gated):
    net = random_net(activation="prelu", skip=True, gate=0.4) if gated else random_net()
    x, _ = batch()
    close = partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-13)

    @jax.jit
    def all_of(order, norm, skip, branch):
        chosen = net.replace(order=order, norm=norm, skip=skip, branch=branch)
        rows, z = (
            jax.vmap(partial(function, chosen), axis_name=nets.BATCH)(x)
            for function in (nets.intermediates, nets.pre_activations)
        )
        return rows, z, nets.forward(chosen, x)

    for order, norm in itertools.product(ORDERS, NORMS):
        for skip, branch in [(True, 0.7)] if gated else [(True, 0.7), (False, 1.0)]:
            found, z, output = all_of(*places(order, norm), skip, branch)
            form = {"order": order, "norm": norm, "skip": skip, "branch": branch}
            hidden, expected = by_hand(net.replace(**form), x)
            jax.tree.map(close, [tuple(row[:4]) for row in found[0]], hidden)
            jax.tree.map(close, z, [*(row[0] for row in hidden), expected])
            close([found[1], output], [expected, expected])


def test_gradients_of_combinations_agree_with_finite_differences():
    drawn, (x, y) = random_net(gate=0.4, skip=True, branch=0.7), batch()

    @jax.jit
    def signals(order, norm):
        return grads.signals(drawn.replace(order=order, norm=norm), x, y)

    zero = [np.zeros((6, len(layer.b))) for layer in (*drawn.layers, drawn.readout)]
    step = 1e-5  # central differences: step^2 from the third derivative, 1e-16 / step from rounding

    def slope(loss):
        return (loss(step) - loss(-step)) / (2 * step)

    def by_parameter(net, number, name, at):
        def loss(size):
            layer = net.layers[number]
            moved = layer.replace(**{name: getattr(layer, name).at[at].add(size)})
            layers = (*net.layers[:number], moved, *net.layers[number + 1 :])
            return mean_cross_entropy(by_hand(net.replace(layers=layers), x)[1], y)

        return slope(loss)

    def by_probe(net, number, at):
        def loss(size):
            probes = [z.copy() for z in zero]
            probes[number][at] = size
            return 6 * mean_cross_entropy(by_hand(net, x, probes)[1], y)

        return slope(loss)

    for order, norm in [*((order, "batch") for order in ORDERS), ("standard", "layer")]:
        net, found = drawn.replace(order=order, norm=norm), signals(*places(order, norm))
        for number, at in [(0, (2, 3)), (1, (4, 0)), (2, (1, 1))]:
            ours = found.weight_gradients[number][at], found.error_signals[number][at]
            expected = by_parameter(net, number, "w", at), by_probe(net, number, at)
            np.testing.assert_allclose(ours, expected, atol=2e-9)
        by_gate = by_parameter(net, 1, "gate", ())
        np.testing.assert_allclose(found.gradient.layers[1].gate, by_gate, atol=2e-9)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_gradients_agree_with_pytorch(norm):
    torch = pytest.importorskip("torch")
    net, (x, y) = random_net((6, 5, 4, 3), "relu", norm), batch()
    kinds = {"none": torch.nn.Identity, "batch": torch.nn.BatchNorm1d, "layer": torch.nn.LayerNorm}
    parts = []
    for fan_in, fan_out in [(6, 5), (5, 4)]:
        parts += [torch.nn.Linear(fan_in, fan_out), kinds[norm](fan_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*parts, torch.nn.Linear(4, 3)).double()
    with torch.no_grad():
        for theirs, leaf in zip(model.parameters(), jax.tree.leaves(net), strict=True):
            theirs.copy_(torch.tensor(np.array(leaf)))
    inputs = torch.tensor(np.array(x))
    torch.nn.functional.cross_entropy(model(inputs), torch.tensor(np.array(y))).backward()
    gradient = jax.tree.leaves(grads.signals(net, x, y).gradient)
    for ours, theirs in zip(gradient, model.parameters(), strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-9, atol=1e-13)
    if norm == "batch":  # PyTorch starts its running statistics at 0 and 1
        start = [nets.Statistics(jnp.zeros(n), jnp.ones(n)) for n in (5, 4)]
        running = optax.incremental_update(nets.batch_statistics(net, x), start, 0.1)
        for ours, theirs in zip(running, (model[1], model[4]), strict=True):
            np.testing.assert_allclose(ours.mean, theirs.running_mean, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(ours.var, theirs.running_var, rtol=1e-12)
        expected = model.eval()(inputs).detach().numpy()
        inference = nets.forward(net, x, statistics=running)
        np.testing.assert_allclose(inference, expected, rtol=1e-11)
        np.testing.assert_allclose(net(x[2], statistics=running), expected[2], rtol=1e-11)


def test_running_statistics_by_hand():
    running = nets.Statistics(jnp.zeros(2), jnp.ones(2))
    measured = nets.Statistics(jnp.ones(2), jnp.full(2, 5.0))
    (after,) = optax.incremental_update([measured], [running], 0.1)
    np.testing.assert_allclose(after, [[0.1, 0.1], [1.4, 1.4]])  # 0.9 of the old, 0.1 of the new


def test_convolution_by_hand():
    layer = Conv(jnp.arange(9.0).reshape(1, 1, 3, 3), jnp.array([0.5]), side=3)
    assert layer.input_shape == (1, 3, 3)
    image = jnp.zeros((1, 3, 3))
    # 1 in the middle: the output is the kernel turned by 180 degrees
    found = layer(image.at[0, 1, 1].set(1.0))
    np.testing.assert_allclose(found.ravel(), np.arange(9.0)[::-1] + 0.5)
    # 1 in a corner: beyond the edge are zeros
    found = layer(image.at[0, 0, 0].set(1.0))
    np.testing.assert_allclose(found.ravel(), np.array([4, 3, 0, 1, 0, 0, 0, 0, 0]) + 0.5)


def test_conv_net_has_the_published_variances():
    for init, variance in [("he_normal", 2 / (64 * 9)), ("glorot_normal", 1 / (64 * 9))]:
        net = conv_net(KEY, (1, 64, 64), 10, "relu", init=init, side=1)
        # 64 * 64 * 9 weights: relative error sqrt(2 / 36864)
        error = 4 * np.sqrt(2 / 36864)
        assert float(net.layers[1].w.var()) == pytest.approx(variance, rel=error)
    net = conv_net(KEY, (1, 4, 4), 10, "relu", init="orthogonal")
    rows = net.layers[1].w.reshape(4, -1)
    np.testing.assert_allclose(rows @ rows.T, np.eye(4), atol=1e-12)


COMBINATIONS = [
    (3, "tanh", 0, "none", "none"),
    (4, "relu", 1, "batch", "unscaled"),
    (2, "selu", 0, "layer", "1/√L"),
    (1, "tanh", 1, "batch", "pre-activation"),
    (3, "relu", 0, "layer", "post-activation"),
]


def check_profile(found, signals, depth):
    norms = signals.error_norms, signals.weight_norms, signals.hidden_norms
    for key, sizes in zip(("error_signal", "weight_gradient", "hidden_signal"), norms, strict=True):
        if key in found:
            np.testing.assert_allclose(found[key][:depth], sizes[:depth], rtol=1e-9)
            assert np.isnan(found[key][depth:]).all()


def test_one_compiled_program_profiles_every_combination():
    names, skips = ["relu", "tanh", "selu"], list(profiles.SKIPS)
    networks = [
        nets.mlp(KEY, (6,) * 7 + (3,), "tanh", init=init, norm="layer")
        for init in ("he_normal", "orthogonal")
    ]
    x, y = batch()
    compiled = jax.jit(profiles.remedy_profiles(networks, x, y, "cross_entropy", names, skips))
    for depth, name, number, norm, skip in COMBINATIONS:
        at = names.index(name), number, NORMS.index(norm), skips.index(skip)
        found, net = compiled(depth, *at), networks[number]
        form = {"activation": name, "norm": norm, **profiles.SKIPS[skip](depth)}
        net = net.replace(layers=net.layers[:depth], **form)
        signals = grads.signals(net, x, y)
        check_profile(found, signals, depth)

        ratio = found["hidden_signal"][0] / found["hidden_signal"][depth - 1]
        np.testing.assert_allclose(found["ratio"], [ratio])
    assert compiled._cache_size() == 1


def test_profiles_of_plain_nets_and_their_bound():
    networks = [
        nets.mlp(KEY, (6,) * 5 + (3,), "tanh", init=init) for init in ("he_normal", "lecun_normal")
    ]
    x, y = batch()
    compiled = jax.jit(profiles.profiles(networks, x, y, "cross_entropy"))
    names = list(activations.ACTIVATIONS)
    for depth, name, number, skip in [(3, "sigmoid", 1, 0), (4, "relu", 0, 1)]:
        found, net = compiled(depth, names.index(name), number, skip), networks[number]
        net = net.replace(layers=net.layers[:depth], activation=name, skip=bool(skip))
        signals = grads.signals(net, x, y)
        check_profile(found, signals, depth)
        np.testing.assert_allclose(found["ratio"], [signals.ratio], rtol=1e-9)
        # Going back, a layer stretches by its largest slope times its spectral norm, plus the skip.
        slope, bound = {"sigmoid": 0.25, "relu": 1.0}[name], signals.hidden_norms[-1]
        for layer in range(depth - 1, -1, -1):
            np.testing.assert_allclose(found["bound"][layer], slope * bound, rtol=1e-9)
            bound = bound * (slope * np.linalg.norm(net.layers[layer].w, 2) + skip)
        assert (found["error_signal"][:depth] <= found["bound"][:depth]).all()
        assert np.isnan(found["bound"][depth:]).all()
    assert compiled._cache_size() == 1


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_lsuv_gives_every_layer_orthogonal_weights_and_unit_variance(kind):
    form = {"activation": "relu", "init": "he_normal", "norm": "layer", "skip": True}
    mlp = kind == "mlp"
    net = nets.mlp(KEY, (6, 9, 9, 4), **form) if mlp else conv_net(KEY, (1, 4, 4), 4, **form)
    x = jax.random.normal(jax.random.key(10), (20, *net.input_shape))
    net = jax.tree.map(lambda leaf: leaf + 1.0 * (leaf.ndim == 1), net)
    found = jax.jit(lambda x: nets.lsuv(net, x))(x)
    assert found.init == "lsuv" and found.form == net.form
    zs = jax.vmap(lambda x: nets.pre_activations(found, x))(x)
    layers = [(*n.layers, n.readout) for n in (net, found)]
    for before, layer, z in zip(*layers, zs, strict=True):
        assert float(z.var()) == pytest.approx(1, abs=1e-12)
        assert not layer.b.any()
        jax.tree.map(np.testing.assert_array_equal, layer.norm, before.norm)
        w = np.asarray(layer.w).reshape(len(layer.w), -1)
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(gram, gram[0, 0] * np.eye(len(gram)), atol=1e-12 * gram[0, 0])


def test_lsuv_of_an_orthogonal_net_is_that_net_scaled():
    net = nets.mlp(KEY, (6, 6, 6, 3), "tanh", init="orthogonal", stacked=True)
    x, _ = batch(20)
    scaled, net = (nets.unstack(each) for each in (nets.lsuv(net, x), net))
    pairs = zip((*net.layers, net.readout), (*scaled.layers, scaled.readout), strict=True)
    h = np.asarray(x)
    for layer, ours in pairs:
        z = h @ np.asarray(layer.w).T
        np.testing.assert_allclose(ours.w, np.asarray(layer.w) / z.std(), rtol=1e-10, atol=1e-14)
        h = np.tanh(z / z.std())


conv = partial(conv_net, KEY, outputs=3, activation="relu")
NET = nets.mlp(KEY, (6, 6, 3), "tanh")
DENSE = partial(profiles.remedy_profiles, [NET], *batch(), "cross_entropy", skips=["dense"])
BAD = [
    (lambda: conv((1,)), "channels must name the input"),
    (lambda: conv((1, 0)), "each of channels .* got 0"),
    (lambda: conv((1, 2), kernel=2), "kernel must be an odd"),
    (lambda: nets.forward(conv((1, 2)), jnp.ones((4, 64))), r"\(1, 8, 8\); got \(64,\)"),
    (DENSE, "each of skips must be one of none"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input_is_refused(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()
