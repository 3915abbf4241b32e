"""Signing in through an OpenID provider: code flow with PKCE, state and nonce. The only door to authlib."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from backend.errors import ForbiddenError

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
_TIMEOUT_S = 5.0
_LEEWAY_S = 60
_LASTS = timedelta(minutes=10)
_MOST_AT_ONCE = 1000
_UNREACHABLE = "the provider could not be reached, or said something that is not understood"
_UNBELIEVABLE = "what the provider said cannot be believed"


class ProviderError(ForbiddenError):
    """The provider could not be reached, or what it or somebody in its name said does not hold."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a provider has signed in. verified_email: their address, if the provider vouches for it."""

    issuer: str
    subject: str = field(repr=False)
    verified_email: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that was begun. state: names it; nonce and verifier: what the provider and we have to show again."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    begun_at: datetime


class Provider:
    """One OpenID provider and the attempts to sign in through it, each good for one answer."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        client_secret: str | None,
        *,
        back_url: str,
        new_secret: Callable[[], str] = lambda: secrets.token_urlsafe(48),
    ) -> None:
        """issuer: its address, under which its configuration is found. back_url: where it sends people back to."""
        self._issuer, self._client_id, self._client_secret = issuer.rstrip("/"), client_id, client_secret
        self._back_url, self._new_secret = back_url, new_secret
        self._attempts: dict[str, Attempt] = {}
        self._lock = threading.Lock()

    def begin(self, *, now: datetime) -> tuple[str, str]:
        """(The provider's address to send a browser to, the state that the browser keeps). Raises `ProviderError`."""
        attempt = Attempt(self._new_secret(), self._new_secret(), self._new_secret(), now)
        with _understood(), self._client() as client:
            url, _ = client.create_authorization_url(
                self._configuration(client)["authorization_endpoint"],
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        with self._lock:
            pending = [kept for kept in self._attempts.values() if now - kept.begun_at <= _LASTS]
            self._attempts = {kept.state: kept for kept in pending[1 - _MOST_AT_ONCE :]} | {attempt.state: attempt}
        return str(url), attempt.state

    def finish(self, state: str, *, code: str, now: datetime) -> Identity:
        """Whom the provider has signed in, by the code that it sent along.

        Raises `ProviderError`, also for a state that was used, is too old or was never begun.
        """
        with self._lock:
            attempt = self._attempts.pop(state, None)
        if attempt is None or now - attempt.begun_at > _LASTS:
            raise ProviderError("this sign-in took too long: begin again")
        with _understood(), self._client() as client:
            configuration = self._configuration(client)
            client.token_endpoint_auth_method = self._shown_by(configuration)
            token = client.fetch_token(
                configuration["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                code_verifier=attempt.verifier,
                allow_redirects=False,
            )
            claims = self._claims(client, configuration, token, nonce=attempt.nonce, now=now)
            email = _verified_email(claims) or self._asked_email(client, configuration, claims["sub"])
        return Identity(claims["iss"], claims["sub"], email)

    def _client(self) -> Any:
        return OAuth2Session(
            self._client_id,
            self._client_secret,
            scope="openid email",
            redirect_uri=self._back_url,
            code_challenge_method="S256",
            default_timeout=_TIMEOUT_S,
        )

    def _shown_by(self, configuration: dict[str, Any]) -> str:
        """How the client's secret is sent: in a header, as is the rule, unless the body is all the provider takes."""
        if self._client_secret is None:
            return "none"
        taken = configuration.get("token_endpoint_auth_methods_supported", [])
        rule, exception = "client_secret_basic", "client_secret_post"
        return exception if exception in taken and rule not in taken else rule

    def _configuration(self, client: Any) -> dict[str, Any]:
        told = _get(client, f"{self._issuer}/.well-known/openid-configuration", withhold_token=True)
        if str(told["issuer"]).rstrip("/") != self._issuer:
            raise ProviderError(_UNBELIEVABLE)
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
            if self._issuer.startswith("https:") and urlsplit(told.get(name, "https:")).scheme != "https":
                raise ProviderError(_UNBELIEVABLE)
        return told

    def _claims(
        self, client: Any, configuration: dict[str, Any], token: dict[str, Any], *, nonce: str, now: datetime
    ) -> Any:
        """What the id token says, once everything about it is right."""
        keys = KeySet.import_key_set(_get(client, configuration["jwks_uri"], withhold_token=True))  # type: ignore[arg-type]
        signed = jwt.decode(token["id_token"], keys, algorithms=_ALGORITHMS)
        claims = CodeIDToken(
            signed.claims,
            signed.header,
            options={
                "iss": {"essential": True, "value": configuration["issuer"]},
                "aud": {"essential": True, "value": self._client_id},
                "sub": {"essential": True},
            },
            params={"nonce": nonce, "client_id": self._client_id, "access_token": token.get("access_token")},
        )
        claims.validate(now=int(now.timestamp()), leeway=_LEEWAY_S)
        if not isinstance(claims["sub"], str):
            raise ProviderError(_UNBELIEVABLE)
        return claims

    def _asked_email(self, client: Any, configuration: dict[str, Any], subject: str) -> str | None:
        """Their verified address, of a provider that tells it only when asked."""
        if "userinfo_endpoint" not in configuration:
            return None
        told = _get(client, configuration["userinfo_endpoint"])
        return _verified_email(told) if told.get("sub") == subject else None


def _get(client: Any, url: str, *, withhold_token: bool = False) -> dict[str, Any]:
    answer = client.get(url, withhold_token=withhold_token, allow_redirects=False)
    told = answer.json() if answer.status_code == 200 else None
    if not isinstance(told, dict):
        raise ProviderError(_UNREACHABLE)
    return told


def _verified_email(claims: Any) -> str | None:
    email = claims.get("email")
    return email if isinstance(email, str) and claims.get("email_verified") in (True, "true") else None


@contextmanager
def _understood() -> Iterator[None]:
    """What goes wrong on the way says where, to whom and with which secret: ours does not."""
    try:
        yield
    except OSError:  # every error of the HTTP client is one
        raise ProviderError(_UNREACHABLE) from None
    except (AuthlibBaseError, JoseError):
        raise ProviderError(_UNBELIEVABLE) from None
    except (KeyError, TypeError, ValueError):
        raise ProviderError(_UNREACHABLE) from None
