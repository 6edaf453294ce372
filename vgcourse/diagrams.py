"""Drawings of networks and their parts, as SVG that follows the theme of the page.

Four primitives, `node`, `box`, `arrow` and `label`, return SVG; a `Diagram` puts them together.
Blue is what runs forward, orange what runs backward, green a gradient of weights. Every colour is a
variable of `_static/book.css`, as in the figures of matplotlib, with itself as default.
"""

import re
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from vgcourse.page import text as printed
from vgkit.plots import COLOURS

FORWARD, BACKWARD, WEIGHTS, INSIDE = (f"var(--on-{c[1:]}, {c})" for c in COLOURS)
INK = "var(--on-000000, var(--jp-ui-font-color1, #000000))"
MUTED = "var(--on-666666, var(--jp-ui-font-color2, #666666))"
PAPER = "var(--on-ffffff, var(--jp-layout-color0, #ffffff))"
SIZE = 15  # of letters, in units of the drawing: about 12 px on a telephone
ENLARGED = 1.25  # on a wide screen
MATHS = re.compile(r"_\{(?P<low>[^}]*)\}|_(?P<index>.)|(?P<letter>[^\W\d_]|∂)|(?P<rest>[^_])")

Number = float | int
Point = tuple[Number, Number]


class Diagram(NamedTuple):
    """A drawing; a notebook and the book show it as SVG.

    Attributes:
        width: In units of its own; at most 460, so that letters can be read on a telephone.
        height: In the same units.
        alt: What is to be seen, in words.
        parts: What the primitives return, in the order in which they are painted.
    """

    width: Number
    height: Number
    alt: str
    parts: Sequence[str]

    def _repr_html_(self) -> str:
        style = f"width: 100%; max-width: {ENLARGED * self.width:g}px; height: auto"
        return (
            f'<svg class="vg-diagram" role="img" aria-label="{escape(self.alt)}" style="{style}" '
            f'viewBox="0 0 {self.width:g} {self.height:g}">{"".join(self.parts)}</svg>'
        )


def label(
    x: Number,
    y: Number,
    text: str,
    colour: str = INK,
    size: Number = SIZE,
    anchor: str = "middle",
    halo: str = PAPER,
) -> str:
    """Text whose middle is at height y.

    Args:
        x: Its middle, or with anchor "start" or "end" its side.
        y: Its middle.
        text: Letters of a formula, between dollars, are slanted; what follows _ is an index.
        colour: Of the letters.
        size: Height of the letters.
        anchor: Which point of the text is at x.
        halo: Colour around the letters, which keeps lines off them.
    """
    return (
        f'<text x="{x:g}" y="{y + 0.35 * size:g}" text-anchor="{anchor}" font-size="{size:g}" '
        f'fill="{colour}" stroke="{halo}" stroke-width="4" stroke-linejoin="round" '
        f'style="paint-order: stroke">{_words(text, size)}</text>'
    )


def _words(text: str, size: Number) -> str:
    spans, back = [], ""
    for number, part in enumerate(text.split("$")):
        if number % 2 == 0:
            spans.append(f"<tspan{back}>{escape(part)}</tspan>" if part else "")
            back = "" if part else back
            continue
        for token in MATHS.finditer(part):
            index = token["low"] or token["index"]
            place = f' dy="{size / 4:g}" font-size="{0.7 * size:g}"' if index else back
            slant = ' font-family="Georgia, serif" font-style="italic"' * bool(token["letter"])
            spans.append(f"<tspan{place}{slant}>{escape(index or token[0])}</tspan>")
            back = f' dy="{-size / 4:g}"' if index else ""
    return "".join(spans)


def node(x: Number, y: Number, text: str = "", colour: str = INK, radius: Number = 20) -> str:
    """A circle around its text."""
    circle = f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" {_outline(colour)}/>'
    return circle + (label(x, y, text) if text else "")


def box(
    x: Number,
    y: Number,
    width: Number,
    height: Number,
    text: str = "",
    colour: str = INK,
) -> str:
    """A rectangle around its text; x and y are its middle."""
    place = f'x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}"'
    words = label(x, y, text, halo="none") if text else ""
    return f'<rect {place} rx="4" {_outline(colour)}/>{words}'


