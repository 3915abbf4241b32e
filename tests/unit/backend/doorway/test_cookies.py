"""The cookie of a session is out of reach of scripts and other sites."""

from __future__ import annotations

from typing import Literal

import pytest
from flask import Flask, session

from backend.doorway import cookies


@pytest.mark.parametrize("same_site", ["Lax", "Strict"])
def test_a_cookie_is_for_this_site_alone_and_over_tls_where_there_is_tls(same_site: Literal["Lax", "Strict"]) -> None:
    app = Flask(__name__)
    cookies.install(app, "g2face_test", key=b"k" * 32, same_site=same_site)
    app.add_url_rule("/", "page", view_func=lambda: session.update(name="x") or "")
    plain = app.test_client().get("/").headers["Set-Cookie"]
    by_tls = app.test_client().get("/", headers={"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]
    assert plain.startswith("g2face_test=")
    assert "HttpOnly" in plain
    assert f"SameSite={same_site}" in plain
    assert ("Secure" in plain, "Secure" in by_tls) == (False, True)
