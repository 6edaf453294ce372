"""Eight traps that most tools and texts fall into."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vgcourse import dead_units, depth
from vgcourse.claims.claim import Claim, Numbers
from vgcourse.claims.programs import (
    BATCH,
    draw,
    final_accuracy,
    first_digits,
    first_layer_error,
    first_over_last,
    norms,
    norms_at_start,
    ratio,
    seeds,
    trained,
)
from vgkit import data, grads, nets, train


def _zero_mean() -> Numbers:
    start = depth.looks_healthy_of(seeds())
    return {
        "weights": first_over_last(start.weights),
        "signal": first_over_last(start.signal),
    }


def _plateau() -> Numbers:
    x, y = (part[:128] for part in data.digits()[:2])
    run = train.fit(
        draw("sigmoid", 8, 64, "glorot_normal"), (x, y), optax.sgd(0.3), key=jax.random.key(12),
        epochs=300, batch=128, every=300, layers=False, seeds=True,
    )  # fmt: skip
    end = jax.jit(jax.vmap(lambda net: norms(net, x, y)))(run.net)
    shares = np.bincount(y) / len(y)
    entropy = -np.sum(shares * np.log(shares))
    return {
        "weights": first_over_last(end.weight_gradients),
        "signal": first_over_last(end.error_signals),
        "loss_from_guessing": np.abs(run.history.train_loss[:, -1] - entropy),
    }


def _thresholds() -> Numbers:
    numbers = {}
    for name, activation, scale in (("vanished", "sigmoid", 1e6), ("healthy", "tanh", 1e-6)):
        start = norms_at_start(activation, "glorot_normal", 10, loss_scale=scale)
        numbers[f"{name}_gradient"] = start.weight_gradients[:, 0]
        numbers[f"{name}_ratio"] = first_over_last(start.error_signals)
    return numbers


def _adam() -> Numbers:
    run = trained("sigmoid", "glorot_normal", 8, 0.003, adam=True)
    return {"moved": first_over_last(run.moved), "signal": run.ratio}


def _zeros() -> Numbers:
    """Share of layer 1's weight gradient that is 0 in float16, and that is 0 in float64 too."""
    relu = draw("relu", 20, 64, "he_normal")
    off = relu.replace(layers=relu.layers.replace(b=relu.layers.b.at[:, 10].add(-100.0)))
    numbers = {}
    for name, networks in (
        ("underflow", draw("sigmoid", 20, 64, "glorot_normal")), ("no_path", off)
    ):  # fmt: skip
        error = first_layer_error(networks, *first_digits(), "float16")
        lost = jnp.where(error.no_path < 1, error.lost, 0) * (1 - error.no_path)
        numbers |= {f"{name}_zeros": lost + error.no_path, f"{name}_in_float64": error.no_path}
    return numbers


@jax.jit
def _off_on_a_batch() -> Numbers:
    """Share of layer 5's units that are off for a batch, and of these, that others switch on."""
    x = data.digits().x_train

    def one(net: nets.Net) -> Numbers:
        dead, of_others = (dead_units.dead_on(net, part)[-1] for part in (x[:BATCH], x[BATCH:]))
        revived = jnp.sum(dead & ~of_others) / jnp.sum(dead)
        return {"dead_on_batch": jnp.mean(dead), "revived": revived}

    return jax.vmap(one)(draw("relu", 5, 64, "he_normal"))


@jax.jit
def _collinear() -> Numbers:
    x, y = first_digits()
    x = jnp.pad(x, ((0, 0), (0, 64)))

    def one(net: nets.Net) -> Numbers:
        hidden = jax.vmap(lambda x: nets.intermediates(net, x)[0].h)(x)
        return {
            "ratio": grads.signals(net, x, y).ratio,
            "cosine_1": grads.mean_cosine(hidden[:, 0]),
            "cosine_100": grads.mean_cosine(hidden[:, -1]),
        }

    return jax.vmap(one)(draw("relu", 100, 128, "he_normal"))


def _hidden() -> Numbers:
    rezero = norms_at_start("relu", "he_normal", 10, skip="ReZero")
    return {
        "adam": final_accuracy("ReLU, Glorot, Adam", 50),
        "norm": final_accuracy("ReLU, batch norm", 50),
        "norm_ratio": ratio("relu", "he_normal", 50, norm="batch"),
        "he": final_accuracy("ReLU, He", 50),
        "he_ratio": ratio("relu", "he_normal", 50),
        "healthy_gradient": rezero.weight_gradients[:, 0],
        "healthy": final_accuracy("residual, ReZero", 10),
    }


