import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from vgkit import activations, grads, nets

KEY = jax.random.key(1)


def slope(name, z):
    """phi' by hand, for the oracle below."""
    s = 1 / (1 + np.exp(-z))
    gauss = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return {
        "identity": np.ones_like(z),
        "sigmoid": s * (1 - s),
        "tanh": 1 - np.tanh(z) ** 2,
        "relu": (z > 0) * 1.0,
        "leaky_relu": np.where(z > 0, 1, 0.01),
        "prelu": np.where(z > 0, 1, 0.25),
        "elu": np.where(z > 0, 1, np.exp(np.minimum(z, 0))),
        "selu": 1.0507009873554805
        * np.where(z > 0, 1, 1.6732632423543772 * np.exp(np.minimum(z, 0))),
        "gelu": (1 + scipy.special.erf(z / np.sqrt(2))) / 2 + z * gauss,
        "silu": s * (1 + z * (1 - s)),
        "softplus": s,
    }[name]


def value(name, z):
    return np.asarray(activations.function(name)(jnp.asarray(z)))


def backpropagation(net, x, y, loss, name, skip):
    """Backpropagation written out in NumPy for one example: error signals and weight gradients."""
    ws, bs = [np.asarray(layer.w) for layer in net], [np.asarray(layer.b) for layer in net]
    hs, zs = [np.asarray(x)], []
    for w, b in zip(ws[:-1], bs[:-1], strict=True):
        zs.append(w @ hs[-1] + b)
        new = value(name, zs[-1])
        hs.append(new + hs[-1] if skip and new.shape == hs[-1].shape else new)
    output = ws[-1] @ hs[-1] + bs[-1]
    if loss == "cross_entropy":
        delta = np.exp(output - output.max())
        delta = delta / delta.sum() - np.eye(len(output))[y]
    else:
        delta = 2 * (output - y) / len(output)
    deltas, by_weight = [delta], [np.outer(delta, hs[-1])]
    by_h = ws[-1].T @ delta
    for w, z, h in zip(ws[-2::-1], zs[::-1], hs[-2::-1], strict=True):
        delta = slope(name, z) * by_h
        deltas.insert(0, delta)
        by_weight.insert(0, np.outer(delta, h))
        by_h = w.T @ delta + (by_h if skip and len(by_h) == len(h) else 0)
    return deltas, by_weight


def batch(loss, examples=7, fan_in=6, outputs=4):
    x = jax.random.normal(jax.random.key(2), (examples, fan_in))
    if loss == "cross_entropy":
        return x, jnp.arange(examples) % outputs
    return x, jax.random.normal(jax.random.key(3), (examples, outputs))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("loss", grads.LOSSES)
