from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_grads import backpropagation, slope, value

from vgcourse import training_viewer
from vgkit import data, grads, monitor, nets, train

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


def network(key=KEY):
    """A net with biases that are not zero."""
    net = nets.mlp(key, WIDTHS, "he_normal")
    return [layer._replace(b=layer.b + 0.1) for layer in net]


# The oracle: training and its statistics in NumPy, with backpropagation written out.


def losses(outputs, y, loss):
    if loss == "mean_squared_error":
        return np.mean((outputs - y) ** 2, axis=1)
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]


def signals_by_hand(net, x, y, loss, name, skip):
    """Error signals of every example, and weight and bias gradients of the mean loss."""
    pairs = zip(x, y, strict=True)
    each = [backpropagation(net, row, target, loss, name, skip) for row, target in pairs]
    deltas = [np.stack(layer) for layer in zip(*(one[0] for one in each), strict=True)]
    by_weight = [np.mean(layer, axis=0) for layer in zip(*(one[1] for one in each), strict=True)]
    return deltas, by_weight, [delta.mean(axis=0) for delta in deltas]


def pre_activations_by_hand(net, x, name, skip):
    h, zs = np.asarray(x), []
    for layer in net:
        zs.append(h @ np.asarray(layer.w).T + np.asarray(layer.b))
        out = value(name, zs[-1])
        h = out + h if skip and out.shape == h.shape else out
    return zs


def size(array):
    return np.sqrt(np.mean(np.square(array)))


def train_by_hand(net, data, batches, loss, name, skip, rate, momentum):
    """Gradient descent with momentum: the nets before every step and after the last, updates."""
    net = [nets.Layer(np.asarray(layer.w), np.asarray(layer.b)) for layer in net]
    x, y = (np.asarray(array) for array in data[:2])
    velocity = [nets.Layer(np.zeros_like(layer.w), np.zeros_like(layer.b)) for layer in net]
    path, ratios = [net], []
    for rows in batches:
        _, by_w, by_b = signals_by_hand(net, x[rows], y[rows], loss, name, skip)
        velocity = [
            nets.Layer(w + momentum * v.w, b + momentum * v.b)
            for w, b, v in zip(by_w, by_b, velocity, strict=True)
        ]
        ratios.append([rate * size(v.w) / size(n.w) for v, n in zip(velocity, net, strict=True)])
        net = [
            nets.Layer(layer.w - rate * v.w, layer.b - rate * v.b)
            for layer, v in zip(net, velocity, strict=True)
        ]
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
    net, given = network(), examples(loss)
    optimiser = optax.sgd(rate, momentum)
    run = train.fit(
        net, given, optimiser, epochs, batch, KEY,
        loss=loss, activation=name, skip=skip, every=every, probe=probe,
    )  # fmt: skip
    batches = batches_by_hand(KEY, 21, epochs, batch)
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
            outputs = pre_activations_by_hand(at, xs, name, skip)[-1]
            close(getattr(history, f"{part}_loss")[row], losses(outputs, ys, loss).mean())
            accuracy = getattr(history, f"{part}_accuracy")[row]
            if loss == "cross_entropy":
                close(accuracy, np.mean(outputs.argmax(axis=1) == ys))
            else:
                assert np.isnan(accuracy)
        deltas, by_weight, _ = signals_by_hand(at, x[:probe], y[:probe], loss, name, skip)
        zs = pre_activations_by_hand(at, x[:probe], name, skip)
        close(history.error_signal[row], [size(delta) for delta in deltas])
        close(history.weight_gradient[row], [size(gradient) for gradient in by_weight])
        close(history.weights[row], [size(layer.w) for layer in at])
        close(history.moved[row], [size(a.w - b.w) for a, b in zip(at, path[0], strict=True)])
        if row:
            close(history.update_ratio[row], np.mean(ratios[int(step) - every : int(step)], axis=0))
        slopes = [np.abs(slope(name, z)) for z in zs[:-1]]
        close(history.dead[row], [np.mean((s == 0).all(axis=0)) for s in slopes])
        steepest = 0.25 if name == "sigmoid" else 1.0
        close(history.saturated[row], [np.mean(s <= 0.1 * steepest) for s in slopes])
        for counts, entries in (
            (history.error_histogram, deltas),
            (history.gradient_histogram, by_weight),
        ):
            for layer, signal in enumerate(entries):
                np.testing.assert_array_equal(counts[row, layer], decades_by_hand(signal))
        edges = np.concatenate([[-np.inf], np.arange(-10, 10.1, 0.5), [np.inf]])
        for layer, z in enumerate(zs):
            np.testing.assert_array_equal(
                history.pre_activations[row, layer], np.histogram(z, edges)[0]
            )
    assert np.isnan(history.update_ratio[0]).all()
    assert not history.moved[0].any() and np.asarray(history.moved[-1]).all()
    assert history.train_loss[-1] < history.train_loss[0]


