"""Records and their events are stored together or not at all, once, whatever happens in between."""

from __future__ import annotations

import dataclasses
import os
import secrets
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sealed_photos import NOW, PHOTO, PROJECT, SEALED, record, subject_key
from sqlalchemy import Engine

from backend.custody import audit, database, seal
from backend.custody.audit import AuditLog
from backend.custody.records import NewEvent, SubjectRef
from backend.custody.vault import Vault
from backend.errors import AuditError, CustodyError

KEY, _ = subject_key(seal.generate_key_pair())
OTHER_KEY, _ = subject_key(seal.generate_key_pair(), SubjectRef(PROJECT, "somebody else"))
ROOT = Path(__file__).parents[4]

KILLED_WORKER = """
import os, signal, sys
from sqlalchemy import event
from backend.custody import database
from backend.custody.vault import Vault
from sealed_photos import NOW, SEALED, record, subject_key
from backend.custody import seal

url, moment = sys.argv[1:]
engine = database.open_vault(url)
key, _ = subject_key(seal.generate_key_pair())
seen = []

def die_before_statement(connection, cursor, statement, *_):
    seen.append(statement)
    if sum(moment in one for one in seen) == (2 if "sealed_records" in moment else 1):
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(engine, "before_cursor_execute", die_before_statement)
if moment == "COMMIT":
    event.listen(engine, "commit", lambda connection: os.kill(os.getpid(), signal.SIGKILL))
Vault(engine).store([record(key, face_index=0), record(key, face_index=1)], [SEALED], now=NOW)
os.kill(os.getpid(), signal.SIGKILL)
"""


def stored(engine: Engine) -> tuple[int, int]:
    """How many records of the photo and how many events there are, in a chain that must be whole."""
    return len(Vault(engine).records_of_photo(PHOTO)), audit.verify(AuditLog(engine).events()).seq


def test_records_come_back_as_they_went_in(vault_engine: Engine) -> None:
    vault, expiring = Vault(vault_engine), record(KEY, secrets.token_bytes(300_000), face_index=1)
    expiring = dataclasses.replace(expiring, expires_at=NOW + timedelta(days=30))
    records = (record(KEY, face_index=None), record(OTHER_KEY, face_index=0), expiring)
    assert vault.store(records[::-1], [SEALED], now=NOW)
    assert vault.records_of_photo(PHOTO) == records
    assert vault.records_of_photo("c" * 32) == ()
    assert stored(vault_engine) == (3, 1)


def test_storing_again_changes_nothing(vault_engine: Engine) -> None:
    vault, first = Vault(vault_engine), (record(KEY, face_index=0), record(KEY, face_index=None))
    assert vault.store(first, [SEALED], now=NOW)
    sealed_anew = (record(KEY, face_index=0), record(KEY, face_index=None))
    for again in (first, sealed_anew, first[:1]):
        other = dataclasses.replace(SEALED, detail={"attempt": 2})
        assert not vault.store(again, [SEALED, other], now=NOW + timedelta(hours=1))
    assert set(vault.records_of_photo(PHOTO)) == set(first)
    assert stored(vault_engine) == (2, 1)


def test_an_event_without_records_is_stored_once_too(vault_engine: Engine) -> None:
    """As of photos whose project keeps nothing to recover from."""
    vault = Vault(vault_engine)
    assert vault.store([], [SEALED], now=NOW)
    assert not vault.store([], [dataclasses.replace(SEALED, actor="other-worker")], now=NOW)
    assert not vault.store([], [], now=NOW)
    assert stored(vault_engine) == (0, 1)


def test_another_anonymized_image_of_the_photo_has_records_of_its_own(vault_engine: Engine) -> None:
    vault = Vault(vault_engine)
    other = record(KEY, anonymized_sha256="0" * 64)
    assert vault.store([record(KEY)], [SEALED], now=NOW)
    assert vault.store([other], [dataclasses.replace(SEALED, detail={"anonymized_sha256": "0" * 64})], now=NOW)
    assert stored(vault_engine) == (2, 2)


