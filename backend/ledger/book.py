"""What every book of the ledger stands on: a database and new ids."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from sqlalchemy import Engine


def _new_id() -> str:
    return secrets.token_hex(16)


class Book:
    """A part of the ledger: methods on one database, each of them one transaction."""

    def __init__(self, engine: Engine, *, new_id: Callable[[], str] = _new_id) -> None:
        """`engine` is one of `database.open_engine`, its tables up to date."""
        self.engine = engine
        self._new_id = new_id
