"""Custody with everything that retention needs, over databases wherever a test puts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from sealed_photos import NOW, record
from sqlalchemy import Engine

from backend.custody import database, pseudonyms, seal
from backend.custody.audit import AuditLog
from backend.custody.heads import AuditHeads
from backend.custody.keyring import Keyring
from backend.custody.records import NewEvent, SealedRecord, SubjectKey, SubjectRef
from backend.custody.retention import Retention
from backend.custody.signing import SigningKey
from backend.custody.vault import Vault

GRACE = timedelta(days=7)
DUE = NOW + GRACE
OFFICER = "0f" * 16
PSEUDONYM_KEY = b"k" * 32
MASTER = seal.generate_key_pair()
pseudonym = partial(pseudonyms.pseudonym, PSEUDONYM_KEY)


@dataclass(frozen=True)
class Site:
    """`folder` holds the signing key and the heads; `forgotten` are the subjects that the ledger was told to forget."""

    folder: Path
    vault_engine: Engine
    keys_engine: Engine
    retention: Retention
    keyring: Keyring
    heads: AuditHeads
    signing_key: SigningKey
    forgotten: list[SubjectRef]
    delivered: list[bytes]

    @property
    def vault(self) -> Vault:
        return Vault(self.vault_engine)

    @property
    def log(self) -> AuditLog:
        return AuditLog(self.vault_engine)

    def hold(
        self, ref: SubjectRef, photo_id: str, *, face_index: int = 0, expires_at: datetime | None = None
    ) -> SealedRecord:
        """Make the subject's key and one sealed record of theirs."""
        return self.store(self.keyring.ensure(ref, now=NOW), photo_id, face_index=face_index, expires_at=expires_at)

    def store(
        self, key: SubjectKey, photo_id: str, *, face_index: int = 0, expires_at: datetime | None = None
    ) -> SealedRecord:
        """What a worker does that has had the key for a while."""
        stored = record(key, b"pixels" * 2000, photo_id=photo_id, face_index=face_index, expires_at=expires_at)
        self.vault.store([stored], [NewEvent("worker", "photo.sealed", photo_id)], now=NOW)
        return stored

    def actions(self, target: str) -> list[str]:
        """What the log says of a target, in order."""
        return [event.action for event in self.log.events() if event.target == target]


@contextmanager
def opened(
    folder: Path,
    vault_url: str,
    keys_url: str,
    *,
    grace: timedelta = GRACE,
    deliver: Callable[[bytes], None] | None = None,
) -> Iterator[Site]:
    """The site of that folder and those databases."""
    vault_engine, keys_engine = database.open_vault(vault_url), database.open_keys(keys_url)
    key = SigningKey.ensure(folder / "admin" / "signing.key")
    delivered: list[bytes] = []
    heads = AuditHeads(folder / "admin" / "heads.jsonl", key, carry=deliver or delivered.append)
    keyring = Keyring(keys_engine, lambda: MASTER.public_key)
    retention = Retention(vault_engine, keyring, grace=grace, pseudonym=pseudonym, signing_key=key, heads=heads)
    try:
        yield Site(folder, vault_engine, keys_engine, retention, keyring, heads, key, [], delivered)
    finally:
        vault_engine.dispose()
        keys_engine.dispose()
