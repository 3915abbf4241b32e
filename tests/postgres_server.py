"""A real PostgreSQL for tests, from the binaries of the system, in a folder of its own and without a network port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pg8000
from pg8000.native import identifier

_STARTS_WITHIN_S = 30.0
_NOT_ROOT = ("postgres", "nobody")  # PostgreSQL refuses to run as root


class PostgresMissingError(Exception):
    """There is no PostgreSQL that can be started here; the message says why."""


class PostgresServer:
    """A running server. Every database that it makes is empty."""

    def __init__(self, sockets: Path) -> None:
        self._sockets = sockets
        self._made = 0

    def url(self, database: str) -> str:
        return f"postgresql://g2face@/{database}?host={self._sockets}"

    @contextmanager
    def database(self, *, like: str = "template1") -> Iterator[str]:
        """A new database's address, empty or with the tables and rows of the database that is named; it is dropped
        afterwards, whoever is still connected."""
        self._made += 1
        name = f"test{self._made}"
        self.run(f"CREATE DATABASE {identifier(name)} TEMPLATE {identifier(like)}")
        try:
            yield self.url(name)
        finally:
            self.run(f"DROP DATABASE {identifier(name)} WITH (FORCE)")

    def answers(self) -> bool:
        try:
            self.run("SELECT 1")
        except (pg8000.DatabaseError, pg8000.InterfaceError):
            return False
        return True

    def cut(self) -> None:
        """End every connection to a database of the tests."""
        self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test%'")

    def run(self, statement: str, *, database: str = "postgres") -> None:
        """As the server's owner, on a connection of its own."""
        sockets = f"{self._sockets}/.s.PGSQL.5432"
        with pg8000.connect("g2face", unix_sock=sockets, database=database, timeout=10) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)


@contextmanager
def running() -> Iterator[PostgresServer]:
    """Raises `PostgresMissingError` where there is none."""
    initdb, postgres = _programs()
    identity = _identity()
    folder = Path(tempfile.mkdtemp(prefix="g2face-postgres-"))  # the folders of pytest are closed to other users
    try:
        os.chown(folder, identity.get("user", -1), identity.get("group", -1))
        data = folder / "data"
        options = ["--auth=trust", "--username=g2face", "--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run([initdb, "-D", data, *options], cwd=folder, capture_output=True, text=True, **identity)
        if made.returncode:
            raise PostgresMissingError(f"initdb failed: {made.stderr.strip()[-200:]}")
        quick = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [postgres, "-D", data, "-k", folder, *quick], cwd=folder, stdout=log, stderr=log, **identity
            )
        try:
            server = PostgresServer(folder)
            _await(server, process, folder / "log")
            yield server
        finally:
            process.terminate()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> tuple[str, str]:
    """initdb and postgres: from PATH, else the newest where Debian puts them."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    path = os.pathsep.join([os.environ.get("PATH", ""), *(str(folder) for folder in reversed(debian))])
    initdb, postgres = shutil.which("initdb", path=path), shutil.which("postgres", path=path)
    if initdb is None or postgres is None:
        raise PostgresMissingError(
            "no PostgreSQL server here: neither on PATH nor in /usr/lib/postgresql (Debian: postgresql)"
        )
    return initdb, postgres


def _identity() -> dict[str, Any]:
    """As whom to run it: as we are, unless we are root."""
    if os.geteuid() != 0:
        return {}
    for name in _NOT_ROOT:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise PostgresMissingError(f"PostgreSQL does not run as root, and there is no user {' or '.join(_NOT_ROOT)}")


def _await(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while not server.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise PostgresMissingError(f"PostgreSQL does not start: {log.read_text()[-300:]}")
        time.sleep(0.05)
