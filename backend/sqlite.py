"""SQLite for the stores: one writer at a time, commits that are on the disk, deleted bytes that are overwritten."""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

_PRAGMAS: Final = ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
_RETRY_S: Final = 0.05


def open_pool(url: URL, busy_s: float) -> Engine:
    """A pool of connections to `url` that wait up to `busy_s` seconds for another writer; nothing is connected yet.

    A transaction of a connection with the execution option `reads` takes no lock; every other one writes.
    """
    engine = create_engine(url, connect_args={"timeout": busy_s}, hide_parameters=True)

    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver would begin transactions late and its own way
        _keep_a_write_ahead_log(connection, busy_s)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin)
    return engine


def empty_log(engine: Engine) -> bool:
    """Move what the write-ahead log holds into the database and cut the log to nothing, so that no deleted byte stays
    in it; whether that was possible. It is not while somebody reads or writes."""
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    return not busy


def _keep_a_write_ahead_log(connection: Any, busy_s: float) -> None:
    """SQLite does not wait for the lock that a new database's first connections need for this; so we do."""
    deadline = time.monotonic() + busy_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except connection.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_S)
        else:
            return


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later could not get the lock any more: writers take it at once.
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
