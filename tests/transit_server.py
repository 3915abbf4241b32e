"""A server that speaks the part of HashiCorp Vault's HTTP API that the master key needs, and really encrypts.

As documented for the transit engine: POST /v1/transit/encrypt/:name and /v1/transit/decrypt/:name, with a token in
X-Vault-Token, keys of type aes256-gcm96, and errors as {"errors": [...]}.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "hvs.made-up-token-of-the-tests"
KEY = "g2face-master"


@dataclass
class Transit:
    """What the server has and what it saw. status: answer everything with that instead; answer: say that instead."""

    url: str = ""
    keys: dict[str, list[bytes]] = field(default_factory=lambda: {KEY: [bytes(range(32))]})
    status: int = 200
    answer: bytes | None = None
    redirect: str | None = None
    asked: list[str] = field(default_factory=list)

    def do(self, what: str, name: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if name not in self.keys:
            return 400, {"errors": ["encryption key not found"]}
        bound_to = base64.b64decode(body.get("associated_data", ""))
        if what == "encrypt":
            nonce, version = os.urandom(12), len(self.keys[name])
            sealed = AESGCM(self.keys[name][-1]).encrypt(nonce, base64.b64decode(body["plaintext"]), bound_to)
            said = f"vault:v{version}:{base64.b64encode(nonce + sealed).decode()}"
            return 200, {"data": {"ciphertext": said, "key_version": version}}
        try:
            _, version_said, data = body["ciphertext"].split(":")
            sealed = base64.b64decode(data, validate=True)
            key = self.keys[name][int(version_said.removeprefix("v")) - 1]
            plaintext = AESGCM(key).decrypt(sealed[:12], sealed[12:], bound_to)
        except (InvalidTag, ValueError, IndexError):
            return 400, {"errors": ["invalid ciphertext: unable to decrypt"]}
        return 200, {"data": {"plaintext": base64.b64encode(plaintext).decode()}}


@contextmanager
def running() -> Iterator[Transit]:
    """The server on a free port of this machine."""
    transit = Transit()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            transit.asked.append(self.path)
            status, answer = transit.status, json.dumps({"errors": ["as the test wants it"]}).encode()
            if transit.status == 200 and self.headers["X-Vault-Token"] != TOKEN:
                status, answer = 403, json.dumps({"errors": ["permission denied"]}).encode()
            elif transit.status == 200 and transit.answer is None:
                _, _, _, what, name = self.path.split("/")
                status, said = transit.do(what, name, body)
                answer = json.dumps({"request_id": "0"} | said).encode()
            self.send_response(status)
            if transit.redirect:
                self.send_header("Location", transit.redirect)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer if transit.answer is None else transit.answer)

        do_PUT = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        transit.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield transit
        finally:
            server.shutdown()
            thread.join()
