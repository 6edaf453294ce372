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
from vgkit import data, grads, monitor, theory, trace
from vgkit.diagnosis import evidence, facts
from vgkit.diagnosis import verdicts as verdict_rules

SPECS = {spec.name: spec for spec in zoo.drawn(diagnosis.SEED)}
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


@pytest.mark.parametrize("block", ["plain", "skip", "batch", "layer"])
def test_signals_are_those_of_backpropagation_by_hand(block):
    spec = zoo.Spec(block, "tanh", depth=3, width=16, block=block, scale=0.5)
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
        shift = jnp.where(jnp.arange(16) < 15, highest + above, 0.0)[None]
        report = vgkit.diagnose(model, (w, shift, last), x, y)
        assert report.layers[0].dead == 15 / 16 and ("dead units" in report.verdicts) == dead


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


QUICK = [f"{recipe}-03" for recipe in zoo.RECIPES if recipe != "collapsed"]  # which is 35 deep


@pytest.mark.parametrize("name", QUICK)
def test_stored_verdicts_are_those_of_now(name):
    assert {*diagnosis.verdicts(zoo.make(SPECS[name])[0])} == {*RECORDS[name]["verdicts"]}


def test_zeros_that_give_way_are_no_fault():
    *hidden, last = weights(2)
    report = vgkit.diagnose(mlp(), [*hidden, 0 * last], X, Y)
    assert report.healthy and report.layers[0].error_signal == 0 and np.isnan(report.ratio)
    assert "a few steps open the way" in report.notes[0]


def test_two_hidden_layers_have_a_ratio():
    report = vgkit.diagnose(mlp(jax.nn.sigmoid), weights(2, 0.01), X, Y)
    assert "vanishing" in report.verdicts and 0 < report.ratio < 1e-2
    assert vgkit.diagnose(mlp(jax.nn.sigmoid), weights(1, 0.01), X, Y).ratio == 1


def test_the_most_saturated_layer_is_named():
    first, second, last = weights(2)
    report = vgkit.diagnose(mlp(jnp.tanh), [30 * first, 4 * second, last], X, Y)
    assert report.layers[0].saturated > report.layers[1].saturated > 0.5
    assert "of the slopes of layer 1 (0) are" in report.summary


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
    brain = [w.astype(jnp.bfloat16) for w in weights()]
    assert verdicts(mlp(), brain, X.astype(jnp.bfloat16), Y) == ("healthy",)

    def tiny(output, label):
        return 1e-6 * optax.softmax_cross_entropy_with_integer_labels(output, label)

    assert verdicts(mlp(), half, x, Y, tiny) == ("underflow",)
    assert verdicts(mlp(), [12 * w for w in half], x, Y) == ("non-finite", "exploding")


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


# Whole kinds of fault


def residual(params, x):
    first, *middle, last = params
    h = x @ first
    for w in middle:
        h = h + jax.nn.relu(h @ w)
    return h @ last


@pytest.mark.parametrize(("model", "x", "hidden"), [(residual, X, 10), (mlp(), X, 1),
                                                    (mlp(jax.nn.sigmoid), 100 * X, 2)])  # fmt: skip
def test_there_is_one_g(model, x, hidden):
    report = vgkit.diagnose(model, weights(hidden), x, Y)
    expected = grads.signals(model, weights(hidden), x, Y, dtype="float64").ratio
    assert report.ratio == pytest.approx(float(expected), rel=1e-6)


def test_the_first_operation_that_is_not_finite_is_named():
    def said(loss):
        w = weights(1)[0][:, :1]
        report = vgkit.diagnose(lambda w, x: x @ w, w, X, X[:, :1], loss)
        assert report.verdicts == ("non-finite",) and report.layers
        return report.summary

    def masked(out, y):  # minus infinity by design, and a logarithm of 0 that is not
        return jnp.max(jnp.where(y > 9, out, -jnp.inf)) * 0.0 + jnp.sum(jnp.log(0.0 * out))

    assert "the gradient; the first operation that makes one is sqrt" in said(
        lambda out, y: jnp.sum(jnp.sqrt((out - jax.lax.stop_gradient(out)) ** 2)))  # fmt: skip
    assert "is log, after layer 1" in said(masked)
    step = lambda h, _: (jnp.where(h > 9, jnp.arccos(h), 0.5 * h), None)  # noqa: E731
    assert "is acos" in said(lambda out, y: jnp.sum(jax.lax.scan(step, 8 * out, None, 3)[0]))


