"""The diagnosis: its numbers against backpropagation by hand, its verdicts against the zoo."""

import dataclasses
import itertools
import re
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vgkit
from vgcourse import report_view
from vgcourse.experiments import diagnosis, zoo
from vgkit import data, monitor, theory
from vgkit.diagnosis import verdicts as verdict_rules

SPECS = {spec.name: spec for spec in zoo.specs()}
RECORDS = diagnosis.load()
KEY = jax.random.key(0)
DIGITS = data.digits()
X, Y = jnp.asarray(DIGITS.x_train[:32], jnp.float32), jnp.asarray(DIGITS.y_train[:32])


def mlp(phi=jax.nn.relu):
    def model(params, x):
        *hidden, last = params
        for w in hidden:
            x = phi(x @ w)
        return x @ last

    return model


def weights(hidden=4, gain=2**0.5, width=32, dtype=jnp.float32, seed=0):
    widths = [64, *[width] * hidden, 10]
    random = np.random.default_rng(seed)
    shapes = itertools.pairwise(widths)
    return [jnp.asarray(random.standard_normal((a, b)) * gain * a**-0.5, dtype) for a, b in shapes]


def verdicts(*args, **kwargs):
    return vgkit.diagnose(*args, **kwargs).verdicts


# Numbers


@pytest.mark.parametrize("name", ["tanh-glorot-5", "skip-scaled-30", "batch-norm-relu-6",
                                  "layer-norm-tanh-12"])  # fmt: skip
def test_signals_are_those_of_backpropagation_by_hand(name):
    spec = SPECS[name]._replace(depth=3, width=16)
    animal, net = zoo.make(spec)
    layers = vgkit.diagnose(animal.model, animal.params, animal.x, animal.y, spec.loss).layers
    now = zoo.passes(spec, net, *zoo.batch(spec))
    gradients = [now.gradient["w0"], *np.moveaxis(now.gradient["w"], 1, 0), now.gradient["v"]]
    found = [layer.weight_gradient for layer in layers]
    expected = [np.sqrt(np.mean(g**2)) for g in gradients]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    if spec.block == "plain":  # what reaches a layer is dL/dh, up to its own slopes
        errors = [d * zoo.phi(spec.phi, z)[1] for d, z in zip(now.by_h, now.z, strict=True)]
        for name, signals, size in [
            ("upstream_gradient", now.by_h, lambda d: np.sum(d**2, axis=-1)),
            ("error_norm", errors, lambda d: np.sum(d**2, axis=-1)),
            ("error_signal", errors, np.square),
        ]:
            found = [getattr(layer, name) for layer in layers[:-1]]
            expected = [np.sqrt(np.mean(size(d))) for d in signals]
            np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_unit_with_a_small_slope_is_not_dead():
    # Softplus is flat to its left only. Around z = -2 its slope is 0.12 of the largest.
    net = [0.1 * w for w in weights()]
    few = vgkit.diagnose(mlp(lambda z: jax.nn.softplus(z - 2)), net, X, Y).layers[:-1]
    none = vgkit.diagnose(mlp(lambda z: jax.nn.softplus(z - 20)), net, X, Y).layers[:-1]
    assert [layer.dead for layer in few] == [0.0] * 4
    assert [layer.dead for layer in none] == [1.0] * 4


def test_units_are_dead_that_wider_inputs_do_not_reach():
    def model(params, x):
        return jax.nn.relu(x @ params[0] - params[1]) @ params[2]

    random = np.random.default_rng(0)
    x, y = jnp.asarray(random.standard_normal((32, 16)), jnp.float32), Y % 4
    w, last = (jnp.asarray(random.standard_normal(shape) / 4, jnp.float32)
               for shape in ((16, 16), (16, 4)))  # fmt: skip
    highest = jnp.max(x @ w, axis=0)
    for above, dead in ((0.1, False), (100.0, True)):
        shift = jnp.where(jnp.arange(16) < 12, highest + above, 0.0)[None]
        report = vgkit.diagnose(model, (w, shift, last), x, y)
        assert report.layers[0].dead == 0.75 and ("dead units" in report.verdicts) == dead


def test_the_allowance_for_finite_width():
    # Hanin 2018: 5/n for the variance of ln of the squared norm; half its root for the norm.
    assert verdict_rules.spread([100] * 20) == pytest.approx(0.5)
    log_variance = theory.predict("relu", jnp.full(21, 2.0), jnp.full(21, 2.0), 64).log_variance
    assert verdict_rules.spread([64] * 20) == pytest.approx(float(log_variance[0]) ** 0.5 / 2)


def test_a_scan_is_measured_like_the_same_layers_written_out():
    first, *middle, last = weights(3)

    def scanned(params, x):
        h = jax.nn.relu(x @ params["first"])
        h, _ = jax.lax.scan(lambda h, w: (jax.nn.relu(h @ w), None), h, params["middle"])
        return h @ params["last"]

    params = {"first": first, "middle": jnp.stack(middle), "last": last}
    rolled = vgkit.diagnose(jax.jit(scanned), params, X, Y)
    flat = vgkit.diagnose(mlp(), [first, *middle, last], X, Y)
    assert rolled.verdicts == flat.verdicts == ("healthy",)
    for name in ("error_signal", "weight_gradient", "weights", "cosine"):
        pairs = [[getattr(layer, name) for layer in r.layers] for r in (rolled, flat)]
        np.testing.assert_allclose(*pairs, rtol=1e-6)


