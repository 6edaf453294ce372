"""The page on what theory predicts: its numbers by other ways, and what its text says of them."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lessons import CHAPTERS

from vgcourse import page, theory
from vgkit import activations
from vgkit import theory as mean_field

NODES = np.linspace(-8, 8, 2000)  # 0, where kinks are, lies between two of them
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
FOUR_MEDIANS = 4 * 1.25  # four standard errors of a median, in standard errors of a mean
GRID = list(itertools.product(theory.NAMES, theory.BIASES))


def median(name):
    return np.median(theory.measured(name), axis=0)


def words(name, sigma_b):
    """Outcome of each gain."""
    each = [theory.deep(name, gain, sigma_b).sentence for gain in theory.GAINS]
    return dict(zip(theory.GAINS, (theory.OUTCOMES[int(one)] for one in each), strict=True))


# Random networks


def test_the_error_signal_by_hand():
    key = jax.random.key(5)
    net, x = theory.draw(key, "relu", "he_normal", width=6, depth=4)
    hs, zs = [np.asarray(x)], []
    for w in np.asarray(net.layers.w):
        zs.append(w @ hs[-1])
        hs.append(np.maximum(zs[-1], 0))
    back, deltas = np.asarray(net.readout.w)[0], []
    for w, z in zip(np.asarray(net.layers.w)[::-1], zs[::-1], strict=True):
        deltas.append(back * (z > 0))
        back = w.T @ deltas[-1]
    sizes = np.array([np.sqrt(np.mean(delta**2)) for delta in deltas[::-1]])
    np.testing.assert_allclose(np.mean(np.asarray(x) ** 2), 1)
    np.testing.assert_allclose(theory.left(net, x), sizes / sizes[-1], rtol=1e-12)
    z, delta = theory.both_ways(net, x)
    np.testing.assert_allclose(z, zs, rtol=1e-12)
    np.testing.assert_allclose(delta, deltas[::-1], rtol=1e-12, atol=1e-15)


def test_he_initialisation_is_not_for_gelu():
    relu, gelu = median("relu"), theory.measured("gelu")
    z = np.concatenate([np.linspace(-9, -2, 99), np.linspace(2, 9, 99)])
    gap = activations.function("gelu")(z) - activations.function("relu")(z)
    assert np.abs(gap).max() < 0.05
    assert 0.2 < relu.min() and relu.max() < 2
    assert 2e-6 < np.median(gelu[:, 0]) < 1e-5  # "about five millionths"
    line = np.log(np.median(gelu, axis=0))
    steps = np.diff(line)
    assert np.std(steps[20:]) < 0.2 * steps[20:].mean()  # "a straight line"
    assert abs(line[14] - line[0]) < 1  # "level" from about layer 15 on
    assert gelu[:, 0].max() > 100 * gelu[:, 0].min()  # "differ by decades"


# One layer


def test_the_factor_by_drawing():
    z = np.random.default_rng(0).normal(size=1_000_000)
    for name, pair in theory.PAIRS.items():
        for length in (0.05, 1.0, 20.0):
            squares = np.asarray(activations.slope(name, length**0.5 * z)) ** 2
            factor = pair.gain * np.sqrt(squares.mean())
            error = squares.std() / 1000 / squares.mean() / 2
            found = float(theory.factor(length, name, pair.gain))
            assert abs(found / factor - 1) < 4 * error + 1e-9


def test_gelu_loses_its_length_and_then_its_factor():
    """Layer 1 has the length 2; the factor is near 1 for a dozen layers, then falls to √½."""
    lengths = theory.predicted("gelu").length
    factors = theory.factor(lengths, "gelu", 2**0.5)
    assert lengths[0] == pytest.approx(2) and (jnp.diff(lengths) < 0).all()
    assert jnp.prod(factors[:12]) > 0.5 and factors[20] < 0.72
    for length in (3.1, 10.0, 1e2, 1e6):  # "beyond q = 3 slightly above 1", and no length is kept
        assert 1 < theory.factor(length, "gelu", 2**0.5) < 1.02
        assert mean_field.length_map(length, "gelu", 2**0.5) < length
    assert math.erf(2 / (2 * 2) ** 0.5) > 0.8  # of |z| < 2 where the length is 2: "most z"


def test_where_five_pairs_settle():
    deep = {name: theory.deep(name, pair.gain, 0.0) for name, pair in theory.PAIRS.items()}
    factor = {name: float(one.factor) for name, one in deep.items()}
    assert deep["tanh"].length == 0 == deep["gelu"].length
    assert factor["tanh"] == pytest.approx(1) == factor["relu"]
    assert factor["gelu"] == pytest.approx(0.5**0.5)  # √2 · ½
    assert deep["selu"].length == pytest.approx(1) and factor["selu"] > 1.03
    assert factor["sigmoid"] == pytest.approx(0.23605, abs=1e-5)
    assert theory.deep("sigmoid", 2**0.5, 0.0).factor < 0.4  # "with every usual initialiser"
    assert np.ptp(theory.factor(theory.LENGTHS, "relu", 2**0.5)) < 1e-9
    assert theory.factor(theory.LENGTHS, "sigmoid", 1.0).max() <= 0.25
    for name, initialised in theory.PAIRS.items():  # a gain is what its initialiser has
        forward, backward = mean_field.gains((64, 64, 64, 1), initialised.init)
        np.testing.assert_allclose([*forward, backward[0]], initialised.gain**2)
        assert name in initialised.label.lower()


@pytest.mark.parametrize("name", list(theory.PAIRS)[:4])
def test_the_prediction_is_that_of_real_nets(name):
    log, expected = np.log(theory.measured(name)[:, 0]), theory.predicted(name)
    variance = float(expected.log_variance[0])
    error = max(np.std(log), math.sqrt(variance / 4)) / 12**0.5
    gap = np.median(log) - np.log(expected.error_signal[0]) + variance / 4
    assert abs(gap) < FOUR_MEDIANS * error


def test_tanh_decays_like_a_power():
    far = [
        mean_field.predict("tanh", jnp.ones(200), jnp.ones(200), 128, depth=depth).error_signal[0]
        for depth in (50, 100, 200)
    ]
    assert abs(far[2] / far[1] - far[1] / far[0]) < 0.02  # the same for each doubling


# The assumption of independence


def test_independence_holds_for_a_random_readout_and_fails_for_an_equal_one():
    """Where all weights are equal, a unit that is on gets a share of its own output.

    W^T δ then has the mean sqrt(2 / (π q)) h beside noise of variance 1 (to first order in 1 / n),
    so its mean square is 1 + 2/π at units that are on, 1, as in theory, at the others.
    """
    layers, width = 2, 300

    def at_on_and_off(key, readout):
        net, x = theory._with_readout(key, readout, width, layers)
        z, delta = theory.both_ways(net, x)
        on, arrives = z[0] > 0, net.layers.w[1].T @ delta[1]
        squares = arrives**2 / (2 * jnp.mean(delta[1] ** 2))  # He's gain, squared, is 2
        return jnp.stack([jnp.mean(squares, where=on), jnp.mean(squares, where=~on)])

    keys = jax.random.split(jax.random.key(0), 24)
    for readout, exact in (("random", (1, 1)), ("equal", (1 + 2 / np.pi, 1))):
        found = jax.jit(jax.vmap(lambda key, readout=readout: at_on_and_off(key, readout)))(keys)
        error = found.std(axis=0) / 24**0.5
        assert (abs(found.mean(axis=0) - jnp.array(exact)) < 4 * error + 5 / width).all()


def test_the_ratio_that_the_page_prints():
    for readout, said in (("random", "1.0"), ("equal", "1.7")):
        net, x = theory.with_readout(readout)
        z, delta = theory.both_ways(net, x)
        squares, on = (net.layers.w[1].T @ delta[1]) ** 2, z[0] > 0
        ratio = jnp.mean(squares, where=on) / jnp.mean(squares, where=~on)
        assert page.text(ratio, ".1f") == said
    by_size = np.median(theory.by_readout("equal")[:, -2])
    assert page.text(by_size, ".1f") == page.text(1.7**0.5, ".1f") == "1.3"


def test_an_equal_readout_makes_the_error_signal_grow():
    """Each layer adds 2/π to the squared signal, however wide the layers are."""
    random, equal = (theory.by_readout(readout) for readout in theory.READOUTS)
    for steps in (1, 3, 6):
        squares = equal[:, -1 - steps] ** 2
        allowed = 4 * squares.std() / 8**0.5 + 5 * steps / theory.WIDE
        assert abs(squares.mean() - (1 + 2 / np.pi * steps)) < allowed
    assert np.abs(np.median(random, axis=0) - 1).max() < 0.2
    assert 2.5 < np.median(equal[:, 0]) < 3.5 and equal[:, 0].min() > 1.5


def test_a_wider_net_with_an_equal_readout_grows_more():
    narrow, wide = (theory.by_readout("equal", width) for width in (theory.WIDE, 2 * theory.WIDE))
    assert np.median(wide[:, 0]) > np.median(narrow[:, 0])


# The edge of chaos


def test_almost_equal_inputs_are_driven_apart_beyond_the_edge():
    """A small distance grows forward by the factor that belongs to the error signal."""
    shrinks, edge, grows = (theory.apart(gain) for gain in (0.9, 1.0, 2.0))
    lengths = mean_field.predict("tanh", *2 * [jnp.full(50, 4.0)], 512).length
    factors = theory.factor(lengths, "tanh", 2.0)
    # The outputs of layers k - 1 and k lie on both sides of the weights and slopes of layer k. Like
    # the error signal's, the logarithm of their distance varies by about 5 / width a layer.
    for layer in (4, 8, 12):
        found, expected = np.log(grows[layer] / grows[0]), jnp.log(factors[1 : layer + 1]).sum()
        assert abs(found - float(expected)) < 4 * (5 * layer / 512 / 4) ** 0.5
    unrelated = np.sqrt(2 * lengths[-1] / 4)  # E h² is q / gain², E (h - h')² is twice that
    assert np.ptp(np.log(grows[-10:])) < 0.2 and abs(grows[-1] / unrelated - 1) < 0.2
    steps = np.diff(np.log(shrinks))
    assert steps[20:].mean() == pytest.approx(np.log(0.9), abs=0.05)  # "a straight line"
    slowing = -np.diff(np.log(edge))
    assert slowing[:5].mean() > 2 * slowing[-15:].mean() > 0  # "ever more slowly"


@pytest.mark.parametrize("name", theory.NAMES)
def test_where_deep_layers_arrive_by_going_there(name):
    """The lengths of 2000 layers, and the last factor, by sums over a grid."""
    phi = activations.function(name)

    @jax.jit
    def go(gain, sigma_b):
        def step(q, _):
            q = gain**2 * jnp.sum(WEIGHTS * phi(jnp.sqrt(q) * NODES) ** 2) + sigma_b**2
            return q, q

        return jax.lax.scan(step, jnp.asarray(gain**2 + sigma_b**2, float), None, 2000)[1]

    def at_last(length, gain):
        steep = activations.slope(name, np.sqrt(max(length, 1e-30)) * NODES)
        return gain * np.sqrt(np.sum(WEIGHTS * np.asarray(steep) ** 2))

    for sigma_b, gain in itertools.product(theory.BIASES, theory.GAINS):
        lengths = go(gain, sigma_b)
        grows = not lengths[-1] <= min(1.2 * lengths[len(lengths) // 2], 1e9)
        factor = at_last(1e9, gain) if grows else at_last(lengths[-1], gain)
        deep = theory.deep(name, gain, sigma_b)
        settles, signal = theory.OUTCOMES[int(deep.sentence)].split(", ")
        assert settles == ("grows" if grows else "settles"), (sigma_b, gain)
        if not grows:
            assert deep.length == pytest.approx(float(lengths[-1]), rel=1e-3, abs=1e-3)
        expected = (
            "factor 1" if abs(factor - 1) < 0.002 else "vanishes" if factor < 1 else "explodes"
        )
        assert signal == expected, (sigma_b, gain, factor)
        assert deep.factor == pytest.approx(float(factor), abs=1e-3 * max(1, gain))


@pytest.mark.parametrize(("name", "sigma_b"), GRID)
def test_the_explorer_s_words_agree_with_the_table(name, sigma_b):
    kept, said = theory.keeping(name, sigma_b), words(name, sigma_b)
    if kept is None:
        settled = [word for word in said.values() if word.startswith("settles")]
        assert settled and set(settled) == {"settles, vanishes"}
        return
    for gain, word in said.items():
        if abs(gain / kept.gain - 1) < 0.01:
            assert word == ("settles, factor 1" if kept.settles else "grows, factor 1") or (
                (name, sigma_b) == ("gelu", 0.5) and gain == 2**0.5  # 1 % above: just grown out
            )
        elif gain < kept.gain:
            assert word == "settles, vanishes"
        else:
            assert word.endswith("explodes") or (name, gain) == ("gelu", 2**0.5)
    at = theory.deep(name, kept.gain, sigma_b)
    assert at.factor == pytest.approx(1, abs=1e-6)
    assert bool(jnp.isfinite(at.length)) == kept.settles


def test_the_table_on_the_page():
    text, numbers = CHAPTERS["chapters/causes/theory"], theory.numbers()
    names = {"ReLU": "relu", "SELU": "selu", "GELU": "gelu"}
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    heads, body = rows[0], [row for row in rows[1:] if len(row) == 4]
    assert [float(head.split("= ")[1]) for head in heads[-3:]] == list(theory.BIASES)
    assert {names.get(row[0], row[0]) for row in body} == {*theory.NAMES}
    for name, *entries in body:
        for entry, sigma_b in zip(entries, theory.BIASES, strict=True):
            kept = theory.keeping(names.get(name, name), sigma_b)
            if kept is None:
                assert entry == "none"
            elif name == "ReLU":
                assert kept.gain == pytest.approx(2**0.5)
                assert entry == ("√2" if kept.settles else "√2, length grows")
            else:
                number = entry.split("`")[1].split()[0]
                assert numbers[number] == kept.gain and kept.settles


def test_relu_keeps_its_gradient_whatever_the_biases():
    forward = jnp.full(50, 2.0)
    for sigma_b in theory.BIASES:
        expected = mean_field.predict("relu", forward, forward, 128, sigma_b=sigma_b)
        np.testing.assert_allclose(expected.error_signal, 1)
        np.testing.assert_allclose(np.diff(expected.length), sigma_b**2, atol=1e-12)


def test_what_the_text_says_of_sigmoid_gelu_and_softplus():
    edge = mean_field.edge_of_chaos("sigmoid")
    z = np.sqrt(edge.length) * np.random.default_rng(2).normal(size=1_000_000)
    flat = np.mean(np.abs(z) > np.log(99))
    assert abs(theory.outside() - flat) < 4 * 0.5 / 1000 and edge.sigma_w > 10
    for sigma_b, length in ((0.0, 1e-9), (0.1, 0.183)):  # GELU: where its factor is 1
        assert theory.keeping("gelu", sigma_b) is None
        gain = 1 / float(theory.factor(length, "gelu", 1.0))
        growth = [
            float(mean_field.length_map(q, "gelu", gain, sigma_b)) - q
            for q in (length, 1.1 * length + 1e-3)
        ]
        assert abs(growth[0]) < 1e-3 * length and growth[1] > 0  # a larger one grows
    settled = [g for g in np.linspace(0.3, 1.4, 12) if jnp.isfinite(deep_softplus(g).length)]
    assert len(settled) == 12 and all(deep_softplus(gain).factor < 1 for gain in settled)
    assert jnp.isinf(deep_softplus(1.42).length)


def deep_softplus(gain):
    return theory.deep("softplus", gain, 0.0)


# The explorer


@pytest.fixture(scope="module")
def explorer():
    return theory.explorer()


def number(result, name):
    return float(np.ravel(result[name])[0])


def test_the_explorer_s_sentences(explorer):
    assert len(theory.SUMMARY) == len(theory.OUTCOMES)
    for outcome, sentence in zip(theory.OUTCOMES, theory.SUMMARY, strict=True):
        settles, signal = outcome.split(", ")
        assert ("settles" in sentence) == (settles == "settles")
        assert ("without end" in sentence) == (settles == "grows")
        assert ("vanishes" in sentence, "explodes" in sentence) == (
            signal == "vanishes", signal == "explodes",
        )  # fmt: skip
        assert ("{percent}" in sentence) == (signal != "factor 1")
    seen = set()
    for (name, sigma_b), gain, width in itertools.product(GRID, theory.GAINS, range(3)):
        result = explorer.at(activation=name, gain=gain, sigma_b=sigma_b, width=width)
        deep = theory.deep(name, gain, sigma_b)
        assert number(result, "sentence") == deep.sentence
        seen.add(theory.OUTCOMES[int(deep.sentence)])
        if "vanishes" in theory.OUTCOMES[int(deep.sentence)]:
            assert number(result, "percent") == pytest.approx(100 * (1 - deep.factor))
    assert seen == {*theory.OUTCOMES}


def test_the_explorer_s_net_is_one_of_that_gain(explorer):
    result = explorer.at(activation="relu", gain=2**0.5, sigma_b=0.5, width=2)
    np.testing.assert_allclose(np.ravel(result["theory"]), 1)
    net, _ = theory._base(160)
    for size in (float(jnp.std(net.layers.b)), float(jnp.std(net.layers.w)) * 160**0.5):
        assert abs(size - 1) < 4 / (2 * net.layers.b.size) ** 0.5
    # A wide net comes close to theory: the median lies exp(-variance / 4) lower.
    for name in ("sigmoid", "tanh", "selu"):
        result = explorer.at(activation=name, gain=1, sigma_b=0.1, width=2)
        ratio, predicted = (number(result, key) for key in ("ratio", "predicted"))
        assert abs(np.log(ratio / predicted)) < 1


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_four_of_five_nets_lie_in_the_band(name):
    gain = theory.PAIRS[name].gain
    gains = jnp.full(theory.MOST, gain**2)
    expected = mean_field.predict(name, gains, gains, 40)
    keys = jax.random.split(jax.random.key(2), 300)
    init = theory.PAIRS[name].init
    log = np.log(np.asarray(theory._left(keys, name, init, 40, theory.MOST))[:, 0])
    middle = np.log(expected.error_signal[0]) - expected.log_variance[0] / 4
    inside = np.abs(log - middle) < 1.2816 * np.sqrt(expected.log_variance[0]) / 2
    assert 0.65 < inside.mean() < 0.95  # "roughly four of five"


def test_an_activation_of_a_reader_s_own():
    mine = theory.with_activation(jnp.tanh)(0, 1.0, 0.1, 0)
    usual = theory.comparison()(theory.NAMES.index("tanh"), 1.0, 0.1, 0)
    for key, value in usual.items():
        np.testing.assert_allclose(mine[key], value, rtol=1e-9, err_msg=key)


# Finite width


def test_a_product_of_factors_around_1_is_mostly_small():
    assert 0.84**15 < 0.08  # the median of 30 factors of 0.6 and 1.4: 15 of each
    products = np.random.default_rng(0).choice([0.6, 1.4], size=(100_000, 30)).prod(axis=1)
    assert abs(products.mean() - 1) < 4 * (1.16**30 / 100_000) ** 0.5
    assert page.text(np.median(products), ".3f") == "0.073"


def test_narrow_nets_lose_their_signal():
    for width in (64, 160):  # to first order in 1 / width
        variance, kept = 5 * 29 / width, theory.narrow(width)
        log = np.log(kept[kept > 0])
        allowed = FOUR_MEDIANS * np.sqrt(variance / 4 / len(log)) + 5 / width * variance / 4
        assert abs(np.median(log) + variance / 4) < allowed
        assert np.log(theory.numbers()[f"law_{width}"]) == pytest.approx(-variance / 4)
    narrow = theory.narrow(10)
    assert 1 / 80 < np.median(narrow) < 1 / 40  # "about a fiftieth"
    assert 0.02 < np.mean(narrow == 0) < 0.05 and (theory.narrow(160) > 0).all()


# Exercises


def test_the_absolute_value():
    assert mean_field.chi_1(3.0, jnp.abs, 1.0) == pytest.approx(1)
    assert mean_field.fixed_point(jnp.abs, 1.0, start=0.1) == pytest.approx(0.1)


def test_the_gain_that_is_advised_for_tanh():
    q = float(mean_field.fixed_point("tanh", 5 / 3))
    factor = float(theory.factor(q, "tanh", 5 / 3))
    assert abs(q - 1.18) < 0.005 and abs(factor - 1.10) < 0.005 and 90 < factor**49 < 120
    z = np.sqrt(q) * np.random.default_rng(3).normal(size=1_000_000)
    squares = np.array([(5 / 3 * np.tanh(z)) ** 2, (5 / 3 * (1 - np.tanh(z) ** 2)) ** 2])
    error = 4 * squares.std(axis=1) / 1000
    assert (np.abs(squares.mean(axis=1) - [q, factor**2]) < error).all()


@pytest.mark.parametrize("readout", theory.READOUTS)
def test_z_times_delta_adds_up_to_the_output_in_every_layer(readout):
    net, x = theory.with_readout(readout, width=256, depth=20)
    z, delta = theory.both_ways(net, x)
    np.testing.assert_allclose((z * delta).sum(axis=1), net(x)[0], rtol=1e-9)
    sizes = jnp.linalg.norm(z, axis=1) * jnp.linalg.norm(delta, axis=1)
    correlation = np.abs((z * delta).sum(axis=1) / sizes)
    if readout == "random":
        assert correlation.max() < 4 / 256**0.5
    else:
        assert correlation.min() > 0.15
        assert abs(correlation[-1] - np.pi**-0.5) < 0.1  # E z⁺ over the root of E z² times 1/2


def test_only_a_narrow_window_has_a_long_depth_scale():
    edge = mean_field.edge_of_chaos("tanh", 0.1).sigma_w
    scale = lambda gain: 1 / abs(2 * np.log(float(theory.deep("tanh", gain, 0.1).factor)))  # noqa: E731
    assert scale(edge - 0.01) > 100 < scale(edge + 0.01)
    assert scale(edge - 0.1) < 20 and scale(edge + 0.1) < 40
