"""The page on number formats. Oracles: IEEE 754's formulas, NumPy with ml_dtypes, and nets of
powers of two, in which it is known by hand which entry of which layer falls below a format's end.
"""

from functools import partial

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from lessons import LESSONS, code

from vgcourse import chain_rule, formats
from vgkit import grads, nets

KEY = jax.random.key(3)
PAGE = "chapters/causes/formats"
BITS = {"float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23), "float64": (11, 52)}
BITS |= {"e4m3": (4, 3), "e5m2": (5, 2)}
NUMPY = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float32": np.float32,
    "float64": np.float64,
}
# Exponent of the smallest power of two that JAX on the CPU keeps: only float16 keeps subnormals.
LAST = {"float16": -24, "bfloat16": -126, "float32": -126}


@pytest.mark.parametrize("name", formats.DTYPES)
def test_limits_follow_from_the_number_of_bits(name):
    exponent, mantissa = BITS[name]
    top = 2 ** (exponent - 1) - 1  # exponents of normal numbers run from 1 - top to top
    normal, largest = 2.0 ** (1 - top), (2 - 2.0**-mantissa) * 2.0**top
    if name == "e4m3":  # no infinity: its exponent is one for numbers, but for the last, NaN
        largest = (2 - 2 * 2.0**-mantissa) * 2.0 ** (top + 1)
    limits = (normal * 2.0**-mantissa, normal, largest, 2.0**-mantissa)
    assert formats.format_limits(name) == limits
    if name in formats.SHOWN:
        row = f"| {name} | {exponent}+{mantissa} |"
        assert row in LESSONS[PAGE] and sum(BITS[name]) + 1 in (8, 16, 32)


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
    with pytest.raises(ValueError, match=r"format must be one of e4m3.*got 'half'"):
        formats.format_limits("half")
    with pytest.raises(ValueError, match=r"narrow must have shape \(3\); got \(2,\)"):
        formats.format_error(jnp.ones(2), jnp.ones(3))
    arguments = small()
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(ValueError, match="jax_enable_x64 must be True"):
            grads.signals(*arguments, dtype="float64")
    finally:
        jax.config.update("jax_enable_x64", True)


# The page


@pytest.fixture(scope="module")
def numbers():
    return formats.numbers()


def median(array):
    return float(np.median(array))


def test_the_format_with_more_digits_has_nothing(numbers):
    half, brain = (formats.compare(name, 10) for name in ("float16", "bfloat16"))
    assert (half.weight_gradients.lost[:, 0] == 1).all()  # "in all of eight nets"
    assert len(half.finite) == 8 and formats.networks().layers.w[0, 0].size == 4096
    assert not brain.weight_gradients.lost[:, 0].any() and numbers["half_error"] == 1
    assert brain.weight_gradients.relative_error[:, 0].max() < 0.02
    # "the terms of this sum are smaller still": every product of a digit's signal and a pixel
    signals, x = formats.exact(10).error_signals.hidden[:, 0], chain_rule.batch()[0]
    terms = np.abs(signals).max(axis=-1) * np.abs(x).max(axis=1) / 32
    assert (terms < 2.0**-24).mean() > 0.9
    below = np.abs(formats.exact(10).weight_gradients.hidden[:, 0]) < 2.0**-25
    assert 0.5 < below.mean() < 1  # "most of layer 1"


def test_the_picture_has_every_number_of_e4m3():
    numbers = formats.eight_bits()
    small = [k * 2.0**-9 for k in range(8)]
    large = [(1 + k / 8) * 2.0**e for e in range(-6, 9) for k in range(8)][:-1]  # the last is NaN
    np.testing.assert_array_equal(numbers, small + large)
    drawn = formats.picture().alt
    assert "0.0008 becomes 0; 0.009 becomes 0.0098; 0.04 becomes 0.039" in drawn
    nearest = [ml_dtypes.float8_e4m3fn(value) for value in formats.EXAMPLES]
    np.testing.assert_array_equal(np.array(nearest, float), [0, 5 * 2.0**-9, 20 * 2.0**-9])


def test_layer_1_is_gone_where_two_numbers_say(numbers):
    found = formats.ends()
    assert abs(found.factor - 0.236052) < 0.005  # mean-field theory's, of infinitely wide nets
    for name in formats.MARKERS:
        assert 0 <= formats.gone(name) - found.layers[name] < 2
        # What one layer more multiplies by is found at the end of the formula as well.
        layers = found.layers[name]
        assert found.last * found.factor ** (layers - 1) == pytest.approx(found.end[name])
    lost = {name: rows.lost for name, rows in formats.by_depth().items()}
    assert np.abs(lost["bfloat16"] - lost["float32"]).max() < 0.1  # "as long as float32"
    for name in ("e4m3", "e5m2"):  # what is stored of them is gone as early
        depth = int(np.ceil(found.layers[name])) + 1
        gradient = formats.exact(depth).weight_gradients.hidden[:, 0]
        assert (formats.format_error(formats.stored(gradient, name), gradient).lost) > 0.9


