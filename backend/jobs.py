"""What travels on the queue, and how it gets there. Ids only: no address, token, name or pixel ever enters Redis.

A task is put on a queue by the dotted name of the function that runs it, so nothing here knows the worker.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Queue
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from backend.errors import QueueError

QueueName = Literal["interactive", "bulk"]
QUEUES: Final[tuple[QueueName, ...]] = ("interactive", "bulk")  # a worker empties the first before the second

_TIMEOUT_S = 1.0  # a web request must not hang on a queue that is away
_JOB_TIMEOUT_S = 3600  # a crowd on a slow machine; the ledger's lease notices a dead worker long before
_FAILURE_TTL_S = 60  # failures are told by the ledger; what RQ keeps of one only gets in the way
_PENDING = {JobStatus.CREATED, JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED}


@dataclass(frozen=True, slots=True)
class AnonymizeTask:
    """Anonymize, lock and store one photo under one revision of its project's policy."""

    photo_id: str
    revision: int

    @property
    def job_id(self) -> str:
        return f"photo-{self.photo_id}-{self.revision}"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> AnonymizeTask:
        """Raises `QueueError` unless `text` is exactly what `to_json` writes."""
        fields = _fields(text, {"photo_id": str, "revision": int})
        return cls(photo_id=_hex32(fields["photo_id"]), revision=fields["revision"])


@dataclass(frozen=True, slots=True)
class PublishTask:
    """Hand a project's ready photos to Label Studio."""

    project_id: str

    @property
    def job_id(self) -> str:
        return f"publish-{self.project_id}"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PublishTask:
        """Raises `QueueError` unless `text` is exactly what `to_json` writes."""
        return cls(project_id=_hex32(_fields(text, {"project_id": str})["project_id"]))


@dataclass(frozen=True, slots=True)
class PilotTask:
    """Take a pilot one step further."""

    pilot_id: str

    @property
    def job_id(self) -> str:
        return f"pilot-{self.pilot_id}"

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PilotTask:
        """Raises `QueueError` unless `text` is exactly what `to_json` writes."""
        return cls(pilot_id=_hex32(_fields(text, {"pilot_id": str})["pilot_id"]))


Task = AnonymizeTask | PublishTask | PilotTask

_ENTRY_POINTS: Final[dict[type[Task], str]] = {
    AnonymizeTask: "worker.jobs.anonymize",
    PublishTask: "worker.jobs.publish",
    PilotTask: "worker.jobs.pilot",
}


class MalformedTaskError(QueueError):
    """What came off the queue is not a task."""

    retryable = False


class Jobs:
    """The producing end of the queues. Every method raises `QueueError` when Redis is away."""

    def __init__(self, redis_url: str) -> None:
        self._redis = connect(redis_url)

    def enqueue(self, task: Task, *, queue: QueueName, delay_s: float = 0.0) -> bool:
        """Queue `task`, to run no sooner than in `delay_s` (which needs a worker with a scheduler).

        False when it is queued already. A task that is being worked on may be queued once more behind itself: what it
        is to see may have changed after it looked, or the worker may be dead.
        """
        with _translated():
            for job_id in (task.job_id, f"{task.job_id}-again"):
                status = self._status(job_id)
                if status in _PENDING:
                    return False
                if status is not JobStatus.STARTED:
                    return self._put(task, job_id, queue=queue, delay_s=delay_s)
            return self._put(task, f"{task.job_id}-again", queue=queue, delay_s=delay_s)

    def cancel(self, photo_id: str, revision: int) -> bool:
        """Take a photo off the queue; False when it is not there or a worker already has it."""
        task = AnonymizeTask(photo_id, revision)
        with _translated():
            withdrawn = [self._withdraw(job_id) for job_id in (task.job_id, f"{task.job_id}-again")]
        return any(withdrawn)

    def depth(self) -> dict[str, int]:
        """How many tasks wait, per queue."""
        with _translated():
            return {name: self._queue(name).count for name in QUEUES}

    def ping(self) -> None:
        """Raise `QueueError` unless Redis answers."""
        with _translated():
            self._redis.ping()

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    def _queue(self, name: QueueName) -> Queue:
        return Queue(name, connection=self._redis, serializer=JSONSerializer)

    def _status(self, job_id: str) -> JobStatus | None:
        try:
            return Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer).get_status(refresh=False)
        except NoSuchJobError:
            return None

    def _put(self, task: Task, job_id: str, *, queue: QueueName, delay_s: float) -> bool:
        self._remove(job_id)  # what an earlier run left under this id would make RQ refuse the new one
        options: dict[str, Any] = {
            "job_id": job_id,
            "job_timeout": _JOB_TIMEOUT_S,
            "result_ttl": 0,
            "failure_ttl": _FAILURE_TTL_S,
            "description": job_id,
            # A photo that is done should not wait for those behind it, nor an approval, which is good for minutes.
            "at_front": not isinstance(task, AnonymizeTask),
        }
        entry_point, payload = _ENTRY_POINTS[type(task)], task.to_json()
        if delay_s > 0:
            self._queue(queue).enqueue_in(timedelta(seconds=delay_s), entry_point, payload, **options)
            return True
        try:
            self._queue(queue).enqueue(entry_point, payload, unique=True, **options)
        except DuplicateJobError:  # another process was faster
            return False
        return True

    def _withdraw(self, job_id: str) -> bool:
        if self._status(job_id) not in _PENDING:
            return False
        self._remove(job_id)
        return True

    def _remove(self, job_id: str) -> None:
        try:
            Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer).delete()
        except NoSuchJobError:
            return


def connect(redis_url: str) -> Redis:
    """A client that gives up within a second or two; nothing is sent yet."""
    return Redis.from_url(
        redis_url,
        socket_connect_timeout=_TIMEOUT_S,
        socket_timeout=_TIMEOUT_S,
        retry=Retry(NoBackoff(), 1),  # one fresh connection for one that died while pooled
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Redis's errors carry host names and passwords; ours say only that it is away."""
    try:
        yield
    except RedisError:
        raise QueueError("the queue cannot be reached") from None


def _fields(text: str, expected: dict[str, type]) -> dict[str, Any]:
    """The JSON object `text`, which must have exactly the `expected` keys with values of exactly those types."""
    try:
        fields = json.loads(text)
    except ValueError:
        raise MalformedTaskError("a task on the queue is not JSON") from None
    if not isinstance(fields, dict) or {name: type(value) for name, value in fields.items()} != expected:
        raise MalformedTaskError("a task on the queue has other fields than it should")
    return fields


def _hex32(value: str) -> str:
    if len(value) != 32 or not set(value) <= set("0123456789abcdef"):
        raise MalformedTaskError("a task on the queue names something that is not an id")
    return value
