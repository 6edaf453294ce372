import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vgkit import activations, grads, nets

KEY = jax.random.key(0)

FANS = {"lecun": 300, "glorot": (300 + 500) / 2, "he": 300 / 2}
"""One over a weight's variance by the papers: fan_in = 300, fan_out = 500."""


def weights(init, widths=(300, 500), **options):
    return nets.mlp(KEY, widths, "identity", init=init, **options).readout.w


@pytest.mark.parametrize("author", FANS)
def test_initialisers_have_the_published_variance(author):
    variance = 1 / FANS[author]
    for kind in ("normal", "uniform"):
        w = weights(f"{author}_{kind}")
        assert w.shape == (500, 300)
        # The relative error of a variance from 150,000 weights is below sqrt(2/150000) = 0.0037.
        assert float(w.var()) == pytest.approx(variance, rel=4 * 0.0037)
        assert abs(float(w.mean())) < 4 * np.sqrt(variance / 150_000)
    assert float(jnp.abs(w).max()) <= np.sqrt(3 * variance)


def test_orthogonal_normal_and_an_initialiser_of_ones_own():
    w = weights("orthogonal", (40, 40))
    np.testing.assert_allclose(w @ w.T, np.eye(40), atol=1e-12)
    w = weights("normal", std=0.01)
    assert float(w.std()) == pytest.approx(0.01, rel=4 / np.sqrt(2 * 150_000))

    def ones(key, shape, dtype):
        return jnp.ones(shape, dtype)

    net = nets.mlp(KEY, (3, 2), "relu", init=ones)
    assert net.init == "ones" and (net.readout.w == 1).all() and not net.readout.b.any()


def test_output_by_hand():
    arrays = [[[1.0, 2.0], [3.0, 4.0]], [[1.0, -1.0]]], [[0.5, 0.0], [2.0]]
    x = jnp.array([1.0, -1.0])
    # z = (1*1 + 2*(-1) + 0.5, 3 - 4) = (-0.5, -1); output = tanh(-0.5) - tanh(-1) + 2
    expected = np.tanh(-0.5) - np.tanh(-1.0) + 2
    for phi in ("tanh", jnp.tanh, lambda z: 2 * jax.nn.sigmoid(2 * z) - 1):
        np.testing.assert_allclose(nets.from_arrays(*arrays, phi)(x), [expected], rtol=1e-14)
    # With a skip the hidden layer's input (1, -1) is added: 2 more in the difference.
    net = nets.from_arrays(*arrays, "tanh", skip=True)
    np.testing.assert_allclose(net(x), [expected + 2], rtol=1e-14)


def test_without_skip_nothing_of_the_input_is_added():
    ones = [[[1e200]]] * 3  # 0 times infinity is no number
    net = nets.from_arrays(ones, None, "relu")
    np.testing.assert_array_equal(net(jnp.full(1, 1e200)), [np.inf])


def test_one_compiled_program_serves_every_choice_of_a_stacked_net():
    stacked = nets.stack(nets.mlp(KEY, (5,) * 7 + (2,), "tanh", init="orthogonal", norm="layer"))
    x = jnp.linspace(-1, 1, 10).reshape(2, 5)
    names, traced = ("gelu", "relu"), []

    @jax.jit
    def outputs(depth, activation, skip, branch, order, norm):
        traced.append(1)
        phi = activations.by_index(activation, names)
        chosen = {"skip": skip, "branch": branch, "order": order, "norm": norm}
        net = stacked.replace(depth=depth, activation=phi, **chosen)
        return nets.forward(net, x), jax.grad(lambda net: nets.forward(net, x).sum())(net)

    orders, norms = list(nets.ORDERS), list(nets.NORMALISATIONS)
    for depth, name, skip, branch, order, norm in [
        (1, "gelu", False, 1.0, "standard", "none"),
        (3, "relu", True, 0.5, "pre_activation", "batch"),
        (6, "gelu", True, 0.7, "post_activation", "layer"),
    ]:
        chosen = {"skip": skip, "branch": branch, "order": order, "norm": norm}
        net = nets.unstack(stacked.replace(depth=depth, activation=name, **chosen))
        assert net.depth == depth and not net.stacked
        at = orders.index(order), norms.index(norm)
        found, gradient = outputs(depth, names.index(name), skip, branch, *at)
        np.testing.assert_allclose(found, nets.forward(net, x), rtol=1e-12)
        expected = jax.grad(lambda net: nets.forward(net, x).sum())(net).layers[-1].w
        np.testing.assert_allclose(gradient.layers.w[depth - 1], expected, rtol=1e-10, atol=1e-14)
        assert not gradient.layers.w[depth:].any()
    assert len(traced) == 1


def test_a_net_is_a_pytree_of_its_parameters():
    form = {"activation": "prelu", "norm": "layer", "skip": True, "gate": 0.0}
    net = nets.mlp(KEY, (4, 4, 3), **form)
    kinds = {leaf.dtype for leaf in jax.tree.leaves(net)}
    assert kinds == {jnp.dtype("float64")}
    paths = (path for path, _ in jax.tree.leaves_with_path(net))
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path in paths]
    parts = ("w", "b", "norm/scale", "norm/shift", "gate", "alpha")
    assert names == [*(f"layers/0/{part}" for part in parts), "readout/w", "readout/b"]
    gradient = jax.grad(lambda net: net(jnp.ones(4))[0])(net)
    updates, _ = (adam := optax.adam(0.1)).update(gradient, adam.init(net), net)
    moved = optax.apply_updates(net, updates)
    assert moved.activation == "prelu" and not np.allclose(moved.readout.b, net.readout.b)
    other = nets.mlp(jax.random.key(1), (4, 4, 3), init="he_normal", **form)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), net, other)  # the label is not compared
    outputs = jax.vmap(lambda net: net(jnp.ones(4)))(both)
    np.testing.assert_allclose(outputs[1], other(jnp.ones(4)), rtol=1e-12)
    with pytest.raises(ValueError, match=r"metadata|node data"):
        jax.tree.map(jnp.add, net, net.replace(order="pre_activation"))


