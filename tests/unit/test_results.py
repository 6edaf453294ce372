"""How stored results are made, written and read."""

import jax.numpy as jnp
import pytest

from vgcourse import results
from vgcourse.experiments import best_rate, recurrence


def test_the_results_say_how_they_were_made():
    for name, keys in {
        "attention": {"seeds", "depth", "width"},
        "claims": {"seeds"},
        "convolutions": {"seeds", "channels", "rates"},
        "recurrence": {"seeds", "hidden", "rates"},
        "remedies": {"seeds", "width", "rates"},
    }.items():
        made = results.load(name)["made"]
        assert made["command"] == f"python -m vgcourse.experiments.{name} --write"
        assert made["versions"].keys() == {"jax", "optax", "numpy"} and keys <= made.keys()
    with pytest.raises(ValueError, match=r"name must be one of .*remedies.*'nothing'"):
        results.load("nothing")


def test_saved_results_are_loaded_again(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    results.save("demo", {"runs": {"a": [0.5]}}, seeds=3)
    loaded = results.load("demo")
    assert loaded["runs"] == {"a": [0.5]} and loaded["made"]["seeds"] == 3
    assert loaded["made"]["command"] == "python -m vgcourse.experiments.demo --write"


def test_the_rate_is_that_of_the_best_worst_seed():
    losses = jnp.array([[[9, 0.1], [9, 0.9]], [[9, 0.5], [9, 0.6]], [[9, 0.0], [9, jnp.nan]]])
    assert best_rate(losses) == 1


def test_scores_by_hand():
    # Half of the sums' variance of 1/6 explained; 1 of 4 symbols wrong in an answer of 18 steps.
    assert recurrence.score("adding, 20 steps", {"test_loss": [[1.0, 1 / 12]]}) == [0.5]
    copied = {"accuracy": [17 / 18], "test_loss": 0}
    assert recurrence.score("copying, silence of 10", copied) == [0.75]
    assert recurrence.score("digits, row by row", {"accuracy": [0.9], "test_loss": 0}) == [0.9]
