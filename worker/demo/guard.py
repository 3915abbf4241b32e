"""Ends the demonstration's programs when the demonstration itself is gone without having done so, as after SIGKILL.

A program of its own, in a session of its own. It is told the process groups by its standard input, one number a line,
which ends when its starter does, however that comes about; an orderly end is announced by the word `done`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable

DONE = "done"
_POLL_S = 0.1


class Guard:
    """The starter's side of it: which process groups are not to outlive us."""

    def __init__(self, *, ends_within_s: float) -> None:
        """`ends_within_s`: what the programs are given between being told to end and being killed."""
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", __name__, str(ends_within_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # whatever kills our group leaves it alone
            text=True,
        )

    def watch(self, group: int) -> None:
        """See to it that this process group does not outlive us."""
        self._tell(str(group))

    def dismiss(self) -> None:
        """We have ended them ourselves."""
        self._tell(DONE)
        self._process.communicate()

    def _tell(self, line: str) -> None:
        if (pipe := self._process.stdin) is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.write(f"{line}\n")
                pipe.flush()


def main() -> None:
    """Wait for the end of the starter, then end what it has left."""
    told = [line.strip() for line in sys.stdin]
    if DONE not in told:
        end([int(group) for group in told], within_s=float(sys.argv[1]))


def end(groups: Iterable[int], *, within_s: float) -> None:
    """Tell process groups to end, and kill those that have not within the time they are given."""
    left = [group for group in groups if _signalled(group, signal.SIGTERM)]
    deadline = time.monotonic() + within_s
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = [group for group in left if _signalled(group, 0)]
    for group in left:
        _signalled(group, signal.SIGKILL)


def _signalled(group: int, number: int) -> bool:
    """Whether there was anybody to hear it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
