import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgkit import activations, nets

KEY = jax.random.key(0)

# Variance of a weight by the papers: fan_in = 300, fan_out = 500.
VARIANCE = {
    "lecun_normal": 1 / 300,
    "lecun_uniform": 1 / 300,
    "glorot_normal": 2 / 800,
    "glorot_uniform": 2 / 800,
    "he_normal": 2 / 300,
    "he_uniform": 2 / 300,
}


@pytest.mark.parametrize("name", VARIANCE)
def test_initialiser_has_the_published_variance(name):
    (layer,) = nets.mlp(KEY, (300, 500), name)
    assert layer.w.shape == (500, 300)
    assert not layer.b.any()
    # The relative error of a variance from 150,000 weights is below sqrt(2/150000) = 0.0037.
    assert float(layer.w.var()) == pytest.approx(VARIANCE[name], rel=4 * 0.0037)
    assert abs(float(layer.w.mean())) < 4 * np.sqrt(VARIANCE[name] / 150_000)
    if name.endswith("uniform"):
        assert float(jnp.abs(layer.w).max()) <= np.sqrt(3 * VARIANCE[name])


def test_orthogonal_and_normal():
    (layer,) = nets.mlp(KEY, (40, 40), "orthogonal")
    np.testing.assert_allclose(layer.w @ layer.w.T, np.eye(40), atol=1e-12)
    (layer,) = nets.mlp(KEY, (300, 500), "normal", std=0.01)
    assert float(layer.w.std()) == pytest.approx(0.01, rel=4 / np.sqrt(2 * 150_000))


def test_layers_are_drawn_independently_and_repeat_with_the_key():
    net = nets.mlp(KEY, (8, 8, 8, 3))
    assert [layer.w.shape for layer in net] == [(8, 8), (8, 8), (3, 8)]
    assert not np.allclose(net[0].w, net[1].w)
    np.testing.assert_array_equal(net[1].w, nets.mlp(KEY, (8, 8, 8, 3))[1].w)


def test_forward_by_hand():
    net = nets.from_arrays([[[1.0, 2.0], [3.0, 4.0]], [[1.0, -1.0]]], [[0.5, 0.0], [2.0]])
    # z = (1*1 + 2*(-1) + 0.5, 3 - 4) = (-0.5, -1); output = tanh(-0.5) - tanh(-1) + 2
    expected = np.tanh(-0.5) - np.tanh(-1.0) + 2
    np.testing.assert_allclose(nets.forward(net, jnp.array([1.0, -1.0])), [expected], rtol=1e-14)
    # With a skip the hidden layer's input (1, -1) is added: 2 more in the difference.
    output = nets.forward(net, jnp.array([1.0, -1.0]), skip=True)
    np.testing.assert_allclose(output, [expected + 2], rtol=1e-14)


@pytest.mark.parametrize("skip", [False, True])
def test_pre_activations_agree_with_a_numpy_forward_pass(skip):
    random = np.random.default_rng(3)
    weights = [random.normal(size=shape) for shape in [(4, 3), (4, 4), (2, 4)]]
    biases = [random.normal(size=size) for size in (4, 4, 2)]
    probes = [random.normal(size=size) for size in (4, 4, 2)]
    x = random.normal(size=3)
    net = nets.from_arrays(weights, biases)
    found = nets.pre_activations(
        net, jnp.asarray(x), "relu", skip=skip, probes=[jnp.asarray(p) for p in probes]
    )
    z1 = weights[0] @ x + biases[0] + probes[0]
    h1 = np.maximum(z1, 0)  # no skip: 3 units in, 4 out
    z2 = weights[1] @ h1 + biases[1] + probes[1]
    h2 = np.maximum(z2, 0) + (h1 if skip else 0)
    z3 = weights[2] @ h2 + biases[2] + probes[2]
    for ours, expected in zip(found, [z1, z2, z3], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-13)


def test_without_skip_nothing_of_the_input_is_added():
    net = [nets.Layer(jnp.full((1, 1), 1e200), jnp.zeros(1))] * 3  # 0 times infinity is no number
    np.testing.assert_array_equal(nets.forward(net, jnp.full(1, 1e200), "relu"), [np.inf])


def test_skip_is_left_out_where_shapes_differ():
    net = nets.mlp(KEY, (3, 5, 2))
    x = jnp.ones(3)
    np.testing.assert_array_equal(nets.forward(net, x, skip=True), nets.forward(net, x))


