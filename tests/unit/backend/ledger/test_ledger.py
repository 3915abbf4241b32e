"""The ledger keeps what was asked and what is done, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from backend.errors import ClaimLostError, LedgerError
from backend.ledger.ledger import Ledger
from backend.ledger.records import FaceNote, Photo, PhotoState, Project

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SHA = "a" * 64


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    ledger = Ledger.open(database_url)
    yield ledger
    ledger.close()


@pytest.fixture
def project(ledger: Ledger) -> Project:
    return ledger.add_project("Faces", 7, now=NOW)


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


# Projects and policies


def test_a_project_comes_back_as_it_was_added(ledger: Ledger) -> None:
    added = ledger.add_project("Faces", 7, now=NOW, recovery="none", retention_days=30, output_format="webp")
    assert ledger.project(added.project_id) == added
    assert ledger.projects() == [added]
    assert ledger.project_of_labelstudio(7) == added
    assert ledger.project_of_labelstudio(8) is None
    assert added.policy.revision == 1
    assert added.created_at == NOW
    assert added.created_at.tzinfo is UTC


def test_a_label_studio_project_is_connected_once(ledger: Ledger, project: Project) -> None:
    with pytest.raises(LedgerError, match="7 is connected already"):
        ledger.add_project("Again", project.labelstudio_id, now=NOW)
    assert len(ledger.projects()) == 1


def test_a_policy_is_revised_and_its_past_kept(ledger: Ledger, project: Project) -> None:
    revised = ledger.revise_policy(project.project_id, now=later(5), strictness="strict", retention_days=9)
    assert (revised.revision, revised.strictness, revised.retention_days) == (2, "strict", 9)
    assert revised.recovery == project.policy.recovery
    assert ledger.project(project.project_id).policy == revised
    assert ledger.policy(project.project_id, 1) == project.policy
    assert ledger.policy(project.project_id, 2) == revised
    assert ledger.revise_policy(project.project_id, now=later(6), strictness="strict") == revised, "no change"
    with pytest.raises(LedgerError):
        ledger.policy(project.project_id, 3)


@pytest.mark.parametrize(
    "changes", [{"recovery": "some"}, {"output_format": "bmp"}, {"retention_days": 0}, {"revision": 9}, {"color": 1}]
)
def test_a_policy_that_cannot_be_is_refused(ledger: Ledger, project: Project, changes: dict[str, object]) -> None:
    with pytest.raises(LedgerError, match=next(iter(changes))):
        ledger.revise_policy(project.project_id, now=NOW, **changes)
    assert ledger.project(project.project_id).policy.revision == 1


def test_a_project_is_switched(ledger: Ledger, project: Project) -> None:
    assert (project.on, project.adopts) == (True, False)
    assert ledger.switch(project.project_id, on=True, adopts=True).adopts
    off = ledger.switch(project.project_id, on=False)
    assert (off.on, off.adopts) == (False, True), "adopts stays unless it is said"
    with pytest.raises(LedgerError):
        ledger.switch("0" * 32, on=True)


def test_a_refusal_is_kept_until_it_is_over(ledger: Ledger, project: Project) -> None:
    ledger.note_refusal(project.project_id, "Label Studio refused (403)", now=later(5))
    told = ledger.project(project.project_id)
    assert (told.refusal, told.refused_at) == ("Label Studio refused (403)", later(5))
    ledger.note_refusal(project.project_id, None, now=later(6))
    assert ledger.projects() == [project]


def test_one_publisher_at_a_time(ledger: Ledger, project: Project) -> None:
    project_id = project.project_id
    first = ledger.begin_publishing(project_id, now=NOW, lease_s=60)
    assert first is not None
    assert ledger.begin_publishing(project_id, now=later(59), lease_s=60) is None
    second = ledger.begin_publishing(project_id, now=later(60), lease_s=60)
    assert second not in (None, first), "a dead publisher's lease lapses"
    ledger.end_publishing(project_id, second)
    assert ledger.begin_publishing(project_id, now=later(61), lease_s=60)


def test_a_publisher_holds_and_gives_back_its_own_lease_alone(ledger: Ledger, project: Project) -> None:
    project_id = project.project_id
    first = ledger.begin_publishing(project_id, now=NOW, lease_s=60)
    assert first is not None
    ledger.keep_publishing(project_id, first, now=later(50), lease_s=60)
    assert ledger.begin_publishing(project_id, now=later(109), lease_s=60) is None
    second = ledger.begin_publishing(project_id, now=later(110), lease_s=60)
    assert second is not None
    ledger.end_publishing(project_id, first)  # it was only slow, and comes to its end now
    assert ledger.begin_publishing(project_id, now=later(111), lease_s=60) is None
    with pytest.raises(ClaimLostError, match="by another worker"):
        ledger.keep_publishing(project_id, first, now=later(111), lease_s=60)
    ledger.end_publishing(project_id, second)
    with pytest.raises(ClaimLostError):
        ledger.keep_publishing(project_id, second, now=later(112), lease_s=60)


# Photos coming in


def test_a_photo_comes_back_as_it_was_handed_in(ledger: Ledger, project: Project) -> None:
    photo, created = ledger.add_photo(
        project.project_id,
        origin="intake",
        source_sha256=SHA,
        source_blob="b10b",
        subject_id="person 1",
        consent="form 12",
        now=NOW,
    )
    assert created
    assert ledger.photo(photo.photo_id) == photo
    assert photo.state is PhotoState.WAITING
    assert (photo.source_blob, photo.subject_id, photo.consent) == ("b10b", "person 1", "form 12")
    assert (photo.attempts, photo.policy_revision, photo.faces) == (0, 1, ())
    assert photo.created_at == photo.updated_at == NOW
    assert len(photo.photo_id) == 32


def test_the_same_photo_of_the_same_subject_is_one_photo(ledger: Ledger, project: Project) -> None:
    def add(project_id: str, sha: str, subject_id: str | None) -> tuple[str, bool]:
        photo, created = ledger.add_photo(
            project_id, origin="intake", source_sha256=sha, subject_id=subject_id, now=NOW
        )
        return photo.photo_id, created

    other = ledger.add_project("Other", 8, now=NOW)
    first, created = add(project.project_id, SHA, "jane")
    assert created
    assert add(project.project_id, SHA, "jane") == (first, False)
    different = [
        (project.project_id, SHA, "joe"),
        (project.project_id, SHA, None),
        (project.project_id, "b" * 64, "jane"),
    ]
    for project_id, sha, subject_id in [*different, (other.project_id, SHA, "jane")]:
        photo_id, created = add(project_id, sha, subject_id)
        assert created
        assert photo_id != first


def test_the_same_task_is_adopted_once(ledger: Ledger, project: Project) -> None:
    def adopt(task_id: int, sha: str) -> tuple[Photo, bool]:
        return ledger.add_photo(
            project.project_id,
            origin="adoption",
            source_sha256=sha,
            labelstudio_task_id=task_id,
            source_address="/data/upload/1.jpg",
            now=NOW,
        )

    photo, created = adopt(5, SHA)
    assert created
    assert photo.source_address == "/data/upload/1.jpg"
    assert adopt(5, "b" * 64) == (photo, False)
    assert adopt(6, SHA)[1], "another task is another photo, whatever it shows"


def test_a_photo_that_we_published_is_not_adopted(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    make_ready(ledger, photo)
    ledger.published({photo.photo_id: 99}, now=NOW)
    found, created = ledger.add_photo(
        project.project_id, origin="adoption", source_sha256="stand-in", labelstudio_task_id=99, now=NOW
    )
    assert (found.photo_id, created) == (photo.photo_id, False)


def test_an_adopted_photo_needs_a_task_and_every_photo_a_project(ledger: Ledger, project: Project) -> None:
    with pytest.raises(LedgerError):
        ledger.add_photo(project.project_id, origin="adoption", source_sha256=SHA, now=NOW)
    with pytest.raises(LedgerError):
        ledger.add_photo("0" * 32, origin="intake", source_sha256=SHA, now=NOW)


def test_a_cancelled_photo_comes_back_to_life(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    ledger.cancel(project.project_id, now=later(1))
    ledger.revise_policy(project.project_id, now=later(2), strictness="strict")
    again, created = ledger.add_photo(
        project.project_id, origin="intake", source_sha256=photo.source_sha256, source_blob="b2", now=later(3)
    )
    assert created
    assert again.photo_id == photo.photo_id
    assert (again.state, again.source_blob, again.policy_revision) == (PhotoState.WAITING, "b2", 2)


def test_processes_that_hand_in_the_same_photo_at_once_make_one(ledger: Ledger, project: Project) -> None:
    results: list[bool] = []

    def add() -> None:
        _, created = ledger.add_photo(project.project_id, origin="intake", source_sha256=SHA, now=NOW)
        results.append(created)

    at_once(add, 6)
    assert sorted(results) == [False] * 5 + [True]
    assert len(ledger.photos(project.project_id)) == 1


# Photos looked up


def test_photos_are_paged_in_order(ledger: Ledger, project: Project) -> None:
    ids = [hand_in(ledger, project, number).photo_id for number in range(5)]
    assert [photo.photo_id for photo in ledger.photos(project.project_id, limit=2)] == ids[:2]
    assert [photo.photo_id for photo in ledger.photos(project.project_id, after=ids[1], limit=2)] == ids[2:4]
    assert ledger.photos(project.project_id, after=ids[4]) == []
    make_ready(ledger, ledger.photo(ids[3]))
    assert [photo.photo_id for photo in ledger.ready_photos(project.project_id)] == [ids[3]]
    waiting = ledger.photos(project.project_id, state=PhotoState.WAITING)
    assert [photo.photo_id for photo in waiting] == [*ids[:3], ids[4]]


def test_photos_are_found_by_image_and_by_task(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    make_ready(ledger, photo, key="k" * 43)
    ledger.published({photo.photo_id: 12}, now=NOW)
    published = ledger.photo(photo.photo_id)
    assert ledger.photo_of_image("k" * 43) == published
    assert ledger.photo_of_image("other") is None
    assert ledger.photos_of_images(["k" * 43, "other"]) == {"k" * 43: published}
    assert ledger.photos_of_tasks(7, [11, 12, 13]) == {12: published}
    assert ledger.photos_of_tasks(8, [12]) == {}, "task ids of another Label Studio project are not ours"
    assert ledger.photos_of_tasks(7, []) == {}


# A worker's steps


def test_a_photos_way(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    claimed = ledger.claim(photo.photo_id, revision=1, now=NOW, lease_s=60)
    assert claimed is not None
    assert (claimed.state, claimed.attempts, claimed.claimed_until) == (PhotoState.WORKING, 1, later(60))
    face = FaceNote(index=0, box=(1, 2, 3, 4), landmarks=((0.5, 1.5),) * 68, outcome="swapped", expression="anger")
    ledger.ready(
        photo.photo_id,
        image_key="key",
        image_sha256="b" * 64,
        image_format="webp",
        width_px=10,
        height_px=20,
        faces=[face],
        model_version="g2face-1",
        now=later(5),
    )
    ready = ledger.photo(photo.photo_id)
    assert (ready.state, ready.faces, ready.image_format, ready.width_px) == (PhotoState.READY, (face,), "webp", 10)
    assert ready.claimed_until is None
    assert ready.source_blob == "b0", "kept until it is published"
    assert ledger.published({photo.photo_id: 31}, now=later(6)) == ["b0"]
    published = ledger.photo(photo.photo_id)
    assert (published.state, published.labelstudio_task_id) == (PhotoState.PUBLISHED, 31)
    assert (published.source_blob, published.source_address) == (None, None)


def test_publishing_again_changes_nothing_and_the_blobs_are_not_forgotten(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    make_ready(ledger, photo)
    ledger.published({photo.photo_id: 31}, now=later(6))
    assert ledger.published({photo.photo_id: 32}, now=later(9)) == []
    assert ledger.photo(photo.photo_id).labelstudio_task_id == 31
    assert ledger.discarded_blobs() == ["b0"], "until their deletion is reported"
    ledger.forget_blobs(["b0"])
    assert ledger.discarded_blobs() == []


def test_a_claim_is_had_by_one_until_it_lapses(ledger: Ledger, project: Project) -> None:
    photo_id = hand_in(ledger, project).photo_id
    assert ledger.claim(photo_id, revision=1, now=NOW, lease_s=60)
    assert ledger.claim(photo_id, revision=1, now=later(59), lease_s=60) is None
    ledger.extend(photo_id, now=later(59), lease_s=60, attempt=1)
    assert ledger.claim(photo_id, revision=1, now=later(61), lease_s=60) is None
    second = ledger.claim(photo_id, revision=1, now=later(119), lease_s=60)
    assert second is not None
    assert second.attempts == 2


def test_of_many_workers_one_gets_the_photo(ledger: Ledger, project: Project) -> None:
    photo_id = hand_in(ledger, project).photo_id
    claims: list[Photo | None] = []
    at_once(lambda: claims.append(ledger.claim(photo_id, revision=1, now=NOW, lease_s=60)), 6)
    assert len([claim for claim in claims if claim is not None]) == 1
    assert len(claims) == 6


def test_what_is_not_to_be_had(ledger: Ledger, project: Project) -> None:
    photo_id = hand_in(ledger, project).photo_id
    assert ledger.claim(photo_id, revision=2, now=NOW, lease_s=60) is None, "another revision"
    assert ledger.claim("0" * 32, revision=1, now=NOW, lease_s=60) is None, "no such photo"
    ledger.switch(project.project_id, on=False)
    assert ledger.claim(photo_id, revision=1, now=NOW, lease_s=60) is None, "its project is off"
    ledger.switch(project.project_id, on=True)
    ledger.cancel(project.project_id, now=NOW)
    assert ledger.claim(photo_id, revision=1, now=NOW, lease_s=60) is None, "cancelled"


def test_a_worker_that_lost_its_claim_is_told(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    assert ledger.claim(photo.photo_id, revision=1, now=NOW, lease_s=10)
    assert ledger.claim(photo.photo_id, revision=1, now=later(11), lease_s=10)
    for step in (
        lambda: ledger.extend(photo.photo_id, now=later(12), lease_s=10, attempt=1),
        lambda: ledger.postpone(photo.photo_id, reason="r", now=later(12), attempt=1),
        lambda: ledger.fail(photo.photo_id, reason="r", now=later(12), attempt=1),
    ):
        with pytest.raises(ClaimLostError, match=photo.photo_id):
            step()
    ledger.postpone(photo.photo_id, reason="storage is away", now=later(12), attempt=2)
    postponed = ledger.photo(photo.photo_id)
    assert (postponed.state, postponed.reason) == (PhotoState.WAITING, "storage is away")
    with pytest.raises(ClaimLostError):
        ledger.fail(photo.photo_id, reason="nobody claimed it", now=later(13))
    with pytest.raises(LedgerError, match="no photo"):
        ledger.fail("0" * 32, reason="", now=NOW)


def test_a_failed_photo_is_retried_under_the_new_policy(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    with pytest.raises(LedgerError, match="has not failed"):
        ledger.retry(photo.photo_id, now=NOW)
    ledger.claim(photo.photo_id, revision=1, now=NOW, lease_s=10)
    ledger.fail(photo.photo_id, reason="not a picture", now=later(1))
    (failed,) = ledger.failures(project.project_id)
    assert (failed.reason, failed.source_blob) == ("not a picture", "b0")
    ledger.revise_policy(project.project_id, now=later(2), strictness="strict")
    again = ledger.retry(photo.photo_id, now=later(3))
    assert (again.state, again.policy_revision, again.attempts, again.reason) == (PhotoState.WAITING, 2, 0, None)
    assert ledger.claim(photo.photo_id, revision=1, now=later(4), lease_s=10) is None, "the old task finds nothing"
    assert ledger.claim(photo.photo_id, revision=2, now=later(4), lease_s=10)


def test_what_label_studio_refuses_is_for_a_person(ledger: Ledger, project: Project) -> None:
    ready, waiting = hand_in(ledger, project, 1), hand_in(ledger, project, 2)
    make_ready(ledger, ready)
    ledger.refuse_publishing([ready.photo_id, waiting.photo_id], reason="the project is gone", now=NOW)
    assert [photo.photo_id for photo in ledger.failures(project.project_id)] == [ready.photo_id]
    assert ledger.photo(waiting.photo_id).state is PhotoState.WAITING


def test_cancelling_takes_what_nobody_has_begun(ledger: Ledger, project: Project) -> None:
    photos = [hand_in(ledger, project, number) for number in range(4)]
    make_ready(ledger, photos[0])
    ledger.claim(photos[1].photo_id, revision=1, now=NOW, lease_s=60)
    ledger.claim(photos[2].photo_id, revision=1, now=NOW, lease_s=60)
    ledger.fail(photos[2].photo_id, reason="", now=NOW)
    assert ledger.cancel(project.project_id, now=later(1)) == 2
    states = [ledger.photo(photo.photo_id).state for photo in photos]
    assert states == [PhotoState.READY, PhotoState.WORKING, PhotoState.CANCELLED, PhotoState.CANCELLED]
    assert sorted(ledger.discarded_blobs()) == ["b2", "b3"], "originals of cancelled photos do not stay"
    assert ledger.cancel(project.project_id, now=later(2)) == 0


def test_a_source_is_forgotten(ledger: Ledger, project: Project) -> None:
    photo = hand_in(ledger, project)
    assert ledger.forget_source(photo.photo_id, now=NOW) == "b0"
    assert ledger.photo(photo.photo_id).source_blob is None
    assert ledger.discarded_blobs() == ["b0"]
    assert ledger.forget_source(photo.photo_id, now=NOW) is None


# How it goes


def test_what_should_have_moved_on_is_found(ledger: Ledger, project: Project) -> None:
    waiting, working, ready, fresh = (hand_in(ledger, project, number) for number in range(4))
    ledger.claim(working.photo_id, revision=1, now=NOW, lease_s=40)
    make_ready(ledger, ready)
    assert ledger.overdue(now=later(29)) == []
    found = [photo.photo_id for photo in ledger.overdue(now=later(30))]
    assert found == [waiting.photo_id, ready.photo_id, fresh.photo_id]
    assert working.photo_id in [photo.photo_id for photo in ledger.overdue(now=later(40))]
    assert len(ledger.overdue(now=later(40), limit=2)) == 2
    ledger.switch(project.project_id, on=False)
    assert ledger.overdue(now=later(99)) == [], "what is off is not overdue"


def test_progress(ledger: Ledger, project: Project) -> None:
    photos = [hand_in(ledger, project, number) for number in range(8)]
    before = ledger.progress(project.project_id, now=later(1))
    assert (before.waiting, before.total, before.rate_per_minute, before.seconds_left) == (8, 8, None, None)
    for number, photo in enumerate(photos[:4]):
        make_ready(ledger, photo, now=later(20 * number))
    ledger.published({photos[0].photo_id: 1}, now=later(60))
    ledger.claim(photos[4].photo_id, revision=1, now=later(60), lease_s=60)
    progress = ledger.progress(project.project_id, now=later(60))
    assert (progress.waiting, progress.working, progress.ready, progress.published) == (3, 1, 3, 1)
    assert progress.rate_per_minute == pytest.approx(3.0)
    assert progress.seconds_left == pytest.approx(80.0)
    assert ledger.progress(project.project_id, now=later(3600)).rate_per_minute is None, "an old rate is none"


def test_progress_of_nothing_left_is_none_left(ledger: Ledger, project: Project) -> None:
    assert ledger.progress(project.project_id, now=NOW).seconds_left == 0.0
    with pytest.raises(LedgerError):
        ledger.progress("0" * 32, now=NOW)


def test_times_without_a_zone_are_refused(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="without a zone"):
        ledger.add_project("Faces", 7, now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize("subject_id", ["a" * 100_000, "'; DROP TABLE photos; --", "Zoë 王"])
def test_a_strange_subject_is_a_subject(ledger: Ledger, project: Project, subject_id: str) -> None:
    photo, _ = ledger.add_photo(project.project_id, origin="intake", source_sha256=SHA, subject_id=subject_id, now=NOW)
    assert ledger.photo(photo.photo_id).subject_id == subject_id


@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "two\nlines"])
def test_what_no_database_holds_is_refused(ledger: Ledger, project: Project, text: str) -> None:
    for field in ("subject_id", "consent"):
        values: dict[str, str] = {field: text}
        with pytest.raises(LedgerError, match="single lines") as refused:
            ledger.add_photo(project.project_id, origin="intake", source_sha256=SHA, now=NOW, **values)
        assert text not in str(refused.value)


def test_ids_beyond_any_integer_are_nobodys(ledger: Ledger, project: Project) -> None:
    hand_in(ledger, project)
    assert ledger.photos_of_tasks(7, [2**40]) == {}
    with pytest.raises(LedgerError):
        ledger.photos_of_tasks(7, [2**80])


def test_it_outlives_its_process(database_url: str) -> None:
    first = Ledger.open(database_url)
    project = first.add_project("Faces", 7, now=NOW)
    photo = hand_in(first, project)
    first.close()
    second = Ledger.open(database_url)
    assert second.photo(photo.photo_id) == photo
    second.close()


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
