"""What search engines, social networks and old links need of the published book.

The book's address comes from the environment variable VGKIT_URL, which the publishing workflow
sets, or from html.baseurl in _config.yml. Where it is not known, pages get their description and
nothing else: no sitemap, no social card, no page for wrong addresses.
"""

import os
import re
from html import escape, unescape
from pathlib import Path
from posixpath import dirname, relpath
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

CARD, CARD_SIZE = "_static/card.png", (1200, 630)
CARD_TEXT = (
    "Vanishing gradients: bars that shrink from right to left, and an arrow that points back"
)
SHORTEST, LONGEST = 100, 200  # characters of a description; search engines show no more
LOST = """<h1>Page not found</h1>
<p>There is no page at this address. Try the contents beside this text, or the
<a href="search.html">search</a>, or begin at the <a href="index.html">first page</a>.</p>"""
MOVED = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Moved</title>
<meta name="robots" content="noindex"><link rel="canonical" href="{0}">
<script>location.replace("{0}" + location.search + location.hash)</script>
<noscript><meta http-equiv="refresh" content="0; url={0}"></noscript></head>
<body><main><p>This page has <a href="{0}">moved</a>.</p></main></body></html>
"""


def configure(app: Sphinx, config: Config) -> None:
    """Settle the address of the book, with a slash at its end, or empty."""
    url = os.environ.get("VGKIT_URL") or config.html_baseurl or ""
    if url and urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"VGKIT_URL must begin with http:// or https://; got {url!r}")
    config.html_baseurl = f"{url.rstrip('/')}/" if url else ""


def whole(parts: list[str]) -> str:
    """As many of the parts, from the first, as a description can hold."""
    found = parts[0]
    for part in parts[1:]:
        if len(found) + 1 + len(part) > LONGEST:
            break
        found += f" {part}"
    return found


def plain(node: nodes.Node) -> str:
    """The text of a node on one line."""
    return " ".join(node.astext().split())


def description(doctree: nodes.document) -> str:
    """What a page is about: its own description, what one learns there, or its first sentences."""
    for meta in doctree.findall(nodes.meta):
        if meta.get("name") == "description":
            return meta["content"]
    for box in doctree.findall(nodes.admonition):
        if box[0].astext() == "What you will learn":
            found = whole([f"Learn to {plain(box[1][0])}", *map(plain, box[1][1:])])
            return f"{found.rstrip(';.')}."
    prose = [p for p in doctree.findall(nodes.paragraph) if isinstance(p.parent, nodes.section)]
    words = [p for p in prose if not [*p.findall(nodes.math)]]
    found = whole(re.split(r"(?<=[.?!:]) (?=[A-Z])", plain(words[0]))) if words else ""
    title = plain(next(doctree.findall(nodes.title)))
    return found if len(found) >= SHORTEST else f"{title}. {found}".strip()


def tags(app: Sphinx, pagename: str, context: dict, text: str) -> str:
    """The elements that a page's head gets."""
    found = [] if 'name="description"' in context["metatags"] or not text else [
        f'<meta name="description" content="{escape(text)}">'
    ]  # fmt: skip
    base = app.config.html_baseurl
    if not base:
        return "\n".join(found)
    properties = {
        "og:title": unescape(re.sub("<[^>]*>", "", context["title"])),
        "og:type": "website" if pagename == app.config.root_doc else "article",
        "og:url": base + app.builder.get_target_uri(pagename),
        "og:site_name": app.config.html_title,
        "og:description": text,
        "og:image": base + CARD,
        "og:image:width": str(CARD_SIZE[0]),
        "og:image:height": str(CARD_SIZE[1]),
        "og:image:alt": CARD_TEXT,
    }
    found += [f'<meta property="{k}" content="{escape(v)}">' for k, v in properties.items() if v]
    return "\n".join([*found, '<meta name="twitter:card" content="summary_large_image">'])


def head(
    app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """Describe a page in its head.

    A server shows the page for wrong addresses at any depth, so all its links need the book's.
    """
    if pagename == "404":
        base = escape(urlsplit(app.config.html_baseurl).path)
        robots = '<meta name="robots" content="noindex">'
        context["metatags"] = f'<base href="{base}">{robots}{context.get("metatags", "")}'
    elif doctree:
        context["metatags"] += tags(app, pagename, context, description(doctree))


def lost(app: Sphinx) -> list[tuple[str, dict, str]]:
    """The page that a server shows for a wrong address."""
    page = ("404", {"title": "Page not found", "body": LOST}, "page.html")
    return [page] if app.config.html_baseurl else []


def finish(app: Sphinx, problem: Exception | None) -> None:
    """Write the sitemap, and a page for every address that a page has left."""
    if problem or app.builder.format != "html":
        return
    out, uri = Path(app.outdir), app.builder.get_target_uri
    for old, new in app.config.publish_moved.items():
        if new not in app.env.found_docs or old in app.env.found_docs:
            raise ConfigError(f"publish_moved: {old!r} must be no page, and {new!r} must be one")
        path = out / uri(old)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MOVED.format(relpath(uri(new), dirname(uri(old)) or ".")), "utf-8")
    base = app.config.html_baseurl
    if base:
        places = [escape(base + uri(name)) for name in sorted(app.env.found_docs)]
        urls = "\n".join(f"<url><loc>{place}</loc></url>" for place in places)
        (out / "sitemap.xml").write_text(
            '<?xml version="1.0" encoding="utf-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}\n</urlset>\n',
            "utf-8",
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the parts."""
    app.add_config_value("publish_moved", {}, "html")
    app.connect("config-inited", configure)
    app.connect("html-page-context", head)
    app.connect("html-collect-pages", lost)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
