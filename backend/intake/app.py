"""The intake as a web application: pages for project managers, JSON for their programs, and one table of errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask, jsonify, render_template
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from backend import logs
from backend.accounts import Accounts
from backend.doorway import arriving, cookies, headers, style
from backend.errors import (
    BackendError,
    ConfigError,
    CustodyError,
    ForbiddenError,
    IntakeError,
    LabelStudioError,
    LedgerError,
    LedgerUnavailableError,
    QueueError,
    StorageError,
)
from backend.intake import api, pages, words
from backend.intake.auth import Door, UnknownCallerError
from backend.intake.bodies import InMemoryRequest
from backend.intake.collecting import Collecting
from backend.intake.desk import Desk

# The first that fits counts: (error, HTTP status, title, whether its message is for the person who asked).
_ERRORS: tuple[tuple[type[BackendError], int, str, bool], ...] = (
    (IntakeError, 400, "That did not work", True),
    (UnknownCallerError, 401, "Sign in first", True),
    (ForbiddenError, 403, "Not allowed", True),
    (LedgerUnavailableError, 503, "Not available just now", False),
    (LedgerError, 404, "Not found", True),
    (LabelStudioError, 502, "Label Studio", True),
    (ConfigError, 503, "Not set up", True),
    (QueueError, 503, "Not available just now", False),
    (StorageError, 503, "Not available just now", False),
    (CustodyError, 503, "Not available just now", False),
)
_LATER = "Something this page needs cannot be reached just now. Nothing is lost; try again in a minute."

_log = logs.get(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    desk: Desk,
    accounts: Accounts,
    *,
    collecting: Collecting,
    session_key: bytes,
    max_upload_bytes: int,
    trusted_proxies: int = 0,
    clock: Callable[[], datetime] = _utc_now,
) -> Flask:
    """The application. session_key: what session cookies are signed with. max_upload_bytes: of one request.
    trusted_proxies: how many stand in front of it."""
    app = Flask(__name__)
    app.request_class = InMemoryRequest
    arriving.believe_proxies(app, trusted_proxies)
    cookies.install(app, "g2face_intake", key=session_key, same_site="Lax")
    app.config["MAX_CONTENT_LENGTH"] = max_upload_bytes
    app.before_request(lambda: arriving.refuse_nul(in_forms=False))
    app.jinja_env.filters |= {name: getattr(words, name) for name in words.FILTERS}
    app.jinja_env.globals["max_upload_bytes"] = max_upload_bytes
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    limiter = Limiter(get_remote_address, app=app, storage_uri="memory://", default_limits=[])
    door = Door(accounts, clock)
    machine_pages = api.blueprint(desk, door, collecting=collecting, clock=clock)
    CSRFProtect(app).exempt(machine_pages)
    app.register_blueprint(pages.blueprint(desk, door, collecting=collecting, limiter=limiter, clock=clock))
    app.register_blueprint(machine_pages)
    app.register_blueprint(style.blueprint())
    app.after_request(headers.harden)
    app.add_url_rule("/health", view_func=lambda: jsonify(status="UP"))
    _answer_errors(app)
    return app


def _answer_errors(app: Flask) -> None:
    """The one place where an error becomes an HTTP answer. No traceback leaves the process."""

    @app.errorhandler(BackendError)
    def ours(error: BackendError) -> tuple[AnyResponse | str, int]:
        status, title, is_for_them = next(
            (row[1:] for row in _ERRORS if isinstance(error, row[0])), (500, "Something went wrong", False)
        )
        if not is_for_them:
            _log.error("request failed", extra={"reason": type(error).__name__})
        return _problem(status, title, words.sentence(str(error)) if is_for_them else _LATER)

    @app.errorhandler(CSRFError)
    def forged(error: CSRFError) -> tuple[AnyResponse | str, int]:  # noqa: ARG001
        return _problem(400, "This page is too old", "You were signed out meanwhile. Reload the page and try again.")

    @app.errorhandler(HTTPException)
    def theirs(error: HTTPException) -> tuple[AnyResponse | str, int]:
        status = error.code or 500
        return _problem(status, *_HTTP_WORDS.get(status, (error.name, "This page cannot do that.")))

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> tuple[AnyResponse | str, int]:
        _log.error("request failed unforeseen", extra={"reason": type(error).__name__})
        return _problem(500, "Something went wrong", "It was written to the log. Try again, or ask who runs this.")


_HTTP_WORDS = {
    400: ("That did not work", "This request cannot be read."),
    404: ("Not found", "There is nothing at this address."),
    405: ("Not found", "This address takes other requests."),
    413: ("Too large", "That is more than may be handed in at once. Split it, or use the command line."),
    415: ("Not JSON", "The request must be JSON, with Content-Type: application/json."),
    429: ("Too many tries", "Wait a minute before you sign in again."),
}


def _problem(status: int, title: str, message: str) -> tuple[AnyResponse | str, int]:
    if pages.wants_json():
        return jsonify(error={"title": title, "message": message}), status
    return render_template("problem.html", title=title, message=message), status
