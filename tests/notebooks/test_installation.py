"""The package installed alone; what Binder's image installs, without a container."""

import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT, tracked

from tools import pages


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of what is, or is about to be, committed."""
    top = tmp_path_factory.mktemp("clone") / "course"
    for path in tracked():
        target = top / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return top


def test_the_package_alone_is_small_and_runs_the_readme_s_lines(clone, tmp_path):
    pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check"]
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, clone]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("vgkit-*.whl")
    files = zipfile.ZipFile(wheel).infolist()
    # A module named as a page is that page's code, and grows as pages hand theirs over.
    of_pages = {page.rpartition("/")[2].replace("-", "_") for page in pages.all_pages()}
    left_out = {f"vgcourse/{page}.py" for page in of_pages}
    shared = [f for f in files if f.filename not in left_out]
    assert sum(f.compress_size for f in shared if "vgcourse/_data/" not in f.filename) < 250_000
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, *pip, wheel], check=True)
    readme = (ROOT / "README.md").read_text()
    code, printed = re.search(r"```python\n(.*?)```\n+```text\n(.*?)```", readme, re.S).groups()
    code += "\nimport importlib.util as u\nassert not u.find_spec('matplotlib')"
    code += "\nassert not u.find_spec('ipywidgets')"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr


def test_the_image_leaves_out_what_builds_and_tests_the_book():
    """300 MB, half of it the driver of a browser, and PyTorch, which is 700 MB."""
    left_out = {"jupyter-book", "sphinx", "playwright", "pytest", "ruff", "torch"}
    lines = (ROOT / "binder" / "requirements.txt").read_text().splitlines()
    assert left_out.isdisjoint(line.split("==")[0] for line in lines)
    assert all("==" in line for line in lines)  # pinned: nothing is looked for at the start


def interpreter():
    """The Python that the image states, where this machine has one that runs; else this one."""
    stated = (ROOT / "binder" / "runtime.txt").read_text().strip().replace("-", "")
    path = shutil.which(stated)
    runs = path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0
    return path if runs else sys.executable


def test_installation_and_the_heaviest_chapter(clone, tmp_path):
    def run(*command, **environment):
        names = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTERLAB_SETTINGS_DIR", "IPYTHONDIR")
        folders = {name: str(tmp_path / "home") for name in names}
        path = f"{tmp_path}/venv/bin{os.pathsep}{os.environ['PATH']}"
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        env = {**kept, **folders, "PATH": path, **environment}
        done = subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    subprocess.run([interpreter(), "-m", "venv", tmp_path / "venv"], check=True)
    run("python", "-m", "pip", "install", "-q", "-r", "binder/requirements.txt",
        HOME=os.environ.get("HOME", ""))  # fmt: skip
    run("bash", "binder/postBuild", HOME=os.environ.get("HOME", ""))
    assert (clone / "notebooks" / "index.ipynb").is_file()  # where the launch links lead
    script = (
        "import nbclient, nbformat;"
        "notebook = nbformat.read('notebooks/chapters/causes/theory.ipynb', as_version=4);"
        "nbclient.NotebookClient(notebook, timeout=300).execute(cwd='notebooks/chapters/causes');"
        "import json, resource;"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024;"
        "print(json.dumps(notebook).count('widget-view+json'), peak)"
    )
    for package in ("vgkit", "vgcourse"):  # what runs is what postBuild installed
        shutil.rmtree(clone / package)
    started = ("bash", "binder/start", "python", "-c")
    run(*started, "import os; assert os.environ['OMP_NUM_THREADS']")
    explorers, peak = run(*started, script, JAX_ENABLE_COMPILATION_CACHE="false").split()
    assert int(explorers) >= 1
    server = 300  # MB, JupyterLab with its extensions; two kernels beside it, even of this chapter
    assert server + 2 * float(peak) < 2048, peak
