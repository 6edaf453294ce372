"""What the page for teachers says: lecture plans, a hub, an explorer as a drawing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import powers
import yaml
from conftest import ROOT

TEACH = (ROOT / "teach.md").read_text()


def test_lecture_plans_keep_their_time(book):
    html = (book / "teach.html").read_text()
    totals = [int(total) for total in re.findall(r"Together (\d+) minutes", html)]
    for hours, total in zip((1, 2, 4), totals, strict=True):
        assert abs(total - 60 * hours) <= 15, (hours, total)


def test_binder_and_hub(tmp_path):
    """What teach.md says of a hub: the image's recipe, its settings, the students' link."""
    command = re.search(r"^jupyter-repo2docker (.*) \.$", TEACH, re.MULTILINE)[1]
    options = command.replace("--no-run", "").split()
    run = [sys.executable, "-m", "repo2docker", "--no-build", "--debug"]
    done = subprocess.run([*run, *options, str(ROOT)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    recipe = done.stdout + done.stderr
    assert "python=3.12" in recipe and "binder/start" in recipe
    install = re.search(r"pip install.*binder/requirements\.txt", recipe)
    copy = re.search(r"^COPY .*src/ \S*", recipe, re.MULTILINE)
    assert install.start() < copy.start()  # a change of prose keeps the installed layer
    assert "RUN ./binder/postBuild" in recipe
    settings = yaml.safe_load(re.search(r"```yaml\n(.*?)```", TEACH, re.DOTALL)[1])["singleuser"]
    assert f"{settings['image']['name']}:{settings['image']['tag']}" in command
    start = settings["lifecycleHooks"]["postStart"]["exec"]["command"]
    assert start[:2] == ["sh", "-c"] and "--target-repo-dir /srv/course" in command
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "HOME": str(tmp_path), "PATH": path}
    script = start[2].replace("/srv/course", str(ROOT))
    subprocess.run([*start[:2], script], check=True, env=env, capture_output=True)
    opened = re.search(r"https://hub\.\S*/lab/tree/(\S+)", TEACH)[1]
    assert (tmp_path / opened).is_file()


def test_an_explorer_can_be_taken_as_a_drawing(tmp_path, monkeypatch):
    code = re.search(r"```python\n(explorer\..*?)```", TEACH, re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    exec(code, {"explorer": powers.make()})
    assert (tmp_path / "explorer.pdf").read_bytes().startswith(b"%PDF")
