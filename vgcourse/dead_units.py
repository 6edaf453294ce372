"""What stands behind the page *Dead units*: narrow nets, batches, and training that kills."""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import ipywidgets as widgets
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy.stats import binomtest

from vgcourse import selfcheck
from vgcourse.chain_rule import batch, seeds
from vgkit import activations, data, explore, grads, nets, plots

Number = int | float
LABEL = "dead-units"
LAYERS, WIDTHS, NETS = 10, (2, 3, 5, 10), 5000
"""Hidden layers, units of a layer, and number of the narrow nets."""
ALIVE, DEAD = plots.COLOURS[2:]  # blue and orange are directions
SHOWN = 10
"""The first so many of the nets are drawn."""


# Born dead


def keys() -> Array:
    """One key for each of the 5000 narrow nets."""
    return jax.random.split(jax.random.key(1), NETS)


def narrow(key: Array, width: int = 3, activation: str = "relu") -> nets.Net:
    """A net of ten narrow hidden layers with He's weights, no biases and one output.

    Its input is one number: of the inputs of layer 1, all but the first stay 0.
    """
    return nets.mlp(key, (width,) * (LAYERS + 1) + (1,), activation, init="he_normal", stacked=True)


@partial(jax.jit, static_argnames=("width", "activation"))
def outputs(
    keys: Array, width: int, inputs: Float[Array, " inputs"], activation: str = "relu"
) -> Float[Array, "nets inputs"]:
    """Output of each narrow net for each input, a single number."""
    x = inputs[:, None] * jnp.eye(1, width)
    return jax.vmap(lambda key: nets.forward(narrow(key, width, activation), x)[:, 0])(keys)


@cache
def at_both_signs(width: int, activation: str = "relu") -> Float[np.ndarray, "nets 2"]:
    """Outputs of the 5000 nets for the inputs -1 and 1.

    Without biases a net multiplies its output by c if the input is multiplied by a positive c, so
    these two inputs stand for all.
    """
    return np.asarray(outputs(keys(), width, jnp.array([-1.0, 1.0]), activation))


def born_dead(keys: Array, width: int, activation: str) -> Bool[Array, " nets"]:
    """Which of the narrow nets give 0 for every input."""
    return jnp.all(outputs(keys, width, jnp.array([-1.0, 1.0]), activation) == 0, axis=1)


def stopped(width: Number, layers: Number | np.ndarray = LAYERS) -> Number | np.ndarray:
    """Probability that one input meets a layer all of whose units are off."""
    return 1 - (1 - 2.0**-width) ** layers


def shares(width: int) -> dict[str, tuple[float, float, float]]:
    """Shares of the nets that stop the input 1, and that are born dead, with 95 % intervals."""
    zero = at_both_signs(width) == 0
    counted = {"one input stopped": zero[:, 1], "born dead": zero.all(axis=1)}
    found = {}
    for name, are in counted.items():
        interval = binomtest(int(are.sum()), NETS).proportion_ci()
        found[name] = float(are.mean()), float(interval.low), float(interval.high)
    return found


def predict_born() -> selfcheck.Quiz:
    """Ask how many of the narrow nets are dead."""
    return selfcheck.predict(LABEL, selfcheck.number(
        "Of 5000 such nets, which share gives the same output, 0, for every input?",
        100 * shares(3)["born dead"][0], absolute=10, unit="%",
        right="About six in ten. They can never learn anything.",
        small="More than that: about six in ten.",
        large="Not quite so many: about six in ten."))  # fmt: skip


def figure_born() -> None:
    """Draw output against input for the first ten nets."""
    inputs = np.linspace(-2, 2, 41)
    lines = np.asarray(outputs(keys()[:SHOWN], 3, jnp.asarray(inputs)))
    _, panels = plt.subplots(2, 5, sharex=True, sharey=True, figsize=(5.2, 2.8))
    for number, (axes, line) in enumerate(zip(panels.flat, lines, strict=True), 1):
        dead = not line.any()
        axes.plot(inputs, line / max(np.abs(line).max(), 1e-300), color=(ALIVE, DEAD)[dead])
        axes.set_title(f"{number}: {'dead' if dead else 'alive'}", fontsize=9)
    panels[1, 2].set_xlabel("input")
    panels[0, 0].set_ylabel("output, scaled", y=-0.1)


