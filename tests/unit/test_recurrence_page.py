"""The page on recurrence: its numbers by NumPy and by hand, and what its text says of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lessons import code

from vgcourse import recurrence
from vgkit import grads, recurrent

PAGE = "chapters/causes/recurrence"
SIGMOID = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731


def plain_by_hand(cell, x, u):
    """dL/dh of a plain tanh net, in NumPy."""
    h = [np.zeros(len(u))]
    for x_t in x:
        h.append(np.tanh(cell.w_in @ x_t + cell.w_rec @ h[-1] + cell.b))
    gradient = [u]
    for h_t in h[:0:-1]:
        gradient.insert(0, cell.w_rec.T @ ((1 - h_t**2) * gradient[0]))
    return np.array(h), np.array(gradient)


def lstm_by_hand(cell, x, u):
    """dL/dh and dL/dc of an LSTM for L = u · h_T, each with the other held, in NumPy."""
    h, c, kept = np.zeros(len(u)), np.zeros(len(u)), []
    for x_t in x:
        i, f, g, o = cell.w_in @ x_t + cell.w_rec @ h + cell.b
        i, f, g, o = SIGMOID(i), SIGMOID(f), np.tanh(g), SIGMOID(o)
        before, c = c, f * c + i * g
        h = o * np.tanh(c)
        kept.append((i, f, g, o, before, c))
    by_h, by_c = [u], [np.zeros(len(u))]
    for i, f, g, o, before, c in kept[::-1]:
        whole = by_c[0] + by_h[0] * o * (1 - np.tanh(c) ** 2)  # all ways that lead through c_t
        z = np.array([whole * g * i * (1 - i), whole * before * f * (1 - f),
                      whole * i * (1 - g**2), by_h[0] * np.tanh(c) * o * (1 - o)])  # fmt: skip
        by_h.insert(0, np.einsum("guh,gu->h", cell.w_rec, z))
        by_c.insert(0, f * whole)
    return np.array(by_h), np.array(by_c)


def arrays(cells, net):
    """One of several cells, in NumPy."""
    names = ("w_in", "w_rec", "b")
    return cells.replace(**{name: np.asarray(getattr(cells, name)[net]) for name in names})


def rms(norms):
    return np.sqrt(np.mean(np.square(norms), axis=0))


@pytest.fixture(scope="module")
def numbers():
    return recurrence.numbers()


@pytest.mark.parametrize("init", recurrence.STARTS)
def test_what_is_compared_is_backpropagation_by_hand(init):
    x, u = (np.asarray(part[3]) for part in recurrence.read())
    plain = arrays(recurrence.draw("plain", init), 3)
    sizes = [np.linalg.norm(plain_by_hand(plain, 0.1 * x_, u_)[1], axis=1)
             for x_, u_ in zip(x, u, strict=True)]  # fmt: skip
    compared = recurrence.compared()[init]
    np.testing.assert_allclose(compared["plain"][3], rms(sizes), rtol=1e-8)
    lstm = arrays(recurrence.draw("LSTM", init), 3)
    pairs = [np.concatenate(lstm_by_hand(lstm, 0.1 * x_, u_), axis=1)
             for x_, u_ in zip(x, u, strict=True)]  # fmt: skip
    np.testing.assert_allclose(compared["LSTM"][3], rms(np.linalg.norm(pairs, axis=2)), rtol=1e-8)


def test_like_beside_like(numbers):
    default, orthogonal = recurrence.compared().values()
    assert max(share[:, 0].max() for share in default.values()) < 1e-13
    assert 3 < np.log10(numbers["lstm_pytorch"] / numbers["plain_pytorch"]) < 5  # "about four"
    assert default["plain"][:, 0].max() > default["LSTM"][:, 0].min()  # "the ranges overlap"
    assert orthogonal["LSTM"][:, 0].max() < 1e-10 < 1e-4 < orthogonal["plain"][:, 0].min()
    gates = SIGMOID(np.asarray(recurrence.draw("LSTM", "pytorch").b[:, recurrence.FORGET]))
    assert 0.4 < gates.min() and gates.max() < 0.6  # "stood near one half"


def test_the_function_of_the_page():
    scope = {"jnp": jnp}
    exec(code(PAGE, "through_time"), scope)
    cell, x, u = recurrence.example(size=0.1)
    by_page = scope["through_time"](cell, x, u)
    by_hand = plain_by_hand(cell, np.asarray(x), np.asarray(u))[1]
    np.testing.assert_allclose(by_page, by_hand, rtol=1e-9)
    np.testing.assert_allclose(
        by_page, grads.state_gradients(cell, x, lambda h: u @ h[-1]).h, rtol=1e-9
    )


def test_the_radius_promises_nothing_and_the_singular_value_does(numbers):
    products = recurrence.products()
    assert not recurrence.example()[0].b.any()  # "without biases"
    for name, (cell, _) in products.items():
        found = np.abs(np.linalg.eigvals(cell.w_rec)).max(), np.linalg.norm(cell.w_rec, 2)
        said = [float(part.split("= ")[1]) for part in name.split(", ")[1:]]
        np.testing.assert_allclose(found, said, atol=0.05)
    linear, doubling, falling = (product.grown for product in products.values())
    powers = [np.linalg.norm(0.8**t * np.array([[1, 2.5 * t], [0, 1]]), 2) for t in range(31)]
    np.testing.assert_allclose(linear, powers, rtol=1e-9)  # the power of a Jordan block
    assert numbers["peak"] == linear.max() == linear[4] and linear[20] < 1
    w = recurrence.NILPOTENT
    assert (w @ [1, 1]).tolist() == [16, -16] and not (w @ w).any()
    jacobian = np.diag([1, 0.75]) @ w  # "turns (4, -3) into (8, -6)"
    assert (jacobian @ [4, -3]).tolist() == [8, -6]
    # At the fixed point J = diag(1, 3/4) W has the eigenvalues 0 and 8 - 6 = 2.
    np.testing.assert_allclose(doubling[2:] / doubling[1:-1], 2, rtol=1e-4)
    assert (falling <= 0.95 ** np.arange(31) * (1 + 1e-9)).all()
    assert falling[-1] < 1e-3 * 0.95**30  # "even faster"


def test_what_is_kept_within_the_bound(numbers):
    shares = recurrence.shares()
    for name, (phi, _, gain, _) in recurrence.SETTINGS.items():
        bound = (recurrence.SLOPES[phi] * gain) ** recurrence.TIME
        assert (shares[name] <= bound * (1 + 1e-9)).all()
        if name in recurrence.BOUNDED:
            assert numbers[f"bound_{name}"] == pytest.approx(bound)
    assert shares["below"].min() > 0.9 * 0.9**100 and shares["weak"].min() > 0.5
    assert (shares["strong"] < shares["middle"]).all() and shares["strong"].max() < 1e-16
    assert shares["larger"].max() < 1e-4 and shares["normal"].max() < 0.01 < 1 < numbers["radius"]
    assert shares["exploded"].min() > 1e6 and 1 < shares["held"].min()
    assert shares["held"].max() < 1e-3 * np.median(shares["exploded"])
    for kind, w in recurrence.matrices().items():
        singular = np.linalg.svd(w, compute_uv=False)
        np.testing.assert_allclose(singular[:, 0], 1, rtol=1e-9)
        assert (singular[:, -1].min() > 1 - 1e-9) == (kind == "orthogonal")


def test_the_two_sizes_of_the_exercise():
    w = np.array([[0, 5], [0.2, 0]])  # it turns (a, b) into (5 b, a / 5)
    np.testing.assert_allclose(np.linalg.matrix_power(w, 100), np.eye(2))
    assert np.linalg.norm(w, 2) == pytest.approx(5)


def test_the_explorer_of_plain_nets():
    explorer = recurrence.explorer_plain()
    at = explorer.at(factor=1.1, activation="tanh", matrix="normal", size=1.0, length=10)
    cell, x, u = recurrence.example(1.0)
    cell = arrays(recurrence.draw("plain"), 0)
    w = 1.1 * np.asarray(recurrence.matrices()["normal"][0])
    h, gradient = plain_by_hand(cell.replace(w_rec=w), np.asarray(x[:10]), np.asarray(u))
    np.testing.assert_allclose(at["gradient"][:11], np.linalg.norm(gradient, axis=1), rtol=1e-6)
    drawn = np.reshape(at["activation"], (recurrence.LENGTHS[-1] + 1, recurrence.DRAWN))
    np.testing.assert_allclose(drawn[:11], h[:, : recurrence.DRAWN], rtol=1e-6, atol=1e-12)
    at_rest = at["error_size"][:11], at["gradient"][:11]  # one unit: 1 is the size at step T
    np.testing.assert_array_equal(*at_rest)
    assert at["gradient"][10] == pytest.approx(1, rel=1e-6)
    assert np.isnan(drawn[11:]).all() and np.isnan(at["bound"][11:]).all()
    assert at["bound"][0] == pytest.approx(1.1**10)
    assert at["by_radius"][0] == pytest.approx(np.abs(np.linalg.eigvals(w)).max() ** 10)
    relu = [explorer.at(factor=1.0, activation="ReLU", matrix="orthogonal", size=size, length=20)
            for size in (0.01, 3.0)]  # fmt: skip
    np.testing.assert_allclose(relu[0]["gradient"], relu[1]["gradient"], rtol=1e-6)


def test_the_presets_show_what_they_say():
    explorer = recurrence.explorer_plain()
    left = {name: explorer.at(**where)["ratio"] for name, where in recurrence.PRESETS.items()}
    assert left["Weak inputs"] > 0.5 and left["Strong inputs"] < 1e-3
    assert left["Bound above 1, and vanishing"] < 0.01 and left["Exploding"] > 100


def test_gates(numbers):
    result, rest = recurrence.by_bias(), SIGMOID(np.array(recurrence.BIASES)) ** 100
    np.testing.assert_allclose(result.rest, rest, rtol=1e-9)
    assert numbers["rest_0"] == pytest.approx(0.5**100)
    medians = [np.median(cells, axis=0) for cells in (result.lstm, result.gru)]
    assert all((np.diff(one) > 0).all() for one in medians)
    one = recurrence.BIASES.index(1.0)
    assert max(result.lstm[:, one].max(), result.gru[:, one].max()) < 1e-6
    assert numbers["alone_0"] < 1e-6 * numbers["lstm_0"]  # "nearly all takes the second way"
    assert numbers["alone_1"] < 1e-3 * numbers["lstm_1"]
    reach = np.array([numbers[f"reach_{bias}"] for bias in (1, 3, 5)])
    assert (np.abs(SIGMOID(np.array([1.0, 3, 5])) ** reach - 1 / 3) < 0.05).all()  # "a third"
    assert all(0.05 < cells[:, -1].min() < 20 for cells in (result.lstm, result.gru))
    assert 0.9 < result.first.min() and result.first.max() < 10 and numbers["parts"] > 1
    cut_off = recurrence.draw("LSTM").replace(w_rec=0 * recurrence.draw("LSTM").w_rec)
    alone = recurrence.kept(recurrence.with_bias(cut_off, 0.0))
    assert alone.max() < 1e-6 * result.lstm[:, recurrence.BIASES.index(0.0)].min()


def test_the_first_way_alone(numbers):
    """The gates of every step, and what the output lets through, in NumPy."""
    cells, left = recurrence.with_bias(recurrence.draw("LSTM"), 1.0), []
    for net in range(recurrence.SEEDS):
        cell, norms = arrays(cells, net), []
        for x, u in zip(*(np.asarray(part[net]) for part in recurrence.read()), strict=True):
            h, c, kept = np.zeros(len(u)), np.zeros(len(u)), 1.0
            for x_t in x:
                i, f, g, o = cell.w_in @ x_t + cell.w_rec @ h + cell.b
                c = SIGMOID(f) * c + SIGMOID(i) * np.tanh(g)
                h, kept = SIGMOID(o) * np.tanh(c), kept * SIGMOID(f)
            norms.append(np.linalg.norm(u * SIGMOID(o) * (1 - np.tanh(c) ** 2) * kept))
        left.append(rms(norms))
    assert numbers["alone_1"] == pytest.approx(np.median(left), rel=1e-8)


def test_a_moving_gate_loses_more_than_it_gains():
    """Why the GRU lies below its gate at rest: its gate alone does."""
    result, rest = recurrence.by_bias(), SIGMOID(5.0) ** 100
    assert (result.gru[:, 3:].max(axis=0) < result.rest[3:]).all()
    cells, (x, _) = recurrence.with_bias(recurrence.draw("GRU"), 5.0), recurrence.read()
    for net in range(recurrence.SEEDS):
        cell = jax.tree.map(lambda leaf, n=net: leaf[n], cells)
        h = np.asarray(recurrent.run(cell, x[net, 0]).h)[:-1]
        w_in, w_rec, b = (np.asarray(part[recurrence.FORGET])
                          for part in (cell.w_in, cell.w_rec, cell.b))  # fmt: skip
        z = np.asarray(x[net, 0]) @ w_in.T + h @ w_rec.T + b
        assert np.log(SIGMOID(z)).sum(axis=0).mean() < np.log(rest)


def test_the_cell_of_1997_keeps_its_state_with_a_factor_of_exactly_1():
    cells = recurrence.without_forget_gate(recurrence.draw("LSTM"))
    along = recurrence.sizes(cells.replace(w_rec=0 * cells.w_rec)).c[:, :-1]
    assert (along == along[:, -1:]).all()  # without recurrent matrices this is its only way


def test_the_explorer_of_lstms():
    _, x, u = recurrence.example(1.0)
    drawn = arrays(recurrence.draw("LSTM"), 0)
    for bias in (2.0, 1000.0):
        at = recurrence.explorer_lstm().at(bias=bias, largest=2.0, size=1.0, length=20)
        here = recurrence.with_bias(
            drawn.replace(w_rec=2 * drawn.w_rec, b=jnp.array(drawn.b)), bias
        )
        if bias > 100:
            here = recurrence.without_forget_gate(here.replace(
                w_in=jnp.array(here.w_in), w_rec=jnp.array(here.w_rec)))  # fmt: skip
        by_h, by_c = lstm_by_hand(here, np.asarray(x[:20]), np.asarray(u))
        np.testing.assert_allclose(at["gradient"][:21], np.linalg.norm(by_h, axis=1), rtol=1e-5)
        c = np.linalg.norm(by_c, axis=1)
        np.testing.assert_allclose(at["cell_gradient"][:20], c[:20], rtol=1e-5)
        pair = np.hypot(np.linalg.norm(by_h[0]), c[0])
        assert at["ratio"] == pytest.approx(pair, rel=1e-5)
        assert at["gate"][0] == pytest.approx(SIGMOID(bias) ** 20, rel=1e-5)


def test_gated_cells_can_explode():
    explorer = recurrence.explorer_lstm()
    assert explorer.at(bias=0.0, largest=8.0, size=0.1, length=20)["ratio"] > 100


def test_truncation():
    cell, x, u = recurrence.example(0.1)
    turn = np.random.default_rng(0).normal(size=cell.w_rec.shape)
    h, gradient = plain_by_hand(cell, np.asarray(x), np.asarray(u))
    terms = (gradient[1:] * (1 - h[1:] ** 2))[:, :, None] * h[:-1, None, :]
    ends = [np.asarray(u) @ plain_by_hand(cell.replace(w_rec=cell.w_rec + side * turn), x, u)[0][-1]
            for side in (1e-6, -1e-6)]  # fmt: skip
    # The difference errs by 1e-12 times a third derivative, and by rounding, 1e-16 / 1e-6.
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(np.sum(terms * turn), rel=1e-4, abs=1e-7)
    whole = np.linalg.norm(terms.sum(axis=0))
    by_hand = np.linalg.norm(terms[:80].sum(axis=0)) / whole
    assert recurrence.missing(cell, x, u, 20) == pytest.approx(by_hand, rel=1e-8)
    assert recurrence.missing(cell, x, u, 20) > 0.05
    assert recurrence.missing(*recurrence.example(1.0), 20) < 0.01


def test_the_identity_forgets_only_where_a_unit_is_off():
    cells = recurrence.draw("plain").replace(activation="relu")
    kept = [recurrence.kept(cells.replace(w_rec=jnp.tile(gain * jnp.eye(32), (8, 1, 1))))
            for gain in (1.0, 0.9)]  # fmt: skip
    assert np.median(kept[0]) > 0.05 and kept[1].max() == 0
