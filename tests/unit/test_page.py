"""Numbers as the text prints them."""

import pytest

from vgcourse import page
from vgkit._typeset import typeset

PRINTED = [
    (5.68e-5, "", "5.7 × 10⁻⁵"), (1e-12, ".0e", "10⁻¹²"), (0.684, ".0%", "68 %"), (-3, ".0f", "−3"),
    (0.23456, "", "0.23"), (149.6, "", "150"), (33_898, "", "3.4 × 10⁴"), (9.999e-4, "", "0.001"),
    (0, "", "0"), (1, ".1e", "1.0"), (-4e-9, "", "−4.0 × 10⁻⁹"), (float("inf"), "", "inf"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "form", "printed"), PRINTED)
def test_a_number_as_text(value, form, printed):
    text = page.text(value, form)
    assert (
        text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ") == printed
    )


def test_words_between_numbers_stay():
    sentence = "The pre-activation 1e-3 of x2e5 falls from 1.5e-07 to -2, in run 3-4."
    printed = "The pre-activation 10⁻³ of x2e5 falls from 1.5 × 10⁻⁷ to −2, in run 3-4."
    assert typeset(sentence).replace("\N{NO-BREAK SPACE}", " ") == printed
