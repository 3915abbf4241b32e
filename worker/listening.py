"""The worker's end of the queue: RQ without forking and without keeping anything of a failure.

RQ forks for every job by default. The engine is loaded once, before listening, and a forked process could use neither
its threads nor a GPU.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from threading import Event
from types import FrameType

from redis.client import Pipeline
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer

from backend import logs
from backend.errors import QueueError
from backend.jobs import connect

_RECONNECT_S = 2.0

_log = logs.get(__name__)


class Listener(SimpleWorker):
    """Works on one job after the other in this process; SIGTERM and SIGINT let the present one finish first.

    `stopping` is set when a stop was asked for: RQ itself remembers it only while it is busy. RQ waits for ever for a
    Redis that is away; with `patience_s` it ends when Redis was away for so long, and then `given_up` is True.
    """

    stopping: Event
    patience_s: float | None = None
    given_up = False
    _away_since: float | None = None

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def set_shutdown_requested_date(self) -> None:
        """RQ tells Redis from within the signal handler: an error there would hit the photo being worked on."""
        with contextlib.suppress(RedisError):
            super().set_shutdown_requested_date()  # type: ignore[no-untyped-call]

    def teardown(self) -> None:
        """RQ says good-bye to Redis first. When Redis is away it gets no further, and its thread for orders would go
        on trying to reach it, long after the listener's end."""
        try:
            super().teardown()  # type: ignore[no-untyped-call]
        finally:
            if self.pubsub_thread is not None:
                self.pubsub_thread.stop()

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """RQ's sign of life, which begins each of its tries to reach Redis."""
        try:
            super().heartbeat(timeout, pipeline)
            self._away_since = None
        except RedisError:
            now = time.monotonic()
            self._away_since = self._away_since or now
            if self.patience_s is not None and now - self._away_since >= self.patience_s:
                self.given_up = True
                raise StopRequested from None
            raise


def listen(redis_url: str, queues: Sequence[str], *, burst: bool, patience_s: float | None = None) -> bool:
    """Work until asked to stop or, with `burst`, until the queues are empty. A Redis that is away is waited for; with
    `patience_s`, about so long and no longer. False in that case.

    `redis_url` and `queues` are those that `backend.jobs.Jobs` puts tasks on; the first is emptied first.
    Raises QueueError in a `burst` without a Redis.
    """
    stopping = Event()
    with _signals_given_back(), contextlib.suppress(StopRequested):  # asked to stop between two connections
        while not stopping.is_set():
            if not _work(redis_url, queues, stopping, burst=burst, patience_s=patience_s):
                return False
            if burst:
                return True
            stopping.wait(_RECONNECT_S)
    return True


@contextlib.contextmanager
def _signals_given_back() -> Iterator[None]:
    """RQ takes SIGTERM and SIGINT and keeps them; they would stop a listener that is there no more."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _work(redis_url: str, queues: Sequence[str], stopping: Event, *, burst: bool, patience_s: float | None) -> bool:
    """Until RQ ends, for whatever reason; False when Redis was away for too long."""
    listener: Listener | None = None
    try:
        listener = _listener(redis_url, queues)
        listener.stopping, listener.patience_s = stopping, patience_s
        listener.work(burst=burst, logging_level="WARNING")
    except RedisError as error:
        _log.warning("the queue is away", extra={"event": "queue_away", "reason": type(error).__name__})
        if burst:
            raise QueueError("the queue cannot be reached") from None
        if listener is None and patience_s is not None:
            return False
    return listener is None or not listener.given_up


def _listener(redis_url: str, queues: Sequence[str]) -> Listener:
    connection = connect(redis_url)
    listened = [Queue(queue, connection=connection, serializer=JSONSerializer) for queue in queues]
    return Listener(
        listened,
        connection=connection,
        serializer=JSONSerializer,
        default_result_ttl=0,
        disable_default_exception_handler=True,  # it would keep the traceback
        log_job_description=False,
    )
