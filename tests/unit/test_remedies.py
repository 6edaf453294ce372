"""Normalisations, residual nets, convolutions, LSUV, and their combinations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgcourse import profiles
from vgkit import activations, grads, nets

KEY = jax.random.key(8)
PHI = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}


def random_net(widths=(6, 5, 5, 5, 3), norm="none", gate=None, alpha=None):
    """A net all of whose parameters are at work, with gates and slopes unlike each other."""
    net = nets.equip(nets.mlp(KEY, widths, "he_normal"), norm=norm, gate=gate, alpha=alpha)
    leaves, structure = jax.tree.flatten(net)
    keys = jax.random.split(jax.random.key(9), len(leaves))
    moved = [a + 0.1 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, moved)


def batch(size=6, inputs=6, outputs=3):
    x = jax.random.normal(jax.random.key(10), (size, inputs))
    return x, jnp.arange(size) % outputs


def normalised(norm, a):
    """Rows are examples."""
    if norm is None:
        return a
    axis = 0 if isinstance(norm, nets.BatchNorm) else 1
    mean, var = a.mean(axis, keepdims=True), a.var(axis, keepdims=True)
    return np.asarray(norm.scale) * (a - mean) / np.sqrt(var + 1e-5) + np.asarray(norm.shift)


def by_hand(net, x, name, skip, branch, order, probes=None):
    """Outputs of a batch in NumPy, the orders written out from their equations."""
    probes = probes or [0.0] * len(net)
    h = u = np.asarray(x)
    for layer, probe in zip(net[:-1], probes[:-1], strict=True):
        alpha = layer.alpha

        def phi(z, alpha=alpha):
            return PHI[name](z) if alpha is None else np.where(z > 0, z, float(alpha) * z)

        def norm(a, layer=layer):
            return normalised(layer.norm, a)

        z = u @ np.asarray(layer.w).T + np.asarray(layer.b) + probe
        s, a = (skip, branch) if z.shape == h.shape else (0, 1)
        if layer.gate is not None and z.shape == h.shape:
            a = a * float(layer.gate)
        stream = s * h if s else 0.0
        if order == "standard":
            h = u = stream + a * phi(norm(z))
        elif order == "norm_after_activation":
            h = u = stream + a * norm(phi(z))
        elif order == "post_activation":
            h = u = phi(stream + a * norm(z))
        else:
            h = stream + a * z
            u = phi(norm(h))
    return u @ np.asarray(net[-1].w).T + np.asarray(net[-1].b) + probes[-1]


def mean_cross_entropy(logits, y):
    shifted = logits - logits.max(1, keepdims=True)
    return np.mean(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(y)), np.asarray(y)])


@pytest.mark.parametrize("skip, gated", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("norm", nets.NORMALISATIONS)
@pytest.mark.parametrize("order", nets.ORDERS)
def test_every_combination_agrees_with_numpy(order, norm, skip, gated):
    if gated:
        net, name = random_net(norm=norm, gate=0.4, alpha=0.2), "prelu"
    else:
        net, name = random_net(norm=norm), "tanh"
    branch = 0.7 if skip else 1.0
    x, _ = batch()
    found = nets.forward_batch(net, x, name, skip=skip, branch=branch, order=order)
    expected = by_hand(net, x, name, skip, branch, order)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "order, norm", [*((order, "batch") for order in nets.ORDERS), ("standard", "layer")]
)
def test_gradients_of_combinations_agree_with_finite_differences(order, norm):
    net, (x, y) = random_net(norm=norm, gate=0.4), batch()
    form = {"skip": True, "branch": 0.7, "order": order}
    gradient = grads.weight_gradients(net, x, y, "cross_entropy", "tanh", **form)
    signals = grads.error_signals(net, x, y, "cross_entropy", "tanh", **form)
    zero = [np.zeros((6, len(layer.b))) for layer in net]
    step = 1e-5  # central differences: step^2 from the third derivative, 1e-16 / step from rounding

    def slope(loss):
        return (loss(step) - loss(-step)) / (2 * step)

    for layer, at in [(0, (2, 3)), (1, (4, 0)), (2, (1, 1))]:

        def by_weight(size, layer=layer, at=at):
            moved = [*net]
            moved[layer] = net[layer]._replace(w=net[layer].w.at[at].add(size))
            return mean_cross_entropy(by_hand(moved, x, "tanh", True, 0.7, order), y)

        def by_probe(size, layer=layer, at=at):
            probes = [z.copy() for z in zero]
            probes[layer][at] = size
            return 6 * mean_cross_entropy(by_hand(net, x, "tanh", True, 0.7, order, probes), y)

        np.testing.assert_allclose(gradient[layer].w[at], slope(by_weight), atol=2e-9)
        np.testing.assert_allclose(signals[layer][at], slope(by_probe), atol=2e-9)

    def by_gate(size):
        moved = [net[0], net[1]._replace(gate=net[1].gate + size), *net[2:]]
        return mean_cross_entropy(by_hand(moved, x, "tanh", True, 0.7, order), y)

    np.testing.assert_allclose(gradient[1].gate, slope(by_gate), atol=2e-9)


def torch_tensor(torch, array):
    return torch.tensor(np.array(array), requires_grad=True)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_normalisation_agrees_with_pytorch(norm):
    torch = pytest.importorskip("torch")
    net, (x, y) = random_net((6, 5, 4, 3), norm), batch()
    module = {"batch": torch.nn.BatchNorm1d, "layer": torch.nn.LayerNorm}[norm]
    modules, leaves, h = [], [], torch.tensor(np.array(x))
    for layer in net[:-1]:
        w, b = torch_tensor(torch, layer.w), torch_tensor(torch, layer.b)
        module_here = module(len(layer.b)).double()
        with torch.no_grad():
            module_here.weight.copy_(torch.tensor(np.array(layer.norm.scale)))
            module_here.bias.copy_(torch.tensor(np.array(layer.norm.shift)))
        modules.append((w, b, module_here))
        leaves.append((w, b, module_here.weight, module_here.bias))
        h = torch.relu(module_here(h @ w.T + b))
    out_w, out_b = (torch.tensor(np.array(a)) for a in net[-1][:2])
    torch.nn.functional.cross_entropy(h @ out_w.T + out_b, torch.tensor(np.array(y))).backward()
    gradient = grads.weight_gradients(net, x, y, "cross_entropy", "relu")
    for layer, expected in zip(gradient[:-1], leaves, strict=True):
        ours = (layer.w, layer.b, layer.norm.scale, layer.norm.shift)
        for a, b in zip(ours, expected, strict=True):
            np.testing.assert_allclose(a, b.grad.numpy(), rtol=1e-9, atol=1e-13)
    if norm == "batch":  # PyTorch starts its running statistics at 0 and 1
        start = [nets.Statistics(jnp.zeros(n), jnp.ones(n)) for n in (5, 4)]
        found = nets.batch_statistics(net, x, "relu")
        running = nets.moving_average(start, found)
        h = torch.tensor(np.array(x))
        for (w, b, module_here), ours in zip(modules, running, strict=True):
            np.testing.assert_allclose(ours.mean, module_here.running_mean, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(ours.var, module_here.running_var, rtol=1e-12)
            module_here.eval()
            h = torch.relu(module_here(h @ w.T + b))
        expected = (h @ out_w.T + out_b).detach().numpy()
        inference = nets.forward_batch(net, x, "relu", statistics=running)
        np.testing.assert_allclose(inference, expected, rtol=1e-11)
        one = nets.forward(net, x[2], "relu", statistics=running)
        np.testing.assert_allclose(one, expected[2], rtol=1e-11)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_convolutional_residual_net_agrees_with_pytorch(norm):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    net = nets.equip(nets.conv_net(KEY, (1, 4, 4), 3), norm=norm, gate=0.5, alpha=0.1)
    net = [layer._replace(b=layer.b + 0.1) for layer in net]
    x, y = batch(5, 64)
    leaves, h = [], torch.tensor(np.array(x)).reshape(5, 1, 8, 8)
    for layer in net[:-1]:
        w, b = torch_tensor(torch, layer.w), torch_tensor(torch, layer.b)
        z = functional.conv2d(h, w, b, padding="same")
        z.retain_grad()
        leaves.append((w, b, z))
        if norm != "none":
            affine = [torch.tensor(np.array(a)) for a in layer.norm]
            a = (
                functional.batch_norm(z, None, None, *affine, training=True)
                if norm == "batch"
                else functional.group_norm(z, 1, *affine)
            )
        else:
            a = z
        out = functional.prelu(a, torch.tensor([0.1], dtype=torch.float64))
        h = h + 0.5 * out if out.shape == h.shape else out
    w, b = torch_tensor(torch, net[-1].w), torch_tensor(torch, net[-1].b)
    functional.cross_entropy(h.flatten(1) @ w.T + b, torch.tensor(np.array(y))).backward()
    gradient = grads.weight_gradients(net, x, y, "cross_entropy", "prelu", skip=True)
    signals = grads.error_signals(net, x, y, "cross_entropy", "prelu", skip=True)
    assert net[0].gate is None  # one channel in, four out: nothing to skip
    np.testing.assert_allclose(gradient[-1].w, w.grad.numpy(), rtol=1e-9, atol=1e-13)
    for layer, signal, (w, b, z) in zip(gradient, signals, leaves, strict=False):
        np.testing.assert_allclose(layer.w, w.grad.numpy(), rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(layer.b, b.grad.numpy(), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(signal, 5 * z.grad.numpy(), rtol=1e-9, atol=1e-13)


def test_convolution_by_hand():
    kernel = np.arange(9.0).reshape(1, 1, 3, 3)
    net = nets.from_arrays([kernel, np.eye(9)], [[0.5], np.zeros(9)])
    x = np.zeros(9)
    x[4] = 1.0  # the middle of a 3 by 3 image: the output is the kernel turned by 180 degrees
    found = nets.forward(net, jnp.asarray(x), "identity")
    np.testing.assert_allclose(found, np.arange(9.0)[::-1] + 0.5)
    x = np.zeros(9)
    x[0] = 1.0  # a corner: beyond the edge are zeros
    found = nets.forward(net, jnp.asarray(x), "identity")
    np.testing.assert_allclose(found, np.array([4, 3, 0, 1, 0, 0, 0, 0, 0]) + 0.5)


def test_conv_net_has_the_published_variances():
    net = nets.conv_net(KEY, (1, 64, 64), 10, side=1)
    # 64 * 64 * 9 weights of variance 2 / fan_in: relative error sqrt(2 / 36864)
    assert float(net[1].w.var()) == pytest.approx(2 / (64 * 9), rel=4 * np.sqrt(2 / 36864))
    net = nets.conv_net(KEY, (1, 64, 64), 10, "glorot_normal", side=1)
    assert float(net[1].w.var()) == pytest.approx(1 / (64 * 9), rel=4 * np.sqrt(2 / 36864))
    rows = nets.conv_net(KEY, (1, 4, 4), 10, "orthogonal")[1].w.reshape(4, -1)
    np.testing.assert_allclose(rows @ rows.T, np.eye(4), atol=1e-12)


@pytest.mark.parametrize("norm", nets.NORMALISATIONS)
def test_orders_are_the_same_net_where_nothing_is_added(norm):
    net, (x, _) = random_net(norm=norm), batch()
    first = nets.forward_batch(net, x, "relu")
    for order in ("post_activation", "pre_activation"):
        found = nets.forward_batch(net, x, "relu", order=order)
        np.testing.assert_allclose(found, first, rtol=1e-12)


def finite_batch_rate(size):
    """Yang et al. 2019, growth of the squared gradient per layer, ReLU: theory.md, section 4."""
    c = -1 / (size - 1)
    j = (np.sqrt(1 - c**2) + (np.pi - np.arccos(c)) * c) / np.pi
    slope = (np.pi - np.arccos(c)) / np.pi
    return (size - 1) * (slope + size - 1) / ((size - 3) * (size - 1) * (1 - j)) - 1 / (size - 3)


def test_the_published_rates_of_batch_normalisation():
    # Theorem 8's limit, and the values by Monte Carlo of an independent program, to its error.
    assert finite_batch_rate(10**7) == pytest.approx(np.pi / (np.pi - 1), rel=1e-6)
    for size, rate, error in [(8, 1.780, 0.017), (16, 1.587, 0.013), (256, 1.4718, 0.0025)]:
        assert finite_batch_rate(size) == pytest.approx(rate, abs=3 * error)


@pytest.mark.parametrize("size", [8, 32])
def test_deep_relu_net_with_batch_normalisation_explodes_at_the_theory_rate(size):
    width, depth, seeds = 256, 16, 12
    x, y = batch(size, width, 10)

    @jax.jit
    def growth(key):
        net = nets.equip(nets.mlp_stack(key, depth, width, 10, "he_normal"), norm="batch")
        phi = activations.function("relu")
        signal = grads.profile(net, x, y, "cross_entropy", phi, depth).hidden_signal
        return jnp.log(signal[2] ** 2 / signal[12] ** 2) / 10  # away from both ends

    rates = np.array([growth(key) for key in jax.random.split(KEY, seeds)])
    # The seeds' spread gives the error of the mean. Finite width shifts the log of a layer's factor
    # by O(1 / width); its coefficient is of the order of 5 (theory.md, section 3).
    error = 3 * rates.std(ddof=1) / np.sqrt(seeds) + 5 / width
    assert abs(rates.mean() - np.log(finite_batch_rate(size))) < error
    assert error < 0.1


def test_a_chain_of_scaled_identities_grows_by_the_closed_law():
    # W = c I without activation: each block multiplies by 1 + a c, whatever the input.
    depth, c = 12, 0.3
    hidden = nets.Layer(c * jnp.broadcast_to(jnp.eye(4), (depth, 4, 4)), jnp.zeros((depth, 4)))
    stacked = nets.Stack(hidden, nets.mlp(KEY, (4, 2))[0])
    x, y = batch(3, 4, 2)
    for order, branch in [("standard", depth**-0.5), ("pre_activation", 1.0)]:
        profile = partial(grads.profile, skip=True, branch=branch, order=order)
        phi = activations.function("identity")
        found = jax.jit(partial(profile, loss="cross_entropy", phi=phi, depth=depth))(
            stacked, x=x, y=y
        )
        factor = (1 + branch * c) ** np.arange(depth - 1, -1, -1)
        np.testing.assert_allclose(found.hidden_signal / found.hidden_signal[-1], factor)
        np.testing.assert_allclose(found.error_signal, branch * found.hidden_signal, rtol=1e-12)


@pytest.mark.parametrize("scaled", [False, True])
def test_pre_activation_residual_nets_grow_by_the_closed_law(scaled):
    # He-ReLU branches have mean square 1 of what they are given, at random signs: 1 + a^2 a block.
    depth, width, seeds = 10, 256, 12
    branch = depth**-0.5 if scaled else 1.0
    x, y = batch(16, width, 10)

    @jax.jit
    def growth(key):
        net = nets.mlp_stack(key, depth, width, 10, "he_normal")
        found = grads.profile(
            net, x, y, "cross_entropy", activations.function("relu"), depth,
            skip=True, branch=branch, order="pre_activation",
        )  # fmt: skip
        return jnp.log(found.hidden_signal[0] ** 2 / found.hidden_signal[-1] ** 2)

    logs = np.array([growth(key) for key in jax.random.split(KEY, seeds)])
    law = (depth - 1) * np.log(1 + branch**2)
    error = 3 * logs.std(ddof=1) / np.sqrt(seeds) + 5 * depth * branch**2 / width
    assert abs(logs.mean() - law) < error < 0.5 * law


def test_rezero_begins_as_the_identity():
    net = nets.equip(nets.mlp(KEY, (5, 5, 5, 5, 3)), gate=0.0)
    x, y = batch(6, 5)
    outputs = nets.forward_batch(net, x, "relu", skip=True)
    np.testing.assert_allclose(outputs, x @ net[-1].w.T, rtol=1e-13)
    gradient = grads.weight_gradients(net, x, y, "cross_entropy", "relu", skip=True)
    assert not any(layer.w.any() for layer in gradient[:-1])
    # dL/dgate_l = mean of dL/dh phi(W h), and dL/dh is the same all along the skips.
    probability = np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)
    back = (probability - np.eye(3)[np.asarray(y)]) @ np.asarray(net[-1].w) / 6
    for layer, ours in zip(net[:-1], gradient[:-1], strict=True):
        branch = np.maximum(np.asarray(x) @ np.asarray(layer.w).T, 0)
        np.testing.assert_allclose(ours.gate, (back * branch).sum(), rtol=1e-11)


COMBINATIONS = [
    (3, "tanh", 0, "none", "none"),
    (4, "relu", 1, "batch", "unscaled"),
    (2, "selu", 0, "layer", "1/√L"),
    (1, "tanh", 1, "batch", "pre-activation"),
    (3, "relu", 0, "layer", "post-activation"),
]


def test_one_compiled_program_profiles_every_combination():
    names, skips = ["relu", "tanh", "selu"], list(profiles.SKIPS)
    networks = [nets.mlp(KEY, (6,) * 7 + (3,), init) for init in ("he_normal", "orthogonal")]
    x, y = batch()
    at = profiles.remedy_profiles(networks, x, y, "cross_entropy", names, skips)
    compiled = jax.jit(at)
    for depth, name, initialiser, norm, skip in COMBINATIONS:
        kind = profiles.SKIPS[skip]
        found = compiled(
            depth,
            names.index(name),
            initialiser,
            list(nets.NORMALISATIONS).index(norm),
            skips.index(skip),
        )
        net = nets.unstack(nets.stack(networks[initialiser]), depth)
        net = nets.equip(net, norm=norm)
        branch = float(kind.branch(np.float64(depth)))
        form = {"skip": kind.skip, "branch": branch, "order": kind.order}
        signals = grads.error_signals(net, x, y, "cross_entropy", name, **form)
        gradient = grads.weight_gradients(net, x, y, "cross_entropy", name, **form)
        expected = grads.norms(signals)[:-1], grads.weight_norms(gradient)[:-1]
        np.testing.assert_allclose(found["error_signal"][:depth], expected[0], rtol=1e-9)
        np.testing.assert_allclose(found["weight_gradient"][:depth], expected[1], rtol=1e-9)
        if kind.order == "standard":  # dL/dh_l from the layer above, by the chain rule
            by_h = np.asarray(signals[-1]) @ np.asarray(net[-1].w)
            for layer in range(depth, 0, -1):
                size = np.sqrt(np.mean(by_h**2))
                np.testing.assert_allclose(found["hidden_signal"][layer - 1], size, rtol=1e-9)
                direct = np.asarray(signals[layer - 1]) @ np.asarray(net[layer - 1].w)
                by_h = direct + kind.skip * by_h
        assert all(np.isnan(found[key][depth:]).all() for key in found if key != "ratio")
        ratio = found["hidden_signal"][0] / found["hidden_signal"][depth - 1]
        np.testing.assert_allclose(found["ratio"], [ratio])
    assert compiled._cache_size() == 1


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_lsuv_gives_every_layer_orthogonal_weights_and_unit_variance(kind):
    if kind == "mlp":
        net, (x, _) = nets.mlp(KEY, (6, 9, 9, 4), "he_normal"), batch(20)
    else:
        net, (x, _) = nets.conv_net(KEY, (1, 4, 4), 4), batch(20, 64)
    net = [layer._replace(b=layer.b + 1.0) for layer in nets.equip(net, norm="layer")]
    found = jax.jit(lambda x: nets.lsuv(net, x, "relu", skip=True))(x)
    zs = jax.vmap(lambda x: nets.pre_activations(found, x, "relu", skip=True))(x)
    for before, layer, z in zip(net, found, zs, strict=True):
        assert float(z.var()) == pytest.approx(1, abs=1e-12)
        assert not layer.b.any()
        jax.tree.map(np.testing.assert_array_equal, layer.norm, before.norm)
        w = np.asarray(layer.w).reshape(len(layer.w), -1)
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(gram, gram[0, 0] * np.eye(len(gram)), atol=1e-12 * gram[0, 0])


def test_lsuv_of_an_orthogonal_net_is_that_net_scaled():
    net = nets.mlp(KEY, (6, 6, 6, 3), "orthogonal")
    x, _ = batch(20)
    h = np.asarray(x)
    for layer, ours in zip(net, nets.lsuv(net, x, "tanh"), strict=True):
        z = h @ np.asarray(layer.w).T
        np.testing.assert_allclose(ours.w, np.asarray(layer.w) / z.std(), rtol=1e-10, atol=1e-14)
        h = np.tanh(z / z.std())


def test_gradient_correlation_by_hand():
    # Cosines 0 (first, second), 1/sqrt(2) (first, third), 1/sqrt(2) (second, third).
    gradients = jnp.array([[2.0, 0.0], [0.0, 3.0], [5.0, 5.0]])
    np.testing.assert_allclose(grads.correlation(gradients), 2 / np.sqrt(2) / 3)
    np.testing.assert_allclose(grads.correlation(jnp.array([[1.0], [-4.0]])), -1)


def test_input_gradients_chain_from_the_first_error_signal():
    net, (x, y) = random_net(norm="batch", gate=0.4), batch()
    found = grads.input_gradients(net, x, y, "cross_entropy", "tanh", skip=True)
    first = grads.error_signals(net, x, y, "cross_entropy", "tanh", skip=True)[0]
    np.testing.assert_allclose(found, np.asarray(first) @ np.asarray(net[0].w), rtol=1e-10)


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_gradients_shatter_at_the_known_rate(norm):
    # A unit of two inputs with correlation c is on for both, or off for both, with probability
    # 1 - arccos(c) / pi; each layer multiplies the gradients' correlation by 2 P(on for both).
    # Without normalisation c follows the arc-cosine kernel; batch normalisation holds it at 0.
    width, depth, size = 400, 4, 40
    x = jax.random.normal(jax.random.key(12), (size, width))
    direction = jax.random.normal(jax.random.key(13), (width,))
    c, expected = 0.0, 1.0
    for _ in range(depth):
        expected *= 1 - np.arccos(c) / np.pi
        c = (np.sqrt(1 - c**2) + (np.pi - np.arccos(c)) * c) / np.pi if norm == "none" else 0.0

    @jax.jit
    def found(key):
        net = nets.mlp_stack(key, depth, width, width, "he_normal")
        net = nets.equip(nets.unstack(net, depth), norm=norm)
        fixed = None
        if norm == "batch":
            many = jax.random.normal(jax.random.key(14), (500, width))
            fixed = nets.batch_statistics(net, many, "relu")
        readout = lambda output, v: output @ v  # noqa: E731
        v = jnp.tile(direction, (size, 1))
        gradients = grads.input_gradients(net, x, v, readout, "relu", statistics=fixed)
        return grads.correlation(gradients)

    values = np.array([found(key) for key in jax.random.split(KEY, 6)])
    # The seeds' spread, and a shift of order depth / width for finite width (5 as above); for batch
    # normalisation also the 500 examples' share in the correlation of what the layers are given.
    shift = 5 * depth / width * expected + (depth / 500 if norm == "batch" else 0)
    assert abs(values.mean() - expected) < 3 * values.std(ddof=1) / np.sqrt(6) + shift


X, Y = batch(4)
NET = nets.mlp(KEY, (6, 6, 3))
BATCH_NET = nets.equip(NET, norm="batch")
BAD = {
    "batch of one": (
        lambda: grads.weight_gradients(BATCH_NET, X[:1], Y[:1]),
        "x must hold at least 2 examples for batch normalisation in training; got 1",
    ),
    "no batch": (lambda: nets.forward(BATCH_NET, X[0]), "axis_name or statistics must be given"),
    "unknown norm": (
        lambda: nets.equip(NET, norm="group"),
        "norm must be one of none, batch, layer; got 'group'",
    ),
    "nan gate": (lambda: nets.equip(NET, gate=float("nan")), "gate must be finite"),
    "unknown order": (
        lambda: nets.forward(NET, X[0], order="post"),
        "order must be one of standard, .*; got 'post'",
    ),
    "branch alone": (
        lambda: nets.forward(NET, X[0], branch=0.5),
        "branch must be 1 without skip connections; got 0.5",
    ),
    "gate alone": (
        lambda: nets.forward(nets.equip(NET, gate=0.0), X[0]),
        "skip must be True for a net with gates",
    ),
    "alpha with relu": (
        lambda: nets.forward(nets.equip(NET, alpha=0.25), X[0], "relu"),
        "activation must be 'prelu' for a net with learnt slopes",
    ),
    "momentum 0": (
        lambda: nets.moving_average([], [], 0.0),
        "momentum must be a number above 0 and up to 1; got 0.0",
    ),
    "one channel number": (lambda: nets.conv_net(KEY, (1,), 10), "channels must name the input"),
    "no channel": (lambda: nets.conv_net(KEY, (1, 0), 10), "each of channels .* got 0"),
    "even kernel": (lambda: nets.conv_net(KEY, (1, 2), 3, kernel=2), "kernel must be an odd"),
    "even array": (
        lambda: nets.from_arrays([np.ones((1, 1, 2, 2)), np.ones((1, 4))]),
        r"weights of layer 1 must have an odd number of rows and columns; got \(1, 1, 2, 2\)",
    ),
    "no square image": (
        lambda: nets.from_arrays([np.ones((2, 1, 3, 3)), np.ones((1, 10))]),
        r"weights of layer 2 must read 2 square images; got shape \(1, 10\)",
    ),
    "conv after dense": (
        lambda: nets.from_arrays([np.ones((4, 4)), np.ones((4, 4, 3, 3)), np.ones((1, 4))]),
        "weights of layer 2 must have shape",
    ),
    "image misfit": (
        lambda: nets.forward(nets.conv_net(KEY, (1, 2), 3), X[0]),
        r"x must have shape \(64\); got \(6,\)",
    ),
    "lsuv without variance": (
        lambda: nets.lsuv(NET, jnp.zeros((4, 6))),
        "x must make the pre-activations of layer 1 vary",
    ),
    "one gradient": (lambda: grads.correlation(X[:1]), "gradients must hold at least 2 examples"),
    "zero gradient": (lambda: grads.correlation(X.at[1].set(0.0)), "norms must be positive"),
    "unknown skip": (
        lambda: profiles.remedy_profiles([NET], X, Y, "cross_entropy", skips=["dense"]),
        "each of skips must be one of none",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case, unchecked):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
