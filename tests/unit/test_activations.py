import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from vgkit import activations

Z = np.linspace(-30, 30, 60_001)  # step 0.001

NUMPY = {
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.maximum(z, 0) + 0.01 * np.minimum(z, 0),
    "prelu": lambda z: np.maximum(z, 0) + 0.25 * np.minimum(z, 0),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "selu": lambda z: (
        1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0)))
    ),
    "gelu": lambda z: z * (1 + scipy.special.erf(z / np.sqrt(2))) / 2,
    "gelu_tanh": lambda z: z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) / 2,
    "silu": lambda z: z * scipy.special.expit(z),
    "softplus": lambda z: np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0),
}
NAMES = list(NUMPY)


@pytest.fixture(scope="module")
def measured():
    """Every function and its slope at `Z`, from one compiled program with a traced choice."""

    @jax.jit
    def both(index, z):
        phi = activations.by_index(index, NAMES)
        return phi(z), activations.slope(phi, z)

    return {name: np.asarray(both(index, jnp.asarray(Z))) for index, name in enumerate(NAMES)}


@pytest.mark.parametrize("name", NAMES)
def test_functions_and_slopes_agree_with_numpy(name, measured):
    values, slopes = measured[name]
    # GELU through erfc, SiLU and ELU lose a few bits where they cancel: 1e-12 of the largest value.
    np.testing.assert_allclose(values, NUMPY[name](Z), rtol=0, atol=3e-12)
    near = (np.abs(Z) < 8) & (np.abs(Z) > 1e-3)  # away from the kinks at 0
    h = 1e-5  # error of the central difference: h^2 / 6 times the third derivative, here under 1e-9
    differences = (NUMPY[name](Z[near] + h) - NUMPY[name](Z[near] - h)) / (2 * h)
    np.testing.assert_allclose(slopes[near], differences, atol=1e-9)


def test_every_activation_has_an_oracle():
    assert NAMES == list(activations.ACTIVATIONS)


@pytest.mark.parametrize("name", NAMES)
def test_slope_range_is_the_range_of_the_slope(name, measured):
    low, high = activations.slope_range(name)
    _, slope = measured[name]
    # Between points 0.001 apart an extremum of curvature at most 2 is missed by under 1e-6.
    assert low - 1e-15 <= slope.min() <= low + 1e-6
    assert high - 2e-3 <= slope.max() <= high + 1e-15
    if name == "gelu":  # its extrema lie at +-sqrt(2)
        top = scipy.special.ndtr(2**0.5) + np.exp(-1) / np.pi**0.5
        assert (1 - high, high) == pytest.approx((low, top), abs=2e-15) and high >= top
    # The largest slope of SELU is its limit at 0 from below.
    assert name == "selu" or slope.max() >= high - 1e-6


def test_the_two_forms_of_gelu_are_those_of_jax_and_differ_by_less_than_stated(measured):
    difference = np.abs(measured["gelu"][0] - measured["gelu_tanh"][0]).max()
    assert 4e-4 < difference < 5e-4
    z = jnp.asarray(Z)
    np.testing.assert_allclose(jax.nn.gelu(z), measured["gelu_tanh"][0], rtol=0, atol=3e-12)


def test_functions_of_ones_own():
    def wave(z):  # slope cos(3 z): from -3 to 3
        return jnp.sin(3 * z)

    z = jnp.linspace(-1, 1, 5)
    assert activations.function(wave) is wave
    np.testing.assert_allclose(activations.slope(wave, z), 3 * np.cos(3 * z), rtol=1e-14)
    # The grid's step is 0.01 and the curvature of the slope 27: missed by 27 * 0.005^2 / 2.
    np.testing.assert_allclose(activations.slope_range(wave), (-3, 3), rtol=0, atol=4e-4)
    # The largest slope of tanh(5 z) is 5; below a tenth of it as tanh(5 z) is.
    steep, edge = lambda z: jnp.tanh(5 * z), math.atanh(math.sqrt(0.9)) / 5
    near = jnp.array([-edge - 1e-6, 1e-6 - edge, 0.0, edge - 1e-6, edge + 1e-6])
    assert activations.saturated(steep, near).tolist() == [True, False, False, False, True]
    falling = lambda z: -jnp.tanh(z)  # noqa: E731 - the largest slope in size is the infimum, -1
    assert activations.saturated(falling, jnp.array([0.0, 3.0])).tolist() == [False, True]


def test_units_that_switch_off_and_units_that_only_leak():
    z = jnp.array([-3.0, -1e-9, 1e-9, 3.0])
    off, on = [True, True, False, False], [False] * 4
    assert activations.saturated("relu", z, 0.0).tolist() == off
    assert activations.saturated("relu", z).tolist() == off
    assert activations.saturated("leaky_relu", z, 0.0).tolist() == on
    assert activations.saturated("leaky_relu", z).tolist() == off  # 0.01 is below a tenth
    assert activations.saturated("prelu", z).tolist() == on  # 0.25 is not
    assert activations.saturated("sigmoid", z, 0.0).tolist() == on
    assert activations.saturated("relu", 0.0, 0.0)  # the slope that JAX takes at the kink


def edge(name, threshold):
    """The z beyond which the slope is below its share of the largest one, on paper.

    Sigmoid: s (1 - s) = t / 4 gives s = (1 + sqrt(1 - t)) / 2. Tanh: 1 - h^2 = t.
    """
    root = math.sqrt(1 - threshold)
    return math.log((1 + root) / (1 - root)) if name == "sigmoid" else math.atanh(root)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_saturation_begins_where_the_closed_form_says(name):
    for threshold in (0.01, 0.1, 0.5):
        z = edge(name, threshold)
        near = jnp.array([-z - 1e-6, -z + 1e-6, 0.0, z - 1e-6, z + 1e-6])
        saturated = activations.saturated(name, near, threshold)
        assert saturated.tolist() == [True, False, False, False, True]
    chosen = jax.jit(
        lambda index: activations.saturated(
            activations.by_index(index, ["sigmoid", jnp.tanh]), near, threshold
        )
    )
    assert chosen(["sigmoid", "tanh"].index(name)).tolist() == saturated.tolist()


BAD = [
    (lambda: activations.function("swish"), r"activation must be one of identity, .*; got 'swish'"),
    (lambda: activations.by_index(0, ["tanh", "swish"]), "activation must be one of identity"),
    (lambda: activations.saturated("tanh", 0.0, -0.1), "threshold must be .* from 0 to below 1"),
    (lambda: activations.saturated("tanh", 0.0, math.nan), "threshold must be .*; got nan"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
