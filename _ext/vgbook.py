"""What this book needs of Sphinx beyond Jupyter Book: live pages without a kernel or a network."""

import hashlib
import importlib.metadata
import importlib.util
import logging
import multiprocessing
import re
import shutil
from functools import partial
from html import unescape
from pathlib import Path

from docutils import nodes
from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor
from myst_nb.core.read import is_myst_markdown_notebook
from myst_nb.ext.glue.roles import PasteTextRole
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.fileutil import copy_asset

from tools.notebooks import repository
from vgcourse.page import text

ROOT = Path(__file__).parent.parent
COMPUTES = ("jax", "jaxlib", "numpy", "optax", "matplotlib", "ipywidgets", "myst-nb")
REPEATED = re.compile(r"<(script class=\"vg-script\"|style)>.*?</(?:script|style)>", re.DOTALL)
ARGUMENTS = re.compile(r'<dl>\s*((?:<dd><em class="sig-param">.*?</dd>\s*)+)</dl>', re.DOTALL)
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
NOTEBOOK = re.compile(r'(<a [^>]*href="[\w./-]+)\.ipynb(#[^"]*)?"')
AT_ONCE = "documentation_options.js"


def fingerprint() -> str:
    """A hash of everything but the pages themselves that their results depend on.

    The kept numbers come from the pages, not the other way round.
    """
    found = hashlib.sha256()
    kernels = sorted((ROOT / "_ext" / "kernels").rglob("*.json"))
    packages = [path for name in ("vgkit", "vgcourse") for path in (ROOT / name).rglob("*")]
    for path in [*sorted(packages), *kernels]:
        if path.is_file() and "__pycache__" not in path.parts and path.name != "numbers.json":
            found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    for name in COMPUTES:
        found.update(f"{name} {importlib.metadata.version(name)}".encode())
    return found.hexdigest()[:16]


def extensions() -> str:
    """A hash of this book's own extensions, by which a page is read and written anew."""
    paths = [path for path in (ROOT / "_ext").rglob("*") if path.suffix in (".py", ".html")]
    return hashlib.sha256(b"".join(map(Path.read_bytes, sorted(paths)))).hexdigest()[:16]


def configure(app: Sphinx, config: Config) -> None:
    """Set what depends on this machine: where results are kept, and where links lead."""
    app.add_role("eval", Said(), override=True)
    app.add_role("number", Number(), override=True)
    kept = Path(app.outdir).parent / ".jupyter_cache"
    config.nb_execution_cache_path = str(kept / config.vgbook_fingerprint)
    for old in kept.glob("*"):
        if old.name != config.vgbook_fingerprint:
            shutil.rmtree(old, ignore_errors=True)
    name, branch = repository(config.vgbook_repository, config.vgbook_branch)
    if name:
        config.html_theme_options |= {
            "repository_url": f"https://github.com/{name}",
            "repository_branch": branch,
            "use_repository_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "notebook_interface": "jupyterlab",
            },
        }


def execute_page(path: str, kept: str, timeout: int) -> None:
    """Execute one page and keep its results."""
    executor = load_executor("local-serial", get_cache(kept), logging.getLogger(__name__))
    executor.run_and_cache(filter_uris=[path], timeout=timeout)


