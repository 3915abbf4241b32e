"""Custody's databases: made once, private, durable, all or nothing, and silent about what they hold."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sealed_photos import NOW, PROJECT
from sqlalchemy import Connection, Engine, Integer, MetaData, Table, func, inspect, select, text

from backend.custody import database, tables
from backend.custody.requests import Requests
from backend.errors import AuditError, ConfigError, CustodyError, CustodyUnavailableError

KEY = {"project_id": PROJECT, "subject_id": "x", "public_key": b"p", "sealed_private_key": b"s", "identity_seed": b"i"}


def insert_key(connection: Connection, **changed: object) -> bool:
    return database.insert_new(connection, tables.subject_keys, KEY | {"created_at": NOW} | changed)


def count(engine: Engine, table: Table = tables.subject_keys) -> int:
    with database.reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_what_is_written_is_there_when_opened_again(database_url: str, keys_engine: Engine) -> None:
    with database.writing(keys_engine) as connection:
        insert_key(connection)
    again = database.open_keys(database_url)
    assert count(again) == 1
    again.dispose()


def test_both_databases_may_share_one_place(database_url: str, vault_engine: Engine) -> None:
    keys = database.open_keys(database_url)
    assert count(keys) == count(vault_engine, tables.sealed_records) == 0
    keys.dispose()


def test_several_processes_may_make_them_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        engines = list(pool.map(database.open_vault, [database_url] * 6))
    with database.reading(engines[0]) as connection:
        assert connection.execute(select(tables.VAULT.version_table)).all() == [(tables.VAULT.version,)]
    for engine in engines:
        engine.dispose()


def test_an_exception_undoes_everything(keys_engine: Engine) -> None:
    with pytest.raises(RuntimeError), database.writing(keys_engine) as connection:  # noqa: PT012
        insert_key(connection)
        raise RuntimeError
    assert count(keys_engine) == 0


def test_a_row_is_inserted_once(keys_engine: Engine) -> None:
    with database.writing(keys_engine) as connection:
        assert insert_key(connection)
        assert not insert_key(connection, public_key=b"other")
        assert insert_key(connection, subject_id="y")
        assert connection.execute(select(tables.subject_keys.c.public_key)).scalars().all() == [b"p", b"p"]


def test_an_older_database_takes_the_missing_steps_once(database_url: str, keys_engine: Engine) -> None:
    def add_colour(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE subject_keys ADD COLUMN colour INTEGER"))

    newer = dataclasses.replace(tables.KEYS, steps=(*tables.KEYS.steps, add_colour))
    for _ in range(2):
        engine = database._open(database_url, newer)
        assert "colour" in {column["name"] for column in inspect(engine).get_columns("subject_keys")}
        with database.reading(engine) as connection:
            assert connection.execute(select(tables.KEYS.version_table)).all() == [(newer.version,)]
        engine.dispose()
    with pytest.raises(CustodyError, match="newer version"):
        database.open_keys(database_url)
    assert count(keys_engine) == 0


@pytest.mark.parametrize(
    ("schema", "since"),
    [
        (tables.VAULT, (tables.recovery_requests, tables.approvals, tables.withdrawals)),
        (tables.KEYS, (tables.retired_master_keys,)),
    ],
)
def test_the_first_version_takes_every_step(database_url: str, schema: tables.Schema, since: tuple[Table, ...]) -> None:
    engine = database._open(database_url, schema)
    with database.writing(engine) as connection:
        for table in since:
            table.drop(connection)
        connection.execute(schema.version_table.update().values(version=1))
    engine.dispose()
    engine = database._open(database_url, schema)
    assert set(inspect(engine).get_table_names()) == set(schema.metadata.tables)
    engine.dispose()


def test_requests_of_the_second_version_are_there_and_not_vouched_for(database_url: str) -> None:
    """What was asked before is asked once more: nobody knows who wrote it."""
    engine = database._open(database_url, dataclasses.replace(tables.VAULT, steps=tables.VAULT.steps[:1]))
    with database.writing(engine) as connection:
        connection.execute(text("ALTER TABLE recovery_requests DROP COLUMN voucher"))
        asked = {
            "request_id": "e" * 32,
            "kind": "recovery",
            "project_id": PROJECT,
            "photo_id": "b" * 32,
            "face_indices": "[0]",
            "requested_by": "1" * 32,
            "reason": "why",
            "approvals_needed": 1,
            "state": "open",
            "created_at": NOW,
            "expires_at": NOW,
        }
        connection.execute(tables.recovery_requests.insert().values(asked))
    engine.dispose()
    engine = database.open_vault(database_url)
    with database.reading(engine) as connection:
        assert connection.execute(select(tables.VAULT.version_table)).all() == [(3,)]
        there = Requests(b"v" * 32).get(connection, "e" * 32)
    engine.dispose()
    assert there is not None
    assert (there.reason, there.vouched) == ("why", False)


def test_a_step_that_fails_leaves_the_old_version(database_url: str, keys_engine: Engine) -> None:
    def half(connection: Connection) -> None:
        Table("half_done", MetaData(), tables.Column("number", Integer)).create(connection)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database._open(database_url, dataclasses.replace(tables.KEYS, steps=(*tables.KEYS.steps, half)))
    assert not inspect(keys_engine).has_table("half_done")
    with database.reading(keys_engine) as connection:
        assert connection.execute(select(tables.KEYS.version_table)).all() == [(tables.KEYS.version,)]


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://localhost/x", "http://localhost"])
def test_what_is_no_address_of_a_database_is_a_mistake_of_configuration(url: str) -> None:
    with pytest.raises(ConfigError, match="address of a custody database"):
        database.open_vault(url)


def test_a_database_that_is_away_can_be_tried_again_and_is_not_named() -> None:
    with pytest.raises(CustodyUnavailableError) as caught:
        database.open_keys("postgresql://somebody:hunter2@127.0.0.1:1/keys")
    assert caught.value.retryable
    assert "hunter2" not in str(caught.value) + repr(caught.value.__cause__)
    assert "127.0.0.1" not in str(caught.value)


def test_a_locked_database_gives_the_failure_asked_for(keys_engine: Engine) -> None:
    with database.writing(keys_engine) as one:
        insert_key(one)
        with pytest.raises(AuditError) as caught, database.writing(keys_engine, failure=AuditError) as two:
            insert_key(two)
    assert "subject_keys" not in str(caught.value)
    assert count(keys_engine) == 1


def test_errors_do_not_repeat_what_was_to_be_stored(keys_engine: Engine) -> None:
    with pytest.raises(CustodyUnavailableError) as caught, database.writing(keys_engine) as connection:
        connection.execute(tables.subject_keys.insert().values(KEY | {"subject_id": "Ada Example"}))
    assert "Ada" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_sqlite_files_are_private_and_their_folder_is_made(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        engine = database.open_keys(f"sqlite:///{tmp_path}/new/keys.sqlite3")
        with database.writing(engine) as connection:
            insert_key(connection)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
        engine.dispose()
    finally:
        os.umask(before)
    assert modes == {"keys.sqlite3": 0o600, "keys.sqlite3-wal": 0o600, "keys.sqlite3-shm": 0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_sqlite_file_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CustodyError, match="cannot be made") as caught:
        database.open_keys(f"sqlite:///{tmp_path}/file/keys.sqlite3")
    assert str(tmp_path) not in str(caught.value)


def test_sqlite_flushes_every_commit_and_overwrites_what_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite3"
    engine = database.open_keys(f"sqlite:///{path}")
    with database.writing(engine) as connection:
        insert_key(connection, identity_seed=b"seed of somebody" * 8)
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
    _checkpoint(path)
    assert b"seed of somebody" in path.read_bytes()
    with database.writing(engine) as connection:
        connection.execute(tables.subject_keys.delete())
    engine.dispose()
    _checkpoint(path)
    assert b"seed of somebody" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_postgresql_promises_a_flushed_commit(database_url: str) -> None:
    engine = database.open_vault(database_url)
    if engine.dialect.name == "postgresql":
        with database.writing(engine) as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "1500ms"
    engine.dispose()


def _checkpoint(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
