"""The pages of consent taken back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import admin_office
import pytest
from admin_office import KEEPS, READS, Restricted
from recovery_site import picture
from workshop import Databases

from backend.custody import receipts, signing
from backend.ledger.records import Photo


@pytest.fixture
def restricted(tmp_path: Path, databases: Databases) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data", databases=databases, grace_days=7) as opened:
        yield opened


@pytest.fixture
def photo(restricted: Restricted) -> Photo:
    return restricted.photo(restricted.project(), picture(60, 80), subject_id="P-017")


def form(photo: Photo, subject_id: str = "P-017", **more: str) -> dict[str, str]:
    return {"project_id": photo.project_id, "subject_id": subject_id, **more}


def test_a_withdrawal_is_asked_about_first(restricted: Restricted, photo: Photo) -> None:
    officer = restricted.signed_in(KEEPS)
    page = officer.post("/withdrawals/new", data=form(photo)).text
    assert "Is this the person?" in page
    assert "1 photo<" in page
    assert "No photo of this person" not in page
    unknown = officer.post("/withdrawals/new", data=form(photo, "P-071")).text
    assert "0 photos" in unknown
    assert "No photo of this person is known" in unknown
    assert "Nobody has withdrawn" in officer.get("/withdrawals").text


def test_from_withdrawal_to_receipt(restricted: Restricted, photo: Photo) -> None:
    officer = restricted.signed_in(KEEPS)
    answer = officer.post("/withdrawals/new", data=form(photo, sure="yes"))
    assert answer.status_code == 302
    page = officer.get("/withdrawals").text
    assert "P-017" in page
    assert "Grace period" in page
    withdrawal_id = re.findall(r"/withdrawals/([0-9a-f]{32})/cancel", page)[0]
    assert officer.get(f"/withdrawals/{withdrawal_id}/receipt").status_code == 409

    restricted.clock.forward(days=7)  # type: ignore[attr-defined]
    officer = restricted.signed_in(KEEPS)  # no session lasts a week
    assert officer.post("/sweep").status_code == 302
    page = officer.get("/withdrawals").text
    assert "Swept: 1 shredded, 0 records expired." in page
    assert "Shredded" in page
    assert "P-017" not in page
    receipt = officer.get(f"/withdrawals/{withdrawal_id}/receipt")
    assert receipt.headers["Content-Disposition"] == f'attachment; filename="receipt-{withdrawal_id[:8]}.json"'
    public = signing.read_public(signing.public_path(restricted.settings.signing_key()))
    document = receipts.check(json.loads(receipt.text), public)
    assert document["withdrawal_id"] == withdrawal_id
    assert "P-017" not in receipt.text


def test_a_withdrawal_can_be_taken_back(restricted: Restricted, photo: Photo) -> None:
    officer = restricted.signed_in(KEEPS)
    officer.post("/withdrawals/new", data=form(photo, sure="yes"))
    withdrawal_id = re.findall(r"/withdrawals/([0-9a-f]{32})/cancel", officer.get("/withdrawals").text)[0]
    assert officer.post(f"/withdrawals/{withdrawal_id}/cancel").status_code == 302
    assert "Cancelled" in officer.get("/withdrawals").text
    assert officer.post(f"/withdrawals/{withdrawal_id}/cancel").status_code == 409


def test_what_was_typed_wrongly_is_said(restricted: Restricted, photo: Photo) -> None:
    officer = restricted.signed_in(KEEPS)
    for wrong in (form(photo, " "), form(photo, "x" * 300), {"project_id": "f" * 32, "subject_id": "P", "sure": "yes"}):
        answer = officer.post("/withdrawals/new", data=wrong)
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text
    assert "Nobody has withdrawn" in officer.get("/withdrawals").text


def test_an_auditor_looks_on(restricted: Restricted, photo: Photo) -> None:
    restricted.signed_in(KEEPS).post("/withdrawals/new", data=form(photo, sure="yes"))
    auditor = restricted.signed_in(READS)
    page = auditor.get("/withdrawals").text
    assert "P-017" not in page
    assert "<form" not in page.partition("<main")[2]
    assert auditor.get("/withdrawals/new").status_code == 403
    assert auditor.post("/sweep").status_code == 403


def test_a_whole_project_is_withdrawn_by_typing_its_title(restricted: Restricted, photo: Photo) -> None:
    restricted.project("Bus stop", labelstudio_id=8)
    officer = restricted.signed_in(KEEPS)
    wrong = officer.post("/withdrawals/project", data={"project_id": photo.project_id, "title": "Bus stop"})
    assert wrong.status_code == 400
    assert "nobody was withdrawn" in wrong.text
    assert "Nobody has withdrawn" in officer.get("/withdrawals").text
    right = officer.post("/withdrawals/project", data={"project_id": photo.project_id, "title": "Waiting room "})
    assert right.status_code == 302
    page = officer.get("/withdrawals").text
    assert "2 people are withdrawn." in page
    assert page.count("Grace period") == 2
    unknown = officer.post("/withdrawals/project", data={"project_id": "f" * 32, "title": ""})
    assert unknown.status_code == 400
