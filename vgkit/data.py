"""Data that comes with the package: handwritten digits, and a synthetic task."""

from importlib import resources
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vgkit import _check

TRAIN_SIZE = 1437


class Digits(NamedTuple):
    """Images as rows, scaled, and their labels, split in the file's order."""

    x_train: Float[Array, "1437 64"]
    y_train: Int[Array, " 1437"]
    x_test: Float[Array, "360 64"]
    y_test: Int[Array, " 360"]


def digits() -> Digits:
    """Load 1797 handwritten digits of 8 x 8 pixels; nothing is downloaded.

    The pixels (0 to 16) are shifted and divided by one mean and one standard deviation, taken over
    all pixels of all training images, so that a training image has elements of mean 0 and variance
    1 on average. The first 1437 images train, the last 360 test.

    Source:
        {cite}`alpaydin1998`, CC BY 4.0; see `vgkit/_data/ATTRIBUTION.md`.
    """
    with resources.files("vgkit").joinpath("_data/digits.npz").open("rb") as file:
        archive = np.load(file)
        images, labels = archive["images"], archive["labels"]
    images = images.astype(float)
    train = images[:TRAIN_SIZE]
    x = jnp.asarray((images - train.mean()) / train.std())
    y = jnp.asarray(labels.astype(int))
    return Digits(x[:TRAIN_SIZE], y[:TRAIN_SIZE], x[TRAIN_SIZE:], y[TRAIN_SIZE:])


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

    Returns:
        Points and their classes, 0 or 1.

    Raises:
        ValueError: If `examples` is below 1 or `noise` is negative or not finite.
    """
    examples = _check.whole("examples", examples, 1)
    if not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise must be a number of at least 0; got {noise!r}")
    key_angle, key_noise = jax.random.split(key)
    label = jnp.arange(examples) % 2
    angle = 3 * jnp.pi * jax.random.uniform(key_angle, (examples,))
    turned = angle + jnp.pi * label
    points = jnp.stack([jnp.cos(turned), jnp.sin(turned)], axis=1) * (angle / (3 * jnp.pi))[:, None]
    return points + noise * jax.random.normal(key_noise, (examples, 2)), label
