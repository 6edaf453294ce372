from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from test_activations import NUMPY
from test_grads import slope

from vgkit import activations, grads, recurrent

KEY = jax.random.key(4)
HIDDEN, INPUTS, TIME = 5, 3, 12
MAKERS = {
    "rnn": recurrent.rnn,
    "lstm": recurrent.lstm,
    "gru": recurrent.gru,
    "gru, reset before": partial(recurrent.gru, reset="before"),
}


def random_cell(kind):
    """A cell all of whose parameters are at work."""
    cell = MAKERS[kind](KEY, INPUTS, HIDDEN, init="glorot_normal", gain=1.2)
    flat, unravel = ravel_pytree(cell)
    return unravel(flat + 0.1 * jax.random.normal(jax.random.key(5), flat.shape))


def random_start(kind):
    h, c = 0.5 * jax.random.normal(jax.random.key(7), (2, HIDDEN))
    return recurrent.State(h, c if kind == "lstm" else None)


PHI = {
    name: (NUMPY[name], partial(slope, name)) for name in ("identity", "tanh", "sigmoid", "relu")
}
SIGMOID = NUMPY["sigmoid"]
X = jax.random.normal(jax.random.key(6), (TIME, INPUTS))
READ = np.random.default_rng(8).normal(size=(TIME + 1, HIDDEN))  # every state is read


def loss(h):
    return jnp.sum(jnp.asarray(READ) * h**2) / 2


def loss_gradient(t, h):
    return READ[t] * h


def rnn_by_hand(cell, x, start, phi, slope, by_state):
    h, z = [start.h], []
    for x_t in x:
        z.append(cell.w_in @ x_t + cell.w_rec @ h[-1] + cell.b)
        h.append(phi(z[-1]))
    dh = [by_state(len(x), h[-1])]
    for t in range(len(x) - 1, -1, -1):
        dh.insert(0, cell.w_rec.T @ (slope(z[t]) * dh[0]) + by_state(t, h[t]))
    return (h, None), (dh, None)


def lstm_by_hand(cell, x, start, phi, slope, by_state):
    w_in, w, b = cell.w_in, cell.w_rec, cell.b
    h, c, parts = [start.h], [start.c], []
    for x_t in x:
        zi, zf, zg, zo = (w_in[k] @ x_t + w[k] @ h[-1] + b[k] for k in range(4))
        i, f, o = SIGMOID(zi), SIGMOID(zf), SIGMOID(zo)
        parts.append((i, f, zg, o))
        c.append(f * c[-1] + i * phi(zg))
        h.append(o * phi(c[-1]))
    dh, dc = [by_state(len(x), h[-1])], [np.zeros(HIDDEN)]
    for t in range(len(x) - 1, -1, -1):
        i, f, zg, o = parts[t]
        node = dc[0] + dh[0] * o * slope(c[t + 1])  # everything that c_(t+1) acts on
        gates = (
            node * phi(zg) * i * (1 - i),
            node * c[t] * f * (1 - f),
            node * i * slope(zg),
            dh[0] * phi(c[t + 1]) * o * (1 - o),
        )
        dh.insert(0, sum(w[k].T @ gate for k, gate in enumerate(gates)) + by_state(t, h[t]))
        dc.insert(0, node * f)
    return (h, c), (dh, dc)


def gru_by_hand(cell, x, start, phi, slope, by_state):
    """Before the product, as in Cho et al. 2014, the reset gate acts on the state."""
    w_in, w, b, before = cell.w_in, cell.w_rec, cell.b, cell.reset == "before"
    h, parts = [start.h], []
    for x_t in x:
        r = SIGMOID(w_in[0] @ x_t + w[0] @ h[-1] + b[0])
        z = SIGMOID(w_in[1] @ x_t + w[1] @ h[-1] + b[1])
        inner = h[-1] if before else w[2] @ h[-1] + cell.b_rec
        zn = w_in[2] @ x_t + b[2] + (w[2] @ (r * inner) if before else r * inner)
        parts.append((r, z, inner, zn))
        h.append((1 - z) * phi(zn) + z * h[-1])
    dh = [by_state(len(x), h[-1])]
    for t in range(len(x) - 1, -1, -1):
        r, z, inner, zn = parts[t]
        dn = dh[0] * (1 - z) * slope(zn)
        dz = dh[0] * (h[t] - phi(zn)) * z * (1 - z)
        product = w[2].T @ dn if before else dn  # by r * inner
        dr = product * inner * r * (1 - r)
        by_inner = product * r if before else w[2].T @ (product * r)
        back = dh[0] * z + w[0].T @ dr + w[1].T @ dz + by_inner
        dh.insert(0, back + by_state(t, h[t]))
    return (h, None), (dh, None)


