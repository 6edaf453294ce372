"""The page on causes: its numbers by other ways, and what its text says of them."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from vgcourse import causes, chain_rule
from vgkit import activations

EDGE = np.log((1 + 0.9**0.5) / (1 - 0.9**0.5))  # where 1 - tanh(z / 2)^2 is 0.1


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def by_hand(seed, scale):
    """z of all hidden layers and sizes of their error signals, of a sigmoid net in NumPy."""
    net = causes.draw(causes.seeds()[seed])
    weights = [scale * np.asarray(w) for w in net.layers.w]
    x, y = map(np.asarray, causes.batch())
    hs, zs = [x], []
    for w in weights:
        zs.append(hs[-1] @ w.T)
        hs.append(sigmoid(zs[-1]))
    output = hs[-1] @ np.asarray(net.readout.w).T
    share = np.exp(output - output.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    back = (share - np.eye(10)[y]) @ np.asarray(net.readout.w)
    sizes = []
    for w, h in zip(weights[::-1], hs[:0:-1], strict=True):
        delta = back * h * (1 - h)
        sizes.append(np.sqrt(np.mean(delta**2)))
        back = delta @ w
    return np.array(zs), np.array(sizes[::-1])


@pytest.mark.parametrize("scale", [1, 4, 12])
def test_factors_and_saturated_shares_by_hand(scale):
    z, sizes = by_hand(0, scale)
    column = list(causes.SCALES).index(scale)
    factor, saturated = (array[0, column] for array in causes.measured("sigmoid"))
    assert factor == pytest.approx((sizes[0] / sizes[-1]) ** (1 / 9), rel=1e-9)
    np.testing.assert_array_equal(saturated, (np.abs(z) > EDGE).mean(axis=(1, 2)))
    first = causes.seeds()[0]
    np.testing.assert_allclose(
        causes.pre_activations(causes.draw(first, scale), chain_rule.batch()[0]), z, atol=1e-9
    )


def test_larger_weights_fall_short_of_their_promise():
    factor, numbers = causes.measured("sigmoid").factor, causes.numbers()
    at = {scale: factor[:, list(causes.SCALES).index(scale)] for scale in causes.SCALES}
    assert at[1].max() < 0.25 and at[4].max() < 0.7 < 0.9 < numbers["four_times"] < 1
    assert np.median(at[10]) < 1 < np.median(at[12]) and at[8].max() < 1  # "between 10 and 12"
    crossing = np.interp(1, np.median(factor, axis=0), causes.SCALES)
    assert abs(crossing - 11) < 0.5  # "about 11", where the typical slope is 1/11
    slopes = np.median(factor, axis=0) / causes.SCALES
    assert (np.diff(slopes) < 0).all() and slopes.max() < 0.25  # the typical slope only falls


def test_from_1_to_1000():
    numbers = causes.numbers()
    assert numbers["one"] == pytest.approx(sigmoid(1.0)) and f"{numbers['one']:.2f}" == "0.73"
    assert numbers["rest"] == pytest.approx(np.exp(-10) / (1 + np.exp(-10)), rel=1e-9)
    assert numbers["rest"] < 1e-4  # "less than a ten-thousandth"
    assert 0.25 < 1 - sigmoid(1.0) < 0.28  # "about a quarter"
    z = jnp.array([10.0, 30, 100, 1000])  # the zeros of the page's table are rounding
    assert (np.asarray(activations.slope("sigmoid", z)) > 0).tolist() == [True, True, False, False]


def test_where_units_are_saturated():
    z = np.linspace(-8, 8, 16_001)
    for name, edge in (("sigmoid", EDGE), ("tanh", EDGE / 2)):
        steep = z[~np.asarray(activations.saturated(name, z))]
        assert abs(steep.max() - edge) < 2e-3 and abs(steep.min() + edge) < 2e-3
    relu, gelu = (np.asarray(activations.saturated(name, z)) for name in ("relu", "gelu"))
    assert (relu == (z <= 0)).all() and not gelu[z > 0].any() and gelu[z < -2].all()
    elu = np.asarray(activations.saturated("elu", z))  # an exercise: slope exp(z) left of 0
    np.testing.assert_array_equal(elu, z < np.log(0.1))
    numbers = causes.numbers()
    assert numbers["edge"] == pytest.approx(EDGE) == 2 * numbers["edge_tanh"]
    assert numbers["made"] == pytest.approx(0.9**0.5)  # tanh of half the edge
    drop = [np.log(activations.slope(n, 7.0) / activations.slope(n, 5.0)) for n in causes.NAMES[:2]]
    np.testing.assert_allclose(drop, [-2, -4], atol=0.02)  # exp(-z), exp(-2 z): straight lines


def test_a_unit_is_high_or_wide():
    a = np.linspace(-3, 3, 600_001)
    for w in (5.0, 8.0, 20.0):
        counted = (w * np.asarray(activations.slope("sigmoid", w * a)) >= 1).mean() * 6
        assert abs(counted - causes.interval(w)) < 3e-5  # two ends of one step each
    weight, length = causes.longest()
    assert abs(length - 0.447743) < 1e-6 and abs(weight - 6.894) < 2e-3
    assert causes.interval(4.0) == 0 and (np.diff(causes.interval(np.linspace(7, 30))) < 0).all()
    wide = np.linspace(-12, 12, 24_001)
    for w in causes.WEIGHTS:
        factor = w * np.asarray(activations.slope("sigmoid", w * wide))
        assert abs(np.trapezoid(factor, wide) - 1) < 1e-4  # the area, whatever the weight
        assert factor.max() == pytest.approx(w / 4)


def test_saturation_does_not_build_up():
    layers = np.median(causes.measured("sigmoid").saturated, axis=0)
    assert (layers[3:, 0] > layers[3:, 1:].max(axis=1)).all()  # from scale 2 on
    assert np.ptp(layers[:, 2:], axis=1).max() < 0.1 and 0.5 < layers[-1].min()
    tanh, at = causes.measured("tanh").factor, list(causes.SCALES).index
    assert tanh[:, at(1)].max() < 1 < tanh[:, at(1.5)].min() and np.median(tanh[:, -1]) > 2
    assert causes.numbers()["tanh_last"] < 0.1


def test_a_few_steep_units_carry_the_signal():
    """In the net and for the digit that the squares show."""
    x = np.asarray(causes.batch()[0][0])
    steep = []
    for scale in (1, 12):
        h, layers = x, []
        for w in causes.draw(causes.seeds()[0], scale).layers.w:
            h = sigmoid(np.asarray(w) @ h)
            layers.append(4 * h * (1 - h))
        steep.append(np.array(layers))
    assert steep[0][:, : causes.UNITS].min() > 0.6  # "all units are steep"
    assert (steep[1][:, : causes.UNITS] < 0.1).mean() > 0.5  # "most squares are nearly empty"
    many = (steep[1] > 0.5).sum(axis=1)
    assert 5 <= many.min() and many.max() <= 15 and 9 <= np.median(many) <= 11  # "about ten"


def test_the_saturated_share_is_that_of_normal_numbers():
    z = np.array([by_hand(seed, 4)[0] for seed in range(8)])
    for layer in (0, 1, 4, 9):
        here = z[:, layer]
        formula = 1 - erf(EDGE / (here.std() * 2**0.5))
        share = (np.abs(here) > EDGE).mean()
        # 8 x 64 units are drawn independently, their digits are not.
        assert abs(share - formula) < 4 * (formula * (1 - formula) / 512) ** 0.5
    assert abs(z[:, 0].std() / 4 - 1) < 0.1  # "about 4 at scale 4"


def test_the_outputs_mean_of_a_half_saturates():
    tanh = causes.draw(causes.seeds()[0], activation="tanh")
    x = causes.batch()[0]
    other = causes.disguised(tanh)
    z, z_tanh = causes.pre_activations(other, x), causes.pre_activations(tanh, x)
    np.testing.assert_allclose(z, 2 * z_tanh, rtol=1e-9, atol=1e-9)
    shares = [(np.abs(one) > EDGE).mean() for one in (z[1:], by_hand(0, 4)[0][1:])]
    assert shares[0] < 0.02 < 0.1 < shares[1]


def test_the_range_of_every_slope():
    """The table's ends are where autodiff's slopes end, on points 0.005 apart."""
    for name in activations.ACTIVATIONS:
        slope = causes.values(name)[1]
        low, high = activations.slope_range(name)
        assert -1e-8 < slope.min() - low < 1e-4 and -1e-8 < high - slope.max() < 1e-2
    only = {n for n in activations.ACTIVATIONS if set(np.unique(causes.values(n)[1])) <= {0, 1}}
    assert only == {"identity", "relu"}
    numbers = causes.numbers()
    assert numbers["gelu_low"] < 0 and numbers["gelu_high"] > 1 and numbers["selu"] > 1.7
    assert set(np.unique(causes.values("leaky_relu")[1])) == {0.01, 1}
    assert set(np.unique(causes.values("prelu")[1])) == {0.25, 1}


def test_what_the_text_says_of_the_explorer():
    explorer = causes.explorer()
    number = lambda result, name: float(np.ravel(result[name])[0])  # noqa: E731
    small, large = (explorer.at(activation="sigmoid", scale=scale) for scale in (1, 12))
    for scale, result in ((1, small), (12, large)):
        column = list(causes.SCALES).index(scale)
        factor, saturated = (array[0, column] for array in causes.measured("sigmoid"))
        assert number(result, "factor") == pytest.approx(factor, rel=1e-9)
        np.testing.assert_allclose(np.ravel(result["share"]), 100 * saturated, rtol=1e-9)
    spread = lambda result: np.log10(np.abs(result["error"]).reshape(10, -1)).std(axis=1).mean()  # noqa: E731
    sizes = [np.ravel(result["error_size"]) for result in (small, large)]
    assert (sizes[0][:-1] / sizes[0][1:] < 0.4).all()  # columns fade
    assert 0.3 < sizes[1][0] / sizes[1][-1] < 3 and spread(large) > 1  # units go out
    z, error, slope = (np.ravel(large[name]) for name in ("activation", "error", "slope"))
    flat = slope <= 0.025
    assert np.median(np.abs(error[flat])) < 0.03 * np.median(np.abs(error[~flat]))
    np.testing.assert_allclose(slope, z * (1 - z), atol=1e-12)
    tanh = [number(explorer.at(activation="tanh", scale=s), "factor") for s in (1, 1.5)]
    assert tanh[0] < 1 < tanh[1]
    shares = [number(explorer.at(activation="ReLU", scale=s), "share_last") for s in causes.STOPS]
    assert np.ptp(shares) == 0


def test_a_reader_s_inputs():
    x, y = causes.batch()
    usual, own = causes.with_inputs(x, y)(0, 1.0), causes.with_inputs(20 * x, y)(0, 1.0)
    assert own["share_first"] > 80 > 1 > usual["share_first"]
    assert own["share_last"] == usual["share_last"] == 0  # every layer squashes anew
