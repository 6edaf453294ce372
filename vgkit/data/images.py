"""Handwritten digits, shipped with the package."""

from importlib import resources
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vgkit import _check

TRAIN_SIZE = 1437


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


def sequences(
    images: Float[Array, "images pixels"], step: int = 8
) -> Float[Array, "images time {step}"]:
    """Images read as sequences, `step` pixels at a time.

    Digits of 8 x 8 pixels become 8 steps of a row each or, with `step=1`, 64 steps of one pixel.

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
