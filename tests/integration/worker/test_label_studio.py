"""Publishing to a real Label Studio."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from label_studio_server import LabelStudioServer
from stand_in import MODEL_VERSION
from workshop import PUBLIC_URL, Workshop, painting, task_of

from backend.jobs import PublishTask
from backend.labelstudio.client import LabelStudio
from backend.labelstudio.labels import expression_config
from backend.ledger.records import Photo, PhotoState, Project
from g2face_model import images
from worker import task
from worker.publishing import publish
from worker.reconcile import reconcile
from worker.runtime import Runtime

NO_REDIS = "redis://127.0.0.1:9/0"


@pytest.fixture
def client(label_studio: LabelStudioServer) -> LabelStudio:
    return LabelStudio(label_studio.url, label_studio.token)


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path, redis_url=NO_REDIS)
    yield made
    made.close()


@pytest.fixture
def runtime(workshop: Workshop, client: LabelStudio) -> Runtime:
    return workshop.runtime(labelstudio=client)


@pytest.fixture
def project(workshop: Workshop, client: LabelStudio) -> Project:
    made = client.create_project("Worker", expression_config())
    return workshop.project(int(made["id"]), adopts=True)


class DiedError(Exception):
    pass


def dying_at(runtime: Runtime, step: str) -> Runtime:
    def reached(name: str) -> None:
        if name == step:
            raise DiedError

    return replace(runtime, checkpoint=reached)


def make_ready(runtime: Runtime, photo: Photo) -> None:
    taken = task.take(runtime, task_of(photo))
    assert taken is not None
    task.anonymize(runtime, taken)


def test_photos_arrive_once_each_under_their_own_task(
    workshop: Workshop, client: LabelStudio, runtime: Runtime, project: Project
) -> None:
    for number in range(3):
        make_ready(runtime, workshop.hand_in(project, images.encode(painting(number), "png")))
    with pytest.raises(DiedError):
        publish(dying_at(runtime, "imported"), PublishTask(project.project_id))
    assert publish(runtime, PublishTask(project.project_id)) == 3
    tasks = {int(known["id"]): known for known in client.tasks(project.labelstudio_id)}
    assert len(tasks) == 3
    for photo in workshop.ledger.photos(project.project_id):
        assert photo.state is PhotoState.PUBLISHED
        assert photo.labelstudio_task_id is not None
        arrived = tasks[photo.labelstudio_task_id]
        assert arrived["data"]["privacy_key"] == photo.photo_id
        assert arrived["data"]["image"].startswith(f"{PUBLIC_URL}/images/{photo.image_key}?")
        assert arrived["total_predictions"] == 1
    described = client.project(project.labelstudio_id)
    assert (described["model_version"], described["show_collab_predictions"]) == (MODEL_VERSION, True)


def test_an_uploaded_original_is_found_replaced_and_predicted_once(
    workshop: Workshop, client: LabelStudio, runtime: Runtime, project: Project, label_studio: LabelStudioServer
) -> None:
    upload = {"file": ("original.png", images.encode(painting(), "png"), "image/png")}
    label_studio.api("POST", f"/api/projects/{project.labelstudio_id}/import", files=upload).raise_for_status()
    overseer = replace(workshop.overseer(), labelstudio=client)
    assert reconcile(overseer, now=runtime.now()).adopted == 1
    (photo,) = workshop.ledger.photos(project.project_id)
    make_ready(runtime, photo)
    with pytest.raises(DiedError):
        publish(dying_at(runtime, "predicted"), PublishTask(project.project_id))
    assert publish(runtime, PublishTask(project.project_id)) == 1
    (replaced,) = client.tasks(project.labelstudio_id)
    assert replaced["data"]["privacy_key"] == photo.photo_id
    assert replaced["data"]["image"].startswith(f"{PUBLIC_URL}/images/")
    assert replaced["total_predictions"] == 1
    done = workshop.ledger.photo(photo.photo_id)
    assert (done.state, done.source_address) == (PhotoState.PUBLISHED, None)
    np.testing.assert_array_equal(workshop.restored(done), painting())
    assert reconcile(overseer, now=runtime.now()).adopted == 0