@cache
def _padded() -> Float[Array, "widths nets layers units units"]:
    """Weights of the drawn nets of all widths, filled up with zeros to the largest width."""
    most = max(WIDTHS)
    drawn = [jax.vmap(lambda key, n=n: narrow(key, n).layers.w)(keys()[:SHOWN]) for n in WIDTHS]
    fill = [most - width for width in WIDTHS]
    return jnp.stack([
        jnp.pad(w, [(0, 0), (0, 0), (0, n), (0, n)]) for w, n in zip(drawn, fill, strict=True)
    ])  # fmt: skip


def _position(value: Array, options: tuple[Number, ...]) -> Array:
    """Where a slider's value stands among its options."""
    return jnp.argmin(jnp.abs(jnp.array(options) - value))


@cache
def explorer_born() -> explore.Explorer:
    """The narrow nets, unit by unit."""
    weights, most = _padded(), max(WIDTHS)
    template = narrow(jax.random.key(0), most)
    names = ("relu", "leaky_relu")
    # The output reads every unit alike: whether an input gets there, not which number it becomes.
    readout = template.readout.replace(w=jnp.ones((1, most)))

    def compute(width: Array, number: Array, sign: Array, activation: Array) -> dict[str, Array]:
        layers = template.layers.replace(w=weights[_position(width, WIDTHS), number - 1])
        phi = activations.by_index(activation, names)
        net = template.replace(layers=layers, readout=readout, activation=phi)
        units = jnp.asarray(width, float)
        value = jnp.array([1.0, -1.0])[sign]
        x = value * jnp.eye(most)[0]
        signals = grads.unit_signals(net, x, 0, units=most, loss=lambda output, _: output[0])
        there = jnp.tile(jnp.arange(most) < units, LAYERS)
        larger = jnp.sqrt(most / units)  # the mean is over the units that exist
        sizes = signals["activation_size"] * larger
        through = sizes[-1] > 0
        other = jnp.any(net(-x) != 0)
        return {
            **{k: jnp.where(there, signals[k], jnp.nan) for k in ("activation", "slope", "error")},
            "units": jnp.full(LAYERS, units),
            "activation_size": sizes,
            "error_size": signals["error_size"] * larger,
            "inputs": value[None],
            "stop": 1.0 + jnp.argmax(sizes == 0),
            "sentence": explore.first_true(~through & ~other, ~through),
        }

    return explore.Explorer(
        "A narrow net",
        compute,
        controls={
            "number": widgets.IntSlider(1, 1, SHOWN, description="Net"),
            "width": widgets.SelectionSlider(options=WIDTHS, value=3, description="Units a layer"),
            "sign": widgets.ToggleButtons(options=["1", "-1"], description="Input"),
            "activation": widgets.ToggleButtons(
                options=["ReLU", "leaky ReLU"], description="Activation"
            ),
        },
        views=[explore.network(
            most,
            forward=(-3, 1), backward=(-3, 1), halfway=True,
            summary=[
                "Born dead: layer {stop} is off as a whole, and the other input is stopped too.",
                "Layer {stop} is off as a whole and stops this input. The other one gets through.",
                "This input gets through all ten layers.",
            ],
        )],
    )  # fmt: skip


def predict_width() -> selfcheck.Quiz:
    """Ask what a few more units do."""
    return selfcheck.predict(LABEL, selfcheck.choice(
        "With 3 units a layer, most nets are born dead. How many units does each of the ten "
        "layers need, so that at most one net in a hundred is?",
        {"5": "Not enough: about one net in seven is still born dead.",
         "10": "Each further unit halves the chance that a layer is off, so ten are enough.",
         "64": "That is far more than enough. Each further unit halves the chance that a layer "
         "is off."},
        right="10"))  # fmt: skip


def figure_widths() -> None:
    """Draw the share of nets that are born dead, and that stop one input, against the width."""
    _, axes = plt.subplots(figsize=(5.2, 3.4))
    ramp = np.linspace(2, 10, 81)
    axes.plot(ramp, [stopped(width) for width in ramp], "--", color="0.4", label="1 − (1 − 2⁻ᴺ)¹⁰")
    for number, name in enumerate(shares(3)):
        middle, low, high = np.array([shares(width)[name] for width in WIDTHS]).T
        bars = [middle - low, high - middle]
        style = {"fmt": "os"[number], "color": (ALIVE, DEAD)[number], "capsize": 4, "label": name}
        axes.errorbar(WIDTHS, middle, bars, **style)
    axes.set(yscale="log", xlabel="units N in each of the ten layers", ylabel="share of nets")
    axes.set_xticks(WIDTHS)
    axes.legend()


