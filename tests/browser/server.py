"""A Jupyter server of the tests' own, started with a home of its own and without any of the user's settings."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

REPOSITORY = Path(__file__).resolve().parents[2]
KERNEL_VERSIONS = ("6.31", "7.3")
START_SECONDS = 120
STOP_SECONDS = 20

# The application's module, the class that serves its page, and where that page opens a notebook.
APPLICATIONS = {
    "lab": ("jupyterlab", "LabApp", "lab/workspaces/{workspace}"),
    "notebook": ("notebook", "JupyterNotebookApp", "notebooks/{path}"),
}

_DIRECTORIES = {
    "HOME": "home",
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}


@dataclass
class Server:
    """JupyterLab (``"lab"``) or Notebook 7 (``"notebook"``) on a free port of this machine.

    Parameters
    ----------
    application
        ``"lab"`` or ``"notebook"``.
    directory
        An empty directory that holds all of the server's files.
    environment
        Variables that the server and its kernels get on top of a cleaned copy of this process's.
    """

    application: str
    directory: Path
    environment: Mapping[str, str]
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    url: str = ""
    _process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> Path:
        """The directory that the server shows as its files."""
        return self.directory / "files"

    def page(self, path: str) -> str:
        """Address at which the browser opens the notebook ``path``.

        JupyterLab gets a workspace of that name: in the common one it would open the notebooks of earlier pages too.
        """
        place = APPLICATIONS[self.application][2].format(path=quote(path), workspace=quote(path.partition(".")[0]))
        return f"{self.url}{place}?token={self.token}"

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises
        ------
        RuntimeError
            It ended, or did not answer in time; the message holds the end of its log.
        """
        self._prepare()
        with (self.directory / "log.txt").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log_end = (self.directory / "log.txt").read_text(encoding="utf-8", errors="replace")[-3000:]
                self.stop()
                raise RuntimeError(f"the {self.application} server did not start; its log ends:\n{log_end}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server, and its kernels with it."""
        if self._process is None:
            return
        try:
            if self.url:
                self.request("POST", "api/shutdown")
            self._process.wait(STOP_SECONDS)
        except (OSError, subprocess.TimeoutExpired):
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def request(self, method: str, path: str) -> Any:
        """What the server's REST interface answers: decoded JSON, or None for an empty answer."""
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Authorization", f"token {self.token}")
        # A proxy of the machine is not asked for a loopback address.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=STOP_SECONDS) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def shut_kernel_down(self, path: str) -> None:
        """End the session of the notebook ``path``, and its kernel, where there is one."""
        for session in self.request("GET", "api/sessions"):
            if session["path"] == path:
                self.request("DELETE", f"api/sessions/{session['id']}")

    def set_windowing(self, mode: str | None) -> None:
        """Choose how pages opened from now on treat cells out of sight; None is the application's own default.

        `Notebook.open` describes the modes.
        """
        tracker = {} if mode is None else {"windowingMode": mode}
        self._settings("notebook-extension", "tracker", tracker)

    def _settings(self, extension: str, plugin: str, values: Mapping[str, object]) -> None:
        folder = self.directory / "settings" / "@jupyterlab" / extension
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{plugin}.jupyterlab-settings").write_text(json.dumps(values), encoding="utf-8")

    def _prepare(self) -> None:
        for name in (*_DIRECTORIES.values(), "files"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        self._settings("apputils-extension", "notification", {"fetchNews": "false", "checkForUpdates": False})
        self._settings("docmanager-extension", "plugin", {"autosave": False})
        self.set_windowing("none")
        for version in KERNEL_VERSIONS:
            _write_kernelspec(self.directory / "data" / "kernels", version)

    def _command(self) -> list[str]:
        module, page_class, _ = APPLICATIONS[self.application]
        return [
            *(sys.executable, "-m", module, "--no-browser", "--allow-root"),
            "--ServerApp.ip=127.0.0.1",
            "--ServerApp.port=0",
            "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.root}",
            f"--{page_class}.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",
        ]

    def _environment(self) -> dict[str, str]:
        foreign = ("JUPYTER", "PYTHON", "IPYTHON")
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(foreign) and not name.upper().endswith("_PROXY")
        }
        own = {name: str(self.directory / folder) for name, folder in _DIRECTORIES.items()}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        return {**kept, **own, "PATH": path, **self.environment}

    def _answers(self) -> bool:
        assert self._process is not None
        description = self.directory / "runtime" / f"jpserver-{self._process.pid}.json"
        try:
            # It carries the port that the system chose.
            self.url = json.loads(description.read_text(encoding="utf-8"))["url"]
            self.request("GET", "api/status")
        except (OSError, ValueError):
            return False
        return True


def kernel_directory(version: str) -> Path:
    """Where ``make kernels`` puts that ipykernel version."""
    return Path(sys.prefix) / "kernels" / version


def _write_kernelspec(folder: Path, version: str) -> None:
    """Describe a kernel that runs this interpreter with another ipykernel before the installed one."""
    specification = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": f"Python 3 (ipykernel {version})",
        "language": "python",
        "env": {"PYTHONPATH": str(kernel_directory(version))},
        "metadata": {"debugger": False},
    }
    target = folder / f"ipykernel-{version}"
    target.mkdir(parents=True, exist_ok=True)
    (target / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
