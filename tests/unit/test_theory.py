"""Theory against closed forms, other quadratures, published values, and measured networks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from vgkit import activations, grads, nets, theory

SMOOTH = ["identity", "sigmoid", "tanh", "gelu", "silu", "softplus"]
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # of SELU, Klambauer et al. 2017
SELU_CHI = SCALE**2 / 2 + (SCALE * ALPHA) ** 2 * math.exp(2) * stats.norm.cdf(-2)


def by_quad(f, q):
    """The same mean by SciPy's adaptive quadrature, told where the kink is."""
    integrand = lambda z: float(f(jnp.asarray(math.sqrt(q) * z))) * stats.norm.pdf(z)  # noqa: E731
    parts = [integrate.quad(integrand, *ends, epsabs=1e-12)[0] for ends in [(-9, 0), (0, 9)]]
    return sum(parts)


@pytest.mark.parametrize("q", [1e-6, 0.1, 1.0, 40.0])
@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_means_agree_with_another_quadrature(name, q):
    phi = activations.function(name)
    slope = jax.jit(jax.grad(phi))
    square = by_quad(jax.jit(lambda z: phi(z) ** 2), q)
    np.testing.assert_allclose(theory.length_map(q, name, 1.0), square, rtol=1e-8)
    slopes = by_quad(lambda z: slope(z) ** 2, q)
    np.testing.assert_allclose(theory.chi_1(q, name, 1.0), slopes, rtol=1e-8)


def test_means_in_closed_form():
    np.testing.assert_allclose(theory.gaussian_mean(jax.nn.relu, 4.0), 2 / math.sqrt(2 * math.pi))
    np.testing.assert_allclose(theory.gaussian_mean(lambda z: z**4, 2.0), 12, rtol=1e-12)
    np.testing.assert_allclose(theory.chi_1(7.0, "relu", math.sqrt(2)), 1, rtol=1e-12)
    np.testing.assert_allclose(theory.chi_1(1.0, "selu", 1.0), SELU_CHI, rtol=1e-10)
    np.testing.assert_allclose(theory.length_map(1.0, "selu", 1.0), 1, rtol=1e-10)
    # The slope of softplus is the sigmoid.
    expected = theory.length_map(1.0, "sigmoid", 1.0)
    np.testing.assert_allclose(theory.chi_1(1.0, "softplus", 1.0), expected, rtol=1e-12)


def test_plain_gauss_hermite_is_wrong_at_a_kink():
    nodes, weights = np.polynomial.hermite_e.hermegauss(51)
    plain = 2 * np.sum(weights * (nodes > 0)) / math.sqrt(2 * math.pi)
    assert 0.81 < plain < 0.83


@pytest.mark.parametrize("sigma_w, sigma_b", [(0.9, 0.1), (1.5, 0.0), (2.0, 0.3)])
@pytest.mark.parametrize("name", SMOOTH[1:])
def test_fixed_point_is_where_iteration_ends(name, sigma_w, sigma_b):
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    phi = jax.jit(activations.function(name))
    q = 1.0
    for _ in range(3000):
        last = q
        mean = np.sum(weights * np.asarray(phi(math.sqrt(q) * nodes)) ** 2)
        q = sigma_w**2 * mean / math.sqrt(2 * math.pi) + sigma_b**2
        if abs(q - last) <= 1e-13 * q or q > 1e12:
            break
    if q > 1e12:
        with pytest.raises(ValueError, match="grows without a bound"):
            theory.fixed_point(name, sigma_w, sigma_b)
    else:
        found = theory.fixed_point(name, sigma_w, sigma_b)
        np.testing.assert_allclose(found, q, rtol=1e-6, atol=1e-9)


def test_fixed_points_in_closed_form():
    assert theory.fixed_point("relu", math.sqrt(2), start=3.0) == 3.0
    np.testing.assert_allclose(theory.fixed_point("relu", 1.0, 0.1), 0.02, rtol=1e-10)
    np.testing.assert_allclose(theory.fixed_point("identity", 0.5, 1.0), 4 / 3, rtol=1e-10)
    for name, gain in [("tanh", 1.0), ("tanh", 0.9), ("gelu", math.sqrt(2))]:
        assert theory.fixed_point(name, gain) == 0
    np.testing.assert_allclose(theory.fixed_point("selu", 1.0, start=0.5), 1, rtol=1e-8)


def test_edge_of_chaos_of_tanh_as_published():
    """Pennington et al. 2017 print (sigma_w^2, sigma_b^2, q*) to three figures."""
    for gain2, variance, q in [(1.05, 2.01e-5, 0.0259), (2.00, 0.104, 0.8214)]:
        edge = theory.edge_of_chaos("tanh", math.sqrt(variance))
        np.testing.assert_allclose(edge.sigma_w**2, gain2, rtol=5e-3)
        np.testing.assert_allclose(edge.length, q, rtol=5e-3)


