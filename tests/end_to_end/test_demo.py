"""`python -m worker demo` as a person at a terminal has it: one small portrait, looked at, then ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from label_studio_server import VENV
from telltale_photos import portrait
from whole_site import ROOT

from g2face_model.weights import WeightStore

_WITHIN_S = 420


@pytest.fixture
def demo(tmp_path: Path, store: WeightStore) -> Iterator[subprocess.Popen[str]]:
    assert store is not None
    if not (VENV / "bin" / "label-studio").exists():
        pytest.skip("needs Label Studio in .venv-label-studio")
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "portrait.jpg").write_bytes(portrait(0, side_px=240).data)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("G2FACE_") or "MODEL" in name
    }
    command = [sys.executable, "-m", "worker", "demo", "--photos", str(photos), "--out", str(tmp_path / "out")]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process
        process.kill()


def test_it_shows_where_to_sign_in_and_leaves_nothing_behind(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    said = _said_until(demo, "Ctrl-C")
    assert re.search(r"✓ +portrait\.jpg +1 (replaced|covered)|✓ +portrait\.jpg +0 replaced, 1 covered", said), said
    assert "sealed; restored bit for bit" in said
    assert "leak check: nothing of the originals in 1 tasks" in said
    running = _processes_of(tmp_path)
    assert len(running) >= 6  # Redis, Label Studio, plugin, intake, admin, worker

    labelstudio, email, password = _row(said, "annotate")
    with requests.Session() as session:
        page = session.get(f"{_origin(labelstudio)}/user/login", timeout=30).text
        form = {"email": email, "password": password, "csrfmiddlewaretoken": _csrf(page)}
        session.post(f"{_origin(labelstudio)}/user/login", data=form, headers={"Referer": labelstudio}, timeout=30)
        assert session.get(f"{_origin(labelstudio)}/api/current-user/whoami", timeout=30).json()["email"] == email
    passwords = [_signs_in_once(said, "hand in", next_page="Choose your password")]
    for who in ("ask for originals", "approve that", "keys, audit"):
        passwords.append(_signs_in_once(said, who, next_page='id="secret"'))  # for their phone, beside its QR code

    demo.send_signal(signal.SIGTERM)
    assert demo.wait(timeout=60) == 0
    assert _processes_of(tmp_path) == {}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*.log"))
    assert not any(password.encode() in kept for password in passwords)


def test_killed_it_leaves_nothing_behind_either(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    _said_until(demo, "plugin, intake, admin")
    running = _processes_of(tmp_path)
    assert len(running) >= 5  # Redis, Label Studio, plugin, intake, admin
    demo.kill()
    deadline = time.monotonic() + 60
    while left := _processes_of(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def _signs_in_once(said: str, who: str, *, next_page: str) -> str:
    """Sign in to a door of ours with the one-time password that was shown, and see what comes next; the password."""
    door, email, password = _row(said, who)
    with requests.Session() as session:
        secret = _csrf(session.get(f"{door}/sign-in", timeout=30).text)
        form = {"email": email, "password": password, "csrf_token": secret}
        answer = session.post(f"{door}/sign-in", data=form, headers={"Referer": door}, timeout=30)
        assert next_page in answer.text, answer.text
    return password


def _said_until(process: subprocess.Popen[str], sign: str) -> str:
    said, deadline = "", time.monotonic() + _WITHIN_S
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if sign in line:
            return said
        assert time.monotonic() < deadline, said
    raise AssertionError(f"ended with {process.wait()}:\n{said}")


def _row(said: str, name: str) -> tuple[str, str, str]:
    found = re.search(rf"^  {name} +(\S+) +(\S+@\S+) +(\S+)", said, re.M)
    assert found is not None, said
    return found[1], found[2], found[3]


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def _csrf(page: str) -> str:
    found = re.search(r'name="(?:csrfmiddlewaretoken|csrf_token)"[^>]* value="([^"]+)"', page)
    assert found is not None
    return found[1]


def _processes_of(folder: Path) -> dict[int, str]:
    """Processes that work in a folder or have it in their environment, but the demonstration itself: number, name."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            told = (entry / "environ").read_bytes() + os.readlink(entry / "cwd").encode()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # ended meanwhile, or somebody else's
        if str(folder / "out").encode() in told:
            found[int(entry.name)] = command
    return found
