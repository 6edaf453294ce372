"""Claims on gated cells, echo state networks, clipping and fewer layers, and on what is open."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from vgcourse import echo_state, recurrence, tasks, theory
from vgcourse.claims.claim import Claim, Numbers
from vgcourse.claims.programs import UNITS, final_accuracy, first_digits, ratio, seeds, state_ratio
from vgkit import grads, nets, recurrent, train
from vgkit import theory as mean_field

GROUPS = 5


def _gates() -> Numbers:
    compared, gates = recurrence.compared(), recurrence.by_bias()
    gru = recurrence.draw("GRU", "pytorch")
    return {
        "plain_default": compared["pytorch"]["plain"][:, 0],
        "lstm_default": compared["pytorch"]["LSTM"][:, 0],
        "gru_default": recurrence.kept(gru, 0.1),
        "plain_orthogonal": compared["orthogonal"]["plain"][:, 0],
        "lstm_orthogonal": compared["orthogonal"]["LSTM"][:, 0],
        "lstm_open": gates.lstm[:, -1],
        "gru_open": gates.gru[:, -1],
        "lstm_1997": gates.first,
    }


def _echo() -> Numbers:
    u = jax.random.uniform(jax.random.key(9), (600,), minval=-1.0)
    reservoirs = [recurrent.reservoir(key, 4, UNITS, 0.9) for key in seeds()]
    single = [recurrent.reservoir(key, 1, UNITS, 0.9, input_gain=0.1) for key in seeds()]
    remember = jax.jit(partial(echo_state.memory_curve, delays=2 * UNITS))
    curves = np.array([remember(cell, u) for cell in single])
    return {
        "ratio": state_ratio(jax.tree.map(lambda *leaves: jnp.stack(leaves), *reservoirs), 0.1),
        "capacity": curves.sum(axis=1),
        "first_delay": curves[:, 0],
        "last_delay": curves[:, -1],
    }


@jax.jit
def _clip() -> Numbers:
    """The hidden weights' gradients of nets of 10 layers, clipped to a norm of 1."""
    x, y = first_digits()
    clip, draw = optax.clip_by_global_norm(1.0), partial(nets.mlp, widths=(64,) * 11 + (10,))

    def clipped(gradients: Any) -> Any:
        return clip.update(gradients, clip.init(gradients))[0]

    def one(key: Array) -> Numbers:
        sigmoid = draw(key, activation="sigmoid", stacked=True)
        relu = draw(key, activation="relu", init="he_normal", skip=True, stacked=True)
        small, large = (grads.signals(net, x, y).weight_gradients.hidden for net in (sigmoid, relu))
        return {
            "small_changed": jnp.max(jnp.abs(clipped(small) - small)),
            "small_among_large": grads.l2(clipped((small, large))[0]) / grads.l2(small),
            "large_before": grads.l2(large),
            "large_after": grads.l2(clipped(large)),
        }

    return jax.vmap(one)(seeds())


def _clipping() -> Numbers:
    return _clip() | {
        "sigmoid": final_accuracy("sigmoid, clipping", 10),
        "exploding_bare": final_accuracy("residual, unscaled", 30),
        "exploding": final_accuracy("residual, unscaled, clipping", 30),
    }


def _fewer() -> Numbers:
    ratios = {f"ratio_{depth}": ratio("sigmoid", "glorot_normal", depth) for depth in (2, 8)}
    return ratios | {f"spirals_{depth}": _spirals(depth) for depth in (1, 3)}


def _spirals(depth: int) -> Array:
    """Training accuracy of tanh nets of 4 units a layer after 1200 steps of Adam."""
    points, label = tasks.two_spirals(jax.random.key(1), 128, 0.02)
    inputs = jnp.pad(3 * points, ((0, 0), (0, 2)))  # four numbers, as wide as the layers
    start = jax.vmap(lambda key: nets.mlp(key, (4, 4, 4, 4, 2), "tanh", stacked=True))(seeds())
    run = train.fit(
        start.replace(depth=depth), (inputs, label), optax.adam(0.01), key=jax.random.key(0),
        epochs=1200, batch=None, every=1200, layers=False, seeds=True,
    )  # fmt: skip
    return run.history.train_accuracy[:, -1]


