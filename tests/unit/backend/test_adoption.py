from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import own_redis
import pytest
from intake_counter import IMAGE_HOST, NOBODY, START

from backend.adoption import MAX_ADDRESS_CHARACTERS, Adopted, adopt, is_ours
from backend.jobs import Jobs
from backend.ledger.ledger import Ledger
from backend.ledger.records import PhotoState

OURS = f"https://{IMAGE_HOST}/images/kEy?s=1"
THEIRS = "/data/upload/4/0f3c-face.png"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[own_redis.OwnRedis]:
    with own_redis.running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def jobs(redis: own_redis.OwnRedis) -> Jobs:
    redis.flush()
    return Jobs(redis.url)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    yield opened
    opened.close()


def task(task_id: int, image: object = THEIRS) -> dict[str, object]:
    return {"id": task_id, "data": {"image": image}}


def run(ledger: Ledger, jobs: Jobs, tasks: list[dict[str, object]], **options: object) -> Adopted:
    project = ledger.projects()[0]
    return adopt(ledger, jobs, project=project, tasks=tasks, own_host=IMAGE_HOST, now=START, **options)  # type: ignore[arg-type]


def test_a_task_with_an_original_becomes_a_waiting_photo(ledger: Ledger, jobs: Jobs) -> None:
    project = ledger.add_project("Old", 4, now=START, adopts=True)

    assert run(ledger, jobs, [task(31), task(32, OURS)]) == Adopted(new=1, ours=1)

    (photo,) = ledger.photos(project.project_id)
    assert (photo.state, photo.origin, photo.labelstudio_task_id) == (PhotoState.WAITING, "adoption", 31)
    assert photo.source_address == THEIRS
    assert jobs.depth() == {"interactive": 0, "bulk": 1}


def test_being_told_twice_changes_nothing(ledger: Ledger, jobs: Jobs) -> None:
    project = ledger.add_project("Old", 4, now=START, adopts=True)

    run(ledger, jobs, [task(31)])

    assert run(ledger, jobs, [task(31), task(31)]) == Adopted(known=2)
    assert len(ledger.photos(project.project_id)) == 1
    assert jobs.depth()["bulk"] == 1


@pytest.mark.parametrize("switches", [{"on": False, "adopts": True}, {"on": True, "adopts": False}])
def test_nothing_is_taken_over_unless_it_is_wanted(ledger: Ledger, jobs: Jobs, switches: dict[str, bool]) -> None:
    project = ledger.add_project("Old", 4, now=START, **switches)

    assert run(ledger, jobs, [task(31)]) == Adopted()
    assert ledger.photos(project.project_id) == []


@pytest.mark.parametrize(
    "image",
    [None, 7, "", "data:image/png;base64,AAAA", "javascript:x", "http://[broken", "h" * (MAX_ADDRESS_CHARACTERS + 1)],
)
def test_what_cannot_be_fetched_is_counted_and_left_alone(ledger: Ledger, jobs: Jobs, image: object) -> None:
    ledger.add_project("Old", 4, now=START, adopts=True)

    assert run(ledger, jobs, [task(31, image), {"id": 32}, {"id": 33, "data": "text"}]) == Adopted(unfit=3)


def test_the_project_s_own_config_says_where_the_image_is(ledger: Ledger, jobs: Jobs) -> None:
    ledger.add_project("Old", 4, now=START, adopts=True)

    assert run(ledger, jobs, [{"id": 31, "data": {"photo": THEIRS}}], data_key="photo") == Adopted(new=1)


def test_the_queue_may_be_away(ledger: Ledger) -> None:
    ledger.add_project("Old", 4, now=START, adopts=True)

    assert run(ledger, Jobs(NOBODY), [task(31)]) == Adopted(new=1)


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        (OURS, True),
        (f"http://{IMAGE_HOST.upper()}/images/k", True),
        (f"https://{IMAGE_HOST}/originals/k", False),
        (f"https://{IMAGE_HOST}.evil.example/images/k", False),
        (f"https://evil.example/images/k?x=https://{IMAGE_HOST}/images/k", False),
        (f"https://{IMAGE_HOST}@evil.example/images/k", False),
        (f"https://{IMAGE_HOST}:81/images/k", False),
        (f"file://{IMAGE_HOST}/images/k", False),
        ("http://[broken/images/", False),
    ],
)
def test_only_our_very_host_is_ours(address: str, ours: bool) -> None:
    assert is_ours(address, IMAGE_HOST) is ours
