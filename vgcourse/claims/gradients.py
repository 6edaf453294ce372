"""Claims on what a gradient does to weights, and what a net loses without it."""

import jax.numpy as jnp
import numpy as np
import optax

from vgcourse import formats
from vgcourse import gradients as chapter
from vgcourse.claims.claim import Claim, Numbers
from vgcourse.claims.programs import (
    final_accuracy,
    first_over_last,
    load_remedy_runs,
    trained,
)

DEEP = (10, 30, 50)


def _proportional() -> Numbers:
    def step(optimiser: optax.GradientTransformation) -> float:
        gradient = jnp.array([1.0, 1e-6])
        update, _ = optimiser.update(gradient, optimiser.init(gradient), gradient)
        return float(update[1] / update[0])

    descent = trained("sigmoid", "glorot_normal", 8, 0.1)
    adam = trained("sigmoid", "glorot_normal", 8, 0.003, adam=True)
    return {
        "descent_step": step(optax.sgd(0.1)),
        "adam_step": step(optax.adam(0.1)),
        "descent_moved": first_over_last(descent.moved),
        "adam_moved": first_over_last(adam.moved),
        "adam_20": chapter.first_adam_step(20),
    }


def _stops() -> Numbers:
    run = trained("sigmoid", "glorot_normal", 8, 0.1)
    return {
        "moved": run.moved[:, 0],
        "accuracy": run.accuracy,
        "zeros_in_float32": formats.by_depth()["float32"].lost[:, -1],
    }


def _early_layers() -> Numbers:
    return {
        f"frozen_{number}": chapter.run(chapter.DEEP, "tanh", number).accuracy
        for number in chapter.FROZEN
    } | {"sigmoid": chapter.run(chapter.DEEP).accuracy}


def _slower() -> Numbers:
    def epochs(depth: int) -> np.ndarray:
        reached = load_remedy_runs("sigmoid, Glorot", depth)["accuracy"] >= 0.8
        return np.where(reached.any(axis=1), reached.argmax(axis=1), np.inf)

    return {f"epochs_{depth}": epochs(depth) for depth in (1, 2, 4)} | {
        f"accuracy_{depth}": final_accuracy("sigmoid, Glorot", depth) for depth in (1, 4)
    }


def _never_converges() -> Numbers:
    losses = {
        depth: load_remedy_runs("sigmoid, Glorot", depth)["loss"][:, -1] for depth in (1, *DEEP)
    }
    return {"shallow_loss": losses[1]} | {f"loss_{depth}": losses[depth] for depth in DEEP}


CLAIMS = (
    Claim(
        "C03", ("D0", "D1", "D2", "D4"),
        "A weight moves in proportion to the gradient, w_new = w_old - eta * g; so where g is near "
        "0, weights and loss stay where they are.",
        "holds under conditions",
        "It is the rule of plain gradient descent. Adam divides by the size of g, so it moves "
        "vanished layers nearly as far, until g is as small as its epsilon, 1e-8.",
        _proportional,
        lambda e: abs(e["descent_step"].median / 1e-6 - 1) < 1e-9
        and 0.9 < e["adam_step"].median <= 1
        and e["descent_moved"].largest < 0.01
        and 0.1 < e["adam_moved"].least and 0 < e["adam_20"].least
        and e["adam_20"].largest < 1e-4,
        "A gradient a million times smaller makes a step of {descent_step} by gradient descent and "
        "{adam_step} by Adam; in a sigmoid net of 8 layers the first one moves {descent_moved:.0e} "
        "times as far as the last by gradient descent, {adam_moved} times by Adam. At 20 layers "
        "Adam's first step there is {adam_20} of the learning rate.",
        "solutions/rescaling", "Before and after",
    ),
    Claim(
        "C04", ("D0", "D2", "D3"),
        "In the worst case training stops altogether.",
        "holds",
        "The first layers of a deep sigmoid net stay where they were drawn, and deeper still the "
        "gradient is exactly 0 in float32.",
        _stops,
        lambda e: e["moved"].largest < 1e-3 and e["accuracy"].largest < 0.2
        and e["zeros_in_float32"].least > 0.99,
        "After 300 steps layer 1 of 8 has moved by {moved:.0e} of its weights and the net reads "
        "{accuracy:.0%} of the digits; at 62 layers {zeros_in_float32:.0%} of layer 1's gradient "
        "is 0 in float32.",
        "causes/formats", "The depth at which the gradient is gone",
    ),
    Claim(
        "C13", ("D1", "D2"),
        "Early layers make the low-level features, such as edges, that later ones combine; so "
        "their starvation costs the whole net.",
        "holds under conditions",
        "Random first layers cost a net much, though it still reads many digits. A net that reads "
        "none has a second fault: its forward signal has collapsed too.",
        _early_layers,
        lambda e: e["frozen_0"].least > e["frozen_1"].largest
        and e["frozen_1"].median > e["frozen_4"].median > e["frozen_8"].median
        and e["frozen_1"].least > e["frozen_4"].least > e["frozen_8"].largest > 0.4
        and 0.05 < e["sigmoid"].least <= e["sigmoid"].largest < 0.2,
        "After 300 steps a tanh net of 8 hidden layers reads {frozen_0:.0%} of the digits, "
        "{frozen_1:.0%} with its first layer frozen as drawn, {frozen_4:.0%} with 4 and "
        "{frozen_8:.0%} with all 8; a sigmoid net with nothing frozen reads {sigmoid:.0%}.",
        "gradients", "Are the early layers to blame?",
    ),
    Claim(
        "C14", ("D1",),
        "Training gets slower and dearer, and complex patterns stay unlearnt.",
        "holds",
        "Each layer makes a sigmoid net slower, until it learns nothing in the time at hand.",
        _slower,
        lambda e: e["epochs_1"].largest < e["epochs_2"].least < e["epochs_4"].least
        and e["epochs_2"].largest <= 10 and np.isinf(e["epochs_4"].least)
        and e["accuracy_4"].largest < 0.2 < 0.8 < e["accuracy_1"].least,
        "With 1 hidden layer a sigmoid net reads 80 % of the digits after {epochs_1:.0f} epochs, "
        "with 2 after {epochs_2:.0f}; with 4 it has {accuracy_4:.0%} after 10 epochs, at the best "
        "of five rates.",
        "solutions/fewer-layers", "Before and after",
    ),
    Claim(
        "C15", ("D3",),
        "It can make convergence fail.",
        "holds",
        "At none of five learning rates does a deep sigmoid net leave the loss of guessing, ln 10.",
        _never_converges,
        lambda e: all(abs(e[f"loss_{depth}"].least - np.log(10)) < 0.02
                      and abs(e[f"loss_{depth}"].largest - np.log(10)) < 0.02 for depth in DEEP)
        and e["shallow_loss"].largest < 1,
        "After 10 epochs the loss is {loss_10:.2f} at 10 layers, {loss_30:.2f} at 30 layers, "
        "{loss_50:.2f} at 50 layers (guessing: 2.30), and {shallow_loss:.2f} with a single one.",
        "solutions", "The league table",
    ),
)  # fmt: skip
