import jax
import numpy as np
import pytest

from vgcourse import tasks
from vgkit import data

KEY = jax.random.key(0)


def test_digits_have_the_stated_shapes_scaling_and_split():
    digits = data.digits()
    assert digits.x_train.shape == (1437, 64)
    assert digits.x_test.shape == (360, 64)
    # 1797 images; the class counts that scikit-learn's documentation of the same file gives.
    labels = np.concatenate([digits.y_train, digits.y_test])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert abs(float(digits.x_train.mean())) < 1e-12
    assert float(digits.x_train.std()) == pytest.approx(1, abs=1e-12)
    row = [0, 0, 5, 13, 9, 1, 0, 0]  # of the first image in the file, of 17 levels
    levels = np.unique(digits.x_train)
    assert np.searchsorted(levels, digits.x_train[0, :8]).tolist() == row and len(levels) == 17


def test_two_spirals_lie_on_their_spirals():
    points, label = tasks.two_spirals(jax.random.key(0), 200, noise=0.0)
    radius = np.hypot(*np.asarray(points).T)
    angle = 3 * np.pi * radius + np.pi * np.asarray(label)
    np.testing.assert_allclose(points, (radius * [np.cos(angle), np.sin(angle)]).T, atol=1e-12)
    assert label.sum() == 100


@pytest.mark.parametrize("length", [2, 3, 40])
def test_adding_problem_sums_one_number_of_each_half(length):
    x, y = (np.asarray(a) for a in tasks.adding_problem(jax.random.key(5), 500, length))
    values, marks = x[:, :, 0], x[:, :, 1]
    assert not np.array_equal(x, tasks.adding_problem(KEY, 500, length)[0])
    assert x.shape == (500, length, 2) and set(np.unique(marks)) <= {0.0, 1.0}
    assert all((half.sum(1) == 1).all() for half in np.split(marks, [length // 2], axis=1))
    for row in range(20):
        np.testing.assert_allclose(y[row], values[row][marks[row] == 1].sum())
    # The mean of squares of 500 sums of two uniform numbers less 1: 1/6, with standard deviation
    # sqrt((E d^4 - 1/36) / 500), E d^4 = 1/15.
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, abs=4 * np.sqrt((1 / 15 - 1 / 36) / 500))


@pytest.mark.parametrize("delay", [1, 20])
def test_copy_memory_asks_for_the_symbols_after_the_delay(delay):
    x, y = tasks.copy_memory(jax.random.key(6), 50, delay, symbols=4, memory=3)
    shown, y = np.asarray(x).argmax(2), np.asarray(y)
    assert x.shape == (50, 6 + delay, 6) and (np.asarray(x).sum(2) == 1).all()
    np.testing.assert_array_equal(y[:, -3:], shown[:, :3])
    assert (y[:, :-3] == 4).all() and (shown[:, :3] < 4).all()
    go = 3 + delay - 1  # the input right before the first answer
    assert (shown[:, go] == 5).all()
    assert (np.delete(shown[:, 3:], delay - 1, axis=1) == 4).all()
    assert len(np.unique(shown[:, :3], axis=0)) > 20  # of 64
