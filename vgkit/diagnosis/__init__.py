"""A verdict on any JAX model, from the signals that run through it.

    report = vgkit.diagnose(model, params, x, y)
    print(report)

`model` is a function (params, x) -> outputs for a whole batch; nothing in it has to be changed.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import optax

from vgkit.diagnosis.facts import Facts, gather
from vgkit.diagnosis.report import Report
from vgkit.diagnosis.verdicts import REMEDIES, Finding, judge, signal_path
from vgkit.grads.measure import read_problem
from vgkit.trace.layers import tap

__all__ = ["REMEDIES", "Finding", "Report", "diagnose", "tap"]


def diagnose(
    model: Any,
    params: Any,
    x: Any,
    y: Any,
    loss: Any = "cross_entropy",
    *,
    history: Any = None,
    optimiser: Any = None,
) -> Report:
    r"""Say what stands in the way of a network's learning, and on what evidence.

    .. math:: \delta_{\ell,i} = \frac{\partial L_i}{\partial z_{\ell,i}}, \quad
              G = \frac{\|g_1\|}{\|g_{L-1}\|}, \quad
              g_{\ell,i} = \frac{\partial L_i}{\partial h_{\ell,i}}

    The model's layers are found by `trace`, and its gradients are those of `grads.signals`.
    Everything is measured in float64; what the model's own number format loses is compared with it.
    No setting of JAX changes, and nothing is trained.

    Args:
        model: Function (params, x) -> outputs for a whole batch, or a module, see `trace.read`.
        params: Any pytree with floating-point arrays; None if `model` is a module that holds them.
        x: A batch, examples along the first axis; a pytree of such arrays will do. At least some
            dozens of examples, such as one batch of training.
        y: Targets: labels for "cross_entropy", outputs for "mean_squared_error", whatever a
            function needs; examples along the first axis.
        loss: A key of `grads.LOSSES`, or a function (output, target) -> scalar of one example, or
            of a whole batch (a mean, or one number for each example).
        history: What training looked like: a history of `train.fit`, a record of `monitor.read`
            whose monitor is the optimiser's last part, or the loss of every row.
        optimiser: The optax optimiser in use. One step of it, started afresh, is computed.

    Returns:
        The report. Without `history` and `optimiser` nothing is said of how fast the network
        learns.
    """
    if optimiser is not None and not isinstance(optimiser, optax.GradientTransformation):
        raise ValueError(f"optimiser must be an optax.GradientTransformation; got {optimiser!r}")
    problem = read_problem(model, params, x, y, loss)
    facts = gather(problem, loss if isinstance(loss, str) else None, history, optimiser)
    path = signal_path(facts)
    return Report(
        findings=tuple(judge(facts)),
        layers=tuple(facts.layers),
        notes=tuple(_notes(facts)),
        loss=facts.loss,
        reference_loss=facts.reference,
        ratio=path[0] / path[-1] if len(path) > 1 and path[-1] > 0 else np.nan,
        best_gain=facts.descent,
    )


def _notes(facts: Facts) -> Iterator[str]:
    if facts.examples == 1:
        yield "One example: nothing is said of dead units or of inputs mapped alike."
    if not facts.layers and not facts.bad_params:
        yield "No layer was found: no product of data and parameters. Use diagnosis.tap."
    if facts.opaque:
        yield f"Not traced, though layers are inside: {', '.join(facts.opaque)}."
    if facts.opened and min(facts.opened) > 0:
        yield "Zeros of a fresh network hold the signal back; a few steps open the way."
    if facts.losses is not None and not np.all(np.isfinite(facts.losses)):
        yield "The loss of the history is not finite at the end: the steps are too long."
    if facts.reference > 0 and facts.loss > 0.9 * facts.reference and facts.descent < 0.01:
        yield "The loss is where a net that ignores its inputs has it, and stays there."
