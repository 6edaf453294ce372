"""The map of pages and the routes through them, from the head of each page.

There a page states "**Before:** {ref}`depth` (necessary). **Time:** 40 minutes.", or "**Time:** 25
minutes to read, 30 for the exercises.", which are added up. In the text, containers of the classes
vg-map and vg-route mark where the map and the sums of minutes go. JupyterLab shows what the
containers hold.
"""

import re
from html import escape
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent
HEAD = re.compile(
    r"\((?P<label>[\w-]+)\)=\n# (?P<title>.*?)\n.*?"
    r"\*\*Before:\*\* (?P<before>.*?)\s\*\*Time:\*\* (?P<minutes>\d+) minutes"
    r"(?:\s+to\s+read,\s+(?P<exercises>\d+))?",
    re.DOTALL,
)
NEED = re.compile(r"([^()]*)\((?:both )?(necessary|helpful)\)")


class Page(NamedTuple):
    """The head of a lesson; needs and helps are labels of other pages."""

    name: str
    label: str
    title: str
    minutes: int
    needs: tuple[str, ...]
    helps: tuple[str, ...]


def lesson(name: str, text: str) -> Page | None:
    """The page of this text, or None where it is no lesson."""
    head = HEAD.search(text)
    if not head:
        return None
    before: dict[str, list[str]] = {"necessary": [], "helpful": []}
    for names, kind in NEED.findall(head["before"]):
        before[kind] += re.findall(r"\{ref\}`([\w-]+)`", names)
    title = re.split("[:,]", head["title"])[0]
    minutes = int(head["minutes"]) + int(head["exercises"] or 0)
    return Page(name, head["label"], title, minutes, *map(tuple, before.values()))


def lessons() -> dict[str, Page]:
    """All lessons by label, in the order of the book."""
    names = re.findall(r"file: (\S+)", (ROOT / "_toc.yml").read_text("utf-8"))
    pages = (lesson(name, (ROOT / f"{name}.md").read_text("utf-8")) for name in names)
    return {page.label: page for page in pages if page}


def drawn(pages: dict[str, Page], address: dict[str, str]) -> str:
    """HTML of the map: a table of all pages in order, and of what each of them needs."""
    body = []
    for label, page in pages.items():
        link = f'<a href="{address[label]}">{escape(page.title)}</a>'
        inner = ' class="vg-inner"' if page.name.count("/") > 1 else ""
        needs, helped = (
            ", ".join(pages[name].title for name in names) or "–"
            for names in (page.needs, page.helps)
        )
        cells = f"<td>{escape(needs)}</td><td>{escape(helped)}</td><td>{page.minutes}</td>"
        body.append(f'<tr><th scope="row"{inner}>{link}</th>{cells}</tr>')
    heads = "".join(
        f'<th scope="col">{name}</th>' for name in ("Page", "Needs", "Helped by", "Minutes")
    )
    return (
        "<table><caption>What each page needs</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def minutes(node: nodes.Node, pages: dict[str, Page]) -> int:
    """Minutes of all pages that a part of the text links to."""
    links = (link["reftarget"] for link in node.findall(pending_xref))
    return sum(pages[label].minutes for label in links if label in pages)


def fill(app: Sphinx, doctree: nodes.document) -> None:
    """Write the map and add up the routes of one page of the book."""
    marked = [
        c for c in doctree.findall(nodes.container) if {"vg-map", "vg-route"} & {*c["classes"]}
    ]
    if not marked:
        return
    pages = lessons()
    for name in ("_toc.yml", *(f"{page.name}.md" for page in pages.values())):
        app.env.note_dependency(str(ROOT / name))
    app.env.note_dependency(__file__)
    uri = app.builder.get_relative_uri
    for container in marked:
        if "vg-map" in container["classes"]:
            address = {p.label: uri(app.env.docname, p.name) for p in pages.values()}
            container.children = [nodes.raw("", drawn(pages, address), format="html")]
            continue
        for item in container.findall(nodes.list_item):
            item[0] += nodes.inline("", f" {minutes(item, pages)} min", classes=["vg-minutes"])
        total = minutes(container, pages)
        hours = round(total / 60)
        about = "1 hour" if hours == 1 else f"{hours} hours"
        container += nodes.paragraph("", f"Together {total} minutes, about {about}.")


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill in the page once it is read."""
    app.connect("doctree-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
