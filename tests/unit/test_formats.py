"""Oracles: IEEE 754's formulas, NumPy with ml_dtypes, and nets of powers of two.

In those nets every product is a power of two, so that it is known by hand which entry of which
layer falls below the smallest number of a format.
"""

from functools import partial

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from vgcourse import formats
from vgkit import grads, nets

KEY = jax.random.key(3)
BITS = {"float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23), "float64": (11, 52)}
NUMPY = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float32": np.float32,
    "float64": np.float64,
}
# Exponent of the smallest power of two that JAX on the CPU keeps: only float16 keeps subnormals.
LAST = {"float16": -24, "bfloat16": -126, "float32": -126}


@pytest.mark.parametrize("name", grads.FORMATS)
def test_limits_follow_from_the_number_of_bits(name):
    exponent, mantissa = BITS[name]
    top = 2 ** (exponent - 1) - 1  # exponents of normal numbers run from 1 - top to top
    normal, largest = 2.0 ** (1 - top), (2 - 2.0**-mantissa) * 2.0**top
    limits = (normal * 2.0**-mantissa, normal, largest, 2.0**-mantissa)
    assert formats.format_limits(name) == limits


def chain(depth):
    """Linear layers of one unit and weight 1/16: h_k = 16^-k and, for layer l, dL/dz = 16^(l-D)."""
    return nets.from_arrays([[[1 / 16]]] * depth + [[[1.0]]], None, "identity")


def output(output, _):
    """The loss that is the output, so that dL/dz of the last layer is 1."""
    return output[0]


ONE = (jnp.ones((1, 1)), jnp.zeros(1))


def errors(format, net, x, y, loss=output, loss_scale=1.0):
    """Errors of all gradients in a format against float64."""
    narrow = grads.signals(net, x, y, loss=loss, dtype=format, loss_scale=loss_scale)
    return formats.format_errors(narrow, grads.signals(net, x, y, loss=loss, dtype="float64"))


@jax.jit
def traced_errors(format, depth, scale):
    """Errors in the chain of 40 layers cut at a depth, in a format given by its position."""
    signals = partial(grads.signals, nets.stack(chain(40)).replace(depth=depth), *ONE, loss=output)
    kinds = [partial(signals, dtype=name, loss_scale=scale) for name in grads.FORMATS]
    return formats.format_errors(jax.lax.switch(format, kinds), signals(dtype="float64"))


@pytest.mark.parametrize("name", LAST)
@pytest.mark.parametrize("depth", [1, 7, 8, 40])
def test_chain_underflows_at_the_layer_known_by_hand(depth, name):
    layer, net = np.arange(1, depth + 1), chain(depth)
    for scale in (0, 3, 15):
        below = 4 * (layer - depth) + scale < LAST[name]
        # dL/dW = dL/dz h, and no loss scale helps an h that underflowed going forward.
        forward = -4 * (layer - 1) < LAST[name]
        product = -4 * (depth - 1) + scale < LAST[name]
        direct = errors(name, net if depth < 10 else nets.stack(net), *ONE, loss_scale=2.0**scale)
        for found in (direct, traced_errors(list(grads.FORMATS).index(name), depth, 2.0**scale)):
            by_weight, by_signal = (
                jax.tree.map(lambda numbers: numbers[:depth], part)
                for part in (found.weight_gradients, found.error_signals)
            )
            np.testing.assert_array_equal(by_signal.lost, below)
            np.testing.assert_array_equal(by_weight.lost, below | forward | product)
            np.testing.assert_array_equal(by_signal.relative_error, below)
            np.testing.assert_array_equal(by_signal.size, 16.0 ** (layer - depth))
            assert not np.any(by_weight.no_path) and not np.any(by_signal.not_finite)
            for numbers, wanted in zip(*map(jax.tree.leaves, (found[:2], direct[:2])), strict=True):
                assert np.isnan(numbers[depth:-1]).all()
                np.testing.assert_array_equal(numbers[-1], wanted[-1])


def small(skip=False):
    net = nets.mlp(KEY, (6, 6, 6, 6, 4), "sigmoid", skip=skip)
    x = jax.random.normal(jax.random.key(4), (7, 6))
    return net, x, jnp.arange(7) % 4


@pytest.mark.parametrize("skip", [False, True])
def test_float64_is_the_package_s_own_gradient(skip):
    net, x, y = small(skip)
    found = grads.signals(net, x, y, dtype="float64", loss_scale=2.0**9)
    expected = grads.signals(net, x, y)
    for part in ("gradient", "error_signals", "hidden_gradients"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-17),
            getattr(found, part), getattr(expected, part),
        )  # fmt: skip
    profile = errors("float64", nets.stack(net), x, y, loss="cross_entropy")
    np.testing.assert_allclose(profile.weight_gradients.size, expected.weight_norms, rtol=1e-12)
    assert not np.any(profile.error_signals.lost)
    assert not np.any(profile.error_signals.relative_error)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32"])
