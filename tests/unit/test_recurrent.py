import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from vgkit import activations, grads, recurrent

KEY = jax.random.key(4)
HIDDEN, INPUTS, TIME = 5, 3, 12
MAKERS = {"rnn": recurrent.rnn, "lstm": recurrent.lstm, "gru": recurrent.gru}
PHI = {
    "identity": (lambda z: z, np.ones_like),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
}
SIGMOID, _ = PHI["sigmoid"]


def random_cell(kind):
    """A cell all of whose parameters are at work."""
    cell = MAKERS[kind](KEY, INPUTS, HIDDEN, "glorot_normal", gain=1.2)
    keys = jax.random.split(jax.random.key(5), len(cell))
    return type(cell)(
        *(a + 0.1 * jax.random.normal(k, a.shape) for a, k in zip(cell, keys, strict=True))
    )


def sequence(time=TIME):
    return jax.random.normal(jax.random.key(6), (time, INPUTS))


def random_start(kind):
    h, c = 0.5 * jax.random.normal(jax.random.key(7), (2, HIDDEN))
    return recurrent.State(h, c if kind == "lstm" else None)


READ = np.random.default_rng(8).normal(size=(TIME + 1, HIDDEN))  # every state is read


def loss(h):
    return jnp.sum(jnp.asarray(READ) * h**2) / 2


def loss_gradient(t, h):
    return READ[t] * h


def as_numpy(tree):
    return jax.tree.map(np.asarray, tree)


def rnn_by_hand(cell, x, start, name, by_state=loss_gradient):
    w_in, w, b = as_numpy(cell)
    phi, slope = PHI[name]
    h, z = [np.asarray(start.h)], []
    for x_t in x:
        z.append(w_in @ x_t + w @ h[-1] + b)
        h.append(phi(z[-1]))
    dh = [by_state(len(x), h[-1])]
    for t in range(len(x) - 1, -1, -1):
        dh.insert(0, w.T @ (slope(z[t]) * dh[0]) + by_state(t, h[t]))
    return (np.stack(h), None), (np.stack(dh), None)


def lstm_by_hand(cell, x, start, name, by_state=loss_gradient):
    w_in, w, b = as_numpy(cell)
    phi, slope = PHI[name]
    h, c, kept = [np.asarray(start.h)], [np.asarray(start.c)], []
    for x_t in x:
        zi, zf, zg, zo = (w_in[k] @ x_t + w[k] @ h[-1] + b[k] for k in range(4))
        i, f, o = SIGMOID(zi), SIGMOID(zf), SIGMOID(zo)
        kept.append((i, f, zg, o))
        c.append(f * c[-1] + i * phi(zg))
        h.append(o * phi(c[-1]))
    dh, dc = [by_state(len(x), h[-1])], [np.zeros(HIDDEN)]
    for t in range(len(x) - 1, -1, -1):
        i, f, zg, o = kept[t]
        node = dc[0] + dh[0] * o * slope(c[t + 1])  # everything that c_(t+1) acts on
        gates = (
            node * phi(zg) * i * (1 - i),
            node * c[t] * f * (1 - f),
            node * i * slope(zg),
            dh[0] * phi(c[t + 1]) * o * (1 - o),
        )
        dh.insert(0, sum(w[k].T @ gate for k, gate in enumerate(gates)) + by_state(t, h[t]))
        dc.insert(0, node * f)
    return (np.stack(h), np.stack(c)), (np.stack(dh), np.stack(dc))


