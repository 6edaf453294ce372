import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_train import batches_by_hand, examples, losses, pre_activations_by_hand, train_by_hand

from vgcourse import results
from vgkit import data, nets, recurrent, train

KEY = jax.random.key(3)
KEYS = jax.random.split(jax.random.key(4), 2)


def start(norm=None, depth=3):
    draw = jax.vmap(lambda key: nets.mlp_stack(key, depth, 6, 3, "he_normal"))
    return nets.equip(draw(KEYS), norm=norm)


def first(tree, number=0):
    return jax.tree.map(lambda leaf: leaf[number], tree)


@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error"])
@pytest.mark.parametrize("skip", [False, True])
def test_trials_agree_with_numpy(loss, skip):
    given, rate, epochs = examples(loss), 0.02, 2
    found = train.trials(
        start(), given, optax.sgd(rate), epochs, 8, KEY, loss=loss, activation="relu", skip=skip
    )
    x, y, x_test, y_test = map(np.asarray, given)
    for number, key in enumerate(jax.random.split(KEY, 2)):
        net = nets.unstack(first(start(), number), 3)
        batches = batches_by_hand(key, 21, epochs, 8)
        path, _ = train_by_hand(net, given, batches, loss, "relu", skip, rate, 0.0)
        trained = nets.unstack(first(found.net, number), 3)
        for ours, by_hand in zip(trained, path[-1], strict=True):
            np.testing.assert_allclose(ours.w, by_hand.w, rtol=1e-9, atol=1e-12)
        for row, at in enumerate(path[:: len(batches) // epochs]):
            scores = []
            for xs, ys in ((x, y), (x_test, y_test)):
                outputs = pre_activations_by_hand(at, xs, "relu", skip)[-1]
                scores.append(losses(outputs, ys, loss).mean())
            np.testing.assert_allclose(found.train_loss[number, row], scores[0], rtol=1e-9)
            np.testing.assert_allclose(found.test_loss[number, row], scores[1], rtol=1e-9)
            accuracy = found.test_accuracy[number, row]
            if loss == "cross_entropy":
                assert accuracy == pytest.approx(np.mean(outputs.argmax(axis=1) == y_test))
            else:
                assert np.isnan(accuracy)
    np.testing.assert_array_equal(found.epoch, [[0, 1, 2]] * 2)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_stacked_and_listed_networks_train_alike(norm):
    arguments = (examples(), optax.adam(0.01), 4, 8, KEY)
    form = {"activation": "tanh", "skip": True, "order": "pre_activation", "every": 2}
    stacked = train.trials(start(norm), *arguments, **form)
    listed = jax.vmap(lambda net: nets.unstack(net, 3))(start(norm))
    found = train.trials(listed, *arguments, **form)
    for name in ("train_loss", "test_loss", "test_accuracy"):
        np.testing.assert_allclose(getattr(stacked, name), getattr(found, name), rtol=1e-9)
    assert stacked.train_loss.shape == (2, 3)


def test_batch_normalisation_is_scored_with_the_training_statistics():
    given, net = examples(), first(start("batch"))
    found = train.trials(start("batch"), given, optax.sgd(0.0), 1, 8, KEY)
    reference, test = np.asarray(given[0]), np.asarray(given[2])
    for w in np.asarray(net.hidden.w):
        reference, test = reference @ w.T, test @ w.T
        mean, var = reference.mean(axis=0), reference.var(axis=0)
        unbiased = reference.var(axis=0, ddof=1)  # at inference, as PyTorch keeps it
        reference = np.tanh((reference - mean) / np.sqrt(var + 1e-5))
        test = np.tanh((test - mean) / np.sqrt(unbiased + 1e-5))
    outputs = test @ np.asarray(net.output.w).T
    expected = losses(outputs, np.asarray(given[3]), "cross_entropy").mean()
    assert found.test_loss[0, 0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", ["last", "every step"])
def test_recurrent_networks_follow_the_difference_quotient(kind):
    if kind == "last":
        given = (*data.adding_problem(KEY, 4, 5), *data.adding_problem(KEYS[0], 4, 5))
        loss, outputs = "mean_squared_error", 1
    else:
        draw = {"symbols": 2, "memory": 2}
        given = (*data.copy_memory(KEY, 4, 2, **draw), *data.copy_memory(KEYS[0], 4, 2, **draw))
        loss, outputs = "cross_entropy", 3
    inputs = given[0].shape[2]

    def draw_one(key):
        return recurrent.network(key, recurrent.rnn(key, inputs, 3, "orthogonal"), outputs)

    before = jax.vmap(draw_one)(KEYS)
    after = train.trials(before, given, optax.sgd(1.0), 1, 4, KEY, loss=loss)

    def by_hand(w_rec):
        total = []
        for x, y in zip(np.asarray(given[0]), np.asarray(given[1]), strict=True):
            h, outs = np.zeros(3), []
            for step in x:
                h = np.tanh(net.cell.w_in @ step + w_rec @ h + net.cell.b)
                outs.append(net.readout.w @ h + net.readout.b)
            outs = np.array(outs)
            if kind == "last":
                total.append(losses(outs[-1:], y[None], loss).mean())
            else:
                total.append(losses(outs, y, loss).mean())
        return np.mean(total)

    net = jax.tree.map(np.asarray, first(before))
    assert after.train_loss[0, 0] == pytest.approx(by_hand(net.cell.w_rec), rel=1e-9)
    moved = np.asarray(after.net.cell.w_rec[0]) - net.cell.w_rec
    for place in np.ndindex(3, 3):
        shift = np.zeros((3, 3))
        shift[place] = 1e-5
        slope = (by_hand(net.cell.w_rec + shift) - by_hand(net.cell.w_rec - shift)) / 2e-5
        assert moved[place] == pytest.approx(-slope, rel=1e-6, abs=1e-9)


def bad(**changes):
    given = {
        "start": start(), "data": examples(), "optimiser": optax.sgd(0.1), "epochs": 2, "batch": 8,
        "key": KEY, **changes,
    }  # fmt: skip
    return lambda: train.trials(**given)


X, Y, X_TEST, Y_TEST = examples()
BAD = {
    "epochs": (bad(epochs=0), "epochs must be a whole number of at least 1; got 0"),
    "batch": (bad(batch=0), "batch must be a whole number of at least 1; got 0"),
    "large batch": (bad(batch=22), "batch must be at most 21, the training examples; got 22"),
    "every": (bad(every=3), "every must divide the 2 epochs; got 3"),
    "activation": (bad(activation="swish"), "activation must be one of identity.*'swish'"),
    "loss": (bad(loss="hinge"), "loss must be one of .*'hinge'"),
    "nan": (bad(data=(X, Y, X_TEST * jnp.nan, Y_TEST)), "data must be finite"),
    "single": (bad(start=start("batch"), batch=1), "x must hold at least 2 examples for batch"),
    "kept": (lambda: results.load("nothing"), "name must be one of .*remedies.*'nothing'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(unchecked, case):
    act, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        act()