def test_a_recurrent_net_whose_gradient_vanishes():
    random = np.random.default_rng(0)
    w = jnp.asarray(np.linalg.qr(random.standard_normal((16, 16)))[0] * 0.4, jnp.float32)
    params = {"w": w, "u": jnp.asarray(random.standard_normal((2, 16)), jnp.float32), "v": w[:, :1]}
    x = jnp.asarray(random.standard_normal((8, 8, 2)), jnp.float32)

    def rolled(params, x):
        def step(h, x):
            return jnp.tanh(x @ params["u"] + h @ params["w"]), None

        h, _ = jax.lax.scan(step, jnp.zeros((len(x), 16)), jnp.swapaxes(x, 0, 1))
        return h @ params["v"]

    assert verdicts(rolled, params, x, x[:, 0, :1], "mean_squared_error") == ("vanishing",)


# Verdicts


QUICK = [
    "relu-he-10", "small-loss-tanh-8", "batch-norm-relu-6", "t1-tanh-uniform-15",
    "sigmoid-glorot-6", "tanh-normal-8", "relu-3-12", "dead-relu-5", "saturated-tanh-3",
    "underflow-half-sigmoid-8", "no-path-tanh-zero-5", "fit-relu-4", "frozen-relu-5",
    "slow-tanh-6", "converged-relu-3",
]  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_stored_verdicts_are_those_of_now(name):
    assert diagnosis.verdicts(zoo.make(SPECS[name])[0]) == RECORDS[name]["verdicts"]


def test_zeros_that_give_way_are_no_fault():
    *hidden, last = weights(2)
    report = vgkit.diagnose(mlp(), [*hidden, 0 * last], X, Y)
    assert report.healthy and report.layers[0].error_signal == 0 < report.ratio
    assert "a few steps open the way" in report.notes[0]


def test_two_hidden_layers_have_a_ratio():
    report = vgkit.diagnose(mlp(jax.nn.sigmoid), weights(2, 0.01), X, Y)
    assert "vanishing" in report.verdicts and 0 < report.ratio < 1e-2
    assert np.isnan(vgkit.diagnose(mlp(jax.nn.sigmoid), weights(1, 0.01), X, Y).ratio)


def test_the_most_saturated_layer_is_named():
    first, second, last = weights(2)
    report = vgkit.diagnose(mlp(jnp.tanh), [30 * first, 4 * second, last], X, Y)
    assert report.layers[0].saturated > report.layers[1].saturated > 0.5
    assert "of the slopes of layer 1 are" in report.summary


@pytest.mark.parametrize("scale", [1e-12, 1e6])
def test_the_scale_of_the_loss_changes_nothing(scale):
    def loss(output, label):
        return scale * optax.softmax_cross_entropy_with_integer_labels(output, label)

    assert verdicts(mlp(), weights(), X, Y, loss) == ("healthy",)
    assert "vanishing" in verdicts(mlp(jax.nn.sigmoid), weights(6, 1.0), X, Y, loss)


def test_formats():
    half = [w.astype(jnp.float16) for w in weights()]
    x = X.astype(jnp.float16)
    assert verdicts(mlp(), half, x, Y) == ("healthy",)

    def mixed(params, x):
        low = [w.astype(jnp.bfloat16) for w in params]
        return mlp()(low, x.astype(jnp.bfloat16)).astype(jnp.float32)

    assert verdicts(mixed, weights(), X, Y) == ("healthy",)

    def tiny(output, label):
        return 1e-6 * optax.softmax_cross_entropy_with_integer_labels(output, label)

    assert verdicts(mlp(), half, x, Y, tiny) == ("underflow",)
    assert verdicts(mlp(), [12 * w for w in half], x, Y) == ("exploding",)


def test_frozen_layers():
    def behind(count, params, x):
        for w in params[:count]:
            x = jax.nn.relu(x @ w)
        return mlp()(params[count:], jax.lax.stop_gradient(x))

    def held(params, x):  # at a depth where 1 % of the weights change the loss by nothing
        return mlp(jax.nn.sigmoid)([jax.lax.stop_gradient(params[0]), *params[1:]], x)

    labels = ["held", *["free"] * 4]
    optimiser = optax.multi_transform({"held": optax.set_to_zero(), "free": optax.sgd(0.1)}, labels)
    for count in (1, 2):
        assert verdicts(partial(behind, count), weights(), X, Y) == ("frozen layer",)
    assert "frozen layer" in verdicts(held, weights(6, 0.01), X, Y)
    assert verdicts(mlp(), weights(), X, Y, optimiser=optimiser) == ("frozen layer",)
    assert verdicts(mlp(), weights(1), X, Y, optimiser=optax.sgd(0.0)) == ("healthy",)


# Bad input, and little of it


