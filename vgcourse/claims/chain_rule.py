"""Claims on the product of factors that the error signal goes through."""

from functools import partial

import jax
from jaxtyping import Array

from vgcourse.claims.claim import Claim, Evidence, over, say
from vgcourse.claims.programs import BATCH, league, seeds, share, trained
from vgkit import activations, data, grads, nets

PAIRS = {"sigmoid": "glorot_normal", "tanh": "glorot_normal", "relu": "he_normal"}


def _label(name: str) -> str:
    return activations.ACTIVATIONS[name].label


def _with_depth() -> Evidence:
    """What is left after 50 layers, and how much more than a constant factor would leave.

    The factor is that of the first 10 layers, which the signal crosses 9 times; of 50 it is 49.
    """
    found = {}
    for name, init in PAIRS.items():
        few, many = share(name, init, 10), share(name, init, 50)
        found |= {f"{name}_kept": over(many), f"{name}_ahead": over(many / few ** (49 / 9))}
    return found


def _which_layers() -> Evidence:
    run = trained("sigmoid", "glorot_normal", 8, 0.1)
    signal = run.before.error_signal
    return {
        "signal": over(signal[:, 0] / signal[:, 7]),
        "moved": over(run.moved[:, 0] / run.moved[:, 7]),
    }


def _one_unit() -> Evidence:
    digits = data.digits()
    x, y = digits.x_train[:BATCH], digits.y_train[:BATCH]
    return {name: over(values) for name, values in _saturate_one(x, y).items()}


@jax.jit
def _saturate_one(x: Array, y: Array) -> dict[str, Array]:
    """Gradients with unit 0 of layer 2 pushed to where the sigmoid is flat, over those without."""

    def one(key):
        net = nets.mlp(key, (64, 32, 32, 32, 10))
        stuck = [net[0], net[1]._replace(b=net[1].b.at[0].add(30.0)), *net[2:]]
        measure = partial(grads.weight_gradients, x=x, y=y, activation="sigmoid")
        signal = partial(grads.error_signals, x=x, y=y, activation="sigmoid")
        before, after = measure(net)[1].w, measure(stuck)[1].w
        reach = grads.rms(signal(stuck)[0]) / grads.rms(signal(net)[0])
        return {
            "unit": grads.rms(after[0]) / grads.rms(before[0]),
            "others": grads.rms(after[1:]) / grads.rms(before[1:]),
            "layer_below": reach,
        }

    return jax.vmap(one)(seeds())


def _product() -> Evidence:
    x = data.digits().x_train[0]
    largest = []
    for key in seeds():
        jacobian = grads.jacobians(nets.mlp(key, (64,) * 3 + (10,), "he_normal"), x, "tanh")[1]
        largest.append(float(grads.singular_values([jacobian])[0][0]))
    return {"product": over(0.1 * 0.1 * 0.1 * 0.1), "largest_factor": over(largest)}


def _bound() -> Evidence:
    bound = 0.25**9
    return {
        "norm_1": over(share("sigmoid", "orthogonal", 10) / bound),
        "norm_8": over(share("sigmoid", "orthogonal", 10, gain=8.0) / bound),
    }


def _shallow() -> Evidence:
    found = {f"kept_{n}": over(share("sigmoid", "glorot_normal", n)) for n in (2, 4, 10)}
    for depth in (1, 2, 10):
        accuracy = league("sigmoid, Glorot", depth)["accuracy"][:, -1]
        found[f"accuracy_{depth}"] = over(accuracy)
    return found


