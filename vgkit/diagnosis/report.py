"""A diagnosis and what it says, as text."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

from vgkit._typeset import table, typeset
from vgkit.diagnosis.evidence import LayerEvidence
from vgkit.diagnosis.facts import Facts, gather
from vgkit.diagnosis.verdicts import Finding, judge, signal_path
from vgkit.grads.measure import read_problem

COLUMNS = {
    "name": "layer", "depth": "depth", "units": "units", "error_signal": "dL/dz",
    "upstream_gradient": "upstream", "weight_gradient": "dL/dW", "weights": "W", "dead": "dead",
    "saturated": "satur.", "cosine": "cosine",
}  # fmt: skip
SHOWN = 40


@dataclass(frozen=True, repr=False)
class Report:
    """A diagnosis; printed, it gives the findings and the evidence.

    Attributes:
        findings: What stands in the way of learning, gravest first.
        layers: The evidence, one entry for each layer, input side first.
        notes: What limits the diagnosis, or is worth knowing.
        loss: Mean loss of the batch.
        reference_loss: Mean loss of a net that knows the targets but not which example has which.
        ratio: Gradient that reaches the first layer over that at the last hidden layer.
        best_gain: Share of the loss that the best step along the gradient takes away.
    """

    findings: tuple[Finding, ...]
    layers: tuple[LayerEvidence, ...]
    notes: tuple[str, ...]
    loss: float
    reference_loss: float
    ratio: float
    best_gain: float

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Names of the findings, gravest first; ("healthy",) if there is none."""
        return tuple(finding.verdict for finding in self.findings) or ("healthy",)

    @property
    def healthy(self) -> bool:
        """Whether there is no finding."""
        return not self.findings

    @property
    def summary(self) -> str:
        """One sentence."""
        if self.healthy:
            return "Healthy: nothing was found that stands in the way of learning."
        first = self.findings[0].sentence
        return f"{', '.join(self.verdicts).capitalize()}: {first[0].lower()}{first[1:]}"

    def __repr__(self) -> str:
        return "\n".join(_lines(self))


def _lines(report: Report) -> Iterator[str]:
    yield report.summary
    for finding in report.findings:
        yield f"\n{finding.verdict.capitalize()}. {finding.sentence}"
        yield from (f"  {reason}" for reason in reasons(finding))
    yield from ("", *table([COLUMNS.values(), *rows(report)]))
    for number, note in enumerate(report.notes):
        yield "\n" * (number == 0) + f"Note: {note}"


def reasons(finding: Finding) -> Iterator[str]:
    """Why a finding is one, and what to do."""
    yield f"threshold: {finding.threshold}"
    yield f"to confirm: {finding.confirm}"
    if finding.remedies:
        yield f"to read: {', '.join(f'solutions/{page}' for page in finding.remedies)}"


def rows(report: Report) -> Iterator[tuple[str, ...]]:
    """Cells of the layers, or, of very many, of some at equal distances with both ends."""
    layers, count = report.layers, len(report.layers)
    if count > SHOWN:
        layers = [layers[round(k * (count - 1) / (SHOWN - 1))] for k in range(SHOWN)]
    for layer in layers:
        yield tuple(_cell(getattr(layer, name), name) for name in COLUMNS)


def _cell(value: Any, column: str) -> str:
    if not isinstance(value, float):
        return str(value)
    if np.isnan(value):
        return "\N{EN DASH}"
    forms = {"dead": ".0%", "saturated": ".0%", "cosine": ".4f"}
    return typeset(f"{value:{forms.get(column, '.1e')}}")


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
    optimiser = getattr(optimiser, "tx", optimiser)  # of nnx.Optimizer and TrainState
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