def by_hand(cell, x, start, name="tanh", by_state=loss_gradient):
    """States (h, c), and gradients with respect to them by backpropagation through time."""
    oracles = {recurrent.RNN: rnn_by_hand, recurrent.LSTM: lstm_by_hand, recurrent.GRU: gru_by_hand}
    cell, start, x = jax.tree.map(np.asarray, (cell, start, x))
    both = oracles[type(cell)](cell, x, start, *PHI[name], by_state)
    return [[rows and np.stack(rows) for rows in part] for part in both]


@pytest.mark.parametrize("kind", MAKERS)
def test_states_and_gradients_agree_with_backpropagation_through_time_by_hand(kind):
    cell, start = random_cell(kind), random_start(kind)

    @jax.jit
    def measured(index):
        chosen = cell.replace(activation=activations.by_index(index, list(PHI)))
        states = recurrent.run(chosen, X, start=start)
        return *states, *grads.state_gradients(chosen, X, loss, start=start)

    for index, name in enumerate(PHI):
        states, gradients = by_hand(cell, X, start, name)
        for ours, expected in zip(measured(index), [*states, *gradients], strict=True):
            if expected is None:
                assert ours is None
            else:
                np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["tanh", "relu", "lstm", "gru"])
def test_states_and_gradients_agree_with_pytorch(name):
    torch = pytest.importorskip("torch")
    kind = name if name in MAKERS else "rnn"
    cell, start = random_cell(kind), random_start(kind)
    options = {"nonlinearity": name} if kind == "rnn" else {}
    module = getattr(torch.nn, kind.upper())(INPUTS, HIDDEN, dtype=torch.float64, **options)
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.tensor(np.array(cell.w_in).reshape(-1, INPUTS)))
        module.weight_hh_l0.copy_(torch.tensor(np.array(cell.w_rec).reshape(-1, HIDDEN)))
        module.bias_ih_l0.copy_(torch.tensor(np.array(cell.b).ravel()))
        module.bias_hh_l0.zero_()
        if kind == "gru":
            module.bias_hh_l0[-HIDDEN:] = torch.tensor(np.array(cell.b_rec))
    # Step by step, so that each state handed on is a tensor that keeps its gradient.
    state = [
        torch.tensor(np.array(leaf)[None], requires_grad=True) for leaf in start if leaf is not None
    ]
    states = [state]
    for x_t in np.array(X):
        given = tuple(state) if kind == "lstm" else state[0]
        _, state = module(torch.tensor(x_t[None]), given)
        state = list(state) if kind == "lstm" else [state]
        for leaf in state:
            leaf.retain_grad()
        states.append(state)
    hidden = torch.cat([state[0] for state in states])
    (torch.tensor(READ) * hidden**2).sum().div(2).backward()
    cell = cell.replace(activation=name if kind == "rnn" else "tanh")
    ours = recurrent.run(cell, X, start=start)
    by_jax = grads.state_gradients(cell, X, loss, start=start)
    np.testing.assert_allclose(ours.h, hidden.detach().numpy(), rtol=1e-10, atol=1e-12)
    for t, state in enumerate(states):
        np.testing.assert_allclose(by_jax.h[t], state[0].grad[0], rtol=1e-10, atol=1e-12)
        if kind == "lstm":
            np.testing.assert_allclose(ours.c[t], state[1].detach()[0], rtol=1e-10, atol=1e-12)
            last = torch.zeros(1, HIDDEN) if t == TIME else state[1].grad  # c_T goes nowhere
            np.testing.assert_allclose(by_jax.c[t], last[0], rtol=1e-10, atol=1e-12)


