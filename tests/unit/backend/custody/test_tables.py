"""What the tables themselves refuse, whoever writes to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sealed_photos import NOW, PROJECT, SEALED
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError

from backend.custody.audit import AuditLog
from backend.custody.tables import subject_keys

KEY = {
    "project_id": PROJECT,
    "subject_id": "x",
    "public_key": b"p",
    "sealed_private_key": b"s",
    "identity_seed": b"i",
    "created_at": NOW,
}


@pytest.mark.parametrize("statement", ["UPDATE audit_events SET actor = 'nobody'", "DELETE FROM audit_events"])
def test_the_audit_log_is_append_only(vault_engine: Engine, statement: str) -> None:
    events = AuditLog(vault_engine).append([SEALED], now=NOW)
    with pytest.raises(DBAPIError, match="append-only"), vault_engine.begin() as connection:
        connection.execute(text(statement))
    assert tuple(AuditLog(vault_engine).events()) == events


def test_the_audit_log_is_not_emptied_either(vault_engine: Engine) -> None:
    events = AuditLog(vault_engine).append([SEALED], now=NOW)
    if vault_engine.dialect.name == "postgresql":  # SQLite knows no TRUNCATE
        with pytest.raises(DBAPIError, match="append-only"), vault_engine.begin() as connection:
            connection.execute(text("TRUNCATE audit_events"))
    assert tuple(AuditLog(vault_engine).events()) == events


@pytest.mark.parametrize(
    "changed",
    [
        {"shredded_at": NOW},
        {"sealed_private_key": None},
        {"identity_seed": None},
        {"shredded_at": NOW, "sealed_private_key": None},
        {"shredded_at": NOW, "identity_seed": None},
    ],
)
def test_a_key_is_whole_or_shredded(keys_engine: Engine, changed: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), keys_engine.begin() as connection:
        connection.execute(subject_keys.insert().values(KEY | changed))
    gone = {"shredded_at": NOW, "sealed_private_key": None, "identity_seed": None}
    with keys_engine.begin() as connection:
        connection.execute(subject_keys.insert().values(KEY | gone))


def test_moments_come_back_in_utc_and_need_a_zone(keys_engine: Engine) -> None:
    moment = datetime(2026, 3, 1, 23, 0, 0, 7, tzinfo=timezone(timedelta(hours=-5)))
    with keys_engine.begin() as connection:
        connection.execute(subject_keys.insert().values(KEY | {"created_at": moment}))
        stored = connection.execute(select(subject_keys.c.created_at)).scalar_one()
    assert stored == moment
    assert stored.tzinfo == UTC
    with pytest.raises(StatementError, match="time zone"), keys_engine.begin() as connection:
        connection.execute(subject_keys.insert().values(KEY | {"created_at": datetime(2026, 3, 1)}))
