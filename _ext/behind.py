"""The code behind a figure: one click away, where a page calls a function of vgcourse.

A cell that only calls `depth.shares()` shows that function too, under the cell's own line.
"""

import ast
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

COURSE = Path(__file__).parent.parent / "vgcourse"
CALL = re.compile(r"^(\w+)\.(\w+)\(.*\);?$")


def source(module: str, function: str) -> str:
    """Source of a function of the course, or nothing where there is none of this name."""
    path = COURSE / f"{module}.py"
    if not path.is_file():
        return ""
    text = path.read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return ""


class Behind(SphinxPostTransform):
    """Shows the functions that one-line cells call."""

    default_priority = 5
    formats = ("html",)

    def run(self) -> None:
        """Add the sources of one page."""
        for cell in self.document.findall(nodes.container):
            if cell.get("nb_element") != "cell_code_source":
                continue
            call = CALL.match(cell.astext().strip())
            text = call and source(*call.groups())
            if text:
                block = nodes.literal_block(text, text, language="python", classes=["vg-behind"])
                cell += block


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the transform."""
    app.add_post_transform(Behind)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
