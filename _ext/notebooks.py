"""Each page with code as a notebook that is saved, and that runs outside the book.

What only the book understands is written as plain Markdown: numbers stand in the text, links are
absolute, and so are images, or they are plain words where the book's address is not known.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, join, normpath

import nbformat
from myst_nb.core.read import is_myst_markdown_notebook, read_myst_markdown_notebook
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from vgbook import repository

ROLE = re.compile(r"\{([\w:]+)\}`([^`<]*?)(?:\s*<([^`>]+)>)?`")
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
BOX = re.compile(r"^:{3,}\{admonition\} (.*)\n((?:.*\n)*?):{3,}$", re.MULTILINE)
PLAIN_BOX = re.compile(r"^:{3,}\{div\}.*\n((?:.*\n)*?):{3,}$", re.MULTILINE)
EXERCISE = re.compile(r"^```\{exercise-start\}\n:label: (\S+)\n```$", re.MULTILINE)
SOLUTION = re.compile(r"^```\{solution-(?:start|end)\}(?: (\S+)(?:\n:.*)*)?\n```$", re.MULTILINE)
DROPPED = re.compile(
    r"^\([\w-]+\)=\n|^```\{exercise-end\}\n```$|^```\{launch\}\n```$", re.MULTILINE
)
HIDDEN = {"hide-input", "remove-cell", "remove-input"}
INSTALL = """\
# The course's packages are needed; where they are missing, they are installed here.
import importlib.util

if importlib.util.find_spec("vgcourse") is None:
    {0}"""
UNKNOWN = """raise ModuleNotFoundError("In the course's folder, run: pip install '.[course]'")"""
LICENCE = "Text: CC BY 4.0. Code: MIT."


def authors(entry: object) -> str:
    """Who wrote a work, and when: as in the book's citations."""
    names = [" ".join([*p.prelast_names, *p.last_names]) for p in entry.persons["author"]]
    if len(names) > 2:
        return f"{names[0]} *et al.*, {entry.fields['year']}"
    return f"{' and '.join(names)}, {entry.fields['year']}"


def linked(text: str, base: str, address: str) -> str:
    """A link, or the text alone where the address of the book is not known."""
    return f"[{text}]({base}{address})" if base else text


def said(env: BuildEnvironment, page: str, base: str, role: re.Match) -> str:
    """What a role says, in plain Markdown."""
    name, text, target = role.groups()
    text = " ".join(text.split())
    if name == "eval":
        return env.metadata[page]["said"][text.removeprefix("said.")]
    std = env.domains["std"]
    if name == "ref":
        doc, anchor, title = std.labels.get(target or text, ("", "", text))
        return linked(text if target else title, base if doc else "", f"{doc}.html#{anchor}")
    if name == "term":
        key = " ".join((target or text).split()).lower()
        places = {term.lower(): place for (kind, term), place in std.objects.items()
                  if kind == "term"}  # fmt: skip
        doc, anchor = places[key]
        return linked(text, base, f"{doc}.html#{anchor}")
    if name in ("cite:p", "cite:t"):
        works = {c.key: c for c in env.domains["cite"].citations}
        cited = [works[key.strip()] for key in text.split(",")]
        links = [
            linked(authors(c.entry), base, f"{c.bibliography_key.docname}.html#{c.citation_id}")
            for c in cited
        ]
        return f"({'; '.join(links)})" if name == "cite:p" else " and ".join(links)
    raise ValueError(f"{page}: no plain Markdown is known for the role {name!r}")


def moved(env: BuildEnvironment, page: str, base: str, link: re.Match) -> str:
    """A relative link or image with its address in the published book."""
    image, text, address, anchor = link.groups()
    path = normpath(join(dirname(page), address))
    if image:
        return f"![{text}]({base}_images/{env.images[path][1]})" if base else text
    return linked(text, base, f"{path.removesuffix('.md')}.html{anchor or ''}")


