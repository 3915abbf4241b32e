"""What a provider says is believed only when everything about it is right."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import OctKey, RSAKey
from openid_provider import Crooked, agree, crooked, honest, served, signed_with_the_public_key

from backend.admin.openid import Identity, Provider, ProviderError

BACK = "https://admin.example.org/sign-in/provider/back"
SECRET = "s3cret-of-the-client"
JANE = ("jane-7", {"email": "jane@example.org", "email_verified": True})
JOE = ("joe-1", {"email": "joe@example.org"})


def now() -> datetime:
    return datetime.now(UTC)


def client_of(issuer: str, secret: str | None = SECRET) -> Provider:
    return Provider(issuer, "g2face", secret, back_url=BACK)


@pytest.fixture
def bent() -> Iterator[Crooked]:
    with crooked() as provider:
        yield provider


def go(bent: Crooked, secret: str | None = SECRET) -> Identity:
    """A sign-in whose nonce the crooked provider knows."""
    client = client_of(bent.address, secret)
    address, state = client.begin(now=now())
    bent.nonce = parse_qs(urlsplit(address).query)["nonce"][0]
    return client.finish(state, code="c", now=now())


# The honest one


def test_an_honest_provider_says_who_it_is() -> None:
    with honest(JANE, JOE) as issuer:
        client = client_of(issuer)
        for (subject, claims), email in ((JANE, "jane@example.org"), (JOE, None)):
            address, state = client.begin(now=now())
            code, returned = agree(address, subject)
            assert returned == state
            assert client.finish(state, code=code, now=now()) == Identity(issuer, subject, email), claims


def test_what_is_asked_for_is_a_code_with_a_challenge_a_state_and_a_nonce() -> None:
    with honest(JANE) as issuer:
        client = client_of(issuer)
        asked = [parse_qs(urlsplit(client.begin(now=now())[0]).query) for _ in range(2)]
    for query in asked:
        assert query["response_type"] == ["code"]
        assert query["code_challenge_method"] == ["S256"]
        assert query["redirect_uri"] == [BACK]
        assert query["scope"] == ["openid email"]
    for name in ("state", "nonce", "code_challenge"):
        first, second = (query[name][0] for query in asked)
        assert first != second
        assert re.fullmatch(r"[\w-]{43,}", first)


def test_somebody_elses_code_is_worth_nothing() -> None:
    """A code that was caught on its way is sent with another browser's attempt: its verifier is not the right one."""
    with honest(JANE) as issuer:
        client = client_of(issuer)
        victims, _ = client.begin(now=now())
        code, _ = agree(victims, "jane-7")
        _, thiefs_state = client.begin(now=now())
        with pytest.raises(ProviderError):
            client.finish(thiefs_state, code=code, now=now())


def test_an_answer_counts_once_and_for_ten_minutes() -> None:
    with honest(JANE) as issuer:
        client = client_of(issuer)
        address, state = client.begin(now=now())
        code, _ = agree(address, "jane-7")
        client.finish(state, code=code, now=now())
        for stale in (state, "never begun", ""):
            with pytest.raises(ProviderError, match="begin again"):
                client.finish(stale, code=code, now=now())
        _, state = client.begin(now=now())
        with pytest.raises(ProviderError, match="begin again"):
            client.finish(state, code="c", now=now() + timedelta(minutes=10, seconds=1))


def test_attempts_do_not_pile_up() -> None:
    with honest(JANE) as issuer:
        client = client_of(issuer)
        first, _ = client.begin(now=now() - timedelta(minutes=11))
        for _ in range(3):
            client.begin(now=now())
        assert len(client._attempts) == 3
        assert first


# The crooked one


def test_without_a_bend_the_crooked_provider_is_believed(bent: Crooked) -> None:
    assert go(bent) == Identity(bent.address, "jane-7", "jane@example.org")
    (asked,) = bent.token_requests
    assert asked["grant_type"] == "authorization_code"
    assert asked["redirect_uri"] == BACK
    assert len(asked["code_verifier"]) >= 43


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example.org"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": ["another-client", "third"]},
        {"aud": ["g2face", "another-client"]},  # without azp nobody knows whose it is
        {"aud": ["g2face", "another-client"], "azp": "another-client"},
        {"aud": None},
        {"azp": "another-client"},
        {"exp": int(time.time()) - 3600},
        {"exp": None},
        {"iat": int(time.time()) + 3600},
        {"iat": None},
        {"nbf": int(time.time()) + 3600},
        {"nonce": "replayed"},
        {"nonce": None},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    ],
    ids=str,
)
def test_a_token_that_is_not_ours_or_not_for_now_is_refused(bent: Crooked, claims: dict[str, object]) -> None:
    bent.claims = claims
    with pytest.raises(ProviderError):
        go(bent)


def _unsigned(bent: Crooked) -> None:
    bent.header = {"alg": "none"}
    bent.signing = OctKey.generate_key()


def _signed_by_another(bent: Crooked) -> None:
    bent.signing = RSAKey.generate_key(2048, {"kid": "1"})


def _signed_with_the_public_key(bent: Crooked) -> None:
    bent.bend = lambda token: signed_with_the_public_key(token, bent.key)


def _one_bit_changed(bent: Crooked) -> None:
    def flip(token: str) -> str:
        head, body, signature = token.split(".")
        return f"{head}.{body[:-2]}{'A' if body[-2] != 'A' else 'B'}{body[-1]}.{signature}"

    bent.bend = flip