# What a dead unit costs

OF = 32
COUNTS = (1, 8, 16, 24, 28, 31, 32)


@jax.jit
@partial(jax.vmap, in_axes=(0, None))
@partial(jax.vmap, in_axes=(None, 0))
def with_dead_units(key: Array, count: Array) -> tuple[Array, Float[Array, " units"]]:
    """Switch off the first units of layer 2 of a ReLU net of three layers of 32.

    Returns:
        Share of layer 1's error signal that is left, and the largest weight gradient of every unit
        of layer 2.
    """
    net = nets.mlp(key, (64, OF, OF, OF, 10), "relu", init="he_normal")
    first, second, third = net.layers
    second = second.replace(b=jnp.where(jnp.arange(OF) < count, -1000.0, 0.0))
    before = grads.signals(net, *batch())
    after = grads.signals(net.replace(layers=(first, second, third)), *batch())
    left = after.error_norms[0] / before.error_norms[0]
    return left, jnp.abs(after.weight_gradients[1]).max(axis=1)


@cache
def kept() -> Float[np.ndarray, "nets counts"]:
    """Share of layer 1's error signal that is left in 64 nets, for each of `COUNTS`."""
    drawn = jax.random.split(jax.random.key(3), 64)
    return np.asarray(with_dead_units(drawn, jnp.array(COUNTS))[0])


def predict_cost() -> selfcheck.Quiz:
    """Ask how much gets past a layer half of which is dead."""
    return selfcheck.predict(LABEL, selfcheck.choice(
        "Half of the 32 units of layer 2 are dead. How much of its error signal does layer 1 keep?",
        {"None of it": "The other half of the units still pass it on.",
         "About a half": "A natural guess. But a sum of half as many random terms is smaller by "
         "the root of a half only.",
         "About 70 %": "Layer 1's signal is a sum over the units of layer 2. A sum of half as many "
         "random terms is smaller by the root of a half."},
        right="About 70 %"))  # fmt: skip


def figure_cost() -> None:
    """Draw what is left of layer 1's error signal against the number of dead units."""
    _, axes = plt.subplots(figsize=(5.2, 3.2))
    ramp = np.linspace(0, OF, 129)
    axes.plot(ramp, np.sqrt(1 - ramp / OF), "--", color="0.4", label="√(share of living units)")
    low, middle, high = np.quantile(kept(), [0.1, 0.5, 0.9], axis=0)
    bars = [middle - low, high - middle]
    label = "median of 64 nets, middle 80 %"
    axes.errorbar(COUNTS, middle, bars, fmt="o", color=plots.COLOURS[1], capsize=4, label=label)
    axes.set(xlabel="dead units of 32 in layer 2", ylabel="error signal left at layer 1")
    axes.set_xticks([0, 8, 16, 24, 32])
    axes.legend(loc="lower left")


# Off, and dead on a batch


def dead_on(net: nets.Net, x: Float[Array, "batch inputs"]) -> Bool[Array, "layers units"]:
    """Which units of a stacked net are off for every example of a batch."""
    return jnp.all(jax.vmap(lambda x: nets.intermediates(net, x)[0].z)(x) <= 0, axis=0)


def wide(key: Array) -> nets.Net:
    """A ReLU net of 20 layers of 64 units, as they come."""
    return nets.mlp(key, (64,) * 21 + (10,), "relu", init="he_normal", stacked=True)


class Batches(NamedTuple):
    """Shares of eight nets' units that are dead on a batch, for each of `BATCHES`, and more.

    Attributes:
        dead: By net, batch and layer.
        off: Share of units and of 32 digits where the unit is off, by net and layer.
        cosine: Median cosine of what two random inputs have become after layers 1 and 19, by net.
    """

    dead: Float[np.ndarray, "nets batches layers"]
    off: Float[np.ndarray, "nets layers"]
    cosine: Float[np.ndarray, "nets 2"]


BATCHES = ("32 digits", "512 digits", "512 random inputs")


