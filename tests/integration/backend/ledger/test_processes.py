"""Several processes on one ledger, and databases that fail under it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from backend.errors import LedgerUnavailableError
from backend.ledger.ledger import Ledger
from backend.ledger.records import PhotoState

NOW = datetime(2030, 1, 2, tzinfo=UTC)
PHOTOS = 40

_WORK = """
import sys
from datetime import datetime, timedelta, UTC
from backend.ledger.ledger import Ledger
ledger, project_id, lease_s = Ledger.open(sys.argv[1]), sys.argv[2], float(sys.argv[3])
now = datetime.fromisoformat(sys.argv[4])
taken = 0
for photo in ledger.photos(project_id, limit=1000):
    claimed = ledger.claim(photo.photo_id, revision=1, now=now, lease_s=lease_s)
    if claimed is None:
        continue
    taken += 1
    if taken == 3 and "die" in sys.argv:
        print("holding", flush=True)
        sys.stdin.read()
    ledger.ready(
        photo.photo_id, image_key="k" + photo.photo_id, image_sha256="0" * 64, image_format="png", width_px=1,
        height_px=1, faces=[], model_version="v", now=now, attempt=claimed.attempts,
    )
print(taken, flush=True)
"""


def worker(url: str, project_id: str, now: datetime, *extra: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", _WORK, url, project_id, "60", now.isoformat(), *extra]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    return output.split()[-1] if output else ""


def test_every_photo_is_worked_on_once_whoever_dies(database_url: str) -> None:
    ledger = Ledger.open(database_url)
    project = ledger.add_project("Faces", 7, now=NOW)
    for number in range(PHOTOS):
        ledger.add_photo(project.project_id, origin="intake", source_sha256=f"{number:064x}", now=NOW)

    doomed = worker(database_url, project.project_id, NOW, "die")
    assert doomed.stdout is not None
    assert doomed.stdout.readline() == "holding\n"
    others = [worker(database_url, project.project_id, NOW) for _ in range(2)]
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.communicate()
    assert sum(int(told(process)) for process in others) == PHOTOS - 3
    (held,) = ledger.photos(project.project_id, state=PhotoState.WORKING)

    later = NOW + timedelta(seconds=61)
    assert [photo.photo_id for photo in ledger.overdue(now=later) if photo.state is PhotoState.WORKING] == [
        held.photo_id
    ]
    assert told(worker(database_url, project.project_id, later)) == "1"
    assert ledger.progress(project.project_id, now=later).ready == PHOTOS
    assert ledger.photo(held.photo_id).attempts == 2
    ledger.close()


def test_a_postgresql_that_drops_its_connections_is_used_again(postgres: PostgresServer) -> None:
    with postgres.database() as url:
        ledger = Ledger.open(url)
        project = ledger.add_project("Faces", 7, now=NOW)
        postgres.cut()
        assert ledger.project(project.project_id) == project
        ledger.close()


def test_a_locked_sqlite_is_waited_for_and_then_said_to_be_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.ledger.database._BUSY_TIMEOUT_S", 0.2)
    url = f"sqlite:///{tmp_path / 'x.sqlite3'}"
    ledger, other = Ledger.open(url), Ledger.open(url)
    project = ledger.add_project("Faces", 7, now=NOW)
    with other.engine.begin():
        assert ledger.project(project.project_id) == project, "reading goes on"
        with pytest.raises(LedgerUnavailableError):
            ledger.switch(project.project_id, on=False)
    assert not ledger.switch(project.project_id, on=False).on
    ledger.close()
    other.close()