def test_linear_recurrence_has_the_closed_form():
    """With positive numbers ReLU is linear: dL/dh_t = (W^T)^(T-t) u and every J_t is W."""
    random = np.random.default_rng(0)
    w_in, w = random.uniform(0.1, 0.5, (HIDDEN, INPUTS)), random.uniform(0, 0.4, (HIDDEN, HIDDEN))
    cell = recurrent.RNN(w_in, w, np.full(HIDDEN, 0.1), activation="relu")
    x, u = jnp.abs(X), jnp.asarray(READ[0])
    gradients, jacobians = jax.jit(
        lambda x: (
            grads.state_gradients(cell, x, lambda h: u @ h[-1]),
            grads.state_jacobians(cell, x),
        )
    )(x)
    for t in range(TIME + 1):
        expected = np.linalg.matrix_power(w.T, TIME - t) @ READ[0]
        np.testing.assert_allclose(gradients.h[t], expected, rtol=1e-12)
    np.testing.assert_allclose(jacobians, np.broadcast_to(w, (TIME, HIDDEN, HIDDEN)), rtol=1e-13)


@pytest.mark.parametrize("kind", MAKERS)
def test_jacobians_carry_the_gradient_of_the_state(kind):
    """Fed with every state's own term of `loss`, they are the pass by hand."""
    cell, start = random_cell(kind), random_start(kind)
    states, gradients = by_hand(cell, X, start)
    jacobians = np.asarray(grads.state_jacobians(cell, X, start=start))
    size = sum(rows.shape[1] for rows in states if rows is not None)
    assert jacobians.shape == (TIME, size, size)
    back = np.zeros(size)
    for t in range(TIME, -1, -1):
        back = back if t == TIME else jacobians[t].T @ back
        back[:HIDDEN] += READ[t] * states[0][t]
        expected = np.concatenate([rows[t] for rows in gradients if rows is not None])
        np.testing.assert_allclose(back, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", MAKERS)
def test_norms_are_those_of_the_shorter_sequences(kind):
    cell, start = random_cell(kind), random_start(kind)
    x = jax.random.normal(jax.random.key(9), (3, TIME, INPUTS))
    u = READ[:3]
    measured = jax.jit(lambda n: grads.state_norms(cell, x, jnp.asarray(u), start=start, length=n))
    for length in (1, 7, TIME):

        def last(i, t, h, length=length):
            return u[i] if t == length else np.zeros(HIDDEN)

        norms = measured(length)
        gradients = [
            by_hand(cell, x[i, :length], start, by_state=partial(last, i))[1] for i in range(3)
        ]
        total = 0
        for rows, ours in zip(zip(*gradients, strict=True), norms[:2], strict=True):
            if rows[0] is None:
                assert ours is None
                continue
            squares = np.mean([np.sum(row**2, axis=1) for row in rows], axis=0)
            np.testing.assert_allclose(ours[: length + 1], np.sqrt(squares), rtol=1e-10)
            assert np.isnan(ours[length + 1 :]).all()
            total = total + squares
        np.testing.assert_allclose(norms.state[: length + 1], np.sqrt(total), rtol=1e-10)


def matrices(array):
    """Of every gate by itself."""
    return np.asarray(array).reshape(-1, *array.shape[-2:])


@pytest.mark.parametrize("kind", ["rnn", "gru"])
def test_initialisers(kind):
    isometric = ["identity", "orthogonal"]
    variances = {"lecun_normal": 1 / 200, "glorot_normal": 1 / 200, "he_normal": 2 / 200}

    @jax.jit
    def drawn(key):
        make = MAKERS[kind]
        small = {init: make(key, INPUTS, 20, init=init, gain=1.5) for init in isometric}
        return small | {init: make(key, 100, 200, init=init, gain=0.5) for init in variances}

    cells = drawn(KEY)
    for init in isometric:
        gates = matrices(cells[init].w_rec)
        for w in gates:
            np.testing.assert_allclose(w @ w.T, 1.5**2 * np.eye(20), atol=1e-12)
            assert init != "identity" or np.array_equal(w, 1.5 * np.eye(20))
        assert init == "identity" or all(not np.allclose(w, gates[0]) for w in gates[1:])
    for init, variance in variances.items():
        # The relative error of a variance from n weights is sqrt(2 / n).
        for w in matrices(cells[init].w_rec):
            assert w.var() == pytest.approx(0.5**2 * variance, rel=4 * np.sqrt(2 / 200**2))
        for w in matrices(cells[init].w_in):
            assert w.var() == pytest.approx(1 / 100, rel=4 * np.sqrt(2 / (200 * 100)))


def test_a_readout_keeps_the_size_of_a_state():
    w = recurrent.network(KEY, MAKERS["rnn"](KEY, INPUTS, 400), 50).readout.w
    assert w.var() == pytest.approx(1 / 400, rel=4 * np.sqrt(2 / (400 * 50)))


def test_an_initialiser_of_ones_own():
    cell = recurrent.gru(KEY, 3, 4, "relu", lambda key, shape, dtype: jnp.ones(shape, dtype), 2.0)
    assert (cell.w_rec == 2).all() and cell.activation == "relu"


@pytest.mark.parametrize("kind", MAKERS)
def test_cells_are_drawn_as_pytorch_draws_them(kind):
    """U[-1/sqrt(hidden), 1/sqrt(hidden)]: variance 1 / (3 hidden), of a sum of two twice it."""
    cell = MAKERS[kind](KEY, 100, 400, init="pytorch")
    assert cell.w_rec.shape == (*cell.gates, 400, 400)
    twice = cell.b[:2] if kind == "gru" else cell.b  # in the sum of both biases
    once = [cell.w_in, cell.w_rec] + ([cell.b[2], cell.b_rec] if kind == "gru" else [])
    for arrays, draws in [(once, 1), ([twice], 2)]:
        for array in map(np.asarray, arrays):
            # Relative error of a variance from n draws: sqrt((kurtosis - 1) / n), kurtosis < 3.
            expected = pytest.approx(draws / 1200, rel=4 * np.sqrt(2 / array.size))
            assert array.var() == expected
            assert np.abs(array).max() <= draws / 20


def test_gate_biases_open_their_gate_and_no_other():
    lstm = recurrent.lstm(KEY, INPUTS, HIDDEN, forget_bias=5.0)
    np.testing.assert_array_equal(lstm.b, [[0] * HIDDEN, [5] * HIDDEN, [0] * HIDDEN, [0] * HIDDEN])
    gru = recurrent.gru(KEY, INPUTS, HIDDEN, update_bias=-2.0)
    np.testing.assert_array_equal(gru.b, [[0] * HIDDEN, [-2] * HIDDEN, [0] * HIDDEN])
    assert not gru.b_rec.any() and not recurrent.rnn(KEY, INPUTS, HIDDEN).b.any()
    drawn, opened = (recurrent.lstm(KEY, 2, 4, init="pytorch", forget_bias=b) for b in (0.0, 3.0))
    np.testing.assert_allclose(opened.b - drawn.b, [[0] * 4, [3] * 4, [0] * 4, [0] * 4], atol=1e-15)


def test_the_two_conventions_of_the_gru():
    after, before = (recurrent.gru(KEY, 3, 4, init="pytorch", reset=r) for r in ("after", "before"))
    assert after.reset == "after" == recurrent.gru(KEY, 3, 4).reset and before.b_rec is None
    np.testing.assert_allclose(before.b[2], after.b[2] + after.b_rec)
    np.testing.assert_array_equal(before.b[:2], after.b[:2])
    np.testing.assert_array_equal(before.w_rec, after.w_rec)


@pytest.mark.parametrize("kind", ["lstm", "gru, reset before"])
def test_cells_are_pytrees_that_repeat_with_the_key_and_can_be_given(kind):
    cell, again = (MAKERS[kind](KEY, INPUTS, HIDDEN, jnp.sin) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, cell, again)  # of the same static parts too
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(cell)]
    static = {"reset": "before"} if "gru" in kind else {}
    given = type(cell)(*leaves, activation=jnp.sin, **static)
    run = jax.jit(recurrent.run)
    np.testing.assert_array_equal(run(given, X).h, run(cell, X).h)
    np.testing.assert_allclose(recurrent.run(given, X).h, run(cell, X).h)
    narrow, x = (jax.tree.map(jnp.float32, each) for each in (cell, X))
    gradients = grads.state_gradients(narrow, x, lambda h: h[-1].sum())
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype("float32")}


