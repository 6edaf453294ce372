from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from test_activations import NUMPY

from vgkit import activations, grads, nets

KEY = jax.random.key(1)
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def gelu_tanh_slope(z):
    t = np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))
    return (1 + t) / 2 + z / 2 * (1 - t**2) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * z**2)


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
        "gelu_tanh": gelu_tanh_slope(z),
        "gelu": (1 + scipy.special.erf(z / np.sqrt(2))) / 2 + z * gauss,
        "silu": s * (1 + z * (1 - s)),
        "softplus": s,
    }[name]


def backpropagation(net, x, y, loss, name, skip):
    """Backpropagation written out in NumPy for one example: dL/dz, dL/dW and dL/dh."""
    layers = [*net.layers, net.readout]
    ws, bs = [np.asarray(layer.w) for layer in layers], [np.asarray(layer.b) for layer in layers]
    hs, zs = [np.asarray(x)], []
    for w, b in zip(ws[:-1], bs[:-1], strict=True):
        zs.append(w @ hs[-1] + b)
        new = NUMPY[name](zs[-1])
        hs.append(new + hs[-1] if skip and new.shape == hs[-1].shape else new)
    output = ws[-1] @ hs[-1] + bs[-1]
    if loss == "cross_entropy":
        delta = np.exp(output - output.max())
        delta = delta / delta.sum() - np.eye(len(output))[y]
    else:
        delta = 2 * (output - y) / len(output)
    deltas, by_weight, by_hidden = [delta], [np.outer(delta, hs[-1])], []
    by_h = ws[-1].T @ delta
    for w, z, h in zip(ws[-2::-1], zs[::-1], hs[-2::-1], strict=True):
        by_hidden.insert(0, by_h)
        delta = slope(name, z) * by_h
        deltas.insert(0, delta)
        by_weight.insert(0, np.outer(delta, h))
        by_h = w.T @ delta + (by_h if skip and len(by_h) == len(h) else 0)
    return deltas, by_weight, by_hidden


def rms(array):
    return np.sqrt(np.mean(np.square(array)))


def mean_cross_entropy(logits, y):
    right = np.asarray(logits)[np.arange(len(y)), np.asarray(y)]
    return np.mean(scipy.special.logsumexp(logits, axis=1) - right)


def batch(loss, examples=7, fan_in=6, outputs=4):
    x = jax.random.normal(jax.random.key(2), (examples, fan_in))
    if loss == "cross_entropy":
        return x, jnp.arange(examples) % outputs
    return x, jax.random.normal(jax.random.key(3), (examples, outputs))


def of_examples(net, x, y, loss, name, skip):
    """What `backpropagation` gives for every example: for each layer, examples lead."""
    each = [backpropagation(net, x[i], np.asarray(y[i]), loss, name, skip) for i in range(len(x))]
    return [
        [np.stack(layer) for layer in zip(*part, strict=True)] for part in zip(*each, strict=True)
    ]


def check(signals, by_hand):
    """Signals of a net against backpropagation by hand."""
    deltas, by_weight, by_hidden = by_hand
    for arrays, expected in [
        (signals.error_signals, deltas),
        (signals.hidden_gradients, by_hidden),
        (signals.weight_gradients, [each.mean(axis=0) for each in by_weight]),
        (signals.bias_gradients, [each.mean(axis=0) for each in deltas]),
    ]:
        for ours, wanted in zip(arrays, expected, strict=True):
            # Slopes near 0 are differences of numbers near 1: what rounds there is no smaller here.
            lost = 1e-13 * np.max(np.abs(wanted))
            np.testing.assert_allclose(ours, wanted, rtol=1e-10, atol=lost)


@pytest.mark.parametrize("loss", grads.LOSSES)
def test_all_gradients_agree_with_backpropagation_by_hand(loss):
    """For every activation with and without skips, from one compiled program."""
    net = nets.mlp(KEY, (6, 9, 9, 5, 5, 4), "tanh", init="he_normal")
    net = jax.tree.map(lambda leaf: leaf + 0.1 * (leaf.ndim == 1), net)
    x, y = batch(loss)

    @jax.jit
    def signals(activation, skip):
        chosen = net.replace(
            activation=activations.by_index(activation, [*activations.ACTIVATIONS]), skip=skip
        )
        return grads.signals(chosen, x, y, loss=loss)

    for index, name in enumerate(activations.ACTIVATIONS):
        for skip in (False, True):
            check(signals(index, skip), of_examples(net, x, y, loss, name, skip))


