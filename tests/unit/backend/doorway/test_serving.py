"""As doors are served: nothing of what comes or goes lies in a temporary file, and proxies are heard."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
import waitress
from flask import Flask, request
from waitress import wasyncore

from backend.doorway import arriving, serving

LARGE = 12 * 2**20


def application(hops: int = 0) -> Flask:
    app = Flask(__name__)
    arriving.believe_proxies(app, hops)
    app.add_url_rule("/large", "large", view_func=lambda: b"x" * LARGE)
    app.add_url_rule("/from", "from", view_func=lambda: f"{request.remote_addr} {arriving.came_by_tls()}")
    app.add_url_rule("/take", "take", view_func=lambda: str(len(request.get_data())), methods=["POST"])
    return app


@contextmanager
def served(app: Flask) -> Iterator[tuple[str, int]]:
    server = waitress.create_server(app, listen="127.0.0.1:0", **serving.options(max_body_bytes=2 * LARGE))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield "127.0.0.1", server.effective_port
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
        thread.join(timeout=10)


def temporary_files() -> list[str]:
    """What this process has open and nobody else can see."""
    open_ones = []
    for name in os.listdir("/proc/self/fd"):
        try:
            open_ones.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:  # the listing's own
            continue
    return [one for one in open_ones if one.endswith("(deleted)")]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize("what", ["leaves", "arrives"])
def test_nothing_large_lies_in_a_temporary_file(what: str) -> None:
    before = temporary_files()
    with served(application()) as address, socket.create_connection(address, timeout=30) as slow:
        if what == "leaves":
            slow.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            came = len(slow.recv(100))  # then it stops reading
            for _ in range(20):
                assert temporary_files() == before
                time.sleep(0.02)
            while part := slow.recv(2**20):
                came += len(part)
            assert came > LARGE
        else:
            slow.sendall(b"POST /take HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
            slow.sendall(b"Content-Length: %d\r\n\r\n" % LARGE)
            slow.sendall(b"x" * (LARGE - 1))
            for _ in range(20):
                assert temporary_files() == before
                time.sleep(0.02)
            slow.sendall(b"x")
            assert slow.makefile("rb").read().endswith(str(LARGE).encode())


@pytest.mark.parametrize(("hops", "told"), [(0, "127.0.0.1 True"), (1, "203.0.113.9 True")])
def test_what_a_proxy_has_noted_reaches_the_application(hops: int, told: str) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    with served(application(hops)) as (host, port):
        assert requests.get(f"http://{host}:{port}/from", headers=headers, timeout=10).text == told
