"""PostgreSQL for the stores: addresses as libpq writes them, bounded waits, and errors by what the server calls them.

pg8000 reports whatever the server refuses as one kind of error, lets some of the operating system's errors through as
they are, loses some when it closes a connection, and knows one time limit for connecting and for every answer.
`_Connection` mends these, so that SQLAlchemy sees a driver like any other.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pg8000 import dbapi  # type: ignore[import-untyped]
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL

from backend.errors import ConfigError

_PORT: Final = 5432
_OPTIONS: Final = ("host", "sslmode", "sslrootcert")
_CONNECTION_LOST: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_KINDS: Final[Mapping[str, type[Exception]]] = {  # by the class of the SQLSTATE, its first two characters
    "08": dbapi.OperationalError,  # connections
    "0A": dbapi.NotSupportedError,
    "22": dbapi.DataError,
    "23": dbapi.IntegrityError,
    "25": dbapi.InternalError,  # states of transactions
    "28": dbapi.OperationalError,  # who may connect
    "3D": dbapi.ProgrammingError,  # no such database
    "3F": dbapi.ProgrammingError,  # no such schema
    "40": dbapi.OperationalError,  # deadlocks
    "42": dbapi.ProgrammingError,  # no such table, no right to it
    "53": dbapi.OperationalError,  # disk full, too many connections
    "54": dbapi.OperationalError,
    "55": dbapi.OperationalError,  # lock timeouts
    "57": dbapi.OperationalError,  # statement timeouts, shut-down
    "58": dbapi.OperationalError,
    "XX": dbapi.InternalError,
}


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds to wait: to be connected, for a lock, for a statement, and for any sign of the server.

    The server keeps the middle two. The last is for a server that has vanished without a word.
    """

    connect_s: float
    lock_s: float
    statement_s: float
    silence_s: float


def open_pool(url: URL, patience: Patience) -> Engine:
    """A pool of connections to `url`; nothing is connected yet. Every commit is on the server's disk when it returns.

    The address may say `host` (a folder of Unix sockets), `sslmode` (disable, prefer, require or verify-full) and
    `sslrootcert` behind its question mark. Raises `ConfigError` on anything else there.
    """
    connect = partial(_Connection, patience.silence_s, **_arguments(url, patience))
    return create_engine("postgresql+pg8000://", creator=connect, pool_pre_ping=True, hide_parameters=True)


def _arguments(url: URL, patience: Patience) -> dict[str, Any]:
    if unknown := sorted(set(url.query) - set(_OPTIONS)):
        raise ConfigError(f"the address of a PostgreSQL database knows {', '.join(_OPTIONS)}, not {unknown[0]}")
    port = url.port or _PORT
    sockets = url.query.get("host")
    return {
        "user": url.username,
        "password": url.password,
        "database": url.database,
        "host": url.host or "localhost",
        "port": port,
        "unix_sock": f"{sockets}/.s.PGSQL.{port}" if sockets else None,
        "ssl_context": _tls(url.query.get("sslmode", "prefer"), url.query.get("sslrootcert")),
        "timeout": patience.connect_s,
        "startup_params": {  # for the whole session, whatever the server is set up to do
            "lock_timeout": f"{round(patience.lock_s * 1000)}ms",
            "statement_timeout": f"{round(patience.statement_s * 1000)}ms",
            "synchronous_commit": "on",
        },
    }


def _tls(mode: object, root_certificates: object) -> ssl.SSLContext | bool | None:
    """What pg8000 understands: False is never, None is when the server can."""
    if mode in {"disable", "prefer"}:
        return False if mode == "disable" else None
    if mode not in {"require", "verify-full"}:
        raise ConfigError("sslmode is disable, prefer, require or verify-full")
    try:
        context = ssl.create_default_context(cafile=None if root_certificates is None else str(root_certificates))
    except OSError:
        raise ConfigError("sslrootcert is not a file of certificates") from None
    if mode == "require":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class _Connection(dbapi.Connection):  # type: ignore[misc]
    """A connection whose errors are those of the Python database API."""

    def __init__(self, silence_s: float, **arguments: Any) -> None:
        try:
            super().__init__(**arguments)
        except OSError as error:
            raise dbapi.InterfaceError("network error") from error
        except dbapi.DatabaseError as error:
            raise _told_apart(error) from None
        self._usock.settimeout(silence_s)  # until here it was the time to connect

    def close(self) -> None:
        """Also of a connection that is gone already: refused at the door, it would tell of that instead of why."""
        with contextlib.suppress(dbapi.InterfaceError):
            super().close()

    def handle_messages(self, context: Any) -> None:
        """Every answer of the server comes this way."""
        try:
            super().handle_messages(context)
        except OSError as error:
            raise dbapi.InterfaceError("network error") from error
        except dbapi.DatabaseError as error:
            raise _told_apart(error) from None


def _told_apart(error: Exception) -> Exception:
    told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    state = str(told.get("C", ""))
    if state in _CONNECTION_LOST:
        lost: Exception = dbapi.InterfaceError("network error")  # what SQLAlchemy takes for the end of a connection
        return lost
    kind: type[Exception] = _KINDS.get(state[:2], dbapi.DatabaseError)
    return kind(*error.args)
