"""Layers of models of any library, and their gradients against backpropagation by hand."""

import re
from typing import NamedTuple

import equinox
import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from flax import nnx

import vgkit
from vgkit import grads, nets, trace
from vgkit.diagnosis import tap


@pytest.fixture(autouse=True)
def users_models():
    """Models of users add biases to batches as they are."""
    with jax.numpy_rank_promotion("allow"):
        yield


KEY = jax.random.key(0)
BATCH, WIDTHS = 6, (3, 5, 5, 2)
X = jax.random.normal(KEY, (BATCH, 3))
Y = jnp.arange(BATCH) % 2
NET = nets.mlp(KEY, WIDTHS, "tanh", init="glorot_normal")
PARAMS = [(layer.w.T, layer.b + 0.1) for layer in (*NET.layers, NET.readout)]


def mlp(params, x):
    *hidden, (w, b) = params
    for v, c in hidden:
        x = jnp.tanh(x @ v + c)
    return x @ w + b


def scanned(params, x):
    """The same for equal widths: one scan over the hidden layers."""
    first, stacked, last = params
    h = jnp.tanh(x @ first[0] + first[1])
    h, _ = jax.lax.scan(lambda h, layer: (jnp.tanh(h @ layer[0] + layer[1]), None), h, stacked)
    return h @ last[0] + last[1]


def by_hand(params, x, y):
    """Error signals of every example, by the chain rule written out."""
    hs = [np.asarray(x)]
    for w, b in params[:-1]:
        hs.append(np.tanh(hs[-1] @ w + b))
    w, b = params[-1]
    exp = np.exp(hs[-1] @ w + b)
    deltas = [exp / exp.sum(axis=1, keepdims=True) - np.eye(exp.shape[1])[y]]
    for (w, _), h in zip(params[:0:-1], hs[:0:-1], strict=True):
        deltas.insert(0, (deltas[0] @ np.asarray(w).T) * (1 - h**2))
    return hs, deltas


def names(model, params, x=X):
    return [layer.name for layer in trace.read(model, params, x).layers]


# Signals of any model


def agrees(signals, params):
    """The signals are those of backpropagation by hand, layer by layer."""
    hs, deltas = by_hand(params, X, Y)
    for layer, (h, delta) in enumerate(zip(hs, deltas, strict=True)):
        close = {"rtol": 1e-9, "atol": 1e-14}
        np.testing.assert_allclose(signals.error_signals[layer], delta, **close)
        np.testing.assert_allclose(signals.weight_gradients[layer], h.T @ delta / BATCH, **close)
        np.testing.assert_allclose(signals.bias_gradients[layer], delta.mean(axis=0), **close)
    for (w, _), delta, mine in zip(params[1:], deltas[1:], signals.hidden_gradients, strict=True):
        np.testing.assert_allclose(mine, delta @ np.asarray(w).T, rtol=1e-9)


def test_signals_of_a_list_of_weights_and_biases():
    signals = grads.signals(mlp, PARAMS, X, Y)
    agrees(signals, PARAMS)
    assert signals.names == ("0/0", "1/0", "2/0")
    loss = lambda params: jnp.mean(jax.vmap(grads.cross_entropy)(mlp(params, X), Y))  # noqa: E731
    for mine, expected in zip(*map(jax.tree.leaves, (signals.gradient, jax.grad(loss)(PARAMS))),
                              strict=True):  # fmt: skip
        np.testing.assert_allclose(mine, expected, rtol=1e-12)
    assert "2/0" in str(signals) and signals.depth == 2


def test_signals_through_a_scan():
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf, leaf[::-1]]), PARAMS[1])
    params = (PARAMS[0], stacked, PARAMS[2])
    unrolled = [PARAMS[0], *zip(*stacked, strict=True), PARAMS[2]]
    signals = grads.signals(jax.jit(scanned), params, X, Y)
    agrees(signals, unrolled)
    assert signals.names == ("0/0", "1/0[0]", "1/0[1]", "1/0[2]", "2/0")


def test_signals_of_a_net_are_the_same_with_and_without_the_tracer():
    traced, own = grads.signals(nets.forward, NET, X, Y), grads.signals(NET, X, Y)
    for name in ("error_norms", "weight_norms", "bias_norms", "hidden_norms", "ratio", "losses"):
        np.testing.assert_allclose(getattr(traced, name), getattr(own, name), rtol=1e-12)
    assert traced.names == ("layers/0/w", "layers/1/w", "readout/w")


