"""Photos as the ledger has them once a worker is done. The faces are made up."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from backend.ledger.ledger import Ledger
from backend.ledger.records import FaceNote, Photo, PhotoState, Project
from backend.plugin.links import Links
from backend.storage import BlobStore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODEL_VERSION = "g2face-1"
PUBLIC_URL = "http://images.example:9090"
LINKS = Links(PUBLIC_URL, b"k" * 32)
SIZE_PX = (800, 600)


def face(index: int = 0, **changes: Any) -> FaceNote:
    """A face whose 68 points lie on a circle; every index has its own place."""
    left, top = 100.0 + 90.0 * (index % 7), 100.0 + 90.0 * (index // 7)
    middle_x, middle_y = left + 40, top + 40
    turns = [2 * math.pi * point / 68 for point in range(68)]
    points = tuple((middle_x + 30 * math.cos(turn), middle_y + 30 * math.sin(turn)) for turn in turns)
    values: dict[str, Any] = {
        "index": index,
        "box": (left, top, left + 80, top + 80),
        "landmarks": points,
        "outcome": "anonymized",
        "similarities": {"arc": 0.05},
        "landmark_nme": 0.012,
        "expression_agreement": 0.97,
        "expression": "happy",
        "expression_score": 0.8,
    }
    return FaceNote(**(values | changes))


def photo(*faces: FaceNote, **changes: Any) -> Photo:
    """A photo that is published, with one face unless others are given."""
    values: dict[str, Any] = {
        "photo_id": "b" * 32,
        "project_id": "a" * 32,
        "state": PhotoState.PUBLISHED,
        "origin": "intake",
        "source_sha256": "0" * 64,
        "source_blob": None,
        "labelstudio_task_id": 7,
        "source_address": None,
        "subject_id": None,
        "consent": None,
        "policy_revision": 1,
        "image_key": "K" * 43,
        "image_sha256": "1" * 64,
        "image_format": "png",
        "width_px": SIZE_PX[0],
        "height_px": SIZE_PX[1],
        "faces": faces or (face(),),
        "model_version": MODEL_VERSION,
        "reason": None,
        "attempts": 1,
        "claimed_until": None,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Photo(**(values | changes))


def waiting(ledger: Ledger, project: Project, *, number: int = 0) -> Photo:
    """A photo that was handed in to a real ledger."""
    added, _ = ledger.add_photo(project.project_id, origin="intake", source_sha256=f"{number:064x}", now=NOW)
    return added


def ready(
    ledger: Ledger,
    project: Project,
    *faces: FaceNote,
    image: bytes = b"",
    blobs: BlobStore | None = None,
    number: int = 0,
) -> Photo:
    """A photo that a worker is done with, in a real ledger; its `image` in `blobs`."""
    added = waiting(ledger, project, number=number)
    claimed = ledger.claim(added.photo_id, revision=added.policy_revision, now=NOW, lease_s=60.0)
    assert claimed is not None
    ledger.ready(
        added.photo_id,
        image_key=f"{number:043}",
        image_sha256=blobs.put(image) if blobs is not None else "1" * 64,
        image_format="png",
        width_px=SIZE_PX[0],
        height_px=SIZE_PX[1],
        faces=faces or [face()],
        model_version=MODEL_VERSION,
        now=NOW,
    )
    return ledger.photo(added.photo_id)
