"""The theme's icons without those that no page shows, which would be most of a page's bytes.

The theme has no setting for it, so the copy in the built book is cut down. If a later version of
the theme writes its icons differently, nothing matches, and the book is only larger.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

PLACE = "_static/scripts/fontawesome.js"
ICON = re.compile(
    r"""(?<=[{,])"?([a-z0-9-]+)"?:  # name
    \[\d+,\d+,\[[^]]*\],"[0-9a-f]+",  # size, other names, code
    (?:"[^"]*"|\["[^"]*"(?:,"[^"]*")*\])\],?  # one path or two""",
    re.VERBOSE,
)
NAMED = re.compile(r"\bfa-([a-z0-9-]+)")


def trim(text: str, wanted: set[str]) -> str:
    """Font Awesome's script with the wanted icons alone."""
    return ICON.sub(lambda icon: icon[0] if icon[1] in wanted else "", text)


def cut(app: Sphinx, problem: Exception | None) -> None:
    """Keep the icons that a page or a script of the book names."""
    path = Path(app.outdir, PLACE)
    if problem or not path.exists():
        return
    files = [f for kind in ("*.html", "*.js") for f in Path(app.outdir).rglob(kind) if f != path]
    wanted = {name for file in files for name in NAMED.findall(file.read_text("utf-8"))}
    path.write_text(trim(path.read_text("utf-8"), wanted), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the step after the build."""
    app.connect("build-finished", cut)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
