"""The pages of signing in, as a browser sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyotp
import pytest
from admin_console import OFFICER, PASSWORD, Console, opened, secret_on, type_password
from flask.testing import FlaskClient
from intake_counter import Clock
from openid_provider import agree, honest
from werkzeug.test import TestResponse

from backend.admin.auth import NOBODY
from backend.admin.sign_in import STATE_COOKIE
from backend.errors import ConfigError, ForbiddenError


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    with opened(tmp_path) as console:
        yield console


def test_the_first_officer_signs_in_with_what_was_printed_and_a_new_phone(console: Console) -> None:
    first = console.accounts.ensure_officer(now=console.clock())
    assert first is not None
    client = console.browser()
    assert client.get("/").location == "/sign-in"
    assert type_password(client, *first).location == "/sign-in/code"
    page = client.get("/sign-in/code").text
    phone = pyotp.TOTP(secret_on(page))
    assert "<svg" in page
    assert client.post("/sign-in/code", data={"code": "123"}).status_code == 403
    entered = client.post("/sign-in/code", data={"code": phone.at(console.clock())})
    assert entered.location == "/account/password"
    for path in ("/", "/keys", "/account"):
        assert client.get(path).location == "/account/password", path
    differing = client.post("/account/password", data={"new": PASSWORD, "again": PASSWORD + "!"})
    assert (differing.status_code, "differ" in differing.text) == (403, True)
    assert "at least 12 characters" in client.post("/account/password", data={"new": "short", "again": "short"}).text
    assert client.post("/account/password", data={"new": PASSWORD, "again": PASSWORD}).location == "/"
    assert client.get("/").status_code == 200
    account_id = console.accounts.accounts()[0].account_id
    assert [action for action, target in console.events() if target == account_id] == [
        "sign_in.refused.code",
        "second_factor.enrolled",
        "sign_in.accepted",
        "password.changed",
    ]


def test_a_phone_that_was_set_up_is_asked_for_the_next_time(console: Console) -> None:
    account = console.account()
    client = console.browser()
    type_password(client, OFFICER)
    phone = pyotp.TOTP(secret_on(client.get("/sign-in/code").text))
    client.post("/sign-in/code", data={"code": phone.at(console.clock())})
    client.post("/sign-out")
    console.clock.forward(seconds=60)
    type_password(client, OFFICER)
    page = client.get("/sign-in/code").text
    assert ('id="secret"' in page, "<svg class" in page) == (False, False)
    assert client.post("/sign-in/code", data={"code": phone.at(console.clock())}).location == "/"
    assert console.accounts.account(account.account_id).enrolled


def test_the_key_that_a_stranger_saw_first_is_not_the_owners(console: Console) -> None:
    """Somebody who learned a one-time password gets no phone of their own into the account behind its owner's back."""
    console.account()
    stranger, owner = console.browser(), console.browser()
    type_password(stranger, OFFICER)
    strangers = pyotp.TOTP(secret_on(stranger.get("/sign-in/code").text))
    type_password(owner, OFFICER)
    owners = pyotp.TOTP(secret_on(owner.get("/sign-in/code").text))
    assert strangers.secret != owners.secret
    late = stranger.post("/sign-in/code", data={"code": strangers.at(console.clock())})
    assert (late.status_code, "elsewhere meanwhile" in late.text) == (403, True)
    assert owner.post("/sign-in/code", data={"code": owners.at(console.clock())}).status_code == 302
    console.clock.forward(seconds=60)
    type_password(stranger, OFFICER)
    again = stranger.post("/sign-in/code", data={"code": strangers.at(console.clock())})
    assert again.status_code == 403


def test_a_reload_shows_the_same_key(console: Console) -> None:
    console.account()
    client = console.browser()
    type_password(client, OFFICER)
    assert secret_on(client.get("/sign-in/code").text) == secret_on(client.get("/sign-in/code").text)


