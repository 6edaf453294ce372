"""The page on depth: its numbers by other ways, and what its text says of them."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from lessons import LESSONS, code

from vgcourse import chain_rule, depth, results
from vgkit import activations, grads, nets

PAGE = "chapters/depth"


@pytest.fixture(scope="module")
def numbers():
    return depth.numbers()


def test_depth_alone_does_not_make_a_gradient_vanish(numbers):
    sigmoid, tanh, relu = depth.shares().values()
    assert 1e-32 < sigmoid[:, -1].min() and sigmoid[:, -1].max() < 1e-30
    assert sigmoid[:, 0].min() > 0.1  # two layers: one factor
    assert 0.05 < tanh[:, -1].min() and relu.min() > 0.05
    assert 1e29 < numbers["tanh_50"] / numbers["sigmoid_50"] < 1e31  # "thirty powers of ten"
    assert 3.5 < numbers["tanh_mean"] / numbers["factor"] < 4.5  # "a difference of four"


def test_shares_are_those_of_nets_cut_off():
    """A stack of 50 layers of which 5 are used is a net of 5."""
    key = chain_rule.seeds()[0]
    for name, init in depth.PAIRS.items():
        deep = depth.draw(key, name, init)
        layers = nets.unstack(deep).layers[:5]
        net = nets.from_arrays(
            [*(layer.w for layer in layers), deep.readout.w],
            [*(layer.b for layer in layers), deep.readout.b], name,
        )  # fmt: skip
        alone = grads.signals(net, *chain_rule.batch()).ratio
        np.testing.assert_allclose(depth.shares()[name][0, 1], alone, rtol=1e-9)
        np.testing.assert_allclose(depth.share(deep, 5), alone, rtol=1e-9)


def test_the_sigmoid_alone_decays_exponentially():
    sigmoid, tanh, relu = depth.factors().values()
    # Averages over 32 nets of 64 units: of a layer's factor the logarithm has a standard
    # deviation of about sqrt(5 / 64) / 2 in one net, so the mean one of 0.025.
    allowed = 4 * 0.025
    assert np.abs(np.log(sigmoid[1:] / 0.236052)).max() < allowed  # mean-field theory's constant
    assert np.abs(np.log(relu)).max() < allowed  # He initialisation keeps the mean square
    # Tanh of lengths q = 1 / (2 l): mean squared slope 1 - 2 q = 1 - 1 / l, from layer 5 on.
    layer = np.arange(1, depth.DEEPEST)[5:]
    assert np.abs(np.log(tanh[5:]) - np.log(1 - 1 / layer) / 2).max() < allowed
    assert tanh[0] < 0.75 and tanh[:5].max() < 0.95 < tanh[20:].min()
    kept = depth.shares()["relu"][:, -1]
    assert kept.min() < 1 < kept.max()  # "just below or just above depends on the draw"
    # "roughly like a power": what is left of 50 layers by a law through the first 20
    depths, left = np.arange(1, 51), np.append(1, np.cumprod(tanh))
    for axis, close in ((np.log(depths), True), (depths, False)):
        law = np.polyfit(axis[1:20], np.log(left[1:20]), 1)
        assert (abs(np.polyval(law, axis[-1]) - np.log(left[-1])) < 0.2) == close
    factor = depth.numbers()["factor"]
    assert f"{factor:.2g}" == f"{np.exp(np.log(sigmoid).mean()):.2g}"  # said of both figures


def test_a_net_that_looks_healthy():
    result = depth.looks_healthy()
    assert ((result.signal[:, 0] / result.signal[:, -1]) < 1e-6).all()
    ratio = result.weights[:, 0] / result.weights[:, -1]
    assert 0.1 < ratio.min() and ratio.max() < 10 and 0.95 < np.median(ratio) < 1.05
    # Where tanh is nearly linear, both directions shrink by 1/√3 a layer {cite:p}`glorot2010`.
    back = (result.signal[:, 15] / result.signal[:, 29]) ** (1 / 14)
    there = (result.inputs[:, 29] / result.inputs[:, 15]) ** (1 / 14)
    np.testing.assert_allclose(np.median(back), 3**-0.5, rtol=0.03)
    np.testing.assert_allclose(np.median(there), 3**-0.5, rtol=0.03)
    # The weight gradient is the product, but for how the examples' terms add up.
    product = result.signal * result.inputs
    assert 0.05 < (result.weights / product).min() and (result.weights / product).max() <= 1.01
    lower = np.median(product / result.weights, axis=0)  # "four to five times lower"
    assert 4 <= round(lower.min(), 1) and round(lower.max()) == 5
    one, label = chain_rule.batch()[0][:1], chain_rule.batch()[1][:1]  # for a single digit, exactly
    net = depth.draw(chain_rule.seeds()[0], "tanh", "normal", depth.SMALL).replace(depth=30)
    alone = grads.signals(net, one, label)
    np.testing.assert_allclose(
        alone.weight_norms[0], alone.error_norms[0] * jnp.sqrt(jnp.mean(one**2)), rtol=1e-9
    )


def test_inputs_and_signals_of_one_layer_by_a_net_of_that_depth():
    key = chain_rule.seeds()[0]
    x = chain_rule.batch()[0]
    net = nets.unstack(depth.draw(key, "tanh", "normal", depth.SMALL))
    h = x
    for layer in net.layers[:6]:
        h = jnp.tanh(h @ layer.w.T + layer.b[None])
    result = depth.looks_healthy()
    np.testing.assert_allclose(result.inputs[0, 6], jnp.sqrt(jnp.mean(h**2)), rtol=1e-10)
    np.testing.assert_allclose(result.inputs[0, 0], jnp.sqrt(jnp.mean(x**2)), rtol=1e-10)
    assert result.signal.shape == result.weights.shape == (8, 30)


def test_small_is_not_zero(numbers):
    for name in ("float16", "float32"):
        assert numbers[f"sigmoid_{name}"] == numbers[f"relu_{name}"] == 0
    assert 0 < numbers["sigmoid_float64"] < 1e-37 and numbers["relu_float64"] == 0
    assert 1e-45 < numbers["sigmoid_float64"] < numbers["smallest_float32"]  # as the text says
    x, _ = chain_rule.batch()
    net = depth.sixty_layers("relu", depth.SIXTY["relu"])
    z = jax.vmap(lambda one: nets.intermediates(net, one)[0].z)(x)
    assert z.shape == (32, 60, 64) and not (z > 0).any()  # "there are none"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_smallest_numbers(dtype):
    """Half of it is rounded to 0, on a CPU; the number itself is not."""
    least = jnp.asarray(depth.smallest()[dtype], dtype)
    multiply = jax.jit(lambda a, b: a * b)
    assert multiply(least, jnp.asarray(1, dtype)) > 0
    assert multiply(least, jnp.asarray(0.5, dtype)) == 0


def test_folding_doubles_the_pieces():
    """Slopes of the straight pieces, of the net as the library runs it and as the page has it."""
    weights = [
        np.ones((2, 1)),
        *[np.array([[2.0, -4.0], [2.0, -4.0]])] * 4,
        np.array([[2.0, -4.0]]),
    ]
    biases = [*[np.array([0.0, -0.5])] * 5, np.zeros(1)]
    net = nets.from_arrays(weights, biases, "relu")
    x = np.arange(2**5) / 2**5 + 2.0**-6  # the middles of the pieces
    scope = {"jax": jax, "jnp": jnp, "print": lambda *_: None}
    exec(code(PAGE, "fold"), scope)
    folded = x
    for _ in range(5):
        folded = scope["fold"](folded)
    np.testing.assert_array_equal(depth.tent(x, 5), folded)
    output = jax.vmap(jax.value_and_grad(lambda one: net(one[None])[0]))
    values, slopes = output(jnp.asarray(x))
    np.testing.assert_allclose(depth.tent(x, 5), values, atol=1e-12)
    np.testing.assert_array_equal(slopes, [32, -32] * 16)  # 32 pieces, none equal to its neighbour
    units = sum(len(w) for w in weights[:-1])
    assert (units, 2**5 - 1) == (10, 31) and 2**20 - 1 > 1_000_000  # as the text says
    assert "ten units, draw 32 pieces" in LESSONS[PAGE].replace("\n", " ")


@pytest.mark.parametrize(
    ("setting", "low", "high"),
    [
        (("sigmoid", "Glorot", "off"), 0, 1e-10),
        (("sigmoid", "Glorot", "on"), 0.1, 10),
        (("tanh", "Glorot", "off"), 0.05, 1),
        (("tanh", "normal, sd 1", "off"), 1e3, np.inf),
        (("relu", "Glorot", "off"), 0, 0.01),
        (("relu", "He", "off"), 0.2, 5),
    ],
)
def test_what_the_text_says_of_the_explorer(setting, low, high):
    activation, initialiser, skip = setting
    label = activations.ACTIVATIONS[activation].label
    result = depth.explorer().at(depth=20, activation=label, initialiser=initialiser, skip=skip)
    assert low <= np.ravel(result["ratio"])[0] <= high


def test_a_reader_s_activation_gives_what_the_explorer_draws():
    own = depth.with_activation(jnp.tanh)(20)
    here = depth.explorer().at(depth=20, activation="tanh", initialiser="Glorot", skip="off")
    assert own.keys() == here.keys()
    for name in ("error_signal", "weight_gradient", "activation", "error"):
        np.testing.assert_allclose(own[name], here[name], rtol=1e-9)


def test_kept_results_say_what_the_text_does(numbers):
    assert 0.9 < numbers["one_layer"] and numbers["thirty_layers"] < numbers["one_layer"]
    one, ten, thirty = (depth.accuracies("tanh, Glorot", layers) for layers in (1, 10, 30))
    assert thirty.max() < min(one.min(), ten.min())
    assert one.min() < np.median(ten) and ten.min() < np.median(one)  # these two overlap
    runs, made = (results.load("remedies")[part] for part in ("runs", "made"))
    best = {layers: runs["tanh, Glorot"][str(layers)]["rate"] for layers in (1, 10, 30)}
    assert best[1] == best[10] == max(made["rates"]) > best[30] > min(made["rates"])
    course = np.median(runs["tanh, Glorot"]["30"]["accuracy"], axis=0)
    assert course[-1] > course[-4:-1].max()  # "still improving"
    assert depth.accuracy("sigmoid, Glorot", 2) > 0.6  # "such a net learns the digits well"


def test_one_digit_differs_from_the_medians_by_a_factor_of_two_or_three():
    """What the text says beside the explorer; and the step of a shade on the first page."""
    chosen = {"activation": "sigmoid", "initialiser": "Glorot", "skip": "off"}
    one = depth.explorer().at(depth=20, **chosen)["error_size"]
    sizes = chain_rule.error_sizes()  # the same kind of nets, 32 digits
    times = float(one[0] / one[19]) / np.median(sizes[:, 0] / sizes[:, -1])
    assert 1.5 < max(times, 1 / times) < 3.5
    low, high = re.search(r"backward=\((-\d+), (\d+)\)", (ROOT / "index.md").read_text()).groups()
    assert round(10 ** ((int(high) - int(low)) / 6), -2) == 300  # the legend has seven shades
