"""Who is nobody at the admin: tokens of Label Studio, processes and people taken over, and whatever was used up."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import admin_office
import pytest
from admin_office import APPROVES, ASKS, KEEPS, READS, ROLES, Restricted, programs_token
from flask.testing import FlaskClient
from intake_counter import Clock
from label_studio_double import TOKEN
from recovery_site import picture

from backend.admin.actors import Scope
from backend.errors import ForbiddenError, RequestStateError
from backend.ledger.records import Photo

# As Label Studio 1.x makes them: a legacy token, a personal access token's refresh and access token.
_JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ0b2tlbl90eXBlIjoi{}IiwidXNlcl9pZCI6IjEifQ.c2lnbmF0dXJl"
OF_LABEL_STUDIO = [TOKEN, _JWT.format("cmVmcmVzaC"), _JWT.format("YWNjZXNzAA")]
OPEN = {"/health", "/metrics", "/api/v1/openapi.json"}
ID = "a" * 32


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def restricted(tmp_path: Path, clock: Clock) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data", clock=clock) as opened:
        yield opened


@pytest.fixture
def photo(restricted: Restricted) -> Photo:
    return restricted.photo(restricted.project(), picture(60, 80), subject_id="Ada")


def everywhere(restricted: Restricted) -> list[tuple[str, str]]:
    """Every method and path that somebody has to be somebody for."""
    return [
        (method, re.sub(r"<[^>]+>", ID, rule.rule))
        for rule in restricted.app.url_map.iter_rules()
        if rule.rule not in OPEN and not rule.rule.startswith(("/static", "/shared", "/language", "/sign-in"))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    ]


@pytest.mark.parametrize("kind", ["Token", "Bearer", "Basic"])
@pytest.mark.parametrize("secret", OF_LABEL_STUDIO)
def test_a_token_of_label_studio_is_no_proof_of_anything(restricted: Restricted, kind: str, secret: str) -> None:
    nobody_gets_in(restricted, {"Authorization": f"{kind} {secret}"})


def test_neither_is_a_session_of_label_studio_or_a_token_of_the_intake(restricted: Restricted) -> None:
    nobody_gets_in(restricted, {"Cookie": "sessionid=.eJxVjEEOwiAQRe_C2hAGhgFcuvcMzQx;csrftoken=" + "c" * 32})
    account = restricted.account("pm@example.org", ["manager", "key_officer"])
    secret = programs_token(restricted, account.account_id, ["intake"])  # type: ignore[list-item]
    nobody_gets_in(restricted, {"Authorization": f"Bearer {secret}"})


def nobody_gets_in(restricted: Restricted, headers: dict[str, str]) -> None:
    restricted.app.config["WTF_CSRF_ENABLED"] = False
    client, before, tried = restricted.app.test_client(), restricted.log(), everywhere(restricted)
    assert len(tried) > 40
    for method, path in tried:
        answer = client.open(path, method=method, headers=headers)
        sent_away = answer.status_code == 302 and answer.location.endswith("/sign-in")
        assert answer.status_code == 401 or sent_away, (method, path, answer.status_code)
    assert restricted.log() == before


FORBIDDEN = ("backend.admin", "backend.custody.recovery", "backend.custody.rotation", "backend.custody.unseal")


@pytest.mark.parametrize(
    ("process", "entry", "without"),
    [
        ("worker", "worker.jobs", FORBIDDEN),
        ("intake", "backend.intake.wsgi", (*FORBIDDEN, "backend.custody.opening", "backend.custody.inbox_opening")),
        ("plugin", "backend.plugin.wsgi", (*FORBIDDEN, "backend.custody")),
    ],
)
def test_a_process_taken_over_has_no_code_that_opens_in_memory(
    process: str, entry: str, without: tuple[str, ...]
) -> None:
    """The contracts of imports say so before; what is mounted is tested with the compose file."""
    code = f"import sys, {entry}; print(*(name for name in {without!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [], process


def test_nobody_approves_their_own_request_on_any_way(restricted: Restricted, photo: Photo) -> None:
    """Whoever has both roles, in the browser and by API; nor do they retrieve what nobody approved."""
    both = "both@example.org"
    actor = restricted.actor(both, ["requester", "approver"])
    asked = restricted.office.request(
        actor, photo_id=photo.photo_id, face_indices=[0], reason="why", reference=None, now=restricted.clock()
    )
    browser, path = restricted.signed_in(both), f"/requests/{asked.request_id}"
    secret = programs_token(restricted, actor.account_id, [Scope.REQUEST, Scope.APPROVE])
    headers = {"Authorization": f"Bearer {secret}"}
    assert browser.post(f"{path}/approve").status_code == 403
    assert browser.post(f"/api/v1{path}/approve", headers=headers).status_code == 403
    assert browser.post(f"{path}/retrieve").status_code == 409
    assert browser.post(f"/api/v1{path}/retrieve", headers=headers).status_code == 409
    with pytest.raises(ForbiddenError):
        restricted.office.approve(actor, asked.request_id, now=restricted.clock())
    actions = [action for _, action in restricted.log(asked.request_id)]
    assert actions.count("request.approve_refused") == 3
    assert "request.retrieving" not in actions


def test_what_was_used_is_used_up(restricted: Restricted, photo: Photo, clock: Clock) -> None:
    """A retrieval, a token that expired, a cookie whose owner has left, a code that was typed."""
    office, asks, approves = restricted.office, restricted.actor(ASKS), restricted.actor(APPROVES)
    asked = office.request(asks, photo_id=photo.photo_id, face_indices=[0], reason="why", reference=None, now=clock())
    office.approve(approves, asked.request_id, now=clock())
    secret = programs_token(restricted, asks.account_id, [Scope.REQUEST])
    headers, path = {"Authorization": f"Bearer {secret}"}, f"/api/v1/requests/{asked.request_id}"
    program = restricted.app.test_client()
    assert program.post(f"{path}/retrieve", headers=headers).status_code == 200
    assert program.post(f"{path}/retrieve", headers=headers).status_code == 409
    with pytest.raises(RequestStateError):
        office.retrieve(asks, asked.request_id, now=clock())
    copied = cookie_of(restricted.signed_in(READS))
    thief = restricted.app.test_client()
    thief.set_cookie(*copied)
    assert thief.get("/audit").status_code == 200
    thief.post("/sign-out")
    thief.set_cookie(*copied)
    assert thief.get("/audit").location == "/sign-in"
    typed = restricted.code(READS)  # the one that was typed above, still on the phone
    again = restricted.app.test_client()
    again.post("/sign-in", data={"email": READS, "password": admin_office.PASSWORD})
    assert again.post("/sign-in/code", data={"code": typed}).status_code == 403
    clock.at += timedelta(days=31)
    assert program.get(path, headers=headers).status_code == 401


def cookie_of(client: FlaskClient) -> tuple[str, str]:
    cookie = client.get_cookie("g2face_admin")
    assert cookie is not None
    return cookie.key, cookie.value


def test_roles_are_apart(restricted: Restricted) -> None:
    """Nobody here has more than their own duty, so that whoever takes one of them over has no more either."""
    assert sorted(ROLES) == sorted([ASKS, APPROVES, READS, KEEPS])
    with pytest.raises(ForbiddenError):
        restricted.office.approve(restricted.actor(KEEPS), ID, now=restricted.clock())
    with pytest.raises(ForbiddenError):
        restricted.office.sweep(restricted.actor(READS), now=restricted.clock())
