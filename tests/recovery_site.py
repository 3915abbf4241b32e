"""Photos with faces, sealed as the worker seals them, and whoever may ask for the originals. Nobody is behind them."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from backend.custody import audit, database, key_files, master, opening, seal
from backend.custody.audit import AuditLog
from backend.custody.heads import AuditHeads
from backend.custody.keyring import Keyring
from backend.custody.pseudonyms import pseudonym
from backend.custody.records import NewEvent, RecoveryRequest, RequestKind, SealedRecord, SubjectRef
from backend.custody.recovery import Opener, Recovery, Retrieved, Rules
from backend.custody.signing import SigningKey
from backend.custody.unseal import MasterKey
from backend.custody.vault import SEALED, Vault, digests
from backend.errors import BlobMissingError
from g2face_model import images, recovery
from g2face_model.types import AnonymizedFace, Box, Image, Landmarks, Verdict

NOW = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
PROJECT = "a" * 32
ADA, BO, CY, DEE = (digit * 32 for digit in "1234")
"""Accounts: who asks, and three others."""
SUBJECT = "Ada Example"
RULES = Rules(approvals=1, request_lasts=timedelta(hours=72), retrieval_lasts=timedelta(minutes=15))
PSEUDONYM_KEY = b"pseudonym key of the tests......"
VOUCHER_KEY = b"voucher key of the tests........"


@dataclass
class Site:
    """A vault, keys and anonymized files. The folder holds the master key and, unless told otherwise, the databases.

    digests_logged: whether photos are sealed as now, with what was sealed in the log, or as before.
    """

    folder: Path
    vault_url: str
    keys_url: str
    rules: Rules = RULES
    published: dict[str, bytes] = field(default_factory=dict)
    originals: dict[str, Image] = field(default_factory=dict)
    digests_logged: bool = True

    @classmethod
    def at(cls, folder: Path, vault_url: str | None = None, *, rules: Rules = RULES) -> Site:
        """A new site, or the one that was there."""
        folder.mkdir(exist_ok=True)
        if not (folder / "master.key").exists():
            master.create_master_key(folder / "master.key", folder / "master.pub")
        vault = vault_url or f"sqlite:///{folder / 'vault.sqlite3'}"
        return cls(folder, vault, f"sqlite:///{folder / 'keys.sqlite3'}", rules)

    def __post_init__(self) -> None:
        self.vault_engine: Engine = database.open_vault(self.vault_url)
        self.keys_engine: Engine = database.open_keys(self.keys_url)

    def close(self) -> None:
        """Let go of both databases."""
        self.vault_engine.dispose()
        self.keys_engine.dispose()

    @property
    def master(self) -> MasterKey:
        """The master key, read anew."""
        return MasterKey(self.folder / "master.key")

    def master_bytes(self) -> bytes:
        """The master private key itself, 96 bytes."""
        return opening.read_private(self.folder / "master.key", key_files.Purpose.MASTER, provider=key_files.PLAIN)

    def write_master(self, private_key: bytes) -> None:
        """Another master private key, in a file that is in order."""
        content = key_files.private_text(private_key, key_files.Purpose.MASTER, provider=key_files.PLAIN)
        (self.folder / "master.key").write_bytes(content)

    @property
    def keyring(self) -> Keyring:
        """The subjects' keys."""
        return Keyring(self.keys_engine, lambda: self.master.public_key)

    @property
    def recovery(self) -> Recovery:
        """What is tested."""
        return self.recovery_with(self.master)

    def recovery_with(self, master: Opener) -> Recovery:
        """The same with another master key."""
        return Recovery(
            self.vault_engine,
            self.keyring,
            master,
            rules=self.rules,
            pseudonym=self.pseudonym,
            heads=self.heads,
            voucher_key=VOUCHER_KEY,
        )

    @property
    def heads(self) -> AuditHeads:
        """The exported heads of the audit log."""
        return AuditHeads(self.folder / "heads.jsonl", SigningKey.ensure(self.folder / "signing.key"))

    def pseudonym(self, ref: SubjectRef) -> str:
        """The subject's keyed hash."""
        return pseudonym(PSEUDONYM_KEY, ref)

    def add_photo(
        self,
        *,
        subject: str | None = SUBJECT,
        format: images.Format = "png",
        faces: int = 2,
        lasts: timedelta | None = None,
    ) -> str:
        """A photo of several faces, the first one `subject`'s, sealed and published; its id."""
        photo_id = secrets.token_hex(16)
        self.originals[photo_id] = picture(seed=len(self.originals))
        self._store(photo_id, subject, format, colour=90, faces=faces, lasts=lasts)
        return photo_id

    def seal_anew(self, photo_id: str) -> None:
        """The photo anonymized once more, in another way, as under a changed policy; what was sealed before stays."""
        self._store(photo_id, SUBJECT, "png", colour=120, faces=2, lasts=None)

    def _store(
        self,
        photo_id: str,
        subject: str | None,
        format: images.Format,
        *,
        colour: int,
        faces: int,
        lasts: timedelta | None,
    ) -> None:
        original, ovals = self.originals[photo_id], tuple(face(index) for index in range(faces))
        self.published[photo_id] = file = images.encode(covered(original, ovals, colour=colour), format)
        payloads = recovery.protect(original, images.decode(file), ovals, lossy=format == "jpeg")
        records = [self.seal(photo_id, subject, payload, file, lasts=lasts) for payload in payloads]
        sealed = NewEvent("worker", SEALED, photo_id, digests(records) if self.digests_logged else {})
        Vault(self.vault_engine).store(records, [sealed], now=NOW)

    def seal(
        self,
        photo_id: str,
        subject: str | None,
        payload: recovery.RecoveryPayload,
        file: bytes,
        *,
        lasts: timedelta | None = None,
    ) -> SealedRecord:
        """A payload in the record that the worker would make of it."""
        index = payload.face_index
        theirs = subject is not None and index == 0
        subject_id = subject if theirs and subject else f"{photo_id}-{'remainder' if index is None else index}"
        return seal.seal_record(
            self.keyring.ensure(SubjectRef(PROJECT, subject_id), now=NOW),
            payload.to_bytes(),
            record_id=secrets.token_hex(16),
            photo_id=photo_id,
            face_index=index,
            anonymized_sha256=hashlib.sha256(file).hexdigest(),
            model_version="g2face-1",
            now=NOW,
            expires_at=None if lasts is None else NOW + lasts,
        )

    def give(self, photo_id: str) -> bytes:
        """A photo's anonymized file."""
        if photo_id not in self.published:
            raise BlobMissingError("there is no such blob")
        return self.published[photo_id]

    def ask(self, photo_id: str, *face_indices: int, by: str = ADA, now: datetime = NOW) -> RecoveryRequest:
        """A request for faces of a photo."""
        return self.recovery.request(
            project_id=PROJECT,
            photo_id=photo_id,
            face_indices=face_indices,
            requested_by=by,
            reason="The label is disputed.",
            reference="D-17",
            labelstudio_task_id=5,
            now=now,
        )

    def ask_for_access(self, subject: str = SUBJECT, *, by: str = ADA, now: datetime = NOW) -> RecoveryRequest:
        """A request for a subject's copy of their photos."""
        return self.recovery.request(
            kind=RequestKind.ACCESS,
            project_id=PROJECT,
            photo_id=None,
            face_indices=(),
            subject_id=subject,
            requested_by=by,
            reason="They asked for it.",
            reference=None,
            labelstudio_task_id=None,
            now=now,
        )

    def approved(self, photo_id: str, *face_indices: int, now: datetime = NOW) -> RecoveryRequest:
        """A request that somebody else has approved."""
        return self.recovery.approve(self.ask(photo_id, *face_indices, now=now).request_id, approver=BO, now=now)

    def retrieve(self, request_id: str, *, by: str = ADA, now: datetime = NOW) -> Retrieved:
        """What the request gives."""
        return self.recovery.retrieve(request_id, by=by, published=self.give, now=now)

    def log(self, target: str | None = None) -> list[tuple[str, str]]:
        """Who did what, of one target or all, in a chain that must be whole."""
        events = list(AuditLog(self.vault_engine).events())
        audit.verify(events)
        return [(event.actor, event.action) for event in events if target in (None, event.target)]

    def reasons(self, target: str) -> list[str]:
        """Why what was asked about a target was refused."""
        events = AuditLog(self.vault_engine).events()
        return [str(event.detail["reason"]) for event in events if event.target == target and "reason" in event.detail]