def examples(name: str) -> Array:
    """The inputs of one of `BATCHES`."""
    if "random" in name:
        return jax.random.normal(jax.random.key(2), (512, 64))
    return data.digits().x_train[: int(name.split()[0])]


@cache
def batches() -> Batches:
    """Measure the wide nets on all batches."""

    def one(key: Array) -> Batches:
        net = wide(key)
        dead = [dead_on(net, examples(name)).mean(axis=1) for name in BATCHES]
        off = jax.vmap(lambda x: nets.intermediates(net, x)[0].z)(examples(BATCHES[0])) <= 0
        h = jax.vmap(lambda x: nets.intermediates(net, x)[0].h)(examples(BATCHES[2]))
        unit = h / jnp.linalg.norm(h, axis=-1, keepdims=True)
        pairs = jnp.triu_indices(len(h), 1)
        cosines = [jnp.median((unit[:, n] @ unit[:, n].T)[pairs]) for n in (0, 18)]
        return Batches(jnp.stack(dead), off.mean(axis=(0, 2)), jnp.stack(cosines))

    return jax.tree.map(np.asarray, jax.jit(partial(jax.lax.map, one))(seeds()))


def predict_batch() -> selfcheck.Quiz:
    """Ask which batch shows a unit alive."""
    return selfcheck.predict(LABEL, selfcheck.choice(
        "On 32 digits, a fifth of the units of layer 5 are dead. What share do you expect on 512 "
        "digits, with the same weights?",
        {"About a fifth": "The weights are the same, but a unit is dead only if no example "
         "switches it on. More examples switch on more units.",
         "Fewer": "Each further digit is another chance to switch the unit on.",
         "More": "More examples can only switch units on: one is enough for a unit to be alive."},
        right="Fewer"))  # fmt: skip


def figure_batches() -> None:
    """Draw the share of dead units layer by layer for three batches."""
    _, axes = plt.subplots(figsize=(5.2, 3.4))
    for number, name in enumerate(BATCHES):
        values = 100 * batches().dead[:, number]
        middle = np.median(values, axis=0)
        bars = middle - values.min(axis=0), values.max(axis=0) - middle
        x = np.arange(1, 21) + 0.25 * (number - 1)  # side by side, so that no bar hides another
        style = {"color": plots.COLOURS[(0, 2, 3)[number]], "markersize": 4, "elinewidth": 0.8}
        axes.errorbar(x, middle, bars, fmt=f"-{'os^'[number]}", label=name, **style)
    axes.set(xlabel="layer (1 is nearest the input)", ylabel="units dead on the batch, %")
    axes.set_xticks([1, 5, 10, 15, 20])
    axes.legend(loc="upper left")


# Killed in training

RATES = (0.03, 0.1, 0.3, 1, 3)
STEPS = (0, 1, 2, 3, 5, 10, 20, 50, 100, 300)
SMALL, LARGE = 0.1, 3
HIDDEN, WIDTH = 4, 10


class History(NamedTuple):
    """A net at each of `STEPS` of its training, over 512 digits.

    Attributes:
        activation: RMS of every unit's output, for all layers.
        error: RMS of every unit's error signal.
        dead: Which units are off for all the digits.
        loss: The mean loss.
    """

    activation: Float[Array, "*runs steps layers units"]
    error: Float[Array, "*runs steps layers units"]
    dead: Bool[Array, "*runs steps layers units"]
    loss: Float[Array, "*runs steps"]


@partial(jax.jit, static_argnames="phi")
def train(key: Array, rate: Array, phi: str | activations.Function = "relu") -> History:
    """Plain gradient descent on 512 digits at once, in a net of four layers of ten units."""
    x, y = (part[:512] for part in data.digits()[:2])
    start = nets.mlp(key, (64, *[WIDTH] * HIDDEN, 10), phi, init="he_normal")

    def rms(each: list[Array]) -> Array:
        return jnp.stack([jnp.sqrt(jnp.mean(one**2, axis=0)) for one in each])

    def step(net: nets.Net, _: None) -> tuple[nets.Net, History]:
        signals = grads.signals(net, x, y)
        layers = jax.vmap(lambda x: nets.intermediates(net, x)[0])(x)
        dead = jnp.stack([jnp.all(layer.z <= 0, axis=0) for layer in layers])
        errors = [signals.error_signals[layer] for layer in range(HIDDEN)]
        now = History(rms([layer.h for layer in layers]), rms(errors), dead, signals.loss)
        return jax.tree.map(lambda w, g: w - rate * g, net, signals.gradient), now

    _, history = jax.lax.scan(step, start, length=STEPS[-1] + 1)
    return jax.tree.map(lambda rows: rows[jnp.array(STEPS)], history)


