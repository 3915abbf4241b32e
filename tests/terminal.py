"""A program at a terminal of its own, with a person who reads and types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).parents[1]


class Terminal:
    """The terminal's other end. `shown` is everything that was on the screen."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor, self._process = descriptor, process
        self.shown = ""
        self._read_to = 0

    def read_until(self, text: str, *, within_s: float = 60.0) -> str:
        """What is shown after what was read so far, up to `text` and with it."""
        begin, deadline = self._read_to, time.monotonic() + within_s
        while text not in self.shown[begin:]:
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"no {text!r} in {self.shown[begin:]!r}")
        self._read_to = self.shown.index(text, begin) + len(text)
        return self.shown[begin : self._read_to]

    def type(self, line: str) -> None:
        os.write(self._descriptor, f"{line}\n".encode())

    def exit_status(self) -> int:
        """Once the program has ended and all was read."""
        while self._read():
            pass
        return self._process.wait(timeout=60)

    def _read(self) -> bool:
        if not select.select([self._descriptor], [], [], 60)[0]:
            return False
        try:
            read = os.read(self._descriptor, 4096)
        except OSError:  # Linux's way to say that the program is gone
            return False
        self.shown += read.decode().replace("\r\n", "\n")
        return bool(read)


@contextmanager
def running(module: str, *arguments: str, environment: dict[str, str]) -> Iterator[Terminal]:
    """`python -m module` at a terminal; ended at the end."""
    ours, its = pty.openpty()
    command: Sequence[str] = [sys.executable, "-m", module, *arguments]
    env = os.environ | environment | {"PYTHONPATH": str(_ROOT)}
    with subprocess.Popen(command, env=env, stdin=its, stdout=its, stderr=its, start_new_session=True) as process:
        os.close(its)
        try:
            yield Terminal(ours, process)
        finally:
            process.kill()
            os.close(ours)