def decades_by_hand(signal):
    entries = np.abs(np.ravel(signal))
    edges = np.concatenate([[-np.inf], np.arange(-20, 4.1, 0.5), [np.inf]])
    counts, _ = np.histogram(np.log10(entries[entries > 0]), edges)
    return [np.sum(entries == 0), *counts]


def test_histograms_count_every_entry_once():
    layers = [
        jnp.array([[0.0, -0.0, 1e-30, 3e-20], [1e5, -jnp.inf, jnp.nan, 0.5]]),
        jnp.array([2.0, -0.03]),
    ]
    counts = np.asarray(train.signal_histogram(layers))
    assert counts.shape == (2, 51)
    np.testing.assert_array_equal(counts.sum(axis=1), [8, 2])
    # log10: -19.5229 is in the first bin, -0.30103 in that from -0.5, the 40th; 0.301 in the next
    # one, -1.5229 in that from -2, three before.
    expected = {(0, 0): 2, (0, 1): 1, (0, 2): 1, (0, 41): 1, (0, 50): 3, (1, 42): 1, (1, 38): 1}
    assert {tuple(map(int, i)): counts[tuple(i)] for i in np.argwhere(counts)} == expected
    z = [jnp.array([-jnp.inf, -11.0, -10.0, 0.1, 9.9, 10.0, jnp.nan])]
    (counts,) = np.asarray(train.pre_activation_histogram(z))
    assert counts.sum() == 7
    assert {int(i): int(counts[i]) for i in np.flatnonzero(counts)} == {
        0: 2,
        1: 1,
        21: 1,
        40: 1,
        41: 2,
    }


def test_every_epoch_shuffles_and_leaves_the_rest():
    order = np.asarray(train.descent.batches(KEY, 21, 4, 8))
    assert order.shape == (8, 8)
    epochs = order.reshape(4, 16)
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 16 and 0 <= epoch.min() and epoch.max() < 21
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert len({tuple(sorted(epoch)) for epoch in epochs}) > 1  # others are left out each time
    run = partial(train.fit, network(), examples(), optax.sgd(0.1), 2, 8)
    first, again, other = (run(key).net[0].w for key in (KEY, KEY, jax.random.key(9)))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_seeds_side_by_side_are_single_runs():
    optimiser = optax.adam(0.01)

    def one(key):
        return train.fit(network(key), examples(), optimiser, 3, 8, key, activation="relu")

    keys = jax.random.split(KEY, 3)
    together = jax.vmap(one)(keys)
    for number, key in enumerate(keys):
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12),
            jax.tree.map(lambda leaf, i=number: leaf[i], together),
            one(key),
        )


def test_learning_rates_side_by_side_are_single_runs():
    def one(rate):
        return train.fit(network(), examples(), optax.sgd(rate), 2, 8, KEY).history.train_loss

    rates = jnp.array([0.01, 0.1, 1.0])
    expected = np.stack([one(float(rate)) for rate in rates])
    np.testing.assert_allclose(jax.vmap(one)(rates), expected, rtol=1e-10)


