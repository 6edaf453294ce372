"""What every kept training gets: a learning rate that no neighbour beats, and time to finish.

Rates are 1 or 3 times a power of ten. One is chosen by the validation loss, the mean of the first
networks: from the best of a few decades the search goes on until both neighbours of the best rate
have been tried, so that no best rate is at the edge of a grid. Then the other networks are trained
at that rate too; if one of them diverges, all are trained at the next lower rate. Test examples
have no part in any choice.

A network is trained until its validation loss is flat, and judged where that loss was lowest. The
rate is chosen once more for a short budget, and the network judged at the end of it.

Networks are trained one after the other by one compiled program: on a CPU small matrix products of
one network are faster than those of many at once (30 against 50 microseconds per layer and step),
and each may stop when it is done.
"""

import argparse
import functools
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from vgcourse import results
from vgcourse.experiments import relative_times
from vgkit import grads, train

CHOOSING = 2
"""How many networks, the first ones, choose the rate."""
LEARNS = 0.9
"""Share of the loss of the best constant answer below which a network no longer guesses."""
LOWEST, HIGHEST = -16, 10
"""Positions of the rates at which the search ends in any case, ten to the power -8 and 5."""
COLUMNS = (
    "rate", "score in %, median", "least", "most",
    "training loss, median", "least", "most", "step", "steps trained",
)  # fmt: skip
"""What a row of the results says; of the short budget the first five.

Training loss is the mean of the last batches' losses. The step is the median of those at which
networks were judged, the steps trained are the most.
"""


class Data(NamedTuple):
    """Examples to train on, to choose by, and to test with."""

    x: Array
    y: Array
    x_validation: Array
    y_validation: Array
    x_test: Array
    y_test: Array


class Plan(NamedTuple):
    """How networks are trained.

    Attributes:
        optimiser: Function rate -> optimiser.
        answer: Function (net, x, reference) -> outputs for a batch; the reference is None in
            training, else all training inputs, for the statistics of a batch normalisation.
        guess: Loss of the best constant answer.
        loss: As for `train.fit`.
        score: Function (outputs, targets) -> what is reported of test examples, 1 at best.
        batch: Examples for each step.
        every: Steps from one look at the validation loss to the next.
        short: Steps of the short budget.
        least: Steps at least, of networks that no longer guess.
        patience: Steps at least, of networks that still do.
        most: Steps at most.
    """

    optimiser: Callable[[Any], optax.GradientTransformation]
    answer: Callable[[Any, Array, Array | None], Array]
    guess: float = math.log(10)
    loss: str = "cross_entropy"
    score: Callable[[Array, Array], Array] = train.accuracy
    batch: int = 64
    every: int = 110
    short: int = 220
    least: int = 660
    patience: int = 1760
    most: int = 3300


class Look(NamedTuple):
    """What a look at a network in training finds; infinite where it has diverged."""

    step: int
    train_loss: float
    validation_loss: float
    score: float


def rate(position: int) -> float:
    """The learning rate at a position: 1 at 0, 3 at 1, 10 at 2, 0.3 at -1."""
    return float(f"{(1, 3)[position % 2]}e{position // 2}")


