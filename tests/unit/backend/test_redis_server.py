"""A Redis of our own: started, shared, private, and gone again."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError
from redis.retry import Retry

from backend import redis_server
from backend.errors import ConfigError, QueueError
from backend.redis_server import EmbeddedRedis

_KEEP = """
import sys, time
from pathlib import Path
from backend.redis_server import EmbeddedRedis
print(EmbeddedRedis(Path(sys.argv[1])).start().url, flush=True)
time.sleep(60)
"""


def keeper(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _KEEP, str(folder)], stdout=subprocess.PIPE, text=True)


def stranded(url: str) -> Redis:
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0))


def test_it_starts_is_shared_and_stops(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        url = server.url
        assert os.getpgid(server.pid) == server.pid
        with EmbeddedRedis(tmp_path) as guest:
            assert (guest.url, guest.pid) == (url, server.pid)
        with Redis.from_url(url) as client:
            client.set("kept", "yes")
    for told in ("url", "pid"):
        with pytest.raises(QueueError):
            getattr(server, told)
    with stranded(url) as gone, pytest.raises(ConnectionError):
        gone.ping()
    with EmbeddedRedis(tmp_path) as again, Redis.from_url(again.url) as client:
        assert client.get("kept") == b"yes"


def test_only_the_owner_may_use_it(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        state = tmp_path / "redis" / "running.json"
        assert stat.S_IMODE(state.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700
        known = json.loads(state.read_text())
        with Redis(port=known["port"]) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
        arguments = Path(f"/proc/{known['server_pid']}/cmdline").read_bytes()
        assert known["password"].encode() not in arguments
        with Redis.from_url(server.url) as client:
            assert client.config_get("bind")["bind"] == "127.0.0.1"
            assert client.config_get("appendonly")["appendonly"] == "yes"


def test_other_processes_find_it_and_do_not_stop_it(tmp_path: Path) -> None:
    process = keeper(tmp_path)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        with EmbeddedRedis(tmp_path) as guest:
            assert guest.url == url
        with Redis.from_url(url) as client:
            assert client.ping(), "a guest leaves it running"
        process.send_signal(signal.SIGKILL)
        process.wait()
        with EmbeddedRedis(tmp_path) as heir:
            assert heir.url == url, "it outlives a killed keeper"
        with stranded(url) as gone, pytest.raises(ConnectionError):
            gone.ping()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_two_processes_that_start_at_once_get_one_server(tmp_path: Path) -> None:
    processes = [keeper(tmp_path) for _ in range(2)]
    try:
        urls = {process.stdout.readline() for process in processes if process.stdout is not None}
        assert len(urls) == 1
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        EmbeddedRedis(tmp_path).start().stop()


def test_a_stale_file_does_not_hinder(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "running.json").write_text(
        json.dumps({"port": 1, "password": "p", "server_pid": os.getpid(), "keeper_pid": os.getpid()})
    )
    with EmbeddedRedis(tmp_path) as server, Redis.from_url(server.url) as client:
        assert client.ping()


def test_without_a_program_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(redis_server.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="G2FACE_REDIS_URL"):
        EmbeddedRedis(tmp_path).start()


def test_a_program_that_does_not_come_up_is_a_queue_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    began = time.monotonic()
    with pytest.raises(QueueError, match="does not start"):
        EmbeddedRedis(tmp_path).start()
    assert time.monotonic() - began < 5
