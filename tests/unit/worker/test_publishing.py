from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import label_studio_double
import pytest
from label_studio_double import Double
from stand_in import MODEL_VERSION, StandIn
from workshop import LABELSTUDIO_PROJECT, PUBLIC_URL, Workshop, later, now, painting, task_of

from backend.errors import ClaimLostError, LabelStudioError, LabelStudioRefusedError
from backend.jobs import PublishTask
from backend.labelstudio.labels import expression_config
from backend.ledger.records import Photo, PhotoState, Project
from g2face_model import images
from worker import task
from worker.publishing import publish
from worker.runtime import Limits, Runtime

NO_REDIS = "redis://127.0.0.1:9/0"


@pytest.fixture
def double() -> Iterator[Double]:
    with label_studio_double.running(expression_config()) as running:
        yield running


@pytest.fixture
def workshop(tmp_path: Path, double: Double) -> Iterator[Workshop]:
    made = Workshop(tmp_path, redis_url=NO_REDIS, double=double)
    yield made
    made.close()


def make_ready(workshop: Workshop, photo: Photo, engine: StandIn | None = None) -> Photo:
    runtime = workshop.runtime(engine)
    taken = task.take(runtime, task_of(photo))
    assert taken is not None
    task.anonymize(runtime, taken)
    return workshop.ledger.photo(photo.photo_id)


def several(workshop: Workshop, project: Project, count: int) -> list[Photo]:
    pictures = [images.encode(painting(number), "png") for number in range(count)]
    return [make_ready(workshop, workshop.hand_in(project, picture)) for picture in pictures]


def hand_over(workshop: Workshop, project: Project, runtime: Runtime | None = None) -> list[Photo]:
    publish(runtime or workshop.runtime(), PublishTask(project.project_id))
    return workshop.ledger.photos(project.project_id)


def test_task_and_predictions_arrive_in_one_call(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 3)
    photos = hand_over(workshop, project)
    assert double.imports == 1
    assert [photo.state for photo in photos] == [PhotoState.PUBLISHED] * 3
    for photo in photos:
        assert photo.labelstudio_task_id is not None
        data = double.tasks[photo.labelstudio_task_id]["data"]
        assert data["privacy_key"] == photo.photo_id
        assert data["image"].startswith(f"{PUBLIC_URL}/images/{photo.image_key}?")
        (prediction,) = [known for known in double.predictions if known["task"] == photo.labelstudio_task_id]
        assert prediction["model_version"] == MODEL_VERSION
        assert len(prediction["result"]) == 2 * 69  # two faces, a box and 68 points each
    assert double.project(LABELSTUDIO_PROJECT)["model_version"] == MODEL_VERSION
    assert double.project(LABELSTUDIO_PROJECT)["show_collab_predictions"] is True


def test_the_sealed_original_is_deleted_and_the_image_stays(workshop: Workshop) -> None:
    project = workshop.project()
    (ready,) = several(workshop, project, 1)
    assert len(workshop.blob_names()) == 2
    (photo,) = hand_over(workshop, project)
    assert workshop.blob_names() == {ready.image_sha256}
    assert (photo.source_blob, workshop.ledger.discarded_blobs()) == (None, [])


