"""What docker-compose.yml mounts into the database servers, on a real PostgreSQL that asks for passwords."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import postgres_server
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError

from backend.postgresql import Patience, open_pool

DOCKER = Path(__file__).parents[2] / "docker"
DATABASES = {"g2face_database_url": "g2face_ledger", "g2face_custody__vault_url": "g2face_vault"}
PATIENCE = Patience(connect_s=5.0, lock_s=5.0, statement_s=5.0, silence_s=10.0)


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, URL]]:
    """A server as `postgres` of docker-compose.yml is set up: by database, its address."""
    made, told = (tmp_path_factory.mktemp(name) for name in ("made", "told"))
    subprocess.run([DOCKER / "make-secrets.sh", made], check=True)
    for secret in DATABASES:
        shutil.copy(made / secret, told)
    try:
        with postgres_server.running() as server:
            sockets = str(make_url(server.url("postgres")).query["host"])
            _set_up(server, Path(sockets), told)
            yield {
                database: make_url((told / secret).read_text().strip()).set(host="", query={"host": sockets})
                for secret, database in DATABASES.items()
            }
    except postgres_server.PostgresMissingError as missing:
        pytest.skip(str(missing))


def _set_up(server: postgres_server.PostgresServer, sockets: Path, told: Path) -> None:
    psql = shutil.which("psql") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/psql")), None)
    if psql is None:
        pytest.skip("needs psql")
    path = f"{Path(psql).parent}{os.pathsep}{os.environ['PATH']}"
    given = {"PATH": path, "PGHOST": str(sockets), "POSTGRES_USER": "g2face", "SECRETS": str(told)}
    subprocess.run([DOCKER / "postgres" / "roles.sh"], check=True, env=given)
    rules = sockets / "data" / "pg_hba.conf"
    rules.write_text("local all g2face trust\nlocal all all scram-sha-256\n")
    server.run("SELECT pg_reload_conf()")


def opened(url: URL) -> Iterator[Engine]:
    engine = open_pool(url, PATIENCE)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("database", DATABASES.values())
def test_each_role_owns_its_database(addresses: dict[str, URL], database: str) -> None:
    for engine in opened(addresses[database]):
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE here (number INTEGER)"))
            assert connection.execute(text("SELECT current_user")).scalar() == database


@pytest.mark.parametrize("database", DATABASES.values())
def test_a_password_is_asked_for(addresses: dict[str, URL], database: str) -> None:
    for engine in opened(addresses[database].set(password="guessed")):
        with pytest.raises(DBAPIError, match="authentication failed"), engine.connect():
            pass


def test_the_ledgers_role_cannot_get_into_the_vault(addresses: dict[str, URL]) -> None:
    for engine in opened(addresses["g2face_ledger"].set(database="g2face_vault")):
        with pytest.raises(DBAPIError, match="permission denied for database"), engine.connect():
            pass


def test_no_role_rules_the_server(addresses: dict[str, URL]) -> None:
    for url in addresses.values():
        for engine in opened(url):
            with pytest.raises(DBAPIError, match="permission denied"), engine.begin() as connection:
                connection.execute(text("CREATE ROLE another"))
