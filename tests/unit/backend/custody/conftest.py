"""Custody's two databases, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from backend.custody import database


@pytest.fixture
def vault_engine(database_url: str) -> Iterator[Engine]:
    """An empty vault."""
    engine = database.open_vault(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def keys_engine(database_url: str) -> Iterator[Engine]:
    """An empty database of subject keys."""
    engine = database.open_keys(database_url)
    yield engine
    engine.dispose()