def test_signals_go_through_jit_and_in_float64():
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), PARAMS)
    compiled = jax.jit(lambda params, x, y: grads.signals(mlp, params, x, y))(narrow, X, Y)
    own, wide = (grads.signals(mlp, narrow, X.astype(jnp.float32), Y, dtype=dtype)
                 for dtype in (None, "float64"))  # fmt: skip
    assert own.weight_gradients[0].dtype == jnp.float32
    assert wide.weight_gradients[0].dtype == wide.error_signals[0].dtype == jnp.float64
    for signals in (compiled, own):
        np.testing.assert_allclose(signals.error_norms, wide.error_norms, rtol=1e-5)


def test_a_loss_of_the_batch_and_a_loss_of_one_example():
    def mean(outputs, labels):  # of no use for one example, whose label has no length
        return -jnp.mean(jax.nn.log_softmax(outputs)[jnp.arange(len(labels)), labels])

    signals = grads.signals(mlp, PARAMS, X, Y, loss=mean)
    np.testing.assert_allclose(signals.error_norms, grads.signals(mlp, PARAMS, X, Y).error_norms)
    assert signals.losses.shape == (BATCH,)


def test_what_a_layer_does_not_have_is_missing():
    def model(params, x):
        return jnp.tanh(tap(x * params["scale"], "scaled")) @ params["w"]

    params = {"scale": jnp.full((1, 3), 0.5), "w": jnp.ones((3, 2))}
    signals = grads.signals(model, params, X, Y)
    assert signals.names == ("scaled", "w")
    assert np.isnan(signals.bias_norms).all()
    assert np.isnan(signals.weight_norms).tolist() == [True, False]


# Libraries


def test_equinox():
    module = equinox.nn.MLP(3, 2, 5, 2, jnp.tanh, key=KEY)
    params = [(layer.weight.T, layer.bias) for layer in module.layers]
    signals = grads.signals(module, None, X, Y)
    hs, deltas = by_hand(params, X, Y)
    for layer, (h, delta) in enumerate(zip(hs, deltas, strict=True)):
        np.testing.assert_allclose(signals.error_signals[layer], delta, rtol=1e-9, atol=1e-14)
        expected = delta.T @ h / BATCH
        np.testing.assert_allclose(signals.weight_gradients[layer], expected, rtol=1e-9)
    assert signals.names == tuple(f"layers/{layer}/weight" for layer in range(3))
    by_hand_mapped = (lambda module, x: jax.vmap(module)(x), module)
    for given in (by_hand_mapped, (jax.vmap(module), None), (module, module)):
        mapped = grads.signals(*given, X, Y)
        np.testing.assert_allclose(mapped.bias_norms, signals.bias_norms, rtol=1e-12)


