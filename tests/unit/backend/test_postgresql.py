"""The driver's errors, waits and addresses, against a real PostgreSQL and against servers that misbehave."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from postgres_server import PostgresServer
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError

from backend.errors import ConfigError
from backend.postgresql import Patience, _arguments, open_pool

PATIENCE = Patience(connect_s=1.0, lock_s=0.2, statement_s=0.5, silence_s=5.0)
TABLES = (
    "CREATE TABLE parents (number INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    "CREATE TABLE children (parent INTEGER NOT NULL REFERENCES parents, age INTEGER CHECK (age > 0))",
    "INSERT INTO parents VALUES (1, 'Ada')",
)


@pytest.fixture
def pool(postgres: PostgresServer) -> Iterator[Engine]:
    with postgres.database() as url:
        engine = open_pool(make_url(url), PATIENCE)
        with engine.begin() as connection:
            for statement in TABLES:
                connection.execute(text(statement))
        yield engine
        engine.dispose()


def run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("INSERT INTO parents VALUES (1, 'Grace')", IntegrityError),
        ("INSERT INTO parents VALUES (2, 'Ada')", IntegrityError),
        ("INSERT INTO children VALUES (7, 1)", IntegrityError),
        ("INSERT INTO children VALUES (1, 0)", IntegrityError),
        ("INSERT INTO children VALUES (NULL, 1)", IntegrityError),
        ("INSERT INTO parents VALUES (3000000000, 'x')", DataError),
        ("SELECT CAST('x' AS INTEGER)", DataError),
        ("SELECT * FROM nowhere", ProgrammingError),
        ("no SQL", ProgrammingError),
        ("SELECT pg_sleep(2)", OperationalError),
    ],
)
def test_errors_are_what_the_server_calls_them(pool: Engine, statement: str, kind: type[DBAPIError]) -> None:
    with pytest.raises(DBAPIError) as caught:
        run(pool, statement)
    assert type(caught.value) is kind
    assert not caught.value.connection_invalidated
    run(pool, "SELECT 1")


def test_a_lock_is_waited_for_and_then_given_up(pool: Engine) -> None:
    with pool.begin() as holder:
        holder.execute(text("UPDATE parents SET name = 'Grace'"))
        started = time.monotonic()
        with pytest.raises(OperationalError):
            run(pool, "UPDATE parents SET name = 'Edith'")
        assert 0.1 < time.monotonic() - started < 3.0


def test_rows_that_were_changed_or_inserted_can_be_told(pool: Engine) -> None:
    insert = text("INSERT INTO parents VALUES (:number, 'x') ON CONFLICT DO NOTHING RETURNING number")
    with pool.begin() as connection:
        assert connection.execute(insert, {"number": 2}).all() == [(2,)]
        assert connection.execute(insert, {"number": 2}).all() == []
        assert connection.execute(text("UPDATE parents SET number = number + 10")).rowcount == 2
        assert connection.execute(text("UPDATE parents SET number = 0 WHERE number = 77")).rowcount == 0


def test_a_session_promises_a_flushed_commit_whatever_the_server_is_set_up_to_do(pool: Engine) -> None:
    run(pool, f'ALTER DATABASE "{_database(pool)}" SET synchronous_commit = off')
    pool.dispose()
    with pool.connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("synchronous_commit", "lock_timeout", "statement_timeout")
        ]
    assert shown == ["on", "200ms", "500ms"]


def test_connections_that_were_cut_are_made_anew_unnoticed(pool: Engine, postgres: PostgresServer) -> None:
    with pool.connect() as connection:
        before = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    postgres.cut()
    with pool.connect() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar() != before
        assert connection.execute(text("SELECT name FROM parents")).scalar() == "Ada"


def test_a_connection_that_is_cut_in_a_transaction_is_thrown_away(pool: Engine, postgres: PostgresServer) -> None:
    with pytest.raises(DBAPIError) as caught, pool.begin() as connection:  # noqa: PT012
        connection.execute(text("UPDATE parents SET name = 'Grace'"))
        postgres.cut()
        connection.execute(text("SELECT 1"))
    assert caught.value.connection_invalidated
    with pool.connect() as connection:
        assert connection.execute(text("SELECT name FROM parents")).scalar() == "Ada"


def test_a_server_that_falls_silent_is_not_waited_for_for_ever(postgres: PostgresServer) -> None:
    patience = Patience(connect_s=1.0, lock_s=9.0, statement_s=9.0, silence_s=0.3)
    with postgres.database() as url:
        engine = open_pool(make_url(url), patience)
        with pytest.raises(DBAPIError) as caught:
            run(engine, "SELECT pg_sleep(5)")
        assert caught.value.connection_invalidated
        run(engine, "SELECT 1")
        engine.dispose()


def test_a_missing_database_and_a_missing_server_are_told_apart(postgres: PostgresServer) -> None:
    for url, kind in ((postgres.url("nowhere"), ProgrammingError), (_at(1), DBAPIError)):
        engine = open_pool(make_url(url), PATIENCE)
        with pytest.raises(kind):
            run(engine, "SELECT 1")
        engine.dispose()


@pytest.mark.parametrize("behaviour", ["silent", "closes", "resets"])
def test_what_answers_but_is_no_postgresql_is_given_up_soon(behaviour: str) -> None:
    with _stranger(behaviour) as (port, _):
        engine = open_pool(make_url(_at(port) + "?sslmode=disable"), PATIENCE)
        started = time.monotonic()
        with pytest.raises(DBAPIError):
            run(engine, "SELECT 1")
        assert time.monotonic() - started < 4.0
        engine.dispose()


def test_where_encryption_is_required_nothing_is_told_to_a_server_without_it() -> None:
    with _stranger("refuses TLS") as (port, heard):
        engine = open_pool(make_url(_at(port) + "?sslmode=require"), PATIENCE)
        with pytest.raises(DBAPIError):
            run(engine, "SELECT 1")
        engine.dispose()
    assert b"".join(heard) == struct.pack("!ii", 8, 80877103), "only the question whether it encrypts"


def test_addresses_say_how_to_encrypt() -> None:
    def context(options: str) -> object:
        return _arguments(make_url(f"postgresql://u:p@h/d{options}"), PATIENCE)["ssl_context"]

    assert context("") is None
    assert context("?sslmode=prefer") is None
    assert context("?sslmode=disable") is False
    strict, loose = context("?sslmode=verify-full"), context("?sslmode=require")
    assert isinstance(strict, ssl.SSLContext)
    assert strict.check_hostname
    assert strict.verify_mode is ssl.CERT_REQUIRED
    assert isinstance(loose, ssl.SSLContext)
    assert loose.verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize(
    "options",
    ["?sslmode=strict", "?sslmode=verify-full&sslrootcert=/nowhere/x.pem", "?options=-csearch_path", "?x=s3cret"],
)
def test_options_that_are_not_understood_are_not_ignored(options: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_pool(make_url("postgresql://u:s3cret@h/d" + options), PATIENCE)
    assert "s3cret" not in str(caught.value)


def test_the_pool_does_not_show_its_password() -> None:
    engine = open_pool(make_url("postgresql://jane:s3cret@h/d"), PATIENCE)
    assert "s3cret" not in repr(engine) + str(engine.url.render_as_string(hide_password=False))


def _database(engine: Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(text("SELECT current_database()")).scalar_one())


def _at(port: int) -> str:
    return f"postgresql://jane:s3cret@127.0.0.1:{port}/x"


@contextmanager
def _stranger(behaviour: str) -> Iterator[tuple[int, list[bytes]]]:
    """A server that is no PostgreSQL: (its port, what it hears)."""
    heard: list[bytes] = []
    stopping = threading.Event()

    def serve(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            heard.append(client.recv(1000))
            if behaviour == "silent":
                stopping.wait(10)
            elif behaviour == "resets":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif behaviour == "refuses TLS":
                client.sendall(b"N")
                client.settimeout(5)
                heard.append(client.recv(1000))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            stopping.set()
            thread.join()
