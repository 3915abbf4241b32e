"""Blobs in a bucket of S3, from the sealed original to the picture that is shown, and back to the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from label_studio_double import Double
from s3_server import Bucket
from workshop import Workshop, painting, task_of

from backend.jobs import PublishTask
from backend.ledger.records import PhotoState
from worker import task
from worker.publishing import publish


def test_a_photo_passes_through_a_bucket(tmp_path: Path, bucket: Bucket, double: Double) -> None:
    storage = f"s3://{bucket.name}/blobs"
    workshop = Workshop(tmp_path / "shop", redis_url="redis://127.0.0.1:9/0", double=double, storage=storage)
    photo, runtime = workshop.hand_in(workshop.project(), subject_id="Ada Example"), workshop.runtime()
    assert bucket.names() == [f"blobs/{photo.source_blob}"]

    taken = task.take(runtime, task_of(photo))
    assert taken is not None
    task.anonymize(runtime, taken)
    assert publish(runtime, PublishTask(photo.project_id)) == 1

    done = workshop.ledger.photo(photo.photo_id)
    assert done.state is PhotoState.PUBLISHED
    assert bucket.names() == [f"blobs/{done.image_sha256}"], "the sealed original is gone"
    np.testing.assert_array_equal(workshop.restored(done), painting())
    workshop.close()
