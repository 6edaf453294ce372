"""Theory against closed forms, other quadratures, and measured networks."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from test_activations import NUMPY

from vgkit import activations, theory
from vgkit.theory import gaussian_mean
from vgkit.trace.jaxpr import enable_x64

NAMES = list(activations.ACTIVATIONS)
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # of SELU, Klambauer et al. 2017
SELU_CHI = SCALE**2 / 2 + (SCALE * ALPHA) ** 2 * math.exp(2) * stats.norm.cdf(-2)


@jax.jit
def layers(length):
    """Length map and chi_1 of every activation."""
    return jnp.array(
        [[theory.length_map(length, name, 1.0), theory.chi_1(length, name, 1.0)] for name in NAMES]
    )


@jax.jit
def squares(z):
    """Squares of every activation and of its slope at one z."""
    phis = [activations.function(name) for name in NAMES]
    return jnp.array([[phi(z) ** 2, jax.grad(phi)(z) ** 2] for phi in phis])


@pytest.mark.parametrize("q", [1e-6, 0.1, 1.0, 40.0])
def test_means_agree_with_another_quadrature(q):
    """SciPy's adaptive one, with the kink at an end of both its intervals."""
    expected = np.asarray(layers(q))

    def integrand(z):
        return np.asarray(squares(math.sqrt(q) * z)) / expected * stats.norm.pdf(z)

    halves = [integrate.quad_vec(integrand, *ends, epsabs=1e-11)[0] for ends in [(-9, 0), (0, 9)]]
    for name, ratios in zip(NAMES, sum(halves), strict=True):
        np.testing.assert_allclose(ratios, 1, rtol=1e-8, err_msg=name)


def test_means_in_closed_form():
    np.testing.assert_allclose(gaussian_mean(jax.nn.relu, 4.0), 2 / math.sqrt(2 * math.pi))
    np.testing.assert_allclose(gaussian_mean(lambda z: z**4, 2.0), 12, rtol=1e-12)
    np.testing.assert_allclose(theory.chi_1(7.0, "relu", math.sqrt(2)), 1, rtol=1e-12)
    np.testing.assert_allclose(theory.chi_1(1.0, "selu", 1.0), SELU_CHI, rtol=1e-10)
    np.testing.assert_allclose(theory.length_map(1.0, "selu", 1.0), 1, rtol=1e-10)
    # The slope of softplus is the sigmoid.
    expected = theory.length_map(1.0, "sigmoid", 1.0)
    np.testing.assert_allclose(theory.chi_1(1.0, "softplus", 1.0), expected, rtol=1e-12)


@jax.jit
def settled(index, sigma_w, sigma_b):
    return theory.fixed_point(activations.by_index(index, NAMES), sigma_w, sigma_b)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "gelu", "silu", "softplus"])
def test_fixed_point_is_where_iteration_ends(name):
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    for sigma_w, sigma_b in [(0.9, 0.1), (1.5, 0.0), (2.0, 0.3)]:
        q, last = 1.0, 0.0
        for _ in range(3000):
            if abs(q - last) <= 1e-13 * q or q > 1e12:
                break
            last, mean = q, weights @ NUMPY[name](math.sqrt(q) * nodes) ** 2
            q = sigma_w**2 * mean / math.sqrt(2 * math.pi) + sigma_b**2
        ours = settled(NAMES.index(name), sigma_w, sigma_b)
        np.testing.assert_allclose(ours, q if q <= 1e12 else np.inf, rtol=1e-6, atol=1e-9)


def test_fixed_points_in_closed_form():
    assert theory.fixed_point("relu", math.sqrt(2), start=3.0) == 3.0
    np.testing.assert_allclose(theory.fixed_point("relu", 1.0, 0.1), 0.02, rtol=1e-10)
    np.testing.assert_allclose(theory.fixed_point("identity", 0.5, 1.0), 4 / 3, rtol=1e-10)
    for name, gain in [("tanh", 1.0), ("tanh", 0.9), ("gelu", math.sqrt(2))]:
        assert theory.fixed_point(name, gain) == 0
    np.testing.assert_allclose(theory.fixed_point("selu", 1.0, start=0.5), 1, rtol=1e-8)


# V(q) > q for every q: softplus and the square of ELU's negative part add to what ReLU makes of q.
GROWING = [("softplus", 2**0.5, 0.0), ("relu", 2**0.5, 0.1), ("elu", 2**0.5, 0.0),
           ("elu", 2**0.5, 0.1), ("identity", 1.0, 0.1), ("leaky_relu", 2**0.5, 0.1)]  # fmt: skip


