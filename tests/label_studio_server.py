"""A real Label Studio for tests: its own process, database and folder, on a free port of the loopback."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from filelock import FileLock

VENV = Path(__file__).parents[1] / ".venv-label-studio"
USER, PASSWORD = "manager@example.org", "correct-horse-battery"
TOKEN = "5ca1ab1e" * 5  # a legacy token: 40 hexadecimal digits
_START_TIMEOUT_S = 240


@dataclass(frozen=True, slots=True)
class LabelStudioServer:
    """What a test needs to talk to it. `data_dir` is Label Studio's own folder, `files` one whose
    subfolders it may serve, `log` what it printed."""

    url: str
    token: str
    user: str
    password: str
    data_dir: Path
    files: Path
    log: Path

    def api(self, method: str, path: str, *, token: str | None = None, **options: object) -> requests.Response:
        """One call as a person with this token would make it; no part of the code under test is involved."""
        headers = {"Authorization": f"Token {token or self.token}"}
        return requests.request(method, self.url + path, headers=headers, timeout=60, **options)  # type: ignore[arg-type]

    def add_annotator(self, email: str, password: str = PASSWORD) -> str:
        """Sign a second person up by the invite link, as vendors do. Returns their legacy token."""
        link = self.api("GET", "/api/invite").json()["invite_url"]
        with requests.Session() as session:
            page = session.get(self.url + link, timeout=30).text
            secret = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
            assert secret is not None, "the sign-up page has no form"
            form = {"email": email, "password": password, "csrfmiddlewaretoken": secret[1]}
            session.post(self.url + link, data=form, headers={"Referer": self.url}, timeout=30).raise_for_status()
            token: str = session.get(self.url + "/api/current-user/token", timeout=30).json()["token"]
        return token

    def personal_token(self, email: str) -> str:
        """A personal access token (the kind that has to be refreshed) of one more person: each may have only one."""
        legacy = self.add_annotator(email)
        token: str = self.api("POST", "/api/token/", token=legacy).json()["token"]
        return token


@contextmanager
def running(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[LabelStudioServer]:
    """Start Label Studio with its data in `folder`, wait until it answers, stop it at the end."""
    port = _free_port()
    data_dir, log = folder / "data", folder / "label-studio.log"
    files = folder / "files"
    for made in (data_dir, files):
        made.mkdir(parents=True, exist_ok=True)
    url = f"http://localhost:{port}"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*_command(port), "--username", USER, "--password", PASSWORD, "--user-token", TOKEN],
            env=_environment(data_dir, files, url) | dict(environment or {}),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await(url, process, log)
        yield LabelStudioServer(url, TOKEN, USER, PASSWORD, data_dir, files, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=20)


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """A running Label Studio with one user. Tests share it: each makes its own projects."""
    if not (VENV / "bin" / "label-studio").exists():
        pytest.skip("needs Label Studio in .venv-label-studio")
    folder = tmp_path_factory.mktemp("label-studio")
    shutil.copytree(_template(), folder / "data")
    with running(folder) as server:
        yield server


def _template() -> Path:
    """A data folder whose database is migrated already, made once per installation: migrating takes half a minute."""
    template = VENV / "migrated"
    with FileLock(str(VENV / "migrated.lock")):
        if not template.exists():
            making = VENV / "migrating"
            shutil.rmtree(making, ignore_errors=True)
            with running(making):
                pass
            (making / "data").rename(template)
    return template


def _command(port: int) -> list[str]:
    address = ["--internal-host", "127.0.0.1", "--port", str(port)]
    return [str(VENV / "bin" / "label-studio"), "start", "--no-browser", *address, "--enable-legacy-api-token"]


def _environment(data_dir: Path, files: Path, url: str) -> dict[str, str]:
    """Nothing of ours leaks in, nothing is reported to anyone, and the loopback may be talked to."""
    return {
        "PATH": f"{VENV / 'bin'}:{os.environ.get('PATH', '')}",
        "HOME": str(data_dir),
        "LANG": "C.UTF-8",
        "LABEL_STUDIO_BASE_DATA_DIR": str(data_dir),
        "LABEL_STUDIO_HOST": url,
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(files),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
    }


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"Label Studio ended while starting:\n{log.read_text(errors='replace')[-3000:]}")
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/health", timeout=2).ok:
                return
        time.sleep(0.25)
    raise RuntimeError(f"Label Studio did not answer in {_START_TIMEOUT_S} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
