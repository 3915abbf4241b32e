"""Connections to custody's two databases, the vault and the keys: SQLite on one machine, PostgreSQL for several."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from sqlite3 import DatabaseError

from sqlalchemy import Connection, Engine, Table, inspect, select, text
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from backend import postgresql, sqlite
from backend.custody import tables
from backend.errors import ConfigError, CustodyError, CustodyUnavailableError
from backend.postgresql import Patience

_OPENINGS = 4
_BUSY_TIMEOUT_S = 1.5  # whoever waits for an event to be written before opening something gets a no this soon
_PATIENCE = Patience(connect_s=_BUSY_TIMEOUT_S, lock_s=_BUSY_TIMEOUT_S, statement_s=30.0, silence_s=45.0)
_SCHEMA_LOCK = 0x6732_6375_7374  # any number that is always the same


def open_vault(url: str) -> Engine:
    """The database of sealed records and audit events, made or brought up to date.

    Raises `ConfigError` for an address of no such database, `CustodyUnavailableError` when it is away, `CustodyError`
    when it belongs to a newer version of this program.
    """
    return _open(url, tables.VAULT)


def open_keys(url: str) -> Engine:
    """The database of subject keys, made or brought up to date. Raises as `open_vault` does."""
    return _open(url, tables.KEYS)


@contextmanager
def reading(engine: Engine, *, failure: type[CustodyError] = CustodyUnavailableError) -> Iterator[Connection]:
    """One consistent look. Raises `failure` when the database cannot be used."""
    with _translated(failure), engine.connect().execution_options(reads=True) as connection:
        yield connection


@contextmanager
def writing(engine: Engine, *, failure: type[CustodyError] = CustodyUnavailableError) -> Iterator[Connection]:
    """One transaction, on the disk when it ends: all of it or nothing. Raises `failure` when it was nothing."""
    with _translated(failure), engine.begin() as connection:
        yield connection


def lock(connection: Connection, number: int) -> None:
    """Let one transaction at a time past this line, until it ends. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})


def forget_deleted(engine: Engine) -> bool:
    """Let no deleted byte stay in the files beside the database; whether it was possible, since others may be at work.

    SQLite overwrites what is deleted and keeps a log besides, which this empties. On PostgreSQL it is the server's part
    to reuse the space and to drop its own log, and nothing is done here.
    """
    if engine.dialect.name != "sqlite":
        return True
    with _translated(CustodyUnavailableError):
        return sqlite.empty_log(engine)


def insert_new(connection: Connection, table: Table, values: Mapping[str, object]) -> bool:
    """Insert a row unless one with the same unique values is there; whether it was inserted. Safe under races."""
    insert = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    statement = insert(table).values(dict(values)).on_conflict_do_nothing().returning(*table.primary_key)
    return connection.execute(statement).first() is not None  # row counts of inserts are not dependable


def _open(url: str, schema: tables.Schema) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("what should be the address of a custody database is none") from None
    if parsed.drivername not in {"sqlite", "postgresql"}:
        raise ConfigError("the address of a custody database begins with sqlite:// or postgresql://")
    engine = _sqlite(parsed) if parsed.drivername == "sqlite" else postgresql.open_pool(parsed, _PATIENCE)
    with ExitStack() as unless_it_works:
        unless_it_works.callback(engine.dispose)
        _make(engine, schema)
        unless_it_works.pop_all()
    return engine


def _make(engine: Engine, schema: tables.Schema) -> None:
    """Bring the tables up to date. Several processes may start at once, and on a busy machine making them takes longer
    than a record may wait: the others try again."""
    for left in reversed(range(_OPENINGS)):
        try:
            with writing(engine) as connection:
                lock(connection, _SCHEMA_LOCK)
                _upgrade(connection, schema)
        except CustodyUnavailableError:
            if not left:
                raise
        else:
            return


def _upgrade(connection: Connection, schema: tables.Schema) -> None:
    version_of = schema.version_table.c.version
    if not inspect(connection).has_table(schema.version_table.name):
        schema.metadata.create_all(connection)
        connection.execute(schema.version_table.insert().values(version=schema.version))
        return
    version = connection.execute(select(version_of)).scalar_one()
    if version > schema.version:
        raise CustodyError("the custody database was made by a newer version of this program")
    for step in schema.steps[version - 1 :]:
        step(connection)
    connection.execute(schema.version_table.update().values(version=schema.version))


def _sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        _create_private(Path(url.database))
    return sqlite.open_pool(url, _BUSY_TIMEOUT_S)


def _create_private(path: Path) -> None:
    """SQLite gives the files beside the database the database's own mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise CustodyError(f"the custody database cannot be made: {error.strerror}") from None


@contextmanager
def _translated(failure: type[CustodyError]) -> Iterator[None]:
    """Drivers' errors hold statements, values and host names; ours say only that nothing was read or written."""
    try:
        yield
    except (SQLAlchemyError, DatabaseError) as error:
        raise failure(f"a custody database cannot be used at the moment ({type(error).__name__})") from None