@pytest.mark.parametrize("wide", [False, True])
def test_a_length_that_grows_without_bound_has_no_fixed_point(wide):
    jax.clear_caches()
    with enable_x64(wide):
        for name, sigma_w, sigma_b in GROWING:
            with pytest.raises(ValueError, match="grows without a bound"):
                theory.fixed_point(name, sigma_w, sigma_b)
        close = {
            "rtol": 1e-6 if wide else 1e-3
        }  # in float32 gains are known to 1e-7 of a difference
        np.testing.assert_allclose(theory.fixed_point("relu", 1.4, 0.1), 0.5, **close)
        np.testing.assert_allclose(
            theory.fixed_point("identity", 0.999, 0.1), 0.01 / 0.001999, **close
        )
    jax.clear_caches()


EDGES = [*itertools.product(["tanh", "elu", "selu", "sigmoid"], [0.0, 0.05, 1.0])]


@pytest.mark.parametrize("name, sigma_b", [*EDGES, ("gelu", 1.0), ("silu", 1.0)])
def test_edge_of_chaos_by_its_definition(name, sigma_b):
    edge = theory.edge_of_chaos(name, sigma_b)
    position, q = NAMES.index(name), max(edge.length, 1e-14)

    def slope(z):
        return float(squares(math.sqrt(q) * z)[position, 1]) * stats.norm.pdf(z)

    mean = sum(integrate.quad(slope, *ends, epsabs=1e-12)[0] for ends in [(-9, 0), (0, 9)])
    np.testing.assert_allclose(edge.sigma_w**2 * mean, 1, rtol=1e-5)
    length = settled(position, edge.sigma_w, sigma_b)
    np.testing.assert_allclose(length, edge.length, rtol=1e-4, atol=1e-6)


def test_edges_of_scale_free_activations():
    for name, alpha in [("relu", 0.0), ("leaky_relu", 0.01), ("prelu", 0.25), ("identity", 1.0)]:
        expected = math.sqrt(2 / (1 + alpha**2))
        np.testing.assert_allclose(theory.edge_of_chaos(name).sigma_w, expected, rtol=1e-10)


def test_a_traced_gain_without_a_fixed_point_gives_infinity():
    assert jnp.isinf(jax.jit(lambda s: theory.fixed_point("relu", s))(2.0))


FANS = {"in_axis": -1, "out_axis": -2}
FAMILIES = ["lecun", "glorot", "he"]
INITIALISERS = {
    name: getattr(jax.nn.initializers, name)(**FANS)
    for name in [f"{family}_{kind}" for family in FAMILIES for kind in ("normal", "uniform")]
} | {"orthogonal": jax.nn.initializers.orthogonal()}


@pytest.mark.parametrize("widths", [(300, 300, 300), (400, 200, 600)])
def test_gains_are_those_of_the_weights(widths):
    fan_in, hidden, fan_out = widths

    @jax.jit
    def variances(key):
        shapes = (hidden, fan_in), (fan_out, hidden)
        return {
            name: [jnp.var(draw(key, shape)) for shape in shapes]
            for name, draw in INITIALISERS.items()
        }

    for name, (here, after) in variances(jax.random.key(0)).items():
        forward, backward = theory.gains(widths, name)
        # The variance of n^2 independent weights is known to a share of sqrt(2) / n.
        np.testing.assert_allclose(fan_in * here, forward[0], rtol=0.025)
        np.testing.assert_allclose(fan_out * after, backward[0], rtol=0.025)


@partial(jax.jit, static_argnames=("draw", "depth", "width"))
def random_weights(key, draw, depth, width):
    return jax.vmap(lambda key: draw(key, (width, width)))(jax.random.split(key, depth))


@jax.jit
def one_network(key, w, phi):
    """RMS of dL/dz and dL/dW of one example in every hidden layer, in plain JAX."""
    width, phi = w.shape[-1], activations.by_index(phi, NAMES)
    x, *out = jax.random.normal(key, (11, width))
    x = x / jnp.sqrt(jnp.mean(x**2))

    def loss(probes, w):
        def layer(h, parts):
            w, probe = parts
            return phi(w @ h + probe), None

        h, _ = jax.lax.scan(layer, x, (w, probes))
        return -jax.nn.log_softmax(jnp.array(out) @ h / math.sqrt(width))[3]

    by_z, by_w = jax.grad(loss, (0, 1))(jnp.zeros(w.shape[:2]), w)
    return jnp.array([jnp.sqrt(jnp.mean(by_z**2, 1)), jnp.sqrt(jnp.mean(by_w**2, (1, 2)))])


def measured(name, draw, width, depth, seeds):
    """Both signals relative to the last hidden layer, a row for each network."""
    signals = []
    for key in jax.random.split(jax.random.key(1), seeds):
        key, key_w = jax.random.split(key)
        w = random_weights(key_w, draw, depth, width)
        signals.append(np.asarray(one_network(key, w, NAMES.index(name))))
    signals = np.array(signals)
    return np.moveaxis(signals / signals[:, :, -1:], 1, 0)


