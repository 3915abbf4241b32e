from __future__ import annotations

from pathlib import Path

import pytest
from intake_counter import MANAGER, PASSWORD, Clock, Counter, open_counter

from backend.intake.auth import TOKEN_SCOPE


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counter(tmp_path: Path, clock: Clock) -> Counter:
    opened = open_counter(tmp_path, clock=clock)
    opened.app.config["WTF_CSRF_ENABLED"] = False
    return opened


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_whoever_is_not_signed_in_is_shown_the_way(counter: Counter) -> None:
    answer = counter.app.test_client().get("/")

    assert (answer.status_code, answer.location) == (302, "/sign-in")


def test_a_one_time_password_opens_nothing_but_the_page_to_replace_it(counter: Counter) -> None:
    _, one_time = counter.accounts.create(MANAGER, roles=["manager"], now=counter.clock())
    client = counter.app.test_client()

    assert client.post("/sign-in", data={"email": MANAGER, "password": one_time}).location == "/password"
    assert client.get("/").location == "/password"
    assert client.get("/tokens").location == "/password"
    differing = client.post("/password", data={"new": PASSWORD, "again": PASSWORD + "!"})
    assert (differing.status_code, "differ" in differing.text) == (403, True)
    assert "at least 12 characters" in client.post("/password", data={"new": "short", "again": "short"}).text
    assert client.post("/password", data={"new": PASSWORD, "again": PASSWORD}).location == "/"
    assert client.get("/").status_code == 200
    again = counter.app.test_client().post("/sign-in", data={"email": MANAGER, "password": one_time})
    assert again.status_code == 403


def test_changing_a_password_takes_the_present_one(counter: Counter) -> None:
    counter.account()
    client = counter.signed_in()
    new = "another few plain words"

    wrong = client.post("/password", data={"current": "guess", "new": new, "again": new})
    right = client.post("/password", data={"current": PASSWORD, "new": new, "again": new})

    assert (wrong.status_code, right.status_code) == (403, 302)


def test_whoever_has_roles_at_the_admin_changes_the_password_there(counter: Counter) -> None:
    """A change here would not be the admin's own, and so end their roles there."""
    counter.account(roles=("manager", "auditor"))
    new = "another few plain words"

    answer = counter.signed_in().post("/password", data={"current": PASSWORD, "new": new, "again": new})

    assert (answer.status_code, "at the admin" in answer.text) == (403, True)
    assert counter.accounts.verify(MANAGER, PASSWORD, now=counter.clock())


def test_a_wrong_password_and_an_unknown_person_look_alike(counter: Counter) -> None:
    counter.account()
    client = counter.app.test_client()

    wrong = client.post("/sign-in", data={"email": MANAGER, "password": "guess"})
    unknown = client.post("/sign-in", data={"email": "nobody@example.org", "password": "guess"})

    assert wrong.status_code == unknown.status_code == 403
    assert wrong.text.replace(MANAGER, "") == unknown.text.replace("nobody@example.org", "")


def test_other_roles_have_no_business_here(counter: Counter) -> None:
    auditor = counter.account(roles=("auditor",))
    token = counter.token(auditor, TOKEN_SCOPE)
    client = counter.app.test_client()

    page = client.post("/sign-in", data={"email": MANAGER, "password": PASSWORD})

    assert (page.status_code, "needs the role manager" in page.text) == (403, True)
    assert client.get("/").status_code == 302
    assert client.get("/api/v1/projects", headers=bearer(token)).status_code == 403


def test_a_session_ends_by_time_by_signing_out_and_with_the_account(counter: Counter, clock: Clock) -> None:
    account = counter.account()
    for end in (
        lambda _: clock.forward(hours=13),
        lambda client: client.post("/sign-out"),
        lambda _: counter.accounts.switch(account.account_id, on=False),
    ):
        client = counter.signed_in()
        assert client.get("/").status_code == 200
        end(client)
        assert client.get("/").status_code == 302


def test_sessions_end_when_the_password_changes_except_the_one_that_changed_it(counter: Counter) -> None:
    account = counter.account()
    here, elsewhere = counter.signed_in(), counter.signed_in()
    new = "four other plain words"

    here.post("/password", data={"current": PASSWORD, "new": new, "again": new})

    assert here.get("/").status_code == 200
    assert elsewhere.get("/").status_code == 302
    counter.accounts.reset_password(account.account_id)  # by the operator
    assert here.get("/").status_code == 302


def test_a_wrong_present_password_ends_no_session(counter: Counter) -> None:
    counter.account()
    here, elsewhere = counter.signed_in(), counter.signed_in()
    new = "four other plain words"

    assert here.post("/password", data={"current": "guess", "new": new, "again": new}).status_code == 403

    assert (here.get("/").status_code, elsewhere.get("/").status_code) == (200, 200)


def test_an_account_that_is_switched_on_again_has_no_session(counter: Counter) -> None:
    account = counter.account()
    client = counter.signed_in()
    counter.accounts.switch(account.account_id, on=False)
    counter.accounts.switch(account.account_id, on=True)

    assert client.get("/").status_code == 302
    assert counter.signed_in().get("/").status_code == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(counter: Counter) -> None:
    counter.app.config["WTF_CSRF_ENABLED"] = True

    plain = counter.app.test_client().get("/sign-in").headers["Set-Cookie"]
    behind_tls = counter.app.test_client().get("/sign-in", headers={"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]

    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Secure" not in plain  # it would never come back over http://localhost
    assert "Secure" in behind_tls


def test_a_forged_cookie_is_nobody(counter: Counter) -> None:
    account = counter.account()
    counter.signed_in()
    other = open_counter(counter.folder / "other")
    other.app.secret_key = b"not ours"
    with other.app.test_client() as client, client.session_transaction() as session:
        session["account_id"] = account.account_id
        session["version"] = account.session_version
        session["signed_in_at"] = counter.clock().timestamp()
    forged = client.get_cookie("g2face_intake")
    assert forged is not None
    victim = counter.app.test_client()
    victim.set_cookie("g2face_intake", forged.value)

    assert victim.get("/").status_code == 302


def test_guessing_passwords_is_slowed_down(counter: Counter) -> None:
    client = counter.app.test_client()
    form = {"email": "nobody@example.org", "password": "guess"}

    statuses = [client.post("/sign-in", data=form).status_code for _ in range(31)]

    assert statuses == [403] * 30 + [429]


def test_tokens_work_until_they_end(counter: Counter, clock: Clock) -> None:
    counter.account()
    page = counter.signed_in().post("/tokens", data={"days": "30"}).text
    token = page.split('id="token">')[1].split("<")[0]
    program = counter.app.test_client()

    assert program.get("/api/v1/projects", headers=bearer(token)).status_code == 200
    clock.forward(days=31)
    assert program.get("/api/v1/projects", headers=bearer(token)).status_code == 401


def test_revoked_tokens_and_tokens_of_another_scope_are_nobody(counter: Counter) -> None:
    account = counter.account()
    elsewhere, here = counter.token(account, "admin:keys"), counter.token(account, TOKEN_SCOPE)
    client = counter.signed_in()
    client.post("/tokens/revoke")

    for headers in (bearer(elsewhere), bearer(here), bearer(""), {"Authorization": "Basic eDp5"}, {}):
        answer = client.get("/api/v1/projects", headers=headers)  # its cookie counts for nothing here
        assert (answer.status_code, answer.json["error"]["title"]) == (401, "Sign in first")