def _outline(colour: str) -> str:
    return f'fill="{PAPER}" stroke="{colour}" stroke-width="1.6"'


def arrow(
    *points: Point, colour: str = INK, width: Number = 1.6, head: bool = True, dash: bool = False
) -> str:
    """A line through points, with a head at the last one."""
    *_, (x0, y0), (x, y) = points
    ux, uy = np.array([x - x0, y - y0]) / np.hypot(x - x0, y - y0)
    long, broad = 5 + 2 * width, 2 + 1.2 * width
    ends = [*points[:-1], (x - long * ux, y - long * uy)] if head else points
    path = " ".join(f"{px:.4g},{py:.4g}" for px, py in ends)
    dashes = ' stroke-dasharray="5 4"' * dash
    line = (
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}" '
        f'stroke-linejoin="round"{dashes}/>'
    )
    sides = [(x - long * ux - s * broad * uy, y - long * uy + s * broad * ux) for s in (1, -1)]
    tip = " ".join(f"{px:.4g},{py:.4g}" for px, py in [(x, y), *sides])
    return line + f'<polygon points="{tip}" fill="{colour}"/>' * head


def _two(value: Number) -> str:
    """Two significant digits, the second one also where it is 0."""
    return printed(value, "#.2g")


def network(pixels: Float[Array | np.ndarray, "8 8"]) -> Diagram:
    """A network with what runs forward through it and what runs back.

    Args:
        pixels: The digit at its input, from 0 for white to 1 for black.
    """
    layers, units = (150, 215, 305), (50, 90, 130, 170)
    columns = [*[(x, units) for x in layers], (370, (60, 110, 160))]
    parts = [
        box(50, 114, 64, 64, "", MUTED),
        *(
            f'<rect x="{18 + 8 * column}" y="{82 + 8 * row}" width="8" height="8" fill="{INK}" '
            f'fill-opacity="{shade:.2f}"/>'
            for (row, column), shade in np.ndenumerate(pixels)
        ),
    ]
    for (x0, from_), (x, to) in [((78, (85, 135)), columns[0]), *pairwise(columns)]:
        faint = {"colour": MUTED, "width": 0.5, "head": False, "dash": x - x0 > 80}
        parts += [arrow((x0, y0), (x, y), **faint) for y0 in from_ for y in to]
    parts += [node(x, y, colour=FORWARD, radius=11) for x, rows in columns for y in rows]
    parts += [label(260, 110, "…", MUTED, 20), label(47, 160, "pixels", MUTED)]
    parts += [
        label(x, 198, name, MUTED) for x, name in [(150, "layer 1"), (215, "2"), (305, "last")]
    ]
    parts += [label(370, 198, "output", MUTED), box(432, 110, 36, 30, "$L$")]
    parts += [arrow((384, 110), (412, 110)), label(432, 80, "loss", MUTED)]
    parts += [arrow((20, 24), (440, 24), colour=FORWARD, width=3)]
    parts += [label(230, 8, "forward: the signal $h$", FORWARD)]
    parts += [arrow((440, 222), (20, 222), colour=BACKWARD, width=3)]
    parts += [label(230, 242, "backward: the error signal $∂L/∂z$", BACKWARD)]
    return Diagram(
        460, 256,
        "A digit's pixels, columns of units for layer 1, layer 2 and so on to the last hidden "
        "layer, the output and the loss. A blue arrow above runs from the pixels to the loss: the "
        "signal. An orange arrow below runs from the loss back to the pixels: the error signal.",
        parts,
    )  # fmt: skip


