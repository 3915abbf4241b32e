"""Records whose time is over go together with the events that say so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sealed_photos import NOW, PROJECT, record, subject_key
from sqlalchemy import Engine

from backend.custody import audit, database, expiry, seal
from backend.custody.audit import AuditLog
from backend.custody.vault import Vault
from backend.errors import AuditError, CustodyError

KEY, _ = subject_key(seal.generate_key_pair())
OVER = NOW + timedelta(days=30)


@pytest.fixture
def vault(vault_engine: Engine) -> Vault:
    """Five photos with two records each; those of the last never expire."""
    vault = Vault(vault_engine)
    for number in range(5):
        expires_at = None if number == 4 else OVER + timedelta(days=number)
        records = [record(KEY, face_index=face, photo_id=f"{number:032x}", expires_at=expires_at) for face in (None, 0)]
        vault.store(records, [], now=NOW)
    return vault


def left(vault: Vault) -> list[int]:
    return [len(vault.records_of_photo(f"{number:032x}")) for number in range(5)]


def test_each_photo_goes_when_its_time_is_over(vault: Vault, vault_engine: Engine) -> None:
    assert expiry.delete(vault_engine, actor="sweep", now=OVER - timedelta(microseconds=1)) == 0
    assert tuple(AuditLog(vault_engine).events()) == ()
    assert expiry.delete(vault_engine, actor="sweep", now=OVER + timedelta(days=1)) == 4
    assert left(vault) == [0, 0, 2, 2, 2]
    events = tuple(AuditLog(vault_engine).events())
    assert [(event.actor, event.action, event.target) for event in events] == [
        ("sweep", "records.expired", f"{number:032x}") for number in range(2)
    ]
    assert {tuple(event.detail.items()) for event in events} == {(("project_id", PROJECT), ("records", 2))}
    assert expiry.delete(vault_engine, actor="sweep", now=OVER + timedelta(days=99)) == 4
    assert left(vault) == [0, 0, 0, 0, 2]


def test_many_go_in_batches(vault: Vault, vault_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "_BATCH", 3)
    assert expiry.delete(vault_engine, actor="sweep", now=OVER + timedelta(days=99)) == 8
    assert left(vault) == [0, 0, 0, 0, 2]
    events = tuple(AuditLog(vault_engine).events())
    assert sum(int(event.detail["records"]) for event in events) == 8
    assert audit.verify(events).seq == len(events)


def test_what_cannot_be_audited_is_not_deleted(vault: Vault, vault_engine: Engine) -> None:
    with database.writing(vault_engine) as connection:
        audit.hold(connection)
        with pytest.raises(AuditError):
            expiry.delete(vault_engine, actor="sweep", now=OVER)
    assert left(vault) == [2] * 5
    with pytest.raises(CustodyError, match="ids and numbers"):
        expiry.delete(vault_engine, actor="not an id", now=OVER)
    assert left(vault) == [2] * 5


def test_records_of_another_image_of_the_photo_have_a_time_of_their_own(vault: Vault, vault_engine: Engine) -> None:
    other = record(KEY, photo_id=f"{0:032x}", anonymized_sha256="0" * 64, expires_at=OVER + timedelta(days=50))
    vault.store([other], [], now=NOW)
    assert expiry.delete(vault_engine, actor="sweep", now=OVER) == 2
    assert vault.records_of_photo(f"{0:032x}") == (other,)
