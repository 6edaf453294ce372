"""Data that comes with the package: digits and synthetic tasks, drawn from a key."""

from importlib import resources
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vgkit import _check

__all__ = [
    "Digits",
    "adding_problem",
    "digits",
    "sequences",
    "two_spirals",
]

_TRAIN_SIZE = 1437


class Digits(NamedTuple):
    """Images as rows, scaled, and their labels, split in the file's order.

    Attributes:
        x_train: Pixels of the training images, one image in each row.
        y_train: Their labels, 0 to 9.
        x_test: Pixels of the test images.
        y_test: Their labels.
    """

    x_train: Float[Array, "1437 64"]
    y_train: Int[Array, " 1437"]
    x_test: Float[Array, "360 64"]
    y_test: Int[Array, " 360"]


def digits() -> Digits:
    """Load 1797 handwritten digits of 8 x 8 pixels; nothing is downloaded.

    One mean and one standard deviation, of all pixels of all training images, are subtracted and
    divided by: a training image has elements of mean 0 and variance 1 on average. The first 1437
    images train, the last 360 test.

    Source:
        {cite}`alpaydin1998`, CC BY 4.0; see `vgkit/_data/ATTRIBUTION.md`.
    """
    with resources.files("vgkit").joinpath("_data/digits.npz").open("rb") as file:
        archive = np.load(file)
        images, labels = archive["images"].astype(float), archive["labels"].astype(int)
    train = images[:_TRAIN_SIZE]
    x, y = jnp.asarray((images - train.mean()) / train.std()), jnp.asarray(labels)
    return Digits(x[:_TRAIN_SIZE], y[:_TRAIN_SIZE], x[_TRAIN_SIZE:], y[_TRAIN_SIZE:])


def sequences(
    images: Float[Array, "images pixels"], step: int = 8
) -> Float[Array, "images time {step}"]:
    """Images read as sequences: digits become 8 rows or, with `step=1`, 64 single pixels.

    Args:
        images: One image in each row.
        step: Pixels that are read at one step.

    Raises:
        ValueError: If `step` is no whole number that divides the pixels.
    """
    step = _check.int_at_least("step", step, 1)
    if images.shape[1] % step:
        raise ValueError(f"step must divide the {images.shape[1]} pixels of an image; got {step}")
    return images.reshape(len(images), -1, step)


def two_spirals(
    key: Array, examples: int = 128, noise: float = 0.05
) -> tuple[Float[Array, "examples 2"], Int[Array, " examples"]]:
    r"""Points on two interleaved spirals, labelled by the spiral they lie on.

    .. math:: x = \tfrac{t}{3\pi} (\cos(t + c\pi), \sin(t + c\pi)) + \text{noise},
              \quad t \sim U[0, 3\pi],\ c \in \{0, 1\}

    Args:
        key: Source of all randomness.
        examples: How many points; the two classes alternate.
        noise: Standard deviation of the Gaussian noise on each coordinate.

    Raises:
        ValueError: If `examples` is below 1 or `noise` is negative or not finite.
    """
    examples = _check.int_at_least("examples", examples, 1)
    if not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise must be a number of at least 0; got {noise!r}")
    key_angle, key_noise = jax.random.split(key)
    label = jnp.arange(examples) % 2
    angle = 3 * jnp.pi * jax.random.uniform(key_angle, (examples,))
    turned = angle + jnp.pi * label
    points = jnp.stack([jnp.cos(turned), jnp.sin(turned)], axis=1) * (angle / (3 * jnp.pi))[:, None]
    return points + noise * jax.random.normal(key_noise, (examples, 2)), label


def adding_problem(
    key: Array, examples: int, length: int
) -> tuple[Float[Array, "examples length 2"], Float[Array, "examples 1"]]:
    r"""Sequences of numbers, two of them marked: what is the sum of the two?

    .. math:: x_t = (v_t, m_t), \quad v_t \sim U[0, 1],\ m_t \in \{0, 1\}, \quad
              y = \sum_t v_t m_t

    One mark is in the first half, one in the second. The constant answer 1 has a mean squared error
    of 1/6, the variance of y.

    Args:
        key: Source of all randomness.
        examples: How many sequences.
        length: Steps of a sequence, at least 2.

    Raises:
        ValueError: If `examples` is below 1 or `length` below 2.

    Source:
        {cite}`hochreiter1997`; in the form of {cite:t}`arjovsky2016`.
    """
    examples = _check.int_at_least("examples", examples, 1)
    length = _check.int_at_least("length", length, 2)
    key_value, key_first, key_second = jax.random.split(key, 3)
    values = jax.random.uniform(key_value, (examples, length))
    first = jax.random.randint(key_first, (examples,), 0, length // 2)
    second = jax.random.randint(key_second, (examples,), length // 2, length)
    marks = jax.nn.one_hot(first, length) + jax.nn.one_hot(second, length)
    return jnp.stack([values, marks], axis=2), jnp.sum(values * marks, axis=1, keepdims=True)