def chain(
    weights: Sequence[Number],
    h: Sequence[Number],
    loss: Number,
    slopes: Sequence[Number],
    delta: Sequence[Number],
    by_weight: Sequence[Number],
    target: Number = 0.0,
) -> Diagram:
    """A chain of neurons with all its numbers.

    Args:
        weights: One for each neuron.
        h: The input, and the output of each neuron.
        loss: Half of the squared difference from the target.
        slopes: Of each neuron.
        delta: The error signal of each neuron, dL/dz.
        by_weight: The gradient of each weight.
        target: What the output should be.
    """
    count = len(weights)
    at = [28 + 100 * k for k in range(count + 1)] + [132 + 100 * count]
    neurons = at[1:-1]
    parts = [arrow((a + 20, 62), (b - 20, 62), colour=FORWARD) for a, b in pairwise(at)]
    parts += [node(x, 62, _two(value)) for x, value in zip(at[1:], h[1:], strict=False)]
    parts += [node(at[0], 62, printed(h[0]))]
    parts += [box(at[-1], 62, 40, 32, _two(loss)), label(at[0], 30, "$x$")]
    parts += [label(x, 30, f"$h_{k}$") for k, x in enumerate(neurons, 1)] + [
        label(at[-1], 30, "$L$")
    ]
    middles = [(a + b) / 2 for a, b in pairwise(at)]
    parts += [
        label(x, 47, f"× {printed(w)}", FORWARD) for x, w in zip(middles, weights, strict=False)
    ]
    parts += [
        label(x, 96, f"slope {_two(slope)}", MUTED, 13)
        for x, slope in zip(neurons, slopes, strict=True)
    ]
    parts += [arrow((b - 22, 150), (a + 22, 150), colour=BACKWARD) for a, b in pairwise(at[1:])]
    parts += [label(28, 140, "error", BACKWARD, 13), label(28, 156, "signal", BACKWARD, 13)]
    factors = [f"× {printed(w)} × {_two(s)}" for w, s in zip(weights[1:], slopes[:-1], strict=True)]
    factors.append(f"{_two(h[-1] - target)} × {_two(slopes[-1])}")
    parts += [
        label(x, 128, factor, BACKWARD, 13) for x, factor in zip(middles[1:], factors, strict=True)
    ]
    parts += [label(x, 150, _two(value), BACKWARD) for x, value in zip(neurons, delta, strict=True)]
    below = [printed(h[0]), *map(_two, h[1:-1])]
    for k, (x, value) in enumerate(zip(neurons, by_weight, strict=True), 1):
        parts += [arrow((x, 162), (x, 186), colour=WEIGHTS), label(x, 218, _two(value), WEIGHTS)]
        parts += [label(x, 198, f"$∂L/∂w_{k}$", WEIGHTS)]
        parts += [label(x + 6, 174, f"× {below[k - 1]}", WEIGHTS, 13, "start")]
    parts += [label(28, 198, "weight", WEIGHTS, 13), label(28, 214, "gradient", WEIGHTS, 13)]
    numbers = "; ".join(
        f"neuron {k}: weight {printed(weights[k - 1])}, output {_two(h[k])}, slope "
        f"{_two(slopes[k - 1])}, error signal {_two(delta[k - 1])}, weight gradient "
        f"{_two(by_weight[k - 1])}"
        for k in range(1, count + 1)
    )
    return Diagram(
        at[-1] + 28, 232,
        f"A chain of {count} neurons from the input {printed(h[0])} to the loss {_two(loss)}. "
        f"{numbers}. Arrows run back from the loss; each multiplies by a weight and a slope.",
        parts,
    )  # fmt: skip


