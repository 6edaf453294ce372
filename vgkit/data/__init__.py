"""Data that comes with the package: digits, synthetic tasks, and results of long runs."""

from vgkit.data.images import TRAIN_SIZE, Digits, digits, sequences
from vgkit.data.kept import kept
from vgkit.data.tasks import adding_problem, copy_memory, two_spirals

__all__ = [
    "TRAIN_SIZE",
    "Digits",
    "adding_problem",
    "copy_memory",
    "digits",
    "kept",
    "sequences",
    "two_spirals",
]