CLAIMS = (
    Claim(
        "T1", (),
        "|dW_first| / |dW_last| looks healthy in zero-mean nets whose signal has vanished.",
        "holds",
        "The weight gradient is the error signal, which shrinks backward, times the layer's input, "
        "which shrinks forward just as fast.",
        _zero_mean,
        lambda e: 0.1 < e["weights"].least and e["weights"].largest < 10
        and e["signal"].largest < 1e-5,
        "tanh, 30 layers, small weights: layer 1 has {weights} times the weight gradient of layer "
        "30, and {signal:.0e} of its error signal.",
        "depth", "A net that looks healthy",
    ),
    Claim(
        "T2", (),
        "A sigmoid net that sits on its plateau has flat weight gradients too.",
        "holds",
        "Where the output has learnt the mean, the examples' gradients cancel in every layer.",
        _plateau,
        lambda e: 0.02 < e["weights"].least and e["weights"].largest < 50
        and e["signal"].largest < 1e-3 and e["loss_from_guessing"].largest < 1e-3,
        "After 300 steps the loss of a sigmoid net of 8 layers is within {loss_from_guessing:.0e} "
        "of that of guessing; layer 1 has {weights} times the weight gradient of layer 8, and "
        "{signal:.0e} of its error signal.",
        "detection/signs", "Eight traps",
    ),
    Claim(
        "T3", (),
        "Absolute thresholds fail both ways: by the scale of the loss, of the inputs, and in nets "
        "that have converged.",
        "holds",
        "A gradient has units, those of the loss over those of the weights; a ratio of two has "
        "none.",
        _thresholds,
        lambda e: e["vanished_gradient"].least > 1e-4 and e["vanished_ratio"].largest < 1e-4
        and e["healthy_gradient"].largest < 1e-6 and e["healthy_ratio"].least > 0.1,
        "With the loss in millionths a sigmoid net that keeps {vanished_ratio:.0e} of its signal "
        "has a gradient of {vanished_gradient:.0e} at layer 1; with the loss in millions a tanh "
        "net that keeps {healthy_ratio} has {healthy_gradient:.0e}.",
        "detection/signs", "Eight traps",
    ),
    Claim(
        "T4", (),
        "Under Adam, the movement of weights is no evidence.",
        "holds",
        "Adam divides each gradient by its own size.",
        _adam,
        lambda e: e["moved"].least > 0.1 and e["signal"].largest < 1e-3,
        "In a sigmoid net of 8 layers under Adam the first one moves {moved} times as far as the "
        "last, on {signal:.0e} of its signal.",
        "solutions/rescaling", "When it does not help",
    ),
    Claim(
        "T5", (),
        '"0.0" has two meanings: underflow, which depends on the number format, or no path.',
        "holds",
        "Only a wider format tells which of the two it is.",
        _zeros,
        lambda e: e["underflow_zeros"].least > 0.99 and e["underflow_in_float64"].largest < 0.01
        and e["no_path_zeros"].least == 1 and e["no_path_in_float64"].least == 1,
        "Layer 1 of 20, share of its gradient that is 0 in float16 and in float64: "
        "{underflow_zeros:.0%} and {underflow_in_float64:.0%} in a sigmoid net, "
        "{no_path_zeros:.0%} and {no_path_in_float64:.0%} in a ReLU net with a layer switched off.",
        "depth", "Small, or zero?",
    ),
    Claim(
        "T6", (),
        "Dead on this batch is not dead.",
        "holds",
        "A batch shows a unit a few examples, which ReLU layers make look alike; others may switch "
        "it on.",
        _off_on_a_batch,
        lambda e: e["dead_on_batch"].least > 0.02 and e["dead_on_batch"].median > 0.1
        and e["revived"].least > 0.3,
        "Of the units of layer 5, {dead_on_batch:.0%} are off for all of 32 digits; {revived:.0%} "
        "of these are switched on by one of 1405 others.",
        "causes/dead-units", "Off, and dead on a batch",
    ),
    Claim(
        "T7", (),
        "Gradient norms are necessary, not sufficient: a ReLU net of 100 layers with He "
        "initialisation keeps its norms while all inputs become collinear.",
        "holds",
        "Each ReLU layer brings any two examples nearer, until the last can't tell them apart.",
        _collinear,
        lambda e: 0.1 < e["ratio"].median < 10 and e["cosine_1"].largest < 0.8
        and e["cosine_100"].least > 0.98,
        "Layer 1 has {ratio} times the error signal of layer 100; the mean cosine between two "
        "digits is {cosine_1} after layer 1 and {cosine_100:.4f} after layer 100.",
        "detection/signs", "Eight traps",
    ),
    Claim(
        "T8", (),
        "Adam, batch normalisation or a good ratio can hide a net that does not learn; and a "
        "healthy net can have tiny gradients.",
        "holds",
        "Each mends a symptom; whether a net learns, its accuracy says.",
        _hidden,
        lambda e: all(e[name].median < 0.4 for name in ("adam", "norm", "he"))
        and e["norm_ratio"].least > 1 and e["he_ratio"].least > 0.05
        and e["healthy_gradient"].largest == 0 and e["healthy"].least > 0.8,
        "Of 50 ReLU layers, test accuracy after 10 epochs: {adam:.0%} with Glorot and Adam; "
        "{norm:.0%} with batch normalisation, where {norm_ratio:.0e} times the signal arrives; "
        "{he:.0%} with He initialisation, where {he_ratio} times arrives. A ReZero net starts with "
        "weight gradients of {healthy_gradient:.0f} and reads {healthy:.0%}.",
        "detection/signs", "Eight traps",
    ),
)  # fmt: skip
