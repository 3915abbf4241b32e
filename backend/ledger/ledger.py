"""What was asked and what is done: the truth that Redis is not. All books of the ledger in one.

Every method is one transaction. All raise `LedgerUnavailableError` when the database is away and `LedgerError` for a
project or photo that does not exist. A step of a worker that no longer has the photo raises `ClaimLostError`.
"""

from __future__ import annotations

from backend.ledger.arrivals import Arrivals
from backend.ledger.claims import Claims
from backend.ledger.database import open_engine, upgrade
from backend.ledger.decisions import Decisions
from backend.ledger.forgetting import Forgetting
from backend.ledger.photos import Photos
from backend.ledger.pilots import Pilots
from backend.ledger.projects import Projects
from backend.ledger.publishing import Publishing


class Ledger(Projects, Arrivals, Photos, Claims, Publishing, Decisions, Pilots, Forgetting):
    """The ledger on one database. Threads and processes may share the database; each method stands alone."""

    @classmethod
    def open(cls, url: str) -> Ledger:
        """The ledger at `url`, migrated to the newest tables."""
        engine = open_engine(url)
        upgrade(engine)
        return cls(engine)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()
