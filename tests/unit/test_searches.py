"""What the long experiments are made of, against arithmetic by hand, NumPy and XLA."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vgcourse import results
from vgcourse.experiments import attention, league, memory, search, shortcuts
from vgkit import nets, recurrent, train

KEY = jax.random.key(3)


def test_rates_are_1_or_3_times_a_power_of_ten():
    assert [search.rate(position) for position in range(-6, 3)] == [
        0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0,
    ]  # fmt: skip


@pytest.mark.parametrize("start", [-12, -3, 0, 4])
def test_bracket_finds_the_lowest_of_a_valley(start):
    """Loss |p + 3| + 1; beyond 0 training diverges."""
    asked = {}

    def loss(position):
        return asked.setdefault(position, abs(position + 3) + 1 if position <= 0 else math.inf)

    assert search.bracket(loss, start) == -3
    assert {-4, -3, -2} <= asked.keys()


def test_bracket_takes_the_highest_rate_of_equals_and_stops_where_all_diverges():
    assert search.bracket(lambda position: 2.3 if position < 2 else math.inf, -4) == 1
    assert search.bracket(lambda position: math.inf, 0) == search.LOWEST
    assert search.bracket(lambda position: 2.3, 0) == search.HIGHEST


PLAN = search.Plan(optax.sgd, None, guess=1.0, every=10, short=20, least=40, patience=80, most=160)


@pytest.mark.parametrize(
    "losses, done",
    [
        ([], False),
        ([0.5, 0.5, 0.5], False),  # 30 steps: less than the least
        ([0.5, 0.5, 0.5, 0.5], True),
        ([0.5, 0.5, 0.5, 0.4], False),  # the second half brought 20 %
        ([0.5, 0.4, 0.5, 0.4], True),
        ([0.5, 0.4, 0.4, 0.397], True),  # less than 1 %
        ([0.95] * 7, False),  # it still guesses
        ([0.95] * 8, True),
        ([0.5 / n for n in range(1, 16)], False),
        ([0.5 / n for n in range(1, 17)], True),  # no more than the most
        ([0.5, math.inf], True),
    ],
)
def test_training_ends_when_its_second_half_has_brought_nothing(losses, done):
    assert search.flat(losses, PLAN) is done


def line(w, x, reference):
    return x * w


def data(size, examples=8):
    """y = 2x at x = size or -size: the loss is (size (w - 2))^2."""
    x = jnp.resize(jnp.array([size, -size]), (examples, 1))
    return search.Data(x, 2 * x, x, 2 * x, x, 2 * x)


LINE = PLAN._replace(
    answer=line, loss="mean_squared_error", batch=8, score=lambda a, y: -jnp.mean((a - y) ** 2)
)


def test_training_agrees_with_gradient_descent_by_hand():
    """A step takes w - 2 to (1 - 2 eta size^2) (w - 2); a batch holds all examples."""
    training = search.Training(jnp.array(0.0), 0.1, KEY, data(1.0), LINE)
    look = training.short()
    errors = [4 * 0.8 ** (2 * step) for step in range(21)]
    assert look.step == 20
    assert look.train_loss == pytest.approx(np.mean(errors[10:20]))
    assert look.validation_loss == pytest.approx(errors[20]) == -look.score
    assert training.flat().step == 160  # every half brings more than 1 %


def test_the_rate_is_the_best_and_the_search_says_so():
    """At eta = 1 / (2 size^2) one step is enough; size^2 = 5/3 makes it 0.3."""
    drawn = [jnp.array(float(start)) for start in range(3)]
    found = search.measure(drawn, KEY, data((5 / 3) ** 0.5), LINE, (-6, -4))
    assert len(found["flat"]) == len(search.COLUMNS) and len(found["short"]) == 5
    assert found["short"][0] == found["flat"][0] == 0.3 and found["short"][4] < 1e-20


def test_times_are_relative_to_one_network():
    given = {"a": jnp.array(0.0), "b": jnp.array(1.0)}
    found = search.times(given, data(1.0), LINE, "b")
    assert found["b"] == 1 and found["a"] > 0


def test_a_rate_at_which_a_later_network_diverges_is_left():
    """Loss (w^2 - 1)^2 / 4 has the gradient w^3 - w: a start far out diverges at a lower rate."""

    def answer(w, x, reference):
        return jnp.full_like(x, (w**2 - 1) / 2)

    zeros = jnp.zeros((8, 1))
    plan = LINE._replace(answer=answer, guess=math.inf)
    drawn = [jnp.array(w) for w in (1.1, 1.2, 6.0)]
    choosing = search.measure(drawn[:2], KEY, search.Data(*[zeros] * 6), plan, (-2,))
    alone = search.measure(drawn, KEY, search.Data(*[zeros] * 6), plan, (-2,))
    assert alone["flat"][0] < choosing["flat"][0]
    assert alone["flat"][0] < 2 / 36  # a step of eta w^3 from 6 must not lead beyond -6
    assert math.isfinite(alone["flat"][6])


def test_measuring_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    labels, asked = [("a", "1"), ("a", "2"), ("b", "1")], []

    def measure(label):
        asked.append(label)
        if label == ("b", "1") and len(asked) < 3:
            raise KeyboardInterrupt
        return {"flat": [0.1]}

    def run(*options):
        monkeypatch.setattr("sys.argv", ["demo", "--folder", str(tmp_path), *options])
        search.main("demo", labels, measure, lambda: {"also": 1}, seeds=5)

    monkeypatch.setattr(results, "FOLDER", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run("--reverse")
    run("--write")
    assert asked == [("b", "1"), ("a", "1"), ("a", "2"), ("b", "1")]
    run("--write")
    assert len(asked) == 4
    kept = json.loads((tmp_path / "demo.json").read_text())
    assert kept["runs"] == {"flat": {"a": {"1": [0.1], "2": [0.1]}, "b": {"1": [0.1]}}}
    assert kept["also"] == 1 and kept["made"]["seeds"] == 5
    assert "3 of 3, b, 1" in capsys.readouterr().out


def test_the_league_has_every_remedy_at_every_depth():
    assert len({*league.LABELS}) == len(league.LABELS)
    assert {label[0] for label in league.LABELS} == {"SGD", "momentum", "Adam"}
    made = league.at_the_start("logistic regression", 0)
    assert made["parameters"] == 64 * 10 + 10
    made = league.at_the_start("PReLU, He", 4)
    assert made["parameters"] == 4 * (64 * 64 + 64 + 1) + 64 * 10 + 10


def test_networks_of_the_league_are_as_named():
    clip = league.plan("SGD", 1.0).optimiser(1.0)
    updates, _ = clip.update(jnp.array([3.0, 4.0]), clip.init(jnp.zeros(2)))
    np.testing.assert_allclose(updates, [-0.6, -0.8])
    net = league.networks("pre-activation, layer norm", 4)[0]
    assert (net.order, net.norm, net.skip, net.size) == ("pre_activation", "layer", True, 4)


def test_batch_norm_is_judged_with_the_statistics_of_training():
    net, given = league.networks("ReLU, He, batch norm", 4)[0], league.digits()
    few = league.answer(net, given.x_test[:3], given.x)
    np.testing.assert_allclose(few, league.answer(net, given.x_test[:9], given.x)[:3], rtol=1e-9)
    unbiased = nets.batch_statistics(net, given.x)
    np.testing.assert_allclose(few, nets.forward(net, given.x_test[:3], statistics=unbiased))


def test_a_ratio_of_the_league_by_finite_differences_of_nothing_but_the_loss():
    """dL/dW of the first and the last hidden layer, by central differences of single weights."""
    net, given = league.networks("tanh, Glorot", 4)[0], league.digits()
    x, y = given.x[: league.PROBE], given.y[: league.PROBE]

    @jax.jit
    def loss(w):
        layers = net.layers.replace(w=w)
        return train.mean_loss(
            nets.forward(net.replace(layers=layers), x),
            y,
            optax.softmax_cross_entropy_with_integer_labels,
        )

    w, step, rms = net.layers.w, 1e-4, []
    for layer in (0, -1):
        direction = jax.random.rademacher(KEY, (400, 64, 64), float)

        def slope(d, layer=layer):
            return (loss(w.at[layer].add(step * d)) - loss(w.at[layer].add(-step * d))) / (2 * step)

        # The mean square of a slope along random signs is the squared length of the gradient, to
        # sqrt(2 / 400) = 7 % of itself.
        rms.append(float(jnp.mean(jax.lax.map(slope, direction) ** 2)) ** 0.5)
    assert float(league.ratios(net)["dL/dW"]) == pytest.approx(rms[0] / rms[1], rel=0.25)


def test_scores_by_hand():
    y = jnp.array([[1.0], [1.0], [0.5], [1.5]])
    # errors 0, 0, 1/2 and 1/2: the mean square 1/8 is 3/4 of the variance 1/6
    np.testing.assert_allclose(memory.explained(jnp.ones((4, 1)), y), 0.25)
    labels = jnp.array([[4, 4, 0, 1, 2, 3]])
    answers = jax.nn.one_hot(jnp.array([[0, 0, 0, 1, 2, 0]]), 5)
    np.testing.assert_allclose(memory.copied(answers, labels), 0.75)


def test_the_first_lstm_never_forgets_nor_learns_to():
    with jax.enable_x64(False):
        cell = memory.CELLS["LSTM, no forget gate"](KEY, 2, 8)
        x = jax.random.uniform(KEY, (30, 2))
        gradient = jax.grad(lambda cell: jnp.sum(recurrent.run(cell, x).h[-1]))(cell)
        f = jax.nn.sigmoid(cell.b[1] - 10)  # whatever the input and the state are
        assert (f == 1).all()
        for leaf in jax.tree.leaves(gradient):
            assert not leaf[1].any() and leaf[0].any()


def test_memories_of_one_step_to_the_whole_sequence():
    cell = (
        memory.long_range(KEY, 2, 4000, length=101)
        if False
        else memory.long_range(KEY, 2, 64, length=101)
    )
    kept = jax.nn.sigmoid(cell.b[1])
    steps = np.sort(np.asarray(1 / (1 - kept))) - 1  # e^bias, uniform from 1 to 100
    assert 1 <= steps[0] and steps[-1] <= 100
    assert steps.mean() == pytest.approx(50.5, abs=4 * 99 / (12 * 64) ** 0.5)
    np.testing.assert_allclose(cell.b[0], -cell.b[1])


def test_an_echo_state_network_is_scored():
    task = memory.TASKS["copying"]
    given = memory.draw(memory.COPY, 2)
    found = memory.echo(KEY, 0.9, 1.0, given, task)
    assert found.shape == (2, len(memory.STRENGTHS))
    assert (found[1, :3] > 0.9).all()  # memory of 5 steps for 200 units


def test_convolution_is_that_of_xla():
    w, h = jax.random.normal(KEY, (9 * 3, 5)), jax.random.normal(KEY, (2, 4, 4, 3))
    kernel = w.reshape(3, 3, 3, 5)
    expected = jax.lax.conv_general_dilated(
        h, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(shortcuts.convolve(w, h), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shortcut", shortcuts.SHORTCUTS)
def test_shortcuts_where_branches_are_silent(shortcut):
    """With second layers of weights 0 a block is its shortcut, as activations are not negative."""
    kind = shortcuts.Kind(shortcut=shortcut)
    net = shortcuts.draw(KEY, kind, 14)
    silent = [
        tuple(b._replace(second=b.second._replace(w=0 * b.second.w)) for b in stage)
        for stage in net.stages
    ]
    x = jax.random.normal(KEY, (3, 8, 8, 1))
    found = shortcuts.forward(kind, net._replace(stages=tuple(silent)), x)
    h = jnp.maximum(shortcuts.convolve(net.stem.w, x), 0)

    def pool(h):
        return (h[:, ::2, ::2] + h[:, 1::2, ::2] + h[:, ::2, 1::2] + h[:, 1::2, 1::2]) / 4

    if shortcut == "projection":
        for first, _ in silent[1:]:
            h = jnp.maximum(pool(h) @ first.project, 0)
        expected = h.mean((1, 2)) @ net.readout
    elif shortcut == "zero padding":
        expected = h.mean((1, 2)) @ net.readout[:8]
    else:
        expected = jnp.zeros((3, 10))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_depth_of_a_residual_net_counts_convolutions_and_readout():
    for depth in shortcuts.DEPTHS:
        net = shortcuts.draw(KEY, shortcuts.Kind(), depth)
        blocks = sum(1 + more.first.w.shape[0] for _, more in net.stages)
        assert 1 + 2 * blocks + 1 == depth


def test_activations_of_a_plain_convolutional_net_keep_their_size():
    """He's variance counts the inputs inside the image: no layer makes activations fade."""
    kind = shortcuts.Kind()
    sizes = []
    for key in jax.random.split(KEY, 8):
        net = shortcuts.draw(key, kind, 20)
        h = jnp.abs(jax.random.normal(key, (16, 4, 4, 16)))
        last = jax.tree.map(lambda leaf: leaf[0], net.stages[1][1])
        z = shortcuts.convolve(last.second.w, h)
        sizes.append(jnp.mean(z**2) / jnp.mean(h**2) / 2)
    # 16 * 9 * 16 weights a net: the error of the mean of 8 is about sqrt(2 / 144 / 8) = 4 %
    assert np.mean(sizes) == pytest.approx(1, abs=0.2)


