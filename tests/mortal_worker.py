"""A worker process like the real one, but for the engine, that can be told where to die: without a word, as by kill -9.

A server process imports everything once and forks the workers off: starting them anew would take a second each.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from label_studio_double import TOKEN
from stand_in import StandIn
from workshop import Workshop

from backend.labelstudio.client import LabelStudio
from worker import jobs
from worker.listening import listen
from worker.runtime import Limits

LEASE_S = 0.5
_MODULES = ["backend.adoption", "rq", "worker.jobs", "worker.listening", "worker.reconcile", "worker.runtime"]


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is to do. die_at, pause_at: the step where it kills itself, or waits until the file "go" is there.

    storage: where blobs are, if not in the workshop's folder. largest_file: bytes; writing more fails as on a full
    disk. stay: wait for more when the queues are empty. lease_s: how long its claims hold.
    """

    folder: Path
    redis_url: str
    labelstudio_url: str
    die_at: str | None = None
    pause_at: str | None = None
    storage: str | None = None
    largest_file: int | None = None
    stay: bool = False
    lease_s: float = LEASE_S


@contextmanager
def running(orders: Orders) -> Iterator[BaseProcess]:
    """The worker, which is killed at the end if it has not ended by itself."""
    context = get_context("forkserver")
    context.set_forkserver_preload(_MODULES)
    process = context.Process(target=main, args=(orders,))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(timeout=30)
        process.close()


def ended(process: BaseProcess, *, within_s: float = 60.0) -> int | None:
    """The exit status: negative for a signal, None when it does not end."""
    process.join(timeout=within_s)
    return process.exitcode


def eventually(condition: Callable[[], object], *, within_s: float = 30.0) -> None:
    """Wait until what other processes do has come to it."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.02)


def main(orders: Orders) -> None:
    with (orders.folder / "log").open("ab") as log:
        os.dup2(log.fileno(), 2)
    workshop = Workshop(orders.folder, redis_url=orders.redis_url, storage=orders.storage)
    if orders.largest_file:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (orders.largest_file, orders.largest_file))
    runtime = workshop.runtime(
        StandIn(),
        labelstudio=LabelStudio(orders.labelstudio_url, TOKEN),
        limits=Limits(lease_s=orders.lease_s, publish_lease_s=orders.lease_s, settle_s=orders.lease_s),
        checkpoint=_checkpoint(orders),
    )
    jobs.bind(runtime)
    listen(orders.redis_url, ("interactive", "bulk"), burst=not orders.stay)


def _checkpoint(orders: Orders) -> Callable[[str], None]:
    def reached(name: str) -> None:
        with (orders.folder / "steps").open("a") as steps:
            steps.write(name + "\n")
        if name == orders.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        while name == orders.pause_at and not (orders.folder / "go").exists():
            time.sleep(0.01)

    return reached