def test_what_was_stored_in_part_is_completed(vault_engine: Engine) -> None:
    vault, first = Vault(vault_engine), record(KEY, face_index=0)
    vault.store([first], [SEALED], now=NOW)
    assert vault.store([record(KEY, face_index=0), record(KEY, face_index=1)], [SEALED], now=NOW)
    assert vault.records_of_photo(PHOTO)[0] == first
    assert stored(vault_engine) == (2, 1)


def test_a_place_that_is_taken_by_somebody_else_undoes_everything(vault_engine: Engine) -> None:
    vault = Vault(vault_engine)
    vault.store([record(KEY, face_index=1)], [SEALED], now=NOW)
    theirs = [record(OTHER_KEY, face_index=0), record(OTHER_KEY, face_index=1)]
    with pytest.raises(CustodyError, match=PHOTO) as caught:
        vault.store(theirs, [NewEvent("worker", "photo.other", PHOTO)], now=NOW)
    assert "somebody else" not in str(caught.value).replace("somebody else's", "")
    assert stored(vault_engine) == (1, 1)


def test_a_record_id_that_is_taken_undoes_everything(vault_engine: Engine) -> None:
    vault, first = Vault(vault_engine), record(KEY)
    vault.store([first], [SEALED], now=NOW)
    taken = dataclasses.replace(record(KEY, face_index=1), record_id=first.record_id)
    with pytest.raises(CustodyError):
        vault.store([taken], [], now=NOW)
    assert stored(vault_engine) == (1, 1)


def test_records_whose_event_cannot_be_written_are_not_stored(vault_engine: Engine) -> None:
    with pytest.raises(CustodyError, match="ids and numbers"):
        Vault(vault_engine).store([record(KEY)], [SEALED, NewEvent("Ada Example", "x", "y")], now=NOW)
    assert stored(vault_engine) == (0, 0)


def test_a_vault_that_is_locked_can_be_tried_again(vault_engine: Engine) -> None:
    with database.writing(vault_engine) as connection:
        audit.hold(connection)
        with pytest.raises(AuditError) as caught:
            Vault(vault_engine).store([record(KEY)], [SEALED], now=NOW)
    assert caught.value.retryable
    assert stored(vault_engine) == (0, 0)
    assert Vault(vault_engine).store([record(KEY)], [SEALED], now=NOW)


def test_workers_that_store_the_same_photo_at_once_store_it_once(database_url: str, vault_engine: Engine) -> None:
    engines = [database.open_vault(database_url) for _ in range(6)]

    def store(engine: Engine) -> bool:
        return Vault(engine).store([record(KEY, face_index=0), record(KEY, face_index=1)], [SEALED], now=NOW)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(store, engines)) == [False] * 5 + [True]
    for engine in engines:
        engine.dispose()
    assert stored(vault_engine) == (2, 1)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("INSERT INTO sealed_records", (0, 0)),  # between the two records
        ("FROM audit_events", (0, 0)),  # all records are in, the log has not been looked at
        ("INSERT INTO audit_events", (0, 0)),  # between the records and the event
        ("COMMIT", (0, 0)),  # everything is in and not yet promised
        ("never", (2, 1)),  # promised, and killed before anybody heard of it
    ],
)
def test_a_killed_worker_leaves_all_or_nothing(
    database_url: str, vault_engine: Engine, moment: str, expected: tuple[int, int]
) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    command = [sys.executable, "-c", KILLED_WORKER, database_url, moment]
    killed = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert stored(vault_engine) == expected
    again = [record(KEY, face_index=0), record(KEY, face_index=1)]
    assert Vault(vault_engine).store(again, [SEALED], now=NOW) == (expected == (0, 0))
    assert stored(vault_engine) == (2, 1)
