from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import pytest

from worker.demo.processes import Children, DemoError, answers, free_port, run

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
# It starts a process of its own, says so, and does not listen to SIGTERM.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_what_was_started_ends_with_the_context(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("sleeper", SLEEP, {})
        children.check()
        assert child.process.poll() is None
    assert child.process.poll() is not None


def test_a_child_that_does_not_listen_is_killed_and_with_it_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.demo.processes._ENDS_WITHIN_S", 0.3)
    with Children(tmp_path) as children:
        child = children.start("stubborn", [sys.executable, "-c", STUBBORN], {})
        children.wait_for(lambda: bool(child.log.read_text().strip()), within_s=20, what="its word")
        grandchild = Path("/proc") / child.log.read_text().strip()
        assert grandchild.exists()
    assert child.process.returncode == -9
    for _ in range(100):
        if not grandchild.exists() or "Z" in (grandchild / "stat").read_text().split(")")[1]:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("what the child started is still there")


def test_an_early_end_is_told_with_the_last_line(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start(
            "broken", [sys.executable, "-c", "print('one', flush=True); raise SystemExit('no weights')"], {}
        )
        child.process.wait(timeout=20)
        with pytest.raises(DemoError, match=r"broken ended with status 1: no weights \(all of it: .*broken\.log\)"):
            children.check()


def test_a_program_that_is_meant_to_end_may_do_so_well_but_not_badly(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        well = children.start("well", [sys.executable, "-c", ""], {}, ends=True)
        well.process.wait(timeout=20)
        children.check()
        badly = children.start("badly", [sys.executable, "-c", "raise SystemExit(3)"], {}, ends=True)
        badly.process.wait(timeout=20)
        with pytest.raises(DemoError, match="badly ended with status 3: it said nothing"):
            children.check()


def test_waiting_has_an_end(tmp_path: Path) -> None:
    with Children(tmp_path) as children, pytest.raises(DemoError, match="the moon did not come up within 0 s"):
        children.wait_for(lambda: False, within_s=0.0, what="the moon")


def test_a_short_program_s_words_and_complaints() -> None:
    assert run("speaker", [sys.executable, "-c", "print('done')"], {}) == "done\n"
    with pytest.raises(DemoError, match=r"^key failed: exists already$"):
        run("key", [sys.executable, "-c", "raise SystemExit('exists already')"], {})


def test_a_port_that_is_taken_is_replaced_by_a_free_one() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        other = free_port(taken)
        assert other != taken
    assert free_port(other) == other
    assert not answers(f"http://127.0.0.1:{other}/health")
