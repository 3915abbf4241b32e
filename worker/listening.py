"""The worker's end of the queue: RQ without forking and without keeping anything of a failure.

RQ forks for every job by default. The engine is loaded once, before listening, and a forked process could use neither
its threads nor a GPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from threading import Event
from types import FrameType

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

    `stopping` is set when a stop was asked for: RQ itself remembers it only while it is busy.
    """

    stopping: Event

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping.set()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]


def listen(redis_url: str, queues: Sequence[str], *, burst: bool) -> None:
    """Work until asked to stop or, with `burst`, until the queues are empty. A Redis that is away is waited for.

    `redis_url` and `queues` are those that `backend.jobs.Jobs` puts tasks on; the first is emptied first.
    """
    stopping = Event()
    with contextlib.suppress(StopRequested):  # asked to stop between two connections
        while not stopping.is_set():
            try:
                _listener(redis_url, queues, stopping).work(burst=burst, logging_level="WARNING")
                if burst:
                    return
            except RedisError as error:
                _log.warning("the queue is away", extra={"event": "queue_away", "reason": type(error).__name__})
                if burst:
                    raise QueueError("the queue cannot be reached") from None
            stopping.wait(_RECONNECT_S)


def _listener(redis_url: str, queues: Sequence[str], stopping: Event) -> Listener:
    connection = connect(redis_url)
    listened = [Queue(queue, connection=connection, serializer=JSONSerializer) for queue in queues]
    listener = Listener(
        listened,
        connection=connection,
        serializer=JSONSerializer,
        default_result_ttl=0,
        disable_default_exception_handler=True,  # it would keep the traceback
        log_job_description=False,
    )
    listener.stopping = stopping
    return listener
