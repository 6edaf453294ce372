import jax
import numpy as np
import pytest

from vgkit import data


def test_digits_have_the_stated_shapes_scaling_and_split():
    digits = data.digits()
    assert digits.x_train.shape == (1437, 64)
    assert digits.x_test.shape == (360, 64)
    # 1797 images; the class counts that scikit-learn's documentation of the same file gives.
    labels = np.concatenate([digits.y_train, digits.y_test])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert abs(float(digits.x_train.mean())) < 1e-12
    assert float(digits.x_train.std()) == pytest.approx(1, abs=1e-12)


def test_first_digit_is_the_published_zero():
    first = np.asarray(data.digits().x_train[0])
    row = [0, 0, 5, 13, 9, 1, 0, 0]  # first row of the first image of the file
    levels = np.unique(np.asarray(data.digits().x_train))
    assert len(levels) == 17
    assert [int(np.argmin(np.abs(levels - pixel))) for pixel in first[:8]] == row
    assert data.digits().y_train[0] == 0


def test_two_spirals_lie_on_their_spirals():
    points, label = data.two_spirals(jax.random.key(0), 200, noise=0.0)
    radius = np.hypot(*np.asarray(points).T)
    angle = 3 * np.pi * radius + np.pi * np.asarray(label)
    np.testing.assert_allclose(points, (radius * [np.cos(angle), np.sin(angle)]).T, atol=1e-12)
    assert label.sum() == 100


def test_two_spirals_repeat_with_the_key():
    first, again = (data.two_spirals(jax.random.key(3), 10)[0] for _ in range(2))
    other, _ = data.two_spirals(jax.random.key(4), 10)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="examples must be a whole number of at least 1; got 0"):
        data.two_spirals(jax.random.key(0), 0)
    with pytest.raises(ValueError, match="noise must be a number of at least 0; got nan"):
        data.two_spirals(jax.random.key(0), noise=float("nan"))
