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
    "silu": lambda z: z / (1 + np.exp(-z)),
    "softplus": lambda z: np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0),
}


def test_every_activation_has_an_oracle():
    assert set(NUMPY) == set(activations.ACTIVATIONS)


@pytest.mark.parametrize("name", NUMPY)
def test_function_agrees_with_numpy(name):
    # GELU through erfc, SiLU and ELU lose a few bits where they cancel: 1e-12 of the largest value.
    np.testing.assert_allclose(
        activations.function(name)(jnp.asarray(Z)), NUMPY[name](Z), rtol=0, atol=3e-12
    )


@pytest.mark.parametrize("name", NUMPY)
def test_slope_agrees_with_finite_differences(name):
    z = Z[(np.abs(Z) < 8) & (np.abs(Z) > 1e-3)][::13]  # away from the kinks at 0
    h = 1e-5  # error of the central difference: h^2 / 6 times the third derivative, here under 1e-9
    differences = (NUMPY[name](z + h) - NUMPY[name](z - h)) / (2 * h)
    np.testing.assert_allclose(activations.slope(name, jnp.asarray(z)), differences, atol=1e-9)


@pytest.mark.parametrize("name", NUMPY)
def test_slope_range_is_the_range_of_the_slope(name):
    low, high = activations.slope_range(name)
    slope = np.asarray(activations.slope(name, jnp.asarray(Z)))
    # Between points 0.001 apart an extremum of curvature at most 2 is missed by under 1e-6.
    assert low - 1e-8 <= slope.min() <= low + 1e-6
    assert high - 2e-3 <= slope.max() <= high + 1e-8
    smooth = name not in ("selu",)  # the largest slope of SELU is its limit at 0 from below
    assert not smooth or slope.max() >= high - 1e-6


def test_published_slope_ranges():
    assert activations.slope_range("sigmoid") == (0, 0.25)
    assert activations.slope_range("tanh") == (0, 1)
    assert activations.slope("sigmoid", 0.0) == 0.25
    assert activations.slope("relu", 0.0) == 0


@pytest.mark.parametrize("index", range(len(NUMPY)))
def test_by_index_is_the_same_function(index):
    name = list(activations.ACTIVATIONS)[index]
    z = jnp.linspace(-3, 3, 7)
    by_index = jax.jit(lambda i, z: activations.by_index(i)(z))(index, z)
    np.testing.assert_allclose(by_index, activations.function(name)(z), rtol=1e-14)


def test_prelu_slope_can_be_learnt():
    assert jax.grad(lambda alpha: activations.prelu(jnp.asarray(-2.0), alpha))(0.25) == -2


def edge(name, threshold):
    """The z beyond which the slope is below its share of the largest one, on paper.

    Sigmoid: s (1 - s) = t / 4 gives s = (1 + sqrt(1 - t)) / 2. Tanh: 1 - h^2 = t.
    """
    root = math.sqrt(1 - threshold)
    return math.log((1 + root) / (1 - root)) if name == "sigmoid" else math.atanh(root)


@pytest.mark.parametrize("threshold", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_saturation_begins_where_the_closed_form_says(name, threshold):
    z = edge(name, threshold)
    near = jnp.array([-z - 1e-6, -z + 1e-6, 0.0, z - 1e-6, z + 1e-6])
    assert activations.saturated(name, near, threshold).tolist() == [
        True,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("scale", [1.0, 3.0, 8.0])
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_saturated_share_of_a_gaussian_is_the_error_function(name, scale):
    z = scale * jax.random.normal(jax.random.key(1), (2, 40_000))
    expected = 1 - math.erf(edge(name, 0.1) / (scale * math.sqrt(2)))
    four_sigma = 4 * math.sqrt(expected * (1 - expected) / 40_000)
    shares = activations.saturated_share(name, list(z))
    assert shares.shape == (2,)
    np.testing.assert_allclose(shares, expected, rtol=0, atol=four_sigma)


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


@pytest.mark.parametrize("threshold", [-0.1, 1.0, float("nan")])
def test_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(ValueError, match="threshold must be a number from 0 to below 1; got"):
        activations.saturated("tanh", 0.0, threshold)


def test_no_layer_is_refused():
    with pytest.raises(ValueError, match="pre_activations must hold at least one layer; got none"):
        activations.saturated_share("tanh", [])


@pytest.mark.parametrize("call", [activations.function, activations.slope_range])
def test_unknown_name_is_refused(call):
    with pytest.raises(ValueError, match=r"activation must be one of identity, .*; got 'swish'"):
        call("swish")
