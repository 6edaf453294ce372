"""Eight traps that most tools and texts fall into."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from vgcourse.claims.claim import Claim, Evidence, over, say
from vgcourse.claims.programs import BATCH, draw, league, share, signals, trained
from vgkit import activations, data, grads, nets, train


def _ratio() -> Evidence:
    run = signals("tanh", "normal", 30, std=(3 * 64) ** -0.5)
    return {
        "weights": over(run.weight_gradient[:, 0] / run.weight_gradient[:, 29]),
        "signal": over(run.error_signal[:, 0] / run.error_signal[:, 29]),
    }


def _plateau() -> Evidence:
    digits = data.digits()
    few = (digits.x_train[:128], digits.y_train[:128], digits.x_test, digits.y_test)
    start = draw(8, 64, "glorot_normal")
    rule = optax.sgd(0.3)
    run = train.trials(
        start, few, rule, 300, 128, jax.random.key(12), activation="sigmoid", every=300
    )

    @jax.jit
    @jax.vmap
    def profiles(net: nets.Stack) -> grads.Profile:
        return grads.profile(net, *few[:2], "cross_entropy", jax.nn.sigmoid, 8)

    profile = profiles(run.net)
    shares = np.bincount(few[1]) / 128
    entropy = -np.sum(shares * np.log(shares))
    return {
        "weights": over(profile.weight_gradient[:, 0] / profile.weight_gradient[:, 7]),
        "signal": over(profile.error_signal[:, 0] / profile.error_signal[:, 7]),
        "loss_from_guessing": over(np.abs(run.train_loss[:, -1] - entropy)),
    }


def _thresholds() -> Evidence:
    found = {}
    for name, pair, scale in (
        ("vanished", ("sigmoid", "glorot_normal"), 1e6),
        ("healthy", ("tanh", "glorot_normal"), 1e-6),
    ):
        run = signals(*pair, 10, loss_scale=scale)
        found[f"{name}_gradient"] = over(run.weight_gradient[:, 0])
        found[f"{name}_kept"] = over(run.error_signal[:, 0] / run.error_signal[:, 9])
    return found


def _adam() -> Evidence:
    run = trained("sigmoid", "glorot_normal", 8, 0.003, adam=True)
    return {
        "moved": over(run.moved[:, 0] / run.moved[:, 7]),
        "signal": over(run.before.error_signal[:, 0] / run.before.error_signal[:, 7]),
    }


def _zeros() -> Evidence:
    digits = data.digits()
    x, y = digits.x_train[:BATCH], digits.y_train[:BATCH]
    sigmoid, relu = draw(20, 64, "glorot_normal"), draw(20, 64, "he_normal")
    off = relu._replace(hidden=relu.hidden._replace(b=relu.hidden.b.at[:, 10].add(-100.0)))
    found = {}
    for name, net, activation in (("underflow", sigmoid, 0), ("no_path", off, 1)):
        zeros, nothing = _compare(net, x, y, activation)
        found |= {f"{name}_zeros": over(zeros), f"{name}_in_float64": over(nothing)}
    return found


@jax.jit
def _compare(net: nets.Stack, x: Array, y: Array, activation: Array) -> tuple[Array, Array]:
    """Share of layer 1's weight gradient that is 0 in float16, and that is 0 in float64 too."""
    phi = activations.by_index(activation, ("sigmoid", "relu"))

    def one(net):
        layer = grads.format_profile("float16", net, x, y, "cross_entropy", phi, 20).weight_gradient
        none = layer.no_path[0]
        return jnp.where(none < 1, layer.lost[0], 0) * (1 - none) + none, none

    return jax.vmap(one)(net)


def _off_on_a_batch() -> Evidence:
    x = data.digits().x_train
    dead, woken = _off(draw(5, 64, "he_normal"), x[:BATCH], x[BATCH:])
    return {"dead_on_batch": over(dead), "woken": over(woken)}