def test_probes_shift_the_pre_activations():
    net = nets.mlp(KEY, (3, 4, 2))
    probes = [jnp.arange(4.0), jnp.ones(2)]
    shifted = [layer._replace(b=layer.b + p) for layer, p in zip(net, probes, strict=True)]
    x = jnp.array([0.3, -1.0, 2.0])
    np.testing.assert_allclose(
        nets.forward(net, x, probes=probes), nets.forward(shifted, x), rtol=1e-14
    )


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("depth", [1, 3, 6])
def test_stack_computes_what_the_list_of_layers_computes(depth, skip):
    stacked = nets.stack(nets.mlp(KEY, (5,) * 7 + (2,), "orthogonal"))
    x = jnp.linspace(-1, 1, 5)
    phi = activations.function("gelu")
    h, _ = nets.stack_trace(stacked, x, phi, depth, skip=skip)
    net = nets.unstack(stacked, depth)
    assert len(net) == depth + 1
    expected = nets.forward(net, x, "gelu", skip=skip)
    np.testing.assert_allclose(stacked.output.w @ h + stacked.output.b, expected, rtol=1e-13)


BAD = {
    "depth 0": (lambda: nets.mlp(KEY, (4,)), "widths must name the input and the output"),
    "width 0": (lambda: nets.mlp(KEY, (4, 0, 2)), "each of widths .* at least 1; got 0"),
    "width 2.5": (lambda: nets.mlp(KEY, (4, 2.5, 2)), "each of widths .* whole number"),
    "unknown init": (lambda: nets.mlp(KEY, (4, 2), "xavier"), "one of lecun_normal.*'xavier'"),
    "no std": (lambda: nets.mlp(KEY, (4, 2), "normal"), "std must be a number.*got None"),
    "negative std": (lambda: nets.mlp(KEY, (4, 2), "normal", std=-1.0), "std must be.*got -1.0"),
    "std nan": (lambda: nets.mlp(KEY, (4, 2), "normal", std=float("nan")), "std must be.*nan"),
    "std for he": (lambda: nets.mlp(KEY, (4, 2), "he_normal", std=1.0), "std must be left out"),
    "no arrays": (lambda: nets.from_arrays([]), "weights must hold at least one matrix"),
    "not a matrix": (lambda: nets.from_arrays([[1.0, 2.0]]), "weights of layer 1 must have shape"),
    "misfit": (
        lambda: nets.from_arrays([np.ones((3, 2)), np.ones((1, 4))]),
        r"weights of layer 2 must have shape \(at least 1, 3\); got \(1, 4\)",
    ),
    "bias misfit": (
        lambda: nets.from_arrays([np.ones((3, 2))], [np.ones(2)]),
        r"bias of layer 1 must have shape \(3\); got \(2,\)",
    ),
    "bias count": (lambda: nets.from_arrays([np.ones((3, 2))], []), "biases must hold 1 vectors"),
    "nan weight": (
        lambda: nets.from_arrays([np.array([[np.nan, 1.0]])]),
        "weights must be finite; got 1",
    ),
    "unknown activation": (
        lambda: nets.forward(nets.mlp(KEY, (2, 1)), jnp.ones(2), "swish"),
        "activation must be one of identity.*'swish'",
    ),
    "x misfit": (
        lambda: nets.forward(nets.mlp(KEY, (2, 1)), jnp.ones(3)),
        r"x must have shape \(2\); got \(3,\)",
    ),
    "nothing to stack": (lambda: nets.stack(nets.mlp(KEY, (2, 1))), "at least one hidden layer"),
    "not square": (
        lambda: nets.stack(nets.mlp(KEY, (2, 3, 1))),
        r"weights of layer 1 must have shape \(3, 3\); got \(3, 2\)",
    ),
    "too deep": (
        lambda: nets.unstack(nets.stack(nets.mlp(KEY, (2, 2, 1))), 2),
        "depth must be at most 1, the layers stacked; got 2",
    ),
    "too shallow": (
        lambda: nets.unstack(nets.stack(nets.mlp(KEY, (2, 2, 1))), 0),
        "depth must be a whole number of at least 1; got 0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case, unchecked):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("init", ["he_normal", "orthogonal"])
def test_a_stack_drawn_in_one_piece_is_the_same_network(init):
    key = jax.random.key(3)
    found = nets.mlp_stack(key, 4, 6, 2, init)
    expected = nets.stack(nets.mlp(key, (6, 6, 6, 6, 6, 2), init))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, expected)
    for sizes in [(0, 6, 2), (4, 0, 2), (4, 6, 0)]:
        with pytest.raises(ValueError, match="must be a whole number of at least 1; got 0"):
            nets.mlp_stack(key, *sizes)
