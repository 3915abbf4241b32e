"""Photos collected from S3 while their manager goes on with other things, and may look how far it is.

What is under way is known to this process alone and ends with it. Collecting the same prefix once more loses nothing:
a photo that is there already is recognised.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from backend import logs
from backend.errors import ConfigError, IntakeError, LedgerError, StorageError
from backend.intake import prefixes, uploads
from backend.intake.desk import Batch, Desk
from backend.intake.uploads import UploadResult

State = Literal["running", "done", "stopped", "failed"]

MOST_AT_ONCE: Final = 3
"""Each holds a part of its photos in memory."""
MOST_TOLD: Final = 500
"""Of so many photos it is kept what their manager should know; the others are counted."""
_KEPT_FOR = timedelta(days=1)  # the names in it are not to stay for ever
_ENDS_WITHIN_S = 10.0
_NOT_NOW = "something that is needed cannot be reached just now; collect once more: what was taken in is recognised"

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Collection:
    """How far the photos under one prefix are.

    total: None until the prefix was looked through. told: refusals, then notes, at most `MOST_TOLD`. problem: why it
    has failed, for its manager.
    """

    collection_id: str
    project_id: str
    address: str
    state: State
    started_at: datetime
    total: int | None = None
    accepted: int = 0
    refused: int = 0
    told: tuple[UploadResult, ...] = ()
    problem: str | None = None
    ended_at: datetime | None = None

    @property
    def under_way(self) -> bool:
        """Whether it will still change."""
        return self.state == "running"

    def with_batch(self, batch: Batch) -> Collection:
        """The same after another batch."""
        accepted = sum(result.photo_id is not None for result in batch.results)
        told = (*self.told, *(result for result in batch.results if result.reason or result.note))
        return replace(
            self,
            total=batch.total,
            accepted=self.accepted + accepted,
            refused=self.refused + len(batch.results) - accepted,
            told=tuple(sorted(told, key=lambda result: result.reason is None)[:MOST_TOLD]),
        )


class Collecting:
    """Collects for all managers, each prefix in a thread that ends with this object's context."""

    def __init__(self, desk: Desk, clock: Callable[[], datetime]) -> None:
        self._desk, self._clock = desk, clock
        self._lock = threading.Lock()
        self._collections: dict[str, Collection] = {}  # by project, the last one
        self._threads: list[threading.Thread] = []
        self._ending = threading.Event()

    def __enter__(self) -> Collecting:
        return self

    def __exit__(self, *_: object) -> None:
        """What is under way stops where it is."""
        self._ending.set()
        for thread in self._threads:
            thread.join(_ENDS_WITHIN_S)

    def start(self, project_id: str, *, address: str) -> Collection:
        """Have all photos under `address` collected for a project.

        Raises `IntakeError` when the address may not be read, the project is off, or enough is under way already.
        """
        address = prefixes.permitted(address, self._desk.s3_prefixes)
        uploads.check_on(self._desk.ledger.project(project_id))
        fresh = Collection(secrets.token_hex(16), project_id, address, "running", self._clock())
        thread = threading.Thread(target=self._collect, args=(fresh,), name="collecting", daemon=True)
        with self._lock:
            busy = {one.project_id for one in self._collections.values() if one.under_way}
            if project_id in busy:
                raise IntakeError("photos are being collected for this project already")
            if len(busy) >= MOST_AT_ONCE:
                raise IntakeError(f"photos are being collected for {MOST_AT_ONCE} projects; wait until one is done")
            self._collections[project_id] = fresh
            self._threads = [*(other for other in self._threads if other.is_alive()), thread]
            thread.start()
        return fresh

    def of(self, project_id: str) -> Collection | None:
        """The project's last collection, unless it is long over."""
        now = self._clock()
        with self._lock:
            self._collections = {
                key: one for key, one in self._collections.items() if (one.ended_at or now) > now - _KEPT_FOR
            }
            return self._collections.get(project_id)

    def stop(self, project_id: str) -> Collection:
        """End the project's collection; photos in hand are still taken in. Raises `LedgerError` when there is none."""
        found = self.of(project_id)
        if found is None:
            raise LedgerError(f"nothing is collected for project {project_id}")
        return self._change(found, state="stopped", ended_at=self._clock()) or found

    def _change(self, collection: Collection, **changes: Any) -> Collection | None:
        """What it is by now, changed; None when it is over or another one has taken its place."""
        with self._lock:
            there = self._collections.get(collection.project_id)
            if there is None or there.collection_id != collection.collection_id or not there.under_way:
                return None
            changed = replace(there, **changes)
            self._collections[collection.project_id] = changed
            return changed

    def _collect(self, collection: Collection) -> None:
        ending = self._ended(collection)
        self._change(collection, **ending, ended_at=self._clock())

    def _ended(self, collection: Collection) -> dict[str, Any]:
        """Collect until nothing is left, or until told to stop; how it ended."""
        project_id = collection.project_id
        try:
            for batch in self._desk.collect(project_id, address=collection.address, clock=self._clock):
                collection = collection.with_batch(batch)
                so_far = {name: getattr(collection, name) for name in ("total", "accepted", "refused", "told")}
                if self._change(collection, **so_far) is None or self._ending.is_set():
                    return {"state": "stopped"}
        except (ConfigError, IntakeError, StorageError) as error:
            return {"state": "failed", "problem": str(error)}
        except Exception as error:  # a thread's edge: nobody else would hear of it
            _log.error("collecting failed", extra={"project_id": project_id, "reason": type(error).__name__})
            return {"state": "failed", "problem": _NOT_NOW}
        return {"state": "done"}