@jax.jit
def _off(net: nets.Stack, x: Array, other: Array) -> tuple[Array, Array]:
    """Share of layer 5's units that are off for all of x, and of these, that others switch on."""

    def alive(net, x):
        u = jax.vmap(lambda x: nets.stack_trace(net, x, jax.nn.relu)[0])(x)
        return jnp.any(u > 0, axis=0)

    def one(net):
        dead = ~alive(net, x)
        return jnp.mean(dead), jnp.sum(dead & alive(net, other)) / jnp.sum(dead)

    return jax.vmap(one)(net)


def _collinear() -> Evidence:
    x, y = (part[:BATCH] for part in data.digits()[:2])
    kept, first, last = _angles(draw(100, 128, "he_normal"), jnp.pad(x, ((0, 0), (0, 64))), y)
    return {"kept": over(kept), "cosine_1": over(first), "cosine_100": over(last)}


@jax.jit
def _angles(net: nets.Stack, x: Array, y: Array) -> tuple[Array, Array, Array]:
    def cosine(h):
        return grads.correlation(h)

    def one(net):
        hidden = partial(nets.stack_trace, net, phi=jax.nn.relu)
        signal = grads.profile(net, x, y, "cross_entropy", jax.nn.relu, 100).error_signal
        layers = [jax.vmap(lambda x, n=n: hidden(x, depth=n)[0])(x) for n in (1, 100)]
        return signal[0] / signal[-1], *map(cosine, layers)

    return jax.vmap(one)(net)


def _hidden() -> Evidence:
    rezero = signals("relu", "he_normal", 10, skip="ReZero")
    return {
        "adam": over(league("ReLU, Glorot, Adam", 50)["accuracy"][:, -1]),
        "norm": over(league("ReLU, batch norm", 50)["accuracy"][:, -1]),
        "norm_kept": over(share("relu", "he_normal", 50, norm="batch")),
        "ratio": over(league("ReLU, He", 50)["accuracy"][:, -1]),
        "ratio_kept": over(share("relu", "he_normal", 50)),
        "healthy_gradient": over(rezero.weight_gradient[:, 0]),
        "healthy": over(league("residual, ReZero", 10)["accuracy"][:, -1]),
    }


