"""What the explorers of a built page hold, read back; on the page `host.mjs` does it."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from vgkit.explore.grid import ALPHABET, LARGEST_RESIDUAL, MISSING

DATA = re.compile(r'<script type="application/json" class="vg-data">(.*?)</script>', re.DOTALL)


def shipped(html: str) -> list[dict[str, Any]]:
    """The descriptions of the explorers in a page, with their packed results."""
    return [json.loads(data) for data in DATA.findall(html)]


def row_of(explorer: Mapping[str, Any], name: str, positions: Mapping[str, int]) -> int:
    """The row of an unpacked array that belongs to positions of the controls."""
    sizes = {control["name"]: len(control["options"]) for control in explorer["controls"]}
    over = explorer["grid"][name]["over"]
    shape = [sizes[control] for control in over]
    return int(np.ravel_multi_index([positions[c] for c in over], shape)) if over else 0


def unpack(packed: Mapping[str, Any]) -> np.ndarray:
    """What `vgkit.explore.grid.pack` packed: a row for each combination of the axes in "over"."""
    points = packed["points"]
    tokens = re.findall(r"!(.*?)!|(.)", packed["text"])
    values = np.empty((len(tokens) // points, points))
    border = [math.nan] * (points + 1)  # above the first row; the first column is one too
    above = border
    for r in range(len(values)):
        row = border.copy()
        for c in range(points):
            escaped, character = tokens[r * points + c]
            if character == MISSING or "inf" in escaped:
                values[r, c] = float(escaped or "nan")
                continue
            guesses = (row[c] + above[c + 1] - above[c], row[c], above[c + 1], 0)
            guess = next(guess for guess in guesses if not math.isnan(guess))
            residual = int(escaped) if escaped else ALPHABET.index(character) - LARGEST_RESIDUAL
            step = row[c + 1] = guess + residual
            values[r, c] = 10.0 ** (packed["lo"] + packed["step"] * (step - 1)) if step else 0.0
        above = row
    six = np.array([ALPHABET.index(character) for character in packed["signs"]], int)
    negative = ((six[:, None] >> np.arange(6)) & 1).ravel()[: values.size]
    finite = np.isfinite(values.ravel()[: negative.size])
    values.ravel()[: negative.size][finite & (negative == 1)] *= -1
    return values
