"""The application around the pages: headers, languages, errors, and what happens when the log cannot be written."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import admin_office
import pytest
from admin_office import APPROVES, ASKS, KEEPS, READS, Restricted, log_held
from recovery_site import picture
from stand_in import StandIn

from backend.admin import words
from backend.errors import (
    ApprovalRequiredError,
    AuditBrokenError,
    AuditError,
    BackendError,
    BlobMissingError,
    ConfigError,
    CustodyError,
    CustodyUnavailableError,
    ForbiddenError,
    KeyShreddedError,
    LabelStudioError,
    LedgerError,
    LedgerUnavailableError,
    MasterKeyError,
    OfficeError,
    RequestMissingError,
    RequestStateError,
    SealBrokenError,
    StorageError,
)

TEMPLATES = Path(__file__).parents[4] / "backend/admin/templates"


@pytest.fixture
def restricted(tmp_path: Path) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data") as opened:
        yield opened


def test_health_needs_nobody_s_name(restricted: Restricted) -> None:
    assert restricted.app.test_client().get("/health").json == {"status": "UP"}


@pytest.mark.parametrize("path", ["/", "/requests", "/sign-in", "/static/admin.js", "/nothing", "/health"])
def test_no_page_loads_sends_frames_or_keeps_anything(restricted: Restricted, path: str) -> None:
    answer = restricted.signed_in(ASKS).get(path)
    answer.close()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; ")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert ("no-store" in answer.headers["Cache-Control"]) == ("static" not in path)


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_no_template_holds_what_the_content_policy_forbids(template: Path) -> None:
    text = template.read_text()
    for inline in (" style=", "<style", " onclick", " onsubmit", "javascript:", "|safe", "http://", "https://"):
        known = text.replace('placeholder="https://…', "").replace("{{ drawing|safe }}", "")  # a QR code, made here
        assert inline not in known, inline
    assert "<script" not in text or "<script src=" in text


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_every_form_that_changes_something_carries_its_token(template: Path) -> None:
    text = template.read_text()
    posts = text.count('method="post"')
    assert text.count("hidden_token()") - text.count("macro hidden_token()") >= posts


def test_a_form_without_its_token_does_nothing(restricted: Restricted) -> None:
    client = restricted.signed_in(KEEPS)
    restricted.app.config["WTF_CSRF_ENABLED"] = True
    before = restricted.log()
    answer = client.post("/sweep")
    assert answer.status_code == 400
    assert "This page is too old" in answer.text
    assert restricted.log() == before


@pytest.mark.parametrize(
    ("error", "status", "is_told"),
    [
        (OfficeError("choose a face"), 400, True),
        (ForbiddenError("not yours"), 403, True),
        (RequestMissingError("no such request"), 404, True),
        (LedgerError("no such photo"), 404, True),
        (BlobMissingError("no such blob"), 404, True),
        (ApprovalRequiredError("ask somebody"), 409, True),
        (RequestStateError("it is open"), 409, True),
        (SealBrokenError("does not open"), 409, True),
        (KeyShreddedError("it is gone"), 410, True),
        (CustodyError("the subject id is empty"), 400, True),
        (LabelStudioError("Label Studio is away"), 502, True),
        (ConfigError("not set up"), 503, True),
        (AuditError("hidden reason"), 503, False),
        (AuditBrokenError("event 3 of the audit log was changed"), 503, True),
        (CustodyUnavailableError("hidden reason"), 503, False),
        (MasterKeyError("hidden reason"), 503, False),
        (LedgerUnavailableError("hidden reason"), 503, False),
        (StorageError("hidden reason"), 503, False),
        (BackendError("hidden reason"), 500, False),
        (ValueError("hidden reason"), 500, False),
    ],
)
def test_one_table_says_how_errors_are_answered(
    restricted: Restricted, error: Exception, status: int, is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    class Broken:
        def __getattr__(self, name: str) -> object:
            raise error

    broken = restricted.with_office(recovery=Broken())
    client = broken.signed_in(ASKS)
    broken.app.config["PROPAGATE_EXCEPTIONS"] = None
    answer = client.get("/requests")
    assert answer.status_code == status
    assert "<h1>" in answer.text
    assert "hidden reason" not in answer.text + caplog.text
    assert (words.capital(str(error)) in answer.text) == is_told
    assert [record.__dict__["reason"] for record in caplog.records if "reason" in record.__dict__] == (
        [] if is_told else [type(error).__name__]
    )


def test_programs_are_answered_in_json(restricted: Restricted) -> None:
    answer = restricted.app.test_client().get("/api/v1/nothing", headers={"Accept-Language": "ja"})
    assert answer.status_code == 404
    assert answer.json == {"error": {"title": "Not found", "message": "There is nothing at this address."}}


def test_whoever_is_not_signed_in_is_shown_the_way_and_does_nothing(restricted: Restricted) -> None:
    restricted.app.config["WTF_CSRF_ENABLED"] = False
    client = restricted.app.test_client()
    for path in ("/", "/requests", "/requests/new", "/withdrawals", "/audit", "/keys", f"/photos/{'a' * 32}/image"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/sign-in"), path
    for path in ("/sweep", "/requests/new", f"/requests/{'a' * 32}/retrieve", "/audit/export"):
        assert client.post(path).status_code == 401, path


def test_each_role_is_shown_its_places(restricted: Restricted) -> None:
    places = {"/requests": "Requests", "/withdrawals": "Withdrawals", "/audit": "Audit log", "/keys": "Keys"}
    seen = {
        ASKS: {"/requests"},
        APPROVES: {"/requests"},
        READS: {"/requests", "/withdrawals", "/audit", "/keys"},
        KEEPS: {"/withdrawals", "/keys"},
    }
    for email, theirs in seen.items():
        client = restricted.signed_in(email)
        page = client.get("/").text
        assert {path for path, name in places.items() if f'href="{path}" >{name}</a>' in page} == theirs
        assert {path for path in places if client.get(path).status_code == 200} == theirs


@pytest.mark.parametrize("approvals", [0, 1])
def test_every_page_warns_where_nobody_else_approves(tmp_path: Path, approvals: int) -> None:
    with admin_office.opened(tmp_path / "data", approvals=approvals) as restricted:
        client = restricted.signed_in(READS)
        for path in ("/", "/requests", "/audit", "/keys", "/withdrawals", "/account", "/nothing"):
            assert ("No second person." in client.get(path).text) == (approvals == 0), path
        assert ("No second person." in restricted.app.test_client().get("/sign-in").text) == (approvals == 0)


def test_the_language_can_be_chosen_and_is_kept(restricted: Restricted) -> None:
    client = restricted.signed_in(ASKS)
    assert '<html lang="en">' in client.get("/requests").text
    answer = client.get("/language/ja", headers={"Referer": "http://localhost/requests?state=open"})
    assert answer.headers["Location"] == "/requests?state=open"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    page = client.get("/requests").text
    assert '<html lang="ja">' in page
    assert "<h1>申請</h1>" in page
    assert client.get("/language/xx").status_code == 404


@pytest.mark.parametrize(
    "referrer", ["https://elsewhere.example/page", "http://localhost//elsewhere.example", "nonsense", "", "http://[bad"]
)
def test_changing_the_language_leads_nowhere_else(restricted: Restricted, referrer: str) -> None:
    answer = restricted.app.test_client().get("/language/ja", headers={"Referer": referrer})
    assert answer.headers["Location"] == "/"


def test_without_the_log_nothing_happens_and_that_is_said_within_two_seconds(restricted: Restricted) -> None:
    photo = restricted.photo(restricted.project(), picture(60, 80), anonymizer=StandIn(1))
    requester, approver = restricted.signed_in(ASKS), restricted.signed_in(APPROVES)
    asked = restricted.office.request(
        restricted.actor(ASKS),
        photo_id=photo.photo_id,
        face_indices=[0],
        reason="why",
        reference=None,
        now=restricted.clock(),
    )
    before = restricted.log()
    with log_held(restricted):
        for client, step in ((approver, "approve"), (approver, "refuse"), (requester, "cancel")):
            begun = time.monotonic()
            answer = client.post(f"/requests/{asked.request_id}/{step}")
            assert answer.status_code == 503
            assert "nothing was done" in answer.text
            assert time.monotonic() - begun < 2.0
    assert restricted.log() == before
    assert restricted.office.get(restricted.actor(ASKS), asked.request_id, now=restricted.clock()) == asked
