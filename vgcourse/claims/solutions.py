"""Claims on activations, initialisation, normalisation and skips as remedies."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from vgcourse import results
from vgcourse.claims.claim import Claim, Evidence, over, say
from vgcourse.claims.programs import draw, league, share
from vgkit import activations, data, grads, nets

GROUPS = 5


def _relu() -> Evidence:
    def factor(init: str) -> np.ndarray:
        return (share("relu", init, 50) / share("relu", init, 10)) ** (1 / 40)

    return {
        "slope_below": over(activations.slope("relu", -1.0)),
        "slope_above": over(activations.slope("relu", 1.0)),
        "glorot": over(factor("glorot_normal")),
        "he": over(factor("he_normal")),
    }


def _variants() -> Evidence:
    return {name: over(activations.slope(name, -1.0)) for name in ("relu", "leaky_relu", "prelu")}


def _dying() -> Evidence:
    found = {name: over(_born_dead(name)) for name in ("relu", "leaky_relu")}
    slopes = (activations.slope(name, -3.0) for name in found)
    return found | {f"{name}_slope": over(s) for name, s in zip(found, slopes, strict=True)}


@jax.jit
def _weight_signals(net: nets.Stack, leaky: Array) -> Array:
    """Size of layer 1's weight gradient of narrow nets of one input, over both of its signs."""
    phi = activations.by_index(leaky, ("relu", "leaky_relu"))

    def output(w, sign):
        x = jnp.array([1.0, 0.0, 0.0]) * sign
        stacked = net._replace(hidden=net.hidden._replace(w=w))
        return jnp.sum(stacked.output.w @ nets.stack_trace(stacked, x, phi)[0])

    gradient = jax.vmap(jax.grad(output), (None, 0))(net.hidden.w, jnp.array([1.0, -1.0]))
    return jnp.max(jnp.abs(gradient[:, 0]))


def _born_dead(name: str) -> np.ndarray:
    """Share of nets of 10 layers of 3 units whose first layer has no gradient, in five groups."""
    keys = jax.random.split(jax.random.key(8), GROUPS * 400)
    drawn = jax.jit(jax.vmap(lambda key: nets.mlp_stack(key, 10, 3, 1, "he_normal")))(keys)
    sizes = jax.vmap(_weight_signals, (0, None))(drawn, jnp.asarray(name == "leaky_relu", int))
    return np.mean(np.asarray(sizes).reshape(GROUPS, -1) == 0, axis=1)


INITS = {
    f"{activation}_{init}": (activation, f"{init}_normal")
    for activation, init in (
        ("sigmoid", "glorot"), ("sigmoid", "he"), ("tanh", "glorot"), ("relu", "glorot"),
        ("relu", "he"), ("gelu", "he"), ("silu", "he"),
    )
}  # fmt: skip


def _initialisation() -> Evidence:
    return {name: over(share(*pair, 50)) for name, pair in INITS.items()}


def _batch_norm() -> Evidence:
    def bare_and_normalised(depth: int) -> dict:
        pairs = {"bare": "sigmoid, Glorot", "normalised": "sigmoid, batch norm"}
        return {k: over(league(name, depth)["accuracy"][:, -1]) for k, name in pairs.items()}

    relu = [share("relu", "he_normal", depth, norm="batch") for depth in (10, 50)]
    return {
        "sigmoid_bare": over(share("sigmoid", "glorot_normal", 50)),
        "sigmoid_normalised": over(share("sigmoid", "glorot_normal", 50, norm="batch")),
        "relu_factor": over((relu[1] / relu[0]) ** (1 / 40)),
    } | bare_and_normalised(30)


def _covariate_shift() -> Evidence:
    digits, found = data.digits(), {}
    x, y = digits.x_train[:32], digits.y_train[:32]
    bare = draw(6, 64, "glorot_normal")
    for name, net in (("bare", bare), ("normalised", nets.equip(bare, norm="batch"))):
        for speed, rate in (("slow", 0.03), ("fast", 0.3)):
            drift, loss = _drift(net, x, y, rate)
            found |= {f"{name}_{speed}_drift": over(drift), f"{name}_{speed}_loss": over(loss)}
    return found