def test_no_secret_of_a_phone_lies_in_a_database(console: Console, tmp_path: Path) -> None:
    console.account()
    client = console.browser()
    type_password(client, OFFICER)
    secret = secret_on(client.get("/sign-in/code").text)
    client.post("/sign-in/code", data={"code": pyotp.TOTP(secret).at(console.clock())})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    raw = pyotp.TOTP(secret).byte_secret()
    assert files
    for path in files:
        data = path.read_bytes()
        assert secret.encode() not in data
        assert raw not in data


def test_a_wrong_password_and_an_unknown_person_look_alike(console: Console) -> None:
    console.with_phone()
    seen = []
    for email in (OFFICER, "nobody@example.org"):
        answer = type_password(console.browser(), email, "guess")
        assert answer.status_code == 403
        seen.append(re.sub(r'name="csrf_token" value="[^"]*"', "", answer.text.replace(email, "")))
    assert seen[0] == seen[1]


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(console: Console) -> None:
    console.app.config["WTF_CSRF_ENABLED"] = True
    plain = console.app.test_client().get("/sign-in").headers["Set-Cookie"]
    behind_tls = console.app.test_client().get("/sign-in", headers={"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]
    assert plain.startswith("g2face_admin=")
    assert "HttpOnly" in plain
    assert "SameSite=Strict" in plain
    assert ("Secure" in plain, "Secure" in behind_tls) == (False, True)  # it would never come back over plain HTTP


def test_no_form_is_taken_from_another_site(console: Console) -> None:
    account = console.with_phone()
    client = console.signed_in(account)
    console.app.config["WTF_CSRF_ENABLED"] = True
    forms = [rule for rule in console.app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    forms = [rule for rule in forms if not rule.rule.startswith("/api/")]  # which knows no cookie
    assert len(forms) > 6
    for rule in forms:
        path = re.sub(r"<[^>]*>", "x", rule.rule)
        answer = client.post(path, data={})
        assert (answer.status_code, "too old" in answer.text) == (400, True), path
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/code"])
def test_guessing_is_slowed_down(console: Console, path: str) -> None:
    client = console.browser()
    seen = [client.post(path, data={"email": "x@example.org"}).status_code for _ in range(11)]
    assert (429 in seen[:10], seen[10]) == (False, 429)


def test_nothing_of_it_is_kept_by_a_browser_or_a_proxy(console: Console) -> None:
    console.account()
    client = console.browser()
    type_password(client, OFFICER)
    for path in ("/sign-in", "/sign-in/code", "/"):
        assert client.get(path).headers["Cache-Control"] == "no-store", path


def test_tokens_are_made_listed_and_revoked(console: Console, tmp_path: Path) -> None:
    account = console.with_phone(OFFICER, "auditor", "approver")
    client = console.signed_in(account)
    page = client.post("/account/tokens", data={"scope": ["admin:audit", "admin:approve"], "days": "30"}).text
    token = page.split('id="token">')[1].split("<")[0]
    assert console.accounts.tokens.verify(token, now=console.clock()).scopes == {"admin:audit", "admin:approve"}
    listed = client.get("/account").text
    assert ("admin:approve admin:audit" in listed, token in listed) == (True, False)
    (kept,) = console.accounts.tokens.of(account.account_id)
    assert client.post(f"/account/tokens/{kept.token_id}/revoke").location == "/account"
    with pytest.raises(ForbiddenError):
        console.accounts.tokens.verify(token, now=console.clock())
    assert token.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"scope": "admin:keys", "days": "30"}, 403),
        ({"scope": "intake", "days": "30"}, 400),
        ({"scope": "admin:audit", "days": "91"}, 403),
        ({"scope": "admin:audit", "days": "x"}, 403),
        ({"days": "30"}, 403),
    ],
)
def test_a_token_that_nobody_may_have_is_refused(console: Console, form: dict[str, str], status: int) -> None:
    account = console.with_phone(OFFICER, "auditor")
    assert console.signed_in(account).post("/account/tokens", data=form).status_code == status
    assert console.accounts.tokens.of(account.account_id) == []


