"""The kept results of convolutional nets: a sample of them is made again."""

import jax
import numpy as np
import pytest

from vgcourse import results
from vgcourse.experiments import convolutions
from vgkit import data, grads, nets

KEPT = results.load("convolutions")


def test_the_kept_results_are_whole_and_say_how_they_were_made():
    made = KEPT["made"]
    assert made["command"] == "python -m vgcourse.experiments.convolutions --write"
    assert made["versions"].keys() == {"jax", "optax", "numpy"}
    assert (made["seeds"], made["channels"]) == (convolutions.SEEDS, convolutions.CHANNELS)
    assert made["rates"] == list(convolutions.RATES)
    assert KEPT["runs"].keys() == convolutions.KINDS.keys()
    for depths in KEPT["runs"].values():
        assert depths.keys() == {str(depth) for depth in convolutions.DEPTHS}
        for depth, run in depths.items():
            assert np.shape(run["error_signal"]) == (made["seeds"], int(depth))
            assert np.shape(run["accuracy"]) == (made["seeds"],) and run["rate"] in made["rates"]


@pytest.mark.parametrize("name", convolutions.KINDS)
def test_the_kept_signals_again(name):
    kind = convolutions.KINDS[name]
    with jax.enable_x64(False):  # as the command runs
        found = convolutions.signals(kind, 4, convolutions.start(kind, 4))
    # kept to four digits; 32-bit sums over 64 positions and a few layers err by less
    np.testing.assert_allclose(found, KEPT["runs"][name]["4"]["error_signal"], rtol=1e-3)


def test_a_kept_training_again():
    run = KEPT["runs"]["ReLU, plain"]["4"]
    with jax.enable_x64(False):
        kind = convolutions.KINDS["ReLU, plain"]
        found = convolutions.run(kind, 4, (run["rate"],))
    accuracy = np.asarray(found.test_accuracy)[0, :, -1]
    # Rounding, which differs from machine to machine, moves a few of 360 test digits to and fro: a
    # share p of n answers has the standard error sqrt(p (1 - p) / n), here 0.02.
    np.testing.assert_allclose(accuracy, run["accuracy"], atol=3 * 0.02)


def test_the_start_is_that_of_conv_net():
    kind = convolutions.KINDS["sigmoid, plain"]
    keys = jax.random.split(jax.random.key(convolutions.KEY), convolutions.SEEDS)
    stacked = convolutions.start(kind, 4)
    third = jax.tree.map(lambda leaf: leaf[2], stacked)
    channels = (1, *[convolutions.CHANNELS] * 4)
    expected = nets.conv_net(keys[2], channels, 10, "glorot_normal")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), third, expected)
    digits = data.digits()
    x, y = digits.x_train[: convolutions.PROBE], digits.y_train[: convolutions.PROBE]
    signals = grads.error_signals(expected, x, y, "cross_entropy", "sigmoid")
    again = convolutions.signals(kind, 4, stacked)[2]
    np.testing.assert_allclose(again, grads.norms(signals)[:-1], rtol=1e-9)