@partial(jax.jit, static_argnames="plan")
def advance(
    net: PyTree, state: optax.OptState, rate: Array | float, key: Array, data: Data, plan: Plan
) -> tuple[PyTree, optax.OptState, Array]:
    """Train from one look to the next, in epochs shuffled anew; with what the look finds."""
    optimiser, loss_function = plan.optimiser(rate), grads.LOSSES[plan.loss]
    epochs = math.ceil(plan.every / (len(data.x) // plan.batch))
    order = train.batches(key, len(data.x), epochs, plan.batch)[: plan.every]

    def step(carry: tuple, rows: Array) -> tuple[tuple, Array]:
        net, state = carry

        def loss(net: PyTree) -> Array:
            return train.mean_loss(
                plan.answer(net, data.x[rows], None), data.y[rows], loss_function
            )

        value, gradient = jax.value_and_grad(loss)(net)
        updates, state = optimiser.update(gradient, state, net)
        return (optax.apply_updates(net, updates), state), value

    (net, state), losses = jax.lax.scan(step, (net, state), order)
    both = jnp.concatenate([data.x_validation, data.x_test])
    answers, validation = plan.answer(net, both, data.x), len(data.x_validation)
    loss = train.mean_loss(answers[:validation], data.y_validation, loss_function)
    score = plan.score(answers[validation:], data.y_test)
    return net, state, jnp.stack([jnp.mean(losses), loss, score])


class Training:
    """One network in training at one rate, taken as far as has been asked for."""

    def __init__(self, net: PyTree, rate: float, key: Array, data: Data, plan: Plan):
        self._now = net, jax.jit(plan.optimiser(rate).init)(net)
        self._given, self._key, self._plan = (rate, data, plan), key, plan
        self.looks: list[Look] = []

    def further(self) -> None:
        """Train to the next look."""
        rate, *given = self._given
        key = jax.random.fold_in(self._key, len(self.looks))
        *self._now, found = advance(*self._now, rate, key, *given)
        numbers = np.nan_to_num(found, nan=np.inf, posinf=np.inf).tolist()
        self.looks.append(Look((len(self.looks) + 1) * self._plan.every, *numbers))

    @property
    def losses(self) -> list[float]:
        """Validation losses."""
        return [look.validation_loss for look in self.looks]

    def short(self) -> Look:
        """The look after the short budget, or the one that found divergence."""
        number = self._plan.short // self._plan.every
        while len(self.looks) < number and math.inf not in self.losses:
            self.further()
        return self.looks[:number][-1]

    def flat(self) -> Look:
        """The look at the lowest validation loss, or the one that found divergence."""
        while not flat(self.losses, self._plan):
            self.further()
        losses = self.losses
        return self.looks[losses.index(math.inf if math.inf in losses else min(losses))]


def flat(losses: Sequence[float], plan: Plan) -> bool:
    """Whether the second half of the steps has lowered the lowest loss by less than 1 %.

    A network that still guesses may only be slow, and is given more time before it is asked.
    """
    if math.inf in losses:
        return True
    steps = len(losses) * plan.every
    begun = bool(losses) and min(losses) < LEARNS * plan.guess
    if steps < (plan.least if begun else plan.patience):
        return False
    return steps >= plan.most or min(losses) > 0.99 * min(losses[: len(losses) // 2])


def bracket(loss: Callable[[int], float], start: int) -> int:
    """Position of a loss that neither neighbour is below by 1 %; of equals, the higher position.

    So a rate at which nothing happens is left for a higher one, up to the highest that does no
    harm.

    Args:
        loss: Function position -> loss, infinite where training diverges.
        start: Position to begin at.
    """
    best = start
    while LOWEST < best < HIGHEST:
        if loss(best) < math.inf and loss(best + 1) < 1.01 * loss(best):
            best += 1
        elif loss(best) == math.inf or loss(best - 1) < 0.99 * loss(best):
            best -= 1
        else:
            break
    return best


def spread(numbers: Iterable[float], digits: str = ".3g") -> list[float]:
    """Median, least and most, rounded."""
    values = [*numbers]
    return [float(f"{f(values):{digits}}") for f in (np.median, min, max)]


def measure(
    networks: Sequence[PyTree], key: Array, data: Data, plan: Plan, starts: Sequence[int]
) -> dict[str, list[float | int]]:
    """Rows of `COLUMNS`: "flat", where the validation loss is, and "short", after few steps.

    Args:
        networks: One for each seed.
        key: Source of the shuffling.
        data: Examples.
        plan: How to train.
        starts: Positions of the rates to begin with.
    """
    keys = jax.random.split(key, len(networks))

    @functools.cache
    def training(position: int, seed: int) -> Training:
        return Training(networks[seed], rate(position), keys[seed], data, plan)

    def looks(budget: str, position: int, seeds: int = CHOOSING) -> list[Look]:
        return [getattr(training(position, seed), budget)() for seed in range(seeds)]

    def loss(budget: str, position: int) -> float:
        return float(np.mean([look.validation_loss for look in looks(budget, position)]))

    found, start = {}, min(starts, key=partial(loss, "short"))
    for budget in ("short", "flat"):
        if loss("short", start) > LEARNS * plan.guess:  # the start says nothing of what follows
            start = min(starts, key=partial(loss, budget))
        start = bracket(partial(loss, budget), start)
        while True:
            judged = looks(budget, start, len(networks))
            if start <= LOWEST or all(look.validation_loss < math.inf for look in judged):
                break
            start -= 1
        found[budget] = [
            rate(start),
            *spread((100 * look.score for look in judged), ".1f"),
            *spread((look.train_loss for look in judged), ".2g"),
            int(np.median([look.step for look in judged])),
            max(training(start, seed).looks[-1].step for seed in range(len(networks))),
        ]
    return {"short": found["short"][:5], "flat": found["flat"]}


def times(networks: dict[str, PyTree], data: Data, plan: Plan, reference: str) -> dict[str, float]:
    """Time from one look to the next of networks by name, over that of one of them."""
    calls, key = {}, jax.random.key(0)
    for name, net in networks.items():
        state = plan.optimiser(0.001).init(net)
        calls[name] = partial(advance, net, state, 0.001, key, data, plan)
    return relative_times(calls, reference, rounds=5)


Label = tuple[str, ...]


def main(
    name: str,
    labels: Sequence[Label],
    measure: Callable[[Label], dict[str, Any]],
    also: Callable[[], dict[str, Any]] = dict,
    **settings: Any,
) -> None:
    """Measure what is not yet on disk, a label at a time; with `--write`, save the results.

    Args:
        name: Of the experiment.
        labels: What there is to measure.
        measure: Function label -> results.
        also: Function () -> what stands beside them in the results.
        **settings: As for `results.save`.
    """
    parser = argparse.ArgumentParser(prog=f"python -m vgcourse.experiments.{name}")
    parser.add_argument("--write", action="store_true", help="save the results, once complete")
    parser.add_argument("--reverse", action="store_true", help="last first: for a second process")
    parser.add_argument("--folder", type=Path, default=Path("_build"), help="of what is on disk")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / f"{name}.jsonl"
    for label in reversed(labels) if options.reverse else labels:
        if label in (kept := read(file)):
            continue
        begin = time.process_time()
        found = measure(label)
        seconds = round(time.process_time() - begin, 1)
        with file.open("a") as lines:
            lines.write(json.dumps([label, found, seconds], ensure_ascii=False) + "\n")
        print(f"{time.strftime('%H:%M')}, {len(kept) + 1} of {len(labels)}, {', '.join(label)}: "
              f"{found}, {seconds} s", flush=True)  # fmt: skip
    kept = read(file)
    missing = [label for label in labels if label not in kept]
    if missing:
        print(f"{len(missing)} of {len(labels)} are missing, such as {', '.join(missing[0])}")
    elif options.write:
        runs = nested(
            {(what, *label): kept[label][what] for label in labels for what in kept[label]}
        )
        settings |= {"columns": COLUMNS, "choosing": CHOOSING}
        results.save(name, {"runs": runs, **also()}, **settings)


def read(file: Path) -> dict[Label, dict[str, Any]]:
    """What is on disk."""
    lines = file.read_text().splitlines() if file.exists() else []
    return {tuple(label): found for label, found, _ in map(json.loads, lines)}


def nested(kept: dict[Label, Any]) -> dict[str, Any]:
    """Results as dictionaries in dictionaries, a part of the label at each level."""
    tree: dict[str, Any] = {}
    for (*path, last), found in kept.items():
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = found
    return tree


def budget(plan: Plan) -> dict[str, int]:
    """A plan's numbers of examples and steps, for the head of the results."""
    names = "batch", "every", "short", "least", "patience", "most"
    return {name: getattr(plan, name) for name in names}
