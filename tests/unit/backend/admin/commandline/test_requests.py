"""The command line does what the console does, for whoever a token belongs to, with the same roles and the same log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import admin_office
import numpy as np
import pytest
from admin_office import APPROVES, ASKS, KEEPS, READS, TASK, Restricted
from recovery_site import picture

from backend.admin.__main__ import main
from backend.admin.actors import ROLE_OF
from backend.ledger.records import Photo
from g2face_model import images

ORIGINAL = picture(60, 80)
Run = Callable[..., str]


@pytest.fixture
def restricted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Restricted]:
    monkeypatch.setenv("G2FACE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("G2FACE_ADMIN__GRACE_DAYS", "0")
    with admin_office.opened(tmp_path / "data", clock=lambda: datetime.now(UTC), grace_days=0) as opened:
        yield opened


@pytest.fixture
def photo(restricted: Restricted) -> Photo:
    return restricted.photo(restricted.project(), ORIGINAL, subject_id="P-017")


@pytest.fixture
def run(restricted: Restricted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(email: str, *words: str, status: int = 0) -> str:
        path = token_file(restricted, tmp_path, email)
        capsys.readouterr()
        assert main([words[0], "--token-file", str(path), *words[1:]]) == status
        told = capsys.readouterr()
        return told.err if status else told.out

    return run


def token_file(restricted: Restricted, folder: Path, email: str) -> Path:
    path = folder / f"{email}.token"
    if not path.exists():
        actor = restricted.actor(email)
        scopes = [scope for scope, role in ROLE_OF.items() if role in actor.roles]
        secret = admin_office.programs_token(restricted, actor.account_id, scopes)
        path.touch(mode=0o600)
        path.write_text(f"{secret}\n")
    return path


def test_from_the_task_s_number_to_the_face_as_it_was(
    restricted: Restricted, photo: Photo, run: Run, tmp_path: Path
) -> None:
    assert photo.labelstudio_task_id == TASK
    words = (str(TASK), "--faces", "1", "2", "--reason", "The label is disputed.", "--reference", "LS-1")
    request_id, state = run(ASKS, "ask", *words).split()
    assert state == "open"
    assert "role approver" in run(ASKS, "approve", request_id, status=2)
    out = tmp_path / "original.png"
    assert "second person" in run(ASKS, "retrieve", request_id, "--out", str(out), status=2)
    assert not out.exists()
    assert run(APPROVES, "approve", request_id) == "approved\n"
    assert run(APPROVES, "requests", "--state", "approved").startswith(f"{request_id}  approved  recovery")
    assert "this is for whoever" not in run(ASKS, "retrieve", request_id, "--out", str(out))
    np.testing.assert_array_equal(images.decode(out.read_bytes()), ORIGINAL)
    assert out.stat().st_mode & 0o777 == 0o600
    assert "retrieved" in run(ASKS, "retrieve", request_id, "--out", str(tmp_path / "again.png"), status=2)
    steps = [action for _, action in restricted.log(request_id)]
    assert steps[0] == "request.opened"
    assert steps.index("request.approved") < steps.index("request.retrieving") < steps.index("request.retrieved")


def test_a_file_that_cannot_be_made_uses_nothing_up(photo: Photo, run: Run, tmp_path: Path) -> None:
    request_id = run(ASKS, "ask", photo.photo_id, "--faces", "1", "--reason", "why").split()[0]
    run(APPROVES, "approve", request_id)
    there = tmp_path / "there.png"
    there.write_bytes(b"mine")
    assert "cannot be made: File exists" in run(ASKS, "retrieve", request_id, "--out", str(there), status=2)
    assert there.read_bytes() == b"mine"
    assert "1 photos, bit for bit" in run(ASKS, "retrieve", request_id, "--out", str(tmp_path / "new.png"))


def test_requests_are_refused_and_taken_back(photo: Photo, run: Run) -> None:
    one, other = (run(ASKS, "ask", photo.photo_id, "--faces", "1", "--reason", "why").split()[0] for _ in range(2))
    assert run(APPROVES, "refuse", one) == "refused\n"
    assert run(ASKS, "cancel", other) == "cancelled\n"
    assert len(run(ASKS, "requests").splitlines()) == 2
    assert "choose at least one" in run(ASKS, "ask", photo.photo_id, "--faces", "9", "--reason", "why", status=2)
    assert "no such request" in run(APPROVES, "approve", "a" * 32, status=2)


def test_from_a_withdrawal_to_its_receipt(photo: Photo, run: Run) -> None:
    withdrawal_id, state = run(KEEPS, "withdraw", photo.project_id, "--subject", "P-017").split()[:2]
    assert state == "pending"
    assert "cannot be taken back: it is due" in run(KEEPS, "cancel-withdrawal", withdrawal_id, status=2)
    assert "no receipt yet" in run(READS, "receipt", withdrawal_id, status=2)
    assert main(["sweep"]) == 0
    assert withdrawal_id in json.dumps(json.loads(run(READS, "receipt", withdrawal_id)))
    assert len(run(KEEPS, "withdraw", photo.project_id, "--everybody").splitlines()) == 1  # the other face
    assert "role key_officer" in run(READS, "withdraw", photo.project_id, "--everybody", status=2)


def test_a_token_that_others_can_read_is_refused(restricted: Restricted, run: Run, tmp_path: Path) -> None:
    path = token_file(restricted, tmp_path, ASKS)
    path.chmod(0o640)
    assert "others can read the token" in run(ASKS, "requests", status=2)
    path.chmod(0o600)
    assert run(ASKS, "requests") == ""
    secret = path.read_text()
    path.write_text("nobody's")
    told = run(ASKS, "requests", status=2)
    assert told == "this token is not valid here\n"
    path.unlink()
    assert main(["requests", "--token-file", str(path)]) == 2
    assert secret.strip() not in told
