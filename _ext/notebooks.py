"""The download button's notebooks, by the program that makes them for JupyterLab and Binder too."""

import json
from functools import partial
from pathlib import Path

import nbformat
from myst_nb.core.read import is_myst_markdown_notebook
from sphinx.application import Sphinx

from tools import course, notebooks
from tools.markdown import Writer


def numbers(app: Sphinx) -> dict[str, dict[str, str | float]]:
    """The numbers that the text of each page says, by name, to six digits."""
    kept = {}
    for page, said in app.env.metadata.items():
        rounded = {name: float(f"{n:.6g}") for name, n in said.get("numbers", {}).items()}
        if found := said.get("said", {}) | rounded:
            kept[page] = found
    return kept


def begin(app: Sphinx, env: object) -> None:
    """Read what pages refer to, once for all of them, and keep the book's numbers."""
    app.course, app.numbers = course.read(Path(app.srcdir)), numbers(app)
    text = json.dumps(app.numbers, indent=1, sort_keys=True, ensure_ascii=False)
    (Path(app.outdir).parent / "numbers.json").write_text(f"{text}\n", "utf-8")


def to_notebook(button: dict, page: str) -> None:
    """Let the theme's Binder button open the page's notebook instead of its source."""
    button["url"] = button["url"].replace(f"/tree/{page}.md", f"/tree/notebooks/{page}.ipynb")


def offer(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Write a page's notebook, and let the buttons save files instead of showing them.

    The theme's template writes an address as it is, so that an attribute can follow it.
    """
    groups = {group["label"]: group for group in context.get("header_buttons", [])}
    if not doctree or "download-buttons" not in groups:
        return
    for button in groups.get("launch-buttons", {}).get("buttons", []):
        to_notebook(button, page)
    buttons = groups["download-buttons"]["buttons"]
    buttons = [b for b in buttons if b["label"] != "download-notebook-button"]
    if is_myst_markdown_notebook(app.course.texts[page]):
        address = partial(course.published, app.config.html_baseurl or "")
        number = partial(notebooks.number, app.numbers.get(page, {}), page)
        install = notebooks.installation(*notebooks.repository(app.config.vgbook_repository))
        notebook = notebooks.notebook(Writer(app.course, page, address, number), install)
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
    name = page.rsplit("/", 1)[-1]
    for button in buttons:
        if button["type"] == "link":
            ending = button["url"].rsplit(".", 1)[-1]
            button["url"] += f'" download="{name}.{ending}'
    groups["download-buttons"]["buttons"] = buttons


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen after the theme, which makes the buttons."""
    app.connect("env-updated", begin)
    app.connect("html-page-context", offer, priority=800)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
