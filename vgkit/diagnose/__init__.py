"""A verdict on any JAX model, from the signals that run through it.

    report = diagnose.diagnose(model, params, x, y)
    print(report)

`model` is a function (params, x) -> outputs for a whole batch; nothing in it has to be changed.
"""

from typing import Any

import numpy as np

from vgkit.diagnose.facts import Facts, as_optimiser, gather
from vgkit.diagnose.layers import tap
from vgkit.diagnose.report import Report
from vgkit.diagnose.subject import subject
from vgkit.diagnose.verdicts import REMEDIES, Finding, judge, signal_path

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
    learning_rate: float | None = None,
) -> Report:
    r"""Say what stands in the way of a network's learning, and on what evidence.

    .. math:: \delta_{\ell,i} = \frac{\partial L_i}{\partial z_{\ell,i}}, \quad
              G = \frac{\|\delta_1\|}{\|\delta_{L-1}\|}

    The model's own operations are traced, a zero is added to the product of every layer and to what
    flows between layers, and the gradient with respect to these zeros is the error signal, for each
    example by itself. Everything is measured in float64; what the model's own number format loses
    is compared with it. No setting of JAX changes, and nothing is trained.

    Args:
        model: Function (params, x) -> outputs for a whole batch, such as `module.apply` of Flax
            linen or `lambda module, x: jax.vmap(module)(x)` for Equinox. A Flax nnx or Equinox
            module itself, or a linen module together with its variables, will do.
        params: Any pytree with floating-point arrays; None if `model` is a module that holds them.
        x: A batch, examples along the first axis; a pytree of such arrays will do. At least some
            dozens of examples, such as one batch of training.
        y: Targets: labels for "cross_entropy", outputs for "mean_squared_error", whatever a
            function needs; examples along the first axis.
        loss: A key of `grads.LOSSES`, or a function (output, target) -> scalar of one example, or
            of a whole batch (a mean, or one number for each example).
        history: What training looked like: the loss of every row; or a dict or NamedTuple with
            "loss" (or "train_loss"), "moved" (rows, layers) or "update_ratio" (or "ratio") and
            "weights" (rows, layers), and maybe the columns' "names". `train.History` and what
            `monitor.read` returns of a monitor that stands last fit.
        optimiser: The optax optimiser in use. One step of it, started afresh, is looked at.
        learning_rate: Without an optimiser: that of plain gradient descent.

    Returns:
        The report. Without `history`, `optimiser` and `learning_rate` nothing is said of how fast
        the network learns.

    Raises:
        ValueError: If an argument does not fit: parameters without floating-point arrays, an empty
            batch, data that is not finite, labels out of range, a loss that is no scalar.
    """
    facts = gather(
        subject(model, params, x, y, loss), history, as_optimiser(optimiser, learning_rate)
    )
    findings = judge(facts)
    flow = signal_path(facts)
    ratio = flow[0] / flow[-1] if len(flow) > 1 and flow[-1] > 0 else np.nan
    numbers = {
        "loss": facts.loss,
        "reference loss": facts.reference,
        "G": ratio,
        "best gain along the gradient": facts.descent,
    }
    return Report(
        tuple(finding.verdict for finding in findings) or ("healthy",),
        tuple(findings), tuple(facts.rows), tuple(_notes(facts)), numbers,
    )  # fmt: skip


def _notes(facts: Facts) -> list[str]:
    notes = []
    if facts.examples == 1:
        notes.append("One example: nothing is said of dead units or of inputs mapped alike.")
    if not facts.rows and not facts.bad_params:
        notes.append("No layer was found: no product of data and parameters. Use diagnose.tap.")
    if facts.unseen:
        notes.append(f"Not looked into, though layers are inside: {', '.join(facts.unseen)}.")
    if facts.opened and min(facts.opened) > 0:
        notes.append("Zeros of a fresh network hold the signal back; a few steps open the way.")
    loss = facts.history.loss
    if loss is not None and not np.all(np.isfinite(loss)):
        notes.append("The loss of the history is not finite at the end: the steps are too long.")
    if facts.reference > 0 and facts.loss > 0.9 * facts.reference and facts.descent < 0.01:
        notes.append("The loss is where a net that ignores its inputs has it, and stays there.")
    return notes