def picture(height: int = 120, width: int = 160, *, seed: int = 0) -> Image:
    """Smooth colours with a little noise, as a camera would give."""
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack([columns + rows, rows * 2, 200 - columns], axis=-1)
    return (smooth % 256 + np.random.default_rng(seed).integers(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)


def face(index: int) -> AnonymizedFace:
    """An oval face; the faces of one picture lie side by side."""
    left, top, width, height = 8 + 50 * index, 20, 40, 56
    rows, columns = np.mgrid[:height, :width]
    oval = ((columns * 2 + 1) / width - 1) ** 2 + ((rows * 2 + 1) / height - 1) ** 2 <= 1
    box, points = Box(left, top, left + width, top + height, 1.0), Landmarks(np.zeros((68, 2), np.float32))
    expression = np.full(7, 1 / 7, np.float32)
    return AnonymizedFace(index, box, points, expression, (left, top, width, height), oval, Verdict("covered"))


def covered(original: Image, faces: tuple[AnonymizedFace, ...], *, colour: int = 90) -> Image:
    """The picture with its faces painted over."""
    published = original.copy()
    for one in faces:
        published[within(one)][one.mask] = (colour, colour + 1, colour + 2)
    return published


def within(one: AnonymizedFace) -> tuple[slice, slice]:
    """The rows and columns of a face's rectangle."""
    left, top, width, height = one.rectangle
    return slice(top, top + height), slice(left, left + width)


def stricter(rules: Rules, *, approvals: int) -> Rules:
    """The rules with another number of approvals."""
    return dataclasses.replace(rules, approvals=approvals)