def test_batch_norm_of_a_convolutional_net_takes_its_statistics_from_the_reference():
    kind = shortcuts.Kind(shortcut="projection", norm=True)
    net = shortcuts.draw(KEY, kind, 8)
    x = jax.random.normal(KEY, (12, 8, 8, 1))
    whole = shortcuts.forward(kind, net, x)
    few = shortcuts.answer(kind, net, x[:2], x)
    np.testing.assert_allclose(few, whole[:2], rtol=1e-8, atol=1e-10)


def test_profiles_of_a_convolutional_net():
    """After the last block dL/dh is the mean's share of what the readout hands back."""
    kind, data = shortcuts.Kind(), shortcuts.images()
    net = shortcuts.draw(KEY, kind, 8)
    found = shortcuts.profile(kind, net)
    x, y = data.x[: shortcuts.PROBE], data.y[: shortcuts.PROBE]
    outputs = jax.nn.softmax(shortcuts.forward(kind, net, x))
    by_h = (outputs - jax.nn.one_hot(y, 10)) @ net.readout.T / 4  # 2 x 2 positions
    assert found["dL/dh"].shape == found["dL/dz"].shape == (3,)
    np.testing.assert_allclose(found["dL/dh"][-1], np.sqrt(np.mean(by_h**2)), rtol=1e-9)
    assert (found["dL/dz"] < found["dL/dh"]).all()  # dL/dz is dL/dh where the unit is on


