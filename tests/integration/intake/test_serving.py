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
from datetime import UTC, datetime
from pathlib import Path

import pictures
import requests
from PIL import Image as Pillow
from s3_server import Bucket

from backend.custody.inbox_opening import create_inbox_key
from backend.ledger.ledger import Ledger

ROOT = Path(__file__).parents[3]


@contextmanager
def started(folder: Path, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {"PATH": os.environ["PATH"], "G2FACE_DATA_DIR": str(folder), "G2FACE_INTAKE__PORT": str(port)}
    environment |= more
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


def test_a_bucket_is_collected_by_the_server_and_by_the_command(tmp_path: Path, bucket: Bucket) -> None:
    names = [f"Ludmilla-Borowski-{number:02}.png" for number in range(30)]
    for number, name in enumerate(names):
        bucket.put({f"ward/{name}": pictures.saved(Pillow.new("RGB", (20, 16), (number, 7, 77)), "PNG")})
    bucket.put({"ward/Borowski.txt": b"no picture"})
    folder = tmp_path / "data"
    create_inbox_key(folder / "worker" / "inbox.key", folder / "inbox.pub")
    more = {
        **bucket.environment,
        "G2FACE_INTAKE__S3_PREFIXES": f"s3://{bucket.name}/ward/",
        "G2FACE_STORAGE_URL": f"s3://{bucket.name}/blobs",
    }
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.sqlite3'}")
    project = ledger.add_project("Waiting room", 7, now=datetime.now(UTC))
    address = f"s3://{bucket.name}/ward"
    with started(folder, **more) as (process, url):
        environment = {"PATH": os.environ["PATH"], "G2FACE_DATA_DIR": str(folder), **more}

        def command(*arguments: str) -> str:
            run = [sys.executable, "-m", "backend.intake", *arguments]
            return subprocess.run(run, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout

        token = command("token", "admin@localhost").strip()
        program = requests.Session()
        program.headers["Authorization"] = f"Bearer {token}"
        place = f"{url}/api/v1/projects/{project.project_id}/collection"
        assert program.post(place, json={"address": address}, timeout=30).status_code == 202
        while (found := program.get(place, timeout=30).json())["state"] == "running":
            time.sleep(0.1)
        assert (found["state"], found["accepted"], found["refused"]) == ("done", 30, 1)

        said = command("collect", project.project_id, address).splitlines()
        assert said[-1] == "30 accepted, 1 refused"
        assert all("was handed in before" in line for line in said if line.startswith("accepted"))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    photos = ledger.photos(project.project_id)
    ledger.close()
    assert len(photos) == 30
    assert {f"blobs/{photo.source_blob}" for photo in photos} == {key for key in bucket.names() if "blobs/" in key}
    logged = (tmp_path / "stderr").read_text()
    assert "Borowski" not in logged
    assert bucket.name not in logged
