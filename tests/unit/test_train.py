from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
from test_grads import of_examples, rms, slope
from test_remedies import by_hand

from vgcourse import tasks, training_viewer
from vgkit import grads, monitor, nets, recurrent, train
from vgkit.train import batches

KEY = jax.random.key(0)
WIDTHS = (6, 5, 5, 3)


def examples(loss="cross_entropy", train_size=21, test_size=8):
    """Training and test examples of three classes, or with three numbers as targets."""
    x = jax.random.normal(jax.random.key(1), (train_size + test_size, 6))
    if loss == "cross_entropy":
        y = jnp.argmax(x[:, :3] + 0.5 * x[:, 3:], axis=1)
    else:
        y = jnp.sin(x[:, :3])
    return x[:train_size], y[:train_size], x[train_size:], y[train_size:]


def network(key=KEY, activation="tanh", **form):
    """A net with biases that are not zero."""
    net = nets.mlp(key, WIDTHS, activation, init="he_normal", **form)
    return jax.tree.map(lambda leaf: leaf + 0.1 * (leaf.ndim == 1), net)


def layers(net):
    return [*nets.unstack(net).layers, net.readout]


# The oracle: training and its statistics in NumPy, with backpropagation written out.


def losses(outputs, y, loss):
    if loss == "mean_squared_error":
        return np.mean((outputs - y) ** 2, axis=1)
    return scipy.special.logsumexp(outputs, axis=1) - outputs[np.arange(len(y)), y]


def signals_by_hand(net, x, y, loss, name, skip):
    """Error signals of every example, and weight and bias gradients of the mean loss."""
    deltas, by_weight, _ = of_examples(net, x, y, loss, name, skip)
    means = ([array.mean(axis=0) for array in arrays] for arrays in (by_weight, deltas))
    return deltas, *means


def train_by_hand(net, data, batches, loss, name, skip, rate, momentum):
    """Gradient descent with momentum: the nets before every step and after the last, updates."""
    x, y = (np.asarray(array) for array in data[:2])
    net = jax.tree.map(np.asarray, nets.unstack(net))
    velocity = [[0.0, 0.0] for _ in layers(net)]
    path, ratios = [net], []
    for rows in batches:
        _, by_w, by_b = signals_by_hand(net, x[rows], y[rows], loss, name, skip)
        velocity = [
            [w + momentum * v[0], b + momentum * v[1]]
            for w, b, v in zip(by_w, by_b, velocity, strict=True)
        ]
        pairs = list(zip(layers(net), velocity, strict=True))
        ratios.append([rate * rms(v[0]) / rms(layer.w) for layer, v in pairs])
        *hidden, readout = [
            layer.replace(w=layer.w - rate * v[0], b=layer.b - rate * v[1]) for layer, v in pairs
        ]
        net = net.replace(layers=tuple(hidden), readout=readout)
        path.append(net)
    return path, ratios