def markdown(env: BuildEnvironment, page: str, base: str, text: str) -> str:
    """Markdown of a page without what only the book understands."""
    numbers = env.toc_fignumbers.get(page, {}).get("exercise", {})
    text = EXERCISE.sub(lambda m: f"### Exercise {numbers[m[1]][0]}", DROPPED.sub("", text))
    text = BOX.sub(lambda m: f"**{m[1]}**\n\n{m[2]}", text)
    text = PLAIN_BOX.sub(lambda m: m[1], text)
    text = LINK.sub(lambda m: moved(env, page, base, m), text)
    text = ROLE.sub(lambda m: said(env, page, base, m), text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def parted(cells: list[NotebookNode]) -> Iterator[tuple[NotebookNode, str]]:
    """Cells, each with the label of the exercise that it solves or an empty one."""
    label = ""
    for cell in cells:
        if cell.cell_type == "code":
            yield cell, label
            continue
        parts = SOLUTION.split(cell.source)  # texts, with the labels of starts and ends between
        for number, part in enumerate(parts):
            if number % 2:
                label = part or ""
                if label:
                    yield new_markdown_cell(f"**Solution to exercise {{{label}}}**"), label
            elif part.strip():
                yield new_markdown_cell(part), label


def standalone(
    env: BuildEnvironment, page: str, text: str, base: str, install: str
) -> NotebookNode:
    """The notebook of a page."""
    numbers = env.toc_fignumbers.get(page, {}).get("exercise", {})
    cells = []
    for cell, solves in parted(read_myst_markdown_notebook(text).cells):
        tags = ["solution"] if solves else []
        if cell.cell_type == "markdown":
            source = markdown(env, page, base, cell.source)
            if solves:
                source = source.replace(f"{{{solves}}}", str(numbers[solves][0]))
            if source:
                cells.append(new_markdown_cell(source, metadata={"tags": tags}))
            continue
        hidden = bool(solves or HIDDEN & {*cell.metadata.get("tags", [])})
        metadata = {"tags": tags, "jupyter": {"source_hidden": hidden}}
        cells.append(new_code_cell(cell.source, metadata=metadata))
    title = linked("Vanishing gradients", base, f"{page}.html")
    cells.insert(1, new_markdown_cell(f"A page of the course {title}. {LICENCE}"))
    cells.insert(2, new_code_cell(INSTALL.format(install)))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # nbformat's own would differ from build to build
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def offer(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Write a page's notebook, and let the buttons save files instead of showing them.

    The theme's template writes an address as it is, so that an attribute can follow it.
    """
    groups = [b for b in context.get("header_buttons", []) if b["label"] == "download-buttons"]
    if not doctree or not groups:
        return
    buttons = [b for b in groups[0]["buttons"] if b["label"] != "download-notebook-button"]
    source = Path(app.env.doc2path(page)).read_text("utf-8")
    name = page.rsplit("/", 1)[-1]
    if is_myst_markdown_notebook(source):
        owner, branch = repository(app.config)
        archive = f"https://github.com/{owner}/archive/refs/heads/{branch}.zip"
        install = f'%pip install --quiet "vgkit[course] @ {archive}"' if owner else UNKNOWN
        notebook = standalone(app.env, page, source, app.config.html_baseurl or "", install)
        path = Path(app.outdir) / "_sources" / f"{page}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        button = {
            "type": "link",
            "url": f"{context['pathto']('_sources', 1)}/{page}.ipynb",
            "text": ".ipynb",
            "icon": "fas fa-code",
            "tooltip": "Download as a notebook",
            "label": "download-notebook-button",
        }
        buttons.insert(0, button)
    for button in buttons:
        if button["type"] == "link":
            ending = button["url"].rsplit(".", 1)[-1]
            button["url"] += f'" download="{name}.{ending}'
    groups[0]["buttons"] = buttons


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen after the theme, which makes the buttons."""
    app.connect("html-page-context", offer, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