def test_nobody_revokes_anothers_token(console: Console) -> None:
    account, other = console.with_phone(), console.with_phone("other@example.org")
    token, secret = console.accounts.tokens.issue(
        other.account_id, scopes=["admin:keys"], expires_at=None, now=console.clock()
    )
    assert console.signed_in(account).post(f"/account/tokens/{token.token_id}/revoke").status_code == 403
    assert console.accounts.tokens.verify(secret, now=console.clock()) == token


JANE = ("jane-7", {"email": "jane@example.org", "email_verified": True})
JOE = ("joe-1", {"email": "joe@example.org"})


@pytest.fixture
def with_provider(tmp_path: Path) -> Iterator[Console]:
    """An admin with a provider that knows Jane, and Joe, whose address it has not verified."""
    with honest(JANE, JOE) as issuer:
        options = {"oidc_issuer": issuer, "oidc_client_id": "g2face", "oidc_client_secret": "s3cret"}
        with opened(tmp_path, clock=Clock(datetime.now(UTC)), **options) as console:
            yield console


def through_provider(client: FlaskClient, subject: str) -> TestResponse:
    """What a browser gets when the provider sends it back."""
    address = client.get("/sign-in/provider").location
    assert address is not None
    code, state = agree(address, subject)
    return client.get(f"/sign-in/provider/back?code={code}&state={state}")


def test_a_provider_signs_in_whom_it_has_verified_and_its_factors_count(with_provider: Console) -> None:
    account, _ = with_provider.accounts.create("jane@example.org", roles=["auditor"], now=with_provider.clock())
    client = with_provider.browser()
    assert "organisation" in client.get("/sign-in").text
    answer = through_provider(client, "jane-7")
    assert (answer.status_code, answer.headers["Refresh"]) == (200, "0; url=/")
    assert client.get("/").status_code == 200, "neither a phone nor a password of their own is asked for"
    events = [("account.provider_known", account.account_id), ("sign_in.accepted_by_provider", account.account_id)]
    assert with_provider.events() == events
    assert with_provider.accounts.account(account.account_id).openid


@pytest.mark.parametrize(
    ("email", "subject", "roles"),
    [
        ("somebody@example.org", "jane-7", ["auditor"]),  # no account of this address
        ("joe@example.org", "joe-1", ["auditor"]),  # an address that nobody has verified
        ("jane@example.org", "jane-7", ["manager"]),  # no business here
    ],
)
def test_a_provider_lets_in_nobody_who_has_nothing_to_do_here(
    with_provider: Console, email: str, subject: str, roles: list[str]
) -> None:
    account, _ = with_provider.accounts.create(email, roles=roles, now=with_provider.clock())
    client = with_provider.browser()
    assert through_provider(client, subject).status_code == 403
    assert client.get("/").location == "/sign-in"
    known = [("account.provider_known", account.account_id)] if roles == ["manager"] else []
    whose = account.account_id if known else NOBODY
    assert with_provider.events() == [*known, ("sign_in.refused.provider", whose)]


def test_an_answer_of_the_provider_counts_in_the_browser_that_asked_alone(with_provider: Console) -> None:
    """Otherwise a link could sign somebody in as the person who sent it."""
    with_provider.accounts.create("jane@example.org", roles=["auditor"], now=with_provider.clock())
    attacker, victim = with_provider.browser(), with_provider.browser()
    address = attacker.get("/sign-in/provider").location
    assert address is not None
    code, state = agree(address, "jane-7")
    victim.get("/sign-in/provider")  # they may have begun something themselves
    answer = victim.get(f"/sign-in/provider/back?code={code}&state={state}")
    assert (answer.status_code, "another browser" in answer.text) == (403, True)
    assert victim.get("/").location == "/sign-in"