def test_norms_ratio_and_loss_are_those_of_the_arrays():
    net, (x, y) = nets.mlp(KEY, (6, 9, 9, 4), "tanh"), batch("cross_entropy")
    signals = grads.signals(net, x, y)
    for norms, arrays in [
        (signals.error_norms, signals.error_signals),
        (signals.weight_norms, signals.weight_gradients),
        (signals.bias_norms, signals.bias_gradients),
        (signals.hidden_norms, signals.hidden_gradients),
    ]:
        np.testing.assert_allclose(norms, [rms(array) for array in arrays], rtol=1e-12)
    assert len(signals.error_signals) == 3 and len(signals.hidden_gradients) == 2
    ratio = rms(signals.error_signals[0]) / rms(signals.error_signals[1])
    assert float(signals.ratio) == pytest.approx(ratio)
    assert float(signals.decades_per_layer) == pytest.approx(-np.log10(ratio))
    losses = [mean_cross_entropy(nets.forward(net, x)[i : i + 1], y[i : i + 1]) for i in range(7)]
    np.testing.assert_allclose(signals.losses, losses, rtol=1e-12)
    assert float(signals.loss) == pytest.approx(np.mean(losses))
    np.testing.assert_array_equal(signals.gradient.readout.b, signals.bias_gradients[-1])
    l2 = signals.weight_gradients.norms("l2")
    np.testing.assert_allclose(l2, [np.linalg.norm(w) for w in signals.weight_gradients])


STACKED = nets.mlp(KEY, (6,) * 8 + (4,), "tanh", init="he_uniform", stacked=True)


@jax.jit
def profile(activation, depth, skip):
    x, y = batch("cross_entropy")
    phi = activations.by_index(activation, [*activations.ACTIVATIONS])
    signals = grads.signals(STACKED.replace(activation=phi, depth=depth, skip=skip), x, y)
    norms = signals.error_norms, signals.weight_norms, signals.hidden_norms
    return *norms, signals.ratio, signals.decades_per_layer


def printed(text):
    """The number that is printed as 5.7 × 10⁻⁵."""
    mantissa, _, exponent = text.partition("\xa0×\xa010")
    return float(mantissa) * 10.0 ** int(exponent.translate(SUPERSCRIPTS) or 0)


def test_printed_signals_are_a_table():
    near = partial(pytest.approx, rel=0.05 / 1.05)  # the second digit is rounded
    net, (x, y) = nets.mlp(KEY, (6, 9, 9, 4), "tanh"), batch("cross_entropy")
    signals = grads.signals(net, x, y)
    head, *rows, loss, ratio = repr(signals).splitlines()
    assert head.split() == ["layer", "dL/dz", "dL/dW", "dL/db"]
    assert [row.split()[0] for row in rows] == ["1", "2", "output"]
    assert len({len(row) for row in (head, *rows)}) == 1  # aligned
    first = [*filter(None, rows[0].split(" "))]  # numbers hold spaces of another kind
    assert printed(first[1]) == near(float(signals.error_norms[0]))
    assert printed(ratio.split(" ")[3]) == near(float(signals.ratio))
    assert f"{signals.loss:.3g}" in loss
    assert len(repr(grads.signals(STACKED.replace(depth=2), x, y)).splitlines()) == 6
    assert repr(jax.tree.map(lambda leaf: leaf[None], signals)) == "Signals of (1,) networks"


def test_a_stacked_net_cut_at_a_traced_depth_is_the_shorter_net():
    x, y = batch("cross_entropy")
    for name in ("sigmoid", "relu", "silu"):
        for depth, skip in [(1, False), (4, True), (7, False), (7, True)]:
            error, weight, hidden, ratio, decades = profile(
                list(activations.ACTIVATIONS).index(name), depth, skip
            )
            net = nets.unstack(STACKED.replace(depth=depth))
            deltas, by_weight, by_hidden = of_examples(net, x, y, "cross_entropy", name, skip)
            by_weight = [each.mean(axis=0) for each in by_weight]
            for norms, arrays in [(error, deltas), (weight, by_weight), (hidden, by_hidden)]:
                sizes = list(map(rms, arrays))
                np.testing.assert_allclose(norms[:depth], sizes[:depth], rtol=1e-10)
                assert np.isnan(norms[depth:7]).all()
                np.testing.assert_allclose(norms[7:], sizes[depth:], rtol=1e-10)
            assert float(ratio) == pytest.approx(float(error[0] / error[depth - 1]))
            line = np.polyfit(np.arange(depth), np.log10(error[:depth]), 1) if depth > 1 else [0]
            assert depth == 1 or float(decades) == pytest.approx(line[0], rel=1e-9)


@pytest.mark.parametrize("skip", [False, True])
def test_jacobians_chain_to_the_error_signals(skip):
    net = nets.mlp(KEY, (6, 6, 6, 6, 4), "tanh", init="he_normal", skip=skip)
    x, _y = batch("mean_squared_error", examples=1)
    matrices = grads.jacobians(net, x[0])
    h, expected = np.asarray(x[0]), []
    for layer in net.layers:
        z = np.asarray(layer.w) @ h
        expected.append(np.diag(1 - np.tanh(z) ** 2) @ np.asarray(layer.w) + skip * np.eye(6))
        h = np.tanh(z) + skip * h
    for matrix, by_hand in zip(matrices, expected, strict=True):
        np.testing.assert_allclose(matrix, by_hand, rtol=1e-12, atol=1e-14)