def test_where_the_gradient_ends():
    def through(function):
        return lambda params, x: function(x @ params[0]) @ params[1]

    params = weights(1)
    for function, verdict, operation in [
        (jnp.round, "no path", "round, after layer 1 (0)"),
        (lambda z: z * (jnp.argmax(z) < 0), "no path", "argmax, after layer 1 (0)"),
        (lambda z: jax.nn.relu(z - 1e3), "dead units", "100\N{NARROW NO-BREAK SPACE}% of"),
        (jax.lax.stop_gradient, "frozen layer", "stop_gradient, after layer 1 (0)"),
    ]:
        report = vgkit.diagnose(through(lambda z, f=function: f(z) + 0.1), params, X, Y)
        assert report.verdicts[0] == verdict and operation in report.summary, function
    report = vgkit.diagnose(lambda w, x: jnp.argmax(x @ w, axis=1), params[0], X, 0.1 + X[:, 0],
                            lambda out, y: (out - y) ** 2)  # fmt: skip
    assert report.verdicts == ("no path",) and "argmax, after layer 1" in report.summary


def test_the_forms_of_activations():
    def form(function):
        return evidence.shape(np.abs(jax.vmap(jax.grad(function))(jnp.array(evidence.GRID))))

    cube = lambda z: jax.nn.relu(z) ** 3  # noqa: E731
    for function, dies, flat in [(jax.nn.relu, 1, 0), (jax.nn.gelu, 1, 0), (jax.nn.relu6, 1, 0),
                                 (cube, 1, 0), (jnp.exp, 0, 0), (jnp.square, 0, 0), (jnp.sin, 0, 0),
                                 (jnp.tanh, 0, 1), (jax.nn.sigmoid, 0, 1)]:  # fmt: skip
        assert form(function)[2:] == (dies, flat), function


def test_other_inputs_stay_in_the_range_of_the_data():
    random = np.random.default_rng(0)
    data = random.integers(0, 256, (20, 7)).astype(float)
    for corners in (False, True):
        other = evidence.other_inputs(random, data, corners)
        assert (other >= data.min(0)).all() and (other <= data.max(0)).all()
        assert all(np.isin(other[:, k], data[:, k]).all() for k in range(7))


def test_rates_against_the_curvature_of_a_quadratic():
    # Gradient descent on a quadratic converges for rates below 2 / its largest curvature.
    x = np.random.default_rng(0).standard_normal((64, 5))
    y = jnp.asarray(x @ [[1.0], [2.0], [-1.0], [0.5], [1.0]] + 0.1)
    curvature = np.linalg.eigvalsh(2 * x.T @ x / len(x))[-1]
    for times, verdict in [(2.2, "learning rate too high"), (1, "healthy"),
                           (1e-6, "learning rate too low")]:  # fmt: skip
        said = verdicts(lambda w, x: x @ w, jnp.zeros((5, 1)), jnp.asarray(x), y,
                        "mean_squared_error", optimiser=optax.sgd(times / curvature))  # fmt: skip
        assert said == (verdict,), times


def test_inputs_and_targets_that_are_not_scaled():
    params, far = weights(2), "inputs or targets unscaled"
    assert far in verdicts(mlp(), params, 255 * jnp.abs(X), Y)
    assert far not in verdicts(lambda p, x: mlp()(p, x / 255), params, 255 * jnp.abs(X), Y)
    squares = "mean_squared_error"
    report = vgkit.diagnose(
        mlp(), params, X, 2e5 + 5e4 * X[:, :10], squares, optimiser=optax.adam(1e-3)
    )
    assert report.verdicts == (far,) and "batch-normalisation" in report.findings[0].remedies


def test_weights_that_every_step_shares_add_their_chance_once():
    def rolled(w, x):
        return jax.lax.scan(lambda h, _: (jnp.tanh(h @ w["u"]), None), x, length=400)[0] @ w["v"]

    w = {"u": jnp.eye(64, dtype=X.dtype), "v": weights(0)[0]}
    assert facts._widths(trace.read(rolled, w, X)) == [64]
    assert len(facts._widths(trace.read(mlp(), weights(9), X))) == 9