@pytest.mark.parametrize("sigma_b", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("name", ["tanh", "elu", "selu", "sigmoid"])
def test_edge_of_chaos_by_its_definition(name, sigma_b):
    edge = theory.edge_of_chaos(name, sigma_b)
    q = max(edge.length, 1e-14)
    slope = jax.jit(jax.grad(activations.function(name)))
    np.testing.assert_allclose(edge.sigma_w**2 * by_quad(lambda z: slope(z) ** 2, q), 1, rtol=1e-5)
    settled = theory.fixed_point(name, edge.sigma_w, sigma_b)
    np.testing.assert_allclose(settled, edge.length, rtol=1e-4, atol=1e-6)


def test_edges_of_scale_free_activations():
    for name, alpha in [("relu", 0.0), ("leaky_relu", 0.01), ("prelu", 0.25), ("identity", 1.0)]:
        expected = math.sqrt(2 / (1 + alpha**2))
        np.testing.assert_allclose(theory.edge_of_chaos(name).sigma_w, expected, rtol=1e-10)


NO_EDGE = [
    ("relu", 0.1, "without a bound"),
    ("identity", 0.5, "without a bound"),
    ("softplus", 0.0, "without a bound"),
    ("softplus", 2.0, "without a bound"),
    ("gelu", 0.0, "unstable"),
    ("gelu", 0.2, "unstable"),
    ("silu", 0.0, "unstable"),
]


@pytest.mark.parametrize("name, sigma_b, reason", NO_EDGE)
def test_activations_without_an_edge(name, sigma_b, reason):
    with pytest.raises(ValueError, match=f"'{name}' has no edge of chaos.*{reason}"):
        theory.edge_of_chaos(name, sigma_b)


def test_gelu_and_silu_have_an_edge_for_large_biases():
    for name in ("gelu", "silu"):
        edge = theory.edge_of_chaos(name, 1.0)
        np.testing.assert_allclose(
            theory.fixed_point(name, edge.sigma_w, 1.0, start=edge.length / 2), edge.length, 1e-4
        )


@pytest.mark.parametrize("name, sigma_w, sigma_b", [("tanh", 1.5, 0.1), ("sigmoid", 2.0, 0.0)])
def test_depth_scales_are_the_rates_of_approach(name, sigma_w, sigma_b):
    q = theory.fixed_point(name, sigma_w, sigma_b)
    scales = theory.depth_scales(name, sigma_w, sigma_b)
    away = [1e-3 * float(q)]
    for _ in range(3):
        away.append(float(theory.length_map(q + away[-1], name, sigma_w, sigma_b) - q))
    np.testing.assert_allclose(away[3] / away[0], math.exp(-3 / scales.length), rtol=0.01)
    factor = theory.chi_1(q, name, sigma_w)
    np.testing.assert_allclose(abs(math.log(factor)), 1 / scales.gradient, rtol=1e-10)
    assert theory.depth_scales("relu", math.sqrt(2)).gradient > 1e12


@pytest.mark.parametrize("init", [*nets.INITIALISERS, "normal"])
@pytest.mark.parametrize("widths", [(300, 300, 300), (400, 200, 600)])
def test_gains_are_those_of_the_weights(init, widths):
    std = 0.07 if init == "normal" else None
    hidden, output = nets.mlp(jax.random.key(0), widths, init, std=std)
    forward, backward = theory.gains(widths, init, std)
    # The variance of n^2 independent weights is known to a share of sqrt(2) / n.
    np.testing.assert_allclose(hidden.w.shape[1] * jnp.var(hidden.w), forward[0], rtol=0.025)
    np.testing.assert_allclose(output.w.shape[0] * jnp.var(output.w), backward[0], rtol=0.025)


def measured(name, init, width, depth, seeds, std=None):
    """Both signals of one example relative to the last hidden layer, a row for each network."""

    def one(key):
        key_net, key_x = jax.random.split(key)
        x = jax.random.normal(key_x, (1, width))
        x = x / jnp.sqrt(jnp.mean(x**2))
        net = nets.mlp_stack(key_net, depth, width, 10, init, std=std)
        phi = activations.function(name)
        found = grads.profile(net, x, jnp.array([3]), "cross_entropy", phi, depth)
        return found.error_signal, found.weight_gradient

    signal, weight = jax.lax.map(jax.jit(one), jax.random.split(jax.random.key(1), seeds))
    return signal / signal[:, -1:], weight / weight[:, -1:]


PAIRS = [
    ("sigmoid", "glorot_normal"),
    ("tanh", "glorot_normal"),
    ("tanh", "he_normal"),
    ("relu", "he_normal"),
    ("relu", "glorot_uniform"),
    ("selu", "lecun_normal"),
    ("gelu", "he_normal"),
    ("silu", "he_uniform"),
    ("softplus", "glorot_normal"),
    ("elu", "orthogonal"),
]


@pytest.mark.parametrize("name, init", PAIRS)
def test_wide_networks_do_as_predicted(name, init):
    width, depth, seeds = 128 if init == "orthogonal" else 256, 10, 24
    predicted = theory.predict(name, *theory.gains((width,) * (depth + 1) + (10,), init), width)
    for found, expected in zip(
        measured(name, init, width, depth, seeds), predicted[1:3], strict=True
    ):
        log = jnp.log(found)
        error = jnp.mean(log, axis=0) - jnp.log(expected)
        # Four standard errors of the networks' mean, and twice the shift of the logarithm's mean,
        # log_variance / 4, by which finite networks differ to first order in 1 / width.
        allowed = 4 * jnp.std(log, axis=0) / math.sqrt(seeds) + predicted.log_variance / 2 + 1e-9
        assert (jnp.abs(error) <= allowed).all()
        assert allowed[0] < 9 * 0.05, "a factor 5 % off per layer would be seen"


@pytest.mark.parametrize("width", [32, 100])
def test_spread_of_finite_networks(width):
    depth, seeds = 15, 600
    predicted = theory.predict("relu", *theory.gains((width,) * 16 + (10,), "he_normal"), width)
    expected = 5 * (depth - 1) / width  # Hanin 2018: the exponent is 5 times the sum of 1 / width
    np.testing.assert_allclose(predicted.log_variance[0], expected, rtol=1e-9)
    signal, _ = measured("relu", "normal", width, depth, seeds, std=math.sqrt(2 / width))
    log = 2 * jnp.log(signal[:, 0])
    # A variance of so many is known to sqrt(2 / seeds); the next order in 1 / width is 5 / width.
    allowed = 4 * math.sqrt(2 / seeds) + 5 / width
    np.testing.assert_allclose(jnp.var(log), expected, rtol=allowed)
    standard_error = math.sqrt(expected / seeds)
    shift = jnp.mean(log) + expected / 2
    assert abs(shift) < 4 * standard_error + 5 / width * expected / 2


def test_prediction_at_a_traced_depth():
    forward, backward = theory.gains((64,) * 9 + (10,), "glorot_normal")
    shallow = theory.predict("tanh", forward[:5], backward[:5], 64)
    run = jax.jit(lambda depth: theory.predict("tanh", forward, backward, 64, depth=depth))
    for full, short in zip(run(5), shallow, strict=True):
        np.testing.assert_allclose(full[:5], short, rtol=1e-10)
        assert jnp.isnan(full[5:]).all()


def test_traced_gains_need_no_compilation_each():
    run = jax.jit(lambda s: theory.fixed_point("tanh", s, 0.1))
    for gain in (0.5, 1.5):
        np.testing.assert_allclose(run(gain), theory.fixed_point("tanh", gain, 0.1))
    assert jnp.isinf(jax.jit(lambda s: theory.fixed_point("relu", s))(2.0))


BAD = {
    "activation": (lambda: theory.fixed_point("tan", 1.0), "activation must be one of identity"),
    "sigma_w": (lambda: theory.chi_1(1.0, "tanh", -1.0), "sigma_w must be .* at least 0; got -1.0"),
    "sigma_b": (
        lambda: theory.length_map(1.0, "tanh", 1.0, math.inf),
        "sigma_b must be .* got inf",
    ),
    "edge": (lambda: theory.edge_of_chaos("tanh", -0.1), "sigma_b must be .* got -0.1"),
    "start": (lambda: theory.fixed_point("tanh", 1.0, start=0.0), "start must be positive"),
    "unbounded": (lambda: theory.fixed_point("relu", 2.0), "'relu' has no fixed point at sigma_w"),
    "init": (lambda: theory.gains((8, 8, 8), "xavier"), "init must be one of lecun"),
    "std": (lambda: theory.gains((8, 8, 8), "normal"), "std must be a number of at least 0"),
    "std too much": (lambda: theory.gains((8, 8, 8), "he_normal", 1.0), "std must be left out"),
    "widths": (lambda: theory.gains((8, 8), "he_normal"), "a hidden layer at least; got"),
    "shapes": (
        lambda: theory.predict("tanh", jnp.ones(3), jnp.ones(2), 8),
        r"backward must have shape \(3\)",
    ),
    "width": (
        lambda: theory.predict("tanh", jnp.ones(3), jnp.ones(3), 0),
        "width must be positive",
    ),
    "depth": (
        lambda: theory.predict("tanh", jnp.ones(3), jnp.ones(3), 8, depth=4),
        "depth must be .* from 1 to 3; got 4",
    ),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