CLAIMS = (
    Claim(
        "C01", ("D0",),
        "The gradient of the loss decays exponentially with depth.",
        "holds under conditions",
        "It depends on the pair of activation and initialiser: sigmoid nets lose the same factor "
        "at every layer, tanh with Glorot only a power of the depth, ReLU with He nothing.",
        _with_depth,
        lambda e: e["sigmoid_kept"].largest < 1e-25 and 0.1 < e["sigmoid_ahead"].least
        and e["sigmoid_ahead"].largest < 10 < e["tanh_ahead"].least and 0.01 < e["tanh_kept"].least
        and e["tanh_kept"].largest < 0.3 < e["relu_kept"].least and e["relu_kept"].largest < 5
        and 0.05 < e["relu_ahead"].median < 20,
        lambda e: "Signal left after 50 layers: "
        + ", ".join(f"{_label(name)} {say(e[f'{name}_kept'])}" for name in PAIRS)
        + "; over what the factor of the first 10 layers, repeated, would leave: "
        + ", ".join(f"{_label(name)} {say(e[f'{name}_ahead'])}" for name in PAIRS) + ".",
        "depth", "How it goes with depth",
    ),
    Claim(
        "C02", ("D0",),
        "It is the deeper layers that become hard to train.",
        "false",
        "As worded it is the wrong way round: the layers nearest the input starve, and those "
        "nearest the output learn.",
        _which_layers,
        lambda e: e["signal"].largest < 1e-3 and e["moved"].largest < 1e-2,
        lambda e: "In a sigmoid net of 8 layers the first gets "
        f"{say(e['signal'], '.0e')} of the last one's error signal, and moves "
        f"{say(e['moved'], '.0e')} times as far in 300 steps.",
        "detection", "Sign 5: the weights stand still",
    ),
    Claim(
        "C09", ("D0",),
        "One tiny local slope kills the gradient through that unit, to its weights and back to the "
        "data.",
        "holds",
        "It holds for that unit; the other units of its layer stay open.",
        _one_unit,
        lambda e: e["unit"].largest < 1e-10 and e["others"].least > 0.5
        and e["others"].largest < 2 and e["layer_below"].least > 0.5
        and e["layer_below"].largest < 2,
        lambda e: "With one of 32 sigmoid units saturated, the gradient of its weights falls to "
        f"{say(e['unit'], '.0e')} of what it was; those of its neighbours are at "
        f"{say(e['others'])} times, the error signal of the layer below at "
        f"{say(e['layer_below'])} times.",
        "causes", "Squashing and saturation",
    ),
    Claim(
        "C10", ("D4",),
        "0.1 x 0.1 x 0.1 x 0.1 = 0.0001: factors below one, multiplied, go to zero.",
        "holds",
        "A layer's factor is slope times weight, though, and can exceed one.",
        _product,
        lambda e: abs(e["product"].median / 1e-4 - 1) < 1e-15 * 4 and e["largest_factor"].least > 1,
        lambda e: f"The product is {say(e['product'], '.4f')}; the largest factor of a tanh layer "
        f"with He initialisation is {say(e['largest_factor'], '.2f')}.",
        "chain-rule", "A chain of single neurons",
    ),
    Claim(
        "C11", ("D1",),
        "Because the slope is below one, the product shrinks exponentially going backward.",
        "holds under conditions",
        "The bound (1/4)^L holds only where the weight matrices have norms of at most one.",
        _bound,
        lambda e: e["norm_1"].largest <= 1 and e["norm_8"].least > 100,
        lambda e: "Sigmoid, 10 layers, signal at layer 1 over that at layer 10, in units of "
        f"(1/4)^9: {say(e['norm_1'])} with orthogonal weights, of norm 1, and "
        f"{say(e['norm_8'], '.1e')} with 8 times these weights.",
        "chain-rule", "Bound and typical size",
    ),
    Claim(
        "C12", ("D3",),
        "It is not a major concern in shallow nets, more so with every layer.",
        "holds",
        "The factor is met once for every layer in between, and a shallow net has few.",
        _shallow,
        lambda e: e["kept_2"].least > 0.1 > e["kept_4"].largest > 1e-4 > e["kept_10"].largest
        and e["accuracy_1"].least > 0.8 and e["accuracy_2"].least > 0.8
        and e["accuracy_10"].largest < 0.2,
        lambda e: "Of a sigmoid net's signal "
        f"{say(e['kept_2'])} is left after 2 layers, {say(e['kept_4'], '.1e')} after 4, "
        f"{say(e['kept_10'], '.0e')} after 10; test accuracy {say(e['accuracy_1'], '.0%')} with 1 "
        f"layer, {say(e['accuracy_2'], '.0%')} with 2, {say(e['accuracy_10'], '.0%')} with 10.",
        "solutions-fewer-layers", "Before and after",
    ),
)  # fmt: skip