def test_the_format_is_that_of_numpy(name):
    """A ReLU net of one hidden layer and one example, in NumPy with rounding after each step."""
    dtype, random = NUMPY[name], np.random.default_rng(5)
    w1, w2 = random.normal(size=(5, 6)), random.normal(size=(3, 5))
    x, target = random.normal(size=6), random.normal(size=3)
    rounded = [a.astype(dtype).astype(np.float32) for a in (w1, w2, x)]

    def dot(a, b):
        return (a @ b).astype(dtype).astype(np.float32)

    z = dot(rounded[0], rounded[2])
    out = dot(rounded[1], np.maximum(z, 0))
    delta2 = (2 * (out - target.astype(np.float32)) / 3).astype(dtype).astype(np.float32)
    delta1 = dot(rounded[1].T, delta2) * (z > 0)
    by_hand = np.outer(delta1, rounded[2]).astype(dtype).astype(np.float64)
    net = nets.from_arrays([w1, w2], None, "relu")
    batch = jnp.asarray(x)[None], jnp.asarray(target)[None]
    found = grads.signals(net, *batch, loss="mean_squared_error", dtype=name)
    # Sums may be added in another order: half a step of float32 each, for 16 bits a whole one.
    step = formats.format_limits(name).epsilon * (4 if name == "float32" else 1)
    np.testing.assert_allclose(found.weight_gradients[0], by_hand, rtol=step)
    for array in jax.tree.leaves((found.gradient, found.error_signals)):  # as the format holds it
        np.testing.assert_array_equal(np.asarray(array).astype(dtype).astype(float), array)


@pytest.mark.parametrize("name", grads.FORMATS)
@pytest.mark.parametrize("scale", [1.0, 2.0**10])
def test_no_path_stays_zero_in_every_format(name, scale):
    net = nets.mlp(KEY, (6, 5, 4), "relu", init="he_normal")
    (layer,) = net.layers
    net = net.replace(layers=(layer.replace(w=jnp.abs(layer.w), b=layer.b.at[0].set(-1000.0)),))
    x = jnp.abs(jax.random.normal(jax.random.key(4), (7, 6)))  # unit 0 is off, the others are on
    y = jnp.arange(7) % 4
    found = errors(name, net, x, y, "cross_entropy", scale)
    np.testing.assert_allclose(found.weight_gradients.no_path, [1 / 5, 1 / 5], rtol=1e-15)
    np.testing.assert_allclose(found.error_signals.no_path, [1 / 5, 0], rtol=1e-15)
    np.testing.assert_array_equal(found.weight_gradients.lost, 0)
    gradient = grads.signals(net, x, y, dtype=name, loss_scale=scale).weight_gradients[0]
    assert np.all(gradient[0] == 0) and np.all(gradient[1:] != 0)


def test_format_error_by_hand():
    exact = jnp.array([1e-9, 0.0, 3.0, 4.0])
    found = formats.format_error(jnp.array([0.0, 0.0, 3.0, 4.5]), exact)
    assert float(found.lost) == pytest.approx(1 / 3) and float(found.no_path) == 1 / 4
    assert float(found.relative_error) == pytest.approx(0.1) and float(found.not_finite) == 0
    assert float(found.size) == pytest.approx(2.5)
    for bad in (jnp.inf, -jnp.inf, jnp.nan):
        overflowed = formats.format_error(jnp.array([0.0, 0.0, bad, bad]), exact)
        assert float(overflowed.not_finite) == 1 / 2
        assert float(overflowed.relative_error) == np.inf
    nothing = formats.format_error(jnp.zeros(4), jnp.zeros(4))
    assert np.isnan(nothing.lost) and float(nothing.no_path) == 1 and float(nothing.size) == 0
    assert np.isnan(nothing.relative_error)
    tiny = formats.format_error(jnp.array([0.0, 4e-200]), jnp.array([3e-200, 4e-200]))
    assert float(tiny.relative_error) == pytest.approx(0.6)  # though 1e-400 is no float64
    assert float(tiny.size) == pytest.approx(5e-200 / np.sqrt(2))


@pytest.mark.parametrize(("scale", "finite"), [(14, True), (15, False)])
def test_an_overflow_in_the_output_layer_alone_is_found(scale, finite):
    # Two examples of dL/db = S / 2 each add up to S only after float32; h = 3 makes dL/dW = 3 S.
    net = nets.from_arrays([[[3.0]], [[0.0]]], None, "identity")
    x, y = jnp.ones((2, 1)), jnp.zeros(2)
    for form in (net, nets.stack(net)):
        found = errors("float16", form, x, y, loss_scale=2.0**scale)
        assert bool(found.finite) == finite  # 3 * 2^14 < 65504 < 3 * 2^15
        np.testing.assert_array_equal(found.weight_gradients.not_finite, [0, not finite])
        assert found.weight_gradients.relative_error[1] == (0 if finite else np.inf)
        assert not found.error_signals.not_finite.any()


def test_bad_input_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"format must be one of float16.*got 'half'"):
        formats.format_limits("half")
    with pytest.raises(ValueError, match=r"narrow must have shape \(3\); got \(2,\)"):
        formats.format_error(jnp.ones(2), jnp.ones(3))
    arguments = small()
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64 must be True"):
        grads.signals(*arguments, dtype="float64")
