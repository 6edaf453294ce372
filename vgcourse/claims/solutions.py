"""Claims on activations, initialisation, normalisation and skips as remedies."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vgcourse import dead_units, results
from vgcourse.claims.claim import Claim, Numbers
from vgcourse.claims.programs import draw, final_accuracy, first_digits, first_over_last, ratio
from vgkit import activations, grads, nets
from vgkit.train import mean_loss

GROUPS = 5


def _relu() -> Numbers:
    def factor(init: str) -> np.ndarray:
        return (ratio("relu", init, 50) / ratio("relu", init, 10)) ** (1 / 40)

    return {
        "slope_below": activations.slope("relu", -1.0),
        "slope_above": activations.slope("relu", 1.0),
        "glorot": factor("glorot_normal"),
        "he": factor("he_normal"),
    }


def _variants() -> Numbers:
    return {name: activations.slope(name, -1.0) for name in ("relu", "leaky_relu", "prelu")}


def _dying() -> Numbers:
    numbers = {}
    for name in ("relu", "leaky_relu"):
        numbers |= {name: _born_dead(name), f"{name}_slope": activations.slope(name, -3.0)}
    return numbers


def _born_dead(activation: str) -> Array:
    """Share of nets of 10 layers of 3 units that are born dead, in five groups."""
    keys = jax.random.split(jax.random.key(8), GROUPS * 400)
    return jnp.mean(dead_units.born_dead(keys, 3, activation).reshape(GROUPS, -1), axis=1)


def _initialisation() -> Numbers:
    pairs = (
        ("sigmoid", "glorot"), ("sigmoid", "he"), ("tanh", "glorot"), ("relu", "glorot"),
        ("relu", "he"), ("gelu", "he"), ("silu", "he"),
    )  # fmt: skip
    return {f"{phi}_{init}": ratio(phi, f"{init}_normal", 50) for phi, init in pairs}


def _batch_norm() -> Numbers:
    few, many = (ratio("relu", "he_normal", depth, norm="batch") for depth in (10, 50))
    return {
        "sigmoid_bare": ratio("sigmoid", "glorot_normal", 50),
        "sigmoid_normalised": ratio("sigmoid", "glorot_normal", 50, norm="batch"),
        "relu_factor": (many / few) ** (1 / 40),
        "bare": final_accuracy("sigmoid, Glorot", 30),
        "normalised": final_accuracy("sigmoid, batch norm", 30),
    }


def _covariate_shift() -> Numbers:
    networks, numbers = draw("tanh", 6, 64, "glorot_normal"), {}
    for name, norm in (("bare", "none"), ("normalised", "batch")):
        for speed, rate in (("slow", 0.03), ("fast", 0.3)):
            drift, loss = _drift(networks.replace(norm=norm), *first_digits(), rate)
            numbers |= {f"{name}_{speed}_drift": drift, f"{name}_{speed}_loss": loss}
    return numbers


@jax.jit
def _drift(networks: nets.Net, x: Array, y: Array, rate: Array) -> tuple[Array, Array]:
    """How much a layer's gradient changes when the layers before it take their step.

    The measure is that of Santurkar et al. 2018: the distance of the two gradients, here relative
    to the first, averaged over the layers after the first and 40 steps; and the last loss.
    """

    def loss(net: nets.Net) -> Array:
        return mean_loss(nets.forward(net, x), y, grads.cross_entropy)

    def step(net: nets.Net, _: None) -> tuple[nets.Net, Array]:
        gradient = jax.grad(loss)(net)
        moved = jax.tree.map(lambda w, g: w - rate * g, net, gradient)

        def drift(number: Array) -> Array:
            def before(new: Array, old: Array) -> Array:
                earlier = jnp.arange(len(old)) < number
                return jnp.where(earlier.reshape(-1, *[1] * (old.ndim - 1)), new, old)

            mixed = net.replace(layers=jax.tree.map(before, moved.layers, net.layers))
            old, new = gradient.layers.w[number], jax.grad(loss)(mixed).layers.w[number]
            return grads.l2(new - old) / grads.l2(old)

        return moved, jnp.mean(jax.vmap(drift)(jnp.arange(1, 6)))

    def one(net: nets.Net) -> tuple[Array, Array]:
        end, drifts = jax.lax.scan(step, net, None, length=40)
        return jnp.mean(drifts), loss(end)

    return jax.vmap(one)(networks)


def _skips() -> Numbers:
    def convolutional(name: str) -> np.ndarray:
        run = results.load("convolutions")["runs"][name]["16"]
        return first_over_last(np.array(run["error_signal"]))

    return {
        "plain": ratio("sigmoid", "glorot_normal", 50),
        "residual": ratio("sigmoid", "glorot_normal", 50, skip="unscaled"),
        "convolutional_plain": convolutional("sigmoid, plain"),
        "convolutional_residual": convolutional("sigmoid, residual"),
        "relu_unscaled": ratio("relu", "he_normal", 50, skip="unscaled"),
        "relu_scaled": ratio("relu", "he_normal", 50, skip="pre-activation, 1/√L"),
    }


CLAIMS = (
    Claim(
        "C22", ("D0", "D1", "D2", "D3", "D4"),
        "ReLU helps: its slope is 1 for positive input, and 0 otherwise.",
        "holds under conditions",
        "The premise holds, but the signal also meets the weights and the zeros: it stays constant "
        "only with He initialisation and enough width.",
        _relu,
        lambda e: e["slope_below"].median == 0 and e["slope_above"].median == 1
        and abs(e["glorot"].median - 0.5**0.5) < 0.02 and abs(e["he"].median - 1) < 0.03
        and e["glorot"].largest < 0.8 < 0.9 < e["he"].least,
        "Slopes {slope_below:.0f} and {slope_above:.0f}; factor a layer {glorot:.3f} with Glorot, "
        "{he:.3f} with He initialisation.",
        "solutions/relu", "When it does not help",
    ),
    Claim(
        "C23", ("D1",),
        "ReLU and its variants (leaky, parametric) have slopes 0 or 1 only.",
        "false",
        "Of the variants it is false: the negative slope is alpha.",
        _variants,
        lambda e: e["relu"].median == 0
        and all(0 < e[name].median < 1 for name in ("leaky_relu", "prelu")),
        "At z = -1 the slope is {relu:.0f} for ReLU, {leaky_relu} for leaky ReLU and {prelu} for "
        "PReLU at its start.",
        "solutions/leaky-relu", "The equation and ten lines of code",
    ),
    Claim(
        "C24", ("D4",),
        "ReLU units can die, staying at 0; leaky ReLU is the way out.",
        "holds",
        "A slope of 0 hands nothing back, and narrow deep ReLU nets can even be born dead; a slope "
        "of alpha always hands on something.",
        _dying,
        lambda e: e["relu"].least > 0.4 and e["leaky_relu"].largest == 0
        and e["relu_slope"].median == 0 < e["leaky_relu_slope"].median,
        "Of nets of 10 layers of 3 units, {relu:.0%} are born dead with ReLU and {leaky_relu:.0%} "
        "with leaky ReLU; at z = -3 the slopes are {relu_slope:.0f} and {leaky_relu_slope}.",
        "causes/dead-units", "Born dead",
    ),
    Claim(
        "C25", ("D0", "D1", "D2", "D4"),
        "Proper initialisation (Glorot or Xavier, He) keeps the variance equal from layer to layer "
        "and helps.",
        "holds under conditions",
        "It depends on the pair: He for ReLU, Glorot nearly for tanh, neither for the sigmoid; "
        "with He, GELU and SiLU fade by depth 30 to 50.",
        _initialisation,
        lambda e: e["relu_he"].least > 0.05 and e["tanh_glorot"].least > 0.05
        and all(e[name].largest < 1e-5
                for name in ("sigmoid_glorot", "sigmoid_he", "relu_glorot", "silu_he"))
        and e["gelu_he"].largest < 1e-2,
        "Signal left at layer 1 of 50: sigmoid with Glorot {sigmoid_glorot:.0e}, sigmoid with He "
        "{sigmoid_he:.0e}, tanh with Glorot {tanh_glorot:.0e}, ReLU with Glorot {relu_glorot:.0e}, "
        "ReLU with He {relu_he:.0e}, GELU with He {gelu_he:.0e}, SiLU with He {silu_he:.0e}.",
        "solutions/initialisation", "When it does not help",
    ),
    Claim(
        "C26", ("D0", "D1", "D2", "D3", "D4"),
        "Batch normalisation stabilises training, speeds it up and keeps gradients from becoming "
        "too small.",
        "holds under conditions",
        "It cures vanishing at initialisation; a deep ReLU net with it and without skips explodes "
        "backward by about 1.21 a layer.",
        _batch_norm,
        lambda e: e["sigmoid_bare"].largest < 1e-25 and e["sigmoid_normalised"].least > 0.1
        and 1.1 < e["relu_factor"].least <= e["relu_factor"].largest < 1.35
        and e["bare"].largest < 0.2 < 0.7 < e["normalised"].least,
        "Sigmoid, 50 layers: {sigmoid_bare:.0e} of the signal is left without it and "
        "{sigmoid_normalised} with it; 30 layers read {bare:.0%} and {normalised:.0%} of the "
        "digits. ReLU's signal grows by {relu_factor:.2f} a layer on its way back.",
        "solutions/batch-normalisation", "When it does not help",
    ),
    Claim(
        "C27", ("D3",),
        "Batch normalisation works by reducing internal covariate shift.",
        "misleading",
        "It was proposed to, and is not supported: measured as the change of a layer's gradient by "
        "the steps of the layers before it, the shift is larger with it or smaller, depending on "
        "the rate, and the net learns faster either way.",
        _covariate_shift,
        lambda e: e["bare_slow_drift"].largest < e["normalised_slow_drift"].least
        and e["normalised_fast_drift"].largest < e["bare_fast_drift"].least
        and all(e[f"normalised_{speed}_loss"].largest < e[f"bare_{speed}_loss"].least
                for speed in ("slow", "fast")),
        "tanh, 6 layers, 40 steps, without and with normalisation: at a rate of 0.03 a layer's "
        "gradient changes by {bare_slow_drift} and {normalised_slow_drift}, the loss ends at "
        "{bare_slow_loss} and {normalised_slow_loss}; at a rate of 0.3 a layer's gradient changes "
        "by {bare_fast_drift} and {normalised_fast_drift}, the loss ends at {bare_fast_loss} and "
        "{normalised_fast_loss}.",
        "solutions/batch-normalisation", "When it does not help",
    ),
    Claim(
        "C28", ("D0", "D1", "D2", "D3", "D4"),
        "Residual (skip) connections let the gradient pass by layers, in dense and in "
        "convolutional nets.",
        "holds under conditions",
        "It holds for identity skips; if nothing scales the branches, the signal grows.",
        _skips,
        lambda e: e["plain"].largest < 1e-25 and e["residual"].least > 0.3
        and e["convolutional_plain"].largest < 1e-8 and e["convolutional_residual"].least > 0.3
        and e["relu_unscaled"].least > 1e6 and 0.3 < e["relu_scaled"].least
        and e["relu_scaled"].largest < 10,
        "Sigmoid, 50 layers: {plain:.0e} of the signal is left, {residual} with skips; in 16 "
        "convolutional layers {convolutional_plain:.0e} and {convolutional_residual}. ReLU, 50 "
        "layers: unscaled it grows {relu_unscaled:.0e} times, scaled in the pre-activation form "
        "{relu_scaled} times.",
        "solutions/residual", "When it does not help",
    ),
)  # fmt: skip
