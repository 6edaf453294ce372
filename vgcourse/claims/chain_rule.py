"""Claims on the product of factors that the error signal goes through."""

import jax.numpy as jnp
import numpy as np

from vgcourse import chain_rule as page
from vgcourse import depth
from vgcourse.claims.claim import Claim, Numbers
from vgcourse.claims.programs import (
    final_accuracy,
    first_over_last,
    ratio,
    seeds,
    trained,
)
from vgkit import data, grads, nets


def _with_depth() -> Numbers:
    """What is left after 50 layers, and how much more than a constant factor would leave.

    The factor is that of the first 10 layers, which the signal crosses 9 times; of 50 it is 49.
    """
    numbers = {}
    for name in depth.PAIRS:
        few, many = np.asarray(depth.shares_of(seeds(), jnp.array([10, 50]), name)).T
        numbers |= {f"{name}_ratio": many, f"{name}_excess": many / few ** (49 / 9)}
    return numbers


def _which_layers() -> Numbers:
    run = trained("sigmoid", "glorot_normal", 8, 0.1)
    return {"signal": run.ratio, "moved": first_over_last(run.moved)}


def _saturate_one() -> Numbers:
    return page.saturate_one(seeds())


def _product() -> Numbers:
    x, largest = data.digits().x_train[0], []
    for key in seeds():
        net = nets.mlp(key, (64, 64, 64, 10), "tanh", init="he_normal")
        largest.append(np.linalg.norm(grads.jacobians(net, x)[1], 2))
    return {"product": 0.1 * 0.1 * 0.1 * 0.1, "largest_factor": largest}


def _bound() -> Numbers:
    bound = 0.25**9
    return {
        "norm_1": ratio("sigmoid", "orthogonal", 10) / bound,
        "norm_8": ratio("sigmoid", "orthogonal", 10, gain=8.0) / bound,
    }


def _shallow() -> Numbers:
    ratios = {f"ratio_{layers}": ratio("sigmoid", "glorot_normal", layers) for layers in (2, 4, 10)}
    return ratios | {
        f"accuracy_{layers}": final_accuracy("sigmoid, Glorot", layers) for layers in (1, 2, 10)
    }


CLAIMS = (
    Claim(
        "C01", ("D0",),
        "The gradient of the loss decays exponentially with depth.",
        "holds under conditions",
        "It depends on the pair of activation and initialiser: sigmoid nets lose the same factor "
        "at every layer, tanh with Glorot only a power of the depth, ReLU with He nothing.",
        _with_depth,
        lambda e: e["sigmoid_ratio"].largest < 1e-25 and 0.1 < e["sigmoid_excess"].least
        and e["sigmoid_excess"].largest < 10 < e["tanh_excess"].least
        and 0.01 < e["tanh_ratio"].least and e["tanh_ratio"].largest < 0.3
        and 0.3 < e["relu_ratio"].least and e["relu_ratio"].largest < 5
        and 0.05 < e["relu_excess"].median < 20,
        "Signal left after 50 layers: sigmoid {sigmoid_ratio}, tanh {tanh_ratio}, ReLU "
        "{relu_ratio}; over what the factor of the first 10 layers, repeated, would leave: sigmoid "
        "{sigmoid_excess}, tanh {tanh_excess}, ReLU {relu_excess}.",
        "depth", "Exponential or not?",
    ),
    Claim(
        "C02", ("D0",),
        "It is the deeper layers that become hard to train.",
        "false",
        "As worded it is the wrong way round: the layers nearest the input starve, and those "
        "nearest the output learn.",
        _which_layers,
        lambda e: e["signal"].largest < 1e-3 and e["moved"].largest < 1e-2,
        "In a sigmoid net of 8 layers the first gets {signal:.0e} of the last one's error signal, "
        "and moves {moved:.0e} times as far in 300 steps.",
        "detection", "Sign 5: the weights stand still",
    ),
    Claim(
        "C09", ("D0",),
        "One tiny local slope kills the gradient through that unit, to its weights and back to the "
        "data.",
        "holds",
        "It holds for that unit; the other units of its layer stay open.",
        _saturate_one,
        lambda e: e["unit"].largest < 1e-10 and e["others"].least > 0.5
        and e["others"].largest < 2 and e["layer_below"].least > 0.5
        and e["layer_below"].largest < 2,
        "With one of 32 sigmoid units saturated, the gradient of its weights falls to {unit:.0e} "
        "of what it was; those of its neighbours are at {others} times, the error signal of the "
        "layer below at {layer_below} times.",
        "chain-rule", "From one neuron to a layer",
    ),
    Claim(
        "C10", ("D4",),
        "0.1 x 0.1 x 0.1 x 0.1 = 0.0001: factors below one, multiplied, go to zero.",
        "holds",
        "A layer's factor is slope times weight, though, and can exceed one.",
        _product,
        lambda e: abs(e["product"].median / 1e-4 - 1) < 1e-15 * 4 and e["largest_factor"].least > 1,
        "The product is {product:.4f}; the largest factor of a tanh layer with He initialisation "
        "is {largest_factor:.2f}.",
        "chain-rule", "A longer chain",
    ),
    Claim(
        "C11", ("D1",),
        "Because the slope is below one, the product shrinks exponentially going backward.",
        "holds under conditions",
        "The bound (1/4)^L holds only where the weight matrices have norms of at most one.",
        _bound,
        lambda e: e["norm_1"].largest <= 1 and e["norm_8"].least > 100,
        "Sigmoid, 10 layers, signal at layer 1 over that at layer 10, in units of (1/4)^9: "
        "{norm_1} with orthogonal weights, of norm 1, and {norm_8:.1e} with 8 times these weights.",
        "chain-rule", "Bound and typical size",
    ),
    Claim(
        "C12", ("D3",),
        "It is not a major concern in shallow nets, more so with every layer.",
        "holds",
        "The factor is met once for every layer in between, and a shallow net has few.",
        _shallow,
        lambda e: e["ratio_2"].least > 0.1 > e["ratio_4"].largest > 1e-4 > e["ratio_10"].largest
        and e["accuracy_1"].least > 0.8 and e["accuracy_2"].least > 0.8
        and e["accuracy_10"].largest < 0.2,
        "Of a sigmoid net's signal {ratio_2} is left after 2 layers, {ratio_4:.1e} after 4, "
        "{ratio_10:.0e} after 10; test accuracy {accuracy_1:.0%} with 1 layer, {accuracy_2:.0%} "
        "with 2, {accuracy_10:.0%} with 10.",
        "solutions/fewer-layers", "Before and after",
    ),
)  # fmt: skip
