"""Score of `vgkit.diagnose` on the zoo, beside the rules in common use.

    python -m vgcourse.experiments.diagnosis  measures what is missing and prints the tables
        --write                               keeps it, in `vgcourse/_data`

A run that was interrupted goes on where it was: what is measured lies in `_build`, truths for this
`zoo`, verdicts for this `vgkit`. All networks were drawn by a seed that was not used before, after
the last change of the tool, and are scored; a rule's fitted threshold comes from a half of them.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import vgkit
from vgcourse.experiments import zoo
from vgcourse.results import shown

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parents[1] / "_data/diagnosis.json"
SEED = 20270115  # of the drawn networks
Records = dict[str, dict[str, Any]]
Rule = Callable[[dict[str, float]], bool]

VANISHING_RULES: dict[str, Rule] = {
    "mean weight gradient of some layer below 1e-7": lambda n: n["least"] < 1e-7,
    "weight gradients, first over last, below 1e-3": lambda n: n["ratio"] < 1e-3,
    "AUTOTRAINER: that, and first norm below 1e-4": lambda n: (
        n["ratio"] < 1e-3 and n["first"] < 1e-4
    ),
    "update-to-weight ratio of some layer below 1e-3": lambda n: n["update"] < 1e-3,
}  # fmt: skip
OTHER_RULES: dict[tuple[str, str], Rule] = {
    ("exploding", "AUTOTRAINER: first over last above 70"): lambda n: n["ratio"] > 70,
    ("dead units", "AUTOTRAINER: 70 % of gradients are 0"): lambda n: n["zeros"] >= 0.7,
}


@np.errstate(all="ignore")
def numbers(spec: zoo.Spec, net: zoo.Net) -> dict[str, float]:
    """What the rules in common use look at: weight gradients and the size of a step."""
    x, y = zoo.batch(spec)
    kind, rate = spec.given or (spec.train[:2] if spec.train else ("sgd", 0.01))
    g = zoo.passes(spec, net, x, y).gradient
    gradients = [g["w0"][0], *g["w"][0], g["v"][0]]
    weights = [net["w0"][0], *net["w"][0], net["v"][0]]
    steps = [rate * (d / (abs(d) + 1e-8) if kind == "adam" else d) for d in gradients]
    norm = np.linalg.norm
    first, last = norm(gradients[0]), norm(gradients[-1])
    return {
        "least": min(float(np.mean(abs(d))) for d in gradients),
        "first": float(first),
        "ratio": float(first / last) if last > 0 else 1.0,
        "update": min(
            (float(norm(s) / norm(w)) for s, w in zip(steps, weights, strict=True) if norm(w) > 0),
            default=1.0,
        ),
        "zeros": float(np.mean(np.concatenate([np.ravel(d) for d in gradients]) == 0)),
    }


def verdicts(animal: zoo.Animal) -> list[str]:
    """What `diagnose` says."""
    report = vgkit.diagnose(
        animal.model, animal.params, animal.x, animal.y, animal.spec.loss,
        history=animal.history, optimiser=animal.optimiser,
    )  # fmt: skip
    return list(report.verdicts)


def judged(spec: zoo.Spec) -> dict[str, Any]:
    """Verdicts on one network."""
    return {"verdicts": verdicts(zoo.make(spec)[0])}


def labelled(spec: zoo.Spec) -> dict[str, Any]:
    """Truth and numbers of one network."""
    animal, net = zoo.make(spec)
    return {"truth": zoo.truth(animal, net), "numbers": numbers(spec, net)}


def collect(
    name: str, sources: Iterable[Path], measure: Callable[[zoo.Spec], Any], specs: list[zoo.Spec]
) -> Records:
    """Measure every network that is not yet in the file in `_build` for these sources."""
    text = b"".join(path.read_bytes() for path in sorted(sources))
    path = ROOT / f"_build/zoo-{name}-{hashlib.sha256(text).hexdigest()[:12]}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a+") as file:
        file.seek(0)
        found = dict(map(json.loads, file))
        for spec in specs:
            if spec.name not in found:
                found[spec.name] = measure(spec)
                print(json.dumps([spec.name, found[spec.name]]), file=file, flush=True)
                print(spec.name, *found[spec.name].get("verdicts", ()), flush=True)
    return found


def halves(records: Records) -> tuple[Records, Records]:
    """Every second network, and the others."""
    names = sorted(records)
    first, second = ({name: records[name] for name in names[k::2]} for k in (0, 1))
    return first, second


def score(
    records: Records, verdict: str, alarm: Callable[[dict[str, Any]], bool]
) -> tuple[int, int, int, int]:
    """False alarms, of how many networks without the ailment; misses, of how many with it."""
    ill = [bool(alarm(r)) for r in records.values() if r["truth"][verdict] is True]
    well = [bool(alarm(r)) for r in records.values() if r["truth"][verdict] is False]
    return sum(well), len(well), len(ill) - sum(ill), len(ill)


def fitted(records: Records) -> float:
    """The threshold on the ratio of weight gradients with the fewest errors on these networks."""

    def errors(line: float) -> int:
        alarms, _, misses, _ = score(records, "vanishing", lambda r: r["numbers"]["ratio"] < line)
        return alarms + misses

    return float(min(10.0 ** np.arange(-12, 3, 0.25), key=errors))


def table(first: Records, second: Records) -> list[tuple[str, str, int, int, int, int]]:
    """Rows: what is looked for, the rule, fitted on the first networks, its score on the second."""
    line = fitted(first)
    rules = VANISHING_RULES | {
        f"weight gradients, first over last, below {line:.1g} (fitted)": lambda n: n["ratio"] < line
    }
    named = {("vanishing", name): rule for name, rule in rules.items()} | OTHER_RULES
    rows = [
        (verdict, name, *score(second, verdict, lambda r, rule=rule: rule(r["numbers"])))
        for (verdict, name), rule in named.items()
    ]
    for verdict in zoo.VERDICTS:
        said = score(second, verdict, lambda r, verdict=verdict: verdict in r["verdicts"])
        rows.append((verdict, "diagnose", *said))
    sound = [r for r in second.values() if not any(r["truth"][v] for v in zoo.VERDICTS)]
    wrong = sum(bool(wrongly(r)) for r in sound)
    return [*rows, ("healthy", "diagnose", wrong, len(sound), 0, 0)]


def wrongly(record: dict[str, Any]) -> list[str]:
    """Verdicts that are missed or said without cause."""
    truth = record["truth"]
    missed = [f"missed {v}" for v in truth if truth[v] and v not in record["verdicts"]]
    return missed + [f"said {v}" for v in record["verdicts"] if truth.get(v) is False]


def load(path: Path = RESULTS) -> Records:
    """What was measured the last time it was kept."""
    return json.loads(path.read_text())


def main() -> None:
    """Measure all networks and print the tables."""
    specs, kit = zoo.drawn(SEED), Path(vgkit.__file__).parent.rglob("*.py")
    truths = collect("truths", [Path(zoo.__file__)], labelled, specs)
    said = collect("verdicts", [Path(zoo.__file__), *kit], judged, specs)
    records = {spec.name: truths[spec.name] | said[spec.name] for spec in specs}
    for name, record in records.items():
        if wrong := "; ".join(wrongly(record)):
            print(f"{name:16} said: {', '.join(record['verdicts']):40} {wrong}")
    if "--write" in sys.argv:
        RESULTS.write_text(json.dumps(records, indent=0, sort_keys=True) + "\n")
    print("\n| looked for | rule | false alarms | misses |\n|---|---|---|---|")
    for verdict, rule, alarms, well, misses, ill in table(halves(records)[0], records):
        print(f"| {verdict} | {rule} | {shown(alarms, well)} | {shown(misses, ill)} |")


if __name__ == "__main__":
    main()
