"""Claims on gated cells, echo state networks, clipping and fewer layers, and on what is open."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from vgcourse.claims.claim import Claim, Evidence, over, say
from vgcourse.claims.programs import UNITS, kept, league, seeds, share
from vgkit import activations, data, grads, nets, recurrent, theory

GROUPS = 5


def _gates() -> Evidence:
    def draw(make, *arguments, **settings):
        return jax.vmap(lambda key: make(key, *arguments, 4, UNITS, **settings))(seeds())

    return {
        "plain": over(kept(draw(recurrent.rnn), 0.1)),
        "lstm_default": over(kept(draw(recurrent.uniform, "lstm"), 0.1)),
        "lstm_open": over(kept(draw(recurrent.lstm, forget_bias=5.0))),
        "gru_default": over(kept(draw(recurrent.uniform, "gru"), 0.1)),
        "gru_open": over(kept(draw(recurrent.gru, update_bias=5.0))),
    }


def _echo() -> Evidence:
    u = jax.random.uniform(jax.random.key(9), (600,), minval=-1.0)
    fresh = [recurrent.reservoir(key, 4, UNITS, 0.9) for key in seeds()]
    single = [recurrent.reservoir(key, 1, UNITS, 0.9, input_gain=0.1) for key in seeds()]
    remember = jax.jit(partial(recurrent.memory_curve, delays=2 * UNITS))
    curves = np.array([remember(cell, u) for cell in single])
    return {
        "kept": over(kept(jax.tree.map(lambda *leaves: jnp.stack(leaves), *fresh), 0.1)),
        "capacity": over(curves.sum(axis=1)),
        "first_delay": over(curves[:, 0]),
        "last_delay": over(curves[:, -1]),
    }


def _clipping() -> Evidence:
    clip = optax.clip_by_global_norm(1.0)
    x, y = (part[:32] for part in data.digits()[:2])
    change, norms, ratios = [], [], []
    for key in seeds():
        small = _gradient(nets.mlp_stack(key, 10, 64, 10, "glorot_normal"), x, y, 0, False)
        large = _gradient(nets.mlp_stack(key, 10, 64, 10, "he_normal"), x, y, 1, True)
        clipped, _ = clip.update((small, large), clip.init((small, large)))
        alone, _ = clip.update(small, clip.init(small))
        change.append(float(jnp.max(jnp.abs(alone - small))))
        limited, _ = clip.update(large, clip.init(large))
        norms.append([float(grads.l2(tree)) for tree in (large, limited)])
        ratios.append(float(grads.l2(clipped[0]) / grads.l2(small)))
    before, after = np.array(norms).T
    return {
        "small_changed": over(change),
        "small_among_large": over(ratios),
        "large_before": over(before),
        "large_after": over(after),
        "sigmoid": over(league("sigmoid, clipping", 10)["accuracy"][:, -1]),
        "exploding_bare": over(league("residual, unscaled", 30)["accuracy"][:, -1]),
        "exploding": over(league("residual, unscaled, clipping", 30)["accuracy"][:, -1]),
    }


@jax.jit
def _gradient(net: nets.Stack, x: Array, y: Array, activation: Array, skip: Array) -> Array:
    """Weight gradient of the hidden layers of a sigmoid (0) or ReLU (1) net."""
    phi = activations.by_index(activation, ("sigmoid", "relu"))

    def mean_loss(w):
        stacked = net._replace(hidden=net.hidden._replace(w=w))
        u = jax.vmap(lambda x: nets.stack_trace(stacked, x, phi, skip=skip)[0])(x)
        return jnp.mean(jax.vmap(grads.cross_entropy)(u @ net.output.w.T, y))

    return jax.grad(mean_loss)(net.hidden.w)


def _fewer() -> Evidence:
    points, label = data.two_spirals(jax.random.key(1), 128, 0.02)
    inputs = jnp.pad(3 * points, ((0, 0), (0, 2)))  # four numbers, as wide as the layers
    found = {f"kept_{n}": over(share("sigmoid", "glorot_normal", n)) for n in (2, 8)}
    return found | {f"spirals_{n}": over(_spirals(n, inputs, label)) for n in (1, 3)}


@jax.jit
def _spirals(depth: Array, inputs: Array, label: Array) -> Array:
    """Training accuracy of tanh nets of 4 units a layer after 1200 steps of Adam."""
    adam = optax.adam(0.01)

    def one(key):
        def outputs(net):
            u = jax.vmap(lambda x: nets.stack_trace(net, x, jnp.tanh, depth)[0])(inputs)
            return u @ net.output.w.T + net.output.b[None]

        def loss(net):
            return jnp.mean(jax.vmap(grads.cross_entropy)(outputs(net), label))

        def step(carry, _):
            net, state = carry
            updates, state = adam.update(jax.grad(loss)(net), state)
            return (optax.apply_updates(net, updates), state), None

        net = nets.mlp_stack(key, 3, 4, 2)
        (net, _), _ = jax.lax.scan(step, (net, adam.init(net)), None, length=1200)
        return jnp.mean(jnp.argmax(outputs(net), axis=1) == label)

    return jax.vmap(one)(seeds())


def _open() -> Evidence:
    found = {}
    for width, number in ((10, 400), (64, 40)):
        ratios = np.asarray(_narrow(width, number)).reshape(GROUPS, -1)
        forward, backward = theory.gains((width,) * 31 + (1,), "he_normal")
        spread = theory.predict("relu", forward, backward, width).log_variance[0]
        found[f"measured_{width}"] = over(np.median(ratios, axis=1))
        found[f"predicted_{width}"] = over(jnp.exp(-spread / 4))
    return found


@partial(jax.jit, static_argnums=(0, 1))
def _narrow(width: int, number: int) -> Array:
    """Signal at layer 1 over that at layer 30 of many ReLU nets with He initialisation."""

    def one(key):
        key_net, key_x = jax.random.split(key)
        net = nets.mlp_stack(key_net, 30, width, 1, "he_normal")
        x = jax.random.normal(key_x, (1, width))
        found = grads.profile(net, x, jnp.zeros(1), lambda out, _: out[0], jax.nn.relu, 30)
        signal = found.error_signal
        return jnp.where(signal[-1] > 0, signal[0] / signal[-1], 0.0)

    return jax.vmap(one)(jax.random.split(jax.random.key(10), GROUPS * number))


CLAIMS = (
    Claim(
        "C29", ("D0", "D1", "D2", "D3"),
        "LSTM and GRU gates keep information and mitigate vanishing (and exploding) gradients.",
        "holds under conditions",
        "Only with gates that stand near one: drawn as usual, an LSTM keeps far less over 100 "
        "steps than a plain orthogonal cell.",
        _gates,
        lambda e: all(e[name].largest < 1e-10 for name in ("lstm_default", "gru_default"))
        and 1e-10 < e["plain"].least and e["plain"].largest < 0.05
        and all(0.05 < e[name].least and e[name].largest < 20
                for name in ("lstm_open", "gru_open")),
        lambda e: "Kept over 100 steps with inputs of 0.1: plain orthogonal cell "
        f"{say(e['plain'], '.0e')}, LSTM and GRU with the default draw "
        f"{say(e['lstm_default'], '.0e')} and {say(e['gru_default'], '.0e')}; with gate biases "
        f"of 5 and inputs of 1: LSTM {say(e['lstm_open'])}, GRU {say(e['gru_open'])}.",
        "recurrence", "Gates: a factor of one's own making",
    ),
    Claim(
        "C30", ("D2",),
        "Echo state networks avoid it by design.",
        "holds under conditions",
        "It holds in that nothing is back-propagated; the memory of the state still fades.",
        _echo,
        lambda e: 0 < e["kept"].largest < 1e-3 and 0.9 < e["first_delay"].least
        and e["last_delay"].largest < 0.1 and 1 < e["capacity"].least
        and e["capacity"].largest < UNITS,
        lambda e: "A solved readout of a reservoir of 32 units tells the input of 1 step ago with "
        f"r^2 = {say(e['first_delay'], '.3f')}, that of 64 steps ago with "
        f"{say(e['last_delay'], '.2g')}, {say(e['capacity'], '.1f')} in sum; over 100 steps "
        f"{say(e['kept'], '.0e')} of a change of the state is left.",
        "solutions-echo-state", "When it does not help",
    ),
    Claim(
        "C31", ("D3",),
        "Clipping keeps gradients from becoming too small or too large.",
        "misleading",
        "Half of it is false: clipping only ever shrinks, and is the remedy for explosion.",
        _clipping,
        lambda e: e["small_changed"].largest == 0 and e["small_among_large"].largest < 0.5
        and e["large_before"].least > 1.5 and abs(e["large_after"].largest - 1) < 1e-9
        and abs(e["large_after"].least - 1) < 1e-9 and e["sigmoid"].largest < 0.2
        and e["exploding_bare"].largest < 0.2 < 0.5 < e["exploding"].least,
        lambda e: f"A vanished gradient comes out changed by {say(e['small_changed'], '.0f')}, "
        f"and at {say(e['small_among_large'])} of its size beside an exploded one, which falls "
        f"from {say(e['large_before'], '.0e')} to {say(e['large_after'])}. With clipping a sigmoid "
        f"net of 10 layers reads {say(e['sigmoid'], '.0%')} of the digits; an exploding one of 30 "
        f"{say(e['exploding'], '.0%')} rather than {say(e['exploding_bare'], '.0%')}.",
        "solutions-clipping", "Before and after",
    ),
    Claim(
        "C32", ("D4",),
        "Fewer hidden layers help, though depth is needed for complex patterns.",
        "holds",
        "Fewer factors leave more of the signal, and less that the net can represent.",
        _fewer,
        lambda e: e["kept_2"].least > 0.1 and e["kept_8"].largest < 1e-3
        and e["spirals_1"].largest < e["spirals_3"].median and e["spirals_3"].median > 0.9,
        lambda e: f"A sigmoid net of 2 layers keeps {say(e['kept_2'])} of its signal, one of 8 "
        f"{say(e['kept_8'], '.0e')}; but of two spirals a tanh net of 4 units a layer gets "
        f"{say(e['spirals_1'], '.0%')} right with 1 layer and {say(e['spirals_3'], '.0%')} with 3.",
        "solutions-fewer-layers", "When it does not help",
    ),
    Claim(
        "C33", ("D1",),
        "It is still a subject of research.",
        "holds",
        "Mean-field theory, dynamical isometry, normalisation and precision explain much; of "
        "narrow deep nets, for one, first-order theory says too little.",
        _open,
        lambda e: abs(np.log(e["measured_64"].median / e["predicted_64"].median)) < 0.3
        and e["measured_10"].largest < e["predicted_10"].median < e["predicted_64"].median,
        lambda e: "Typical signal left over 30 ReLU layers with He initialisation: "
        f"{say(e['measured_64'])} at width 64, where first-order theory has "
        f"{say(e['predicted_64'])}; {say(e['measured_10'])} at width 10, where it has "
        f"{say(e['predicted_10'])}.",
        "causes-theory", "Finite width",
    ),
)  # fmt: skip
