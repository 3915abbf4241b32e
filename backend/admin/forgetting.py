"""What a sweep makes of a subject outside of custody: the ledger and the storage forget them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from backend.custody.records import SubjectRef
from backend.ledger.ledger import Ledger
from backend.storage import BlobStore


@dataclass(frozen=True, slots=True)
class Forgetting:
    """The ledger, and where sealed originals wait for a worker."""

    ledger: Ledger
    blobs: BlobStore

    def forget(self, ref: SubjectRef, *, now: datetime) -> None:
        """Empty the ledger of a subject, and the storage of what of theirs still waited for a worker.

        Whatever was discarded before and not deleted goes with it, as after a crash. Raises `LedgerError` and
        `StorageError`.
        """
        self.ledger.forget_subject(ref.project_id, ref.subject_id, now=now)
        while names := self.ledger.discarded_blobs():
            for name in names:
                self.blobs.delete(name)
            self.ledger.forget_blobs(names)