def gru_by_hand(cell, x, start, name, by_state=loss_gradient):
    w_in, w, b, b_rec = as_numpy(cell)
    phi, slope = PHI[name]
    h, kept = [np.asarray(start.h)], []
    for x_t in x:
        r = SIGMOID(w_in[0] @ x_t + w[0] @ h[-1] + b[0])
        z = SIGMOID(w_in[1] @ x_t + w[1] @ h[-1] + b[1])
        inner = w[2] @ h[-1] + b_rec
        zn = w_in[2] @ x_t + b[2] + r * inner
        kept.append((r, z, inner, zn))
        h.append((1 - z) * phi(zn) + z * h[-1])
    dh = [by_state(len(x), h[-1])]
    for t in range(len(x) - 1, -1, -1):
        r, z, inner, zn = kept[t]
        dn = dh[0] * (1 - z) * slope(zn)
        dz = dh[0] * (h[t] - phi(zn)) * z * (1 - z)
        dr = dn * inner * r * (1 - r)
        back = dh[0] * z + w[0].T @ dr + w[1].T @ dz + w[2].T @ (dn * r)
        dh.insert(0, back + by_state(t, h[t]))
    return (np.stack(h), None), (np.stack(dh), None)


BY_HAND = {"rnn": rnn_by_hand, "lstm": lstm_by_hand, "gru": gru_by_hand}


