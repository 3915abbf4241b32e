"""A ledger on SQLite and on PostgreSQL, and a project in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ledger_steps import NOW

from backend.ledger.ledger import Ledger
from backend.ledger.records import Project


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    ledger = Ledger.open(database_url)
    yield ledger
    ledger.close()


@pytest.fixture
def project(ledger: Ledger) -> Project:
    return ledger.add_project("Faces", 7, now=NOW)
