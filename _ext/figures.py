"""Figures that follow the page's theme: matplotlib's SVG, compacted, within the page.

The pages' kernels are those of the folder `kernels`: they draw SVG where JupyterLab's draw PNG, and
show explorers by their static face.
Every colour becomes a CSS variable with itself as default: `_static/book.css` gives each its
partner on a dark ground.
"""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

HERE = Path(__file__).parent
STYLE = HERE.parent / "vgcourse" / "course.mplstyle"
CSS = HERE.parent / "_static" / "book.css"
LINK = re.compile(r"#([^)]+)")  # in href="#name" and in clip-path="url(#name)"
COLOUR = re.compile(r"#([0-9a-f]{6})\b")
DECIMALS = re.compile(r"(\.\d\d)\d+")
ROOT_STYLE = "fill: var(--on-000000, #000000); stroke-linejoin: round; stroke-linecap: butt"
"""What matplotlib leaves to defaults, or to a style sheet for all elements of the document."""
POINT = 1 / 72  # inch, the unit of matplotlib's SVG

log = logging.getLogger(__name__)


def partners() -> set[str]:
    """The colours with a partner on a dark ground in the style sheet, as six digits."""
    return set(re.findall(r"--on-([0-9a-f]{6}):", CSS.read_text("utf-8")))


def compact(text: str, alt: str, prefix: str, dpi: float) -> tuple[str, set[str]]:
    """An SVG file of matplotlib as an element of a page, and the colours in it.

    Args:
        text: The file.
        alt: What the figure shows.
        prefix: Start of the element's ids, which no other on the page may have.
        dpi: Pixels of the page per inch of the figure.
    """
    root = ElementTree.fromstring(text)
    for parent in root.iter():
        parent.text = parent.tail = None
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    names: dict[str, str] = {}  # new ids by old ones, of those that something links to

    def short(link: re.Match) -> str:
        return "#" + names.setdefault(link[1], f"{prefix}{len(names)}")

    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
        for name in {"href", "clip-path"} & attributes.keys():
            attributes[name] = LINK.sub(short, attributes[name])
        for name in {"d", "x", "y"} & attributes.keys():
            attributes[name] = " ".join(DECIMALS.sub(r"\1", attributes[name]).split())
        if "style" in attributes:
            attributes["style"] = COLOUR.sub(r"var(--on-\1, #\1)", attributes["style"])
        element.attrib = attributes
    for element in root.iter():
        name = names.get(element.attrib.pop("id", ""))
        if name:
            element.set("id", name)
    _, _, width, height = map(float, root.get("viewBox", "").split())
    root.attrib = {
        "class": "vg-figure",
        "style": ROOT_STYLE,
        "role": "img",
        "aria-label": alt,
        "viewBox": root.get("viewBox", ""),
        "width": f"{width * POINT * dpi:.0f}",
        "height": f"{height * POINT * dpi:.0f}",
    }
    written = ElementTree.tostring(root, encoding="unicode")
    return written, set(re.findall(r"--on-([0-9a-f]{6})", written))


class Inline(SphinxPostTransform):
    """Puts each figure into the page instead of a link to its file."""

    default_priority = 5  # before anything looks for image files
    formats = ("html",)

    def run(self) -> None:
        """Replace the figures of one page."""
        dpi = matplotlib.rc_params_from_file(STYLE, use_default_template=False)["figure.dpi"]
        for number, image in enumerate(list(self.document.findall(nodes.image))):
            path = Path(self.env.srcdir, image["uri"])
            if path.suffix != ".svg" or not path.is_file():
                continue
            text = path.read_text("utf-8")
            if "https://matplotlib.org" not in text:
                continue
            where = self.env.docname
            if not image.get("alt"):
                log.warning("a figure has no alt text (mystnb: image: alt)", location=where)
            figure, colours = compact(text, image.get("alt", ""), f"f{number}-", dpi)
            for colour in sorted(colours - partners()):
                log.warning("no partner of #%s on a dark ground in %s", colour, CSS, location=where)
            image.replace_self(nodes.raw("", figure, format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Have the pages run by the book's own kernels, and put their figures into the pages."""
    paths = (str(HERE), os.environ.get("JUPYTER_PATH", ""))
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, paths))
    app.add_post_transform(Inline)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