@pytest.mark.parametrize("name", PHI)
@pytest.mark.parametrize("kind", MAKERS)
def test_states_and_gradients_agree_with_backpropagation_through_time_by_hand(kind, name):
    cell, start = random_cell(kind), random_start(kind)
    states, gradients = BY_HAND[kind](cell, np.asarray(sequence()), start, name)
    found = recurrent.run(cell, sequence(), name, start=start)
    by_jax = grads.state_gradients(cell, sequence(), loss, name, start=start)
    assert found.h.shape == (TIME + 1, HIDDEN)
    for ours, expected in zip([*found, *by_jax], [*states, *gradients], strict=True):
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
    for x_t in np.array(sequence()):
        given = tuple(state) if kind == "lstm" else state[0]
        _, state = module(torch.tensor(x_t[None]), given)
        state = list(state) if kind == "lstm" else [state]
        for leaf in state:
            leaf.retain_grad()
        states.append(state)
    hidden = torch.cat([state[0] for state in states])
    (torch.tensor(READ) * hidden**2).sum().div(2).backward()
    phi = name if kind == "rnn" else "tanh"
    ours = recurrent.run(cell, sequence(), phi, start=start)
    by_jax = grads.state_gradients(cell, sequence(), loss, phi, start=start)
    np.testing.assert_allclose(ours.h, hidden.detach().numpy(), rtol=1e-10, atol=1e-12)
    for t, state in enumerate(states):
        np.testing.assert_allclose(by_jax.h[t], state[0].grad[0], rtol=1e-10, atol=1e-12)
        if kind == "lstm":
            np.testing.assert_allclose(ours.c[t], state[1].detach()[0], rtol=1e-10, atol=1e-12)
            last = torch.zeros(1, HIDDEN) if t == TIME else state[1].grad  # c_T goes nowhere
            np.testing.assert_allclose(by_jax.c[t], last[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", MAKERS)
def test_gradients_agree_with_finite_differences(kind):
    cell, x, read = random_cell(kind), sequence(), READ[0]
    gradients = grads.state_gradients(cell, x, lambda h: jnp.asarray(read) @ h[-1])
    states = recurrent.run(cell, x)
    step = 1e-5  # central differences: step^2 from the third derivative, 1e-16 / step from rounding
    for t in (0, TIME - 3):
        here, unravel = ravel_pytree(jax.tree.map(lambda rows, t=t: rows[t], states))
        moves = step * np.eye(len(here))

        def last(state, t=t, unravel=unravel):
            return recurrent.run(cell, x[t:], start=unravel(state)).h[-1]

        ends = np.asarray(jax.vmap(last)(here[None] + jnp.asarray(np.concatenate([moves, -moves]))))
        plus, minus = np.split(ends @ read, 2)
        whole, _ = ravel_pytree(jax.tree.map(lambda rows, t=t: rows[t], gradients))
        np.testing.assert_allclose(whole, (plus - minus) / (2 * step), atol=1e-9)


@pytest.mark.parametrize("name", ["identity", "relu"])
def test_linear_recurrence_has_the_closed_form(name):
    """With positive numbers ReLU is linear too: dL/dh_t = (W^T)^(T-t) u and every J_t is W."""
    random = np.random.default_rng(0)
    w_in, w = random.uniform(0.1, 0.5, (HIDDEN, INPUTS)), random.uniform(0, 0.4, (HIDDEN, HIDDEN))
    cell = recurrent.from_arrays("rnn", w_in, w, np.full(HIDDEN, 0.1))
    x, u = jnp.abs(sequence()), jnp.asarray(READ[0])
    gradients = grads.state_gradients(cell, x, lambda h: u @ h[-1], name)
    for t in range(TIME + 1):
        expected = np.linalg.matrix_power(w.T, TIME - t) @ READ[0]
        np.testing.assert_allclose(gradients.h[t], expected, rtol=1e-12)
    jacobians = grads.state_jacobians(cell, x, name)
    np.testing.assert_allclose(jacobians, np.broadcast_to(w, (TIME, HIDDEN, HIDDEN)), rtol=1e-13)
    np.testing.assert_allclose(grads.singular_values(jacobians)[3], np.linalg.svd(w)[1], rtol=1e-10)
    largest = np.linalg.norm(np.linalg.matrix_power(w, TIME), 2)
    np.testing.assert_allclose(grads.product_spectrum(jacobians)[0], largest, rtol=1e-10)


def test_linear_lstm_with_constant_gates_has_the_closed_form():
    """Without recurrent weights only c hands anything on: dL/dc_t = f^(T-t) o u, dL/dh_t = 0."""
    b = np.zeros((4, HIDDEN))
    b[1], b[3] = 2.0, -1.0
    zeros = np.zeros((4, HIDDEN, HIDDEN))
    cell = recurrent.from_arrays("lstm", np.ones((4, HIDDEN, INPUTS)), zeros, b)
    x, u = jnp.zeros((TIME, INPUTS)), jnp.asarray(READ[0])
    gradients = grads.state_gradients(cell, x, lambda h: u @ h[-1], "identity")
    f, o = 1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(1.0))
    for t in range(TIME):
        np.testing.assert_allclose(gradients.c[t], f ** (TIME - t) * o * READ[0], rtol=1e-12)
    assert not gradients.h[:-1].any() and not gradients.c[-1].any()


@pytest.mark.parametrize("kind", MAKERS)
def test_jacobians_carry_the_whole_state_gradient(kind):
    """Of a loss at T: one step back is the transposed Jacobian, in the product too."""
    cell, start = random_cell(kind), random_start(kind)
    _, by_hand = BY_HAND[kind](cell, np.asarray(sequence()), start, "tanh")
    u = jnp.asarray(READ[0])
    gradients = grads.state_gradients(cell, sequence(), lambda h: u @ h[-1], start=start)
    whole = np.concatenate([g for g in gradients if g is not None], axis=1)
    jacobians = np.asarray(grads.state_jacobians(cell, sequence(), start=start))
    assert jacobians.shape == (TIME, whole.shape[1], whole.shape[1])
    for t in range(TIME):
        np.testing.assert_allclose(whole[t], jacobians[t].T @ whole[t + 1], rtol=1e-10, atol=1e-14)
    norms = grads.state_norms(gradients)
    np.testing.assert_allclose(norms.whole, np.linalg.norm(whole, axis=1), rtol=1e-12)
    # The same Jacobians, fed with every state's own term of `loss`, are the pass by hand.
    h = np.asarray(recurrent.run(cell, sequence(), start=start).h)
    back = np.zeros(whole.shape[1])
    for t in range(TIME, -1, -1):
        back = back if t == TIME else jacobians[t].T @ back
        back[:HIDDEN] += READ[t] * h[t]
        expected = np.concatenate([g[t] for g in by_hand if g is not None])
        np.testing.assert_allclose(back, expected, rtol=1e-9, atol=1e-12)


def test_spectral_radius_0_and_a_gradient_that_doubles():
    """At a fixed point with slopes (1, 3/4) the Jacobian J = [[8, 8], [-6, -6]] has J^2 = 2 J."""
    w = np.array([[8.0, 8.0], [-8.0, -8.0]])
    z = np.array([0.0, np.arctanh(0.5)])
    cell = recurrent.from_arrays("rnn", np.zeros((2, 1)), w, z - w @ np.tanh(z))
    start = recurrent.State(jnp.asarray(np.tanh(z)))
    jacobians = grads.state_jacobians(cell, jnp.zeros((9, 1)), start=start)
    # The fixed point repels: 2^9 times the rounding of tanh, 1e-16, times ||W|| = 16.
    np.testing.assert_allclose(
        jacobians, np.broadcast_to([[8.0, 8.0], [-6.0, -6.0]], (9, 2, 2)), atol=1e-11
    )
    size = np.linalg.norm([[8.0, 8.0], [-6.0, -6.0]], 2)
    np.testing.assert_allclose(grads.product_spectrum(jacobians)[0], 2**8 * size, rtol=1e-10)
    assert np.abs(np.linalg.eigvals(w)).max() < 1e-6  # a double root: sqrt of rounding


def test_norms_by_hand():
    pair = recurrent.State(
        jnp.array([[3.0, 4.0], [0.0, 0.0]]), jnp.array([[0.0, 12.0], [1.0, 1.0]])
    )
    norms = grads.state_norms(pair)
    np.testing.assert_allclose(norms.h, [5, 0])
    np.testing.assert_allclose(norms.c, [12, np.sqrt(2)])
    np.testing.assert_allclose(norms.whole, [13, np.sqrt(2)])
    np.testing.assert_allclose(grads.state_norms(pair, "rms").whole, [6.5, np.sqrt(0.5)])
    alone = grads.state_norms(recurrent.State(pair.h))
    assert alone.c is None
    np.testing.assert_allclose(alone.whole, [5, 0])


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("length", [1, 7, TIME])
def test_profile_is_that_of_the_shorter_sequences(kind, length):
    cell, start = random_cell(kind), random_start(kind)
    x = jax.random.normal(jax.random.key(9), (3, TIME, INPUTS))
    u = READ[:3]
    read = jax.jit(lambda n: grads.state_profile(cell, x, jnp.asarray(u), start=start, length=n))
    profile = read(length)

    def by_hand(i):
        def last_only(t, h):
            return u[i] if t == length else np.zeros(HIDDEN)

        return BY_HAND[kind](cell, np.asarray(x[i, :length]), start, "tanh", last_only)[1]

    by_hand = [by_hand(i) for i in range(3)]
    for part, found in zip(range(2), (profile.h, profile.c), strict=True):
        if by_hand[0][part] is None:
            assert found is None
            continue
        squares = np.mean([np.sum(pair[part] ** 2, axis=1) for pair in by_hand], axis=0)
        np.testing.assert_allclose(found[: length + 1], np.sqrt(squares), rtol=1e-10)
        assert np.isnan(found[length + 1 :]).all()
    both = profile.h**2 + (0 if profile.c is None else profile.c**2)
    np.testing.assert_allclose(profile.whole, np.sqrt(both), rtol=1e-12)


@pytest.mark.parametrize("kind", MAKERS)
def test_batches_by_vmap_and_traced_activations(kind):
    cell = random_cell(kind)
    x = jax.random.normal(jax.random.key(9), (4, TIME, INPUTS))
    position = list(activations.ACTIVATIONS).index("sigmoid")
    run = jax.jit(
        lambda x, index: jax.vmap(lambda x: recurrent.run(cell, x, activations.by_index(index)))(x)
    )
    together = run(x, position)
    for row in range(4):
        alone = recurrent.run(cell, x[row], "sigmoid")
        np.testing.assert_allclose(together.h[row], alone.h, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_parameters_format_is_kept(kind):
    cell = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), random_cell(kind))
    gradients = grads.state_gradients(cell, sequence().astype(jnp.float32), lambda h: h[-1].sum())
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("init", ["identity", "orthogonal"])
def test_isometric_initialisers(kind, init):
    cell = MAKERS[kind](KEY, INPUTS, 20, init, gain=1.5)
    matrices = np.asarray(cell.w_rec).reshape(-1, 20, 20)
    for w in matrices:
        np.testing.assert_allclose(w @ w.T, 1.5**2 * np.eye(20), atol=1e-12)
        assert init != "identity" or np.array_equal(w, 1.5 * np.eye(20))
    if init == "orthogonal":
        assert all(not np.allclose(w, matrices[0]) for w in matrices[1:])


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(("init", "variance"), [("lecun", 1), ("glorot", 1), ("he", 2)])
def test_normal_initialisers_have_the_published_variance(kind, init, variance):
    cell = MAKERS[kind](KEY, 100, 200, f"{init}_normal", gain=0.5)
    # The relative error of a variance from n weights is sqrt(2 / n).
    for w in np.asarray(cell.w_rec).reshape(-1, 200, 200):
        assert w.var() == pytest.approx(0.5**2 * variance / 200, rel=4 * np.sqrt(2 / 200**2))
    for w in np.asarray(cell.w_in).reshape(-1, 200, 100):
        assert w.var() == pytest.approx(1 / 100, rel=4 * np.sqrt(2 / (200 * 100)))