def test_an_answer_of_the_provider_counts_once(with_provider: Console) -> None:
    with_provider.accounts.create("jane@example.org", roles=["auditor"], now=with_provider.clock())
    client = with_provider.browser()
    address = client.get("/sign-in/provider").location
    assert address is not None
    code, state = agree(address, "jane-7")
    kept = client.get_cookie(STATE_COOKIE, path="/sign-in/provider")
    assert kept is not None
    back = f"/sign-in/provider/back?code={code}&state={state}"
    assert client.get(back).status_code == 200
    client.post("/sign-out")
    client.set_cookie(STATE_COOKIE, kept.value, path="/sign-in/provider")
    assert client.get(back).status_code == 403
    assert client.get("/").location == "/sign-in"


@pytest.mark.parametrize(
    "query", ["", "error=access_denied&state=x", "code=x", "state=x", "code=x&state=%00", "code=x&state=é"]
)
def test_an_answer_that_is_none_lets_nobody_in(with_provider: Console, query: str) -> None:
    client = with_provider.browser()
    client.get("/sign-in/provider")
    assert client.get(f"/sign-in/provider/back?{query}").status_code == (400 if "%00" in query else 403)
    assert client.get("/").location == "/sign-in"


def test_a_provider_that_is_away_leaves_the_password(tmp_path: Path) -> None:
    with opened(tmp_path, oidc_issuer="http://localhost:1", oidc_client_id="g2face") as console:
        client = console.browser()
        assert client.get("/sign-in/provider").location == "/sign-in"
        assert "could not be reached" in client.get("/sign-in").text
        account = console.with_phone()
        assert console.signed_in(account).get("/").status_code == 200


def test_the_cookie_of_the_way_there_is_small_and_short_lived(with_provider: Console) -> None:
    cookie = with_provider.browser().get("/sign-in/provider").headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=Lax", "Max-Age=600", "Path=/sign-in/provider"):
        assert part in cookie


@pytest.mark.parametrize("half", [{"oidc_issuer": "https://id.example.org"}, {"oidc_client_id": "g2face"}], ids=str)
def test_half_a_provider_is_refused_at_the_start(tmp_path: Path, half: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="takes both"), opened(tmp_path, **half):
        pass


def test_without_a_provider_there_is_no_way_to_one(console: Console) -> None:
    client = console.browser()
    assert "organisation" not in client.get("/sign-in").text
    assert client.get("/sign-in/provider").status_code == 404
    assert client.get("/sign-in/provider/back?code=x&state=y").status_code == 404


def test_when_the_audit_log_is_away_nobody_gets_in(tmp_path: Path) -> None:
    with opened(tmp_path, clock=Clock()) as console:
        account = console.with_phone()
        client = console.browser()
        type_password(client, OFFICER)
        console.office.audit._engine.dispose()
        vault = tmp_path / "vault.sqlite3"
        vault.rename(tmp_path / "away")
        (tmp_path / "vault.sqlite3").mkdir()
        assert client.post("/sign-in/code", data={"code": console.code(account)}).status_code == 503
        assert client.get("/").location == "/sign-in/code"


@pytest.mark.parametrize(("hops", "counted"), [(0, "together"), (1, "apart")])
def test_tries_are_counted_by_who_sends_them_as_far_as_that_is_known(tmp_path: Path, hops: int, counted: str) -> None:
    with opened(tmp_path, trusted_proxies=hops) as console:
        client = console.browser()

        def tries(address: str, number: int = 10) -> list[int]:
            noted = {"X-Forwarded-For": f"198.51.100.7, {address}"}
            form = {"email": "x@example.org"}
            return [client.post("/sign-in", data=form, headers=noted).status_code for _ in range(number)]

        assert 429 not in tries("203.0.113.1")
        assert (429 in tries("203.0.113.2")) == (counted == "together")
        assert tries("203.0.113.1", 1) == [429]