def test_one_example():
    assert verdicts(mlp(), weights(), X[:1], Y[:1]) == ("healthy",)
    assert "vanishing" in verdicts(mlp(jax.nn.sigmoid), weights(6, 1.0), X[:1], Y[:1])


def test_no_gradient_at_all():
    report = vgkit.diagnose(lambda p, x: jax.lax.stop_gradient(mlp()(p, x)), weights(), X, Y)
    assert report.verdicts == ("frozen layer",)
    report = vgkit.diagnose(mlp(), weights(), X, Y, lambda output, label: 0.0 * output[0])
    assert report.loss == report.best_gain == 0
    assert "vanishing" not in report.verdicts and not any(v != v for v in report.verdicts)


def test_numbers_that_are_none():
    report = vgkit.diagnose(lambda p, x: jnp.log(-jnp.abs(mlp()(p, x))), weights(), X, Y)
    assert report.verdicts == ("non-finite",)
    assert "values in float64, first in the output" in report.summary
    params = weights()
    params[1] = params[1].at[0, 0].set(jnp.nan)
    report = vgkit.diagnose(mlp(), params, X, Y)
    assert report.verdicts == ("non-finite",) and "parameters, first in 1." in report.summary


@pytest.mark.parametrize(
    ("change", "message"),
    [({"params": []}, "params must hold a floating-point array"),
     ({"loss": "cross entropy"}, "loss must be one of mean_squared_error"),
     ({"optimiser": 3}, "optimiser must be an optax"),
     ({"history": {"accuracy": [0.1]}}, "history must hold loss.*got accuracy"),
     ({"history": [[2.3, 2.2]]}, "one loss for each row; got shape"),
     ({"history": {"moved": np.ones(3)}}, r"moved must have shape \(rows, layers\)"),
     ({"history": {"moved": np.ones((3, 5))}}, "2 layers or 2 arrays of params; got 5")],
)  # fmt: skip
def test_bad_input(change, message):
    given = {"model": mlp(), "params": weights(1), "x": X, "y": Y} | change
    with pytest.raises(ValueError, match=message):
        vgkit.diagnose(**given)


# Histories


def histories():
    """The same slow run as told in four ways, and a run that left a layer behind."""
    net = weights(2)
    optimiser = optax.chain(optax.sgd(1e-6), monitor.record(every=1))
    state, now, losses = optimiser.init(net), net, []

    @jax.jit
    def step(now, state):
        def loss(net):
            outputs = mlp()(net, X)
            return optax.softmax_cross_entropy_with_integer_labels(outputs, Y).mean()

        value, gradient = jax.value_and_grad(loss)(now)
        updates, state = optimiser.update(gradient, state, now)
        return value, optax.apply_updates(now, updates), state

    for _ in range(6):
        loss, now, state = step(now, state)
        losses.append(float(loss))
    moved = np.array([[float(jnp.sqrt(jnp.mean((a - b) ** 2))) for a, b in zip(now, net)]])  # noqa: B905
    slow = "learning rate too low"
    yield losses, slow
    yield monitor.read(state), slow
    yield {"loss": losses, "moved": moved}, slow
    yield SimpleNamespace(train_loss=losses, moved=moved), slow
    yield {"moved": moved * [[1e4, 0.0, 1e4]]}, "frozen layer"
    yield {"moved": moved * 1e4}, "healthy"


def test_histories():
    for history, verdict in histories():
        assert verdicts(mlp(), weights(2), X, Y, history=history) == (verdict,)
    first, second, last = weights(2)
    dead = [first, -jnp.abs(second), last]  # without a gradient nothing can move
    earlier = {"moved": [[0.0, 0.0, 0.01]]}
    assert "frozen layer" not in verdicts(mlp(), dead, X, Y, history=earlier)
    report = vgkit.diagnose(mlp(), weights(1), X, Y, history=[2.3, np.nan])
    assert "not finite at the end" in report.notes[0]


# The report


def test_report():
    before = jax.config.jax_enable_x64
    report = vgkit.diagnose(mlp(jax.nn.sigmoid), weights(6, 1.0), X, Y)
    assert jax.config.jax_enable_x64 == before
    lines = str(report).splitlines()
    assert lines[0] == report.summary and lines[0].startswith("Vanishing")
    assert repr(report) == str(report) and not report.healthy
    assert not re.search(r"\de[+-]\d", str(report)) and "\xa0×\xa010⁻" in report.summary
    assert report.verdicts == tuple(finding.verdict for finding in report.findings)
    upstream = [layer.upstream_gradient for layer in report.layers[:-1]]
    assert report.ratio == upstream[0] / upstream[-1] < 1e-2
    assert report.loss == pytest.approx(2.4, rel=0.3) and 0 < report.best_gain < 1
    share = np.bincount(np.asarray(Y)) / len(Y)
    assert report.reference_loss == pytest.approx(-np.sum(share * np.log(share)))
    page = report_view.show(report).data
    assert "<script" not in page and page.count("<tr>") == 8 and "&lt;" not in report.summary
    many = dataclasses.replace(report, layers=report.layers * 20, findings=())
    assert str(many).count("\n") < 50 and many.verdicts == ("healthy",)