@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_gradients_agree_with_backpropagation_by_hand(name, loss, skip):
    net = nets.mlp(KEY, (6, 9, 9, 5, 5, 4), "he_normal")
    net = [layer._replace(b=layer.b + 0.1) for layer in net]
    x, y = batch(loss)
    signals = grads.error_signals(net, x, y, loss, name, skip=skip)
    gradients = grads.weight_gradients(net, x, y, loss, name, skip=skip)
    by_hand = [
        backpropagation(net, x[i], np.asarray(y[i]), loss, name, skip) for i in range(len(x))
    ]
    for number, (signal, gradient) in enumerate(zip(signals, gradients, strict=True)):
        deltas = np.stack([deltas[number] for deltas, _ in by_hand])
        mean = np.mean([by_weight[number] for _, by_weight in by_hand], axis=0)
        np.testing.assert_allclose(signal, deltas, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(gradient.w, mean, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(gradient.b, deltas.mean(0), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "silu", "softplus"])
def test_weight_gradients_agree_with_finite_differences(name):
    net = nets.mlp(KEY, (6, 8, 8, 4))
    x, y = batch("cross_entropy")
    gradients = grads.weight_gradients(net, x, y, "cross_entropy", name)
    h = 1e-5  # central differences: h^2 from the third derivative, 1e-16 / h from rounding
    for layer, (i, j) in [(0, (2, 3)), (1, (7, 0)), (2, (3, 5))]:

        def loss(step, layer=layer, i=i, j=j):
            moved = list(net)
            moved[layer] = net[layer]._replace(w=net[layer].w.at[i, j].add(step))
            outputs = jax.vmap(lambda x: nets.forward(moved, x, name))(x)
            logits = np.asarray(outputs)
            return np.mean(
                scipy.special.logsumexp(logits, axis=1) - logits[np.arange(len(y)), np.asarray(y)]
            )

        difference = (loss(h) - loss(-h)) / (2 * h)
        np.testing.assert_allclose(gradients[layer].w[i, j], difference, atol=1e-9)


def test_linear_net_has_the_closed_form():
    net = nets.mlp(KEY, (3, 4, 5, 2), "glorot_uniform")
    w1, w2, w3 = (np.asarray(layer.w) for layer in net)
    x, y = jnp.array([[0.5, -1.0, 2.0]]), jnp.array([[1.0, 0.0]])
    signals = grads.error_signals(net, x, y, "mean_squared_error", "identity")
    delta = w3 @ w2 @ w1 @ np.asarray(x[0]) - np.asarray(y[0])  # 2 / 2 outputs times the residual
    np.testing.assert_allclose(signals[2][0], delta, rtol=1e-13)
    np.testing.assert_allclose(signals[0][0], (w3 @ w2).T @ delta, rtol=1e-13)
    spectrum = grads.product_spectrum(grads.jacobians(net, x[0], "identity"))
    np.testing.assert_allclose(spectrum, np.linalg.svd(w2 @ w1, compute_uv=False), rtol=1e-13)


@pytest.mark.parametrize("loss", grads.LOSSES)
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "gelu", "selu"])
def test_gradients_agree_with_pytorch(name, loss):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    net = nets.mlp(KEY, (6, 9, 9, 4), "lecun_uniform")
    x, y = batch(loss)
    phi = getattr(torch, name, None) or getattr(functional, name)
    weights = [torch.tensor(np.array(layer.w), requires_grad=True) for layer in net]
    h, zs = torch.tensor(np.array(x)), []
    for number, w in enumerate(weights):
        zs.append(h @ w.T)
        zs[-1].retain_grad()
        h = zs[-1] if number == len(weights) - 1 else phi(zs[-1])
    target = torch.tensor(np.array(y))
    criterion = functional.cross_entropy if loss == "cross_entropy" else functional.mse_loss
    criterion(h, target).backward()
    signals = grads.error_signals(net, x, y, loss, name)
    gradients = grads.weight_gradients(net, x, y, loss, name)
    for w, z, signal, gradient in zip(weights, zs, signals, gradients, strict=True):
        np.testing.assert_allclose(gradient.w, w.grad.numpy(), rtol=1e-10, atol=1e-15)
        np.testing.assert_allclose(signal, z.grad.numpy() * len(x), rtol=1e-10, atol=1e-15)


def test_any_loss_can_be_given():
    net = nets.mlp(KEY, (6, 5, 4))
    x, y = batch("mean_squared_error")

    def half_sum(output, target):
        return jnp.sum((output - target) ** 2) / 2

    ours = grads.error_signals(net, x, y, half_sum)
    mean = grads.error_signals(net, x, y, "mean_squared_error")
    np.testing.assert_allclose(ours[0], mean[0] * 4 / 2, rtol=1e-12)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("name", ["sigmoid", "relu", "silu"])
@pytest.mark.parametrize("depth", [1, 4, 7])
def test_profile_is_that_of_the_unstacked_net(depth, name, skip):
    stacked = nets.stack(nets.mlp(KEY, (6,) * 8 + (4,), "he_uniform"))
    x, y = batch("cross_entropy")
    profile = jax.jit(
        lambda index, depth, skip: grads.profile(
            stacked, x, y, "cross_entropy", activations.by_index(index), depth, skip=skip
        )
    )(list(activations.ACTIVATIONS).index(name), depth, skip)
    by_hand = [
        backpropagation(nets.unstack(stacked, depth), x[i], int(y[i]), "cross_entropy", name, skip)
        for i in range(len(x))
    ]
    for layer in range(depth):
        deltas = [deltas[layer] for deltas, _ in by_hand]
        mean = np.mean([by_weight[layer] for _, by_weight in by_hand], axis=0)
        size = np.sqrt(np.mean(np.square(deltas)))
        np.testing.assert_allclose(profile.error_signal[layer], size, rtol=1e-10)
        np.testing.assert_allclose(
            profile.weight_gradient[layer], np.sqrt(np.mean(mean**2)), rtol=1e-10
        )
    back = [np.asarray(stacked.output.w).T @ deltas[-1] for deltas, _ in by_hand]
    np.testing.assert_allclose(profile.readout_signal, np.sqrt(np.mean(np.square(back))))
    assert np.isnan(profile.error_signal[depth:]).all()
    assert np.isnan(profile.weight_gradient[depth:]).all()


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_error_signals_never_exceed_the_bound(name, skip):
    stacked = nets.stack(nets.mlp(KEY, (6,) * 8 + (4,), "he_uniform"))
    x, y = batch("cross_entropy")
    phi = activations.function(name)
    profile = grads.profile(stacked, x, y, "cross_entropy", phi, 5, skip=skip)
    norms = jnp.asarray(np.linalg.norm(np.asarray(stacked.hidden.w), 2, axis=(1, 2)))
    slope_bound = max(map(abs, activations.slope_range(name)))
    bound = grads.error_bound(profile.readout_signal, norms, slope_bound, 5, skip=skip)
    assert (profile.error_signal[:5] <= bound[:5] * (1 + 1e-12)).all()
    assert np.isnan(bound[5:]).all()


