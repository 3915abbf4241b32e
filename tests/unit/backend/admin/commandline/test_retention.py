"""After a withdrawal and a sweep, no file of the data folder holds the subject's face or keys any more."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import admin_office
import numpy as np
import pytest
from admin_office import KEEPS, READS, Restricted
from workshop import painting

from backend.admin.__main__ import main
from backend.custody import receipts, signing
from backend.custody.records import SubjectRef
from backend.errors import KeyShreddedError
from backend.ledger.records import PhotoState, Project
from g2face_model import images

JANE = "Jane Q. Example"
LARGE = np.random.default_rng(7).integers(0, 256, (200, 320, 3), np.uint8)  # nothing in it can be compressed


@pytest.fixture
def restricted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Restricted]:
    monkeypatch.setenv("G2FACE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("G2FACE_ADMIN__GRACE_DAYS", "0")
    with admin_office.opened(tmp_path / "data", clock=lambda: datetime.now(UTC), grace_days=0) as restricted:
        yield restricted


@pytest.fixture
def project(restricted: Restricted) -> Project:
    return restricted.project()


def pieces(data: bytes) -> list[bytes]:
    """Parts of it that are found wherever a database has put its pages."""
    return [data[at : at + 48] for at in range(0, len(data) - 48, 500)] or [data]


def found(folder: Path, needles: list[bytes]) -> dict[str, int]:
    """By file, the logs beside the databases included, how many of the needles it holds."""
    contents = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    counts = {name: sum(needle in content for needle in needles) for name, content in contents.items()}
    return {name: count for name, count in counts.items() if count}


def test_they_are_in_no_file_any_more(
    restricted: Restricted, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    office, workshop, officer = restricted.office, restricted.workshop, restricted.actor(KEEPS)
    done = restricted.photo(project, LARGE, subject_id=JANE)
    waiting = workshop.hand_in(project, images.encode(LARGE[::2, ::2], "png"), subject_id=JANE)
    key = workshop.keyring.get(SubjectRef(project.project_id, JANE))
    (record,) = [one for one in workshop.records(done) if one.face_index == 0]
    others = [one for one in workshop.records(done) if one.face_index != 0]
    assert key is not None
    assert waiting.source_blob is not None
    face, original = pieces(record.sealed), pieces(workshop.blobs.get(waiting.source_blob))
    keys = [*pieces(key.sealed_private_key), key.identity_seed]
    assert set(found(restricted.folder, face)) >= {"vault.sqlite3-wal"}
    assert set(found(restricted.folder, original)) == {waiting.source_blob}
    assert set(found(restricted.folder, keys)) >= {"keys.sqlite3-wal"}
    assert len(face) > 50

    made = office.withdraw(officer, project.project_id, JANE, now=restricted.clock())
    assert main(["sweep"]) == 0
    said = capsys.readouterr().out
    assert "shredded 1, again 0" in said
    assert "exported the audit log's head" in said

    assert found(restricted.folder, [*face, *original, *keys]) == {}
    assert set(found(restricted.folder, [JANE.encode()])) == {"keys.sqlite3"}, "so that no late photo makes a new key"
    with pytest.raises(KeyShreddedError):
        workshop.keyring.ensure(SubjectRef(project.project_id, JANE), now=restricted.clock())
    assert workshop.records(done) == others, "whoever else is in the photo stays"
    assert office.ledger.photo(waiting.photo_id).state is PhotoState.CANCELLED
    receipt = office.receipt(restricted.actor(READS), made.withdrawal_id)
    assert receipts.check(receipt, signing.read_public(restricted.folder / "admin" / "signing.pub"))


def test_what_a_crash_left_to_be_deleted_goes_with_the_next_sweep(restricted: Restricted, project: Project) -> None:
    """The ledger has forgotten, the storage has not."""
    photo = restricted.workshop.hand_in(project, subject_id=JANE)
    restricted.office.ledger.forget_subject(project.project_id, JANE, now=restricted.clock())
    assert photo.source_blob in restricted.workshop.blob_names()
    restricted.office.withdraw(restricted.actor(KEEPS), project.project_id, JANE, now=restricted.clock())
    assert main(["sweep"]) == 0
    assert photo.source_blob not in restricted.workshop.blob_names()


def test_a_withdrawn_project_leaves_nothing_that_waits(restricted: Restricted, project: Project) -> None:
    office, workshop = restricted.office, restricted.workshop
    done = restricted.photo(project, painting(1), subject_id=JANE)
    workshop.hand_in(project, images.encode(painting(2), "png"))
    workshop.hand_in(project, images.encode(painting(3), "png"), subject_id="Joe Example")
    made = office.withdraw_project(restricted.actor(KEEPS), project.project_id, now=restricted.clock())
    assert len(made) == 5, "two people, and for each photo whoever else is on it"
    assert main(["sweep"]) == 0
    assert workshop.blob_names() == {done.image_sha256}
    assert workshop.records(done) == []


def test_a_withdrawal_that_somebody_changed_in_the_database_is_told_of(
    restricted: Restricted, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    restricted.photo(project, painting(1), subject_id=JANE)
    restricted.office.withdraw(restricted.actor(KEEPS), project.project_id, JANE, now=restricted.clock())
    with sqlite3.connect(restricted.folder / "vault.sqlite3") as vault:
        vault.execute("DELETE FROM withdrawals")
    vault.close()
    assert main(["sweep"]) == 1
    assert "hold again: 1" in capsys.readouterr().out
    assert main(["sweep"]) == 0


def test_a_sweep_that_leaves_something_to_look_at_says_so(
    restricted: Restricted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    restricted.project()
    monkeypatch.setenv("G2FACE_ADMIN__HEADS_COMMAND", "/nowhere/at/all")
    assert main(["sweep"]) == 1
    assert "cannot be started" in capsys.readouterr().out


def test_a_sweep_needs_no_master_key(restricted: Restricted, project: Project) -> None:
    restricted.photo(project, painting(1), subject_id=JANE)
    restricted.office.withdraw(restricted.actor(KEEPS), project.project_id, JANE, now=restricted.clock())
    (restricted.folder / "admin" / "master.key").unlink()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[5])}
    command = [sys.executable, "-m", "backend.admin", "sweep"]
    swept = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (swept.returncode, swept.stderr) == (0, "")
    assert "shredded 1" in swept.stdout
