"""Tasks go through a real Redis; nothing is queued twice and nothing but ids is seen there."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from backend.errors import QueueError
from backend.jobs import AnonymizeTask, Jobs, MalformedTaskError, PilotTask, PublishTask
from backend.redis_server import EmbeddedRedis

PHOTO, PROJECT = "0f" * 16, "ab" * 16
ANONYMIZE, PUBLISH = AnonymizeTask(PHOTO, 3), PublishTask(PROJECT)


@pytest.fixture
def jobs(redis_url: str) -> Jobs:
    return Jobs(redis_url)


@pytest.fixture
def bulk(redis_url: str) -> Queue:
    return Queue("bulk", connection=Redis.from_url(redis_url), serializer=JSONSerializer)


def test_tasks_survive_json() -> None:
    assert AnonymizeTask.from_json(ANONYMIZE.to_json()) == ANONYMIZE
    assert PublishTask.from_json(PUBLISH.to_json()) == PUBLISH
    assert PilotTask.from_json(PilotTask(PROJECT).to_json()) == PilotTask(PROJECT)


@pytest.mark.parametrize(
    "fields",
    [
        {"photo_id": PHOTO},
        {"photo_id": PHOTO, "revision": "3"},
        {"photo_id": PHOTO, "revision": True},
        {"photo_id": PHOTO, "revision": 3, "url": "http://h"},
        {"photo_id": "Jane Doe", "revision": 3},
        {"photo_id": PHOTO.upper(), "revision": 3},
        {"project_id": PROJECT},
        [PHOTO, 3],
        None,
    ],
)
def test_what_is_not_a_task_is_refused(fields: object) -> None:
    with pytest.raises(MalformedTaskError) as refused:
        AnonymizeTask.from_json(json.dumps(fields))
    assert not refused.value.retryable
    assert "Jane" not in str(refused.value)


@given(st.text())
def test_no_text_does_harm(text: str) -> None:
    with pytest.raises(MalformedTaskError):
        PublishTask.from_json(text)


def test_a_task_is_queued_once_by_name_and_as_json(jobs: Jobs, bulk: Queue, redis_url: str) -> None:
    assert jobs.enqueue(ANONYMIZE, queue="bulk")
    assert not jobs.enqueue(ANONYMIZE, queue="bulk")
    assert not jobs.enqueue(ANONYMIZE, queue="interactive"), "not in another queue either"
    assert jobs.enqueue(AnonymizeTask(PHOTO, 4), queue="bulk"), "another revision is another task"
    assert jobs.enqueue(PUBLISH, queue="interactive")
    assert jobs.depth() == {"interactive": 1, "bulk": 2}
    job = bulk.jobs[0]
    assert job.func_name == "worker.jobs.anonymize"
    assert AnonymizeTask.from_json(job.args[0]) == ANONYMIZE
    assert job.result_ttl == 0
    with Redis.from_url(redis_url) as client:
        raw = client.hgetall(f"rq:job:{job.id}")
    assert b"\x80\x04" not in b"".join(raw.values()), "no pickle"


def test_a_running_task_may_wait_once_more_behind_itself(jobs: Jobs, bulk: Queue) -> None:
    jobs.enqueue(PUBLISH, queue="bulk")
    running = start(bulk)
    assert jobs.enqueue(PUBLISH, queue="bulk")
    assert not jobs.enqueue(PUBLISH, queue="bulk")
    finish(running)
    assert jobs.depth()["bulk"] == 1, "finishing the first leaves the second"
    assert not jobs.enqueue(PUBLISH, queue="bulk") or jobs.depth()["bulk"] == 2
    second = start(bulk)
    assert PublishTask.from_json(second.args[0]) == PUBLISH


def test_a_task_whose_workers_died_is_queued_again(jobs: Jobs, bulk: Queue) -> None:
    for _ in range(4):  # each worker takes it up and dies
        assert jobs.enqueue(ANONYMIZE, queue="bulk")
        start(bulk)
    assert jobs.depth()["bulk"] == 0


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.FINISHED, JobStatus.STOPPED, JobStatus.CANCELED])
def test_what_is_left_of_an_ended_task_does_not_block_it(jobs: Jobs, bulk: Queue, status: JobStatus) -> None:
    jobs.enqueue(ANONYMIZE, queue="bulk")
    start(bulk).set_status(status)
    assert jobs.enqueue(ANONYMIZE, queue="bulk")
    assert jobs.depth()["bulk"] == 1


def test_a_task_can_be_put_off(jobs: Jobs, bulk: Queue) -> None:
    assert jobs.enqueue(ANONYMIZE, queue="bulk", delay_s=60)
    assert jobs.depth()["bulk"] == 0
    registry = bulk.scheduled_job_registry
    assert registry.get_job_ids() == [ANONYMIZE.job_id]
    wait_s = (registry.get_scheduled_time(ANONYMIZE.job_id) - datetime.now(UTC)).total_seconds()
    assert 55 < wait_s <= 61
    assert not jobs.enqueue(ANONYMIZE, queue="bulk"), "it is queued, only later"


def test_a_task_that_waits_is_withdrawn(jobs: Jobs, bulk: Queue) -> None:
    assert not jobs.cancel(PHOTO, 3)
    jobs.enqueue(ANONYMIZE, queue="bulk")
    jobs.enqueue(AnonymizeTask(PHOTO, 4), queue="bulk")
    assert jobs.cancel(PHOTO, 3)
    assert bulk.job_ids == [AnonymizeTask(PHOTO, 4).job_id]
    start(bulk)
    assert not jobs.cancel(PHOTO, 4), "a worker has it"
    jobs.enqueue(ANONYMIZE, queue="bulk", delay_s=60)
    assert jobs.cancel(PHOTO, 3)
    assert bulk.scheduled_job_registry.get_job_ids() == []


def test_a_redis_that_is_away_is_noticed_soon_and_not_named() -> None:
    jobs = Jobs("redis://:s3cret@127.0.0.1:1/0")
    calls = (
        lambda: jobs.enqueue(ANONYMIZE, queue="bulk"),
        lambda: jobs.cancel(PHOTO, 1),
        jobs.depth,
        jobs.ping,
    )
    for call in calls:
        began = time.monotonic()
        with pytest.raises(QueueError) as away:
            call()
        assert time.monotonic() - began < 2.5
        assert away.value.retryable
        assert "s3cret" not in str(away.value)
        assert away.value.__cause__ is None


def test_a_redis_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        url = server.url
        jobs = Jobs(url)
        jobs.enqueue(ANONYMIZE, queue="bulk")
        with Redis.from_url(url) as client:
            client.client_kill_filter(_type="normal", skipme=True)
        assert jobs.depth()["bulk"] == 1, "a pooled connection that died is replaced unnoticed"
    with pytest.raises(QueueError):
        jobs.ping()
    jobs.close()


def start(queue: Queue) -> Job:
    """Take the first task as a worker does."""
    job_id = queue.pop_job_id()
    assert job_id is not None
    job = Job.fetch(job_id, connection=queue.connection, serializer=JSONSerializer)
    job.set_status(JobStatus.STARTED)
    return job


def finish(job: Job) -> None:
    """End it as a worker does when results are not kept."""
    job.delete(remove_from_queue=False)


def test_a_publication_overtakes_the_photos_that_wait(jobs: Jobs, redis_url: str) -> None:
    jobs.enqueue(ANONYMIZE, queue="interactive")
    jobs.enqueue(PUBLISH, queue="interactive")
    queue = Queue("interactive", connection=Redis.from_url(redis_url), serializer=JSONSerializer)
    assert queue.get_job_ids() == [PUBLISH.job_id, ANONYMIZE.job_id]


@pytest.mark.parametrize(
    "text", ['{"pilot_id": "Jane"}', f'{{"pilot_id": "{PROJECT}", "token": "x"}}', "[]", "no JSON"]
)
def test_what_is_not_a_pilot_is_refused(text: str) -> None:
    with pytest.raises(MalformedTaskError):
        PilotTask.from_json(text)


def test_an_approval_does_not_wait_behind_photos(jobs: Jobs, bulk: Queue) -> None:
    jobs.enqueue(ANONYMIZE, queue="bulk")
    jobs.enqueue(PilotTask(PROJECT), queue="bulk")
    assert bulk.job_ids == [f"pilot-{PROJECT}", ANONYMIZE.job_id]
