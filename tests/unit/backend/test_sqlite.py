from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from backend.sqlite import empty_log, open_pool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite3"


@pytest.fixture
def first(path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's connection to a database that is being made, with the lock."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE anything (number INTEGER)")
    connection.execute("BEGIN EXCLUSIVE")
    yield connection
    connection.close()


def test_a_database_that_is_being_made_is_waited_for(path: Path, first: sqlite3.Connection) -> None:
    threading.Timer(0.3, first.rollback).start()
    engine = open_pool(make_url(f"sqlite:///{path}"), busy_s=20)
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
    engine.dispose()


@pytest.mark.usefixtures("first")
def test_waiting_for_it_ends(path: Path) -> None:
    engine = open_pool(make_url(f"sqlite:///{path}"), busy_s=0.2)
    with pytest.raises(OperationalError, match="locked"):
        engine.connect()


def test_a_reader_takes_no_lock_and_a_writer_takes_it_at_once(path: Path) -> None:
    engine = open_pool(make_url(f"sqlite:///{path}"), busy_s=0.1)
    reads = engine.execution_options(reads=True)
    with reads.connect() as reader, engine.connect() as writer:
        reader.execute(text("SELECT count(*) FROM sqlite_master"))
        writer.begin()
        with pytest.raises(OperationalError, match="locked"):
            engine.connect().begin()
    engine.dispose()


def test_nothing_that_was_deleted_stays_in_the_log(path: Path) -> None:
    engine = open_pool(make_url(f"sqlite:///{path}"), busy_s=0.1)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (words TEXT)"))
        connection.execute(text("INSERT INTO notes VALUES ('recognisable')"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM notes"))
    log = path.with_name(f"{path.name}-wal")
    assert b"recognisable" in log.read_bytes()
    assert empty_log(engine)
    assert log.read_bytes() == b""
    assert b"recognisable" not in path.read_bytes()
    engine.dispose()


def test_while_somebody_reads_it_cannot_be_emptied(path: Path) -> None:
    engine = open_pool(make_url(f"sqlite:///{path}"), busy_s=0.1)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE notes (words TEXT)"))
    with engine.execution_options(reads=True).connect() as reader:
        reader.execute(text("SELECT count(*) FROM notes"))
        assert not empty_log(engine)
    assert empty_log(engine)
    engine.dispose()
