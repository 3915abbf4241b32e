"""What a photo costs beyond the engine.

Photos go the whole way up to "ready" (queue, claim, sealed original, keys, vault and audit log, image store, ledger)
with a real Redis, SQLite databases and files in a temporary folder, and an engine that only paints over the faces.
Reading, writing and proving picture files is told apart: it grows with the picture, the rest does not.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from backend.custody import database, inbox, master
from backend.custody.inbox_opening import InboxKey, create_inbox_key
from backend.custody.keyring import Keyring
from backend.custody.vault import Vault
from backend.jobs import AnonymizeTask, Jobs, QueueName
from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.plugin.links import Links
from backend.redis_server import EmbeddedRedis
from backend.storage import BlobStore
from g2face_model import images
from g2face_model.types import AnonymizedFace, AnonymizedImage, Box, Image, Landmarks, Verdict
from worker import jobs
from worker.listening import listen
from worker.runtime import Runtime

AIM_MS = 30.0
"""What everything but the engine and the picture files may take per photo."""

STEPS: Mapping[str, str] = {
    "claimed": "queue and claim",
    "fetched": "open the sealed original",
    "keys": "subjects' keys and seeds",
    "sealed": "seal",
    "locked": "vault and audit log",
    "stored": "store the image",
    "ready": "ledger",
    "announced": "queue the publication",
}
PICTURE_STEPS = ("decoded", "encoded", "proved")
_FACE_PX, _CELLS = 300, 8
_PHOTOS_QUEUE: Final[QueueName] = "bulk"  # publications go to the other one, which nobody listens to here

Milliseconds = Mapping[str, float]


def measure(photos: int, *, side_px: int, faces: int) -> list[Milliseconds]:
    """Milliseconds per step, a photo each. One photo more than asked for comes first, to warm everything up.

    Raises ConfigError and QueueError when there is no Redis to start.
    """
    steps: list[tuple[str, float]] = []

    def reached(name: str) -> None:
        steps.append((name, time.perf_counter()))

    with tempfile.TemporaryDirectory() as name, EmbeddedRedis(Path(name)) as redis:
        runtime = _runtime(Path(name), redis.url, _Painter(faces, reached), reached)
        public_key = inbox.read_public(Path(name) / "inbox.pub")
        _hand_in(runtime, public_key, photos=photos + 1, side_px=side_px)
        jobs.bind(runtime)
        reached("listening")
        listen(redis.url, [_PHOTOS_QUEUE], burst=True)
        runtime.ledger.close()
    return _per_photo(steps)[1:]


def table(photos: Sequence[Milliseconds]) -> list[str]:
    """Medians as lines for people."""
    own = statistics.median(sum(photo[name] for name in STEPS) for photo in photos)
    pictures = statistics.median(sum(photo[name] for name in PICTURE_STEPS) for photo in photos)
    rows = [(what, statistics.median(photo[name] for photo in photos)) for name, what in STEPS.items()]
    lines = [f"  {what:<26}{milliseconds:7.1f} ms" for what, milliseconds in rows]
    lines.append(f"  {'all of these':<26}{own:7.1f} ms  (aim: {AIM_MS:.0f} ms)")
    lines.append(f"  {'decode, encode and prove':<26}{pictures:7.1f} ms")
    return lines


class _Painter:
    """Finds `faces` square faces in a row and paints them over. It asks for all seeds first, so that what they cost is
    not taken for the engine's time."""

    def __init__(self, faces: int, reached: Callable[[str], None]) -> None:
        self._faces, self._reached = faces, reached

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        drawn = [seeds(index) for index in range(self._faces)]
        self._reached("keys")
        result = image.copy()
        faces = []
        for index, seed in enumerate(drawn):
            faces.append(_face(image, index, of=self._faces))
            left, top, width, height = faces[-1].rectangle
            result[top : top + height, left : left + width] = np.frombuffer(seed, np.uint8)[:3]
        return AnonymizedImage(result, tuple(faces), "painter-1")


def _face(image: Image, index: int, *, of: int) -> AnonymizedFace:
    slot = image.shape[1] // of
    side = min(slot, image.shape[0], _FACE_PX)
    left = slot * index
    grid = np.linspace(0, side - 1, 68, dtype=np.float32)
    return AnonymizedFace(
        index=index,
        box=Box(float(left), 0.0, float(left + side), float(side), 1.0),
        landmarks=Landmarks(np.stack([left + grid, grid], axis=1)),
        expression=np.full(7, 1 / 7, np.float32),
        rectangle=(left, 0, side, side),
        mask=np.ones((side, side), np.bool_),
        verdict=Verdict("anonymized"),
    )


def _runtime(folder: Path, redis_url: str, engine: _Painter, checkpoint: Callable[[str], None]) -> Runtime:
    """A worker's tools in `folder`, whatever the settings say: nothing of a real installation is touched."""
    master_public_key = master.create_master_key(folder / "master.key", folder / "master.pub")
    create_inbox_key(folder / "inbox.key", folder / "inbox.pub")
    return Runtime(
        anonymizer=engine,
        ledger=Ledger.open(f"sqlite:///{folder}/ledger.sqlite3"),
        blobs=BlobStore((folder / "blobs").as_uri()),
        inbox=InboxKey(folder / "inbox.key"),
        keyring=Keyring(database.open_keys(f"sqlite:///{folder}/keys.sqlite3"), lambda: master_public_key),
        vault=Vault(database.open_vault(f"sqlite:///{folder}/vault.sqlite3")),
        labelstudio=LabelStudio("http://localhost", ""),  # never called: nothing is published
        links=Links("http://localhost", bytes(32)),
        jobs=Jobs(redis_url),
        checkpoint=checkpoint,
    )


def _hand_in(runtime: Runtime, public_key: bytes, *, photos: int, side_px: int) -> None:
    now = datetime.now(UTC)
    project_id = runtime.ledger.add_project("Benchmark", 1, now=now).project_id
    for number in range(photos):
        data = _picture(number, side_px)
        digest = hashlib.sha256(data).hexdigest()
        sealed = inbox.seal_original(public_key, data, project_id=project_id, source_sha256=digest)
        blob = runtime.blobs.put(sealed)
        photo, _ = runtime.ledger.add_photo(
            project_id, origin="intake", source_sha256=digest, source_blob=blob, now=now
        )
        runtime.jobs.enqueue(AnonymizeTask(photo.photo_id, photo.policy_revision), queue=_PHOTOS_QUEUE)


def _picture(number: int, side_px: int) -> bytes:
    """A JPEG of smooth shapes with a photograph's grain."""
    generator = np.random.default_rng(number)
    rows, columns = np.mgrid[:side_px, :side_px] / side_px * _CELLS
    smooth = np.stack([np.sin(rows + number), np.cos(columns), np.sin(rows + columns)], axis=-1) * 90 + 128
    return images.encode(np.clip(smooth + generator.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8), "jpeg")


def _per_photo(steps: Sequence[tuple[str, float]]) -> list[Milliseconds]:
    photos: list[dict[str, float]] = []
    for (_, before), (name, at) in pairwise(steps):
        if name == "claimed":
            photos.append({})
        photos[-1][name] = (at - before) * 1000
    return list(photos)
