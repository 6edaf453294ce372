"""The speed suite's own logic, and its table. No test asserts a time."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from conftest import ROOT

from benchmarks import __main__ as command
from benchmarks.speed import course, gradients, grids, live, measure, table
from benchmarks.speed.measure import Row
from tools import explorers


def test_a_target_is_reached_or_missed_by_its_own_number():
    row = Row("P", "w", 40.0, "ms", 60.0, limit=50)
    assert row.reached is False and row._replace(on="value").reached is True
    assert row._replace(limit=60.0).reached is True
    assert row._replace(limit=None).reached is None
    assert Row("P", "w", None, limit=1.0, on="value").reached is None  # nothing was measured


def test_ratios_are_taken_within_a_round():
    # One round was ten times as slow for both; the ratio of medians would be 1.5.
    ours, theirs = np.array([1.0, 20.0, 3.0]), np.array([2.0, 40.0, 2.0])
    found = measure.compare(ours, theirs)
    assert found["ratio"] == 0.5 and found["spread"] == (0.5, 1.0)


def test_everyone_has_a_turn_in_every_round(monkeypatch):
    calls, clock = [], [0.0]
    cost = {"quick": 1.0, "slow": 4.0}
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(measure.time, "sleep", lambda _: calls.append("|"))

    def run(name):
        calls.append(name[0])
        clock[0] += cost[name]

    runs = {name: lambda name=name: run(name) for name in cost}
    times = measure.in_turn(runs, rounds=6, least=8.0)
    np.testing.assert_allclose(times["quick"], 1)
    np.testing.assert_allclose(times["slow"], 4)
    turns = "".join(calls).split("|")[1:]
    assert {*turns} == {"q" * 9, "s" * 3}  # one that does not count, and 8 seconds' worth
    rounds = [{turns[i][0], turns[i + 1][0]} for i in range(0, 12, 2)]
    assert rounds == [{"q", "s"}] * 6
    assert len({turns[i][0] for i in range(0, 12, 2)}) == 2  # not always the same one first


def test_result_and_table_say_the_same(tmp_path, monkeypatch):
    rows = [
        Row("One", "a", 1234.56, "ms", 0.123456, (0.1, 0.2), "a peer", 0.5, note="why"),
        Row("One", "b", 3.0, "s", limit=2, on="value"),
        Row("Two", "c", None, note="autograd is not installed here"),
        Row("Two", "d", 0, limit=0, on="value"),
    ]
    found = table.result(rows, {"monitoring": 7}, "python -m benchmarks")
    assert found["made"]["repetitions"] == {"monitoring": {"rounds": 7}}
    assert found["made"]["machine"]["cores"] >= 1
    assert found["made"]["versions"]["jax"] == jax.__version__
    path = tmp_path / "deeper" / "speed"
    table.save(found, path)
    assert json.loads(path.with_suffix(".json").read_text()) == json.loads(json.dumps(found))
    text = path.with_suffix(".md").read_text()
    assert "| a | 1,235 ms | 0.123 (0.1 to 0.2) × a peer | ✓ reached: at most 0.5 × | why |" in text
    assert "| b | 3 s | – | ✗ missed: at most 2 s |  |" in text
    assert "| c | – | – |  | autograd is not installed here |" in text  # never silently
    assert "| d | 0 | – | ✓ reached: at most 0 |  |" in text
    assert text.index("## One") < text.index("## Two")
    newer = table.result([Row("Two", "e", 1.0)], {"course": 1}, "python -m benchmarks course")
    both = table.merged(newer, path.with_suffix(".json"))
    assert [row["what"] for row in both["rows"]] == ["a", "b", "e"]
    assert both["made"]["seconds"] == {"monitoring": 7, "course": 1}


def test_all_ways_to_the_gradients_agree(monkeypatch):
    monkeypatch.setattr(gradients, "in_turn", lambda runs, _: {n: np.ones(3) for n in runs})
    with jax.numpy_rank_promotion("allow"):  # peers are written as their users write
        found = gradients.at((3, 8, 5), 1)  # itself compares the numbers
    peers = {row.peer for row in found if row.what == "3 layers of 8, batch 5: vgkit"}
    absent = {row.what.split(": ")[1] for row in found if row.value is None}
    assert peers | absent == {*gradients.PEERS, gradients.FLOOR}
    assert any(row.limit == 1.05 for row in found)


def test_a_missing_peer_is_said(monkeypatch):
    def absent(*_):
        raise ModuleNotFoundError("no", name="torch")

    monkeypatch.setitem(gradients.WAYS, "PyTorch eager", absent)
    monkeypatch.setattr(gradients, "in_turn", lambda runs, _: {n: np.ones(3) for n in runs})
    with jax.numpy_rank_promotion("allow"):
        found = gradients.at((2, 4, 3), 1)
    (row,) = [row for row in found if row.value is None and "PyTorch" in row.what]
    assert row.note == "torch is not installed here"


def test_only_what_an_explorer_needs_is_run():
    source = """
