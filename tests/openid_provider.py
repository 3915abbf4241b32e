"""OpenID providers on a free port: an honest one that knows PKCE, and one that says whatever a test wants."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import authlib.deprecate  # noqa: F401 - it switches its warnings on when it is first loaded
import requests
from flask import Flask, Response, jsonify, redirect, request
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug.serving import make_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses an older face of the library that it signs with
    import oidc_provider_mock

Claims = dict[str, Any]


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of `app` on a free port."""
    server = make_server("localhost", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()


@contextmanager
def honest(*people: tuple[str, Claims]) -> Iterator[str]:
    """A provider that signs in whom it is told, by subject and claims; a code whose verifier is wrong is refused."""
    users = [oidc_provider_mock.User(sub=subject, claims=claims) for subject, claims in people]
    app = oidc_provider_mock.app(require_nonce=True, user_claims=users)
    challenges: dict[str, str] = {}

    @app.after_request
    def remember(answer: Response) -> Response:
        code = parse_qs(urlsplit(answer.headers.get("Location", "")).query).get("code")
        if code and request.args.get("code_challenge_method") == "S256":
            challenges[code[0]] = request.args["code_challenge"]
        return answer

    @app.before_request
    def check() -> tuple[Response, int] | None:
        if request.path != "/oauth2/token":
            return None
        digest = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
        expected = challenges.pop(request.form.get("code", ""), None)
        if expected == _base64(digest):
            return None
        return jsonify(error="invalid_grant"), 400

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "get_jwt_config", DeprecationWarning)
        with served(app) as address:
            yield address


def agree(address: str, subject: str) -> tuple[str, str]:
    """What the person does on the honest provider's page: (the code, the state) that it sends the browser back with."""
    answer = requests.post(address, data={"sub": subject}, allow_redirects=False, timeout=10)
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    return query["code"][0], query["state"][0]


@dataclass
class Crooked:
    """What a provider says, and what of it a test has bent: `claims` go over the right ones, None leaves one out."""

    address: str = ""
    client_id: str = "g2face"
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "1", "use": "sig"}))
    signing: Any = None
    header: Claims = field(default_factory=lambda: {"alg": "RS256", "kid": "1"})
    claims: Claims = field(default_factory=dict)
    configuration: Claims = field(default_factory=dict)
    userinfo: Claims | None = None
    nonce: str = ""
    token_requests: list[Claims] = field(default_factory=list)
    token_answer: Callable[[], Any] | None = None
    bend: Callable[[str], str] = lambda token: token

    def configuration_now(self) -> Claims:
        """Its configuration."""
        said = {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/jwks",
        }
        return _over(said | ({"userinfo_endpoint": f"{self.address}/me"} if self.userinfo else {}), self.configuration)

    def id_token(self) -> str:
        """Its id token."""
        now = int(time.time())
        said = {
            "iss": self.address,
            "sub": "jane-7",
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
            "email": "jane@example.org",
            "email_verified": True,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of these tokens are made to be unsafe
            key = self.signing or self.key
            return self.bend(
                jwt.encode(self.header, _over(said, self.claims), key, algorithms=["RS256", "HS256", "none"])
            )


@contextmanager
def crooked() -> Iterator[Crooked]:
    """A provider that says what it is told to."""
    provider, app = Crooked(), Flask(__name__)

    @app.get("/.well-known/openid-configuration")
    def configuration() -> Response:
        return jsonify(provider.configuration_now())

    @app.get("/authorize")
    def authorize() -> Any:
        return redirect(f"{request.args['redirect_uri']}?code=c&state={request.args['state']}")

    @app.post("/token")
    def token() -> Any:
        shown = {"authorization": request.headers["Authorization"]} if "Authorization" in request.headers else {}
        provider.token_requests.append(request.form.to_dict() | shown)
        if provider.token_answer is not None:
            return provider.token_answer()
        return jsonify(access_token="a", token_type="Bearer", id_token=provider.id_token())

    @app.get("/jwks")
    def jwks() -> Response:
        return jsonify(KeySet([provider.key]).as_dict(private=False))

    @app.get("/me")
    def me() -> Any:
        return jsonify(provider.userinfo) if request.headers.get("Authorization") == "Bearer a" else ("", 401)

    with served(app) as provider.address:
        yield provider


def signed_with_the_public_key(token: str, key: RSAKey) -> str:
    """The same claims, signed as with a shared secret that is the public key: for verifiers that believe the header."""
    header = _base64(json.dumps({"alg": "HS256", "kid": "1"}).encode())
    signed = f"{header}.{token.split('.')[1]}"
    return f"{signed}.{_base64(hmac.digest(key.as_pem(private=False), signed.encode(), 'sha256'))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _over(said: Claims, bent: Claims) -> Claims:
    return {name: value for name, value in (said | bent).items() if value is not None}
