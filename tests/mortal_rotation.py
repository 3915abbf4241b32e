"""A rotation of the master key in a process of its own that kills itself at its n-th write, as by kill -9.

A write is a statement that changes a database, a commit, a file made, renamed, linked, flushed or removed, and a
checkpoint. A server process imports everything once and forks the others off.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from backend.custody import database, key_files, master
from backend.custody.audit import AuditLog
from backend.custody.keyring import Keyring
from backend.custody.rotation import MasterKeyFiles, Rotation

_WRITING_CALLS = ("fsync", "link", "mkdir", "replace", "unlink")


@dataclass(frozen=True, slots=True)
class Orders:
    """Which master key and databases, and before which write to die."""

    folder: Path
    keys_url: str
    vault_url: str
    die_at: int


def files(folder: Path) -> MasterKeyFiles:
    return MasterKeyFiles(folder / "admin" / "master.key", folder / "master.pub", folder / "retired", key_files.PLAIN)


@contextmanager
def rotation(folder: Path, keys: Engine, vault: Engine, reached: Callable[[str], None]) -> Iterator[Rotation]:
    keyring = Keyring(keys, partial(master.read_public, folder / "master.pub"))
    log, clock = AuditLog(vault), partial(datetime.now, UTC)
    yield Rotation(files(folder), keyring, log=log, actor="test", clock=clock, checkpoint=reached)


def exit_status(orders: Orders) -> int | None:
    """What became of it: 0 when it was done before it was to die, -9 when it died."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["mortal_rotation"])
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
    with (orders.folder / "log").open("ab") as log:
        os.dup2(log.fileno(), 2)
    left = orders.die_at

    def reached(_: str) -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    keys, vault = database.open_keys(orders.keys_url), database.open_vault(orders.vault_url)
    for engine in (keys, vault):
        _watch(engine, reached)
    for name in _WRITING_CALLS:
        setattr(os, name, _watched(getattr(os, name), reached))
    with rotation(orders.folder, keys, vault, reached) as made:
        made.run()


def _watch(engine: Engine, reached: Callable[[str], None]) -> None:
    def before_statement(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("SELECT", "BEGIN", "PRAGMA")):
            reached(statement)

    event.listen(engine, "before_cursor_execute", before_statement)
    event.listen(engine, "commit", lambda _: reached("COMMIT"))


def _watched(call: Callable[..., Any], reached: Callable[[str], None]) -> Callable[..., Any]:
    def watched(*arguments: Any, **named: Any) -> Any:
        reached(call.__name__)
        return call(*arguments, **named)

    return watched
