"""The ledger as a whole, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from ledger_steps import NOW, hand_in

from backend.ledger.ledger import Ledger


def test_times_without_a_zone_are_refused(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="without a zone"):
        ledger.add_project("Faces", 7, now=NOW.replace(tzinfo=None))


def test_it_outlives_its_process(database_url: str) -> None:
    first = Ledger.open(database_url)
    project = first.add_project("Faces", 7, now=NOW)
    photo = hand_in(first, project)
    first.close()
    second = Ledger.open(database_url)
    assert second.photo(photo.photo_id) == photo
    second.close()
