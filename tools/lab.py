"""A JupyterLab for tests and benchmarks, with settings and a log of its own."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OWN = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR",
       "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")  # fmt: skip
SECONDS = 60


def wait(address: str, server: subprocess.Popen, log: Path) -> None:
    """Wait for its first answer."""
    end = time.monotonic() + SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            return urllib.request.urlopen(address).close()
        except OSError:
            time.sleep(0.25)
    raise RuntimeError(f"JupyterLab does not answer:\n{log.read_text()}")


@contextmanager
def served(folder: Path, own: Path, variables: dict[str, str] | None = None) -> Iterator[str]:
    """Its address while it serves a folder; the token is "secret".

    Args:
        folder: Where its notebooks are.
        own: Where its settings and its log go.
        variables: Environment variables for its kernels, beside those of now.

    Raises:
        RuntimeError: If it ends or does not answer in a minute; with its log.
    """
    settings = own / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # All cells stay in the page, so that they can be looked at without scrolling.
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    environment = {**os.environ, **{name: str(own / name) for name in OWN}, **(variables or {})}
    environment["PATH"] = os.path.dirname(sys.executable) + os.pathsep + environment["PATH"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
               f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1",
               "--IdentityProvider.token=secret", "--LabApp.news_url=''",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    with (own / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            wait(f"http://127.0.0.1:{port}/api?token=secret", server, own / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