@pytest.mark.parametrize("kind", MAKERS)
def test_uniform_cells_are_drawn_as_pytorch_draws_them(kind):
    """U[-1/sqrt(hidden), 1/sqrt(hidden)]: variance 1 / (3 hidden), of a sum of two twice it."""
    cell = recurrent.uniform(KEY, kind, 100, 400)
    assert all(cell.w_rec.shape == w.shape for w in [MAKERS[kind](KEY, 100, 400).w_rec])
    twice = cell.b[:2] if kind == "gru" else cell.b
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


@pytest.mark.parametrize("kind", MAKERS)
def test_cells_repeat_with_the_key_and_can_be_given(kind):
    cell = MAKERS[kind](KEY, INPUTS, HIDDEN)
    again = recurrent.from_arrays(kind, *MAKERS[kind](KEY, INPUTS, HIDDEN))
    assert type(again) is type(cell)
    jax.tree.map(np.testing.assert_array_equal, cell, again)
    bare = recurrent.from_arrays(kind, np.asarray(cell.w_in), np.asarray(cell.w_rec).tolist())
    jax.tree.map(np.testing.assert_array_equal, cell, bare)


CELL, X = recurrent.rnn(KEY, INPUTS, HIDDEN), sequence()
LSTM = recurrent.lstm(KEY, INPUTS, HIDDEN)
W = np.eye(HIDDEN)
W_IN = np.ones((HIDDEN, INPUTS))
NAN = np.where(np.eye(HIDDEN) == 1, np.nan, 0)
BAD = {
    "no step": (lambda: recurrent.run(CELL, X[:0]), r"x must have shape \(at least 1, 3\)"),
    "misfit": (lambda: recurrent.run(CELL, X[:, :2]), r"x must have shape \(at least 1, 3\)"),
    "a batch": (lambda: recurrent.run(CELL, X[None]), "x must have shape"),
    "nan in x": (lambda: recurrent.run(CELL, X.at[2, 1].set(jnp.nan)), "x must be finite; got 1"),
    "activation": (lambda: recurrent.run(CELL, X, "swish"), "activation must be one of identity"),
    "a list": (lambda: recurrent.run([W_IN, W], X), "cell must be one of RNN, LSTM, GRU; got list"),
    "oblong cell": (
        lambda: recurrent.run(CELL._replace(w_rec=CELL.w_rec[:, :4]), X),
        "w_rec must be square, units by units; got 5 by 4",
    ),
    "start": (
        lambda: recurrent.run(CELL, X, start=recurrent.State(jnp.zeros(4))),
        r"start.h must have shape \(5\); got \(4,\)",
    ),
    "start without c": (
        lambda: recurrent.run(LSTM, X, start=recurrent.State(jnp.zeros(5))),
        "start must have a cell state c for an LSTM",
    ),
    "start with c": (
        lambda: recurrent.run(CELL, X, start=recurrent.State(jnp.zeros(5), jnp.zeros(5))),
        "start must have a cell state c for an LSTM and for no other cell",
    ),
    "gradients of no step": (
        lambda: grads.state_gradients(CELL, X[:0], lambda h: h[-1].sum()),
        "x must have shape",
    ),
    "jacobians at nan": (lambda: grads.state_jacobians(CELL, X * jnp.nan), "x must be finite"),
    "profile of one sequence": (
        lambda: grads.state_profile(CELL, X, jnp.ones((1, HIDDEN))),
        r"x must have shape \(at least 1, at least 1, 3\); got \(12, 3\)",
    ),
    "direction": (
        lambda: grads.state_profile(CELL, X[None], jnp.ones((1, 4))),
        r"direction must have shape \(1, 5\); got \(1, 4\)",
    ),
    "length": (
        lambda: grads.state_profile(CELL, X[None], jnp.ones((1, HIDDEN)), length=13),
        "length must be at most 12, the inputs there are; got 13",
    ),
    "no length": (
        lambda: grads.state_profile(CELL, X[None], jnp.ones((1, HIDDEN)), length=0),
        "length must be a whole number of at least 1; got 0",
    ),
    "norm kind": (
        lambda: grads.state_norms(recurrent.State(X), "max"),
        "kind must be one of rms, l2; got 'max'",
    ),
    "uniform kind": (lambda: recurrent.uniform(KEY, "ltsm", 3, 3), "kind must be one of rnn, lstm"),
    "uniform size": (lambda: recurrent.uniform(KEY, "gru", 3, -1), "hidden must be a whole number"),
    "kind": (lambda: recurrent.from_arrays("esn", W_IN, W), "kind must be one of rnn, lstm, gru"),
    "oblong": (
        lambda: recurrent.from_arrays("rnn", W_IN, W[:, :3]),
        "w_rec must be square, units by units; got 5 by 3",
    ),
    "oblong gates": (
        lambda: recurrent.from_arrays("lstm", [W_IN] * 4, [W[:3]] * 4),
        "w_rec must be square, units by units; got 3 by 5",
    ),
    "three gates": (
        lambda: recurrent.from_arrays("lstm", [W_IN] * 3, [W] * 3),
        r"w_rec must have shape \(4, at least 1, at least 1\); got \(3, 5, 5\)",
    ),
    "w_in": (lambda: recurrent.from_arrays("rnn", W_IN[:4], W), r"w_in must have shape \(5, at"),
    "b": (lambda: recurrent.from_arrays("rnn", W_IN, W, [0, 0]), r"b must have shape \(5\)"),
    "b_rec": (
        lambda: recurrent.from_arrays("gru", [W_IN] * 3, [W] * 3, None, [0]),
        r"b_rec must have shape \(5\)",
    ),
    "b_rec of another": (
        lambda: recurrent.from_arrays("rnn", W_IN, W, None, np.zeros(5)),
        "b_rec must be left out for 'rnn'",
    ),
    "nan in w_rec": (lambda: recurrent.from_arrays("rnn", W_IN, NAN), "w_rec must be finite"),
    "no units": (lambda: recurrent.rnn(KEY, 3, 0), "hidden must be a whole number of at least 1"),
    "no inputs": (lambda: recurrent.gru(KEY, 0, 3), "inputs must be a whole number of at least 1"),
    "init": (
        lambda: recurrent.lstm(KEY, 3, 3, "xavier"),
        "init must be one of identity, orthogonal, lecun_normal, glorot_normal, he_normal; got 'x",
    ),
    "gain": (lambda: recurrent.rnn(KEY, 3, 3, gain=-1.0), "gain must be a number of at least 0"),
    "gain nan": (lambda: recurrent.rnn(KEY, 3, 3, gain=np.nan), "gain must be a number"),
    "bias": (lambda: recurrent.lstm(KEY, 3, 3, forget_bias=np.inf), "forget_bias must be finite"),
    "z bias": (lambda: recurrent.gru(KEY, 3, 3, update_bias=np.nan), "update_bias must be finite"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused(case, unchecked):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
