"""The page on research: its measurement by another way, and what its text says of it."""

import re

import jax
import numpy as np
import pytest
from lessons import LESSONS

from vgcourse import chain_rule, research
from vgkit import grads, nets, theory

PAGE = "chapters/causes/research"


def test_the_factor_is_1_on_average():
    edge = theory.edge_of_chaos("tanh", research.BIASES["tanh"])
    assert edge.sigma_w == pytest.approx(research.GAINS["tanh"], rel=1e-4)
    assert edge.length == pytest.approx(research.INPUT, rel=2e-3)
    assert research.GAINS["relu"] ** 2 / 2 == pytest.approx(1)  # half of the squares, doubled
    for name, values in research.spectra().items():
        mean = (values**2).mean(axis=1)
        # To first order the logarithm has a variance of at most 5 / 64 a layer, and the mean of
        # the logarithm is half of that below 0. ReLU's fourth moment is the largest.
        variance = 50 * 5 / 64
        logs = np.log(mean) + variance / 2 * (name != "tanh, orthogonal")
        assert abs(np.median(logs)) < 4 * 1.25 * (variance / 8) ** 0.5


@pytest.mark.parametrize("name", research.NETS)
def test_singular_values_are_those_of_the_package_s_jacobians(name):
    """The product of `grads.jacobians`, of a net made of the same numbers."""
    activation, weights = research.NETS[name]
    key = chain_rule.seeds()[0]
    w, b, x = jax.random.split(key, 3)
    keys, shape = jax.random.split(w, research.LAYERS), (research.WIDTH, research.WIDTH)
    gain = research.GAINS[activation]
    make = jax.nn.initializers.orthogonal() if weights == "orthogonal" else jax.random.normal
    scale = gain if weights == "orthogonal" else gain / 8
    matrices = [scale * make(each, shape) for each in keys]
    biases = research.BIASES[activation] * jax.random.normal(b, (50, 64))
    net = nets.from_arrays([*matrices, np.eye(64)], [*biases, np.zeros(64)], activation)
    start = research.INPUT**0.5 * jax.random.normal(x, (64,))
    product = np.eye(64)
    for jacobian in grads.jacobians(net, start)[:50]:
        product = np.asarray(jacobian) @ product
    values = np.linalg.svd(product, compute_uv=False)
    # Rounding is relative to the largest value.
    np.testing.assert_allclose(research.spectra()[name][0], values, atol=1e-12 * values[0])


def test_what_the_text_says_of_the_figure():
    numbers = research.numbers()
    assert numbers["near_orthogonal"] > 0.9 > 0.1 > research.near_one("tanh, normal")
    assert (
        research.near_one("ReLU, orthogonal") < 0.1
    )  # "loses most directions even with orthogonal weights"
    assert numbers["largest_normal"] > 2 > 1e-5 > numbers["median_normal"] > 1e-12
    below = [np.argmax(np.median(v, axis=0) < 1e-13) + 1 for v in research.spectra().values()]
    assert below[1] <= 47 and below[2] <= 25  # the figure's alternative text
    assert 0.3 < numbers["kept_normal"] < 1.5


def test_the_picture_keeps_the_mean_square():
    drawn = " ".join(research.picture().parts)
    for wide, tall in re.findall(r'rx="([\d.]+)" ry="([\d.]+)"', drawn):
        assert (float(wide) ** 2 + float(tall) ** 2) / 2 == pytest.approx(40**2, rel=0.01)


def test_every_line_says_what_is_settled_and_what_is_open():
    lines = LESSONS[PAGE].split("\n## ")[2:7]
    assert len(lines) == 5
    for line in lines:
        assert line.count("**Settled:**") == line.count("**Open:**") == 1 and "{cite:p}" in line