def test_bound_is_attained_by_a_linear_orthogonal_net():
    stacked = nets.stack(nets.mlp(KEY, (6,) * 8 + (4,), "orthogonal"))
    x, y = batch("cross_entropy")
    phi = activations.function("identity")
    profile = grads.profile(stacked, x, y, "cross_entropy", phi, 7)
    bound = grads.error_bound(profile.readout_signal, jnp.ones(7), 1.0, 7)
    np.testing.assert_allclose(profile.error_signal, bound, rtol=1e-12)


def test_bound_by_hand():
    # s = 1/2, norms 2, 4, 6: layer 3: 1/2 * 10; layer 2: times 1/2 * 6; layer 1: times 1/2 * 4.
    bound = grads.error_bound(jnp.asarray(10.0), jnp.array([2.0, 4.0, 6.0, 8.0]), 0.5, 3)
    np.testing.assert_allclose(bound, [30.0, 15.0, 5.0, np.nan])
    # With skips each factor grows by 1: 5 * 4 = 20 and 20 * 3 = 60.
    bound = grads.error_bound(jnp.asarray(10.0), jnp.array([2.0, 4.0, 6.0, 8.0]), 0.5, 3, skip=True)
    np.testing.assert_allclose(bound, [60.0, 20.0, 5.0, np.nan])


@pytest.mark.parametrize("skip", [False, True])
def test_jacobians_chain_to_the_error_signals(skip):
    net = nets.mlp(KEY, (6, 6, 6, 6, 4), "he_normal")
    x, _y = batch("mean_squared_error", examples=1)
    matrices = grads.jacobians(net, x[0], "tanh", skip=skip)
    h, expected = np.asarray(x[0]), []
    for layer in net[:-1]:
        z = np.asarray(layer.w) @ h
        expected.append(np.diag(1 - np.tanh(z) ** 2) @ np.asarray(layer.w) + skip * np.eye(6))
        h = np.tanh(z) + skip * h
    for matrix, by_hand in zip(matrices, expected, strict=True):
        np.testing.assert_allclose(matrix, by_hand, rtol=1e-12, atol=1e-14)
    product = expected[2] @ expected[1] @ expected[0]
    np.testing.assert_allclose(
        grads.product_spectrum(matrices), np.linalg.svd(product)[1], rtol=1e-10
    )
    for values, by_hand in zip(grads.singular_values(matrices), expected, strict=True):
        np.testing.assert_allclose(values, np.linalg.svd(by_hand)[1], rtol=1e-10)


def test_norms_by_hand():
    arrays = [jnp.array([[3.0, 4.0]]), jnp.array([[1.0], [1.0], [1.0], [1.0]])]
    np.testing.assert_allclose(grads.norms(arrays, "l2"), [5, 2])
    np.testing.assert_allclose(grads.norms(arrays, "rms"), [5 / np.sqrt(2), 1])
    layers = [nets.Layer(array, 9 * jnp.ones(len(array))) for array in arrays]
    np.testing.assert_allclose(grads.weight_norms(layers, "l2"), [5, 2])


def test_norms_keep_the_order_of_layers_of_any_shape():
    arrays = [jnp.full(shape, k + 1.0) for k, shape in enumerate([2, 2, (2, 2), 2, (3,), (3,)])]
    np.testing.assert_allclose(grads.norms(arrays), range(1, 7))
    np.testing.assert_allclose(grads.norms(arrays, "l2")[2:4], [6, 4 * np.sqrt(2)])


