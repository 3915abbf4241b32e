"""The demonstration's child processes: started, waited for, watched and ended together.

Each is the leader of a process group of its own, so that Ctrl-C reaches us alone and we end them in order, and so that
whatever they started ends with them. Should we be killed, a guard ends them. What they print goes to a file each; the
terminal stays calm.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from backend.errors import BackendError
from worker.demo.guard import Guard

_POLL_S = 0.2
_ENDS_WITHIN_S = 30.0  # a worker finishes the photo in its hands


class DemoError(BackendError):
    """The demonstration cannot go on; the message says why, and where to read more."""


@dataclass(frozen=True, slots=True)
class Child:
    """A program and the file that holds what it printed. ends: it does one thing and is done."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ends: bool = False

    @property
    def done(self) -> bool:
        return self.process.poll() == 0


class Children:
    """Programs that live no longer than this object's context. `folder` holds their logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Child] = []
        self._guard = Guard(ends_within_s=_ENDS_WITHIN_S)

    def __enter__(self) -> Children:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._guard.dismiss()

    def watch(self, group: int) -> None:
        """A process group that somebody else ends, but not after we are killed."""
        self._guard.watch(group)

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        cwd: Path | None = None,
        ends: bool = False,
    ) -> Child:
        """Start a program that goes on until `stop`, or, when it `ends`, until it is done."""
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own programs
                command,
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard.watch(process.pid)
        self._running.append(child := Child(name, process, log, ends))
        return child

    def check(self) -> None:
        """Raises `DemoError` when one of them has ended that should not have."""
        for child in self._running:
            status = child.process.poll()
            if status is not None and not (child.ends and status == 0):
                said = _last_line(child.log)
                raise DemoError(f"{child.name} ended with status {status}: {said} (all of it: {child.log})")

    def wait_for(self, done: Callable[[], bool], *, within_s: float, what: str) -> None:
        """Until `done` says so. Raises `DemoError` when that takes too long or a program ends meanwhile."""
        deadline = time.monotonic() + within_s
        while not done():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"{what} did not come up within {within_s:.0f} s")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """End all of them, the last started first. Interrupted, they are not asked again but killed."""
        try:
            for child in reversed(self._running):
                _signal(child, signal.SIGTERM)
            deadline = time.monotonic() + _ENDS_WITHIN_S
            for child in self._running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(timeout=max(deadline - time.monotonic(), 0.1))
        finally:
            for child in self._running:
                _signal(child, signal.SIGKILL)  # also for what a child left behind in its group
                child.process.wait()
            self._running.clear()


def run(name: str, command: Sequence[str], environment: Mapping[str, str]) -> str:
    """What a short program printed. Raises `DemoError` with the last line of its complaint when it fails."""
    done = subprocess.run(  # noqa: S603 - our own programs
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoError(f"{name} failed: {(done.stderr.strip() or 'without a word').splitlines()[-1]}")
    return done.stdout


def free_port(wanted: int) -> int:
    """`wanted` if it is free on the loopback interface, else any that is."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            # As servers do, so that connections that ended a moment ago do not count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found: int = probe.getsockname()[1]
                return found
    raise DemoError("there is no free port")


def answers(url: str) -> bool:
    """Whether a server answers there, and says that it is well."""
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


def _signal(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
