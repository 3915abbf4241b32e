"""A photo's way through the ledger, step by step, and many steps at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from backend.ledger.ledger import Ledger
from backend.ledger.records import FaceNote, Photo, Project

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SHA = "a" * 64


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def hand_in(ledger: Ledger, project: Project, number: int = 0, *, now: datetime = NOW) -> Photo:
    sha = f"{number:064x}"
    photo, created = ledger.add_photo(
        project.project_id, origin="intake", source_sha256=sha, source_blob=f"b{number}", now=now
    )
    assert created
    return photo


def make_ready(ledger: Ledger, photo: Photo, *, now: datetime = NOW, key: str | None = None) -> None:
    assert ledger.claim(photo.photo_id, revision=photo.policy_revision, now=now, lease_s=60)
    ledger.ready(
        photo.photo_id,
        image_key=key or f"key-{photo.photo_id}",
        image_sha256="b" * 64,
        image_format="png",
        width_px=640,
        height_px=480,
        faces=[FaceNote(index=0, box=(1, 2, 3, 4), landmarks=((1.0, 2.0),) * 68, outcome="swapped")],
        model_version="g2face-1",
        now=now,
    )


def at_once(call: Callable[[], object], times: int) -> None:
    gate = threading.Barrier(times)
    errors: list[BaseException] = []

    def wait_and_call() -> None:
        gate.wait()
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=wait_and_call) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