@cache
def training(phi: str = "relu") -> History:
    """Eight nets, trained with `SMALL` and with `LARGE` steps: runs are (rates, seeds)."""
    of_seeds = jax.vmap(partial(train, phi=phi), (0, None))
    both = jax.vmap(of_seeds, (None, 0))(seeds(), jnp.array([SMALL, LARGE], float))
    return jax.tree.map(np.asarray, both)


def predict_killed() -> selfcheck.Quiz:
    """Ask what steps that are too large do to a ReLU net."""
    return selfcheck.predict(LABEL, selfcheck.choice(
        "At a learning rate of 0.1 these nets learn. What happens at a rate of 3?",
        {"They learn faster": "So one would hope. Set the rate to 3 and look at the last layer.",
         "The loss grows without end": "It may jump at first. But then units switch off, and "
         "nothing is left that could grow.",
         "Units die until a whole layer is off": "Each large step can push a unit's z below 0 for "
         "all digits, and then its own gradient cannot bring it back."},
        right="Units die until a whole layer is off"))  # fmt: skip


def trained(phi: str | activations.Function) -> Callable[..., dict[str, Array]]:
    """For readers: what the explorer shows of nets with an activation of their own."""
    history = jax.vmap(partial(train, phi=phi), (None, 0))(seeds()[0], jnp.array(RATES, float))
    size = lambda array: jnp.sqrt(jnp.mean(array**2, axis=-1))  # noqa: E731

    def compute(rate: Array, step: Array) -> dict[str, Array]:
        at = _position(rate, RATES), _position(step, STEPS)
        here = jax.tree.map(lambda rows: rows[at], history)
        whole = jnp.all(here.dead, axis=1)
        return {
            "units": jnp.full(HIDDEN, float(WIDTH)),
            "activation": here.activation.ravel(),
            "error": here.error.ravel(),
            "activation_size": size(here.activation),
            "error_size": size(here.error),
            "dead": jnp.sum(here.dead, axis=1).astype(float),
            "all": jnp.sum(here.dead).astype(float),
            "layer": 1.0 + jnp.argmax(whole),
            "loss": here.loss,
            "sentence": explore.first_true(jnp.any(whole)),
        }

    return compute


@cache
def explorer_killed() -> explore.Explorer:
    """A net in training, with units that die."""
    return explore.Explorer(
        "A net in training",
        trained("relu"),
        controls={
            "step": widgets.SelectionSlider(options=STEPS, value=300, description="Steps"),
            "rate": widgets.SelectionSlider(options=RATES, value=0.1, description="Learning rate"),
        },
        views=[explore.network(
            WIDTH,
            forward=(-3, 1), backward=(-5, 0), columns={"dead": "Dead units"},
            summary=[
                "Every unit of layer {layer} is dead, so no error signal gets past it. "
                "The loss is {loss}.",
                "Dead on these 512 digits: {all} of 40 units. The loss is {loss}.",
            ],
        )],
    )  # fmt: skip


def figure_killed() -> None:
    """Draw dead units and loss during training at both rates."""
    _, panels = plt.subplots(2, 1, figsize=(5.2, 4.8), sharex=True)
    runs = training()
    for number, rate in enumerate((SMALL, LARGE)):
        rows = runs.dead[number].sum(axis=(-1, -2)), runs.loss[number]
        for axes, values in zip(panels, rows, strict=True):
            colour = (0, 3)[number]
            plots.spread(axes, STEPS, values, f"rate {rate}", colour, marker="os"[number])
    panels[0].set(ylabel="dead units of 40", ylim=(0, 40))
    panels[0].legend(loc="center right")
    panels[1].axhline(np.log(10), color="0.4", linestyle=":")
    panels[1].set(xlabel="steps", ylabel="loss", yscale="log", ylim=(0.01, 100))
    panels[1].set_xscale("symlog", linthresh=1)
    ticks = [0, 1, 3, 10, 30, 100, 300]
    panels[1].set_xticks(ticks, labels=map(str, ticks))
    panels[1].set_xticks([], minor=True)
    panels[1].set_xlim(-0.1, 340)


