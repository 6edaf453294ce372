"""The page that closes the chapter on causes: where research stands, with one measurement."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Float

from vgcourse import diagrams, selfcheck
from vgcourse.chain_rule import seeds
from vgkit import activations, plots

LABEL = "causes-research"
LAYERS, WIDTH = 50, 64
GAINS = {"tanh": 1.05**0.5, "relu": 2**0.5}
"""Standard deviation of the weights times √64 with which a layer has the mean factor 1."""
BIASES = {"tanh": 2.0058681e-5**0.5, "relu": 0.0}
"""Standard deviation of the biases that goes with it."""
INPUT = 0.0259
"""Mean square of the inputs: the length at which these tanh nets settle."""
NETS = {
    "tanh, orthogonal": ("tanh", "orthogonal"),
    "tanh, normal": ("tanh", "normal"),
    "ReLU, orthogonal": ("relu", "orthogonal"),
}
"""Activation and weights."""


# A factor of 1 on average


@partial(jax.jit, static_argnames=("activation", "weights"))
def _spectra(keys: Array, activation: str, weights: str) -> Float[Array, "nets width"]:
    phi, gain = activations.function(activation), GAINS[activation]
    orthogonal = jax.nn.initializers.orthogonal()

    def draw(key: Array) -> Array:
        if weights == "orthogonal":
            return gain * orthogonal(key, (WIDTH, WIDTH))
        return gain * jax.random.normal(key, (WIDTH, WIDTH)) / WIDTH**0.5

    def one(key: Array) -> Array:
        w, b, x = jax.random.split(key, 3)
        matrices = jax.vmap(draw)(jax.random.split(w, LAYERS))
        biases = BIASES[activation] * jax.random.normal(b, (LAYERS, WIDTH))

        def layer(state: tuple[Array, Array], here: tuple[Array, Array]) -> tuple[Any, None]:
            h, product = state
            matrix, bias = here
            z = matrix @ h + bias
            jacobian = jax.vmap(jax.grad(phi))(z)[:, None] * matrix
            return (phi(z), jacobian @ product), None

        start = INPUT**0.5 * jax.random.normal(x, (WIDTH,))
        (_, product), _ = jax.lax.scan(layer, (start, jnp.eye(WIDTH)), (matrices, biases))
        return jnp.linalg.svd(product, compute_uv=False)

    return jax.lax.map(one, keys)


@cache
def spectra() -> dict[str, Float[np.ndarray, "nets width"]]:
    """Singular values of the Jacobian of all 50 layers, largest first, for eight nets each."""
    return {name: np.asarray(_spectra(seeds(), *kind)) for name, kind in NETS.items()}


def predict_median() -> selfcheck.Quiz:
    """Ask how large the median singular value is where the mean factor is 1."""
    question = selfcheck.power(
        "The tanh net with normal weights keeps a random error signal about as long as it was. How "
        "much does it keep in the median one of its 64 directions?",
        np.median(spectra()["tanh, normal"]),
        (-12, 0),
        right="Almost nothing. A few directions are stretched, and make up for all the others in "
        "the mean.",
        small="A little more is kept, but you are right that it is almost nothing.",
        large="Much less. A few directions are stretched, and make up for all the others in the "
        "mean.",
        decades=1.5,
    )
    return selfcheck.predict(LABEL, question)


def figure_spectra() -> None:
    """Draw all singular values of the three kinds of nets."""
    _, axes = plt.subplots(figsize=(5.2, 3.6))
    for number, (name, values) in enumerate(spectra().items()):
        drawn = np.maximum(values, 1e-30)
        plots.spread(axes, np.arange(1, WIDTH + 1), drawn, name, number)
        axes.lines[-1].set_linestyle(("-", "--", "-.")[number])
    axes.set(yscale="log", ylim=(1e-14, 1e2), xlabel="direction, most stretched first")
    axes.set(ylabel="stretched by (singular value)")
    axes.legend(loc="center right")


def picture() -> diagrams.Diagram:
    """A circle, and two ellipses that both have the mean square 1."""

    def ellipse(x: int, wide: float | int, tall: float | int, colour: str) -> str:
        return (
            f'<ellipse cx="{x}" cy="90" rx="{wide}" ry="{tall}" fill="{colour}" '
            f'fill-opacity="0.15" stroke="{colour}" stroke-width="2" '
            f'transform="rotate(-25 {x} 90)"/>'
        )

    parts = [
        ellipse(70, 40, 40, diagrams.INK),
        ellipse(225, 42, 38, diagrams.FORWARD),
        ellipse(384, 56.5, 2, diagrams.BACKWARD),
        diagrams.label(70, 162, "error signals at", size=14),
        diagrams.label(70, 180, "the last layer", size=14),
        diagrams.label(225, 162, "every direction", diagrams.FORWARD, 14),
        diagrams.label(225, 180, "kept", diagrams.FORWARD, 14),
        diagrams.label(384, 162, "one stretched,", diagrams.BACKWARD, 14),
        diagrams.label(384, 180, "one lost", diagrams.BACKWARD, 14),
        diagrams.arrow((118, 90), (172, 90)),
        diagrams.label(304, 90, "or", diagrams.MUTED),
        diagrams.label(304, 20, "at the first layer: mean square $1$ in both", diagrams.MUTED, 14),
    ]
    return diagrams.Diagram(
        460, 196,
        "A circle stands for error signals of length 1 at the last layer. At the first layer it "
        "has become an ellipse, either nearly a circle, or long and so thin that one direction is "
        "all but lost. The mean of the squared lengths is 1 in both.",
        parts,
    )  # fmt: skip


# The text's numbers, and the questions


def near_one(name: str) -> float:
    """Share of the singular values between 1/2 and 2, median of the nets."""
    values = spectra()[name]
    return float(np.median(((values > 0.5) & (values < 2)).mean(axis=1)))


@cache
def numbers() -> dict[str, float]:
    """Numbers that the text says, by name."""
    found = spectra()
    return {
        "kept_normal": np.median((found["tanh, normal"] ** 2).mean(axis=1)),
        "median_normal": np.median(found["tanh, normal"]),
        "largest_normal": np.median(found["tanh, normal"][:, 0]),
        "near_orthogonal": near_one("tanh, orthogonal"),
    }


def questions() -> list[selfcheck.Question]:
    """The page's questions."""
    found = {name: np.median(values, axis=0) for name, values in spectra().items()}
    drawn = {name: np.maximum(values, 1e-16) for name, values in found.items()}
    return [
        selfcheck.choice(
            "Mean-field theory says that a layer's factor is 1. What does that promise?",
            {
                "That no error signal vanishes": "Single directions may vanish while others are "
                "stretched: the factor is a mean.",
                "That at the start of training, in a wide net, the mean square of the error signal "
                "is kept": "It is a statement about means, about wide nets, and about the start.",
                "That the net will learn": "It says nothing of training. A healthy start is "
                "needed, but it is not enough.",
            },
            right="That at the start of training, in a wide net, the mean square of the error "
            "signal is kept",
        ),
        selfcheck.curve(
            "Singular values of the Jacobian of 50 layers, largest first. Which net has dynamical "
            "isometry?",
            np.arange(1, WIDTH + 1),
            {
                "A": drawn["ReLU, orthogonal"],
                "B": drawn["tanh, orthogonal"],
                "C": drawn["tanh, normal"],
            },
            {
                "A": "Here most directions are lost. This is ReLU: with orthogonal weights too, it "
                "switches off half of its units in every layer.",
                "B": "Nearly all directions keep their length. This is tanh with orthogonal "
                "weights.",
                "C": "A few directions are stretched and most are lost. This is tanh with normal "
                "weights.",
            },
            right="B",
            xlabel="direction, most stretched first",
            ylabel="singular value",
            log=True,
        ),
        selfcheck.number(
            "A map stretches one direction by the factor 8 and crushes 63 others to almost 0. By "
            "which factor does it multiply the mean square of a random vector of 64 numbers?",
            1,
            right="64 / 64. In the mean all looks well, although 63 of 64 directions are lost.",
            small="The squares count: 8 × 8, divided among 64 directions.",
            large="Divide 8 × 8 by the number of directions, 64.",
        ),
        selfcheck.choice(
            "In a stack of attention layers alone, all tokens become alike. What does this do to "
            "gradients?",
            {
                "Those of the queries and keys vanish": "Where all tokens are alike, it makes no "
                "difference where attention looks, and queries and keys decide no more than that.",
                "All gradients explode": "Averaging brings tokens together. It makes nothing "
                "large.",
                "Nothing, because attention has no activation function": "The softmax is one, and "
                "averaging is what it does.",
            },
            right="Those of the queries and keys vanish",
        ),
        selfcheck.choice(
            "What does maximal-update parametrisation keep the same for every width?",
            {
                "The number of weights": "That grows with the width, whatever the parametrisation.",
                "How much a step changes what each layer puts out": "So the best learning rate of "
                "a narrow net is about the best one of a wide net too.",
                "The gradient of every weight": "Single weights' gradients may change with the "
                "width. What counts is what the step does to the layer's output.",
            },
            right="How much a step changes what each layer puts out",
        ),
    ]
