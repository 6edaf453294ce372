"""A book of two pages, with the course's own settings and everything that a page may hold."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

HEAD = """\
---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
INDEX = f"""{HEAD}
(first)=
# First & only

Prose of the first page; {{ref}}`second-ex` is on the other one.

```{{launch}}
```

```{{code-cell}} ipython3
import time
import vgkit
print("version", vgkit.__version__, time.time_ns())
```

```{{exercise-start}}
:label: first-ex
```
Which version?
```{{exercise-end}}
```
"""
SECOND = f"""{HEAD}
(second)=
# Second

First sentence. Another one, to [the first page](../index.md) and {{ref}}`first`.
What {{cite:t}}`glorot2010` showed.

![a picture](../_static/explorer.png)

```{{code-cell}} ipython3
:tags: [remove-cell]
import matplotlib.pyplot as plt
import powers
import questions
from vgcourse import page, selfcheck

said, say = page.texts()
say(share=(1 / 8, ".3f"))
page.numbers({{"left": 5.68e-5, "part": 0.684}})
```

It is {{eval}}`said.share`, and {{number}}`left` or {{number}}`part .0%`.

```{{code-cell}} ipython3
powers.make()
```

```{{code-cell}} ipython3
:mystnb: {{image: {{alt: A line that rises from 1 to 2}}}}
figure, axes = plt.subplots()
axes.plot([1, 2], color="black");
```

```{{code-cell}} ipython3
:tags: [remove-input]
selfcheck.show("second", questions.three())
```

```{{exercise-start}}
:label: second-ex
```
How many?

```{{code-cell}} ipython3
answer = 1
```
```{{exercise-end}}
```

```{{solution-start}} second-ex
:class: dropdown
```
Three.

```{{code-cell}} ipython3
answer = 3
```
So three.
```{{solution-end}}
```

The end.

```{{bibliography}}
```
"""


def write(top: Path) -> None:
    """Put the book's files into a folder."""
    for name in ("vgkit", "vgcourse", "tools", "_ext", "_static"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, top / name, ignore=ignore)
    for name in ("_config.yml", "references.bib"):
        shutil.copy(ROOT / name, top)
    (top / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n- file: pages/second\n")
    (top / "index.md").write_text(INDEX)
    (top / "pages").mkdir()
    (top / "pages" / "second.md").write_text(SECOND)


def run(top: Path, *command: str, **environment: str) -> None:
    """Run a command of the environment in the book's folder."""
    path = os.pathsep.join(map(str, (top, top / "_ext", ROOT / "tests")))
    inherited = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}  # the kernel has its own
    done = subprocess.run(
        [Path(sys.executable).parent / command[0], *command[1:]],
        cwd=top,
        env={**inherited, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def build(top: Path, **environment: str) -> Path:
    """Build the book; returns the folder of its pages."""
    run(top, "jupyter-book", "build", ".", "-W", **environment)
    return top / "_build" / "html"
