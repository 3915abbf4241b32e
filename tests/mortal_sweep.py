"""A sweep in a process of its own that dies without a word, as by kill -9, before its so-manyth write.

What counts as a write: every statement and every commit on either database, the ledger's turn, the head's delivery.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import retention_site
from sqlalchemy import event

_MODULES = ["backend.custody.retention", "retention_site"]


@dataclass(frozen=True, slots=True)
class Orders:
    """Where the databases and files are, when it is, and before which write to die."""

    folder: Path
    vault_url: str
    keys_url: str
    now: datetime
    die_before: int
    grace: timedelta = retention_site.GRACE


def run(orders: Orders) -> int | None:
    """The exit status of such a process: -9 when it died, 0 when it had fewer writes than that."""
    context = get_context("forkserver")
    context.set_forkserver_preload(_MODULES)
    process = context.Process(target=main, args=(orders,))
    process.start()
    try:
        process.join(timeout=60)
        return process.exitcode
    finally:
        process.kill()
        process.join(timeout=30)
        process.close()


def main(orders: Orders) -> None:
    writes = count(1)

    def write(*_: object) -> None:
        if next(writes) == orders.die_before:
            os.kill(os.getpid(), signal.SIGKILL)

    deliver: Callable[[bytes], None] = write
    with retention_site.opened(
        orders.folder, orders.vault_url, orders.keys_url, grace=orders.grace, deliver=deliver
    ) as site:
        for engine in (site.vault_engine, site.keys_engine):
            event.listen(engine, "before_cursor_execute", write)
            event.listen(engine, "commit", write)
        site.retention.sweep(now=orders.now, forget=write)
