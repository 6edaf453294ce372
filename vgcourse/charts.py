"""Descriptions of the charts that several pages share."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from vgkit.explore import chart, first_true, network, series

FORMAT_LINES = [
    {
        "value": float(jnp.finfo(jnp.float16).smallest_subnormal),
        "label": "float16: smallest number",
    },
    {
        "value": float(jnp.finfo(jnp.float32).tiny),
        "label": "float32, bfloat16: smallest normal number",
    },
]
"""Where number formats end. JAX on the CPU turns float32 numbers below the last line into 0."""


SIGNALS = (
    "Layer 1's error signal is exactly 0: no path is left.",
    "It vanishes: layer 1 gets {ratio} of the last hidden layer's error signal.",
    "It explodes: layer 1 gets {ratio} times the last hidden layer's error signal.",
    "It passes: layer 1 gets {ratio} times the last hidden layer's error signal.",
)
"""Sentences in the order of `outcome`."""


def net(
    units: int = 8, skip: str | None = None, backward: tuple[int, int] = (-12, 2)
) -> dict[str, Any]:
    """The network view of one example, with the sentences of `signals`.

    Args:
        units: The most units of a layer that are drawn.
        skip: Name of a number that says whether there are skip connections.
        backward: Powers of ten at the two ends of the scale of error signals.
    """
    return network(units, summary=SIGNALS, skip=skip, backward=backward)


def signals(size: str = "RMS over units and examples") -> dict[str, Any]:
    """A chart of a network's signals per layer, on a logarithmic axis with the formats' ends.

    The results must hold "error_signal", "weight_gradient" and "bound" per layer, "ratio", the
    first layer's error signal over that of the last hidden layer, and "sentence", their `outcome`.

    Args:
        size: Text of the vertical axis.
    """
    return chart(
        [
            series("error_signal", "Error signal dL/dz", colour=1),
            series("weight_gradient", "Weight gradient dL/dW", colour=2),
            series("bound", "Bound on the error signal", marker=False, dash=True, colour=3),
        ],
        x={"label": "Layer (1 is nearest the input)", "name": "layer", "start": 1},
        y={"label": size, "scale": "log"},
        lines=FORMAT_LINES,
        summary=SIGNALS,
    )


def time_steps(
    drawn: Mapping[str, str], ratio: str, *, dashed: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """A chart of gradients against the time step, on a logarithmic axis.

    The results must hold these arrays, and "sentence", the `outcome` of the ratio.

    Args:
        drawn: Labels of gradients by the name of their array; 1 is their size at the last step.
        ratio: Name of the array whose first number is the gradient at step 0 over that at the last.
        dashed: Labels of curves to compare them with, by the name of their array.
    """
    rest = "the gradient of the last step gets back to step 0."
    return chart(
        [series(name, label, marker=False) for name, label in drawn.items()]
        + [series(name, label, marker=False, dash=True) for name, label in dashed.items()],
        x={"label": "Time step (the loss reads the last one)", "name": "step", "start": 0},
        y={"label": "Norm of the gradient, 1 at the last step", "scale": "log"},
        summary=[
            "Exactly 0 of the gradient gets back to step 0: no path is left.",
            f"It vanishes: {{{ratio}}} of {rest}",
            f"It explodes: {{{ratio}}} times {rest}",
            f"It passes: {{{ratio}}} times {rest}",
        ],
    )


def outcome(
    ratio: Float[Array, "..."], gradient: Float[Array, "..."] | None = None
) -> Int[Array, ""]:
    """Position of the sentence of `signals` and `time_steps` that holds.

    The sentences: no path, vanishes, explodes, passes; a factor of 100 counts as vanishing or
    exploding.

    Args:
        ratio: First layer over last, or first step over last; a single number.
        gradient: The numerator, where the ratio may be 0 / 0.
    """
    no_path = (ratio if gradient is None else gradient) == 0
    return first_true(no_path, ratio < 0.01, ratio > 100)


def training(summary: Sequence[str]) -> list[dict[str, Any]]:
    """Charts of a training run: loss; signals, weights, a histogram and the units, at one epoch.

    The results must hold the arrays of `training_viewer.viewer`, and "sentence", the position of
    one of several sentences.

    Args:
        summary: The sentences, as for `chart`.
    """
    layer = {"label": "Layer (1 is nearest the input)", "name": "layer", "start": 1}
    entries = {"label": "Entries of dL/dz, power of ten (left: exactly 0)", "name": "power of ten"}
    return [
        chart(
            [series("loss", "Training loss", marker=False),
             series("wrong", "Share of test examples misclassified", marker=False),
             series("loss_now", "This epoch", x="now", hold=False)],
            x={"label": "Epoch", "name": "epoch"},
            y={"label": "Loss; share", "scale": "log"},
            summary=summary,
        ),
        chart(
            [series("signal", "Error signal dL/dz", colour=1),
             series("gradient", "Weight gradient dL/dW", colour=2),
             series("low", "Error signal: all seeds", kind="band", upper="high", colour=1)],
            x=layer,
            y={"label": "RMS", "scale": "log"},
        ),
        chart(
            [series("size", "Size now"), series("moved", "Distance moved"),
             series("update", "One update")],
            x=layer,
            y={"label": "Weights: share of their size", "scale": "log"},
        ),
        chart(
            [series("first", "First layer", kind="bars"), series("last", "Last hidden layer")],
            x={**entries, "values": "decades"},
            y={"label": "Share of entries in %"},
        ),
        chart(
            [series("dead", "Units off for all examples"), series("flat", "Slopes small or 0")],
            x=layer,
            y={"label": "Share in %", "domain": [0, 105]},
        ),
    ]  # fmt: skip
