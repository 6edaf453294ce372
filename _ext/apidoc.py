"""What autodoc needs to read vgkit's docstrings and types."""

import re
import sys

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

import vgkit

ROLE = re.compile(r":\w+:`[^`]+`|``[^`]+``|\{cite(?P<text>:t)?\}`(?P<key>[^`]+)`|`(?P<code>[^`]+)`")
TYPE = re.compile(r"^(:vartype \w+: )(.*)")
MODULE = re.compile(r"\b(?:jaxlib\._jax|jaxtyping|numpy|collections\.abc)\.")


def find_constants(app: Sphinx) -> None:
    """Give a room the strings below its modules' constants, which autodoc looks up in the room."""
    for room in vgkit.__all__:
        documented = ModuleAnalyzer.for_module(f"vgkit.{room}").find_attr_docs()
        for module in [name for name in sys.modules if name.startswith(f"vgkit.{room}.")]:
            documented |= ModuleAnalyzer.for_module(module).find_attr_docs()


def roles(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list) -> None:
    """Write Markdown's code and citations, which docstrings use, as reStructuredText.

    Of a dictionary, whose values are mostly functions, the keys are listed.
    """
    if isinstance(thing, dict):
        lines += [f"Keys: {', '.join(f'`{key}`' for key in thing)}.", ""]

    def role(match: re.Match) -> str:
        if match["key"]:
            return f":cite:{'t' if match['text'] else 'p'}:`{match['key']}`"
        return f"``{match['code']}``" if match["code"] else match[0]

    lines[:] = ROLE.sub(role, "\n".join(lines)).split("\n")


def literal_types(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list
) -> None:
    """Keep the stars in jaxtyping's shapes from being read as emphasis."""
    lines[:] = [TYPE.sub(lambda m: m[1] + m[2].replace("*", r"\*"), line) for line in lines]


def skip(app: Sphinx, what: str, name: str, thing: object, skipped: bool, options: object) -> bool:
    """Leave out the fields of a NamedTuple, which the docstring of the class describes."""
    return skipped or type(thing).__name__ == "_tuplegetter"


def shorten(app: Sphinx, doctree: nodes.document) -> None:
    """Name types as the code does, without the modules where they are defined."""
    for text in [*doctree.findall(nodes.Text)]:
        if MODULE.search(text):
            text.parent.replace(text, nodes.Text(MODULE.sub("", text)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen to autodoc; napoleon does so with the priority 500."""
    app.connect("builder-inited", find_constants)
    app.connect("autodoc-process-docstring", roles, priority=400)
    app.connect("autodoc-process-docstring", literal_types, priority=600)
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-read", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