@pytest.mark.parametrize(
    "name, init",
    [("sigmoid", "glorot_normal"), ("tanh", "he_normal"), ("relu", "glorot_uniform"),
     ("selu", "lecun_normal"), ("silu", "he_uniform"), ("elu", "orthogonal")],
)  # fmt: skip
def test_wide_networks_do_as_predicted(name, init):
    # The decomposition that makes a matrix orthogonal is slow, and such networks differ less.
    width, depth, seeds = (64, 10, 8) if init == "orthogonal" else (256, 10, 24)
    predicted = theory.predict(name, *theory.gains((width,) * (depth + 1) + (10,), init), width)
    both = measured(name, INITIALISERS[init], width, depth, seeds)
    for rows, expected in zip(both, predicted[1:3], strict=True):
        log = np.log(rows)
        error = np.mean(log, axis=0) - np.log(expected)
        # Four standard errors of the networks' mean, and twice the shift of the logarithm's mean,
        # log_variance / 4, by which finite networks differ to first order in 1 / width.
        allowed = 4 * np.std(log, axis=0) / math.sqrt(seeds) + predicted.log_variance / 2 + 1e-9
        assert (np.abs(error) <= allowed).all()
        assert allowed[0] < 9 * 0.05, "a factor 5 % off per layer would show"


def test_spread_of_finite_networks():
    width, depth, seeds = 32, 15, 600
    predicted = theory.predict("relu", *theory.gains((width,) * 16 + (10,), "he_normal"), width)
    expected = 5 * (depth - 1) / width  # Hanin 2018: the exponent is 5 times the sum of 1 / width
    np.testing.assert_allclose(predicted.log_variance[0], expected, rtol=1e-9)
    normal = jax.nn.initializers.normal(math.sqrt(2 / width))
    signal, _ = measured("relu", normal, width, depth, seeds)
    log = 2 * np.log(signal[:, 0])
    # A variance of so many is known to sqrt(2 / seeds); the next order in 1 / width is 5 / width.
    allowed = 4 * math.sqrt(2 / seeds) + 5 / width
    np.testing.assert_allclose(np.var(log), expected, rtol=allowed)
    standard_error = math.sqrt(expected / seeds)
    shift = np.mean(log) + expected / 2
    assert abs(shift) < 4 * standard_error + 5 / width * expected / 2


def test_prediction_at_a_traced_depth():
    forward, backward = theory.gains((64,) * 9 + (10,), "glorot_normal")
    shallow = theory.predict("tanh", forward[:5], backward[:5], 64)
    run = jax.jit(lambda depth: theory.predict("tanh", forward, backward, 64, depth=depth))
    for full, short in zip(run(5), shallow, strict=True):
        np.testing.assert_allclose(full[:5], short, rtol=1e-10)
        assert jnp.isnan(full[5:]).all()


PREDICT = partial(theory.predict, "tanh", jnp.ones(3))
BAD = [
    (lambda: theory.fixed_point("tan", 1.0), "activation must be one of identity"),
    (lambda: theory.chi_1(1.0, "tanh", -1.0), "sigma_w must be .* at least 0; got -1.0"),
    (lambda: theory.length_map(1.0, "tanh", 1.0, math.inf), "sigma_b must be .* got inf"),
    (lambda: theory.edge_of_chaos("tanh", -0.1), "sigma_b must be .* got -0.1"),
    (lambda: theory.fixed_point("tanh", -1.0), "sigma_w must be .* got -1.0"),
    (lambda: theory.fixed_point("tanh", 1.0, start=0.0), "start must be positive"),
    (lambda: theory.fixed_point("relu", 2.0), "'relu' has no fixed point at sigma_w"),
    (lambda: theory.edge_of_chaos("relu", 0.1), "'relu' has no edge of chaos.*without a bound"),
    (lambda: theory.edge_of_chaos("softplus"), "'softplus' has no .*without a bound"),
    (lambda: theory.edge_of_chaos("gelu", 0.2), "'gelu' has no edge of chaos.*unstable"),
    (lambda: theory.edge_of_chaos("silu"), "'silu' has no edge of chaos.*unstable"),
    (lambda: theory.gains((8, 8, 8), "xavier"), "init must be one of lecun_normal"),
    (lambda: theory.gains((8, 8), "he_normal"), "a hidden layer at least; got"),
    (lambda: PREDICT(jnp.ones(2), 8), r"backward must have shape \(3\)"),
    (lambda: PREDICT(jnp.ones(3), 0), "width must be positive"),
    (lambda: PREDICT(jnp.ones(3), 8, depth=4), "depth must be .* from 1 to 3; got 4"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input_is_refused(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()
