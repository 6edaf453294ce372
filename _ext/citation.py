"""How to cite the course, from CITATION.cff alone."""

from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

CITATION = Path(__file__).parent.parent / "CITATION.cff"


def name(author: dict[str, str]) -> str:
    """A person's or a group's name."""
    parts = ("given-names", "name-particle", "family-names", "name-suffix", "name")
    return " ".join(author[part] for part in parts if part in author)


def sentence(cited: dict) -> str:
    """Authors, year, title and version."""
    authors = ", ".join(map(name, cited["authors"]))
    year = str(cited["date-released"])[:4]
    return f"{authors} ({year}). {cited['title']}. Version {cited['version']}."


def bibtex(cited: dict) -> str:
    """The same for LaTeX. The double braces keep a group's name in one piece."""
    fields = {
        "author": " and ".join(f"{{{name(author)}}}" for author in cited["authors"]),
        "title": f"{{{cited['title']}}}",
        "year": str(cited["date-released"])[:4],
        "note": f"Version {cited['version']}",
    }
    lines = "\n".join(f"  {key} = {{{value}}}," for key, value in fields.items())
    return f"@misc{{vgkit,\n{lines}\n}}"


class Citation(SphinxDirective):
    """A sentence to cite the course with, and its BibTeX entry."""

    def run(self) -> list[nodes.Node]:
        """A quotation and a block of code."""
        self.env.note_dependency(str(CITATION))
        cited = yaml.safe_load(CITATION.read_text("utf-8"))
        code = bibtex(cited)
        quotation = nodes.block_quote("", nodes.paragraph("", sentence(cited)))
        return [quotation, nodes.literal_block(code, code, language="bibtex")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("cite-this", Citation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
