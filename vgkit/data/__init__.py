"""Data that comes with the package: digits and synthetic tasks."""

from vgkit.data.images import Digits, digits, sequences
from vgkit.data.tasks import adding_problem, copy_memory, two_spirals

__all__ = [
    "Digits",
    "adding_problem",
    "copy_memory",
    "digits",
    "sequences",
    "two_spirals",
]
