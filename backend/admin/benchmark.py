"""What custody costs: locking a face, beyond what the disk takes to keep anything, and giving one back.

Everything is as it is run (SQLite, files, the hybrid seal), in a temporary folder, with made-up pictures.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from backend.custody import database, master, pseudonyms
from backend.custody.heads import AuditHeads
from backend.custody.keyring import Keyring
from backend.custody.records import NewEvent, SealedRecord, SubjectRef
from backend.custody.recovery import Recovery, Rules
from backend.custody.seal import seal_record
from backend.custody.signing import SigningKey
from backend.custody.unseal import MasterKey
from backend.custody.vault import SEALED, Vault, digests
from g2face_model import images, recovery
from g2face_model.types import AnonymizedFace, Box, Image, Landmarks, Verdict

LOCK_AIM_MS, RETRIEVE_AIM_MS = 5.0, 300.0
_FACE_PX = 300
_PROJECT, _ASKS, _APPROVES = "a" * 32, "b" * 32, "c" * 32
_RULES = Rules(approvals=1, request_lasts=timedelta(hours=1), retrieval_lasts=timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one face: seal, vault and audit log together; a file of as many bytes, written and synced; and
    one retrieval, from the approved request to the picture file."""

    lock: float
    sync: float
    retrieve: float


def measure(faces: int, *, side_px: int) -> list[Times]:
    """Times of so many faces, each alone on a square photo. One more comes first, to warm everything up."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        bench = _Bench(Path(name), stack)
        return [bench.face(side_px=side_px, seed=seed) for seed in range(faces + 1)][1:]


def table(times: Sequence[Times]) -> list[str]:
    """Medians as lines for people."""
    lock, sync = (statistics.median(getattr(one, name) for one in times) for name in ("lock", "sync"))
    retrieve = statistics.median(one.retrieve for one in times)
    return [
        f"  {'seal, vault and audit log':<34}{lock:7.1f} ms a face",
        f"  {'a synced file of as many bytes':<34}{sync:7.1f} ms",
        f"  {'beyond what the disk takes':<34}{lock - sync:7.1f} ms  (aim: {LOCK_AIM_MS:.0f} ms)",
        f"  {'retrieve one face':<34}{retrieve:7.1f} ms  (aim: {RETRIEVE_AIM_MS:.0f} ms)",
    ]


class _Bench:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        master.create_master_key(folder / "master.key", folder / "master.pub")
        vault = database.open_vault(f"sqlite:///{folder / 'vault.sqlite3'}")
        keys = database.open_keys(f"sqlite:///{folder / 'keys.sqlite3'}")
        stack.callback(vault.dispose)
        stack.callback(keys.dispose)
        self._vault = Vault(vault)
        self._keyring = Keyring(keys, partial(master.read_public, folder / "master.pub"))
        pseudonym = partial(pseudonyms.pseudonym, bytes(32))
        self._recovery = Recovery(
            vault,
            self._keyring,
            MasterKey(folder / "master.key"),
            rules=_RULES,
            pseudonym=pseudonym,
            heads=AuditHeads(folder / "heads.jsonl", SigningKey.ensure(folder / "signing.key")),
            voucher_key=bytes(32),
        )

    def face(self, *, side_px: int, seed: int) -> Times:
        """Lock one face and give it back."""
        original, face = _picture(side_px, seed), _face(side_px)
        painted = original.copy()
        left, top, width, height = face.rectangle
        painted[top : top + height, left : left + width] = 90
        file = images.encode(painted, "png")
        (payload,) = recovery.protect(original, painted, [face])
        photo_id, plaintext = uuid.uuid4().hex, payload.to_bytes()
        key = self._keyring.ensure(SubjectRef(_PROJECT, f"{photo_id}-0"), now=_now())
        begun = time.perf_counter()
        record = seal_record(
            key,
            plaintext,
            record_id=uuid.uuid4().hex,
            photo_id=photo_id,
            face_index=0,
            anonymized_sha256=hashlib.sha256(file).hexdigest(),
            model_version="made-up",
            now=_now(),
            expires_at=None,
        )
        self._vault.store([record], [NewEvent("worker", SEALED, photo_id, digests([record]))], now=_now())
        locked = time.perf_counter()
        return Times(_ms(begun, locked), self._sync(record), self._retrieve(photo_id, file))

    def _sync(self, record: SealedRecord) -> float:
        begun = time.perf_counter()
        with (self._folder / "probe").open("ab") as probe:
            probe.write(record.sealed)
            probe.flush()
            os.fsync(probe.fileno())
        return _ms(begun, time.perf_counter())

    def _retrieve(self, photo_id: str, file: bytes) -> float:
        asked = self._recovery.request(
            project_id=_PROJECT,
            photo_id=photo_id,
            face_indices=[0],
            requested_by=_ASKS,
            reason="benchmark",
            reference=None,
            labelstudio_task_id=None,
            now=_now(),
        )
        self._recovery.approve(asked.request_id, approver=_APPROVES, now=_now())
        begun = time.perf_counter()
        self._recovery.retrieve(asked.request_id, by=_ASKS, published=lambda _: file, now=_now())
        return _ms(begun, time.perf_counter())


def _picture(side_px: int, seed: int) -> Image:
    """Smooth colours with a little noise, as a camera would give."""
    rows, columns = np.mgrid[:side_px, :side_px]
    smooth = np.stack([columns + rows, rows * 2, 200 - columns], axis=-1) % 256
    noise = np.random.default_rng(seed).integers(0, 6, smooth.shape)
    return (smooth + noise).clip(0, 255).astype(np.uint8)


def _face(side_px: int) -> AnonymizedFace:
    side = min(side_px, _FACE_PX)
    return AnonymizedFace(
        index=0,
        box=Box(0.0, 0.0, float(side), float(side), 1.0),
        landmarks=Landmarks(np.zeros((68, 2), np.float32)),
        expression=np.full(7, 1 / 7, np.float32),
        rectangle=(0, 0, side, side),
        mask=np.ones((side, side), np.bool_),
        verdict=Verdict("covered"),
    )


def _ms(begun: float, ended: float) -> float:
    return 1000 * (ended - begun)


def _now() -> datetime:
    return datetime.now(UTC)
