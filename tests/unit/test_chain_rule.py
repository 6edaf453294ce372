"""The page on the chain rule: its numbers by other ways, and what its text says of them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lessons import LESSONS, code

from vgcourse import chain_rule, gradients
from vgkit import activations, grads, nets

PAGE = "chapters/chain-rule"
INDEX = {name: number for number, name in enumerate(chain_rule.NAMES)}


def two(value):
    return float(f"{value:.1e}")


def loss_by_hand(w, b):
    h = jnp.asarray(chain_rule.INPUT)
    for weight, bias in zip(w, b, strict=True):
        h = jax.nn.sigmoid(weight * h + bias)
    return (h - chain_rule.TARGET) ** 2 / 2


def test_the_chain_by_hand():
    hand = chain_rule.worked()
    w, b = jnp.array(chain_rule.WEIGHTS), jnp.zeros(3)
    by_w, by_b = jax.grad(loss_by_hand, argnums=(0, 1))(w, b)
    np.testing.assert_allclose(hand.by_weight, by_w, rtol=1e-12)
    np.testing.assert_allclose(hand.delta, by_b, rtol=1e-12)
    np.testing.assert_allclose(hand.loss, loss_by_hand(w, b), rtol=1e-12)


def test_two_digits_suffice_to_follow_it():
    """Every product of the text and the picture, of numbers as printed, gives what is printed."""
    hand = chain_rule.worked()
    h, slopes, delta, by_weight = (
        list(map(two, part)) for part in (hand.h, hand.slopes, hand.delta, hand.by_weight)
    )
    assert two(h[3] * slopes[2]) == delta[2]
    assert two(delta[2] * 3 * slopes[1]) == delta[1] and two(delta[1] * 2 * slopes[0]) == delta[0]
    assert [two(d * below) for d, below in zip(delta, h, strict=False)] == by_weight
    text = LESSONS[PAGE]
    assert (h[3], slopes[2], h[2], by_weight[2]) == (0.92, 0.074, 0.81, 0.055)
    assert r"0.92 \cdot 0.074 \cdot 0.81 = 0.055" in text
    assert (slopes[:2], by_weight[0]) == ([0.20, 0.15], 0.012)
    assert [round(slope, 3) for slope in hand.slopes[:2]] == [0.197, 0.153]
    assert two(0.92 * 0.074 * 3 * 0.153 * 2 * 0.197) == 0.012
    assert (two(3 * 0.153), two(2 * 0.197)) == (0.46, 0.39)  # as the text has them
    assert chain_rule.numbers()["kept"] == pytest.approx(0.46 * 0.39, rel=0.01)
    assert "falls from 0.068 at neuron 3 to 0.012 at neuron 1" in text
    assert re.search(r"3 \\cdot 0\.153.*?2 \\cdot 0\.197.*?= 0\.012", text, re.S)


def test_the_first_layer_starves_at_a_constant_factor():
    sizes = chain_rule.error_sizes()
    assert sizes[:, 0].max() < 1e-12 and (sizes[:, 0] / sizes[:, -1]).max() < 1e-9
    steps = np.diff(np.log10(np.median(sizes, axis=0)))
    assert np.ptp(steps) < 0.06  # straight
    # Mean-field theory, for infinitely many units, gives 0.236; with 64 a typical product of
    # random matrices is smaller by about 1/(2 * 64) per layer.
    assert 0.98 < chain_rule.factor_per_layer() / (0.236052 * (1 - 1 / 128)) < 1.02
    # The text compares it with the fall of the weight gradients on the page before.
    start = gradients.run(gradients.DEEP).weight_norms[:, 0]
    drop = np.median(start[:, 2:-1] / start[:, 1:-2])
    assert abs(drop * chain_rule.factor_per_layer() - 1) < 0.05


def test_a_wider_net_comes_closer_to_theory():
    x, y = chain_rule.batch()
    net = jax.vmap(lambda key: nets.mlp(key, (64,) + (256,) * 12 + (10,), "sigmoid"))
    norms = jax.vmap(lambda one: grads.signals(one, x, y).error_norms[:-1])
    sizes = np.asarray(jax.jit(lambda keys: norms(net(keys)))(chain_rule.seeds()[:4]))
    factor = np.median((sizes[:, 1] / sizes[:, -1]) ** (1 / 10))
    assert chain_rule.factor_per_layer() < factor < 0.239


@pytest.mark.parametrize(
    ("setting", "factor"),
    [
        ((4, "identity", 0.1, 0.0), 0.1),
        ((8, "sigmoid", 1.0, -0.5), 0.25),
        ((8, "sigmoid", 4.0, -2.0), 1.0),
        ((12, "identity", 2.0, 0.0), 2.0),
        ((4, "relu", 1.0, -2.0), 0.0),
    ],
)
def test_chains_whose_product_is_known(setting, factor):
    length, name, weight, bias = setting
    result = chain_rule.chain(length, INDEX[name], weight, bias)
    np.testing.assert_allclose(result["factor"][:length], factor, rtol=1e-12)
    np.testing.assert_allclose(result["product"][0], factor**length, rtol=1e-12)
    assert np.isnan(result["product"][length:]).all() and (result["sentence"] == 0) == (not factor)
    assert chain_rule.product(*setting) == result["product"][0]


def test_what_runs_back_through_a_chain():
    """Derivatives of the last output, by differentiating from every pre-activation on."""
    weight, bias, length = 1.5, -0.5, 6
    result = chain_rule.chain_of(jnp.tanh, length, weight, bias)

    def rest(z, steps):
        for _ in range(steps):
            z = weight * jnp.tanh(z) + bias
        return jnp.tanh(z)

    z = weight * 0.5 + bias
    for k in range(length):
        np.testing.assert_allclose(
            result["error"][k], jax.grad(rest)(z, length - 1 - k), rtol=1e-12
        )
        np.testing.assert_allclose(result["product"][k], weight * result["error"][k], rtol=1e-12)
        np.testing.assert_allclose(result["activation"][k], jnp.tanh(z), rtol=1e-12)
        z = weight * jnp.tanh(z) + bias
    ratios = result["error"][: length - 1] / result["error"][1:length]
    np.testing.assert_allclose(ratios, result["factor"][: length - 1], rtol=1e-12)


def test_saturation_takes_it_all():
    assert chain_rule.product(8, "sigmoid", 8.0) < 1e-12


def test_the_way_back_through_the_drawn_layer():
    w, h = map(jnp.asarray, chain_rule.LAYER)
    by_h = jax.grad(lambda h: jax.nn.sigmoid(w @ h).sum())(h)
    assert two(by_h[1]) == 0.37 and r"0.5 \cdot 1 - 0.13 \cdot 1 = 0.37" in LESSONS[PAGE]


def test_a_softmax_of_three_classes():
    p, y = jnp.array([0.2, 0.5, 0.3]), jnp.array([1.0, 0.0, 0.0])
    delta = jax.grad(lambda z: -y @ jax.nn.log_softmax(z))(jnp.log(p))
    np.testing.assert_allclose(delta, [-0.8, 0.5, 0.3], rtol=1e-6)


def test_a_closed_unit_leaves_the_others_open():
    kept = chain_rule.saturate_one(chain_rule.seeds())
    assert kept["unit"].max() < 1e-10  # slope of a sigmoid about 30 from its middle
    assert 0.8 < kept["layer_below"].min() and kept["layer_below"].max() < 1.2
    assert 0.8 < kept["others"].min() and kept["others"].max() < 1.2


def test_the_code_of_the_page_is_backpropagation():
    scope = {"jax": jax, "jnp": jnp, "activations": activations}
    exec(code(PAGE, "backpropagation"), scope)
    net, x, y = chain_rule.example()
    by_w, delta = scope["backpropagation"](net, x, jax.nn.one_hot(y, 10))
    exact = jax.grad(lambda net: grads.cross_entropy(net(x), y))(net)
    for layer, w, b in zip([*exact.layers, exact.readout], by_w, delta, strict=True):
        np.testing.assert_allclose(w, layer.w, rtol=1e-10, atol=1e-18)
        np.testing.assert_allclose(b, layer.b, rtol=1e-10)
    measured = grads.signals(net, x[None], y[None]).error_signals
    for signal, one in zip(measured, delta, strict=True):
        np.testing.assert_allclose(signal[0], one, rtol=1e-10)


def test_the_bound_holds_and_the_typical_size_is_far_below():
    glorot, large = chain_rule.left_over().values()
    for result in (glorot, large):
        assert (result.left <= result.allowed * (1 + 1e-12)).all()
    quarter = 0.25**9
    assert quarter / 3 < glorot.left[:, 0].min() and glorot.left[:, 0].max() < quarter
    assert (glorot.allowed[:, 0] > 50 * quarter).all()
    np.testing.assert_allclose(large.allowed, 1, rtol=1e-9)
    assert 35_000 < np.median(large.left[:, 0]) / quarter < 48_000  # "forty thousand times"
    # "Most of what is missing is lost in layers 1 and 2"
    lost = np.diff(np.log(np.median(large.left, axis=0)))
    assert lost[:2].sum() > lost.sum() / 2
    # The largest singular value of a random matrix of variance 1/n tends to 2, from below.
    assert 1.8 < glorot.norm.min() and glorot.norm.max() < 2


def test_only_the_balanced_weight_keeps_a_signal():
    weights = np.geomspace(0.1, 100, 301)
    for length in (3, 12):
        kept = chain_rule.products(weights, length, "sigmoid", 0.5)
        np.testing.assert_allclose(kept, (weights / 4) ** length, rtol=1e-9)
    assert chain_rule.products(weights, 12, "tanh", 0.0).max() <= 1


def test_the_exercise_on_skips_knows_right_from_wrong():
    assert chain_rule.skip_error(lambda w, slope, by_h: by_h + w.T @ (slope * by_h)) < 1e-12
    assert chain_rule.skip_error(lambda w, slope, by_h: w.T @ (slope * by_h)) > 0.1


def test_scaled_inputs_change_the_weight_gradient_alone():
    """What a question says."""
    x, y = chain_rule.batch()
    net, _, _ = chain_rule.example()
    first, *others = net.layers
    scaled = net.replace(layers=(first.replace(w=first.w / 10), *others))
    before, after = grads.signals(net, x, y), grads.signals(scaled, 10 * x, y)
    np.testing.assert_allclose(after.error_signals[0], before.error_signals[0], rtol=1e-9)
    np.testing.assert_allclose(
        after.weight_gradients[0], 10 * before.weight_gradients[0], rtol=1e-9, atol=1e-18
    )