def test_flax():
    class Linen(flax.linen.Module):
        @flax.linen.compact
        def __call__(self, x):
            return flax.linen.Dense(2)(jnp.tanh(flax.linen.Dense(5, name="hidden")(x)))

    class Nnx(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(1, 4, (2,), rngs=rngs)
            self.norm = nnx.BatchNorm(4, rngs=rngs)
            self.output = nnx.Linear(12, 2, rngs=rngs)

        def __call__(self, x):
            h = nnx.relu(self.norm(self.conv(x[..., None])))
            return self.output(h.reshape(len(h), -1))

    linen, module, x = Linen(), Nnx(nnx.Rngs(0)), X.astype(jnp.float32)
    variables = linen.init(KEY, x)
    expected = ["params/hidden/kernel", "params/Dense_0/kernel"]
    with pytest.raises(ValueError, match="params must be the variables"):
        trace.read(linen, variables["params"], x)
    assert names(linen, variables, x) == names(linen.apply, variables, x) == expected
    assert names(module, None, x) == ["conv/kernel", "output/kernel"]
    layers = trace.read(module, None, x).layers
    assert [(layer.depth, layer.units) for layer in layers] == [(1, 4), (2, 2)]


def test_haiku():
    hk = pytest.importorskip("haiku")
    net = hk.transform(lambda x: hk.Linear(2)(jnp.tanh(hk.Linear(5)(x))))
    params, x = net.init(KEY, X.astype(jnp.float32)), X.astype(jnp.float32)
    for model in (net, hk.without_apply_rng(net), net.apply):
        assert names(model, params, x) == ["linear_1/w", "linear/w"]  # as they are made and run


def test_batch_normalisation_and_dropout():
    """The functions that the page on `diagnose` shows for them."""
    page = (ROOT / "chapters/detection/diagnose.md").read_text()
    lines = re.findall(r"^model = (lambda (?:.|\n)*?\)(?:\[0\])?)$", page, re.M)
    x, key = X.astype(jnp.float32), jax.random.key(1)

    class Linen(flax.linen.Module):
        norm: bool

        @flax.linen.compact
        def __call__(self, x):
            x = flax.linen.Dense(5)(x)
            norm = flax.linen.BatchNorm(use_running_average=False)
            x = norm(x) if self.norm else flax.linen.Dropout(0.5, deterministic=False)(x)
            return flax.linen.Dense(2)(x)

    def given(number, net, variables, params):
        scope = {"jax": jax, "net": net, "variables": variables, "state": variables, "key": key}
        return names(eval(lines[number], scope), params, x)

    for number, norm in enumerate((True, False)):
        net = Linen(norm)
        variables = net.init({"params": key, "dropout": key}, x)
        params = variables["params"] if norm else variables
        found = given(number, net, variables, params)
        assert [name.removeprefix("params/") for name in found] == [
            "Dense_0/kernel", "Dense_1/kernel"
        ]  # fmt: skip
        with pytest.raises(ValueError, match="called so it raised"):
            names(net, variables, x)

    def make(key):
        norm = equinox.nn.BatchNorm(5, "batch", mode="batch")
        ends = (equinox.nn.Linear(*sizes, key=key) for sizes in ((3, 5), (5, 2)))
        return equinox.nn.Sequential([next(ends), norm, next(ends)])

    net, state = equinox.nn.make_with_state(make)(key)
    assert given(2, None, state, net) == ["layers/0/weight", "layers/2/weight"]
    net = equinox.nn.Sequential([net.layers[0], equinox.nn.Dropout(0.5), net.layers[2]])
    assert given(3, None, None, net) == ["layers/0/weight", "layers/2/weight"]

    hk = pytest.importorskip("haiku")

    def haiku(x):
        h = hk.BatchNorm(True, True, 0.9)(hk.Linear(5)(x), is_training=True)
        return hk.Linear(2)(hk.dropout(hk.next_rng_key(), 0.5, h))

    net = hk.transform_with_state(haiku)
    params, state = net.init(key, x)
    assert given(4, net, state, params) == ["linear/w", "linear_1/w"]


def test_pairs_of_functions():
    class Transformed(NamedTuple):
        init: object
        apply: object

    def with_rng(params, rng, x):
        assert rng is None
        return mlp(params, x)

    for apply in (with_rng, mlp):
        pair = Transformed(None, apply)
        assert names(pair, PARAMS) == names(apply, PARAMS) == ["0/0", "1/0", "2/0"]
    with pytest.raises(ValueError, match="params must be the variables of the model"):
        trace.read(Transformed(None, mlp), None, X)


# Layers


def test_repeated_and_tapped_and_hidden_layers():
    w = jnp.eye(3)
    assert names(lambda w, x: jnp.tanh(x @ w) @ w, w) == ["", ", use 2"]
    assert names(lambda w, x: tap(x @ w, "z"), w) == ["z"]
    np.testing.assert_array_equal(tap(X, "x"), X)

    def branch(w, x):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ w, lambda: x) @ w

    assert "Not traced, though layers are inside: cond" in str(trace.read(branch, w, X))


def test_layers_around_and_inside_scans():
    def recurrent(params, x):
        z = x @ params["in"] + params["b"]  # the inputs' products, taken before the scan

        def step(h, z):
            h = jnp.tanh(z + h @ params["w"])
            return h, h @ params["out"]

        _, out = jax.lax.scan(step, jnp.zeros((len(x), 4)), jnp.swapaxes(z, 0, 1), reverse=True)
        return out[0]

    params = {"in": jnp.ones((3, 4)), "b": jnp.ones(4), "w": jnp.eye(4), "out": jnp.ones((4, 2))}
    x = jnp.ones((BATCH, 3, 3))
    found = [(layer.name, layer.depth) for layer in trace.read(recurrent, params, x).layers]
    # The last of the rows is read first.
    assert [each for each in found if "w" in each[0]] == [("w[2]", 1), ("w[1]", 2), ("w[0]", 3)]
    assert np.isfinite(grads.signals(recurrent, params, x, Y).error_norms).all()