def _cut(bent: Crooked) -> None:
    bent.bend = lambda token: token.rpartition(".")[0] + "."


def _nothing(bent: Crooked) -> None:
    bent.bend = lambda _: ""


@pytest.mark.parametrize(
    "bend", [_unsigned, _signed_by_another, _signed_with_the_public_key, _one_bit_changed, _cut, _nothing]
)
def test_a_token_that_the_provider_did_not_sign_is_refused(bent: Crooked, bend: Callable[[Crooked], None]) -> None:
    bend(bent)
    with pytest.raises(ProviderError):
        go(bent)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: ("<html>", 200),
        lambda: ("[]", 200),
        lambda: ({"access_token": "a", "token_type": "Bearer"}, 200),
        lambda: ({"error": "invalid_grant", "error_description": SECRET}, 400),
        lambda: ("", 500),
        lambda: ("", 302, {"Location": "http://localhost:1/"}),
    ],
)
def test_an_answer_that_is_none_is_refused_without_repeating_it(bent: Crooked, answer: Callable[[], object]) -> None:
    bent.token_answer = answer
    with pytest.raises(ProviderError) as refused:
        go(bent)
    assert SECRET not in str(refused.value)
    assert bent.address not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize(
    "configuration",
    [{"issuer": "https://other.example.org"}, {"issuer": None}, {"authorization_endpoint": None}],
    ids=str,
)
def test_a_configuration_of_somebody_else_is_refused(bent: Crooked, configuration: dict[str, object]) -> None:
    bent.configuration = configuration
    with pytest.raises(ProviderError):
        client_of(bent.address).begin(now=now())


@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri"])
def test_a_configuration_without_what_is_needed_is_refused(bent: Crooked, name: str) -> None:
    bent.configuration = {name: None}
    with pytest.raises(ProviderError):
        go(bent)


def test_a_provider_that_is_away_is_not_named() -> None:
    for issuer in ("http://localhost:1", "http://no-such-host.invalid"):
        with pytest.raises(ProviderError, match="could not be reached") as away:
            client_of(issuer).begin(now=now())
        assert issuer not in str(away.value)


def test_a_provider_behind_tls_does_not_send_us_off_it() -> None:
    client = client_of("https://id.example.org")
    told = {"issuer": "https://id.example.org", "authorization_endpoint": "http://id.example.org/authorize"}

    class Answers:
        status_code = 200

        def get(self, *_: object, **__: object) -> Answers:
            return self

        def json(self) -> dict[str, str]:
            return told

    with pytest.raises(ProviderError, match="believed"):
        client._configuration(Answers())


@pytest.mark.parametrize(
    ("claims", "userinfo", "email"),
    [
        ({}, None, "jane@example.org"),
        ({"email_verified": "true"}, None, "jane@example.org"),  # as some providers say it
        ({"email_verified": False}, None, None),
        ({"email_verified": None}, None, None),
        ({"email_verified": "false"}, None, None),
        ({"email": 7}, None, None),
        ({"email": None}, {"sub": "jane-7", "email": "j@example.org", "email_verified": True}, "j@example.org"),
        ({"email": None}, {"sub": "joe-1", "email": "j@example.org", "email_verified": True}, None),
        ({"email": None}, {"sub": "jane-7", "email": "j@example.org"}, None),
    ],
    ids=str,
)
def test_an_address_counts_when_the_provider_has_verified_it(
    bent: Crooked, claims: dict[str, object], userinfo: dict[str, object] | None, email: str | None
) -> None:
    bent.claims, bent.userinfo = claims, userinfo
    assert go(bent).verified_email == email


@pytest.mark.parametrize("taken", [None, ["client_secret_basic", "client_secret_post"], ["private_key_jwt"]])
def test_the_secret_goes_in_a_header(bent: Crooked, taken: list[str] | None) -> None:
    bent.configuration = {"token_endpoint_auth_methods_supported": taken}
    assert go(bent)
    (asked,) = bent.token_requests
    kind, _, shown = asked["authorization"].partition(" ")
    assert (kind, base64.b64decode(shown)) == ("Basic", f"g2face:{SECRET}".encode())
    assert "client_secret" not in asked


def test_the_secret_goes_in_the_body_where_no_header_is_taken(bent: Crooked) -> None:
    bent.configuration = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert go(bent)
    (asked,) = bent.token_requests
    assert (asked["client_id"], asked["client_secret"], "authorization" in asked) == ("g2face", SECRET, False)


def test_a_client_without_a_secret_says_its_name_alone(bent: Crooked) -> None:
    assert go(bent, secret=None)
    (asked,) = bent.token_requests
    assert (asked["client_id"], "client_secret" in asked, "authorization" in asked) == ("g2face", False, False)


def test_an_identity_shows_nobody_in_a_log() -> None:
    assert "jane" not in repr(Identity("https://id.example.org", "jane-7", "jane@example.org"))


def test_a_slash_behind_the_issuer_changes_nothing(bent: Crooked) -> None:
    bent.configuration = {"issuer": f"{bent.address}/"}
    bent.claims = {"iss": f"{bent.address}/"}
    assert go(bent).issuer == f"{bent.address}/"


def test_a_page_that_is_no_provider_is_refused() -> None:
    def page(_environ: object, start: Callable[[str, list[tuple[str, str]]], object]) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/html")])
        return [b"<html>"]

    with served(page) as address, pytest.raises(ProviderError, match="could not be reached"):
        client_of(address).begin(now=now())