def test_ratio_and_decades_by_hand():
    norms = jnp.array([1e-6, 1e-4, 1e-2, 1.0, 7.0])
    assert float(grads.end_to_end_ratio(norms)) == pytest.approx(1e-6)
    assert float(grads.decades_per_layer(norms[:-1])) == pytest.approx(2)
    # Least squares over unequal steps: log10 = (0, 1, 5), slope sum((-1, 0, 1) * y) / 2 = 2.5.
    assert float(grads.decades_per_layer(jnp.array([1.0, 10.0, 1e5]))) == pytest.approx(2.5)
    assert float(grads.end_to_end_ratio(jnp.array([2.0, 3.0]))) == 1


NET = nets.mlp(KEY, (2, 3, 2))
X, LABELS = jnp.ones((4, 2)), jnp.array([0, 1, 0, 1])
BAD = {
    "empty batch": ((NET, jnp.ones((0, 2)), jnp.ones(0, int)), r"x must have shape \(at least 1"),
    "x misfit": ((NET, jnp.ones((4, 3)), LABELS), r"x must have shape \(at least 1, 2\)"),
    "one example": ((NET, jnp.ones(2), LABELS), "x must have shape"),
    "y misfit": ((NET, X, LABELS[:3]), "y must have one row for each of the 4 examples"),
    "label 2": ((NET, X, LABELS + 1), "y must hold labels from 0 to 1; got 1 to 2"),
    "label -1": ((NET, X, LABELS - 1), "y must hold labels from 0 to 1; got -1 to 0"),
    "real labels": ((NET, X, LABELS + 0.0), "y must hold whole-number labels"),
    "target misfit": ((NET, X, jnp.ones((4, 3)), "mean_squared_error"), "y must have shape"),
    "nan in x": ((NET, X.at[0, 0].set(jnp.nan), LABELS), "x must be finite; got 1"),
    "inf in y": ((NET, X, X.at[0, 0].set(jnp.inf), "mean_squared_error"), "y must be finite"),
    "nan in net": (
        ([NET[0]._replace(w=NET[0].w.at[0, 0].set(jnp.nan)), NET[1]], X, LABELS),
        "net must be finite",
    ),
    "unknown loss": ((NET, X, LABELS, "hinge"), "loss must be one of mean_squared_error"),
    "unknown activation": ((NET, X, LABELS, "cross_entropy", "swish"), "activation must be one of"),
}


@pytest.mark.parametrize("call", [grads.weight_gradients, grads.error_signals])
@pytest.mark.parametrize("case", BAD)
def test_bad_batch_is_refused(case, call, unchecked):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call(*arguments)


MORE_BAD = {
    "norm kind": (lambda: grads.norms([X], "max"), "kind must be one of rms, l2; got 'max'"),
    "no layers": (lambda: grads.norms([]), "arrays must hold at least one layer"),
    "one layer": (lambda: grads.end_to_end_ratio(jnp.ones(1)), "a hidden and an output layer"),
    "one norm": (lambda: grads.decades_per_layer(jnp.ones(1)), "at least two layers"),
    "zero norm": (lambda: grads.decades_per_layer(jnp.array([1.0, 0.0])), "positive.*got 0.0"),
    "no jacobian": (lambda: grads.product_spectrum([]), "jacobians must hold at least one"),
    "jacobian misfit": (
        lambda: grads.product_spectrum([jnp.ones((3, 2)), jnp.ones((2, 2))]),
        "jacobian 2 must have shape",
    ),
    "jacobian of a batch": (lambda: grads.jacobians(NET, X), "x must have shape"),
    "jacobian at nan": (lambda: grads.jacobians(NET, jnp.array([jnp.nan, 0])), "x must be finite"),
}


@pytest.mark.parametrize("case", MORE_BAD)
def test_bad_input_is_refused(case, unchecked):
    call, message = MORE_BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("kind", grads.NORMS)
def test_norms_reach_to_the_ends_of_float32(kind):
    # 3-4-5 triangles whose squares float32 cannot hold: below 1e-45, above 3e38.
    expected = 5 / np.sqrt(2 if kind == "rms" else 1)
    for size in (1e-30, 1e30):
        array = jnp.array([3 * size, -4 * size], jnp.float32)
        (norm,) = np.asarray(grads.norms([array], kind))
        assert norm.dtype == np.float32
        assert norm == pytest.approx(expected * size, rel=1e-6)
    np.testing.assert_array_equal(grads.norms([jnp.zeros(3)], kind), [0.0])
    bad = grads.norms([jnp.array([1.0, jnp.inf]), jnp.array([1.0, jnp.nan])], kind)
    np.testing.assert_array_equal(bad, [np.inf, np.nan])
