"""Data that comes with the package: digits and synthetic tasks."""

from vgkit.data.images import TRAIN_SIZE, Digits, digits, sequences
from vgkit.data.tasks import adding_problem, copy_memory, two_spirals

__all__ = [
    "TRAIN_SIZE",
    "Digits",
    "adding_problem",
    "copy_memory",
    "digits",
    "sequences",
    "two_spirals",
]
