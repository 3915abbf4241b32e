from __future__ import annotations

from pathlib import Path

import pictures
import pytest
from intake_counter import IMAGE_HOST, Counter, open_counter

from backend.errors import ConfigError, IntakeError, LedgerError
from backend.intake.desk import key_reader
from backend.intake.parcels import HandedIn
from backend.ledger.records import Photo, PhotoState

PHOTO = HandedIn("a.webp", pictures.GOOD["still.webp"]())


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return open_counter(tmp_path)  # the queue is away throughout: nothing here depends on it


def failed(counter: Counter, project_id: str, number: int) -> Photo:
    ledger, now = counter.desk.ledger, counter.clock()
    photo, _ = ledger.add_photo(project_id, origin="intake", source_sha256=f"{number:064}", now=now)
    ledger.claim(photo.photo_id, revision=1, now=now, lease_s=60)
    ledger.fail(photo.photo_id, reason="no", now=now)
    return photo


def test_photos_are_tried_again_though_the_queue_is_away(counter: Counter) -> None:
    project = counter.project()
    photos = [failed(counter, project.project_id, number) for number in range(3)]
    counter.desk.revise(project.project_id, changes={"strictness": "strict"}, now=counter.clock())

    first = counter.desk.retry(project.project_id, photo_id=photos[0].photo_id, now=counter.clock())

    assert (first.state, first.policy_revision) == (PhotoState.WAITING, 2)
    assert counter.desk.retry_all(project.project_id, now=counter.clock()) == 2
    assert counter.desk.ledger.failures(project.project_id) == []


def test_a_photo_is_tried_again_in_its_own_project_only(counter: Counter) -> None:
    project, other = counter.project(), counter.project(labelstudio_id=8)
    photo = failed(counter, other.project_id, 1)

    with pytest.raises(LedgerError, match="has no photo"):
        counter.desk.retry(project.project_id, photo_id=photo.photo_id, now=counter.clock())


def test_cancelled_originals_that_cannot_be_deleted_now_are_remembered(counter: Counter) -> None:
    project = counter.project()
    counter.desk.hand_in(project.project_id, files=[PHOTO], now=counter.clock())
    (photo,) = counter.desk.ledger.photos(project.project_id)
    assert photo.source_blob is not None
    blob = counter.folder / "blobs" / photo.source_blob
    blob.unlink()
    blob.mkdir()  # no file that could be deleted

    assert counter.desk.cancel(project.project_id, now=counter.clock()) == 1
    assert counter.desk.ledger.discarded_blobs() == [photo.source_blob]


def test_nothing_is_taken_before_it_can_be_sealed(counter: Counter) -> None:
    project = counter.project()
    unready = counter.with_desk(inbox_public_key=key_reader(counter.folder / "missing.pub"))

    with pytest.raises(ConfigError, match="python -m worker init"):
        unready.desk.hand_in(project.project_id, files=[PHOTO], now=counter.clock())
    assert counter.desk.ledger.photos(project.project_id) == []


def test_a_list_alone_is_no_upload(counter: Counter) -> None:
    project = counter.project()

    with pytest.raises(IntakeError, match="no photo among these files"):
        counter.desk.hand_in(project.project_id, files=[HandedIn("who.csv", b"file\na.jpg\n")], now=counter.clock())


def test_switches_leave_alone_what_is_not_said(counter: Counter) -> None:
    project = counter.project(adopts=True)

    assert counter.desk.switch(project.project_id, on=False).adopts
    assert not counter.desk.switch(project.project_id, adopts=False).on


def test_without_a_key_label_studio_is_not_asked(counter: Counter) -> None:
    for ask in (counter.desk.candidates, lambda: counter.desk.connect(1, policy={}, now=counter.clock())):
        with pytest.raises(ConfigError, match="G2FACE_LABELSTUDIO__API_KEY"):
            ask()


class Connected:
    """A Label Studio project that holds nothing and has two ML backends, each with the webhook that comes with it."""

    def nothing(self, project_id: int) -> list[dict[str, str]]:
        assert project_id == 7
        return []

    tasks = file_uploads = storages = nothing

    def ml_backends(self, _project_id: int) -> list[dict[str, str]]:
        return [{"url": "http://plugin:9090/secret"}, {"url": f"https://{IMAGE_HOST}/secret/"}]

    def webhooks(self, _project_id: int) -> list[dict[str, str]]:
        return [{"url": f"{backend['url'].rstrip('/')}/webhook"} for backend in self.ml_backends(7)]


@pytest.mark.parametrize(
    ("backend_host", "found"),
    [
        ("plugin:9090", {}),
        (None, {"webhook": 1, "ml_backend": 1}),
        ("plugin", {"webhook": 1, "ml_backend": 1}),
    ],
)
def test_our_own_ml_backend_is_known_by_its_address(
    counter: Counter, backend_host: str | None, found: dict[str, int]
) -> None:
    project = counter.project()
    desk = counter.with_desk(labelstudio=Connected(), backend_host=backend_host).desk
    leaks = desk.leak_check(project.project_id)
    assert {finding.kind: finding.count for finding in leaks.findings} == found


def test_our_configurations_have_names(counter: Counter) -> None:
    with pytest.raises(IntakeError, match="config is one of: expression, plain"):
        counter.desk.create("Fresh", config="other", policy={}, now=counter.clock())
