"""Claims on the signs of a vanished gradient."""

from typing import Any

import numpy as np

from vgcourse.claims.claim import Claim, Numbers
from vgcourse.claims.programs import Trained, first_over_last, norms_at_start, trained


def _vanished() -> Trained:
    return trained("sigmoid", "glorot_normal", 8, 0.1)


def _healthy(rate: float = 0.1, **settings: Any) -> Trained:
    return trained("tanh", "glorot_normal", 4, rate, **settings)


def _flat_loss() -> Numbers:
    slow, vanished = _healthy(1e-5), _vanished()
    return {
        "slow_fall": 1 - slow.loss[:, -1] / slow.loss[:, 0],
        "slow_ratio": slow.ratio,
        "vanished_fall": 1 - vanished.loss[:, -1] / vanished.loss[:, 0],
        "vanished_ratio": vanished.ratio,
    }


def _weights_to_zero() -> Numbers:
    decayed = _healthy(decay=0.05)
    return {
        "vanished": _vanished().weights[:, 0],
        "decayed": decayed.weights[:, 0],
        "decayed_ratio": decayed.ratio,
    }


def _flat_metrics() -> Numbers:
    slow = _healthy(1e-5)
    return {
        "vanished": _vanished().accuracy,
        "slow": slow.accuracy,
        "dead": trained("relu", "he_normal", 4, 0.1, bias=-5.0).accuracy,
        "slow_ratio": slow.ratio,
        "learning": _healthy().accuracy,
    }


def _erratic() -> Numbers:
    def largest_rise(run: Trained) -> np.ndarray:
        return np.max(np.diff(run.loss[:, 1:], axis=1), axis=1)

    return {"vanished": largest_rise(_vanished()), "high_rate": largest_rise(_healthy(4.0))}


def _norms() -> Numbers:
    """Nets of 30 layers: three whose signal vanishes, and two healthy ones."""
    small, glorot, he = {"std": (3 * 64) ** -0.5}, "glorot_normal", "he_normal"
    vanished = [
        norms_at_start("sigmoid", glorot, 30),
        norms_at_start("tanh", "normal", 30, **small),
        norms_at_start("relu", glorot, 30),
    ]
    healthy = [norms_at_start("tanh", glorot, 30), norms_at_start("relu", he, 30)]
    return {
        "signal_vanished": [first_over_last(norms.error_signals) for norms in vanished],
        "signal_healthy": [first_over_last(norms.error_signals) for norms in healthy],
        "weights_relu_glorot": first_over_last(vanished[2].weight_gradients),
        "weights_healthy": [first_over_last(norms.weight_gradients) for norms in healthy],
    }


def _flat_weights() -> Numbers:
    frozen = _healthy(frozen=1)
    return {
        "vanished": _vanished().moved[:, 0],
        "slow": _healthy(1e-5).moved[:, 0],
        "frozen": frozen.moved[:, 0],
        "healthy_ratio": frozen.ratio,
        "learning": _healthy().moved[:, 0],
    }


CLAIMS = (
    Claim(
        "C16", ("D3", "D4"),
        "A loss that does not fall is a sign of it.",
        "misleading",
        "Neither necessary nor sufficient: a low rate, dead units and a minimum look the same, and "
        "a vanished net's loss can fall through the bias of its output.",
        _flat_loss,
        lambda e: e["slow_fall"].largest < 0.01 and e["slow_ratio"].least > 0.3
        and e["vanished_fall"].least > 0.05 and e["vanished_ratio"].largest < 1e-3,
        "At a rate of 1e-5 the loss of a tanh net of 4 layers falls by {slow_fall:.2%}, though "
        "{slow_ratio} of the signal reaches layer 1; that of a sigmoid net of 8 falls by "
        "{vanished_fall:.0%}, though {vanished_ratio:.0e} does.",
        "detection", "Sign 1: the loss does not fall",
    ),
    Claim(
        "C17", ("D3",),
        "Weights converging to 0 indicate it.",
        "false",
        "Vanished layers stay at their initial values; shrinking weights mean weight decay or "
        "useless inputs.",
        _weights_to_zero,
        lambda e: abs(e["vanished"].least - 1) < 1e-3 and abs(e["vanished"].largest - 1) < 1e-3
        and e["decayed"].largest < 0.8 and e["decayed_ratio"].least > 0.3,
        "After 300 steps layer 1 of a vanished net has {vanished:.4f} times the weights of the "
        "start; with weight decay a net that passes {decayed_ratio} of its signal has {decayed} "
        "times.",
        "detection", "Sign 4: the weights go to zero",
    ),
    Claim(
        "C18", ("D3",),
        "Metrics that stagnate over epochs indicate it.",
        "misleading",
        "Nets with a low rate or dead units have the same flat curve.",
        _flat_metrics,
        lambda e: all(e[name].largest < 0.3 for name in ("vanished", "slow", "dead"))
        and e["slow_ratio"].least > 0.3 and e["learning"].least > 0.7,
        "After 300 steps a vanished net reads {vanished:.0%} of the digits, one whose units are "
        "dead {dead:.0%}, one at a rate of 1e-5 {slow:.0%}, though {slow_ratio} of its signal "
        "reaches layer 1; at a rate of 0.1 the same net reads {learning:.0%}.",
        "detection", "Sign 2: the metrics stagnate",
    ),
    Claim(
        "C19", ("D3",),
        "Erratic learning curves indicate it.",
        "false",
        "They go with explosion or a learning rate that is too high; a vanished net's curve is "
        "flat.",
        _erratic,
        lambda e: e["vanished"].largest < 0.02 and e["high_rate"].least > 0.2,
        "Largest rise of the training loss within 30 steps: {vanished:.1g} in a vanished net, "
        "{high_rate} in a healthy one at forty times its learning rate.",
        "detection", "Sign 3: erratic curves",
    ),
    Claim(
        "C20", ("D3",),
        "Histograms and norms of the gradients per layer show it.",
        "holds under conditions",
        "They do if it is the error signal that is looked at, and not only the weight gradient.",
        _norms,
        lambda e: e["signal_vanished"].largest < 1e-3 < 0.05 < e["signal_healthy"].least
        and e["weights_healthy"].least < e["weights_relu_glorot"].largest
        and e["weights_relu_glorot"].least < e["weights_healthy"].largest
        and e["weights_relu_glorot"].least > 0.1,
        "Layer 1 over layer 30, three vanished nets beside two healthy ones: error signal "
        "{signal_vanished:.0e} beside {signal_healthy}; but weight gradient {weights_relu_glorot} "
        "in the vanished one with ReLU and Glorot, beside {weights_healthy}.",
        "detection/signs", "The four standing plots",
    ),
    Claim(
        "C21", ("D4",),
        "A flat plot of weights against epochs means that the gradient has vanished.",
        "misleading",
        "A frozen layer, a tiny learning rate, a minimum and dead units look the same.",
        _flat_weights,
        lambda e: all(e[name].largest < 1e-3 for name in ("vanished", "slow", "frozen"))
        and e["healthy_ratio"].least > 0.3 and e["learning"].least > 0.1,
        "Layer 1 moves, in 300 steps, by {vanished:.0e} of its weights in a vanished net, "
        "{slow:.0e} in a healthy one at a rate of 1e-5 and {frozen:.0f} where it is frozen, though "
        "{healthy_ratio} of the signal arrives there; else it moves by {learning}.",
        "detection", "Sign 5: the weights stand still",
    ),
)  # fmt: skip
