"""Connections to the ledger's database and its migrations: SQLite for one machine, PostgreSQL for several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import DatabaseError

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, ProgrammingError

from backend import postgresql, sqlite
from backend.errors import ConfigError, LedgerError, LedgerUnavailableError
from backend.postgresql import Patience

_BUSY_TIMEOUT_S = 30
_PATIENCE = Patience(connect_s=5.0, lock_s=_BUSY_TIMEOUT_S, statement_s=60.0, silence_s=90.0)
_MIGRATIONS_LOCK = 0x6732_6661_6365  # any number that is always the same


def open_engine(url: str) -> Engine:
    """A pool of connections. Raises `ConfigError` on a database we do not know; nothing is connected yet."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError("database_url is not an address of a database") from None
    if parsed.drivername in {"postgresql", "postgres"}:
        return postgresql.open_pool(parsed, _PATIENCE)
    if parsed.drivername != "sqlite":
        raise ConfigError("database_url must begin with sqlite:// or postgresql://")
    return sqlite.open_pool(parsed, _BUSY_TIMEOUT_S)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent look. Raises `LedgerUnavailableError` when the database is away."""
    with translated(), engine.connect().execution_options(reads=True) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction: all of it happens or nothing. Raises `LedgerUnavailableError` when the database is away."""
    with translated(), engine.begin() as connection:
        yield connection


def forget_deleted(engine: Engine) -> bool:
    """Let no deleted text stay in the log beside an SQLite database; whether it was possible, since others may be at
    work. Raises `LedgerUnavailableError`."""
    if engine.dialect.name != "sqlite":
        return True
    with translated():
        return sqlite.empty_log(engine)


@contextmanager
def translated() -> Iterator[None]:
    """The driver's errors carry statements, values and host names; ours do not.

    A broken constraint passes through as it is, for the caller to understand.
    """
    try:
        yield
    except IntegrityError:
        raise
    except (DataError, OverflowError, UnicodeEncodeError):
        raise LedgerError("a value is not one that the ledger's database can hold") from None
    except ProgrammingError:
        raise LedgerError("the tables of the ledger's database are not as they should be") from None
    except (DBAPIError, DatabaseError):
        raise LedgerUnavailableError("the ledger's database cannot be used at the moment") from None


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to the newest tables, or to those of an older revision; several processes may try at once.

    Raises `LedgerUnavailableError`.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATIONS_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