def test_float32_is_accurate_until_the_gradient_is_gone(numbers):
    half, brain, single = (formats.by_depth()[name].error for name in formats.MARKERS)
    early, late = formats.DEPTHS <= 50, formats.DEPTHS >= 58
    assert single[:, early].max() < 5e-6 and single[:, late].min() > 0.9
    assert brain[:, early].max() < 0.1 and half[:, formats.DEPTHS >= 10].min() > 0.99
    assert 1e-28 < numbers["size_40"] < 1e-26 and 3e-7 < formats.at("float32", 40).error < 3e-6
    assert numbers["error_8"] > 4 * numbers["lost_8"]
    at_8 = formats.exact(8).weight_gradients.hidden[:, 0]
    assert (np.abs(at_8) < 2.0**-14).all()  # "all the others are subnormal"
    subnormal = np.float32(1.4e-45)  # "NumPy keeps the subnormal numbers"
    assert np.float32(2) * subnormal > 0 == jnp.float32(2) * jnp.asarray(subnormal)
    assert round(numbers["layers_more"]) == round(23 * np.log(2) / -np.log(formats.ends().factor))


def test_a_format_of_8_bits_with_a_scale_for_each_array(numbers):
    found = formats.in_eight_bits()
    assert (found["lost"] == 1).all()  # "e5m2 loses everything"
    assert not found["lost_e4m3"].any() and not found["lost_e5m2"].any()
    # Rounding to m bits behind the first: a uniform error of one gap, 2^-m of the power below.
    # Over numbers spread evenly over an octave its RMS is 2^-m / sqrt(12 * 7 / 3).
    for name, bits in (("e4m3", 3), ("e5m2", 2)):
        expected = 2.0**-bits / np.sqrt(12 * 7 / 3)
        assert abs(numbers[f"error_{name}"] / expected - 1) < 0.25
    gradient = formats.exact(10).weight_gradients.hidden[0, 0]
    for name in ("e4m3", "e5m2"):
        scaled = float(jnp.abs(gradient).max() * formats.own_scale(gradient, name))
        assert (
            formats.format_limits(name).largest / 2 < scaled <= formats.format_limits(name).largest
        )
        by_numpy = np.asarray(gradient).astype(formats.DTYPES[name]).astype(float)
        np.testing.assert_array_equal(formats.stored(gradient, name), by_numpy)


def test_the_three_lines():
    scope = {"formats": formats, "jax": jax, "jnp": jnp}
    exec(code(PAGE, "step"), scope)
    net = formats.ten_layers()
    first = formats.networks().layers.w[0]
    np.testing.assert_array_equal(net.layers[9].w, first[9].astype("float32"))
    found = {}
    for scale in (1.0, 1024.0):
        after = scope["step"](net, scale)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(after)} == {"float32"}
        step = np.asarray(net.layers[0].w, float) - np.asarray(after.layers[0].w, float)
        exact = np.asarray(formats.exact(10).weight_gradients.hidden[0, 0])
        found[scale] = np.linalg.norm(step - exact) / np.linalg.norm(exact)
        assert (np.mean(step != 0) > 0.5) == (scale > 1)
    # Each new weight is rounded to float32, evenly within half a gap to either side.
    gaps = np.spacing(np.abs(np.asarray(net.layers[0].w))).astype(float)
    rounding = np.sqrt(np.mean(gaps**2) / 12) / np.sqrt(np.mean(exact**2))
    assert found[1.0] == 1 and found[1024.0] < 1.2 * rounding + 0.01
    helper = formats.compare("float16", 8, 1024.0).weight_gradients.relative_error[0, 0]
    assert helper < 0.01


def test_small_steps_are_lost_in_few_digits(numbers):
    one, step = ml_dtypes.bfloat16(1), numbers["felt"]
    assert one - ml_dtypes.bfloat16(0.9 * step) == 1 > one - ml_dtypes.bfloat16(1.1 * step)
    single = numbers["felt_float32"]
    assert np.float32(1) - np.float32(0.9 * single) == 1 > np.float32(1) - np.float32(1.1 * single)
    w = ml_dtypes.bfloat16(1)
    for _ in range(100):
        w = w - ml_dtypes.bfloat16(0.001)
    assert w == 1 and numbers["felt"] > 0.001


def test_weights_in_float32_are_all_that_training_needs(numbers):
    single, mixed, brain = formats.trained().values()
    assert np.abs(mixed / single - 1).max() < 0.02  # "the curve lies on that of float32"
    assert brain[:, -1].min() > 2 * single[:, -1].max() and np.ptp(single[0]) > 1
    np.testing.assert_allclose(single[:, 0], mixed[:, 0], rtol=1e-6)


