"""The client against a small server of the test's own, for what a healthy Label Studio does not do. The rest is in
tests/integration/test_label_studio.py."""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from backend.errors import LabelStudioError, LabelStudioForbiddenError, LabelStudioMissingError, LabelStudioRefusedError
from backend.labelstudio.client import LabelStudio, _Pinned

TOKEN = "deadbeef" * 5
Answer = tuple[int, dict[str, str], bytes]


class Script:
    """What the server answers by path, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[], Answer]] = {}
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.url = ""

    def answer(self, path: str, status: int, body: object = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[path] = lambda: (status, {"Content-Type": "application/json", **headers}, data)


@pytest.fixture
def script() -> Iterator[Script]:
    told = Script()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            told.asked.append((self.command, self.path, dict(self.headers), body))
            path = self.path.partition("?")[0]
            status, headers, data = told.answers.get(path, lambda: (404, {}, b""))()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if "Content-Length" not in headers:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (500, LabelStudioError, True),
        (502, LabelStudioError, True),
        (429, LabelStudioError, True),
        (408, LabelStudioError, True),
        (400, LabelStudioRefusedError, False),
        (401, LabelStudioForbiddenError, False),
        (403, LabelStudioForbiddenError, False),
        (404, LabelStudioMissingError, False),
    ],
)
def test_refusals_and_failures_are_told_apart(
    script: Script, status: int, kind: type[LabelStudioError], retryable: bool
) -> None:
    script.answer("/api/projects/3", status, {"detail": "secret/photo.png"})
    with pytest.raises(kind) as refused:
        LabelStudio(script.url, TOKEN).project(3)
    assert type(refused.value) is kind
    assert refused.value.retryable is retryable
    assert str(status) in str(refused.value)


def test_an_error_says_which_fields_were_wrong_and_nothing_else(script: Script) -> None:
    script.answer("/api/projects", 400, {"validation_errors": {"title": ["Anna's photos: too short"]}})
    with pytest.raises(LabelStudioRefusedError) as refused:
        LabelStudio(script.url, TOKEN).create_project("a", "<View/>")
    assert str(refused.value) == "Label Studio refused to create the project (400): title"
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_label_studio_that_is_away_is_asked_again_later() -> None:
    with pytest.raises(LabelStudioError) as away:
        LabelStudio("http://127.0.0.1:9", TOKEN).project(3)
    assert away.value.retryable
    assert "127.0.0.1" not in str(away.value)
    assert TOKEN not in str(away.value)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"3"])
def test_an_answer_of_another_shape_is_an_error(script: Script, body: bytes) -> None:
    script.answer("/api/projects/3", 200, body)
    with pytest.raises(LabelStudioError) as odd:
        LabelStudio(script.url, TOKEN).project(3)
    assert odd.value.retryable


def test_a_redirect_of_the_api_is_not_followed(script: Script) -> None:
    script.answer("/api/projects/3", 302, {}, Location=script.url + "/api/projects/4")
    script.answer("/api/projects/4", 200, {"id": 4})
    with pytest.raises(LabelStudioError):
        LabelStudio(script.url, TOKEN).project(3)
    assert len(script.asked) == 1


def test_an_import_that_does_not_say_what_it_made_is_an_error(script: Script) -> None:
    script.answer("/api/projects/3/import", 201, {"task_count": 2, "task_ids": [1]})
    with pytest.raises(LabelStudioError):
        LabelStudio(script.url, TOKEN).import_tasks(3, [{}, {}])


def test_a_personal_token_is_exchanged_and_renewed_before_it_lapses(script: Script) -> None:
    passed = [0.0]
    accesses = iter(["first", "second"])
    script.answers["/api/token/refresh/"] = lambda: (200, {}, json.dumps({"access": next(accesses)}).encode())
    script.answer("/api/projects/3", 200, {"id": 3})
    client = LabelStudio(script.url, "a.b.c", clock=lambda: passed[0])
    for passed[0] in (0.0, 200.0, 250.0):
        client.project(3)
    used = [headers["Authorization"] for method, _, headers, _ in script.asked if method == "GET"]
    assert used == ["Bearer first", "Bearer first", "Bearer second"]
    exchanged = [body for method, _, _, body in script.asked if method == "POST"]
    assert [json.loads(body) for body in exchanged] == [{"refresh": "a.b.c"}] * 2


def test_many_keys_are_looked_up_in_several_calls(script: Script) -> None:
    script.answer("/api/tasks", 200, {"tasks": [{"id": 8, "data": {"privacy_key": "k000"}}], "total": 1})
    keys = [f"k{number:03}" for number in range(120)]
    assert LabelStudio(script.url, TOKEN).find_tasks(3, keys) == {"k000": 8}
    assert len(script.asked) == 3


def test_an_image_comes_from_label_studio_with_the_key(script: Script) -> None:
    script.answer("/data/upload/3/a.png", 200, b"pixels")
    assert LabelStudio(script.url, TOKEN).download("/data/upload/3/a.png") == b"pixels"
    assert script.asked[0][2]["Authorization"] == f"Token {TOKEN}"


def test_an_image_that_is_too_large_is_refused(script: Script) -> None:
    script.answer("/data/a", 200, bytes(2000))
    with pytest.raises(LabelStudioRefusedError, match="1000 bytes"):
        LabelStudio(script.url, TOKEN).download("/data/a", max_bytes=1000)


def test_an_image_that_takes_for_ever_is_given_up(script: Script) -> None:
    script.answer("/data/a", 200, bytes(2000))
    times = iter([0.0, 500.0])
    with pytest.raises(LabelStudioError, match="too long") as slow:
        LabelStudio(script.url, TOKEN, clock=lambda: next(times)).download("/data/a")
    assert slow.value.retryable


def test_an_image_that_breaks_off_is_asked_again_later(script: Script) -> None:
    script.answers["/data/a"] = lambda: (200, {"Content-Length": "500"}, b"half")
    with pytest.raises(LabelStudioError) as broken:
        LabelStudio(script.url, TOKEN).download("/data/a")
    assert broken.value.retryable


def test_a_redirect_to_a_private_network_is_refused_and_never_called(script: Script) -> None:
    script.answer("/data/a", 303, b"", Location="http://images.example/latest/meta-data")
    looked_up = []

    def resolve(host: str, port: int) -> list[str]:
        looked_up.append((host, port))
        return ["169.254.169.254"]

    client = LabelStudio(script.url, TOKEN, allowed_hosts=["images.example"], resolve=resolve)
    with pytest.raises(LabelStudioRefusedError, match="private"):
        client.download("/data/a")
    assert looked_up == [("images.example", 80)]


def test_redirects_end_somewhere(script: Script) -> None:
    script.answer("/data/a", 302, b"", Location="/data/a")
    with pytest.raises(LabelStudioRefusedError, match="too often"):
        LabelStudio(script.url, TOKEN).download("/data/a")
    assert len(script.asked) == 4


def test_a_redirect_within_label_studio_is_followed(script: Script) -> None:
    script.answer("/tasks/5/resolve/", 302, b"", Location="/data/b")
    script.answer("/data/b", 200, b"pixels")
    assert LabelStudio(script.url, TOKEN).download("s3://bucket/key", task_id=5) == b"pixels"


def test_a_foreign_host_is_called_at_the_checked_address_without_our_key(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.answer("/a", 200, b"pixels")
    port = script.url.rpartition(":")[2]
    # No public host is at hand: that this address is private is tested beside the addresses.
    monkeypatch.setattr("backend.labelstudio.addresses._is_public", lambda _: True)
    client = LabelStudio(
        "http://label-studio.invalid", TOKEN, allowed_hosts=["images.invalid"], resolve=lambda *_: ["127.0.0.1"]
    )
    assert client.download(f"http://images.invalid:{port}/a") == b"pixels"
    ((_, _, headers, _),) = script.asked
    assert headers["Host"] == f"images.invalid:{port}"
    assert "Authorization" not in headers


def test_a_proxy_or_netrc_of_the_machine_is_not_used(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    script.answer("/api/projects/3", 200, {"id": 3})
    LabelStudio(script.url, TOKEN).project(3)
    assert script.asked[0][2]["Authorization"] == f"Token {TOKEN}"


def test_a_pinned_connection_still_checks_the_name_in_the_certificate(tmp_path: Path) -> None:
    with _tls_server(tmp_path, "images.invalid") as port, requests.Session() as session:
        session.trust_env = False
        session.verify = str(tmp_path / "certificate.pem")
        session.mount("https://", _Pinned("127.0.0.1"))
        assert session.get(f"https://images.invalid:{port}/", timeout=10).content == b"pixels"
        with pytest.raises(requests.exceptions.SSLError):
            session.get(f"https://other.invalid:{port}/", timeout=10)


class _tls_server:  # noqa: N801
    """A server with a certificate of its own for `name`, written to certificate.pem."""

    def __init__(self, folder: Path, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        named = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(named)
            .issuer_name(named)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self._folder = folder

    def __enter__(self) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"pixels")

            def log_message(self, *_: Any) -> None:
                return

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "certificate.pem", self._folder / "key.pem")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self._server.server_port

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def test_a_kind_of_storage_that_label_studio_does_not_offer_is_none(script: Script) -> None:
    for kind in ("gcs", "azure", "redis"):
        script.answer(f"/api/storages/{kind}", 200, [])
    script.answer("/api/storages/s3", 200, [{"id": 3}])  # localfiles, switched off, is answered with 404
    assert LabelStudio(script.url, TOKEN).storages(1) == [{"type": "s3", "id": 3}]
    script.answer("/api/storages/localfiles", 403)
    with pytest.raises(LabelStudioRefusedError):
        LabelStudio(script.url, TOKEN).storages(1)
