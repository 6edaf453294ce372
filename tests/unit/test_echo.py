"""Readouts of recurrent nets, and echo state networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgcourse import echo_state
from vgkit import recurrent

KEY = jax.random.key(20)


def random_states(rows=30, hidden=5, outputs=2):
    random = np.random.default_rng(21)
    return 1 + random.normal(size=(rows, hidden)), random.normal(size=(rows, outputs)) - 3


@pytest.mark.parametrize("strength", [0.0, 0.1, 100.0])
def test_ridge_is_the_least_squares_solution_of_the_augmented_system(strength):
    states, targets = random_states()
    # Rows sqrt(lambda) e_k w = 0 penalise each weight; the column of ones is b, not penalised.
    penalty = np.hstack([np.sqrt(strength) * np.eye(5), np.zeros((5, 1))])
    rows = np.vstack([np.hstack([states, np.ones((30, 1))]), penalty])
    solution, *_ = np.linalg.lstsq(rows, np.vstack([targets, np.zeros((5, 2))]), rcond=None)
    readout = echo_state.ridge(jnp.asarray(states), jnp.asarray(targets), strength)
    np.testing.assert_allclose(readout.w, solution[:5].T, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(readout.b, solution[5], rtol=1e-10)


def test_a_reservoir_has_its_spectral_radius():
    cell = recurrent.reservoir(KEY, 2, 30, 0.7, input_gain=0.5)
    assert np.abs(np.linalg.eigvals(np.asarray(cell.w_rec))).max() == pytest.approx(0.7, rel=1e-10)
    assert cell.w_in.shape == (30, 2) and not cell.b.any()
    full = recurrent.reservoir(KEY, 2, 30, 0.7)
    np.testing.assert_allclose(cell.w_in, full.w_in / 2)
    rotation = jnp.array([[0.0, 4.0], [-1.0, 0.0]])  # its eigenvalues are +-2i
    np.testing.assert_allclose(recurrent.spectral_radius(rotation), 2)


def test_states_forget_their_start_where_the_largest_singular_value_is_below_one():
    cell = recurrent.rnn(KEY, 1, 8, gain=0.8)  # all singular values are 0.8
    x = jax.random.normal(KEY, (40, 1))
    starts = jnp.asarray(np.random.default_rng(23).uniform(-1, 1, (5, 8)))
    distances = np.asarray(echo_state.echo_distances(cell, x, starts))
    apart = max(np.linalg.norm(start - starts[0]) for start in starts)
    assert distances[0] == pytest.approx(apart)
    assert (distances <= apart * 0.8 ** np.arange(41) * (1 + 1e-12)).all()  # tanh shrinks too


def test_a_spectral_radius_below_one_is_not_enough():
    # Yildiz, Jaeger and Kiebel's counterexample: with no input one start stays away from 0.
    w = np.array([[1.029, 5.156], [-0.569, -2.331]])
    assert np.abs(np.linalg.eigvals(w)).max() < 0.75
    cell = recurrent.RNN(np.zeros((2, 1)), w, np.zeros(2))
    starts = jnp.array([[0.0, 0.0], [0.999, -0.917]])
    distances = echo_state.echo_distances(cell, jnp.zeros((3000, 1)), starts)
    h = np.array([0.999, -0.917])
    for _ in range(3000):
        h = np.tanh(w @ h)
    assert np.linalg.norm(h) > 1
    np.testing.assert_allclose(distances[-1], np.linalg.norm(h), rtol=1e-6)


def test_a_delay_line_remembers_as_many_inputs_as_it_has_units():
    # h_t = (u_t, u_(t-1), ..., u_(t-5)): the inputs of 1 to 5 steps ago, exactly, and no other.
    cell = recurrent.RNN(np.eye(6)[:, :1], np.eye(6, k=-1), np.zeros(6), activation="identity")
    u = jax.random.normal(KEY, (2000,))
    curve = echo_state.memory_curve(cell, u, 8, washout=20)
    np.testing.assert_allclose(curve[:5], 1, rtol=1e-9)
    # Of independent inputs 990 states see a squared correlation of about 1/990, seldom 10 times it.
    assert (curve[5:] < 10 / 990).all()


STATES, TARGETS = (jnp.asarray(a) for a in random_states())
CELL = recurrent.reservoir(KEY, 1, 4)
U = STATES[:, 0]
BAD = [
    (lambda: recurrent.reservoir(KEY, 1, 4, 0.0), "radius must be positive and finite; got 0.0"),
    (lambda: recurrent.reservoir(KEY, 1, 4, input_gain=0.0), "input_gain must be pos"),
    (lambda: recurrent.network(KEY, CELL, 0), "outputs must be a whole .*; got 0"),
    (lambda: echo_state.ridge(STATES[:3], TARGETS[:3], 0.0), "equations are singular.*got 0.0"),
    (lambda: echo_state.ridge(jnp.hstack([STATES, STATES]), TARGETS, 1e-20), "larger.*got 1e-20"),
    (lambda: echo_state.ridge(STATES, TARGETS, -1.0), "strength must be a .*got -1.0"),
    (lambda: echo_state.ridge(STATES, TARGETS[:9], 1.0), "targets must have shape"),
    (lambda: echo_state.ridge(STATES * jnp.nan, TARGETS, 1.0), "states must be finite"),
    (lambda: echo_state.echo_distances(CELL, U[:, None], U[:1, None]), "at least 2 states; got 1"),
    (lambda: echo_state.memory_curve(CELL, U, 0), "delays must .*got 0"),
    (lambda: echo_state.memory_curve(CELL, U, 5, washout=3), "washout must .* at least 5; got 3"),
    (lambda: echo_state.memory_curve(CELL, U, 5, washout=28), "4 of the 30 states; got 28"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_input_is_refused(call, message, unchecked):
    with pytest.raises(ValueError, match=message):
        call()