# The text's numbers, and the questions


@cache
def numbers() -> dict[str, float]:
    """Numbers that the text says, by name."""
    born = {width: shares(width)["born dead"] for width in WIDTHS}
    dead = at_both_signs(3) == 0
    dead = dead.all(axis=1)
    leaky = np.abs(at_both_signs(3, "leaky_relu"))
    few, many, random = np.median(batches().dead, axis=0)
    runs = training()
    small, large = np.median(runs.loss[:, :, -1], axis=1)
    return {
        "dead": born[3][0],
        "dead_low": born[3][1],
        "dead_high": born[3][2],
        "two": born[2][0],
        "five": born[5][0],
        "ten": born[10][0],
        "woken": np.median(leaky[dead]) / np.median(leaky[~dead]),
        "kept_1": np.median(kept()[:, COUNTS.index(1)]),
        "kept_16": np.median(kept()[:, COUNTS.index(16)]),
        "few": few[4],
        "many": many[4],
        "random": random[4],
        "last_random": random[19],
        "cosine_first": np.median(batches().cosine[:, 0]),
        "cosine": np.median(batches().cosine[:, 1]),
        "loss_small": small,
        "loss_large": large,
        "lost": np.sum(~(training("leaky_relu").loss[1, :, -1] < 2)),  # NaN is not below 2
    }


def questions() -> list[selfcheck.Question]:
    """The page's questions."""
    deep = np.arange(1, 41)
    leak = float(activations.slope("leaky_relu", -1.0))
    return [
        selfcheck.number(
            "Of the 64 units of a layer 48 are dead. About which share of its error signal does "
            "the layer before it keep?",
            (1 - 48 / 64) ** 0.5,
            right="A quarter of the units is left, and the size of a sum of many random terms goes "
            "with the square root of their number.",
            small="A quarter is the share of the units. The squared signal goes with it, so the "
            "signal goes with its root.",
            large="Three quarters of the paths are closed. Take the root of what is left.",
        ),
        selfcheck.choice(
            "Ten units of a layer are off for all 32 images of a batch. What do you do first?",
            {
                "Replace the activation function": "Perhaps later. So far you know about 32 images "
                "only.",
                "Raise the learning rate": "On this batch their gradient is 0, and so is their "
                "step, at any rate.",
                "Send more and other images through": "A unit may be off on one batch and on for "
                "the next. To see it costs one forward pass.",
            },
            right="Send more and other images through",
        ),
        selfcheck.curve(
            "Probability that one input is stopped on its way through a ReLU net without biases, "
            "for layers of 2, 3 and 5 units. Which curve belongs to 3 units?",
            deep,
            {"A": stopped(5, deep), "B": stopped(2, deep), "C": stopped(3, deep)},
            {
                "A": "After one layer this curve stands at 1 in 32, so it is the net of 5 units.",
                "B": "After one layer this curve stands at 1 in 4, as for two units.",
                "C": "Three units are all off with probability 1 in 8, so about half of the inputs "
                "are stopped by layer 5.",
            },
            right="C",
            xlabel="hidden layers",
            ylabel="probability of being stopped",
        ),
        selfcheck.choice(
            "In a fresh ReLU net with He initialisation, half of all units are off for a given "
            "image. Is the error signal halved at every layer?",
            {
                "Yes, and so ReLU nets vanish too": "It would shrink if nothing made up for the "
                "loss. The weights do.",
                "No: a unit that is off still passes on a little": "Its slope is exactly 0, so it "
                "passes on nothing.",
                "No: the weights' variance is doubled to make up for it": "Half of the squared "
                "signal is lost in the units that are off, and He's variance of 2 / fan_in, twice "
                "as large as it would be without them, brings it back.",
            },
            right="No: the weights' variance is doubled to make up for it",
        ),
        selfcheck.number(
            "A path leads through three leaky ReLUs with slope 0.01, all on their negative side. "
            "By which factor do their slopes multiply the signal?",
            leak**3,
            right="The path is open, but the signal becomes very small.",
            small="There is one factor of 0.01 for each of the three units.",
            large="The factors multiply, one for each of the three units.",
        ),
    ]