def jacobian(
    h: Float[np.ndarray, " 3"],
    w: Float[np.ndarray, "2 3"],
    z: Float[np.ndarray, " 2"],
    output: Float[np.ndarray, " 2"],
    slopes: Float[np.ndarray, " 2"],
) -> Diagram:
    """A layer of two units with three inputs, and its Jacobian.

    Args:
        h: Inputs.
        w: Weights.
        z: Pre-activations.
        output: Outputs.
        slopes: Of the two units.
    """
    side, tall = 50, 32

    def cells(x: Number, y: Number, values: np.ndarray, colour: str, form: str = "") -> list[str]:
        middle = (np.array(values.shape) - 1) / 2
        return [
            box(x + side * (c - middle[1]), y + tall * (r - middle[0]), side, tall,
                printed(value, form), colour)
            for (r, c), value in np.ndenumerate(values)
        ]  # fmt: skip

    columns = (32, 170, 312, 428)
    parts = [*cells(32, 82, h[:, None], FORWARD), *cells(170, 82, w, INK)]
    parts += [
        *cells(312, 82, z[:, None], FORWARD, ".3g"),
        *cells(428, 82, output[:, None], FORWARD),
    ]
    parts += [arrow((60, 82), (93, 82)), arrow((248, 82), (284, 82)), arrow((340, 82), (400, 82))]
    parts.append(label(370, 68, "$ϕ$"))
    for x, name in zip(columns, ("inputs $h$", "weights $W$", "$z = Wh$", "outputs"), strict=True):
        parts.append(label(x, 16, name, MUTED))
    parts += [*cells(55, 194, np.diag(slopes), INSIDE), label(117, 194, "×", INK, 18)]
    parts += [*cells(204, 194, w, INK), label(292, 194, "=", INK, 18)]
    parts += cells(380, 194, slopes[:, None] * w, BACKWARD)
    parts += [label(55, 242, "slopes $ϕ′(z)$", INSIDE), label(204, 242, "weights $W$", MUTED)]
    parts.append(label(380, 242, "Jacobian $J$", BACKWARD))
    rows = [", ".join(map(printed, row)) for row in slopes[:, None] * w]
    return Diagram(
        460, 256,
        "Above, a layer: three inputs, a matrix of weights with two rows of three, two "
        "pre-activations, two outputs. Below, a matrix with the units' slopes on its diagonal, "
        f"times the weights: the Jacobian, with the rows {rows[0]} and {rows[1]}.",
        parts,
    )  # fmt: skip


def two_cuts() -> Diagram:
    """The backward pass through two layers, cut into Jacobians and cut at the pre-activations."""
    at = (44, 168, 292, 416)
    names = ("$h_{ℓ−1}$", "$z_ℓ$", "$h_ℓ$", "$z_{ℓ+1}$")
    parts = [box(x, 40, 62, 34, name, FORWARD) for x, name in zip(at, names, strict=True)]
    steps = ("$W_ℓ$", "$ϕ$", "$W_{ℓ+1}$")
    back = ("$W_ℓ$ᵀ", "$ϕ′(z_ℓ)$", "$W_{ℓ+1}$ᵀ")
    for a, b, step, factor in zip(at, at[1:], steps, back, strict=False):
        parts += [arrow((a + 32, 32), (b - 32, 32), colour=FORWARD)]
        parts += [arrow((b - 32, 48), (a + 32, 48), colour=BACKWARD)]
        parts += [label((a + b) / 2, 16, step, FORWARD), label((a + b) / 2, 66, factor, BACKWARD)]
    for left, right, y, name in (
        (at[0], at[2], 96, "$J_ℓ$ᵀ: from $∂L/∂h_ℓ$ to $∂L/∂h_{ℓ−1}$"),
        (at[1], at[3], 146, "from $δ_{ℓ+1}$ to $δ_ℓ$"),
    ):
        parts += [arrow((right, y), (left, y), colour=BACKWARD, width=2.4)]
        parts += [arrow((x, y - 8), (x, y + 8), colour=BACKWARD, head=False) for x in (left, right)]
        parts += [label((left + right) / 2, y + 20, name, BACKWARD)]
    return Diagram(
        460, 182,
        "A row: output of the layer before, pre-activation, output, pre-activation of the layer "
        "after. Between them weights, slope, weights. The way back meets the transposed weights, "
        "the slopes, the transposed weights. The transposed Jacobian spans slopes and the weights "
        "before them; the step between two error signals spans the weights after and the slopes.",
        parts,
    )  # fmt: skip


