"""The admin's databases, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from workshop import Databases

from backend.custody import database
from backend.ledger.ledger import Ledger


@pytest.fixture(scope="session")
def made_once(postgres: PostgresServer) -> Iterator[tuple[str, str, str]]:
    """The names of three databases with all tables in them, for others to be made like them."""
    with ExitStack() as stack:
        urls = [stack.enter_context(postgres.database()) for _ in range(3)]
        Ledger.open(urls[0]).close()
        database.open_vault(urls[1]).dispose()
        database.open_keys(urls[2]).dispose()
        ledger, vault, keys = (url.partition("?")[0].rpartition("/")[2] for url in urls)
        yield ledger, vault, keys


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    """Three empty databases; a test that takes them runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield Databases.files(tmp_path / "data")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    names: tuple[str, str, str] = request.getfixturevalue("made_once")
    with ExitStack() as stack:
        yield Databases(*(stack.enter_context(server.database(like=name)) for name in names))
