"""What search engines, social networks and wrong links need of the published book.

Every page has a description. Where the book's address is known, from the environment variable
VGKIT_URL, which the publishing workflow sets, or from html.baseurl in _config.yml, other extensions
add social cards, a sitemap and a page for wrong addresses.
"""

import os
from html import escape
from textwrap import shorten
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError

LONGEST = 200  # characters of a description; search engines show no more
OPTIONS = {
    "ogp_image": "_static/card.png",
    "ogp_image_alt": (
        "Vanishing gradients: bars that shrink from right to left, and an arrow that points back"
    ),
    "ogp_custom_meta_tags": [
        '<meta property="og:image:width" content="1200">',
        '<meta property="og:image:height" content="630">',
        '<meta name="twitter:card" content="summary_large_image">',
    ],
    "sitemap_url_scheme": "{link}",
    "sitemap_excludes": ["404.html", "genindex.html", "search.html"],
}
NOT_FOUND = """<h1>Page not found</h1>
<p>There is no page at this address. Try the contents beside this text, or the
<a href="{0}search.html">search</a>, or begin at the <a href="{0}index.html">first page</a>.</p>"""


def publish(app: Sphinx, url: str) -> None:
    """Load the extensions that need the book's address."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"VGKIT_URL must begin with http:// or https://; got {url!r}")
    for name in ("sphinxext.opengraph", "sphinx_sitemap", "notfound.extension"):
        app.setup_extension(name)
    base = f"{url.rstrip('/')}/"
    prefix = urlsplit(base).path
    body = NOT_FOUND.format(prefix)
    options = OPTIONS | {
        "html_baseurl": base,
        "ogp_site_url": base,
        "ogp_site_name": app.config.html_title,
        "notfound_urls_prefix": prefix,
        "notfound_context": {"title": "Page not found", "body": body},
    }
    for name, value in options.items():
        app.config[name] = value
    app.connect("env-updated", rewrite)


def rewrite(app: Sphinx, env: BuildEnvironment) -> set[str]:
    """Write every page anew, as the sitemap lists the pages that this build writes."""
    return env.found_docs


def description(doctree: nodes.document) -> str:
    """A page's own description, or what one learns there, or its title and first paragraph."""
    for meta in doctree.findall(nodes.meta):
        if meta.get("name") == "description":
            return meta["content"]
    for box in doctree.findall(nodes.admonition):
        if box[0].astext() == "What you will learn":
            return shorten(f"Learn to {box[1].astext()}", LONGEST, placeholder=" …")
    title = next(doctree.findall(nodes.title)).astext()
    prose = [p for p in doctree.findall(nodes.paragraph) if isinstance(p.parent, nodes.section)]
    text = next((p.astext() for p in prose if not [*p.findall(nodes.math)]), "")
    return shorten(f"{title}. {text}", LONGEST, placeholder=" …")


def describe(
    app: Sphinx, pagename: str, template: str, context: dict, doctree: nodes.document | None
) -> None:
    """Add a page's description to its head and, by its metadata, to its social card."""
    if not doctree:
        return
    text = escape(description(doctree))
    if 'name="description"' not in context["metatags"]:
        context["metatags"] += f'<meta name="description" content="{text}">\n'
    context["meta"] = {**(context["meta"] or {}), "og:description": text}


def setup(app: Sphinx) -> dict[str, bool]:
    """Describe the pages before the social cards are made."""
    if url := os.environ.get("VGKIT_URL") or app.config.html_baseurl:
        publish(app, url)
    app.connect("html-page-context", describe, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