@jax.jit
def _drift(net: nets.Stack, x: Array, y: Array, rate: Array) -> tuple[Array, Array]:
    """How much a layer's gradient changes when the layers before it take their step.

    The measure is that of Santurkar et al. 2018: the distance of the two gradients, here relative
    to the first, averaged over the layers after the first and 40 steps; and the last loss.
    """

    def mean_loss(net):
        return jnp.mean(jax.vmap(grads.cross_entropy)(nets.forward_batch(net, x, "tanh"), y))

    def step(net, _):
        gradient = jax.grad(mean_loss)(net)
        moved = jax.tree.map(lambda w, g: w - rate * g, net, gradient)

        def drift(number):
            def before(new, old):
                earlier = jnp.arange(len(old)) < number
                return jnp.where(earlier.reshape(-1, *[1] * (old.ndim - 1)), new, old)

            mixed = net._replace(hidden=jax.tree.map(before, moved.hidden, net.hidden))
            old, new = gradient.hidden.w[number], jax.grad(mean_loss)(mixed).hidden.w[number]
            return grads.l2(new - old) / grads.l2(old)

        return moved, jnp.mean(jax.vmap(drift)(jnp.arange(1, 6)))

    def one(net):
        end, drifts = jax.lax.scan(step, net, None, length=40)
        return jnp.mean(drifts), mean_loss(end)

    return jax.vmap(one)(net)


def _skips() -> Evidence:
    def convolutional(name: str) -> np.ndarray:
        signal = np.array(results.load("convolutions")["runs"][name]["16"]["error_signal"])
        return signal[:, 0] / signal[:, -1]

    return {
        "plain": over(share("sigmoid", "glorot_normal", 50)),
        "residual": over(share("sigmoid", "glorot_normal", 50, skip="unscaled")),
        "convolutional_plain": over(convolutional("sigmoid, plain")),
        "convolutional_residual": over(convolutional("sigmoid, residual")),
        "relu_unscaled": over(share("relu", "he_normal", 50, skip="unscaled")),
        "relu_scaled": over(share("relu", "he_normal", 50, skip="pre-activation, 1/√L")),
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
        lambda e: f"Slopes {say(e['slope_below'], '.0f')} and {say(e['slope_above'], '.0f')}; "
        f"factor a layer {say(e['glorot'], '.3f')} with Glorot, {say(e['he'], '.3f')} with He "
        "initialisation.",
        "solutions-relu", "When it does not help",
    ),
    Claim(
        "C23", ("D1",),
        "ReLU and its variants (leaky, parametric) have slopes 0 or 1 only.",
        "false",
        "Of the variants it is false: the negative slope is alpha.",
        _variants,
        lambda e: e["relu"].median == 0
        and all(0 < e[name].median < 1 for name in ("leaky_relu", "prelu")),
        lambda e: f"At z = -1 the slope is {say(e['relu'], '.0f')} for ReLU, "
        f"{say(e['leaky_relu'])} for leaky ReLU and {say(e['prelu'])} for PReLU at its start.",
        "solutions-leaky-relu", "The equation and ten lines of code",
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
        lambda e: "Of nets of 10 layers of 3 units, "
        f"{say(e['relu'], '.0%')} are born dead with ReLU and {say(e['leaky_relu'], '.0%')} with "
        f"leaky ReLU; at z = -3 the slopes are {say(e['relu_slope'], '.0f')} and "
        f"{say(e['leaky_relu_slope'])}.",
        "dead-units", "Born dead",
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
        lambda e: "Signal left at layer 1 of 50: "
        + ", ".join(f"{activations.ACTIVATIONS[activation].label} with {init[:-7].capitalize()} "
                    f"{say(e[name], '.0e')}" for name, (activation, init) in INITS.items()) + ".",
        "solutions-initialisation", "When it does not help",
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
        lambda e: "Sigmoid, 50 layers: "
        f"{say(e['sigmoid_bare'], '.0e')} of the signal is left without it and "
        f"{say(e['sigmoid_normalised'])} with it; 30 layers read {say(e['bare'], '.0%')} and "
        f"{say(e['normalised'], '.0%')} of the digits. ReLU's signal grows by "
        f"{say(e['relu_factor'], '.2f')} a layer on its way back.",
        "solutions-batch-normalisation", "When it does not help",
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
        lambda e: "tanh, 6 layers, 40 steps, without and with normalisation: "
        + "; ".join(f"at a rate of {rate} a layer's gradient changes by "
                    f"{say(e[f'bare_{speed}_drift'])} and {say(e[f'normalised_{speed}_drift'])}, "
                    f"the loss ends at {say(e[f'bare_{speed}_loss'])} and "
                    f"{say(e[f'normalised_{speed}_loss'])}"
                    for speed, rate in (("slow", 0.03), ("fast", 0.3))) + ".",
        "solutions-batch-normalisation", "When it does not help",
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
        lambda e: "Sigmoid, 50 layers: "
        f"{say(e['plain'], '.0e')} of the signal is left, {say(e['residual'])} with skips; in 16 "
        f"convolutional layers {say(e['convolutional_plain'], '.0e')} and "
        f"{say(e['convolutional_residual'])}. ReLU, 50 layers: unscaled it grows "
        f"{say(e['relu_unscaled'], '.0e')} times, scaled in the pre-activation form "
        f"{say(e['relu_scaled'])} times.",
        "solutions-residual", "When it does not help",
    ),
)  # fmt: skip