def execute(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Execute the changed pages side by side, one process per core; the build finds the results.

    A page that fails is executed once more by the build, which then stops and shows the error. The
    largest come first and are handed out one by one: else one core would wait for the other's last.
    """
    kept, timeout = app.config.nb_execution_cache_path, app.config.nb_execution_timeout
    paths = [Path(env.doc2path(name)) for name in docnames]
    paths = [path for path in paths if is_myst_markdown_notebook(path.read_text())]
    notebooks = [str(p) for p in sorted(paths, key=lambda p: p.stat().st_size, reverse=True)]
    for path in notebooks:
        get_cache(kept).add_nb_to_project(path, read_data={"type": "plugin", "name": "myst_nb_md"})
    with multiprocessing.Pool() as pool:
        pool.map(partial(execute_page, kept=kept, timeout=timeout), notebooks, chunksize=1)


def deferred(script: object) -> object:
    """A script that waits until the page is there, but for the one that the page's head needs."""
    name = str(getattr(script, "filename", None) or AT_ONCE)
    if name.endswith(AT_ONCE) or "async" in script.attributes:
        return script
    attributes = {**script.attributes, "defer": "defer"}
    return type(script)(script.filename, priority=script.priority, **attributes)


def once(body: str) -> str:
    """Keep one of equal styles, the first, and one of equal scripts, the last.

    An explorers' script runs as soon as the parser has reached it, long before the theme's, and
    starts all the explorers above it.
    """
    styles = {m[0]: m.start() for m in reversed(list(REPEATED.finditer(body)))}
    scripts = {m[0]: m.start() for m in REPEATED.finditer(body)}
    kept = {m: (styles if m.startswith("<style") else scripts)[m] for m in scripts}
    return REPEATED.sub(lambda m: m[0] if m.start() == kept[m[0]] else "", body)


def unlisted(body: str) -> str:
    """Take the name of a list from what has no items: bibliographies, arguments in a signature."""
    body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    body = ARGUMENTS.sub(lambda m: f'<span class="vg-arguments">{m[1]}</span>', body)
    return re.sub(r'<dd>(<em class="sig-param">.*?)</dd>', r"<span>\1</span>", body)


def to_pages(body: str) -> str:
    """Let links to notebooks, as cells show them in JupyterLab, lead to the book's pages."""

    def page(link: re.Match) -> str:
        anchor = f"#{nodes.make_id(unescape(link[2]))}" if link[2] else ""
        return f'{link[1]}.html{anchor}"'

    return NOTEBOOK.sub(page, body)


def clean(app: Sphinx, pagename: str, template: str, context: dict, doctree: object) -> None:
    """Drop what a page holds twice or without use, and name what has no name.

    sphinx-thebe declares its constant twice, which is an error in the browser's console; explorers
    bring the same script and style each; the state of widgets is of use to a kernel only. The
    buttons that unfold the contents say nothing to a screen reader. Scripts do not keep a page
    waiting; those of the search page need each other in turn.
    """
    seen: set[str] = set()

    def first(text: str) -> bool:
        new = text not in seen
        seen.add(text)
        return new

    def wanted(script: object) -> bool:
        if getattr(script, "filename", None):
            return True
        attributes = script.attributes
        return attributes.get("type") != WIDGET_STATE and first(attributes.get("body", ""))

    scripts = filter(wanted, context["script_files"])
    context["script_files"] = list(scripts if pagename == "search" else map(deferred, scripts))
    if "body" in context:
        context["body"] = to_pages(unlisted(once(context["body"])))
    if generate := context.get("generate_toctree_html"):

        def named(*arguments: object, **options: object) -> str:
            contents = str(generate(*arguments, **options))
            return contents.replace("<summary>", '<summary aria-label="Pages of this chapter">')

        context["generate_toctree_html"] = named


def number_by_page(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Number the exercises of each page from 1; Sphinx has numbered them through the book."""
    for numbers in env.toc_fignumbers.values():
        exercises = numbers.get("exercise", {})
        exercises.update({label: (place,) for place, label in enumerate(exercises, 1)})
    return []


def copy_mathjax(app: Sphinx, problem: Exception | None) -> None:
    """Copy the one component of MathJax that the pages load, and its fonts."""
    if problem or app.builder.format != "html":
        return
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    source = Path(spec.origin).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    copy_asset(str(source / "tex-chtml.js"), str(target))
    copy_asset(str(source / "output/chtml/fonts"), str(target / "output/chtml/fonts"))


class Said(PasteTextRole):
    """The role {eval}`said.name` in the book: the text that the page's code said under that name.

    A page's notebook has it from the numbers that the last build kept.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The text, as glued by the page, and kept for the page's notebook."""
        self.text = self.text.removeprefix("said.")
        found, messages = super().run()
        if found:
            env = self.document.settings.env
            kept = env.metadata[env.docname].setdefault("said", {})
            kept[self.text] = "".join(node.astext() for node in found)
        return found, messages


class Number(PasteTextRole):
    """The role {number}`name` or {number}`name .0%`: a number that the page's code handed over."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The number as text, kept as it is for the page's notebook."""
        self.text, _, form = self.text.partition(" ")
        name = self.text
        found, messages = super().run()
        for node in found:
            number = float(node.astext())
            env = self.document.settings.env
            env.metadata[env.docname].setdefault("numbers", {})[name] = number
            node[:] = [nodes.Text(text(number, form))]
        return found, messages


class Launch(SphinxDirective):
    """How to run the book in Binder: a link where its repository is known, else nothing."""

    def run(self) -> list[nodes.Node]:
        """The paragraph that stands for the directive."""
        name, branch = repository(self.config.vgbook_repository, self.config.vgbook_branch)
        if not name:
            return []
        paragraph = nodes.paragraph("", "", nodes.strong("", "Run it in the cloud"))
        url = f"https://mybinder.org/v2/gh/{name}/{branch}?urlpath=lab/tree/notebooks/index.ipynb"
        link = nodes.reference("", "open the course in Binder", refuri=url)
        paragraph += [nodes.Text(": "), link, nodes.Text(", which takes a minute or two.")]
        return [paragraph]


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the parts."""
    app.add_config_value("vgbook_repository", "", "html")
    app.add_config_value("vgbook_branch", "", "html")
    app.add_config_value("vgbook_fingerprint", fingerprint(), "env")
    app.add_config_value("vgbook_extensions", extensions(), "env")
    app.add_directive("launch", Launch)
    app.connect("config-inited", configure)
    app.connect("env-before-read-docs", execute)
    app.connect("env-get-updated", number_by_page, priority=900)  # after Sphinx's numbers
    app.connect("html-page-context", clean, priority=900)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
