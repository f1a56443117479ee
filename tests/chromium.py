"""The Chromium that the browser tests drive: where it is, how it is started, and how it gets here.

``python -m tests.chromium`` prints its path, after installing one where none is found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")

# Without a GPU, Canvas2D is several times faster with --disable-gpu than through the software GPU; the sandbox needs
# a user other than root; /dev/shm is small in containers. The rest keeps pictures and traffic the same everywhere.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--mute-audio",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)


def find() -> str | None:
    """Path of the Chromium named by ``CNNVIZ_CHROMIUM``, else of one on PATH, else None.

    Raises
    ------
    FileNotFoundError
        ``CNNVIZ_CHROMIUM`` names no file.
    """
    named = os.environ.get("CNNVIZ_CHROMIUM")
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"CNNVIZ_CHROMIUM={named!r} is no file; name the Chromium executable or unset it")
        return named
    return next((path for path in map(shutil.which, NAMES) if path), None)


def launch(playwright: Playwright) -> Browser:
    """Headless Chromium: the one of `find`, else the one that ``playwright install`` made.

    Raises
    ------
    RuntimeError
        There is neither.
    """
    path = find()
    if path is None and not Path(playwright.chromium.executable_path).exists():
        raise RuntimeError("no Chromium found: run `make browser`, or set CNNVIZ_CHROMIUM to its path")
    return playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))


def _downloaded() -> str | None:
    """Path of playwright's own Chromium where it is there."""
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def _apt_prefix() -> list[str] | None:
    """What stands before ``apt-get``, or None where this process may not install packages."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    # A person is not asked for a password in the middle of the tests.
    if os.environ.get("CI") == "true" and shutil.which("sudo"):
        return ["sudo", "-n"]
    return None


def _install() -> bool:
    """Install Chromium from the system's packages or, where that is not possible, by playwright's download."""
    prefix = _apt_prefix()
    if prefix is not None:
        apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        for arguments in (["update"], *(["install", "-y", package] for package in PACKAGES)):
            subprocess.run([*apt, *arguments], stdin=subprocess.DEVNULL, check=False)
        if find():
            return True
    # Ubuntu has no package of Chromium: playwright's download, with the libraries it needs where packages may be installed
    libraries = ["--with-deps"] if prefix is not None else []
    command = [sys.executable, "-m", "playwright", "install", *libraries, "chromium"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0


def main() -> int:
    """Say where Chromium is, installing it first where it is missing; 1 where that failed."""
    try:
        path = find() or _downloaded()
        if path is None and _install():
            path = find() or _downloaded()
    except FileNotFoundError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if path is None:
        hint = "as root, `apt-get install chromium`; or set CNNVIZ_CHROMIUM to the path of a Chromium or Chrome"
        sys.stderr.write(f"no Chromium for the browser tests: {hint}\n")
        return 1
    sys.stdout.write(f"Chromium: {path}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