def test_norms_by_hand():
    arrays = jnp.array([[3.0, 4.0]]), jnp.array([[1.0], [1.0], [1.0], [1.0]])
    turned = (*arrays, *arrays[::-1], 2 * arrays[0])  # a layer's place is its own, of any shape
    np.testing.assert_allclose(grads.PerLayer(turned).norms("l2"), [5, 2, 2, 5, 10])
    np.testing.assert_allclose(grads.PerLayer(arrays[:1], arrays[1]).norms(), [5 / 2**0.5, 1])
    net = nets.from_arrays([np.array([[3.0, 4.0]]), np.ones((4, 1))], None, "tanh")
    np.testing.assert_allclose(grads.per_layer(net).norms("l2"), [5, 2])
    assert not grads.per_layer(net, "b").norms().any()


def test_decades_by_hand():
    assert float(grads.decades_per_layer(jnp.array([1e-6, 1e-4, 1e-2, 1.0]))) == pytest.approx(2)
    # Least squares over unequal steps: log10 = (0, 1, 5), slope sum((-1, 0, 1) * y) / 2 = 2.5.
    norms = jnp.array([1.0, 10.0, 1e5, 7.0])
    assert float(grads.decades_per_layer(norms[:3])) == pytest.approx(2.5)
    assert float(jax.jit(grads.decades_per_layer)(norms, 3)) == pytest.approx(2.5)


def test_mean_cosine_by_hand():
    # Cosines of the three pairs: 0, 3/5, 4/5.
    rows = jnp.array([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    assert float(grads.mean_cosine(rows)) == pytest.approx((0 + 0.6 + 0.8) / 3)
    assert float(grads.mean_cosine(jnp.array([[[1.0], [2.0]], [[-1.0], [-2.0]]]))) == -1


@pytest.mark.parametrize("kind, expected", [("rms", 5 / np.sqrt(2)), ("l2", 5.0)])
def test_norms_reach_to_the_ends_of_float32(kind, expected):
    # 3-4-5 triangles whose squares float32 cannot hold: below 1e-45, above 3e38.
    sizes = 1e-30, 1e30, 0.0
    triangles = tuple(jnp.array([3 * size, -4 * size], jnp.float32) for size in sizes)
    norms = grads.PerLayer(triangles).norms(kind)
    assert norms.dtype == np.float32
    np.testing.assert_allclose(norms, [expected * size for size in sizes], rtol=1e-6)
    bad = grads.PerLayer((jnp.array([1.0, jnp.inf]), jnp.array([1.0, jnp.nan]))).norms(kind)
    np.testing.assert_array_equal(bad, [np.inf, np.nan])


NET = nets.mlp(KEY, (2, 3, 2), "tanh")
X, Y = jnp.ones((4, 2)), jnp.array([0, 1, 0, 1])
NAN = NET.replace(readout=NET.readout.replace(w=NET.readout.w.at[0, 0].set(jnp.nan)))


def bad(*given, **options):
    return partial(grads.signals, *given, **options)


BAD = [
    (bad(NET, X[:0], Y[:0]), r"x must have shape \(at least 1, 2\)"),
    (bad(NET, jnp.ones(2), Y), "x must have shape"),
    (bad(NET, X, Y[:3]), "y must have one row for each of the 4 examples"),
    (bad(NET, X, Y + 1), "y must hold whole-number labels from 0 to 1 .*got 1 to 2"),
    (bad(NET, X, Y - 1), "y must hold whole-number labels from 0 to 1 .*got -1 to 0"),
    (bad(NET, X, Y + 0.0), "y must hold whole-number labels"),
    (bad(NET, X, jnp.ones((4, 3)), loss="mean_squared_error"), "y must have shape"),
    (bad(NET, X.at[0, 0].set(jnp.nan), Y), "x must be finite; got 1"),
    (bad(NET, X, X * jnp.inf, loss="mean_squared_error"), "y must be finite"),
    (bad(NAN, X, Y), "net must be finite"),
    (bad(NET, X, Y, loss="hinge"), "loss must be one of mean_squared_error"),
    (bad(NET, {}, X, Y), "batch must be x and y for a Net; got 3 arguments"),
    (bad(NET, X, Y, dtype="float8"), "dtype must be one of float16.*'float8'"),
    (bad(NET, X, Y, dtype=jnp.float16), "dtype must be one of float16"),
    (bad(NET, X, Y, loss_scale=0.0), "loss_scale must be positive"),
    (bad(NET, X, Y, loss_scale=np.inf), "loss_scale must be positive"),
    (lambda: grads.PerLayer((X,)).norms("max"), "kind must be one of rms, l2.*'max'"),
    (lambda: grads.PerLayer(()).norms(), "arrays must hold at least one layer"),
    (lambda: grads.decades_per_layer(jnp.ones(1)), "at least two layers"),
    (lambda: grads.decades_per_layer(jnp.array([1.0, 0.0])), "positive.*got 0.0"),
    (lambda: grads.mean_cosine(X[:1]), "gradients must hold at least 2 examples"),
    (lambda: grads.mean_cosine(0 * X), "gradients' norms must be positive"),
    (lambda: grads.jacobians(NET, X), "x must have shape"),
    (lambda: grads.jacobians(NET, X[0] * jnp.nan), "x must be finite"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input_is_refused(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()