CELL, LSTM, GRU = (MAKERS[kind](KEY, INPUTS, HIDDEN) for kind in ("rnn", "lstm", "gru"))
ONE, NAN = jnp.ones((1, HIDDEN)), CELL.w_rec * jnp.nan


def run(cell, x=X, start=None, **changes):
    return recurrent.run(cell.replace(**changes), x, start=start)


def zeros(*sizes):
    return recurrent.State(*map(jnp.zeros, sizes))


def norms(x=X[None], direction=ONE, **length):
    return grads.state_norms(CELL, x, direction, **length)


BAD = [
    (lambda: run(CELL, X[:, :2]), r"x must have shape \(at least 1, 3\)"),
    (lambda: run(CELL, X.at[2, 1].set(jnp.nan)), "x must be finite; got 1"),
    (lambda: run(CELL, activation="swish"), "activation must be one of identity"),
    (lambda: recurrent.run([ONE], X), "cell must be an RNN, LSTM or GRU; got list"),
    (lambda: run(CELL, w_rec=NAN[:, :4]), r"w_rec must have shape \(4, 4\); got \(5, 4\)"),
    (lambda: run(CELL, w_rec=CELL.b), r"w_rec must have shape \(5, 5\); got \(5,\)"),
    (lambda: run(LSTM, w_rec=LSTM.w_rec[:3]), r"w_rec must have shape \(4, .*got \(3, 5, 5\)"),
    (lambda: run(CELL, w_in=CELL.w_in[:4]), r"w_in must have shape \(5, at least 1\)"),
    (lambda: run(CELL, b=CELL.b[:2]), r"b must have shape \(5\); got \(2,\)"),
    (lambda: run(GRU, b_rec=None), r"b_rec must have shape \(5\); got \(\)"),
    (lambda: run(GRU, reset="before"), "b_rec must be None for a reset gate before the product"),
    (lambda: run(GRU, reset="now"), "reset must be one of after, before; got 'now'"),
    (lambda: run(CELL, w_rec=NAN), "cell must be finite; got 25"),
    (lambda: run(CELL, start=zeros(4)), r"start.h must have shape \(5\); got \(4,\)"),
    (lambda: run(LSTM, start=zeros(5)), "start must have a cell state c for an LSTM"),
    (lambda: run(LSTM, start=zeros(5, 4)), r"start.c must have shape \(5\); got \(4,\)"),
    (lambda: run(CELL, start=zeros(5, 5)), "start must have a cell .* and for no other cell"),
    (lambda: grads.state_gradients(CELL, X[:0], lambda h: h[-1].sum()), "x must have shape"),
    (lambda: grads.state_jacobians(CELL, X * jnp.nan), "x must be finite"),
    (lambda: norms(X), r"x must have shape \(at least 1, at least 1, 3\); got \(12, 3\)"),
    (lambda: norms(direction=ONE[:, :4]), r"direction must have shape \(1, 5\); got \(1, 4\)"),
    (lambda: norms(length=13), "length must be at most 12, the inputs there are; got 13"),
    (lambda: recurrent.rnn(KEY, 3, 0), "hidden must be .* of at least 1; got 0"),
    (lambda: recurrent.gru(KEY, 0, 3), "inputs must be .* of at least 1; got 0"),
    (lambda: recurrent.lstm(KEY, 3, 3, "swish"), "activation must be one of"),
    (
        lambda: recurrent.lstm(KEY, 3, 3, init="xavier"),
        "init must be one of lecun.*'xavier'",
    ),
    (lambda: recurrent.gru(KEY, 3, 3, reset="cho"), "reset must be one of after, bef"),
    (lambda: recurrent.rnn(KEY, 3, 3, gain=-1.0), "gain must be a finite number of at least 0"),
    (lambda: recurrent.gru(KEY, 3, 3, gain=np.inf), "gain must be a finite number of at least 0"),
    (lambda: recurrent.lstm(KEY, 3, 3, forget_bias=np.inf), "forget_bias must be finite"),
    (lambda: recurrent.gru(KEY, 3, 3, update_bias=np.nan), "update_bias must be finite"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input_is_refused(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()
