"""The master key is changed under a worker that runs on: what was locked before and after opens, pixel for pixel."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import numpy as np
from workshop import Workshop, painting, task_of

from backend.custody import key_files, master
from backend.custody.audit import AuditLog
from backend.custody.rotation import MasterKeyFiles, Rotation, RotationReport
from backend.ledger.records import Photo
from g2face_model import images
from worker.runtime import Runtime
from worker.task import anonymize, take


def work(runtime: Runtime, workshop: Workshop, photo: Photo) -> Photo:
    claimed = take(runtime, task_of(photo))
    assert claimed is not None
    anonymize(runtime, claimed)
    return workshop.ledger.photo(photo.photo_id)


def change_master_key(workshop: Workshop) -> RotationReport:
    admin = workshop.folder / "admin"
    files = MasterKeyFiles(admin / "master.key", workshop.folder / "master.pub", admin / "retired", key_files.PLAIN)
    log = AuditLog(workshop._vault_engine)
    return Rotation(files, workshop.keyring, log=log, actor="test", clock=partial(datetime.now, UTC)).run()


def test_photos_locked_before_and_after_open_and_nothing_of_them_was_touched(workshop: Workshop) -> None:
    project, runtime = workshop.project(), workshop.runtime()
    pictures = [painting(number) for number in range(3)]

    def locked(number: int, subject_id: str) -> Photo:
        data = images.encode(pictures[number], "png")
        return work(runtime, workshop, workshop.hand_in(project, data, subject_id=subject_id))

    before = locked(0, "Ada Example")
    old_public_key = master.read_public(workshop.folder / "master.pub")
    records, blobs = workshop.records(before), blob_bytes(workshop)
    report = change_master_key(workshop)
    assert report.resealed == len({record.subject for record in records})
    assert master.read_public(workshop.folder / "master.pub") != old_public_key
    assert workshop.records(before) == records
    assert blob_bytes(workshop) == blobs
    after = [locked(1, "Ada Example"), locked(2, "Bo Example")]
    for photo, picture in zip((before, *after), pictures, strict=True):
        assert np.array_equal(workshop.restored(photo), picture)


def blob_bytes(workshop: Workshop) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (workshop.folder / "blobs").rglob("*") if path.is_file()}
