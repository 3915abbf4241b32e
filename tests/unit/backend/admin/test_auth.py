"""Who gets in: two factors for a person, scope and role for a program, and every refusal written down."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from admin_console import OFFICER, PASSWORD, Console, opened, type_password
from flask.testing import FlaskClient
from intake_counter import open_counter

from backend.accounts import ADMIN_ROLES, Accounts, Role
from backend.admin.actors import Actor, Scope
from backend.admin.auth import NOBODY, Door, UnknownCallerError
from backend.admin.second_factor import SecondFactor
from backend.errors import AuditError, ForbiddenError
from backend.metrics import Metrics


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with opened(tmp_path) as console:
        yield console


@pytest.fixture
def heard() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def door(console: Console, heard: list[tuple[str, str]]) -> Door:
    factor = SecondFactor(console.settings.second_factor_key())
    record = lambda action, account_id: heard.append((action, account_id))  # noqa: E731
    return Door(console.accounts, factor, clock=console.clock, record=record, metrics=Metrics())


def ask(console: Console, door: Door, authorization: str | None, *scopes: Scope) -> Actor:
    """What the door says to a program."""
    headers = {} if authorization is None else {"Authorization": authorization}
    with console.app.test_request_context("/", headers=headers) as context:
        return door.program(context.request, *scopes)


def is_in(client: FlaskClient) -> bool:
    return client.get("/").status_code == 200


def statuses(client: FlaskClient, code: str, times: int) -> list[int]:
    return [client.post("/sign-in/code", data={"code": code}).status_code for _ in range(times)]


# People


def test_a_password_alone_opens_nothing(console: Console) -> None:
    console.with_phone()
    client = console.browser()
    assert type_password(client, OFFICER).location == "/sign-in/code"
    for path in ("/", "/keys", "/account", "/account/password"):
        assert client.get(path).location == "/sign-in/code", path
    assert client.post("/account/tokens", data={"scope": "admin:keys", "days": "1"}).status_code == 401
    new = "another few plain words"
    changed = client.post("/account/password", data={"current": PASSWORD, "new": new, "again": new})
    assert changed.status_code == 401
    assert console.accounts.verify(OFFICER, PASSWORD, now=console.clock())


def test_a_code_alone_opens_nothing(console: Console) -> None:
    account = console.with_phone()
    client = console.browser()
    assert client.post("/sign-in/code", data={"code": console.code(account)}).location == "/sign-in"
    assert client.get("/").location == "/sign-in"


def test_password_and_code_let_in(console: Console) -> None:
    client = console.signed_in(console.with_phone())
    assert is_in(client)
    assert console.events()[-1][0] == "sign_in.accepted"


def test_a_code_that_was_seen_over_a_shoulder_is_worth_nothing(console: Console) -> None:
    account = console.with_phone()
    code = console.code(account)
    owner, thief = console.browser(), console.browser()
    type_password(owner, OFFICER)
    type_password(thief, OFFICER)
    assert owner.post("/sign-in/code", data={"code": code}).status_code == 302
    assert thief.post("/sign-in/code", data={"code": code}).status_code == 403
    assert (is_in(owner), is_in(thief)) == (True, False)


def test_five_wrong_codes_lock_even_with_the_right_password_between(console: Console) -> None:
    account = console.with_phone()
    client = console.browser()
    wrong = f"{(int(console.code(account)) + 1) % 10**6:06d}"
    for _ in range(4):
        type_password(client, OFFICER)
        client.post("/sign-in/code", data={"code": wrong})
    assert statuses(client, wrong, 1) == [403]
    assert statuses(client, console.code(account), 1) == [403]
    assert type_password(console.browser(), OFFICER).status_code == 403
    console.clock.forward(minutes=6)
    assert is_in(console.signed_in(account))


def test_half_a_session_is_over_after_five_minutes(console: Console) -> None:
    account = console.with_phone()
    client = console.browser()
    type_password(client, OFFICER)
    console.clock.forward(minutes=5, seconds=1)
    answer = client.post("/sign-in/code", data={"code": console.code(account)})
    assert answer.location == "/sign-in"
    assert not is_in(client)


def test_a_manager_has_no_business_here_nor_an_officer_at_the_intake(console: Console, tmp_path: Path) -> None:
    counter = open_counter(tmp_path / "intake", clock=console.clock)
    counter.app.config["WTF_CSRF_ENABLED"] = False
    both = {"both@example.org": ("manager", "auditor"), "pm@example.org": ("manager",), OFFICER: ("key_officer",)}
    for email, roles in both.items():
        counter.account(email, roles=roles)
        console.account(email, *roles)
        form = {"email": email, "password": PASSWORD}
        at_the_intake = counter.app.test_client().post("/sign-in", data=form).status_code
        here = type_password(console.browser(), email).status_code
        assert (at_the_intake == 302, here == 302) == (Role.MANAGER in roles, bool(ADMIN_ROLES & set(roles))), email


def test_roles_of_the_intake_count_for_nothing_here(console: Console) -> None:
    account = console.with_phone("both@example.org", "manager", "auditor")
    client = console.signed_in(account)
    assert client.get("/audit").status_code == 200
    assert client.get("/withdrawals/new").status_code in (403, 404)
    console.accounts.set_roles(account.account_id, ["manager"])
    assert not is_in(client)
    assert type_password(console.browser(), account.email).status_code == 403


def test_a_role_counts_from_when_it_is_given_until_it_is_taken_away(console: Console) -> None:
    account = console.with_phone(OFFICER, "approver")
    client = console.signed_in(account)
    assert client.get("/audit").status_code == 403
    console.accounts.set_roles(account.account_id, ["approver", "auditor"])
    assert client.get("/audit").status_code == 200
    console.accounts.set_roles(account.account_id, ["approver"])
    assert client.get("/audit").location == "/sign-in"
    assert console.signed_in(account).get("/audit").status_code == 403


def test_a_session_ends_by_idling_by_age_and_by_signing_out(console: Console) -> None:
    account = console.with_phone()
    idle = console.signed_in(account)
    console.clock.forward(minutes=15, seconds=1)
    assert not is_in(idle)
    busy = console.signed_in(account)
    for _ in range(47):
        console.clock.forward(minutes=10)
        assert is_in(busy)
    console.clock.forward(minutes=10)
    assert not is_in(busy)
    leaving = console.signed_in(account)
    assert leaving.post("/sign-out").location == "/sign-in"
    assert not is_in(leaving)


def test_a_copied_cookie_is_worth_nothing_once_its_owner_has_left(console: Console) -> None:
    owner = console.signed_in(console.with_phone())
    cookie = owner.get_cookie("g2face_admin")
    assert cookie is not None
    thief = console.browser()
    thief.set_cookie("g2face_admin", cookie.value)
    assert is_in(thief)
    owner.post("/sign-out")
    thief.set_cookie("g2face_admin", cookie.value)
    assert not is_in(thief)


def test_signing_in_gives_the_session_a_new_name(console: Console) -> None:
    account = console.with_phone()
    client = console.browser()
    type_password(client, OFFICER)
    half = client.get_cookie("g2face_admin")
    client.post("/sign-in/code", data={"code": console.code(account)})
    planted = console.browser()
    assert half is not None
    planted.set_cookie("g2face_admin", half.value)
    assert (is_in(client), is_in(planted)) == (True, False)
    assert planted.get("/sign-in/code").location == "/sign-in"


@pytest.mark.parametrize("end", ["off", "off and on", "password", "second factor", "provider", "role"])
def test_sessions_end_with_what_they_stood_on(console: Console, end: str) -> None:
    account = console.with_phone(OFFICER, "key_officer", "auditor")
    client, accounts = console.signed_in(account), console.accounts
    assert is_in(client)
    match end:
        case "off":
            accounts.switch(account.account_id, on=False)
        case "off and on":
            accounts.switch(account.account_id, on=False)
            accounts.switch(account.account_id, on=True)
        case "password":
            accounts.reset_password(account.account_id)
        case "second factor":
            accounts.enrolments.reset(account.account_id)
        case "provider":
            accounts.introductions.forget(account.account_id)
        case "role":
            accounts.set_roles(account.account_id, ["auditor"])
    assert not is_in(client)


def test_changing_the_password_ends_all_other_sessions(console: Console) -> None:
    account = console.with_phone()
    here, elsewhere = console.signed_in(account), console.signed_in(account)
    new = "four other plain words"
    wrong = here.post("/account/password", data={"current": "guess", "new": new, "again": new})
    assert (wrong.status_code, is_in(here), is_in(elsewhere)) == (403, True, True)
    assert here.post("/account/password", data={"current": PASSWORD, "new": new, "again": new}).status_code == 302
    assert (is_in(here), is_in(elsewhere)) == (True, False)


def test_another_apps_cookie_is_nobody_here(console: Console, tmp_path: Path) -> None:
    console.with_phone()
    forger = open_counter(tmp_path / "intake").app
    with forger.test_client() as client, client.session_transaction() as session:
        session["name"] = "x" * 43
        session["account_id"] = console.accounts.accounts()[0].account_id
    forged = client.get_cookie("g2face_intake")
    assert forged is not None
    victim = console.browser()
    victim.set_cookie("g2face_admin", forged.value)
    assert not is_in(victim)


def test_a_well_signed_cookie_with_a_made_up_name_is_nobody(console: Console) -> None:
    client = console.browser()
    with client.session_transaction() as session:
        session["name"] = "guess"
    assert not is_in(client)


# People whom somebody else has written into the database


def test_an_account_that_the_intake_made_has_no_role_here(console: Console) -> None:
    intake = Accounts(console.office.ledger.engine)
    made, password = intake.create("pm@example.org", roles=["manager", "key_officer"], now=console.clock())
    client = console.browser()
    answer = type_password(client, made.email, password)
    assert (answer.status_code, "outside the admin" in answer.text) == (403, True)
    assert client.get("/sign-in/code").location == "/sign-in"


def test_a_session_ends_its_use_when_somebody_else_changes_the_account(console: Console) -> None:
    account = console.with_phone(OFFICER, "auditor")
    client = console.signed_in(account)
    assert client.get("/audit").status_code == 200
    Accounts(console.office.ledger.engine).set_roles(account.account_id, ["auditor", "approver"])
    assert client.get("/audit").status_code == 403
    console.accounts.vouch(account.account_id, ["auditor"])
    assert client.get("/audit").location == "/sign-in"


def test_a_taken_intake_replaces_no_officers_password_and_phone(console: Console) -> None:
    account = console.with_phone()
    intake = Accounts(console.office.ledger.engine)
    intake.enrolments.reset(account.account_id)
    password = intake.reset_password(account.account_id)
    client = console.browser()
    assert type_password(client, OFFICER, password).status_code == 403
    assert client.get("/sign-in/code").location == "/sign-in"


# What is written down


def test_refusals_are_written_down_and_say_no_name(console: Console, caplog: pytest.LogCaptureFixture) -> None:
    account = console.with_phone()
    manager = console.account("pm@example.org", "manager")
    client = console.browser()
    with caplog.at_level(logging.DEBUG):
        type_password(client, OFFICER, "guess")
        type_password(client, "stranger@example.org")
        type_password(client, manager.email)
        type_password(client, OFFICER)
        client.post("/sign-in/code", data={"code": "000000"})
        client.post("/sign-in/code", data={"code": console.code(account)})
        client.post("/sign-out")
    assert console.events() == [
        ("sign_in.refused.password", account.account_id),
        ("sign_in.refused.password", NOBODY),
        ("sign_in.refused.password", manager.account_id),
        ("sign_in.refused.code", account.account_id),
        ("sign_in.accepted", account.account_id),
        ("sign_in.ended", account.account_id),
    ]
    told = caplog.text + str([vars(record) for record in caplog.records])
    for secret in ("example.org", PASSWORD, "guess", "000000", console.code(account)):
        assert secret not in told


def test_where_nothing_can_be_written_down_nobody_gets_in(console: Console, door: Door) -> None:
    account = console.with_phone()

    def refuse(*_: str) -> None:
        raise AuditError("the audit log cannot be written")

    door._record = refuse
    with console.app.test_request_context("/"):
        door.sign_in(OFFICER, PASSWORD)  # half a session opens nothing
        with pytest.raises(AuditError):
            door.enter_code(console.code(account))
        with pytest.raises(UnknownCallerError):
            door.person()
    with pytest.raises(AuditError):
        door.issue_token(actor(account.account_id, Role.AUDITOR), scopes=[Scope.AUDIT], days=1)
    assert console.accounts.tokens.of(account.account_id) == []
    later, now = console.clock() + timedelta(days=1), console.clock()
    token, _ = console.accounts.tokens.issue(account.account_id, scopes=[Scope.AUDIT], expires_at=later, now=now)
    with pytest.raises(AuditError):
        door.revoke_token(actor(account.account_id, Role.AUDITOR), token.token_id)
    assert console.accounts.tokens.of(account.account_id) == [token]


def test_sign_ins_are_counted_by_outcome(console: Console, door: Door) -> None:
    account = console.with_phone()
    with console.app.test_request_context("/"):
        with pytest.raises(ForbiddenError):
            door.sign_in(OFFICER, "guess")
        door.sign_in(OFFICER, PASSWORD)
        with pytest.raises(ForbiddenError):
            door.enter_code("nothing")
        door.enter_code(console.code(account))
    with pytest.raises(UnknownCallerError):
        ask(console, door, "Bearer guess")
    told = door._metrics.exposition().decode()
    for outcome in ("refused_password", "refused_code", "accepted", "refused_token"):
        assert f'g2face_sign_ins_total{{outcome="{outcome}"}} 1.0' in told


# Programs


def actor(account_id: str, *roles: Role) -> Actor:
    return Actor(account_id, frozenset(roles))


def test_a_token_is_for_the_duties_that_both_it_and_its_owner_have(console: Console, door: Door) -> None:
    account = console.account(OFFICER, "requester", "auditor", "manager")
    whole = actor(account.account_id, Role.REQUESTER, Role.AUDITOR)
    both = door.issue_token(whole, scopes=[Scope.REQUEST, Scope.AUDIT], days=90)
    one = door.issue_token(whole, scopes=[Scope.REQUEST], days=1)
    assert ask(console, door, f"Bearer {both}").roles == {Role.REQUESTER, Role.AUDITOR}
    assert ask(console, door, f"bearer  {one}").roles == {Role.REQUESTER}
    assert ask(console, door, f"Bearer {both}", Scope.KEYS, Scope.AUDIT).account_id == account.account_id
    for scopes in ([Scope.APPROVE], [Scope.AUDIT], [Scope.KEYS, Scope.APPROVE]):
        with pytest.raises(ForbiddenError, match="another duty"):
            ask(console, door, f"Bearer {one}", *scopes)


def test_a_token_ends_when_it_expires_is_revoked_or_its_owner_is_off(console: Console, door: Door) -> None:
    account = console.account(OFFICER, "auditor")
    mine = actor(account.account_id, Role.AUDITOR)
    revoked = door.issue_token(mine, scopes=[Scope.AUDIT], days=2)
    door.revoke_token(mine, door.tokens(mine)[0].token_id)
    expiring, orphaned = (door.issue_token(mine, scopes=[Scope.AUDIT], days=days) for days in (1, 2))
    assert len(door.tokens(mine)) == 2
    console.clock.forward(days=1)
    (left,) = door.tokens(mine)
    assert left.expires_at == console.clock() + timedelta(days=1)
    assert ask(console, door, f"Bearer {orphaned}")
    console.accounts.switch(account.account_id, on=False)
    for token in (expiring, revoked, orphaned):
        with pytest.raises(UnknownCallerError, match="not valid here"):
            ask(console, door, f"Bearer {token}")


@pytest.mark.parametrize("end", ["off and on", "password", "role"])
def test_no_token_outlives_what_ended_its_owners_sessions(console: Console, door: Door, end: str) -> None:
    account = console.account(OFFICER, "auditor", "approver")
    both = [actor(account.account_id, Role.AUDITOR), actor(account.account_id, Role.APPROVER)]
    audits, approves = (
        door.issue_token(one, scopes=[scope], days=2)
        for one, scope in zip(both, [Scope.AUDIT, Scope.APPROVE], strict=True)
    )
    assert ask(console, door, f"Bearer {audits}")
    match end:
        case "off and on":
            console.accounts.switch(account.account_id, on=False)
            console.accounts.switch(account.account_id, on=True)
        case "password":
            console.accounts.reset_password(account.account_id)
        case "role":
            console.accounts.set_roles(account.account_id, ["auditor"])
            console.accounts.set_roles(account.account_id, ["auditor", "approver"])
    for token in (audits, approves):
        with pytest.raises(UnknownCallerError, match="not valid here"):
            ask(console, door, f"Bearer {token}")
    assert door.tokens(both[0]) == []


def test_tokens_that_were_made_for_something_else_are_nobody(console: Console, door: Door) -> None:
    account = console.account(OFFICER, *Role)
    now = console.clock()

    def token(scope: str, days: int | None) -> str:
        until = None if days is None else now + timedelta(days=days)
        return console.accounts.tokens.issue(account.account_id, scopes=[scope], expires_at=until, now=now)[1]

    labelstudio, personal = "a" * 40, "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2lnbmF0dXJl"
    wrong = [token("intake", 1), token("admin", 1), token("admin:audit", None), token("admin:audit", 91)]
    for secret in [*wrong, labelstudio, personal, PASSWORD, "\x00", "é", "x" * 10_000]:
        with pytest.raises(UnknownCallerError, match="not valid here"):
            ask(console, door, f"Bearer {secret}")
    for header in (None, "", "Bearer", "Bearer ", f"Token {labelstudio}", "Basic eDp5"):
        with pytest.raises(UnknownCallerError, match="send a token"):
            ask(console, door, header)
    assert ask(console, door, f"Bearer {token('admin:audit', 90)}")


def test_a_session_is_no_token_and_a_token_no_session(console: Console, door: Door) -> None:
    account = console.with_phone(OFFICER, "auditor")
    token = door.issue_token(actor(account.account_id, Role.AUDITOR), scopes=[Scope.AUDIT], days=1)
    assert console.browser().get("/audit", headers={"Authorization": f"Bearer {token}"}).location == "/sign-in"


def test_using_a_token_for_another_duty_is_written_down(
    console: Console, door: Door, heard: list[tuple[str, str]]
) -> None:
    account = console.account(OFFICER, "auditor")
    token = door.issue_token(actor(account.account_id, Role.AUDITOR), scopes=[Scope.AUDIT], days=1)
    with pytest.raises(ForbiddenError):
        ask(console, door, f"Bearer {token}", Scope.KEYS)
    assert heard == [("token.issued", account.account_id), ("sign_in.refused.scope", account.account_id)]
