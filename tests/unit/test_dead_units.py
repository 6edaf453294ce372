"""The experiments behind the page *Dead units*, against counting, NumPy and loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binomtest

from vgcourse import chain_rule, dead_units
from vgkit import data, grads


def relu_layers(weights, x):
    """Outputs of all layers of a ReLU net without biases, in NumPy."""
    values = [np.asarray(x)]
    for w in np.asarray(weights):
        values.append(np.maximum(values[-1] @ w.T, 0))
    return values[1:]


def test_a_net_is_born_dead_where_no_gradient_reaches_it():
    keys = dead_units.keys()[:20]
    dead = dead_units.born_dead(keys, 3, "relu")
    for key, is_dead in zip(keys, dead, strict=True):
        net = dead_units.narrow(key)
        x = np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
        stopped = (relu_layers(net.layers.w, x)[-1] == 0).all()
        signals = grads.signals(net, jnp.asarray(x), jnp.ones(2), loss=lambda out, _: out[0])
        assert is_dead == stopped == bool((signals.error_signals[0] == 0).all())
        assert not np.asarray(net.layers.b).any()
        if is_dead:  # every gradient of every hidden weight, as the text says, at any input
            far = grads.signals(net, jnp.asarray(7.3 * x), jnp.ones(2), loss=lambda out, _: out[0])
            assert not any(leaf.any() for leaf in jax.tree.leaves(far.gradient.layers))


def test_inputs_of_one_sign_share_one_fate():
    inputs = jnp.array([-50.0, -1.0, -0.01, 0.01, 1.0, 50.0])
    lines = np.asarray(dead_units.outputs(dead_units.keys()[:100], 3, inputs))
    np.testing.assert_allclose(lines[:, 0], 50 * lines[:, 1], rtol=1e-9)
    np.testing.assert_allclose(lines[:, 5], 5000 * lines[:, 3], rtol=1e-9)


@pytest.mark.parametrize("width", dead_units.WIDTHS)
def test_one_input_is_stopped_as_often_as_coins_say(width):
    zero = dead_units.at_both_signs(width) == 0
    for sign in (0, 1):  # 99.99 % intervals: eight of them are tested at once
        inside = binomtest(int(zero[:, sign].sum()), len(zero)).proportion_ci(0.9999)
        assert inside.low <= 1 - (1 - 0.5**width) ** 10 <= inside.high
    both = binomtest(int(zero.all(axis=1).sum()), len(zero)).proportion_ci(0.999)
    assert both.high < dead_units.stopped(width)  # "less likely than the formula says"
    assert dead_units.shares(width)["born dead"][0] == zero.all(axis=1).mean()


def test_what_the_text_says_of_narrow_nets():
    numbers = dead_units.numbers()
    assert 0.735 < 1 - (7 / 8) ** 10 < 0.745 and 0.545 < 0.74**2 < 0.555 < numbers["dead_low"]
    assert numbers["dead_low"] < numbers["dead"] < numbers["dead_high"] < 0.7
    assert numbers["ten"] < 0.01 < 0.1 < numbers["five"]  # the answer to the question on widths
    below = [numbers[name] / dead_units.stopped(width)
             for name, width in (("two", 2), ("dead", 3), ("five", 5), ("ten", 10))]  # fmt: skip
    assert (np.diff(below) < 0).all()  # "the more so the wider the layers are"
    dead = (dead_units.at_both_signs(3) == 0).all(axis=1)
    assert dead[0] and dead[: dead_units.SHOWN].sum() == 6  # the printed net; the alt text
    assert (dead_units.at_both_signs(3, "leaky_relu") != 0).all()
    assert numbers["woken"] < 0.01


def test_the_explorer_of_narrow_nets_says_what_the_nets_do():
    explorer = dead_units.explorer_born()
    for width in dead_units.WIDTHS:
        zero = dead_units.at_both_signs(width) == 0
        for number in range(1, dead_units.SHOWN + 1):
            for column, sign in enumerate(("-1", "1")):
                at = explorer.at(width=width, number=number, sign=sign, activation="ReLU")
                here, other = zero[number - 1, column], zero[number - 1, 1 - column]
                assert at["sentence"] == (2 if not here else 0 if other else 1)
                w = dead_units.narrow(dead_units.keys()[number - 1], width).layers.w
                layers = relu_layers(w, float(sign) * np.eye(width)[0])
                units = at["activation"].reshape(10, 10)
                np.testing.assert_allclose(units[:, :width], layers, rtol=1e-9, atol=1e-12)
                assert np.isnan(units[:, width:]).all()
                sizes = [np.sqrt(np.mean(h**2)) for h in layers]
                np.testing.assert_allclose(at["activation_size"], sizes, rtol=1e-9, atol=1e-12)
                assert (at["error_size"][0] == 0) == here
                if here:
                    assert not layers[int(at["stop"].item()) - 1].any()
                    assert all(h.any() for h in layers[: int(at["stop"].item()) - 1])
        leaky = explorer.at(width=width, number=1, sign="1", activation="leaky ReLU")
        assert leaky["sentence"] == 2


def test_a_dead_unit_costs_the_root_of_its_share():
    kept, counts = dead_units.kept(), np.array(dead_units.COUNTS)
    law = np.sqrt(1 - counts / dead_units.OF)
    low, high = np.quantile(kept, [0.1, 0.9], axis=0)
    assert (low[:-1] <= law[:-1]).all() and (law[:-1] <= high[:-1]).all()
    assert (kept[:, -1] == 0).all()
    # The law is one of mean squares: 64 nets, each with a relative error of about 0.5.
    squares = (kept[:, :3] ** 2).mean(axis=0)
    np.testing.assert_allclose(squares, law[:3] ** 2, rtol=4 * 0.5 / np.sqrt(64))
    numbers = dead_units.numbers()
    assert abs(numbers["kept_16"] - 0.7) < 0.05  # the answer to the question


def test_a_dead_unit_gets_no_gradient_and_the_others_do():
    keys = jax.random.split(jax.random.key(3), 8)
    _, gradients = dead_units.with_dead_units(keys, jnp.array([8, 16]))
    for number, count in enumerate((8, 16)):
        assert (gradients[:, number, :count] == 0).all()
        assert (gradients[:, number, count:] > 0).any(axis=1).all()


def test_dead_on_a_batch_in_numpy():
    found = dead_units.batches()
    for seed, key in enumerate(chain_rule.seeds()):
        weights = dead_units.wide(key).layers.w
        for number, name in enumerate(dead_units.BATCHES):
            layers = relu_layers(weights, dead_units.examples(name))
            dead = [(h == 0).all(axis=0).mean() for h in layers]
            np.testing.assert_allclose(found.dead[seed, number], dead, atol=1e-6)
            if number == 0:
                np.testing.assert_allclose(found.off[seed], [(h == 0).mean() for h in layers], 1e-5)
        for number, h in enumerate((layers[0], layers[18])):
            unit = h / np.linalg.norm(h, axis=1, keepdims=True)
            cosine = np.median((unit @ unit.T)[np.triu_indices(512, 1)])
            assert found.cosine[seed, number] == pytest.approx(cosine, rel=1e-6)
    assert dead_units.examples("32 digits").shape == (32, 64)


def test_what_the_text_says_of_batches():
    few, many, random = np.median(dead_units.batches().dead, axis=0)
    assert few[4] > many[4] > random[4] > 0 and 0.15 < few[4] < 0.25  # "a fifth"
    assert all(curve[19] > 3 * curve[0] + 0.1 for curve in (few, many, random))  # they climb
    first, last = dead_units.batches().cosine.T
    # An infinitely wide layer gives two inputs at a right angle the cosine 1/π. The inputs' own
    # cosines, and 64 units, add errors of about 1/8 to a pair; the median averages over pairs.
    assert abs(np.median(first) - 1 / np.pi) < 0.03 and last.min() > 0.9
    half = np.median(dead_units.batches().off, axis=0)
    assert 0.4 < half.min() and half.max() < 0.6  # as a question says


def test_a_step_that_is_too_large_kills_one_unit():
    w = b = 1.0
    error = max(w + b, 0) - 0.5
    w, b = w - error, b - error
    assert (w, b) == (-0.5, -0.5) and max(w + b, 0) == 0  # the next gradient is 0


def test_training_is_gradient_descent():
    """Two steps in NumPy; a unit is dead where its pre-activation is never positive."""
    key, rate = chain_rule.seeds()[0], 0.3
    history = dead_units.train(key, rate)
    x, y = (np.asarray(part[:512]) for part in data.digits()[:2])
    net = dead_units.nets.mlp(key, (64, 10, 10, 10, 10, 10), "relu", init="he_normal")
    layers = [(np.array(layer.w), np.array(layer.b)) for layer in (*net.layers, net.readout)]
    for row in range(3):  # steps 0, 1 and 2
        h, z = [x], []
        for w, b in layers:
            z.append(h[-1] @ w.T + b)
            h.append(np.maximum(z[-1], 0))
        share = np.exp(z[-1] - z[-1].max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        assert history.loss[row] == pytest.approx(-np.log(share[np.arange(512), y]).mean(), 1e-6)
        dead = np.stack([(one <= 0).all(axis=0) for one in z[:-1]])
        assert (history.dead[row] == dead).all()
        delta = share - np.eye(10)[y]
        for number in range(4, -1, -1):
            w, b = layers[number]
            layers[number] = w - rate * delta.T @ h[number] / 512, b - rate * delta.mean(axis=0)
            if number:
                delta = (delta @ w) * (z[number - 1] > 0)
                size = np.sqrt((delta**2).mean(axis=0))
                np.testing.assert_allclose(
                    history.error[row, number - 1], size, rtol=1e-5, atol=1e-9
                )
                size = np.sqrt((h[number] ** 2).mean(axis=0))
                np.testing.assert_allclose(
                    history.activation[row, number - 1], size, rtol=1e-5, atol=1e-9
                )


def test_large_steps_kill_layers_and_dead_layers_stay_dead():
    runs = dead_units.training()
    small, large = (dead_units.History(*rows) for rows in zip(*runs, strict=True))
    assert small.loss[:, -1].max() < 0.3 and not small.dead.all(axis=3).any()
    whole = large.dead.all(axis=3)  # seeds, steps, layers
    assert whole[:, dead_units.STEPS.index(100)].any(axis=1).all()  # "by step 100"
    assert np.median(large.dead[:, -1].sum(axis=(1, 2))) > 30
    assert np.median(large.dead[:, 1].sum(axis=(1, 2))) == 20  # "half of the units" after one step
    assert small.dead.sum(axis=(2, 3))[:, -1].max() <= 3
    assert (whole[:, :-1] <= whole[:, 1:]).all()
    assert abs(dead_units.numbers()["loss_large"] - np.log(10)) < 0.01
    for seed, step, layer in zip(*np.nonzero(whole), strict=True):  # nothing gets past it
        assert not large.error[seed, step, : layer + 1].any()
    # As the exercise's solution says: some units wake, some die.
    before, after = small.dead[:, 0], small.dead[:, -1]
    assert (before & ~after).any() and (~before & after).any()


def test_leaky_relu_does_not_make_up_for_large_steps():
    leaky = dead_units.training("leaky_relu").loss
    assert leaky[0, :, -1].max() < 0.3
    ends = leaky[1, :, -1]
    lost = ~np.isfinite(ends) | (np.abs(ends - np.log(10)) < 0.3)
    assert lost.sum() == dead_units.numbers()["lost"] >= 5


def test_the_explorer_of_training_says_what_happens():
    explorer, runs = dead_units.explorer_killed(), dead_units.training()
    for row, rate in enumerate((dead_units.SMALL, dead_units.LARGE)):
        for number, step in enumerate(dead_units.STEPS[:5]):  # later, rounding errors have grown
            at = explorer.at(rate=rate, step=step)
            dead = runs.dead[row, 0, number]
            assert at["all"].item() == dead.sum()
            assert at["loss"].item() == pytest.approx(runs.loss[row, 0, number], rel=1e-6)
            assert at["sentence"] == (0 if dead.all(axis=1).any() else 1)
        ends = [explorer.at(rate=rate, step=step) for step in dead_units.STEPS[6:]]
        assert all(at["sentence"] == 1 - row for at in ends)
        for at in ends:  # a dead layer stops the error signal of the layers before it
            stopped = int(at["layer"].item()) if row else 0
            assert not at["error_size"][:stopped].any()
            assert row or at["error_size"].all()


def test_the_answers_of_the_questions():
    root, _, _, _, leak = dead_units.questions()
    assert root.span.value == 0.5 and leak.span.value == pytest.approx(1e-6)
    assert 0.45 < dead_units.stopped(3, 5) < 0.55  # "about half by layer 5"
    assert dead_units.stopped(5, 1) == 1 / 32 and dead_units.stopped(2, 1) == 1 / 4
