"""The speed suite's own logic. No test asserts a time."""

import jax
import numpy as np

from benchmarks.speed import gradients, measure


def test_ratios_are_taken_within_a_round():
    # One round was ten times as slow for both; the ratio of medians would be 1.5.
    ours, theirs = np.array([1.0, 20.0, 3.0]), np.array([2.0, 40.0, 2.0])
    found = measure.compare(ours, theirs)
    assert found["ratio"] == 0.5 and found["spread"] == (0.5, 1.0)


def test_all_ways_to_the_gradients_agree(monkeypatch):
    monkeypatch.setattr(gradients, "in_turn", lambda runs, _: {n: np.ones(3) for n in runs})
    with jax.numpy_rank_promotion("allow"):  # peers are written as their users write
        found = gradients.at((3, 8, 5), 1)  # itself compares the numbers
    peers = {row.peer for row in found if row.what == "3 layers of 8, batch 5: vgkit"}
    absent = {row.what.split(": ")[1] for row in found if row.value is None}
    assert peers | absent == {*gradients.PEERS, gradients.FLOOR}
    assert any(row.limit == 1.05 for row in found)
