"""The kept results of the recurrent nets are what their command measures."""

import jax
import jax.numpy as jnp
import numpy as np

from vgcourse import results
from vgcourse.experiments import recurrence

TASK = "adding, 20 steps"
KEPT = results.load("recurrence")["runs"]


def test_trained_nets_again():
    """In float32, as the command does it.

    The first losses and the gradients at the start are single passes: four figures are kept, and
    float32 carries them. In 1024 steps rounding errors grow until a run differs as another seed's
    would; over 20 steps seeds differ by less than 0.05 in what they reach.
    """
    name = "GRU, update bias 5"
    kept, task = KEPT[TASK][name], recurrence.TASKS[TASK]
    with jax.enable_x64(False):
        arrays = task.draw()
        nets = recurrence.start(name, 2, 1)
        found = recurrence.run(nets, task, "tanh", arrays, jnp.array([kept["rate"]]))
        ratios = recurrence.reach(nets.cell, "tanh", arrays[0][: recurrence.PROBE])
    np.testing.assert_allclose(ratios, kept["G"], rtol=2e-3)
    for rows in ("train_loss", "test_loss"):
        ours, theirs = np.asarray(getattr(found, rows)[0]), np.array(kept[rows])
        np.testing.assert_allclose(ours[:, 0], theirs[:, 0], rtol=2e-3)
        assert abs(np.median(6 * ours[:, -1]) - np.median(6 * theirs[:, -1])) < 0.05


def test_echo_state_networks_again():
    """A forward pass and one solve, in float32: no error grows from step to step.

    What rounding does to the weights solved for hardly moves a loss near its minimum: 1 % is ample.
    """
    kept, task = KEPT[TASK]["echo state, 32 units"], recurrence.TASKS[TASK]
    strength = recurrence.STRENGTHS.index(kept["strength"])
    with jax.enable_x64(False):
        arrays = task.draw()
        for seed, key in enumerate(recurrence.keys(recurrence.SEEDS)):
            scores, _ = recurrence.echo(32, task, key, kept["radius"], kept["gain"], arrays)
            np.testing.assert_allclose(scores[1][strength], kept["train_loss"][seed], rtol=1e-2)
            np.testing.assert_allclose(scores[2][strength], kept["test_loss"][seed], rtol=1e-2)


def test_results_are_whole():
    kept = results.load("recurrence")
    assert kept["runs"].keys() == recurrence.TASKS.keys()
    assert kept["made"]["command"].startswith("python -m vgcourse.experiments.recurrence")
    for label, runs in kept["runs"].items():
        assert runs.keys() == recurrence.CELLS.keys() | recurrence.RESERVOIRS.keys(), label
        task = recurrence.TASKS[label]
        for name, found in runs.items():
            rows = (recurrence.SEEDS,)
            if name in recurrence.CELLS:
                rows += (task.epochs // task.every + 1,)
                assert found["rate"] in recurrence.RATES and np.shape(found["G_trained"]) == (3,)
            assert np.shape(found["test_loss"]) == np.shape(found["train_loss"]) == rows
            assert ("accuracy" in found) == (task.loss == "cross_entropy")
            assert np.shape(found["G"]) == np.shape(found["score"]) == (recurrence.SEEDS,)


def test_scores_by_hand():
    # Half of the sums' variance of 1/6 told; 1 of 4 symbols wrong in an answer of 18 steps.
    assert recurrence.score("adding, 20 steps", {"test_loss": [[1.0, 1 / 12]]}) == [0.5]
    assert recurrence.score("copying, silence of 10", {"accuracy": [17 / 18], "test_loss": 0}) == [
        0.75
    ]
    assert recurrence.score("digits, row by row", {"accuracy": [0.9], "test_loss": 0}) == [0.9]
