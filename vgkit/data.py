"""Data that comes with the package: handwritten digits."""

from importlib import resources
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

__all__ = ["Digits", "digits"]

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