def test_the_loss_of_a_net_of_one_layer_by_hand():
    net = nets.mlp(KEY, (3, 4), "identity")
    x, y = jax.random.normal(KEY, (5, 3)), jnp.array([0, 1, 2, 3, 0])
    w = np.asarray(net.readout.w)

    def by_hand(w):
        out = np.asarray(x) @ w.T
        return np.mean(np.log(np.exp(out).sum(axis=1)) - out[np.arange(5), y])

    np.testing.assert_allclose(formats.loss(net, x, y), by_hand(w), rtol=1e-6)
    half = formats.cast(net, "float16")
    assert half.readout.w.dtype == "float16" and formats.loss(half, x, y).dtype == "float32"
    assert abs(formats.loss(half, x, y) - by_hand(w)) < 0.01


def test_the_window_of_loss_scales(numbers):
    useless, powers, most = formats.useless(), formats.POWERS, formats.overflow()
    at_8 = np.stack([formats.compare("float16", 8, 2.0**p).finite for p in powers.tolist()], 1)
    np.testing.assert_array_equal(at_8, powers < most[:, None])  # net by net
    assert all((shares[:, powers > most.max()] == 1).all() for shares in useless.values())
    assert useless[8][:, (powers >= 10) & (powers < most.min())].max() < 0.002
    assert (useless[20] == 1).all() and (useless[14][:, powers <= 2] == 1).all()
    assert median(useless[14].min(axis=1)) < 0.2
    assert numbers["window"] == pytest.approx(np.log10(65504 * 2.0**24))
    assert 16 < numbers["reach"] < 20 and numbers["ratio"] < 1e-3  # no remedy
    ratio = [np.sqrt(np.mean(np.square(w), axis=(1, 2))) for w in
             (formats.exact(8).weight_gradients.hidden[:, layer] for layer in (0, 7))]  # fmt: skip
    assert numbers["ratio"] == pytest.approx(median(ratio[0] / ratio[1]))


def test_what_the_text_says_of_the_explorer():
    explorer = formats.explorer()

    def at(scale, depth=12, name="float16", activation="sigmoid"):
        settings = {"depth": depth, "activation": activation, "number_format": name}
        result = explorer.at(**settings, loss_scale=scale)
        return {name: np.ravel(array) for name, array in result.items()}

    shown = []
    for scale, _ in formats.SCALES:
        result = at(scale)
        error = result["error"].reshape(40, -1)[:12]
        shown.append(int(np.sum((error != 0).any(axis=1))))
        assert (result["sentence"] == 0) == (scale == "2^24")
        lost = result["signal"][:12] == 1
        assert not (error[lost] != 0).any()
    assert shown[:5] == sorted(shown[:5]) and shown[0] < 12 == shown[4]  # column by column
    assert at("1")["lost"] == 100 > 1 > at("2^15")["lost"]
    assert all(at(s, depth=20)["lost"] > 50 or at(s, depth=20)["sentence"] == 0
               for s, _ in formats.SCALES)  # fmt: skip
    for depth in (12, 20, 40):
        assert at("1", depth, "bfloat16")["lost"] == 0


def test_a_reader_s_net():
    own = jax.tree.map(lambda leaf: 1.5 * leaf, formats.first_net())
    usual, larger = (formats.with_net(net)(10, 0, 0, 1.0) for net in (formats.first_net(), own))
    assert larger["size"][0] > 3 * usual["size"][0] and larger["lost"] < usual["lost"]


def test_exercises():
    limits = formats.format_limits("float16")
    low, high = limits.smallest_normal / 3e-9, limits.largest / 0.05
    assert [p for p in range(40) if low <= 2.0**p <= high] == [15, 16, 17, 18, 19, 20]
    scale = 2.0**30
    while not (result := formats.compare("float16", 10, scale)).finite.all():
        scale /= 2
    assert scale < 2 ** formats.overflow().min() < 4 * scale
    assert result.weight_gradients.relative_error[:, 0].max() < 0.01
    gap, chance = 2.0**-8, np.random.default_rng(0)  # stochastic rounding
    assert float(ml_dtypes.bfloat16(1) - ml_dtypes.bfloat16(1.2 * gap / 2)) == 1 - gap
    ends = np.ones(100)
    for _ in range(100):
        ends = gap * np.floor((ends - 0.001) / gap + chance.random(100))
    sd = gap * np.sqrt(100 * 0.256 * 0.744)
    assert abs(ends.mean() - 0.9) < 4 * sd / 10 and ends.std() < 1.5 * sd < 7 * gap
    large = formats.large_weights()
    assert float(large.layers.w.std()) == pytest.approx(1, rel=0.01)
    fits = []
    for name, s in [("float16", 1.0), ("float16", 2.0**-10), ("bfloat16", 1.0)]:
        depth = 40
        while not formats.compare(name, depth, s, large, tanh=True).finite.all():
            depth -= 2
        fits.append(depth)
    assert fits[0] < fits[1] < fits[2] == 40