def test_a_scan_that_reads_no_data():
    def model(w, x):
        _, steps = jax.lax.scan(lambda state, _: (state + 1, state), 0.0, length=3)
        return jnp.tanh(x + steps) @ w

    assert names(model, jnp.eye(3)) == [""]


def test_a_derivative_in_the_model():
    """Only the forward net has layers; their error signals are those of the whole."""
    w, v, u = (layer[0] for layer in PARAMS)

    def energy(params, x, probe=0.0):
        w, v, u = params
        z = jnp.tanh(x @ w) @ v + probe
        return jnp.sum(jnp.tanh(z) @ u)

    def score(params, x, probe=0.0):
        return jax.grad(energy, 1)(params, x, probe)[:, :2]

    traced = trace.read(score, (w, v, u), X)
    assert [(layer.name, layer.depth) for layer in traced.layers] == [("0", 1), ("1", 2)]
    assert "a derivative in the model" in str(traced)
    loss = lambda probe: jnp.sum(jax.vmap(grads.cross_entropy)(score((w, v, u), X, probe), Y))  # noqa: E731
    expected = jax.grad(loss)(jnp.zeros((BATCH, 5)))
    signals = grads.signals(score, (w, v, u), X, Y)
    np.testing.assert_allclose(signals.error_signals[1], expected, rtol=1e-9, atol=1e-14)


def strict(params, x):
    """A model that takes part in nothing but its own number format."""
    z = x @ params[0]
    assert z.dtype == jnp.float32
    return jnp.tanh(z) @ params[1]


@jax.custom_vjp
def clipped(z):
    return jnp.clip(z, -1, 1)


clipped.defvjp(lambda z: (clipped(z), None), lambda _, g: (3 * g,))  # not its derivative


def test_the_ways_to_run_a_model(monkeypatch):
    params, x = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32), ([PARAMS[0][0], PARAMS[2][0]], X)
    )
    loss = lambda params: jnp.mean(jax.vmap(grads.cross_entropy)(strict(params, x), Y))  # noqa: E731
    expected = [np.sqrt(np.mean(np.square(g))) for g in jax.grad(loss)(params)]
    widened, own, whole = trace.read(strict, params, x).ways()
    assert (widened.wide, own.wide, whole.program) == (True, False, None)
    report = vgkit.diagnose(strict, params, x, Y)
    found = [layer.weight_gradient for layer in report.layers]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    monkeypatch.setattr("vgkit.trace.jaxpr.bind", lambda *_, **__: 1 / 0)
    report = vgkit.diagnose(strict, params, x, Y)
    assert not report.layers and any("the whole model" in note for note in report.notes)
    np.testing.assert_allclose(report.loss, loss(params), rtol=1e-6)
    monkeypatch.setattr("vgkit.trace.jaxpr.flatten", lambda *_: 1 / 0)
    assert trace.read(strict, params, x).program is None


def test_a_rule_for_the_derivative_is_kept_in_float64():
    def model(params, x):  # rounded on the way, so that the rule stands for a narrower format
        return clipped((x @ params[0]).astype(jnp.float32)) @ params[1]

    params = [PARAMS[0][0], PARAMS[2][0]]
    signals = grads.signals(model, params, X, Y, dtype="float64")
    ends = np.clip(X @ params[0], -1, 1) @ params[1]
    delta = jax.nn.softmax(ends) - np.eye(2)[Y]
    np.testing.assert_allclose(signals.error_signals[0], 3 * delta @ params[1].T, rtol=1e-5)


def test_where_not_everything_passes_through_one_array():
    w, last = jnp.eye(3), jnp.ones((3, 2))

    def around(params, x):  # what goes past the scan
        z = x @ params[0]
        h, _ = jax.lax.scan(lambda h, _: (jnp.tanh(h @ params[0]), None), z, length=3)
        return (h + z) @ params[1]

    def pair(params, x):  # two states
        def step(state, _):
            h, c = state
            return (jnp.tanh(h @ params[0]) + c, c + h), None

        (h, _), _ = jax.lax.scan(step, (x @ params[0], x), length=3)
        return h @ params[1]

    for model in (around, pair):
        signals = grads.signals(model, (w, last), X, Y)
        assert signals.hidden_gradients is None and len(signals.error_signals) == 5