def one_layer() -> Diagram:
    """What mean-field theory follows through a layer: a length forward, an error signal back."""
    parts = [
        box(62, 50, 96, 44, "", FORWARD), label(62, 42, "length $q_ℓ$", FORWARD),
        label(62, 59, "mean of $z$²", MUTED, 13),
        arrow((110, 50), (150, 50), colour=FORWARD),
        box(176, 50, 52, 36, "$ϕ$"),
        arrow((202, 50), (242, 50), colour=FORWARD),
        box(282, 50, 80, 36, "weights"),
        arrow((322, 50), (352, 50), colour=FORWARD),
        box(400, 50, 96, 44, "$q_{ℓ+1}$", FORWARD),
        arrow((62, 72), (62, 112), (176, 112), (176, 140), colour=FORWARD, dash=True),
        label(186, 112, "says how steep $ϕ$ is at these $z$", MUTED, 13, "start"),
        box(62, 160, 96, 44, "", BACKWARD), label(62, 152, "error signal", BACKWARD),
        label(62, 170, "$δ_ℓ$", BACKWARD),
        arrow((150, 160), (110, 160), colour=BACKWARD),
        box(176, 160, 52, 36, "slope"),
        arrow((242, 160), (202, 160), colour=BACKWARD),
        box(282, 160, 80, 36, "weights"),
        arrow((352, 160), (322, 160), colour=BACKWARD),
        box(400, 160, 96, 44, "$δ_{ℓ+1}$", BACKWARD),
        label(230, 206, "factor = gain × typical slope", BACKWARD),
    ]  # fmt: skip
    return Diagram(
        460, 224,
        "Two rows. Above, forward: the length of a layer, its mean squared pre-activation, runs "
        "through the activation and the weights and becomes the next layer's length. Below, "
        "backward: the next layer's error signal runs through the weights and the slope and "
        "becomes this layer's. A dashed arrow leads from the length down to the slope: it says how "
        "steep the activation is.",
        parts,
    )  # fmt: skip


def residual_block() -> Diagram:
    """A residual layer: a branch that computes, and a skip connection around it."""
    parts = [
        arrow((70, 110), (130, 110), colour=FORWARD),
        arrow((190, 110), (230, 110), colour=FORWARD),
        arrow((290, 110), (332, 110), colour=FORWARD),
        arrow((372, 110), (412, 110), colour=FORWARD),
        arrow((98, 110), (98, 34), (352, 34), (352, 90), colour=FORWARD, width=2.6),
        box(160, 110, 60, 40, "$W_ℓ$"),
        box(260, 110, 60, 40, "$ϕ$"),
        node(352, 110, "+"),
        label(42, 110, "$h_{ℓ−1}$"),
        label(434, 110, "$h_ℓ$"),
        label(225, 18, "skip", FORWARD),
        label(210, 76, "branch", FORWARD),
        arrow((414, 150), (44, 150), colour=BACKWARD, width=2.6),
        label(230, 172, "backward: factor $1$ through the skip", BACKWARD),
        label(230, 194, "plus the branch’s slopes times weights", BACKWARD),
    ]
    return Diagram(
        460, 210,
        "A residual layer. Its input runs along a branch, through weights and activation, to a "
        "sum; a skip connection brings the same input to the sum unchanged. On the way back the "
        "factor is 1 through the skip plus slopes times weights through the branch.",
        parts,
    )  # fmt: skip


