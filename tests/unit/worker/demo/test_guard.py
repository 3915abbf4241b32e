from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.demo.guard import Guard, end

ROOT = Path(__file__).parents[4]
# It starts one program that listens to SIGTERM, and one that does not and has started a third one.
STARTER = """
import sys, time
from pathlib import Path
from worker.demo.processes import Children
import worker.demo.processes
worker.demo.processes._ENDS_WITHIN_S = 1.0
sleeper = "import time; time.sleep(60)"
stubborn = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    f"print(subprocess.Popen([sys.executable, '-c', {sleeper!r}]).pid, flush=True); time.sleep(60)"
)
with Children(Path(sys.argv[1])) as children:
    gentle = children.start("gentle", [sys.executable, "-c", sleeper], {})
    hard = children.start("hard", [sys.executable, "-c", stubborn], {})
    children.wait_for(lambda: bool(hard.log.read_text().strip()), within_s=20, what="its word")
    print(gentle.process.pid, hard.process.pid, hard.log.read_text().strip(), flush=True)
    sys.stdin.read()
"""


def running(pid: int) -> bool:
    """Whether a process is there and not only a name that nobody has asked for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually_gone(*pids: int) -> None:
    deadline = time.monotonic() + 20
    while any(running(pid) for pid in pids):
        assert time.monotonic() < deadline, "they are still there"
        time.sleep(0.05)


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)


def test_what_a_killed_demonstration_started_ends_and_what_that_started_as_well(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as starter:
        assert starter.stdout is not None
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        assert len(pids) == 3
        assert all(running(pid) for pid in pids)
        os.killpg(starter.pid, signal.SIGKILL)  # with all of its group, as a shell might
    eventually_gone(*pids)


def test_a_guard_that_is_dismissed_leaves_everything_alone(sleeper: subprocess.Popen[bytes]) -> None:
    guard = Guard(ends_within_s=0.1)
    guard.watch(sleeper.pid)
    guard.dismiss()
    assert guard._process.returncode == 0
    assert running(sleeper.pid)
    sleeper.kill()
    sleeper.wait()


def test_ending_passes_over_what_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    gone.wait()
    end([gone.pid, sleeper.pid], within_s=0.5)
    assert sleeper.wait() == -signal.SIGTERM


def test_a_guard_that_is_gone_is_no_reason_to_fail() -> None:
    guard = Guard(ends_within_s=0.1)
    guard._process.kill()
    guard._process.wait()
    guard.watch(1)
    guard.dismiss()
    assert guard._process.returncode == -signal.SIGKILL
