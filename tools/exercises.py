"""Write the book's pages as notebooks without solutions: python -m tools.exercises [folder].

They are the notebooks that the built book offers for saving, less the cells that solve an exercise.
"""

import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
BUILT = ROOT / "_build" / "html" / "_sources"


def unsolved(notebook: NotebookNode) -> NotebookNode:
    """A copy without the cells that solve an exercise."""
    kept = [c for c in notebook.cells if "solution" not in c.metadata.get("tags", [])]
    return nbformat.v4.new_notebook(cells=kept, metadata=notebook.metadata)


def write(built: Path, folder: Path) -> list[Path]:
    """Write every page that has exercises; return the files."""
    written = []
    for path in sorted(built.rglob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        handout = unsolved(notebook)
        if len(handout.cells) == len(notebook.cells):
            continue
        target = folder / path.relative_to(built)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(handout, target)
        written.append(target)
    return written


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "_build" / "exercises"
    written = write(BUILT, folder)
    if not written:
        sys.exit("There are no notebooks yet; run: make book")
    print(f"{len(written)} notebooks without solutions are in {folder}")
