"""The book as a whole: warm rebuild, and size of the environment."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.speed.measure import Row

PART = "The book"
ROOT = Path(__file__).parents[2]
LEFT = shutil.ignore_patterns(".git", ".venv", "_build", "__pycache__", "*.egg-info")


def megabytes(folder: Path) -> float:
    """Size of all files, each once."""
    files = {(f.stat().st_dev, f.stat().st_ino): f.stat().st_size
             for f in folder.rglob("*") if f.is_file() and not f.is_symlink()}  # fmt: skip
    return sum(files.values()) / 1e6


def make(target: str, top: Path, *arguments: str) -> subprocess.CompletedProcess:
    """What make does for a target in `top`, with the environment as it is."""
    kept = [part for stamp in (".book", ".test") for part in ("-o", f"{sys.prefix}/{stamp}")]
    command = ["make", *kept, f"VENV={sys.prefix}", target, *arguments]
    variables = {"PYTHONPATH": str(top), "JAX_ENABLE_COMPILATION_CACHE": "true"}
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=top, env=environment, capture_output=True, text=True)


def build(top: Path, *arguments: str) -> float:
    """Seconds of `make book`."""
    before = time.perf_counter()
    done = make("book", top, *arguments)
    if done.returncode:
        raise RuntimeError(f"the book cannot be built:\n{done.stderr[-3000:]}")
    return time.perf_counter() - before


def results() -> Path:
    """Where a build keeps the results of all pages, of the package as it is now."""
    program = "import vgbook; print(vgbook.fingerprint())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "_ext")}
    told = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
    return ROOT / "_build" / ".jupyter_cache" / told.strip()


def warm(rounds: int) -> list[Row]:
    """A line of prose more on one page, beside a build after no change; in a copy of the book."""
    kept = results()
    if not kept.exists():  # with other results, the pages would be executed first
        why = "the book is not built as it is now: run make book"
        return [Row(PART, "build after a change of prose", None, note=why)]
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder) / "book"
        shutil.copytree(ROOT, top, ignore=LEFT)
        shutil.copytree(kept, top / "_build" / ".jupyter_cache" / kept.name)
        build(top)  # what Sphinx keeps of a build holds the folder's name
        page, same, changed = top / "chapters" / "depth.md", [], []
        for number in range(rounds):
            same.append(build(top))
            page.write_text(page.read_text() + f"\nMore prose, {number}.\n")
            changed.append(build(top))
    taken = sorted(changed)[rounds // 2]
    return [
        Row(PART, "build after a change of prose", taken, "s", taken / sorted(same)[rounds // 2],
            peer="after no change", limit=20, on="value")
    ]  # fmt: skip


def environment() -> list[Row]:
    """The environment on the disk, beside JAX with what it needs."""
    packages = Path(next(p for p in sys.path if p.endswith("site-packages")))
    least = [packages / name for name in ("jax", "jaxlib", "numpy", "scipy", "ml_dtypes")]
    whole, jax = megabytes(packages), sum(map(megabytes, least))
    note = "tests' tools included; without PyTorch, which is no requirement"
    torch = sum(megabytes(packages / n) for n in ("torch", "functorch", "torchgen", "nvidia"))
    size = whole - torch
    what = "Python packages of the environment"
    return [Row(PART, what, size, "MB", size / jax, peer="JAX alone", note=note)]


def rows(rounds: int = 3) -> list[Row]:
    """Both, of the book as it is built."""
    return warm(rounds) + environment()
