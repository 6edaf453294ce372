"""A diagnosis and what it says, as text."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

from vgkit._typeset import table, typeset
from vgkit.diagnosis.evidence import LayerEvidence
from vgkit.diagnosis.facts import Facts, gather
from vgkit.diagnosis.verdicts import Finding, judge
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
        looked_at: What was measured.
        loss: Mean loss of the batch.
        reference_loss: Mean loss of a net that knows the targets but not which example has which.
        ratio: G, that of `grads.signals`; NaN without a hidden layer or for 0 / 0.
        best_gain: Share of the loss that the best step along the gradient takes away.
    """

    findings: tuple[Finding, ...]
    layers: tuple[LayerEvidence, ...]
    notes: tuple[str, ...]
    looked_at: tuple[str, ...]
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
            return f"Healthy: looked at {', '.join(self.looked_at)}; found nothing in these."
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
    if not report.healthy:
        yield f"\nLooked at: {', '.join(report.looked_at)}."
    yield from (f"\nNote: {note}" for note in report.notes)


def reasons(finding: Finding) -> Iterator[str]:
    """Why a finding is one, and what to do."""
    yield f"line: {finding.threshold}"
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
    forms = {"dead": ".0%", "saturated": ".0%", "cosine": ".4f"}
    cell = typeset(f"{value:{forms.get(column, '.1e')}}")
    return "\N{EN DASH}" if np.isnan(value) else cell


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

    .. math:: G = \frac{\|\delta_1\|}{\|\delta_{L-1}\|}, \quad
              \delta_{\ell,i} = \frac{\partial L_i}{\partial z_{\ell,i}}

    G, and the gradients of every layer, are those of `grads.signals`. Where a residual stream or a
    recurrent state passes by the layers, the gradient of the loss with respect to it is judged in
    place of their error signals. Gradients are measured in float64 and compared with those in the
    model's own number format. No setting of JAX changes, and only copies are trained.

    Args:
        model: Function (params, x) -> outputs for a whole batch, or a module, see `trace.read`.
        params: Any pytree with floating-point arrays; None if `model` is a module that holds them.
        x: A batch, examples along the first axis; at least some dozens, such as one of training.
        y: Targets: labels for "cross_entropy", outputs for "mean_squared_error", whatever a
            function needs; examples along the first axis.
        loss: A key of `grads.LOSSES`, or a function (output, target) -> scalar of one example, or
            of a whole batch (a mean, or one number for each example).
        history: What training looked like: a history of `train.fit`, a record of `monitor.read`
            whose monitor is the optimiser's last part, or the loss of every row.
        optimiser: The optax optimiser in use. A few steps of it, started afresh, are tried on a
            copy, and where they lead nowhere longer or shorter ones.

    Returns:
        The report. Without `history` and `optimiser` nothing is said of how fast the network
        learns.
    """
    optimiser = getattr(optimiser, "tx", optimiser)  # of nnx.Optimizer and TrainState
    if isinstance(optimiser, optax.MultiSteps):
        optimiser = optimiser.gradient_transformation()
    if optimiser is not None and not isinstance(optimiser, optax.GradientTransformation):
        raise ValueError(f"optimiser must be an optax.GradientTransformation; got {optimiser!r}")
    problem = read_problem(model, params, x, y, loss)
    facts = gather(problem, loss if isinstance(loss, str) else None, history, optimiser)
    errors = [layer.error_signal for layer in facts.layers[:-1]] or [np.nan]
    return Report(
        findings=tuple(judge(facts)),
        layers=tuple(facts.layers),
        notes=tuple(_notes(facts)),
        looked_at=tuple(_looked_at(facts)),
        loss=facts.loss,
        reference_loss=facts.reference,
        ratio=errors[0] / errors[-1] if errors[-1] else np.nan,
        best_gain=facts.descent,
    )


def _looked_at(facts: Facts) -> Iterator[str]:
    rates, measured = facts.rates, not np.isnan(facts.loss)
    slopes = facts.dead.shares or any(layer.saturated >= 0 for layer in facts.layers)
    told = facts.history.losses is not None or facts.moved
    yield from (what for what, done in (
        ("parameters", True),
        (f"loss and gradients of {len(facts.layers)} layers", measured),
        ("slopes of activations", measured and slopes),
        ("angles between examples", any(layer.cosine >= -1 for layer in facts.layers)),
        ("steps along the gradient", not np.isnan(facts.descent)),
        (f"{len(rates.given) - 1 if rates else 0} steps of the optimiser on a copy", rates),
        ("the history", told),
    ) if done)  # fmt: skip


def _notes(facts: Facts) -> Iterator[str]:
    if facts.examples == 1:
        yield "One example: nothing is said of dead units or of inputs mapped alike."
    if not facts.layers and not facts.non_finite:
        yield "No layer was found: no product of data and parameters. Use diagnosis.tap."
    if facts.opaque:
        yield f"Not traced, though layers are inside: {', '.join(facts.opaque)}."
    if facts.opened:
        yield "Zeros of a fresh network hold the signal back; a few steps open the way."
    if facts.reference > 0 and facts.loss > 0.9 * facts.reference and facts.descent < 0.01:
        yield "The loss is where a net that ignores its inputs has it, and stays there."