@pytest.mark.parametrize("init", ["he_normal", "orthogonal"])
def test_a_net_drawn_stacked_is_the_same_network(init):
    stacked = nets.mlp(KEY, (6, 6, 6, 6, 6, 2), "relu", init=init, stacked=True)
    listed = nets.mlp(KEY, (6, 6, 6, 6, 6, 2), "relu", init=init)
    assert not np.allclose(listed.layers[0].w, listed.layers[1].w)
    for one, other in [(stacked, nets.stack(listed)), (nets.unstack(stacked), listed)]:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), one, other)
    x, y = jnp.linspace(-1, 1, 12).reshape(2, 6), jnp.array([0, 1])
    of_both = [grads.signals(net, x, y) for net in (stacked, listed)]
    for name in ("error_norms", "weight_norms", "bias_norms", "hidden_norms"):
        np.testing.assert_allclose(*(getattr(s, name) for s in of_both), rtol=1e-12)
    for one, other in zip(*(s.error_signals for s in of_both), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-15)


def test_printed_a_net_says_what_it_is():
    net = nets.mlp(KEY, (64, 32, 32, 10), "relu", init="he_normal", skip=True, norm="batch")
    head, first, *_, output = repr(net).splitlines()
    assert head == "Net(relu, he_normal, skip, batch norm): 2 hidden layers, 3,594 parameters"
    assert first.split() == "layer 1 64 → 32".split() and output.split() == "output 32 → 10".split()
    stacked = nets.mlp(KEY, (8,) * 31 + (2,), jnp.tanh, stacked=True)
    assert repr(stacked).splitlines()[1] == "  layers 1 to 30  8 → 8"
    assert repr(stacked.replace(layers="freeze", readout="train")) == "Net('freeze', 'train')"


def mlp(widths=(4, 4, 2), activation="tanh", **form):
    return nets.mlp(KEY, widths, activation, **form)


def arrays(weights, biases=None):
    return nets.from_arrays(weights, biases, "tanh")


def forward(x, **form):
    return nets.forward(mlp(**form), x)


STACKED = mlp(stacked=True)
BAD = [
    (lambda: mlp((4,)), "widths must name the input and the output"),
    (lambda: mlp((4, 0, 2)), "each of widths .* at least 1; got 0"),
    (lambda: mlp((4, 2.5, 2)), "each of widths .* whole number"),
    (lambda: mlp((4, 3, 2), stacked=True), r"widths must be equal up to .* got \(4, 3, 2\)"),
    (lambda: mlp(init="xavier"), "init must be one of lecun_normal.*'xavier'"),
    (lambda: mlp(init="normal"), "std must be a number.*got None"),
    (lambda: mlp(init="normal", std=-1.0), "std must be.*got -1.0"),
    (lambda: mlp(init="he_normal", std=1.0), "std must be left out"),
    (lambda: mlp(activation=None), "activation must be .*None"),
    (lambda: mlp(order="after"), "order must be one of standard.*'after'"),
    (lambda: mlp(norm="group"), "norm must be one of none, batch.*'group'"),
    (lambda: mlp(branch=0.5), "branch must be 1 without skip.*got 0.5"),
    (lambda: mlp(gate=0.0), "skip must be True for a net with gates"),
    (lambda: mlp(gate=float("nan"), skip=True), "gate must be finite"),
    (lambda: mlp().replace(norm="layer"), "norm must be 'none' for layers"),
    (lambda: mlp(activation="prelu").replace(activation="relu"), "activation must be 'prelu' for"),
    (lambda: mlp().replace(depths=3), "a change must be one of layers.*'depths'"),
    (lambda: arrays([]), "weights must hold at least one matrix"),
    (lambda: arrays([[1.0, 2.0]]), "weights of layer 1 must have shape"),
    (lambda: arrays([np.ones((3, 2)), np.ones((1, 4))]), r"of layer 2 .* 3\); got \(1, 4\)"),
    (lambda: arrays([np.ones((3, 2))], [np.ones(2)]), r"bias of layer 1 .*\(3\); got \(2,\)"),
    (lambda: arrays([np.ones((3, 2))], []), "biases must hold 1 vectors"),
    (lambda: arrays([np.array([[np.nan, 1.0]])]), "weights must be finite; got 1"),
    (lambda: mlp()(jnp.ones(3)), r"x must have shape \(4\); got \(3,\)"),
    (lambda: mlp(norm="batch")(jnp.ones(4)), "x must come in a batch"),
    (lambda: forward(jnp.ones((1, 4)), norm="batch"), "x must hold at least 2 examples .* got 1"),
    (lambda: nets.stack(mlp((2, 1))), "at least one hidden layer"),
    (lambda: nets.stack(mlp((2, 3, 1))), r"weights of layer 1 .*\(3, 3\); got \(3, 2\)"),
    (lambda: STACKED.replace(depth=2), "depth must be at most 1.*got 2"),
    (lambda: STACKED.replace(depth=0), "depth must .* at least 1; got 0"),
    (lambda: mlp().replace(depth=1), "depth must be left out .*got 1"),
    (lambda: nets.lsuv(mlp(), jnp.zeros((5, 4))), "x must make .* layer 1 vary"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input_is_refused(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()
