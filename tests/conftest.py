"""Fixtures for tests that need pretrained weights, real photographs, or a real Redis or PostgreSQL."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import postgres_server
import pytest
import s3_server
from label_studio_server import label_studio as label_studio
from playwright.sync_api import Browser, sync_playwright
from redis import Redis

from backend.redis_server import EmbeddedRedis
from g2face_model.weights import WeightStore

_FACES = Path(__file__).parents[2] / "shared" / "faces"


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """A command that was run in this process set the logs up; the next test's stderr is its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
    root.setLevel(level)
    for package in ("backend", "worker", "g2face_model"):
        logging.getLogger(package).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def store() -> WeightStore:
    """The weight store of `make weights`; pulls what is missing, which is quick when nothing is."""
    directory = os.environ.get("G2FACE_MODEL__WEIGHTS_DIR")
    store = WeightStore(Path(directory) if directory else None)
    store.pull()
    return store


@pytest.fixture(scope="session")
def official_store(store: WeightStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WeightStore]:
    """The same, and files for the official engine, filled and handed in. Its real weights are not to be had here."""
    import official_weights  # here and not above: torch takes seconds to load

    folder = tmp_path_factory.mktemp("official")
    yield official_weights.imported(store, folder)
    shutil.rmtree(folder)  # 0.6 GB, which pytest would keep for three runs


@pytest.fixture(scope="session")
def faces_dir() -> Path:
    """Real photographs for development, which are not part of the repository."""
    if not _FACES.is_dir():
        pytest.skip("needs the development photographs in ../shared/faces")
    return _FACES


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis that the whole run shares."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """The address of a Redis that is empty."""
    with Redis.from_url(redis_server) as client:
        client.flushall()
        yield redis_server
        client.flushall()


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.PostgresServer]:
    """A PostgreSQL that the whole run shares."""
    try:
        with postgres_server.running() as server:
            yield server
    except postgres_server.PostgresMissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database; a test that takes it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.sqlite3'}"
        return
    server: postgres_server.PostgresServer = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of an S3 that the whole run shares."""
    with s3_server.running() as address:
        yield address


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3_server.Bucket]:
    """An empty bucket, which this process finds the way AWS's own libraries do."""
    made = s3_server.make_bucket(s3_address)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    s3_server.forget_connections()
    yield made
    s3_server.forget_connections()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium that the whole run shares: one process can drive no second one at the same time."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()
