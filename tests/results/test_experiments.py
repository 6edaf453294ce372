"""The stored results: a sample of them is made again, in float32 as the commands do it."""

import jax
import numpy as np
import pytest

from vgcourse import results
from vgcourse.experiments import (
    attention,
    convolutions,
    league,
    memory,
    recurrence,
    remedies,
    search,
    shortcuts,
)


def measured(name):
    """For results that are not kept yet: their runs take hours."""
    kept = (results.FOLDER / f"{name}.json").exists()
    return pytest.mark.skipif(not kept, reason=f"{name} is not measured yet")


@pytest.mark.parametrize("name", ["sigmoid, Glorot", "ReLU, batch norm", "residual, ReZero"])
def test_remedies_again(name):
    """A sample of the league.

    The first rows are forward passes only. Over a run of 220 steps rounding errors grow: what a
    seed ends with differs between machines by less than seeds do among each other.
    """
    stored, remedy = results.load("remedies")["runs"][name]["10"], remedies.REMEDIES[name]
    with jax.enable_x64(False):
        history = remedies.run(remedy, 10, (stored["rate"],))
        ratios = remedies.ratios(remedies.start(remedy, 10))
    np.testing.assert_allclose(ratios, stored["G"], rtol=2e-3)
    accuracy, loss = np.array(stored["accuracy"]), np.array(stored["train_loss"])
    np.testing.assert_allclose(history.train_loss[0, :, 0], loss[:, 0], atol=1e-3)
    np.testing.assert_allclose(history.test_accuracy[0, :, 0], accuracy[:, 0], atol=3 / 360)
    assert abs(np.median(history.test_accuracy[0, :, -1]) - np.median(accuracy[:, -1])) < 0.03


@pytest.mark.parametrize("name", convolutions.KINDS)
def test_convolutional_signals_again(name):
    with jax.enable_x64(False):
        norms = convolutions.error_norms(convolutions.start(convolutions.KINDS[name], 4))
    # stored to four digits; 32-bit sums over 64 positions and a few layers err by less
    stored = results.load("convolutions")["runs"][name]["4"]["error_signal"]
    np.testing.assert_allclose(norms, stored, rtol=1e-3)


def test_a_convolutional_training_again():
    run = results.load("convolutions")["runs"]["ReLU, plain"]["4"]
    with jax.enable_x64(False):
        history = convolutions.run(convolutions.KINDS["ReLU, plain"], 4, (run["rate"],))
    # Rounding, which differs from machine to machine, moves a few of 360 test digits to and fro: a
    # share p of n answers has the standard error sqrt(p (1 - p) / n), here 0.02.
    np.testing.assert_allclose(history.test_accuracy[0, :, -1], run["accuracy"], atol=3 * 0.02)


ADDING = "adding, 20 steps"


def test_recurrent_nets_again():
    """The first losses and the gradients at the start are single passes.

    Four figures are stored, and float32 carries them. In 1024 steps rounding errors grow until a
    run differs as another seed's would; over 20 steps seeds differ by less than 0.05 in what they
    reach.
    """
    name, task = "GRU, update bias 5", recurrence.TASKS[ADDING]
    stored = results.load("recurrence")["runs"][ADDING][name]
    with jax.enable_x64(False):
        arrays, networks = task.draw(), recurrence.start(name, 2, 1)
        history = recurrence.run(networks, task, arrays, (stored["rate"],)).history
        ratios = recurrence.state_ratios(networks.cell, arrays[0][: recurrence.PROBE])
    np.testing.assert_allclose(ratios, stored["G"], rtol=2e-3)
    for rows in ("train_loss", "test_loss"):
        ours, theirs = np.asarray(getattr(history, rows)[0]), np.array(stored[rows])
        np.testing.assert_allclose(ours[:, 0], theirs[:, 0], rtol=2e-3)
        assert abs(np.median(6 * ours[:, -1]) - np.median(6 * theirs[:, -1])) < 0.05


def test_echo_state_networks_again():
    """A forward pass and one solve: no error grows from step to step.

    What rounding does to the weights solved for hardly moves a loss near its minimum: 1 % is ample.
    """
    task, stored = recurrence.TASKS[ADDING], results.load("recurrence")["runs"][ADDING]
    stored = stored["echo state, 32 units"]
    strength = recurrence.STRENGTHS.index(stored["strength"])
    with jax.enable_x64(False):
        arrays = task.draw()
        for seed, key in enumerate(recurrence.keys(recurrence.SEEDS)):
            (_, loss, test_loss, _), _ = recurrence.echo(
                32, task, key, stored["radius"], stored["gain"], arrays
            )
            np.testing.assert_allclose(loss[strength], stored["train_loss"][seed], rtol=1e-2)
            np.testing.assert_allclose(test_loss[strength], stored["test_loss"][seed], rtol=1e-2)


def scores(networks, key, data, plan, rate):
    """What networks reach in the short budget, in percent."""
    keys = jax.random.split(key, len(networks))
    return [
        100 * search.Training(net, rate, key, data, plan).short().score
        for net, key in zip(networks, keys, strict=True)
    ]


# In a few hundred steps rounding errors grow, but not to more than what seeds differ by: 3 % of 360
# digits are about two standard errors of a share.
NEAR = 3.0


@measured("league")
@pytest.mark.parametrize("name", ["sigmoid, batch norm", "ReLU, He", "residual, ReZero"])
def test_league_again(name):
    kept = results.load("league")
    with jax.enable_x64(False):
        start = league.at_the_start(name, 10)
        rate, median, *_ = kept["runs"]["short"]["SGD"][name]["10"]
        key, plan = jax.random.key(league.KEY), league.plan("SGD", np.inf)
        found = scores(league.networks(name, 10), key, league.digits(), plan, rate)
    columns = dict(zip(league.START, kept["start"][name]["10"], strict=True))
    assert start["parameters"] == columns["parameters"]
    for quantity in ("dL/dz", "dL/dh", "dL/dW"):
        assert start[quantity] == pytest.approx(columns[quantity], rel=0.02)  # two digits are kept
    assert np.median(found) == pytest.approx(median, abs=NEAR)


@measured("memory")
def test_memory_again():
    kept, name, task = results.load("memory")["runs"], "GRU, reset after", memory.TASKS["digits"]
    with jax.enable_x64(False):
        drawn, data = memory.networks(name, task, 8), task.draw(8)
        ratios = [float(memory.ratio(net.cell, data.x[: memory.PROBE])) for net in drawn]
        rate, median, *_ = kept["short"]["digits"][name]["8"]
        found = scores(drawn, jax.random.key(memory.KEY), data, task.plan, rate)
    np.testing.assert_allclose(
        search.spread(ratios), kept["dL/d(h, c)"]["digits"][name]["8"], rtol=0.02
    )
    assert np.median(found) == pytest.approx(median, abs=NEAR)


@measured("shortcuts")
@pytest.mark.parametrize("name", shortcuts.KINDS)
def test_shortcuts_again(name):
    kept, kind = results.load("shortcuts")["runs"], shortcuts.KINDS[name]
    with jax.enable_x64(False):
        found = shortcuts.medians(kind, shortcuts.networks(kind, 20))
    for quantity, sizes in found.items():
        np.testing.assert_allclose(sizes, kept[quantity][name]["20"], rtol=0.02)


@measured("attention")
@pytest.mark.parametrize("name", attention.KINDS)
def test_attention_again(name):
    with jax.enable_x64(False):
        found = attention.measure(attention.KINDS[name])
    for quantity, kept in results.load("attention")["runs"][name].items():
        np.testing.assert_allclose(found[quantity], kept, rtol=0.02)
