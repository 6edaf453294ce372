"""Drawings: whole, within their frame, legible on a telephone and in both themes."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import ROOT

from vgcourse import chain_rule, diagrams

DRAWN = {
    "network": diagrams.network(np.eye(8)),
    "chain": chain_rule.picture_by_hand(),
    "jacobian": chain_rule.picture_jacobian(),
    "two_cuts": diagrams.two_cuts(),
    "one_layer": diagrams.one_layer(),
    "residual_block": diagrams.residual_block(),
    "lstm_cell": diagrams.lstm_cell(),
    "lstm_cell of 1997": diagrams.lstm_cell(forget=False),
    "unrolled": diagrams.unrolled(),
}
PARTNERS = set(re.findall(r"--on-([0-9a-f]{6}):", (ROOT / "_static" / "book.css").read_text()))
TELEPHONE = 340  # px of text on a screen of 380


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing(name):
    drawing = DRAWN[name]
    html = drawing._repr_html_()
    root = ElementTree.fromstring(html)
    assert root.get("role") == "img" and root.get("aria-label") == drawing.alt
    assert len(drawing.alt) > 100 and "nan" not in html
    for bare in re.sub(r"var\(--on-([0-9a-f]{6}), ?(var\([\w-]+, )?#\1\)*", r"<\1>", html).split(
        "<"
    ):
        assert not re.match(r"[^>]*#[0-9a-f]{6}", bare)  # every colour has its variable
    assert set(re.findall(r"--on-([0-9a-f]{6})", html)) <= PARTNERS
    for text in root.iter("text"):
        size = float(text.get("font-size"))
        assert size * TELEPHONE / drawing.width >= 9
        assert 0 < float(text.get("y")) <= drawing.height
        wide = 0.55 * size * len("".join(text.itertext()))
        shift = {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor")] * wide
        assert float(text.get("x")) - shift > -2
        assert float(text.get("x")) - shift + wide < drawing.width + 2, "".join(text.itertext())
    for shape in root.iter("rect"):
        x, y, width, height = (float(shape.get(key)) for key in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= drawing.width and 0 <= y <= y + height <= drawing.height


def test_formulas_and_markup():
    root = ElementTree.fromstring(diagrams.label(5, 10, "a < $h_{ℓ−1}$ & $w_1x$", "red", 20))
    spans = [(span.text, span.get("font-style"), span.get("dy")) for span in root]
    assert spans == [
        ("a < ", None, None), ("h", "italic", None), ("ℓ−1", None, "5"), (" & ", None, "-5"),
        ("w", "italic", None), ("1", None, "5"), ("x", "italic", "-5"),
    ]  # fmt: skip


def test_an_arrow_points_where_it_ends():
    line, head = re.findall(r'points="([^"]*)"', diagrams.arrow((0, 0), (30, 40)))
    tip, left, right = (np.array(p.split(","), float) for p in head.split())
    assert tuple(tip) == (30, 40)
    middle = (left + right) / 2
    np.testing.assert_allclose((tip - middle) / np.linalg.norm(tip - middle), [0.6, 0.8], atol=1e-3)
    np.testing.assert_allclose(np.array(line.split()[1].split(","), float), middle, atol=0.02)