def test_a_program_is_compiled_once():
    traced = []

    def loss(output, label):
        traced.append(1)
        return grads.cross_entropy(output, label)

    optimiser = optax.sgd(0.1)
    for seed in range(3):
        key = jax.random.key(seed)
        train.fit(network(key), examples(), optimiser, 2, 8, key, loss=loss)
        if seed == 0:
            first = len(traced)
    assert len(traced) == first > 0


def test_frozen_layers_stay_bit_by_bit():
    optimiser = optax.multi_transform(
        {"train": optax.adam(0.01), "freeze": optax.set_to_zero()},
        lambda net: ["freeze"] * 2 + ["train"] * (len(net) - 2),
    )
    net = network()
    run = train.fit(net, examples(), optimiser, 3, 8, KEY)
    for layer, (before, after) in enumerate(zip(net, run.net, strict=True)):
        same = [np.array_equal(b, a) for b, a in zip(before[:2], after[:2], strict=True)]
        assert same == [layer < 2] * 2
    assert not run.history.moved[:, :2].any() and not run.history.update_ratio[1:, :2].any()
    assert run.history.error_signal[:, :2].all()  # the signal goes on to arrive


OPTIMISERS = {
    "adam": optax.adam(0.01),
    "clipped, scheduled": optax.chain(
        optax.clip_by_global_norm(0.5), optax.sgd(optax.cosine_decay_schedule(0.3, 20), 0.9)
    ),
    "weight decay": optax.adamw(0.01, weight_decay=0.1),
    "line search": optax.lbfgs(),
    "needs the loss": optax.polyak_sgd(),
    "plateau": optax.chain(optax.sgd(0.3), optax.contrib.reduce_on_plateau()),
    "accumulated": optax.MultiSteps(
        optax.sgd(0.3), 2, accumulator_dtype=jnp.float64
    ).gradient_transformation(),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_any_optimiser_trains(name):
    run = train.fit(network(), examples(), OPTIMISERS[name], 10, None, KEY)
    assert run.history.train_loss[-1] < 0.9 * run.history.train_loss[0]


def test_a_monitor_in_the_optimiser_is_read_from_the_last_state():
    optimiser = optax.chain(optax.sgd(0.1), monitor.record(50, every=1))
    run = train.fit(network(), examples(), optimiser, 4, 8, KEY, every=1)
    record = monitor.read(run.state)
    of_weights = [name.endswith("/w") for name in record.names]
    np.testing.assert_allclose(
        record.ratio[:, of_weights], run.history.update_ratio[1:], rtol=1e-12
    )
    np.testing.assert_allclose(record.weights[:, of_weights], run.history.weights[:-1], rtol=1e-12)


def test_clipping_shortens_as_defined():
    gradient = {"a": jnp.array([30.0, 0.0]), "b": jnp.array([[-40.0]])}  # of norm 50
    for by, expected in {"norm": (0.6, 0.0, -0.8), "value": (1.0, 0.0, -1.0)}.items():
        found, _ = (clip := train.clipping(1.0, by)).update(gradient, clip.init(gradient))
        np.testing.assert_allclose([*found["a"], found["b"][0, 0]], expected, rtol=1e-12)
        untouched, _ = train.clipping(60.0, by).update(gradient, clip.init(gradient))
        jax.tree.map(np.testing.assert_array_equal, untouched, gradient)


def test_a_run_that_diverges_is_reported_not_refused():
    run = train.fit(
        network(), examples("mean_squared_error"), optax.sgd(1e6), 60, None, KEY,
        loss="mean_squared_error", activation="relu", probe=21,
    )  # fmt: skip
    assert not np.isfinite(run.history.train_loss[-1])
    counts = np.asarray(run.history.error_histogram)
    np.testing.assert_array_equal(counts.sum(axis=-1), np.tile([105, 105, 63], (61, 1)))


def test_float32_stays_float32():
    narrow = partial(
        jax.tree.map, lambda a: a.astype("float32" if a.dtype.kind == "f" else a.dtype)
    )
    run = train.fit(narrow(network()), narrow(examples()), optax.adam(0.01), 2, 8, KEY)
    kinds = {leaf.dtype.name for leaf in jax.tree.leaves((run.net, run.history))}
    assert {kind for kind in kinds if kind.startswith("float")} <= {"float32", "float64"}
    for name in ("train_loss", "error_signal", "update_ratio", "dead", "saturated", "moved"):
        assert getattr(run.history, name).dtype == jnp.float32, name


def test_a_net_without_hidden_layer():
    run = train.fit(nets.mlp(KEY, (6, 3)), examples(), optax.sgd(0.1), 2, 8, KEY)
    assert run.history.dead.shape == (3, 0) and run.history.error_signal.shape == (3, 1)


def test_a_deep_sigmoid_net_starves_at_the_input_side():
    # The signal loses a factor of about 4 with each layer: 4^8 = 65536, with room for a decade.
    digits = data.digits()
    net = nets.mlp(KEY, (64,) + (32,) * 9 + (10,))
    run = train.fit(net, digits, optax.sgd(0.1), 3, 32, KEY, activation="sigmoid")
    for name in ("error_signal", "moved"):
        found = getattr(run.history, name)[-1]
        assert found[0] < 10 * 4.0**-8 * found[-2], name


def test_a_viewer_shows_medians_over_the_seeds_whose_loss_is_a_number():
    optimiser, digits = optax.sgd(0.1), examples()
    seeds = jax.random.split(KEY, 3)

    def fit(factor, key):
        net = jax.tree.map(lambda leaf: factor * leaf, network(key))
        return train.fit(net, digits, optimiser, 4, 7, key, activation="relu").history

    # The second run explodes for every seed, the third starts without a path.
    factors = jnp.array([1.0, 1e150, 0.0])
    history = jax.vmap(jax.vmap(fit, (None, 0)), (0, None))(factors, seeds)
    loss = history.train_loss.at[0, 1, 2:].set(jnp.nan)  # one seed is lost on its way
    seen = training_viewer.viewer(history._replace(train_loss=loss), [0, 1, 4])(4, 0)
    two = jax.tree.map(lambda leaf: np.asarray(leaf)[0, [0, 2], 4], history)
    start = np.asarray(history.weights)[0, [0, 2], 0]
    np.testing.assert_allclose(seen["signal"], two.error_signal.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(seen["low"], two.error_signal.min(axis=0), rtol=1e-12)
    np.testing.assert_allclose(seen["high"], two.error_signal.max(axis=0), rtol=1e-12)
    np.testing.assert_allclose(seen["moved"], (two.moved / start).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(seen["dead"], 100 * two.dead.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(seen["loss_now"][0], two.train_loss.mean(), rtol=1e-12)
    np.testing.assert_allclose(seen["right_now"][0], 100 * two.test_accuracy.mean(), rtol=1e-12)
    assert seen["loss"].shape == seen["wrong"].shape == seen["epochs"].shape == (5,)

    look = jax.jit(training_viewer.viewer(history, [0, 1, 4]))
    lost = look(4, 1)
    assert jnp.isnan(lost["signal"]).all() and jnp.isnan(lost["loss_now"]).all()
    no_path = look(0, 2)
    np.testing.assert_array_equal(no_path["first"], [100] + [0] * 14)
    np.testing.assert_array_equal(no_path["signal"][:-1], 0)
    assert jnp.isnan(no_path["size"]).all()

    x, y = (np.asarray(part) for part in digits[:2])
    entries = np.concatenate(
        [signals_by_hand(network(key), x, y, "cross_entropy", "relu", False)[0][0] for key in seeds]
    )
    powers = [np.clip(np.floor(np.log10(abs(e))), -12, 1) for e in entries.ravel() if e != 0]
    counts = [np.sum(entries == 0), *(powers.count(power) for power in range(-12, 2))]
    np.testing.assert_allclose(look(0, 0)["first"], 100 * np.array(counts) / entries.size)


def test_a_viewer_refuses_histories_of_single_runs():
    history = train.fit(network(), examples(), optax.sgd(0.1), 2, None, KEY).history
    with pytest.raises(ValueError, match="axes for runs, seeds and rows; got 1 axes"):
        training_viewer.viewer(history, [0])
    stacked = jax.tree.map(lambda leaf: leaf[None, None], history)
    with pytest.raises(ValueError, match="epochs must be at most 2; got 3"):
        training_viewer.viewer(stacked, [0, 3])


def test_progress_is_shown_once_a_row(capsys):
    calls = []

    def note(step, steps):
        calls.append((int(step), int(steps)))

    optimiser = optax.sgd(0.1)
    run = partial(train.fit, data=examples(), optimiser=optimiser, epochs=3, batch=8, progress=note)
    jax.block_until_ready(run(network(), key=KEY))
    jax.effects_barrier()
    assert sorted(calls) == [(0, 6), (2, 6), (4, 6), (6, 6)]
    calls.clear()
    keys = jax.random.split(KEY, 3)
    jax.block_until_ready(jax.vmap(lambda key: run(network(key), key=key))(keys))
    jax.effects_barrier()
    assert sorted(calls) == [(0, 6), (2, 6), (4, 6), (6, 6)]
    train.show_progress(3, 6)
    train.show_progress(6, 6)
    assert capsys.readouterr().err == "\rstep 3 of 6 (50%)\rstep 6 of 6 (100%)\n"


def bad(**changes):
    given = {
        "net": network(), "data": examples(), "optimiser": optax.sgd(0.1), "epochs": 1, "batch": 8,
        "key": KEY, **changes,
    }  # fmt: skip
    return lambda: train.fit(**given)


X, Y, X_TEST, Y_TEST = examples()
BAD = {
    "epochs": (bad(epochs=0), "epochs must be a whole number of at least 1; got 0"),
    "batch": (bad(batch=0), "batch must be a whole number of at least 1; got 0"),
    "large batch": (bad(batch=22), "batch must be at most 21, the training examples; got 22"),
    "probe": (bad(probe=22), "probe must be at most 21, the training examples; got 22"),
    "no probe": (bad(probe=0), "probe must be a whole number of at least 1; got 0"),
    "every": (bad(epochs=2, every=3), "every must divide the 4 steps; got 3"),
    "activation": (bad(activation="swish"), "activation must be one of identity.*'swish'"),
    "loss": (bad(loss="hinge"), "loss must be one of .*'hinge'"),
    "optimiser": (bad(optimiser=0.1), "optimiser must be an optax.GradientTransformation.*got 0.1"),
    "not four": (bad(data=(X, Y)), "data must hold x_train, y_train, x_test, y_test; got 2"),
    "shape": (bad(data=(X[:, :4], Y, X_TEST, Y_TEST)), "training data: x must have shape"),
    "length": (bad(data=(X, Y[:5], X_TEST, Y_TEST)), "training data: y must have one row"),
    "label": (bad(data=(X, Y, X_TEST, Y_TEST + 3)), "test data: y must hold labels from 0 to 2"),
    "nan": (bad(data=(X, Y, X_TEST * jnp.nan, Y_TEST)), "test data: x must be finite"),
    "no threshold": (lambda: train.clipping(0), "threshold must be positive.*0"),
    "negative": (lambda: train.clipping(-1.0, "value"), "threshold must be positive.*-1"),
    "not finite": (lambda: train.clipping(float("nan")), "threshold must be positive.*nan"),
    "clipped by": (lambda: train.clipping(1.0, "length"), "by must be one of norm, value.*length"),
    "nan net": (
        bad(net=jax.tree.map(lambda leaf: leaf * jnp.nan, network())),
        "net must be finite",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(unchecked, case):
    act, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        act()
