"""Claims on the signs by which a vanished gradient is said to be known."""

import numpy as np

from vgcourse.claims.claim import Claim, Evidence, Range, over, say
from vgcourse.claims.programs import Trained, signals, trained

# Layers of the networks that are trained here.
DEEP, FLAT = 8, 4


def _vanished(**settings) -> Trained:
    return trained("sigmoid", "glorot_normal", DEEP, 0.1, **settings)


def _healthy(rate: float = 0.1, **settings) -> Trained:
    return trained("tanh", "glorot_normal", FLAT, rate, **settings)


def _kept(run: Trained, depth: int) -> Range:
    """Share of the error signal that reaches layer 1, at the start."""
    return over(run.before.error_signal[:, 0] / run.before.error_signal[:, depth - 1])


def _flat_loss() -> Evidence:
    slow, vanished = _healthy(1e-5), _vanished()
    return {
        "slow_fall": over(1 - slow.loss[:, -1] / slow.loss[:, 0]),
        "slow_kept": _kept(slow, FLAT),
        "vanished_fall": over(1 - vanished.loss[:, -1] / vanished.loss[:, 0]),
        "vanished_kept": _kept(vanished, DEEP),
    }


def _weights_to_zero() -> Evidence:
    vanished, decayed = _vanished(), _healthy(decay=0.05)
    return {
        "vanished": over(vanished.weights[:, 0]),
        "decayed": over(decayed.weights[:, 0]),
        "decayed_kept": _kept(decayed, FLAT),
    }


def _flat_metrics() -> Evidence:
    slow, dead, vanished = _healthy(1e-5), _dead(), _vanished()
    return {
        "vanished": over(vanished.accuracy),
        "slow": over(slow.accuracy),
        "dead": over(dead.accuracy),
        "slow_kept": _kept(slow, FLAT),
        "learning": over(_healthy().accuracy),
    }


def _dead() -> Trained:
    return trained("relu", "he_normal", FLAT, 0.1, bias=-5.0)


def _erratic() -> Evidence:
    def largest_rise(run: Trained) -> Range:
        return over(np.max(np.diff(run.loss[:, 1:], axis=1), axis=1))

    return {"vanished": largest_rise(_vanished()), "high_rate": largest_rise(_healthy(4.0))}


# Nets of 30 layers: activation, initialiser, standard deviation; whether their signal vanishes.
SIX = {
    "sigmoid_glorot": ("sigmoid", "glorot_normal", None, True),
    "tanh_small": ("tanh", "normal", (3 * 64) ** -0.5, True),
    "relu_glorot": ("relu", "glorot_normal", None, True),
    "tanh_glorot": ("tanh", "glorot_normal", None, False),
    "relu_he": ("relu", "he_normal", None, False),
}


def _norms() -> Evidence:
    found: dict[bool, list] = {True: [], False: []}
    for activation, init, std, vanishes in SIX.values():
        run = signals(activation, init, 30, std=std)
        found[vanishes].append([part[:, 0] / part[:, 29] for part in run[:2]])
    vanished, healthy = np.array(found[True]), np.array(found[False])
    return {
        "signal_vanished": over(vanished[:, 0]),
        "signal_healthy": over(healthy[:, 0]),
        "weights_relu_glorot": over(vanished[2, 1]),
        "weights_healthy": over(healthy[:, 1]),
    }


def _flat_weights() -> Evidence:
    slow, frozen = _healthy(1e-5), _healthy(frozen=1)
    return {
        "vanished": over(_vanished().moved[:, 0]),
        "slow": over(slow.moved[:, 0]),
        "frozen": over(frozen.moved[:, 0]),
        "healthy_kept": _kept(frozen, FLAT),
        "learning": over(_healthy().moved[:, 0]),
    }


CLAIMS = (
    Claim(
        "C16", ("D3", "D4"),
        "A loss that does not fall is a sign of it.",
        "misleading",
        "Neither necessary nor sufficient: a low rate, dead units and a minimum look the same, and "
        "a vanished net's loss can fall through the bias of its output.",
        _flat_loss,
        lambda e: e["slow_fall"].largest < 0.01 and e["slow_kept"].least > 0.3
        and e["vanished_fall"].least > 0.05 and e["vanished_kept"].largest < 1e-3,
        lambda e: "At a rate of 1e-5 the loss of a tanh net of 4 layers falls by "
        f"{say(e['slow_fall'], '.2%')}, though {say(e['slow_kept'])} of the signal reaches "
        f"layer 1; that of a sigmoid net of 8 falls by {say(e['vanished_fall'], '.0%')}, though "
        f"{say(e['vanished_kept'], '.0e')} does.",
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
        and e["decayed"].largest < 0.8 and e["decayed_kept"].least > 0.3,
        lambda e: "After 300 steps layer 1 of a vanished net has "
        f"{say(e['vanished'], '.4f')} times the weights of the start; with weight decay a net that "
        f"passes {say(e['decayed_kept'])} of its signal has {say(e['decayed'])} times.",
        "detection", "Sign 4: the weights go to zero",
    ),
    Claim(
        "C18", ("D3",),
        "Metrics that stagnate over epochs indicate it.",
        "misleading",
        "Nets with a low rate or dead units have the same flat curve.",
        _flat_metrics,
        lambda e: all(e[name].largest < 0.3 for name in ("vanished", "slow", "dead"))
        and e["slow_kept"].least > 0.3 and e["learning"].least > 0.7,
        lambda e: f"After 300 steps a vanished net reads {say(e['vanished'], '.0%')} of the "
        f"digits, one whose units are dead {say(e['dead'], '.0%')}, one at a rate of 1e-5 "
        f"{say(e['slow'], '.0%')}, though {say(e['slow_kept'])} of its signal reaches layer 1; at "
        f"a rate of 0.1 the same net reads {say(e['learning'], '.0%')}.",
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
        lambda e: "Largest rise of the training loss within 30 steps: "
        f"{say(e['vanished'], '.1g')} in a vanished net, {say(e['high_rate'])} in a healthy one at "
        "forty times its learning rate.",
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
        lambda e: "Layer 1 over layer 30, three vanished nets beside two healthy ones: error "
        f"signal {say(e['signal_vanished'], '.0e')} beside {say(e['signal_healthy'])}; but weight "
        f"gradient {say(e['weights_relu_glorot'])} in the vanished one with ReLU and Glorot, "
        f"beside {say(e['weights_healthy'])}.",
        "signs", "The four standing plots",
    ),
    Claim(
        "C21", ("D4",),
        "A flat plot of weights against epochs means that the gradient has vanished.",
        "misleading",
        "A frozen layer, a tiny learning rate, a minimum and dead units look the same.",
        _flat_weights,
        lambda e: all(e[name].largest < 1e-3 for name in ("vanished", "slow", "frozen"))
        and e["healthy_kept"].least > 0.3 and e["learning"].least > 0.1,
        lambda e: "Layer 1 moves, in 300 steps, by "
        f"{say(e['vanished'], '.0e')} of its weights in a vanished net, {say(e['slow'], '.0e')} in "
        f"a healthy one at a rate of 1e-5 and {say(e['frozen'], '.0f')} where it is frozen, though "
        f"{say(e['healthy_kept'])} of the signal arrives there; else it moves by "
        f"{say(e['learning'])}.",
        "detection", "Sign 5: the weights stand still",
    ),
)  # fmt: skip
