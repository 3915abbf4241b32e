"""Headers that every answer has, unless it has set them itself."""

from __future__ import annotations

from flask import Blueprint, Flask, Response

from backend.doorway import headers


def application() -> Flask:
    app = Flask(__name__)
    app.after_request(headers.harden)
    app.add_url_rule("/", "page", view_func=lambda: "page")
    app.add_url_rule("/pictures", "pictures", view_func=lambda: Response("page", headers=headers.WITH_PICTURES))
    static = Blueprint("shared", __name__)
    static.add_url_rule("/shared/x.css", "static", lambda: "style")
    app.register_blueprint(static)
    return app


def test_nothing_is_loaded_sent_framed_guessed_or_kept() -> None:
    answer = application().test_client().get("/")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_page_may_hold_pictures_itself_and_nothing_more() -> None:
    client = application().test_client()
    with_pictures = client.get("/pictures").headers["Content-Security-Policy"]
    assert (
        with_pictures.replace("img-src 'self' data:", "img-src 'self'")
        == client.get("/").headers["Content-Security-Policy"]
    )


def test_styles_may_be_kept() -> None:
    assert "Cache-Control" not in application().test_client().get("/shared/x.css").headers