def batches_by_hand(key, size, epochs, batch):
    if batch is None:
        return [np.arange(size)] * epochs
    found = []
    for one in jax.random.split(key, epochs):
        order = np.asarray(jax.random.permutation(one, size))
        found += [order[i * batch : (i + 1) * batch] for i in range(size // batch)]
    return found


CASES = {
    "tanh, batches": ("cross_entropy", "tanh", False, 8, 0.0, None),
    "relu with skips, momentum, every step": ("cross_entropy", "relu", True, 7, 0.9, 1),
    "sigmoid, all examples": ("mean_squared_error", "sigmoid", False, None, 0.9, None),
    "leaky relu, every third step": ("mean_squared_error", "leaky_relu", False, 10, 0.5, 3),
}


@pytest.mark.parametrize("case", CASES)
def test_training_agrees_with_numpy(case):
    loss, name, skip, batch, momentum, every = CASES[case]
    rate, epochs, probe = 0.2, 3, 11
    net, given = network(activation=name, skip=skip), examples(loss)
    optimiser = optax.chain(optax.sgd(rate, momentum), monitor.record(rows=99))
    run = train.fit(
        net, given, optimiser, key=KEY, epochs=epochs, batch=batch,
        loss=loss, every=every, probe=probe, extra=training_viewer.histograms,
    )  # fmt: skip
    batches = batches_by_hand(KEY, 21, epochs, batch)
    assert len(monitor.read(run.state).step) == -(-len(batches) // 10)
    path, ratios = train_by_hand(net, given, batches, loss, name, skip, rate, momentum)
    close = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10)
    jax.tree.map(close, run.net, path[-1])

    history, per_epoch = run.history, len(batches) // epochs
    every = every or per_epoch
    x, y, x_test, y_test = (np.asarray(array) for array in given)
    np.testing.assert_array_equal(history.step, range(0, len(batches) + 1, every))
    close(history.epoch, np.arange(0, len(batches) + 1, every) / per_epoch)
    for row, step in enumerate(history.step):
        at = path[int(step)]
        for part, xs, ys in (("train", x, y), ("test", x_test, y_test)):
            _, outputs = by_hand(at, xs)
            close(getattr(history, f"{part}_loss")[row], losses(outputs, ys, loss).mean())
            accuracy = getattr(history, f"{part}_accuracy")[row]
            if loss == "cross_entropy":
                close(accuracy, np.mean(outputs.argmax(axis=1) == ys))
            else:
                assert np.isnan(accuracy)
        deltas, by_weight, _ = signals_by_hand(at, x[:probe], y[:probe], loss, name, skip)
        hidden, outputs = by_hand(at, x[:probe])
        zs = [*(row[0] for row in hidden), outputs]
        close(history.error_signal[row], [rms(delta) for delta in deltas])
        close(history.weight_gradient[row], [rms(gradient) for gradient in by_weight])
        close(history.weights[row], [rms(layer.w) for layer in layers(at)])
        pairs = zip(layers(at), layers(path[0]), strict=True)
        close(history.moved[row], [rms(a.w - b.w) for a, b in pairs])
        if row:
            close(history.update_ratio[row], np.mean(ratios[int(step) - every : int(step)], axis=0))
        slopes = [np.abs(slope(name, z)) for z in zs[:-1]]
        close(history.dead[row], [np.mean((s == 0).all(axis=0)) for s in slopes])
        steepest = 0.25 if name == "sigmoid" else 1.0
        close(history.saturated[row], [np.mean(s <= 0.1 * steepest) for s in slopes])
        for counts, entries in [
            (history.extra.error_signal, map(decades_by_hand, deltas)),
            (history.extra.weight_gradient, map(decades_by_hand, by_weight)),
            (history.extra.pre_activation, [counts_by_hand(z, -10, 10) for z in zs]),
        ]:
            np.testing.assert_array_equal(counts[row], [*entries])
    assert np.isnan(history.update_ratio[0]).all()
    assert not history.moved[0].any() and np.asarray(history.moved[-1]).all()
    assert history.train_loss[-1] < history.train_loss[0]


def counts_by_hand(values, low, high):
    edges = np.concatenate([[-np.inf], np.arange(low, high + 0.1, 0.5), [np.inf]])
    return np.histogram(values, edges)[0]


def decades_by_hand(signal):
    entries = np.abs(np.ravel(signal))
    return [np.sum(entries == 0), *counts_by_hand(np.log10(entries[entries > 0]), -20, 4)]


def test_histograms_count_every_entry_once():
    layers = [
        jnp.array([[0.0, -0.0, 1e-30, 3e-20], [1e5, -jnp.inf, jnp.nan, 0.5]]),
        jnp.array([2.0, -0.03]),
    ]
    counts = np.asarray(training_viewer.signal_histogram(layers))
    assert counts.shape == (2, 51)
    np.testing.assert_array_equal(counts.sum(axis=1), [8, 2])
    # log10: -19.5229 is in the first bin, -0.30103 in that from -0.5, the 40th; 0.301 in the next
    # one, -1.5229 in that from -2, three before.
    expected = {(0, 0): 2, (0, 1): 1, (0, 2): 1, (0, 41): 1, (0, 50): 3, (1, 42): 1, (1, 38): 1}
    assert {tuple(map(int, i)): counts[tuple(i)] for i in np.argwhere(counts)} == expected
    z = [jnp.array([-jnp.inf, -11.0, -10.0, 0.1, 9.9, 10.0, jnp.nan])]
    (counts,) = np.asarray(training_viewer.pre_activation_histogram(z))
    filled = np.flatnonzero(counts)
    assert filled.tolist() == [0, 1, 21, 40, 41] and counts[filled].tolist() == [2, 1, 1, 1, 2]


def test_every_epoch_shuffles_and_leaves_the_rest():
    order = np.asarray(batches(KEY, 21, 4, 8))
    assert order.shape == (8, 8)
    epochs = order.reshape(4, 16)
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 16 and 0 <= epoch.min() and epoch.max() < 21
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert len({tuple(sorted(epoch)) for epoch in epochs}) > 1  # others are left out each time
    run = partial(train.fit, network(), examples(), optax.sgd(0.1), epochs=2, batch=8)
    keys = KEY, KEY, jax.random.key(9)
    first, again, other = (run(key=key).net.readout.w for key in keys)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_seeds_of_a_stacked_net_side_by_side_are_runs_of_single_nets_not_stacked():
    # A bias before batch normalisation has a gradient of 0, of which rounding leaves 1e-17: Adam's
    # usual epsilon, 1e-8, would make steps of that.
    adam = optax.adam(0.01, eps=1e-3)
    fit = partial(train.fit, data=examples(), optimiser=adam, epochs=3, batch=8)
    keys = jax.random.split(KEY, 3)
    form = {"activation": "relu", "init": "he_normal", "norm": "batch", "skip": True}
    start = jax.vmap(lambda key: nets.mlp(key, (6, 6, 6, 3), stacked=True, **form))(keys)
    together = fit(start, key=KEY, seeds=True)
    close = partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    for number, key in enumerate(keys):
        net, run = jax.tree.map(lambda leaf, i=number: leaf[i], (start, together))
        single = fit(nets.unstack(net), key=key)
        jax.tree.map(close, (nets.unstack(run.net), run.history), (single.net, single.history))
    quick = fit(start, key=KEY, seeds=True, layers=False)
    for name in ("step", "train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        close(*(getattr(r.history, name) for r in (quick, together)))
    assert quick.history.error_signal is None


def test_batch_normalisation_is_scored_with_the_training_statistics():
    given, net = examples(), network(norm="batch")
    history = train.fit(net, given, optax.sgd(0.0), key=KEY, epochs=1, batch=8).history
    reference, test = np.asarray(given[0]), np.asarray(given[2])
    for layer in net.layers:
        w, b, scale, shift = map(np.asarray, (layer.w, layer.b, *layer.norm))
        reference, test = reference @ w.T + b, test @ w.T + b
        mean, biased, var = reference.mean(0), reference.var(0), reference.var(0, ddof=1)
        test = np.tanh(scale * (test - mean) / np.sqrt(var + 1e-5) + shift)  # as PyTorch does it
        reference = np.tanh(scale * (reference - mean) / np.sqrt(biased + 1e-5) + shift)
    outputs = test @ np.asarray(net.readout.w).T + np.asarray(net.readout.b)
    expected = losses(outputs, np.asarray(given[3]), "cross_entropy").mean()
    assert history.test_loss[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", ["last", "every step"])
def test_recurrent_networks_follow_the_difference_quotient(kind):
    keys = jax.random.split(jax.random.key(4), 2)
    if kind == "last":
        draw = partial(tasks.adding_problem, examples=4, length=5)
        loss, outputs = "mean_squared_error", 1
    else:
        draw = partial(tasks.copy_memory, examples=4, delay=2, symbols=2, memory=2)
        loss, outputs = "cross_entropy", 3
    given = (*draw(KEY), *draw(keys[0]))
    cell = recurrent.rnn(keys[0], given[0].shape[2], 3)
    net = recurrent.network(keys[1], cell, outputs)
    fit = partial(train.fit, net, given, optax.sgd(1.0), epochs=1, batch=4, layers=False)
    after = fit(key=KEY, loss=loss)

    def by_hand(w_rec):
        total = []
        for x, y in zip(np.asarray(given[0]), np.asarray(given[1]), strict=True):
            h, outs = np.zeros(3), []
            for step in x:
                h = np.tanh(cell.w_in @ step + w_rec @ h + cell.b)
                outs.append(net.readout.w @ h + net.readout.b)
            ys = y[None] if kind == "last" else y
            total.append(losses(np.array(outs)[-len(ys) :], ys, loss).mean())
        return np.mean(total)

    w_rec, shift = np.asarray(cell.w_rec), np.zeros((3, 3))
    shift[1, 2] = 1e-5
    assert after.history.train_loss[0] == pytest.approx(by_hand(w_rec), rel=1e-9)
    slope = (by_hand(w_rec + shift) - by_hand(w_rec - shift)) / 2e-5
    moved = (after.net.cell.w_rec - w_rec)[1, 2]
    assert moved == pytest.approx(-slope, rel=1e-6, abs=1e-9)


OPTIMISERS = {
    "line search": optax.lbfgs(),
    "needs the loss": optax.polyak_sgd(),
    "plateau": optax.chain(optax.sgd(0.3), optax.contrib.reduce_on_plateau()),
    "accumulated": optax.MultiSteps(optax.sgd(0.3), 2).gradient_transformation(),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_any_optimiser_trains(name):
    fit = partial(train.fit, network(), examples(), OPTIMISERS[name], epochs=10, batch=None)
    run = fit(key=KEY, layers=False)
    assert run.history.train_loss[-1] < 0.9 * run.history.train_loss[0]


def test_a_float32_net_without_hidden_layer_and_test_examples_compiles_once():
    traced = []

    def loss(output, label):
        traced.append(1)
        return grads.cross_entropy(output, label)

    optimiser = optax.adam(0.01)
    x, y, *_ = examples()
    for key in jax.random.split(KEY, 2):
        net = jax.tree.map(jnp.float32, nets.mlp(key, (6, 3), "relu"))
        run = train.fit(net, (jnp.float32(x), y), optimiser, key=key, epochs=2, batch=8, loss=loss)
        traced.append(0)
    assert traced == [1] * (len(traced) - 2) + [0, 0] and len(traced) > 2
    history = run.history
    assert history.test_loss is None and history.test_accuracy is None
    assert history.dead.shape == (3, 0) and history.error_signal.shape == (3, 1)
    for name in ("train_loss", "error_signal", "update_ratio", "dead", "saturated", "moved"):
        assert getattr(history, name).dtype == jnp.float32, name


def test_a_run_that_diverges_is_reported_not_refused():
    run = train.fit(
        network(activation="relu"), examples("mean_squared_error"), optax.sgd(1e6), key=KEY,
        epochs=60, batch=None, loss="mean_squared_error",
        extra=training_viewer.histograms,
    )  # fmt: skip
    assert not np.isfinite(run.history.train_loss[-1])
    counts = np.asarray(run.history.extra.error_signal)
    np.testing.assert_array_equal(counts.sum(axis=-1), np.tile([105, 105, 63], (61, 1)))


X, Y, X_TEST, Y_TEST = examples()
NAN = jax.tree.map(lambda w: w * jnp.nan, network())
BAD = {
    "epochs must be a whole number of at least 1; got 0": {"epochs": 0},
    "batch must be a whole number of at least 1; got 0": {"batch": 0},
    "batch must be at most 21, the training examples; got 22": {"batch": 22},
    "probe must be a whole number of at least 1; got 0": {"probe": 0},
    "every must divide the 2 steps; got 3": {"every": 3},
    "loss must be one of .*'hinge'": {"loss": "hinge"},
    "optimiser must be an optax.GradientTransformation.*got 0.1": {"optimiser": 0.1},
    "data must hold x_train, y_train and maybe .*got 3 arrays": {"data": (X, Y, X_TEST)},
    "training data: x must have shape": {"data": (X[:, :4], Y, X_TEST, Y_TEST)},
    "test data: y must hold whole-number labels from 0 to 2": {"data": (X, Y, X_TEST, Y_TEST + 3)},
    "test data: x must be finite": {"data": (X, Y, X_TEST * jnp.nan, Y_TEST)},
    "x must hold at least 2 examples": {"net": network(norm="batch"), "batch": 1},
    "net must be finite": {"net": NAN},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_refused(unchecked, message):
    given = {"net": network(), "data": examples(), "optimiser": optax.sgd(0.1), "batch": 8}
    with pytest.raises(ValueError, match=message):
        train.fit(**{**given, "epochs": 1, "key": KEY, **BAD[message]})