def test_publishing_again_does_nothing(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    hand_over(workshop, project)
    calls = len(double.calls)
    hand_over(workshop, project)
    assert len(double.calls) == calls


def test_more_than_one_call_holds_takes_several(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 3)
    photos = hand_over(workshop, project, workshop.runtime(limits=Limits(batch=2)))
    assert [photo.state for photo in photos] == [PhotoState.PUBLISHED] * 3
    assert (double.imports, len(double.tasks)) == (2, 3)


def test_an_import_whose_answer_was_lost_is_found_and_not_repeated(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 2)
    double.lose_answers = 1
    photos = hand_over(workshop, project)
    assert {photo.state for photo in photos} == {PhotoState.PUBLISHED}
    assert (double.imports, len(double.tasks), len(double.predictions)) == (1, 2, 2)
    assert workshop.ledger.begin_publishing(project.project_id, now=now(), lease_s=60), "given back"


def test_an_import_that_goes_on_after_its_caller_gave_up_is_waited_for(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 2)
    double.be_late = 1
    with pytest.raises(LabelStudioError):
        hand_over(workshop, project)
    assert {photo.state for photo in hand_over(workshop, project)} == {PhotoState.READY}
    assert double.imports == 0
    double.catch_up()
    settled = workshop.runtime(now=lambda: later(Limits().settle_s + 1))
    assert {photo.state for photo in hand_over(workshop, project, settled)} == {PhotoState.PUBLISHED}
    assert (double.imports, len(double.tasks), len(double.predictions)) == (1, 2, 2)


def test_an_import_that_came_to_nothing_is_made_again_for_what_is_not_there(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    ready = several(workshop, project, 3)
    double.be_late = 1
    with pytest.raises(LabelStudioError):
        hand_over(workshop, project)
    double.late = [(project_id, items[:1]) for project_id, items in double.late]
    double.catch_up()
    settled = workshop.runtime(now=lambda: later(Limits().settle_s + 1))
    photos = hand_over(workshop, project, settled)
    assert {photo.state for photo in photos} == {PhotoState.PUBLISHED}
    assert [task["data"]["privacy_key"] for task in double.tasks.values()] == [photo.photo_id for photo in ready]
    assert len(double.predictions) == 3


def test_a_caller_that_gives_up_itself_repeats_nothing(
    workshop: Workshop, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.labelstudio.client._BULK_READ_S", 0.2)
    project = workshop.project()
    several(workshop, project, 2)
    double.stall = threading.Event()
    with pytest.raises(LabelStudioError):
        hand_over(workshop, project)
    double.stall.set()
    deadline = time.monotonic() + 10
    while double.imports == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert {photo.state for photo in hand_over(workshop, project)} == {PhotoState.READY}
    settled = workshop.runtime(now=lambda: later(Limits().settle_s + 1))
    assert {photo.state for photo in hand_over(workshop, project, settled)} == {PhotoState.PUBLISHED}
    assert (double.imports, len(double.tasks)) == (1, 2)


def test_a_publisher_killed_while_it_imports_keeps_the_project_closed_until_that_is_over(
    workshop: Workshop, double: Double
) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    limits = Limits()

    def killed(step: str) -> None:
        if step == "importing":
            for seconds, free in ((limits.publish_lease_s + 1, False), (limits.settle_s + 1, True)):
                token = workshop.ledger.begin_publishing(project.project_id, now=later(seconds), lease_s=0)
                assert (token is not None) == free
            raise KilledError

    class KilledError(BaseException):
        pass

    with pytest.raises(KilledError):
        hand_over(workshop, project, workshop.runtime(checkpoint=killed, limits=limits))
    assert double.imports == 0


def test_an_import_that_is_refused_keeps_nothing_closed(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    double.turn_away = {f"/api/projects/{LABELSTUDIO_PROJECT}/import": 403}
    with pytest.raises(LabelStudioRefusedError):
        hand_over(workshop, project)
    assert workshop.ledger.begin_publishing(project.project_id, now=now(), lease_s=60)


def test_a_label_studio_that_is_away_loses_nothing(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    double.stop()
    with pytest.raises(LabelStudioError):
        hand_over(workshop, project)
    (photo,) = workshop.ledger.photos(project.project_id)
    assert (photo.state, photo.source_blob in workshop.blob_names()) == (PhotoState.READY, True)
    double.start()
    (photo,) = hand_over(workshop, project)
    assert photo.state is PhotoState.PUBLISHED


def test_one_photo_that_is_refused_does_not_hold_up_the_others(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    ready = several(workshop, project, 3)
    double.refuse = {ready[1].photo_id}
    photos = hand_over(workshop, project)
    assert [photo.state for photo in photos] == [PhotoState.PUBLISHED, PhotoState.FAILED, PhotoState.PUBLISHED]
    assert photos[1].reason == "Label Studio does not accept this photo's task"
    assert photos[1].source_blob in workshop.blob_names()  # for another try
    assert len(double.tasks) == 2


def test_a_labelling_configuration_that_does_not_fit_is_told_to_the_manager(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    double.project(LABELSTUDIO_PROJECT)["label_config"] = "<View><Text name='t' value='$text'/></View>"
    (photo,) = hand_over(workshop, project)
    assert photo.state is PhotoState.FAILED
    assert photo.reason is not None
    assert "shows no image" in photo.reason


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("path", ["", "/import"])
def test_a_project_that_label_studio_refuses_is_told_to_the_manager_until_it_is_mended(
    workshop: Workshop, double: Double, path: str, status: int
) -> None:
    project = workshop.project()
    several(workshop, project, 2)
    double.turn_away = {f"/api/projects/{LABELSTUDIO_PROJECT}{path}": status}
    with pytest.raises(LabelStudioRefusedError):
        hand_over(workshop, project)
    told = workshop.ledger.project(project.project_id)
    assert told.refusal is not None
    assert f"({status})" in told.refusal
    assert told.refused_at is not None
    assert [photo.state for photo in workshop.ledger.photos(project.project_id)] == [PhotoState.READY] * 2
    double.turn_away = {}
    assert [photo.state for photo in hand_over(workshop, project)] == [PhotoState.PUBLISHED] * 2
    assert workshop.ledger.project(project.project_id) == project


def test_a_label_studio_that_is_away_has_refused_nothing(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    double.turn_away = {f"/api/projects/{LABELSTUDIO_PROJECT}": 503}
    with pytest.raises(LabelStudioError):
        hand_over(workshop, project)
    assert workshop.ledger.project(project.project_id).refusal is None


def test_a_project_that_is_off_or_being_published_is_left_alone(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    workshop.ledger.switch(project.project_id, on=False)
    hand_over(workshop, project)
    workshop.ledger.switch(project.project_id, on=True)
    assert workshop.ledger.begin_publishing(project.project_id, now=now(), lease_s=60)
    hand_over(workshop, project)
    assert double.imports == 0
    (photo,) = hand_over(workshop, project, workshop.runtime(now=lambda: later(61)))  # that publisher died
    assert photo.state is PhotoState.PUBLISHED


def test_a_killed_publisher_keeps_a_project_closed_for_a_minute_at_most() -> None:
    assert Limits().publish_lease_s <= 60


def test_a_call_that_takes_longer_than_a_lease_keeps_it(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    refused = []

    def slowly(step: str) -> None:
        if step == "looked up":
            for _ in range(6):
                time.sleep(0.2)
                refused.append(workshop.ledger.begin_publishing(project.project_id, now=now(), lease_s=60) is None)

    limits = Limits(publish_lease_s=0.8)
    (photo,) = hand_over(workshop, project, workshop.runtime(checkpoint=slowly, limits=limits))
    assert (photo.state, double.imports) == (PhotoState.PUBLISHED, 1)
    assert refused == [True] * 6
    assert workshop.ledger.begin_publishing(project.project_id, now=now(), lease_s=60), "given back"
    assert not [thread for thread in threading.enumerate() if thread.name == "publishing"]


def test_a_publisher_that_lost_its_lease_imports_nothing(workshop: Workshop, double: Double) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    another = []

    def overtaken(step: str) -> None:
        if step == "looked up" and not another:
            another.append(workshop.ledger.begin_publishing(project.project_id, now=later(61), lease_s=60))

    with pytest.raises(ClaimLostError):
        hand_over(workshop, project, workshop.runtime(checkpoint=overtaken))
    assert double.imports == 0
    workshop.ledger.keep_publishing(project.project_id, another[0], now=now(), lease_s=60)  # and it is still theirs


def test_what_gets_ready_while_the_door_is_closed_is_published_by_who_closed_it(
    workshop: Workshop, double: Double
) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    late = workshop.hand_in(project, images.encode(painting(9), "png"))

    def meanwhile(step: str) -> None:
        if step == "published" and workshop.ledger.photo(late.photo_id).state is PhotoState.WAITING:
            make_ready(workshop, late)
            hand_over(workshop, project)  # another worker, which finds the door closed
            assert double.imports == 1

    photos = hand_over(workshop, project, workshop.runtime(checkpoint=meanwhile))
    assert [photo.state for photo in photos] == [PhotoState.PUBLISHED] * 2


@pytest.mark.parametrize(
    ("chosen", "shown"), [("", MODEL_VERSION), ("stand-in-0", MODEL_VERSION), ("another-model-3", "another-model-3")]
)
def test_predictions_are_shown_unless_the_manager_chose_another_models(
    workshop: Workshop, double: Double, chosen: str, shown: str
) -> None:
    project = workshop.project()
    several(workshop, project, 1)
    double.project(LABELSTUDIO_PROJECT)["model_version"] = chosen
    hand_over(workshop, project)
    assert double.project(LABELSTUDIO_PROJECT)["model_version"] == shown


class TestAdoption:
    @pytest.fixture
    def task_id(self, double: Double) -> int:
        address = "/data/upload/7/0a1b2c3d-original.png"
        double.files[address] = images.encode(painting(), "png")
        return double.add_task(LABELSTUDIO_PROJECT, {"image": address, "thumbnail": address, "note": "kept"})

    @pytest.fixture
    def project(self, workshop: Workshop) -> Project:
        return workshop.project(adopts=True)

    def test_the_original_gives_way_to_our_image(
        self, workshop: Workshop, double: Double, project: Project, task_id: int
    ) -> None:
        address = double.tasks[task_id]["data"]["image"]
        ready = make_ready(workshop, workshop.adopt(project, task_id, address))
        assert double.tasks[task_id]["data"]["image"] == address  # not before it is published
        (photo,) = hand_over(workshop, project)
        assert (photo.state, photo.source_address) == (PhotoState.PUBLISHED, None)
        data = double.tasks[task_id]["data"]
        assert data.keys() == {"image", "note", "privacy_key"}
        assert data["image"].startswith(f"{PUBLIC_URL}/images/{ready.image_key}?")
        assert [known["task"] for known in double.predictions] == [task_id]
        assert double.imports == 0

    def test_a_second_time_nothing_is_added(
        self, workshop: Workshop, double: Double, project: Project, task_id: int
    ) -> None:
        make_ready(workshop, workshop.adopt(project, task_id, double.tasks[task_id]["data"]["image"]))

        class DiedError(Exception):
            pass

        def die(step: str) -> None:
            if step == "predicted":
                raise DiedError

        with pytest.raises(DiedError):
            hand_over(workshop, project, workshop.runtime(checkpoint=die))
        (photo,) = hand_over(workshop, project)
        assert photo.state is PhotoState.PUBLISHED
        assert len(double.predictions) == 1

    def test_a_key_that_is_no_longer_good_fails_no_photo(
        self, workshop: Workshop, double: Double, project: Project, task_id: int
    ) -> None:
        photo = make_ready(workshop, workshop.adopt(project, task_id, double.tasks[task_id]["data"]["image"]))
        double.turn_away = {f"/api/tasks/{task_id}": 403}
        with pytest.raises(LabelStudioRefusedError):
            hand_over(workshop, project)
        assert workshop.ledger.photo(photo.photo_id).state is PhotoState.READY
        assert workshop.ledger.project(project.project_id).refusal is not None

    def test_a_task_that_is_gone_fails_alone(
        self, workshop: Workshop, double: Double, project: Project, task_id: int
    ) -> None:
        make_ready(workshop, workshop.adopt(project, task_id, double.tasks[task_id]["data"]["image"]))
        several(workshop, project, 1)
        del double.tasks[task_id]
        adopted, handed_in = hand_over(workshop, project)
        assert (adopted.state, handed_in.state) == (PhotoState.FAILED, PhotoState.PUBLISHED)
        assert adopted.reason is not None
        assert "no longer has this photo's task" in adopted.reason
