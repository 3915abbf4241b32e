"""The cookie that a session is known by."""

from __future__ import annotations

from typing import Literal

from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from backend.doorway.arriving import came_by_tls


class Cookies(SecureCookieSessionInterface):
    """Signed cookies that scripts cannot read, sent back to this site alone, and over TLS only where there is TLS."""

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        return came_by_tls()


def install(app: Flask, name: str, *, key: bytes, same_site: Literal["Lax", "Strict"]) -> None:
    """Give `app` its session cookie, signed with `key`."""
    app.session_interface = Cookies()
    app.config.update(
        SECRET_KEY=key,
        SESSION_COOKIE_NAME=name,
        SESSION_COOKIE_SAMESITE=same_site,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
    )
