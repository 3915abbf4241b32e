"""An admin's process that asks, approves or retrieves, and can be told where to die: without a word, as by kill -9.

Its points are: before every statement to the vault, around every commit, before each opening, and before the answer. A
server process imports everything once and forks the admins off: starting them anew would take a second each.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from recovery_site import ADA, BO, NOW, Site
from sqlalchemy import event

from backend.custody.records import SealedRecord, SubjectKey
from backend.custody.recovery import Recovery


@dataclass(frozen=True, slots=True)
class Orders:
    """What to do (approve, refuse, cancel, retrieve, expire) to which request, and at which point to die."""

    folder: Path
    vault_url: str
    duty: str
    request_id: str
    published: dict[str, bytes]
    die_at: int


def carried_out(orders: Orders) -> bool:
    """Whether the process came to its end, and did not die before. What it passed is in the file "points"."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["recovery_site", "backend.custody.recovery", "mortal_admin"])
    process = context.Process(target=main, args=(orders,))
    process.start()
    process.join(timeout=120)
    exit_status = process.exitcode
    process.close()
    if exit_status not in (0, -signal.SIGKILL):
        raise AssertionError(f"the admin ended with {exit_status}: {(orders.folder / 'log').read_text()}")
    return exit_status == 0


def main(orders: Orders) -> None:
    with (orders.folder / "log").open("ab") as log:
        os.dup2(log.fileno(), 2)
    site = Site.at(orders.folder, orders.vault_url)
    site.published = orders.published
    reached = _Points(orders)
    event.listen(site.vault_engine, "before_cursor_execute", lambda *seen: reached(seen[2]))
    event.listen(site.vault_engine, "commit", lambda _: reached("COMMIT"))
    recovery = site.recovery_with(_Master(site, reached))
    _duties(recovery, site)[orders.duty](orders.request_id)
    reached("answer")
    site.close()


def _duties(recovery: Recovery, site: Site) -> dict[str, Callable[[str], object]]:
    return {
        "approve": lambda request_id: recovery.approve(request_id, approver=BO, now=NOW),
        "refuse": lambda request_id: recovery.refuse(request_id, approver=BO, now=NOW),
        "cancel": lambda request_id: recovery.cancel(request_id, by=ADA, now=NOW),
        "retrieve": lambda request_id: recovery.retrieve(request_id, by=ADA, published=site.give, now=NOW),
        "expire": lambda request_id: recovery.get(request_id, now=NOW + site.rules.request_lasts),
    }


class _Points:
    """Counts the points that were passed, and dies at the one that was ordered."""

    def __init__(self, orders: Orders) -> None:
        self._orders, self._passed = orders, 0

    def __call__(self, name: str) -> None:
        with (self._orders.folder / "points").open("a") as points:
            points.write(" ".join(name.split()[:3]) + "\n")
        if self._passed == self._orders.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._passed += 1


class _Master:
    def __init__(self, site: Site, reached: Callable[[str], None]) -> None:
        self._site, self._reached = site, reached

    def unseal(self, record: SealedRecord, key: SubjectKey) -> bytes:
        self._reached("unseal")
        return self._site.master.unseal(record, key)
