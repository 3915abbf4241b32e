"""Everything a worker needs, real but for the engine, in one folder; and what a test wants to know afterwards."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from label_studio_double import TOKEN, Double
from stand_in import StandIn

from backend.custody import audit, database, inbox, master
from backend.custody.inbox_opening import InboxKey, create_inbox_key
from backend.custody.keyring import Keyring
from backend.custody.records import SealedRecord, SubjectRef
from backend.custody.unseal import MasterKey
from backend.custody.vault import Vault
from backend.jobs import AnonymizeTask, Jobs
from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, Project
from backend.plugin.links import Links
from backend.storage import BlobStore
from g2face_model import images, recovery
from g2face_model.recovery import RecoveryPayload
from g2face_model.types import Image
from worker.reconcile import Overseer
from worker.runtime import Anonymizer, Limits, Runtime

LABELSTUDIO_PROJECT = 7
PUBLIC_URL = "http://images.example:9090"
LIMITS = Limits(lease_s=60.0, publish_lease_s=60.0)


def painting(number: int = 0, *, height: int = 40, width: int = 64) -> Image:
    """A picture with detail everywhere, another one for every number."""
    rows, columns = np.mgrid[:height, :width]
    channels = (rows * 5 + number, columns * 3 + 7 * number, rows * columns + number)
    return np.stack(channels, axis=-1).astype(np.uint8)


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Databases:
    """The addresses of the three."""

    ledger: str
    vault: str
    keys: str

    @classmethod
    def files(cls, folder: Path) -> Databases:
        """Where they are unless told otherwise."""
        return cls(*(f"sqlite:///{folder}/{name}.sqlite3" for name in ("ledger", "vault", "keys")))

    def settings(self) -> dict[str, Any]:
        """As the settings have them."""
        return {"database_url": self.ledger, "custody": {"vault_url": self.vault, "keys_url": self.keys}}


class Workshop:
    """A folder with databases, blobs and keys, opened anew by whoever needs it."""

    def __init__(
        self,
        folder: Path,
        *,
        redis_url: str,
        double: Double | None = None,
        storage: str | None = None,
        databases: Databases | None = None,
    ):
        """databases: others than files in the folder."""
        self.folder, self.redis_url = folder, redis_url
        self.labelstudio_url = double.url if double else "http://127.0.0.1:9"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "master.pub").exists():
            master.create_master_key(folder / "admin" / "master.key", folder / "master.pub")
            create_inbox_key(folder / "worker" / "inbox.key", folder / "inbox.pub")
        databases = databases or Databases.files(folder)
        self.ledger = Ledger.open(databases.ledger)
        self.blobs = BlobStore(storage or (folder / "blobs").as_uri())
        self.jobs = Jobs(redis_url)
        self._vault_engine = database.open_vault(databases.vault)
        self._keys_engine = database.open_keys(databases.keys)
        self.vault = Vault(self._vault_engine)
        self.keyring = Keyring(self._keys_engine, partial(master.read_public, folder / "master.pub"))

    def close(self) -> None:
        self.ledger.close()
        self._vault_engine.dispose()
        self._keys_engine.dispose()

    def runtime(self, anonymizer: Anonymizer | None = None, **changes: Any) -> Runtime:
        made = Runtime(
            anonymizer=anonymizer or StandIn(),
            ledger=self.ledger,
            blobs=self.blobs,
            inbox=InboxKey(self.folder / "worker" / "inbox.key"),
            keyring=self.keyring,
            vault=self.vault,
            labelstudio=LabelStudio(self.labelstudio_url, TOKEN),
            links=Links(PUBLIC_URL, b"k" * 32),
            jobs=self.jobs,
            limits=LIMITS,
        )
        return dataclasses.replace(made, **changes)

    def overseer(self) -> Overseer:
        client = LabelStudio(self.labelstudio_url, TOKEN)
        return Overseer(self.ledger, self.jobs, self.blobs, client, own_host="images.example:9090")

    # What managers and Label Studio bring

    def project(self, labelstudio_id: int = LABELSTUDIO_PROJECT, **policy: Any) -> Project:
        return self.ledger.add_project("Faces", labelstudio_id, now=now(), **policy)

    def hand_in(self, project: Project, data: bytes | None = None, *, subject_id: str | None = None) -> Photo:
        """As intake does: sealed, stored, noted; not queued."""
        data = images.encode(painting(), "png") if data is None else data
        digest = hashlib.sha256(data).hexdigest()
        public = inbox.read_public(self.folder / "inbox.pub")
        sealed = inbox.seal_original(public, data, project_id=project.project_id, source_sha256=digest)
        photo, _ = self.ledger.add_photo(
            project.project_id,
            origin="intake",
            source_sha256=digest,
            source_blob=self.blobs.put(sealed),
            subject_id=subject_id,
            now=now(),
        )
        return photo

    def adopt(self, project: Project, task_id: int, address: str) -> Photo:
        photo, _ = self.ledger.add_photo(
            project.project_id,
            origin="adoption",
            source_sha256=hashlib.sha256(str(task_id).encode()).hexdigest(),
            labelstudio_task_id=task_id,
            source_address=address,
            now=now(),
        )
        return photo

    def enqueue(self, photo: Photo) -> None:
        self.jobs.enqueue(task_of(photo), queue="interactive")

    # What became of it

    def restored(self, photo: Photo) -> Image:
        """The original's pixels, as an admin with the master key gets them back."""
        published = self.published(photo)
        payloads = [RecoveryPayload.from_bytes(self.opened(record)) for record in self.records(photo)]
        return recovery.restore(published, payloads)

    def published(self, photo: Photo) -> Image:
        assert photo.image_sha256 is not None
        return images.decode(self.blobs.get(photo.image_sha256))

    def records(self, photo: Photo) -> list[SealedRecord]:
        return [
            record
            for record in self.vault.records_of_photo(photo.photo_id)
            if record.anonymized_sha256 == photo.image_sha256
        ]

    def opened(self, record: SealedRecord) -> bytes:
        key = self.keyring.get(SubjectRef(record.subject.project_id, record.subject.subject_id))
        assert key is not None
        return MasterKey(self.folder / "admin" / "master.key").unseal(record, key)

    def events(self) -> list[audit.AuditEvent]:
        """The audit log, its chain checked."""
        events = list(audit.AuditLog(self._vault_engine).events())
        audit.verify(events)
        return events

    def blob_names(self) -> set[str]:
        return {path.name for path in (self.folder / "blobs").rglob("*") if path.is_file()}


def task_of(photo: Photo) -> AnonymizeTask:
    return AnonymizeTask(photo.photo_id, photo.policy_revision)


def later(seconds: float) -> datetime:
    return now() + timedelta(seconds=seconds)
