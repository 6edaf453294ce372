"""Find a Chromium for the browser tests, or install one, or say in one sentence what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """Path of a Chromium on this machine: the CHROMIUM variable, the system's, or Playwright's."""
    if os.environ.get("CHROMIUM"):
        return os.environ["CHROMIUM"]
    for name in NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def install() -> None:
    """Try the ways to get one that need nobody's answer."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    attempts = [[[sys.executable, "-m", "playwright", "install", "chromium"]]]
    if root and shutil.which("apt-get"):
        update, get = ["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "chromium"]
        attempts.insert(0, [update, get])
    for commands in attempts:
        done = all(
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
            == 0
            for command in commands
        )
        if done and find():
            return


if __name__ == "__main__":
    if not find():
        print("No Chromium found; trying to install one.", flush=True)
        install()
    if not find():
        sys.exit(
            "The browser tests need Chromium: install it with your system's packages, or set the "
            "variable CHROMIUM to its path."
        )
    print(f"Browser tests use {find()}")
