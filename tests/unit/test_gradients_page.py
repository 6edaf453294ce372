"""The experiments behind the page *Gradients*, against arithmetic by hand and in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vgcourse import gradients
from vgkit import data, grads, nets

SIGMOID = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731


def forward(net, seed, x):
    """Inputs of all layers, and the output, of one of the sigmoid nets: NumPy, a loop of layers."""
    values = [np.asarray(x)]
    for layer in net.layers:
        z = values[-1] @ np.asarray(layer.w[seed]).T + np.asarray(layer.b[seed])
        values.append(SIGMOID(z))
    output = values[-1] @ np.asarray(net.readout.w[seed]).T + np.asarray(net.readout.b[seed])
    return values, output


def errors(output, y):
    """Softmax minus one-hot: the error signal of the output layer."""
    share = np.exp(output - output.max(axis=1, keepdims=True))
    return share / share.sum(axis=1, keepdims=True) - np.eye(10)[np.asarray(y)]


def backward(net, seed):
    """Error signals and weight gradients of all layers of one of the nets, by hand."""
    x, y = gradients.examples()
    values, output = forward(net, seed, x)
    deltas, following = [errors(output, y)], net.readout
    for layer, h in zip(net.layers[::-1], values[:0:-1], strict=True):
        deltas.insert(0, deltas[0] @ np.asarray(following.w[seed]) * h * (1 - h))
        following = layer
    return deltas, [d.T @ v / len(x) for d, v in zip(deltas, values, strict=True)]


def rms(arrays):
    return [np.sqrt(np.mean(array**2)) for array in arrays]


def test_a_step_of_the_neuron_by_hand():
    numbers = gradients.numbers()
    output = SIGMOID(-2.0)
    slope = (output - 0.8) * output * (1 - output)
    nudge = 1e-5  # errs by nudge^2 / 6 times a third derivative below 1, and by 1e-16 / nudge
    measured = (gradients.loss(-2 + nudge) - gradients.loss(-2 - nudge)) / (2 * nudge)
    assert numbers["gradient"] == pytest.approx(slope, rel=1e-12)
    assert abs(numbers["gradient"] - measured) < 1e-10
    assert numbers["next"] == pytest.approx(-2 - slope, rel=1e-12)
    assert f"{slope:.3f}" == "-0.071"  # as the figure says


def test_descent_of_the_explorer_is_the_rule_in_a_loop():
    w, seen = -4.0, []
    for _ in range(31):
        seen.append(w)
        w -= (SIGMOID(w) - 0.8) * SIGMOID(w) * (1 - SIGMOID(w))
    at = gradients.descend()(-4.0, 1.0, gradients.ACTIVATIONS.index("sigmoid"))
    np.testing.assert_allclose(at["w"], seen, rtol=1e-12)
    assert gradients.numbers()["moved"] == pytest.approx(seen[-1] + 4, rel=1e-10)
    slope = SIGMOID(-4.0) * (1 - SIGMOID(-4.0))
    assert gradients.numbers()["first"] == pytest.approx((SIGMOID(-4.0) - 0.8) * slope, rel=1e-10)
    w = 0.0
    for _ in range(30):
        w -= (SIGMOID(w) - 0.8) * SIGMOID(w) * (1 - SIGMOID(w))
    assert gradients.numbers()["arrived"] == pytest.approx(w, rel=1e-10)
    at_w = 0.5 * (SIGMOID(w) - 0.8) ** 2
    assert gradients.numbers()["arrived_loss"] == pytest.approx(at_w, rel=1e-10)


def test_two_neurons_in_a_row():
    row = gradients.in_a_row()
    loss = lambda z: 0.5 * (SIGMOID(z) - 0.8) ** 2  # noqa: E731
    nudge = 1e-5  # a central difference: see above
    for measured, name in (
        (loss(SIGMOID(1 + nudge)) - loss(SIGMOID(1 - nudge)), "row_first"),
        (loss(SIGMOID(1) + nudge) - loss(SIGMOID(1) - nudge), "row_last"),
    ):
        assert abs(measured / (2 * nudge) - row[name]) < 1e-10
    assert row["row_first"] == pytest.approx(row["row_last"] * row["row_slope_1"], rel=1e-12)
    assert (row["row_below"], row["row_output"]) == pytest.approx(
        (SIGMOID(1.0), SIGMOID(SIGMOID(1.0))), rel=1e-12
    )
    assert row["row_slope_2"] == pytest.approx(
        SIGMOID(SIGMOID(1)) * (1 - SIGMOID(SIGMOID(1))), rel=1e-12
    )


def test_the_loss_of_one_digit():
    net, (x, y) = gradients.run(1).trained, gradients.examples()
    _, output = forward(net, 0, x[3:4])
    share = 1 + errors(output, y[3:4])[0, 3]
    found = gradients.answer(gradients.first(net), 3)
    assert int(y[3]) == output.argmax() == 3 and int(y[7]) == 7  # as the page says
    expected = {"output": output.max(), "probability": share, "loss": -np.log(share)}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name


def test_what_the_explorer_s_presets_show():
    explorer = gradients.explorer()
    relu = explorer.at(start=-4, rate=100, activation="relu")
    assert (relu["w"] == -4).all() and (relu["gradient"] == 0).all()
    assert explorer.at(start=-4, rate=1.9, activation="identity")["final"][0] < 0.1
    assert explorer.at(start=-4, rate=2.1, activation="identity")["final"][0] > 100
    assert explorer.at(start=0, rate=1, activation="sigmoid")["final"][0] < 0.01
    momentum = gradients.descend(lambda w, v, g, rate: (w + 0.9 * v - rate * g, 0.9 * v - rate * g))
    steps = momentum(-4.0, 1.0, 0)["w"]  # on the identity: w - 0.8 is the gradient
    saturated = momentum(-4.0, 1.0, gradients.ACTIVATIONS.index("sigmoid"))["w"]
    assert saturated[20] < np.log(4) < saturated[-1]  # past the best place, as the exercise says
    assert steps[1] == pytest.approx(0.8) and steps[2] == pytest.approx(0.8 + 0.9 * 4.8)


def test_flat_places_slow_the_neuron():
    numbers = gradients.numbers()
    w, count = -8.0, 0
    while 0.5 * (SIGMOID(w) - 0.8) ** 2 > 0.01:
        w -= (SIGMOID(w) - 0.8) * SIGMOID(w) * (1 - SIGMOID(w))
        count += 1
    assert numbers["steps_8"] == count > 3000 and numbers["steps_0"] == 13
    assert (0.8 - SIGMOID(-8.0)) / 0.3 < 3  # not three times as wrong, as the question says
    assert 700 < 0.25 / (SIGMOID(-8.0) * (1 - SIGMOID(-8.0))) < 800
    assert numbers["flat"] == pytest.approx(4 * SIGMOID(5.0) * (1 - SIGMOID(5.0)), rel=1e-9)


def test_adam_and_the_dead_relu():
    sgd, _ = gradients.steps_needed(-8.0, optax.sgd(0.1))
    adam, _ = gradients.steps_needed(-8.0, optax.adam(0.1))
    dead, end = gradients.steps_needed(-1.0, optax.adam(0.1), jax.nn.relu)
    assert adam < 200 < 10_000 < sgd and (dead, end) == (100_000, -1.0)


@pytest.mark.parametrize("number", [np.float64, np.float32])
def test_the_best_nudge_balances_two_errors(number):
    lengths, off = gradients.nudges(number)
    best, balance = lengths[off.argmin()], float(np.finfo(number).eps) ** (1 / 3)
    assert balance / 10 < best < balance * 10
    assert off[-1] > 1000 * off.min() and off[0] > 5 * off.min()
    if number is np.float64:  # a tenth of the nudge, a hundredth of the error
        np.testing.assert_allclose(off[:2] / off[1:3], 100, rtol=0.1)


def test_the_shallow_net_reads_and_the_deep_one_guesses():
    shallow, deep = gradients.run(1), gradients.run(8)
    assert shallow.accuracy.min() > 0.85 and deep.accuracy.max() < 0.2
    assert np.abs(deep.losses[:, -1] - np.log(10)).max() < 0.01
    assert gradients.numbers()["other_rates"] < 0.2
    digits = data.digits()
    for seed in range(gradients.SEEDS):
        _, output = forward(shallow.trained, seed, digits.x_test)
        read = np.mean(output.argmax(axis=1) == np.asarray(digits.y_test))
        assert shallow.accuracy[seed] == pytest.approx(read, rel=1e-6)  # a mean in float32


def test_signals_are_those_of_backpropagation_by_hand():
    deep, ways = gradients.run(8), gradients.two_ways()
    for seed in range(gradients.SEEDS):
        values, _ = forward(deep.initial, seed, gradients.examples()[0])
        deltas, weights = backward(deep.initial, seed)
        np.testing.assert_allclose(deep.weight_norms[seed, 0], rms(weights), rtol=1e-6)
        np.testing.assert_allclose(ways.error[seed], rms(deltas[:-1]), rtol=1e-6)
        spread = rms(h.std(axis=0) for h in values[1:])
        np.testing.assert_allclose(ways.difference[seed], spread, rtol=1e-6)


def test_layer_1_starves_and_keeps_its_noise():
    shallow, deep = gradients.run(1), gradients.run(8)
    assert (gradients.filters(shallow.initial) == gradients.filters(deep.initial)).all()
    ratio = deep.weight_norms[:, 0, 0] / deep.weight_norms[:, 0, -1]
    steps = np.median(deep.weight_norms[:, 0, 1:] / deep.weight_norms[:, 0, :-1], axis=0)
    assert ((3.5 < steps[1:-1]) & (steps[1:-1] < 5.2)).all()  # a factor of four to five
    assert 1.8 < steps[0] < 2.2 and 5.5 < steps[-1] < 6.5  # of two, of six
    assert ratio.max() < 1e-4  # four decades at the least, as a question says
    assert gradients.moved(deep).max() < 1e-3 < 1 < gradients.moved(shallow).min()
    # Of 112 pairs in each of 32 pictures, independent weights correlate by 1 / sqrt(3584) or so.
    noise = [gradients.likeness(one) for one in gradients.filters(shallow.initial)]
    learnt = [gradients.likeness(one) for one in gradients.filters(shallow.trained)]
    assert np.abs(noise).max() < 5 / np.sqrt(112 * 32) < 0.2 < min(learnt)
    one = np.random.default_rng(0).normal(size=(3, 8, 8))
    pairs = [(p[i, j], p[a, b]) for p in one for i in range(8) for j in range(8)
             for a, b in ((i + 1, j), (i, j + 1)) if a < 8 and b < 8]  # fmt: skip
    assert gradients.likeness(one) == pytest.approx(np.corrcoef(np.transpose(pairs))[0, 1])


def test_frozen_layers_stay_and_do_not_explain_the_deep_net():
    runs = {count: gradients.run(8, "tanh", count) for count in gradients.FROZEN}
    for count, result in runs.items():
        before, after = (
            jax.tree.leaves(net.layers[:count]) for net in (result.initial, result.trained)
        )
        assert all(bool((a == b).all()) for a, b in zip(before, after, strict=True))
        if count < 8:
            assert bool((result.initial.layers[count].w != result.trained.layers[count].w).any())
    medians = [np.median(result.accuracy) for result in runs.values()]
    assert (np.diff(medians) < 0).all() and 0.4 < runs[8].accuracy.min()
    assert gradients.run(1, frozen=1).accuracy.min() > 0.7 > 0.2 > gradients.run(8).accuracy.max()


def test_the_last_layer_stops_because_its_input_is_the_same_for_all():
    deep = gradients.run(8)
    late = deep.weight_norms[:, 10]
    assert (late[:, -1] < 1e-4 * deep.weight_norms[:, 0, -1]).all()
    assert (late.max(axis=1) < 5 * late.min(axis=1)).all()  # all layers are alike
    assert 1.5 < gradients.numbers()["beside"] < 2.5  # about twice layer 1's
    x, y = gradients.examples()
    for seed in range(gradients.SEEDS):
        values, output = forward(deep.trained, seed, x)
        error = errors(output, y)
        alone = np.outer(error.mean(axis=0), values[-1].mean(axis=0))  # one input for all
        exact = error.T @ values[-1] / len(x)
        assert np.abs(exact - alone).max() < values[-1].std(axis=0).max()  # errors are below 1
        assert np.abs(error.mean(axis=0)).max() < 1e-5  # the biases have done their work


def test_one_product_has_two_victims():
    forward, back = gradients.two_ways().left()
    assert forward.max() < 1e-4 and back.max() < 1e-4
    assert (np.abs(np.log(forward / back)) < np.log(2)).all()
    assert all(left.min() > 0.1 for left in gradients.two_ways(8, "tanh").left())
    ways = gradients.two_ways()
    assert ways.difference[:, -1].max() < 1e-5
    both = ways.error[:, 1:] * ways.difference[:, :-1]
    assert (both.max(axis=1) < 2 * both.min(axis=1)).all()  # one floor for all layers
    said, (_, labels) = gradients.floor(), gradients.examples()
    # A net that guesses is wrong by 0.9 once and by 0.1 nine times.
    assert abs(said["error_9"] / 0.3 - 1) < 0.1 and len(labels) == 512
    assert all(0.5 < said[f"floor_{layer}"] / np.median(both) < 2 for layer in (1, 9))
    slopes = [h * (1 - h) for h in (ways.low[:, 1:].min(), ways.high[:, 1:].max())]
    assert min(slopes) > 0.1  # from layer 2 on no unit is saturated
    for hidden, activation in ((4, "sigmoid"), (12, "sigmoid"), (8, "tanh"), (8, "relu")):
        forward, back = np.median(gradients.two_ways(hidden, activation).left(), axis=1)
        assert abs(np.log(forward / back)) < np.log(2)
    magnified = gradients.magnified()
    assert magnified.min() > 0.5  # the digits are there


def test_the_network_view_shows_the_differences():
    at = gradients.explorer_two_ways().at(digit=3, activation="sigmoid")
    net, (x, _) = gradients.run(8).initial, gradients.examples()
    values, _ = forward(net, 0, x)
    differences = [h[3] - h.mean(axis=0) for h in values[1:]]
    np.testing.assert_allclose(at["activation_size"], rms(differences), rtol=1e-6)
    units = np.concatenate([one[:8] for one in differences])
    np.testing.assert_allclose(at["activation"], units, rtol=1e-6, atol=1e-12)
    assert at["sentence"] == 0
    assert gradients.explorer_two_ways().at(digit=3, activation="tanh")["sentence"] == 1


def test_adam_starves_too_once_gradients_are_near_its_epsilon():
    shares = {hidden: gradients.first_adam_step(hidden) for hidden in gradients.ADAM_DEPTHS}
    for hidden, measured in shares.items():
        g = backward(gradients.draw(hidden, "sigmoid"), 0)[1][0]
        assert measured[0] == pytest.approx(rms([g / (np.abs(g) + 1e-8)])[0], rel=1e-5)
    assert 0.5 < shares[8].min() and shares[20].max() < 1e-5


def test_adam_does_not_repair_the_deep_net():
    medians = {rate: np.median(gradients.by_adam(rate)) for rate in (0.003, 0.01, 0.03)}
    assert max(medians, key=medians.get) == gradients.ADAM_RATE  # neither end of the three
    assert min(medians.values()) > 0.15 and max(medians.values()) < 0.3
    assert gradients.by_adam().max() < gradients.magnified().min()


def test_outputs_of_the_last_layer_are_the_same_for_a_3_and_a_7():
    net, (x, _) = gradients.draw(8, "sigmoid"), gradients.examples()
    values, _ = forward(net, 0, x)
    apart = [np.abs(h[3] - h[7]).max() for h in (values[1], values[-1])]
    assert apart[0] > 0.1 and apart[1] < 1e-4
    h = gradients.outputs(gradients.first(net), x[3])
    np.testing.assert_allclose(h, [h[3] for h in values[1:]], rtol=1e-6)
    low, high = gradients.two_ways().low[0, -1], gradients.two_ways().high[0, -1]
    assert (low, high) == pytest.approx((values[-1].min(), values[-1].max()), rel=1e-6)


def test_the_answers_of_the_questions():
    at_0 = jax.grad(gradients.loss)(0.0)
    assert at_0 == pytest.approx((0.5 - 0.8) * 0.25)
    z = jnp.linspace(-8, 8, 401)
    assert abs(z[jnp.argmin(gradients.loss(z))] - np.log(4)) < 0.05  # the sigmoid of ln 4 is 0.8
    assert gradients.loss(-8.0) > 0.99 * gradients.loss(-50.0)


def test_numbers_that_the_predictions_and_the_text_state_in_words():
    def slope(z):
        return SIGMOID(z) * (1 - SIGMOID(z))

    assert round(slope(-4.0), 3) == 0.018 and 740 < slope(0.0) / slope(-8.0) < 755
    assert (SIGMOID(-8.0) - 0.8) / (SIGMOID(0.0) - 0.8) < 3  # "less than three times as wrong"
    numbers = gradients.numbers()
    assert numbers["steps_0"] == 13 and numbers["steps_8"] > 3000
    assert abs(numbers["frozen_8"] - 0.5) < 0.05 and abs(numbers["moved"] - 0.5) < 0.05
    far, near = -2.0, -0.02  # z for the inputs 1 and 0.01
    assert 0.4 < (SIGMOID(near) - 0.8) / (SIGMOID(far) - 0.8) < 0.6  # "about halved"
    assert 2 < slope(near) / slope(far) < 2.5  # "about doubled"


@pytest.mark.parametrize(("activation", "layers"), [("tanh", 20), ("sigmoid", 2)])
def test_what_the_first_page_says_of_its_net(activation, layers):
    digits = data.digits()
    net = nets.mlp(jax.random.key(0), (64,) * 41 + (10,), activation, stacked=True)
    net = net.replace(depth=layers)
    ratio = grads.signals(net, digits.x_train[33:34], digits.y_train[33:34]).ratio
    assert 0.18 < ratio < 0.23  # "about a fifth"


def test_every_question_has_its_text():
    answers = {question.text: question.right for question in gradients.questions()}
    assert len(answers) == 6
