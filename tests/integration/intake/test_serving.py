"""The intake as an operator starts it: one process, its own folder, no other service."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

ROOT = Path(__file__).parents[3]


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {"PATH": os.environ["PATH"], "G2FACE_DATA_DIR": str(folder), "G2FACE_INTAKE__PORT": str(port)}
    command = [sys.executable, "-m", "backend.intake", "serve"]
    with (
        (folder.parent / "stderr").open("w") as errors,
        subprocess.Popen(
            command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            _await(f"http://127.0.0.1:{port}/health", process)
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _await(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the intake ended while starting"
        with suppress(requests.ConnectionError):
            if requests.get(url, timeout=2).ok:
                return
        time.sleep(0.1)
    raise AssertionError("the intake did not answer")


def test_the_first_start_makes_an_account_and_the_next_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with started(folder) as (process, url):
        assert requests.get(f"{url}/", timeout=5).url == f"{url}/sign-in"
        process.send_signal(signal.SIGTERM)
        first, _ = process.communicate(timeout=20)
        assert process.returncode == 0
    email, password = (line.split(": ")[1] for line in first.splitlines())
    assert email == "admin@localhost"
    assert len(password) >= 32
    assert password not in (tmp_path / "stderr").read_text()
    assert not (folder / "redis" / "running.json").exists()  # its own Redis went with it

    with started(folder) as (process, _):
        process.send_signal(signal.SIGTERM)
        second, _ = process.communicate(timeout=20)
    assert second == ""
    for secret in ("session.key", "ledger.sqlite3"):
        assert (folder / secret).exists()
    assert (folder / "session.key").stat().st_mode & 0o077 == 0