import jax
jax.config.update("jax_enable_x64", True)
table = {}
slow = expensive()
depths = [1, 2]
for name in "ab":
    table[name] = name * 2
def compute(depth):
    def inner(name): return table[name]
    return inner
print(slow)
depths = [depth for depth in depths]
explore.Explorer("T", compute, depths)
"""
    kept = [line for line in source.splitlines() if line and "slow" not in line]
    wanted = explorers.needed(source)
    assert len(wanted.body) == 8
    assert explorers.ast.unparse(wanted).replace("'", '"').splitlines()[0] == kept[0]
    assert "slow" not in explorers.ast.unparse(wanted)


def test_moves_are_counted_with_their_compilations():
    explorer = live.depth_explorer()
    whole, alone, compiled = live.moves(explorer, 12)
    assert len(whole) == 12 and len(alone) == 3 and compiled == 0
    with live.compilations() as seen:
        jax.jit(lambda x: x * 3.25 + 1)(1.0)
    assert seen  # it does notice one


def test_a_rebuild_is_warm_only_with_this_package_s_results(monkeypatch, tmp_path):
    kept = course.results()
    assert kept.parent == ROOT / "_build" / ".jupyter_cache" and len(kept.name) == 16
    monkeypatch.setattr(course, "results", lambda: tmp_path / "of another package")
    monkeypatch.setattr(course, "build", None)  # not called
    (row,) = course.warm(1)
    assert row.value is None and "not built as it is now" in row.note


def test_a_part_that_fails_costs_no_other_part(monkeypatch, tmp_path, capsys):
    class AtOnce:  # in this process, where the parts are replaced
        __init__ = __exit__ = lambda *_: None
        __enter__ = lambda self: self  # noqa: E731

        def submit(self, run, part):
            return SimpleNamespace(result=lambda: run(part))

    def part(name):
        if name == "live":
            raise OSError("no browser")
        return [Row(name, "one", 1.0)]

    monkeypatch.setattr(command, "ProcessPoolExecutor", AtOnce)
    monkeypatch.setattr(measure, "part", part)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(table, "KEPT", tmp_path / "kept.json")
    monkeypatch.setattr(
        command.sys, "argv", ["benchmarks", "gradients", "live", "grids", "--write"]
    )
    with pytest.raises(SystemExit, match="failed: live"):
        command.main()
    for path in (tmp_path / "kept.json", tmp_path / "_build" / "speed.json"):
        found = json.loads(path.read_text())
        assert [row["part"] for row in found["rows"]] == ["gradients", "grids"]
        assert set(found["made"]["seconds"]) == {"gradients", "grids"}
    assert "no browser" in capsys.readouterr().err


def test_parts_are_known_by_name():
    named = {path.stem for path in (ROOT / "benchmarks" / "speed").glob("*.py")}
    assert {*command.PARTS, *command.LONG} == named - {"__init__", "measure", "table"}


def test_grids_are_measured_as_the_book_is_built():
    assert f"FAST := {grids.BOOK}\n" in (ROOT / "Makefile").read_text()


def kept_rows():
    """The rows of the kept result, as they are measured."""
    found = json.loads(table.KEPT.read_text())["rows"]
    known = [{name: row[name] for name in Row._fields if name in row} for row in found]
    rows = [Row(**{"value": None, **row}) for row in known]
    assert [row.reached for row in rows] == [row.get("reached") for row in found]
    return rows


def test_the_kept_result_is_whole():
    kept = json.loads(table.KEPT.read_text())
    assert kept["made"]["command"].startswith("python -m benchmarks")
    took = kept["made"]["seconds"]
    assert set(took) == {*command.PARTS, *command.LONG}
    assert sum(took[part] for part in command.PARTS) < 15 * 60
    rows = kept_rows()
    assert {row.part for row in rows} >= {gradients.PART, live.PART}
    assert any(row.reached is False for row in rows) and any(row.reached for row in rows)


def test_the_table_shows_the_result():
    result = json.loads(table.KEPT.read_text())
    assert table.KEPT.with_suffix(".md").read_text() == table.markdown(result) + "\n"
    assert table.KEPT.with_name("README.md").exists()