CLAIMS = (
    Claim(
        "T1", (),
        "|dW_first| / |dW_last| looks healthy in zero-mean nets whose signal has vanished.",
        "holds",
        "The weight gradient is the error signal, which shrinks backward, times the layer's input, "
        "which shrinks forward just as fast.",
        _ratio,
        lambda e: 0.1 < e["weights"].least and e["weights"].largest < 10
        and e["signal"].largest < 1e-5,
        lambda e: "tanh, 30 layers, small weights: layer 1 has "
        f"{say(e['weights'])} times the weight gradient of layer 30, and "
        f"{say(e['signal'], '.0e')} of its error signal.",
        "depth", "A surprise",
    ),
    Claim(
        "T2", (),
        "A sigmoid net that sits on its plateau has flat weight gradients too.",
        "holds",
        "Where the output has learnt the mean, the examples' gradients cancel in every layer.",
        _plateau,
        lambda e: 0.02 < e["weights"].least and e["weights"].largest < 50
        and e["signal"].largest < 1e-3 and e["loss_from_guessing"].largest < 1e-3,
        lambda e: "After 300 steps the loss of a sigmoid net of 8 layers is within "
        f"{say(e['loss_from_guessing'], '.0e')} of that of guessing; layer 1 has "
        f"{say(e['weights'])} times the weight gradient of layer 8, and "
        f"{say(e['signal'], '.0e')} of its error signal.",
        "signs", "Eight traps",
    ),
    Claim(
        "T3", (),
        "Absolute thresholds fail both ways: by the scale of the loss, of the inputs, and in nets "
        "that have converged.",
        "holds",
        "A gradient has units, those of the loss over those of the weights; a ratio of two has "
        "none.",
        _thresholds,
        lambda e: e["vanished_gradient"].least > 1e-4 and e["vanished_kept"].largest < 1e-4
        and e["healthy_gradient"].largest < 1e-6 and e["healthy_kept"].least > 0.1,
        lambda e: "With the loss in millionths a sigmoid net that keeps "
        f"{say(e['vanished_kept'], '.0e')} of its signal has a gradient of "
        f"{say(e['vanished_gradient'], '.0e')} at layer 1; with the loss in millions a tanh net "
        f"that keeps {say(e['healthy_kept'])} has {say(e['healthy_gradient'], '.0e')}.",
        "signs", "Eight traps",
    ),
    Claim(
        "T4", (),
        "Under Adam, the movement of weights is no evidence.",
        "holds",
        "Adam divides each gradient by its own size.",
        _adam,
        lambda e: e["moved"].least > 0.1 and e["signal"].largest < 1e-3,
        lambda e: "In a sigmoid net of 8 layers under Adam the first one moves "
        f"{say(e['moved'])} times as far as the last, on {say(e['signal'], '.0e')} of its signal.",
        "solutions-rescaling", "When it does not help",
    ),
    Claim(
        "T5", (),
        '"0.0" has two meanings: underflow, which depends on the number format, or no path.',
        "holds",
        "Only a wider format tells which of the two it is.",
        _zeros,
        lambda e: e["underflow_zeros"].least > 0.99 and e["underflow_in_float64"].largest < 0.01
        and e["no_path_zeros"].least == 1 and e["no_path_in_float64"].least == 1,
        lambda e: "Layer 1 of 20, share of its gradient that is 0 in float16 and in float64: "
        f"{say(e['underflow_zeros'], '.0%')} and {say(e['underflow_in_float64'], '.0%')} in a "
        f"sigmoid net, {say(e['no_path_zeros'], '.0%')} and {say(e['no_path_in_float64'], '.0%')} "
        "in a ReLU net with a layer switched off.",
        "formats", "Small or zero, entry by entry",
    ),
    Claim(
        "T6", (),
        "Dead on this batch is not dead.",
        "holds",
        "A batch shows a unit a few examples, which ReLU layers make look alike; others may switch "
        "it on.",
        _off_on_a_batch,
        lambda e: e["dead_on_batch"].least > 0.02 and e["dead_on_batch"].median > 0.1
        and e["woken"].least > 0.3,
        lambda e: f"Of the units of layer 5, {say(e['dead_on_batch'], '.0%')} are off for all of "
        f"32 digits; {say(e['woken'], '.0%')} of these are switched on by one of 1405 others.",
        "dead-units", "Off, and dead on a batch",
    ),
    Claim(
        "T7", (),
        "Gradient norms are necessary, not sufficient: a ReLU net of 100 layers with He "
        "initialisation keeps its norms while all inputs become collinear.",
        "holds",
        "Each ReLU layer brings any two examples nearer, until the last can't tell them apart.",
        _collinear,
        lambda e: 0.1 < e["kept"].median < 10 and e["cosine_1"].largest < 0.8
        and e["cosine_100"].least > 0.98,
        lambda e: f"Layer 1 has {say(e['kept'])} times the error signal of layer 100; the mean "
        f"cosine between two digits is {say(e['cosine_1'])} after layer 1 and "
        f"{say(e['cosine_100'], '.4f')} after layer 100.",
        "signs", "Eight traps",
    ),
    Claim(
        "T8", (),
        "Adam, batch normalisation or a good ratio can hide a net that does not learn; and a "
        "healthy net can have tiny gradients.",
        "holds",
        "Each mends a symptom; whether a net learns, its accuracy says.",
        _hidden,
        lambda e: all(e[name].median < 0.4 for name in ("adam", "norm", "ratio"))
        and e["norm_kept"].least > 1 and e["ratio_kept"].least > 0.05
        and e["healthy_gradient"].largest == 0 and e["healthy"].least > 0.8,
        lambda e: "Of 50 ReLU layers, test accuracy after 10 epochs: "
        f"{say(e['adam'], '.0%')} with Glorot and Adam; {say(e['norm'], '.0%')} with batch "
        f"normalisation, where {say(e['norm_kept'], '.0e')} times the signal arrives; "
        f"{say(e['ratio'], '.0%')} with He initialisation, where {say(e['ratio_kept'])} times "
        "arrives. A ReZero net starts with weight gradients of "
        f"{say(e['healthy_gradient'], '.0f')} and reads {say(e['healthy'], '.0%')}.",
        "signs", "Eight traps",
    ),
)  # fmt: skip