def test_activations():
    def kinds(function):
        graph = trace.read(function, (jnp.eye(3), jnp.ones((3, 3))), X).graph
        return [activation.kind for activation in graph.activations]

    gated = kinds(lambda p, x: jnp.tanh(x @ p[0]) * jax.nn.sigmoid(x @ p[1]))
    assert gated == []  # each opens and closes the other
    silu, relu = kinds(lambda p, x: jax.nn.relu(jax.nn.silu(x @ p[0]) @ p[1]))
    assert "logistic" in silu and "max" in relu
    assert kinds(lambda p, x: 2 * (x @ p[0]) / 3 - 1) == []  # linear
    steep, flat = kinds(lambda p, x: jnp.tanh(jnp.tanh(2 * (x @ p[0])) @ p[1] * 0.5))
    assert steep != flat  # the same operations, other numbers
    ones, masks = np.ones((BATCH, 3)), np.eye(BATCH, 3)
    one, other = kinds(lambda p, x: jnp.tanh(masks * (jnp.tanh(ones * (x @ p[0])) @ p[1])))
    assert one == other  # arrays are parameters

    across = trace.read(lambda w, x: jax.nn.relu((x @ w).T).T, jnp.eye(3), X).graph.activations
    assert [activation.units for activation in across] == [(0,)]

    def after_scan(w, x):
        _, z = jax.lax.scan(lambda state, row: (state, row @ w), 0.0, x[None])
        return jax.nn.relu(z)[0]

    (relu,) = trace.read(after_scan, jnp.eye(3), X).graph.activations
    assert relu.units == (2,)  # of iterations, examples and units


def test_weights_that_are_rearranged_on_the_way_have_no_rows_of_their_own():
    def model(arrange):
        body = lambda h, w: (jnp.tanh(h @ w), None)  # noqa: E731
        return lambda params, x: jax.lax.scan(body, x, arrange(params))[0]

    stacked = grads.signals(model(jnp.stack), [jnp.eye(3)] * 3, X, Y)
    assert [gradient.shape for gradient in stacked.weight_gradients] == [(3, 3)] * 3
    moved = grads.signals(model(lambda w: jnp.moveaxis(w, 1, 0)), jnp.ones((3, 5, 3)), X, Y)
    assert [gradient.shape for gradient in moved.weight_gradients] == [(3, 5, 3)] * 5


def test_a_narrow_model_in_float64(unchecked):
    last = np.array([[1.0, -1.0]] * 3)

    def model(w, x):  # insists on a format of its own
        return jax.nn.relu(x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16)) @ jnp.asarray(last)

    x = X.at[0].set(0.0)  # at 0 the slope of relu is 0 by its rule
    signals = grads.signals(model, jnp.eye(3) / 3, x, Y, dtype="float64")
    exp = np.exp(np.maximum(np.asarray(x) / 3, 0) @ last)
    share = exp / exp.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(signals.losses, -np.log(share[range(BATCH), Y]), rtol=1e-12)
    delta = (share - np.eye(2)[Y]) @ last.T * (np.asarray(x) > 0)
    np.testing.assert_allclose(signals.error_signals[0], delta, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"params": None}, "batch must be params, x and y for a model; got 2"),
     ({"params": [jnp.arange(3)]}, "params must hold a floating-point array; it holds"),
     ({"model": 3}, "model must be a function .*got 3"),
     ({"x": X[:, :2]}, "model must be a function .* called so it raised"),
     ({"x": X[:0]}, "x must hold at least one example"),
     ({"x": X.at[0, 0].set(jnp.inf)}, "x must be finite"),
     ({"y": Y[:5]}, "x and y must have one row for each example"),
     ({"y": Y + 2}, "labels from 0 to 1"),
     ({"y": Y * 1.0}, "whole-number labels"),
     ({"y": X, "loss": "mean_squared_error"}, "y must have the shape of the outputs"),
     ({"loss": lambda output, label: output}, "loss must be a function"),
     ({"loss": "cross entropy"}, "loss must be one of mean_squared_error"),
     ({"dtype": "float16"}, "dtype must be None or 'float64'"),
     ({"model": lambda params, x: x + params[0][1][:3]}, "a product of data and params")],
)  # fmt: skip
def test_bad_input(change, message):
    given = {"model": mlp, "params": PARAMS, "x": X, "y": Y} | change
    batch = [given.pop(name) for name in ("params", "x", "y")]
    with pytest.raises(ValueError, match=message):
        grads.signals(given.pop("model"), *(b for b in batch if b is not None), **given)
