"""Numbers as they are printed, 0.23, 68 %, 5.7 × 10⁻⁵, and tables of them."""

import re
from collections.abc import Collection, Iterable

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def typeset(text: str) -> str:
    """Text with the numbers in it as they are printed: 5.7e-05 becomes 5.7 × 10⁻⁵.

    Args:
        text: One number that Python has formatted, or a sentence with several.
    """
    text = re.sub(r"(?<![\w.)])-(?=\d)", "\N{MINUS SIGN}", text)
    text = re.sub(r"(?<=\d)%", "\N{NARROW NO-BREAK SPACE}%", text)
    return re.sub(r"(?<![\w.])(\d[\d.]*)e([+-]\d+)", _power, text)


def _power(number: re.Match) -> str:
    mantissa, exponent = number[1], int(number[2])
    power = f"10{str(exponent).translate(SUPERSCRIPTS)}"
    if mantissa == "1" or exponent == 0:
        return power if exponent else mantissa
    return f"{mantissa}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}{power}"


def table(rows: Iterable[Collection[str]]) -> list[str]:
    """Rows of cells as aligned lines: the first column to the left, the others to the right."""
    rows = [tuple(row) for row in rows]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    return ["  ".join([name.ljust(first), *map(str.rjust, row, others)]) for name, *row in rows]
