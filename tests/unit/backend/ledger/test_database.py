"""Connections and migrations, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from backend.accounts import Accounts
from backend.errors import ConfigError, LedgerUnavailableError
from backend.ledger.database import open_engine, reading, upgrade, writing
from backend.ledger.ledger import Ledger
from backend.ledger.tables import Base


def test_the_migrations_make_exactly_the_tables(database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    upgrade(engine)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()
    assert differences == []


def test_what_was_there_before_a_migration_stays(database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine, "0001")
    with writing(engine) as connection:
        connection.exec_driver_sql(
            'INSERT INTO projects (project_id, title, labelstudio_id, "on", adopts, revision, created_at)'
            " VALUES ('p', 'Faces', 7, TRUE, FALSE, 1, '2026-01-01 00:00:00')"
        )
        connection.exec_driver_sql(
            "INSERT INTO policies VALUES"
            " ('p', 1, 'exact', 'consistent', 'standard', NULL, FALSE, 'png', '2026-01-01 00:00:00')"
        )
        connection.exec_driver_sql(
            'INSERT INTO accounts (account_id, email, password_hash, must_change, roles, "on", failures, created_at)'
            " VALUES ('a', 'a@example.org', 'h', FALSE, '[]', TRUE, 0, '2026-01-01 00:00:00')"
        )
    upgrade(engine)
    (project,) = Ledger(engine).projects()
    account = Accounts(engine).account("a")
    engine.dispose()
    assert (project.title, project.policy.output_format) == ("Faces", "png")
    assert (account.email, account.session_version) == ("a@example.org", 0)


def test_processes_that_migrate_at_once_do_not_collide(database_url: str) -> None:
    errors: list[BaseException] = []

    def migrate() -> None:
        engine = open_engine(database_url)
        try:
            upgrade(engine)
        except BaseException as error:
            errors.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_transaction_that_fails_leaves_nothing(database_url: str) -> None:
    engine = open_engine(database_url)
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE notes (note INTEGER)"))

    def write_and_fail(connection: Connection) -> None:
        connection.execute(text("INSERT INTO notes VALUES (1)"))
        raise KeyError("anything")

    with pytest.raises(KeyError), writing(engine) as connection:
        write_and_fail(connection)
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM notes")) == 0
    engine.dispose()


def test_sqlite_is_safe_and_forgets_what_is_deleted(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
    with reading(engine) as connection:
        told = [connection.scalar(text(f"PRAGMA {pragma}")) for pragma in pragmas]
    engine.dispose()
    assert told == ["wal", 2, 1, 1, 30_000]


@pytest.mark.parametrize("url", ["mysql://u:s3cret@h/d", "no address", "", "oracle://h"])
def test_an_unknown_database_is_refused_without_repeating_its_address(url: str) -> None:
    with pytest.raises(ConfigError, match="database_url") as refused:
        open_engine(url)
    assert "s3cret" not in str(refused.value)


def test_a_database_that_is_away_can_be_tried_again_and_is_not_named(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/missing/x.sqlite3", "postgresql://jane:s3cret@127.0.0.1:1/x"):
        engine = open_engine(url)
        with pytest.raises(LedgerUnavailableError) as away:
            upgrade(engine)
        engine.dispose()
        assert away.value.retryable
        assert "s3cret" not in str(away.value)
        assert str(tmp_path) not in str(away.value)
        assert away.value.__cause__ is None