def test_attention_against_numpy_looks_back_only():
    _, blocks, _ = attention.draw(KEY)
    block = jax.tree.map(lambda leaf: leaf[0], blocks)
    h = jax.random.normal(KEY, (attention.TOKENS, attention.WIDTH))
    q, k, v = np.split(np.asarray(h @ block.attend), 3, axis=1)
    found, size = [], attention.WIDTH // attention.HEADS
    for head in range(attention.HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(q[:, part] @ k[:, part].T / size**0.5)
        scores = np.tril(scores)
        found.append(scores / scores.sum(axis=1, keepdims=True) @ v[:, part])
    expected = np.concatenate(found, axis=1) @ np.asarray(block.project)
    # JAX takes the scores in float32
    np.testing.assert_allclose(attention.attention(block, h), expected, rtol=1e-5, atol=1e-6)


def test_norms_of_a_token():
    h = jnp.array([[3.0, 4.0, 5.0], [1.0, 1.0, -2.0]])
    centred = h - h.mean(axis=1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(attention.layer_norm(h), expected, rtol=1e-9)
    expected = h / np.sqrt((h**2).mean(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(attention.rms_norm(h), expected, rtol=1e-9)


def test_a_post_norm_stream_ends_with_the_readout_s_gradient(monkeypatch):
    """After the last post-norm dL/dh is what the readout hands back, about sqrt(1 / 64) / 16."""
    found = attention.profile(attention.KINDS["post-norm"], KEY)
    # softmax less one-hot has a length of about 1; times a readout of variance 1 / 64, over 16
    # tokens, for each of 64 elements
    assert float(found["dL/dh"][-1]) == pytest.approx(1 / 64**0.5 / 16, rel=0.3)
    pre = attention.profile(attention.KINDS["pre-norm"], KEY)
    assert pre["dL/dh"].shape == pre["dL/dW"].shape == (attention.DEPTH,)
    assert float(pre["dL/dh"][0] / pre["dL/dh"][-1]) < 10  # the stream passes it on