def lstm_cell(forget: bool = True) -> Diagram:
    """An LSTM cell: the line of the cell state, the layers that act on it, and two ways back.

    Args:
        forget: Whether it has a forget gate; the cell of 1997 has none.
    """
    gates = [(168, "$i$", "σ", "input"), (238, "$g$", "tanh", "content")]
    gates.append((318, "$o$", "σ", "output"))
    if forget:
        gates.insert(0, (98, "$f$", "σ", "forget"))
        kept = [
            arrow((12, 52), (84, 52), colour=INSIDE, width=3),
            arrow((112, 52), (189, 52), colour=INSIDE, width=3),
            arrow((98, 166), (98, 68), colour=FORWARD),
            node(98, 52, "×", radius=14),
        ]
    else:
        kept = [arrow((12, 52), (189, 52), colour=INSIDE, width=3)]
    parts = [
        box(228, 136, 340, 264, "", MUTED),
        *kept,
        arrow((412, 38), (64, 38), colour=BACKWARD),
        arrow((412, 66), (212, 66), (212, 124), (230, 124), (230, 222), (64, 222), colour=BACKWARD),
        arrow((217, 52), (452, 52), colour=INSIDE, width=3),
        arrow((12, 236), (344, 236), colour=FORWARD, head=False),
        arrow((36, 282), (36, 238), colour=FORWARD),
        arrow((168, 166), (168, 116), (188, 116), colour=FORWARD),
        arrow((238, 166), (238, 116), (218, 116), colour=FORWARD),
        arrow((203, 102), (203, 68), colour=FORWARD),
        arrow((318, 166), (318, 138), (346, 138), colour=FORWARD),
        arrow((360, 52), (360, 78), colour=INSIDE),
        arrow((360, 106), (360, 122), colour=INSIDE),
        arrow((374, 138), (452, 138), colour=FORWARD),
        node(203, 52, "+", radius=14),
        node(203, 116, "×", radius=14),
        box(360, 92, 48, 26, "tanh"),
        node(360, 138, "×", radius=14),
    ]
    for x, name, kind, role in gates:
        parts += [arrow((x, 236), (x, 198), colour=FORWARD), box(x, 182, 50, 30, kind)]
        parts += [label(x + 16, 154, name, FORWARD), label(x, 252, role, MUTED, 13)]
    parts += [
        label(28, 30, "$c_{t−1}$", INSIDE), label(432, 30, "$c_t$", INSIDE),
        label(26, 214, "$h_{t−1}$", FORWARD), label(432, 118, "$h_t$", FORWARD),
        label(56, 282, "$x_t$", FORWARD),
        label(260, 18, f"first way back: times {'$f_t$' if forget else '1'}", BACKWARD),
        label(264, 284, "second way back: through slopes and matrices", BACKWARD),
    ]  # fmt: skip
    line = "it is multiplied by the forget gate f, then" if forget else "nothing multiplies it;"
    return Diagram(
        460, 300,
        f"An LSTM cell{'' if forget else ' without forget gate'}. The cell state runs along a line "
        f"at the top: {line} the product of the input gate i and the new content g is added. The "
        "new state, through a tanh and times the output gate o, is the hidden state. Gates and "
        "content are computed from the last hidden state and the input. Two orange arrows lead "
        "back: one along the line, one through the content to the last hidden state.",
        parts,
    )  # fmt: skip


def unrolled() -> Diagram:
    """A recurrent net drawn once for each time step, with the same matrix between all steps."""
    at = (40, 150, 250, 380)
    parts = []
    for (x0, x), dash in zip(pairwise(at), (False, False, True), strict=True):
        parts.append(arrow((x0 + 24, 70), (x - 24, 70), colour=FORWARD, dash=dash))
        parts.append(arrow((x - 24, 88), (x0 + 24, 88), colour=BACKWARD, dash=dash))
        parts += [label((x0 + x) / 2, 54, "$W$", FORWARD)]
    names = (("0", ""), ("1", "1"), ("2", "2"), ("T", "T"))
    for x, (state, read) in zip(at, names, strict=True):
        parts.append(node(x, 79, "", FORWARD, 23))
        parts.append(label(x, 79, f"$h_{state}$", halo="none"))
        if read:
            parts += [arrow((x, 146), (x, 104), colour=FORWARD), label(x, 160, f"$x_{read}$")]
            parts.append(label(x + 8, 124, "$W_{in}$", FORWARD, 13, "start"))
    parts += [arrow((380, 56), (380, 30)), label(380, 16, "$L$")]
    parts.append(label(40, 120, "start", MUTED, 13))
    parts += [arrow((404, 196), (16, 196), colour=BACKWARD, width=2.6)]
    parts.append(label(210, 216, "backward: one factor for each step", BACKWARD))
    return Diagram(
        460, 232,
        "A recurrent net unrolled in time: the states h0, h1, h2 and so on to hT in a row. Blue "
        "arrows lead from each state to the next, all through the same matrix W, and an input "
        "enters at every step. The loss reads the last state. Orange arrows lead back, one factor "
        "for each step.",
        parts,
    )  # fmt: skip