def _open() -> Numbers:
    numbers = {}
    for width in (10, 64):
        ratios = theory.narrow(width).reshape(GROUPS, -1)
        forward, backward = mean_field.gains((width,) * 31 + (1,), "he_normal")
        log_variance = mean_field.predict("relu", forward, backward, width).log_variance[0]
        numbers[f"measured_{width}"] = np.median(ratios, axis=1)
        numbers[f"predicted_{width}"] = jnp.exp(-log_variance / 4)
    return numbers


CLAIMS = (
    Claim(
        "C29", ("D0", "D1", "D2", "D3"),
        "LSTM and GRU gates keep information and mitigate vanishing (and exploding) gradients.",
        "holds under conditions",
        "Only with gates that stand near one: started as usual, gated cells keep some powers of "
        "ten more than a plain net over 100 steps, and still next to nothing.",
        _gates,
        lambda e: e["plain_default"].median < 1e-2 * e["lstm_default"].median
        and e["plain_default"].median < 1e-2 * e["gru_default"].median
        and all(0 < e[name].largest < 1e-10
                for name in ("plain_default", "lstm_default", "gru_default", "lstm_orthogonal"))
        and 1e8 * e["lstm_orthogonal"].largest < e["plain_orthogonal"].least
        and e["plain_orthogonal"].largest < 0.05
        and all(0.05 < e[name].least and e[name].largest < 20
                for name in ("lstm_open", "gru_open", "lstm_1997")),
        "Kept over 100 steps with inputs of 0.1, as PyTorch starts them: plain net "
        "{plain_default:.0e}, LSTM {lstm_default:.0e}, GRU {gru_default:.0e}; with orthogonal "
        "matrices: plain net {plain_orthogonal:.0e}, LSTM {lstm_orthogonal:.0e}. With inputs of 1 "
        "and gate biases of 5: LSTM {lstm_open}, GRU {gru_open}; LSTM without forget gate, as in "
        "1997: {lstm_1997}.",
        "causes/recurrence", "Gates: the cell sets its own factor",
    ),
    Claim(
        "C30", ("D2",),
        "Echo state networks avoid it by design.",
        "holds under conditions",
        "It holds in that nothing is back-propagated; the memory of the state still fades.",
        _echo,
        lambda e: 0 < e["ratio"].largest < 1e-3 and 0.9 < e["first_delay"].least
        and e["last_delay"].largest < 0.1 and 1 < e["capacity"].least
        and e["capacity"].largest < UNITS,
        "A solved readout of a reservoir of 32 units tells the input of 1 step ago with r^2 = "
        "{first_delay:.3f}, that of 64 steps ago with {last_delay:.2g}, {capacity:.1f} in sum; "
        "over 100 steps {ratio:.0e} of a change of the state is left.",
        "solutions/echo-state", "When it does not help",
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
        "A vanished gradient comes out changed by {small_changed:.0f}, and at {small_among_large} "
        "of its size beside an exploded one, which falls from {large_before:.0e} to {large_after}. "
        "With clipping a sigmoid net of 10 layers reads {sigmoid:.0%} of the digits; an exploding "
        "one of 30 {exploding:.0%} rather than {exploding_bare:.0%}.",
        "solutions/clipping", "Before and after",
    ),
    Claim(
        "C32", ("D4",),
        "Fewer hidden layers help, though depth is needed for complex patterns.",
        "holds",
        "Fewer factors leave more of the signal, and less that the net can represent.",
        _fewer,
        lambda e: e["ratio_2"].least > 0.1 and e["ratio_8"].largest < 1e-3
        and e["spirals_1"].largest < e["spirals_3"].median and e["spirals_3"].median > 0.9,
        "A sigmoid net of 2 layers keeps {ratio_2} of its signal, one of 8 {ratio_8:.0e}; but of "
        "two spirals a tanh net of 4 units a layer gets {spirals_1:.0%} right with 1 layer and "
        "{spirals_3:.0%} with 3.",
        "solutions/fewer-layers", "When it does not help",
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
        "Typical signal left over 30 ReLU layers with He initialisation: {measured_64} at width "
        "64, where first-order theory has {predicted_64}; {measured_10} at width 10, where it has "
        "{predicted_10}.",
        "causes/research", "Mean-field theory",
    ),
)  # fmt: skip