def test_inputs_that_are_alike_are_no_collapse():
    x = jnp.linspace(1.4, 1.9, 32)[:, None]
    w = [weights(2)[0][:1] * 8, *weights(2)[1:]]
    assert "collapsed geometry" not in verdicts(mlp(), w, x, Y)
    assert "collapsed geometry" not in verdicts(mlp(), weights(), X * 0.01 + 100, Y)


def test_what_monitors_tell():
    def record(rms, weights, names=("0", "1", "2"), **more):
        rms, weights = (np.array(rows, float) for rows in (rms, weights))
        fields = {"names": names, "rms": rms, "weights": weights, "ratio": rms / weights}
        return SimpleNamespace(**fields | more)

    net = weights(2)
    sizes = [float(jnp.sqrt(jnp.mean(w**2))) for w in net]
    still, moving = [sizes] * 3, [[size * (1 + 0.01 * k) for size in sizes] for k in range(3)]
    report = vgkit.diagnose(mlp(), net, X, Y, history=record([[0.01] * 3] * 3, still))
    assert report.verdicts == ("frozen layer",) and "does not apply" in report.summary
    assert verdicts(mlp(), net, X, Y, history=record([[0.01] * 3] * 3, moving)) == ("healthy",)
    bad = record([[0.01] * 3, [0.01, np.nan, 0.01]], moving[:2])
    assert "the history's row 2" in vgkit.diagnose(mlp(), net, X, Y, history=bad).summary
    own = [layer.weight_gradient for layer in vgkit.diagnose(mlp(), net, X, Y).layers]
    seen = record([[1e-9, *own[1:]]] * 3, moving)  # of gradients, one of them small
    assert verdicts(mlp(), net, X, Y, history=seen) == ("healthy",)
    others = record([[0.01] * 4] * 3, [[*row, 1.0] for row in moving], ("mean", "0", "1", "2"))
    assert verdicts(mlp(), net, X, Y, history=others) == ("healthy",)  # running statistics too


def test_a_hinge_that_is_met_is_converged():
    met = lambda out, y: jax.nn.relu(-10 - out[0])  # noqa: E731
    assert verdicts(mlp(), weights(), X, Y, met) == ("converged",)


# Bad input, and little of it


def test_one_example():
    assert verdicts(mlp(), weights(), X[:1], Y[:1]) == ("healthy",)
    assert "vanishing" in verdicts(mlp(jax.nn.sigmoid), weights(6, 1.0), X[:1], Y[:1])


def test_no_gradient_at_all():
    report = vgkit.diagnose(lambda p, x: jax.lax.stop_gradient(mlp()(p, x)), weights(), X, Y)
    assert report.verdicts == ("no path",) and "stop_gradient, after layer 5 (4)" in report.summary
    report = vgkit.diagnose(mlp(), weights(), X, Y, lambda output, label: 0.0 * output[0])
    assert report.loss == report.best_gain == 0
    assert "vanishing" not in report.verdicts and not any(v != v for v in report.verdicts)


def test_numbers_that_are_none():
    report = vgkit.diagnose(lambda p, x: jnp.log(-jnp.abs(mlp()(p, x))), weights(), X, Y)
    assert report.verdicts == ("non-finite",)
    assert "in the loss; the first operation that makes one is log, after layer" in report.summary
    params = weights()
    params[1] = params[1].at[0, 0].set(jnp.nan)
    report = vgkit.diagnose(mlp(), params, X, Y)
    assert report.verdicts == ("non-finite",) and "parameters of layer 2 (1)." in report.summary


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
    assert report.verdicts[0] == "non-finite" and "the history's loss 2." in report.summary


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
    errors = [layer.error_signal for layer in report.layers[:-1]]
    assert report.ratio == errors[0] / errors[-1] < 1e-2
    assert report.loss == pytest.approx(2.4, rel=0.3) and 0 < report.best_gain < 1
    share = np.bincount(np.asarray(Y)) / len(Y)
    assert report.reference_loss == pytest.approx(-np.sum(share * np.log(share)))
    page = report_view.show(report).data
    assert "<script" not in page and page.count("<tr>") == 8 and "&lt;" not in report.summary
    many = dataclasses.replace(report, layers=report.layers * 20, findings=())
    assert str(many).count("\n") < 50 and many.verdicts == ("healthy",)
