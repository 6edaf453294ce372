"""The stored results of the diagnosis: complete, a sample measured again, better than rules."""

import math

import pytest

from vgcourse import results
from vgcourse.experiments import diagnosis, zoo

SPECS = {spec.name: spec for spec in zoo.drawn(diagnosis.SEED)}
RECORDS = diagnosis.load()


@pytest.mark.parametrize("name", ["dead-05", "too-low-06", "unscaled-03", "too-high-04"])
def test_stored_truths_and_numbers_are_those_of_now(name):
    now = diagnosis.labelled(SPECS[name]) | diagnosis.judged(SPECS[name])
    stored = RECORDS[name]
    assert now["truth"] == stored["truth"] and now["verdicts"] == stored["verdicts"]
    for key, value in stored["numbers"].items():  # training amplifies rounding
        assert math.isclose(now["numbers"][key], value, rel_tol=0.05, abs_tol=1e-300)


def test_the_zoo_is_all_there():
    assert set(RECORDS) == set(SPECS)
    truths = [record["truth"] for record in RECORDS.values()]
    assert sum(not any(truth.values()) for truth in truths) >= 60
    for verdict in zoo.VERDICTS:
        assert sum(truth[verdict] is True for truth in truths) >= 20, verdict
        assert sum(truth[verdict] is False for truth in truths) >= 60, verdict


@pytest.mark.parametrize("name", list(SPECS)[3::60])
def test_stored_verdicts_are_those_of_now(name):
    assert diagnosis.verdicts(zoo.make(SPECS[name])[0]) == RECORDS[name]["verdicts"]


def test_diagnose_errs_less_than_the_rules_in_common_use():
    rows = diagnosis.table(diagnosis.halves(RECORDS)[0], RECORDS)
    errors = {(verdict, rule): alarms + misses for verdict, rule, alarms, _, misses, _ in rows}
    for (verdict, rule), theirs in errors.items():
        assert rule == "diagnose" or errors[verdict, "diagnose"] < theirs
    said = [row for row in rows if row[1] == "diagnose"]
    errors, answers = sum(a + m for _, _, a, _, m, _ in said), sum(w + i for *_, w, _, i in said)
    assert errors < 0.02 * answers


def test_the_interval_of_a_share():
    # Wilson 1927, in closed form where nothing is wrong: z^2 / (n + z^2).
    low, high = results.interval(0, 61)
    assert low == pytest.approx(0, abs=1e-12) and high == pytest.approx(1.96**2 / (61 + 1.96**2))
    low, high = results.interval(50, 100)
    assert low + high == pytest.approx(1) and high == pytest.approx(0.5962, abs=1e-3)
