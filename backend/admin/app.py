"""The restricted endpoint as a web application: pages and API, cookies and headers around them, one table of errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from flask import Flask, abort, jsonify, redirect, render_template, request, url_for
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from backend import logs
from backend.admin import api, frame, pages, sessions, sign_in, words
from backend.admin.auth import Door, UnknownCallerError
from backend.admin.office import Office
from backend.admin.openid import Provider
from backend.admin.words import later
from backend.doorway import arriving, cookies, headers, style
from backend.errors import (
    ApprovalRequiredError,
    AuditBrokenError,
    AuditError,
    BackendError,
    BlobMissingError,
    ConfigError,
    CustodyError,
    CustodyUnavailableError,
    ForbiddenError,
    LabelStudioError,
    LedgerError,
    LedgerUnavailableError,
    MasterKeyError,
    OfficeError,
    OriginalGoneError,
    RequestMissingError,
    RequestStateError,
    SealBrokenError,
    StorageError,
)

_AWAY = later("Not available just now")
_NOT_FOUND = later("Not found")
_NOT_NOW = later("Not in this state")
# The first that fits counts: (error, HTTP status, title, whether its message is for the person who asked).
_ERRORS: tuple[tuple[type[BackendError], int, str, bool], ...] = (
    (OfficeError, 400, later("That did not work"), True),
    (UnknownCallerError, 401, later("Sign in first"), True),
    (ForbiddenError, 403, later("Not allowed"), True),
    (ApprovalRequiredError, 409, later("Not approved"), True),
    (RequestMissingError, 404, _NOT_FOUND, True),
    (RequestStateError, 409, _NOT_NOW, True),
    (OriginalGoneError, 410, later("Gone for ever"), True),
    (SealBrokenError, 409, later("It does not open"), True),
    (AuditBrokenError, 503, later("The audit log was changed"), True),
    (AuditError, 503, _AWAY, False),
    (CustodyUnavailableError, 503, _AWAY, False),
    (MasterKeyError, 503, _AWAY, False),
    (CustodyError, 400, later("That did not work"), True),
    (LedgerUnavailableError, 503, _AWAY, False),
    (LedgerError, 404, _NOT_FOUND, True),
    (LabelStudioError, 502, "Label Studio", True),
    (ConfigError, 503, later("Not set up"), True),
    (BlobMissingError, 404, _NOT_FOUND, True),
    (StorageError, 503, _AWAY, False),
)
_LATER = later("Something this needs cannot be reached just now, so nothing was done. Try again in a minute.")
_HTTP_WORDS = {
    400: (later("That did not work"), later("This request cannot be read.")),
    404: (_NOT_FOUND, later("There is nothing at this address.")),
    405: (_NOT_FOUND, later("This address takes other requests.")),
    413: (later("Too large"), later("That is more than this page takes.")),
    415: (later("That did not work"), "Send JSON, and say so: Content-Type: application/json."),  # the API alone
    429: (later("Too many tries"), later("Wait a minute before you try again.")),
}
MAX_BODY_BYTES = 64 * 1024

_log = logs.get(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    office: Office,
    door: Door,
    *,
    session_key: bytes,
    provider: Provider | None = None,
    trusted_proxies: int = 0,
    clock: Callable[[], datetime] = _utc_now,
) -> Flask:
    """The application. session_key: what session cookies are signed with. provider: an OpenID provider that may sign
    people in. trusted_proxies: how many stand in front of it."""
    app = Flask(__name__)
    arriving.believe_proxies(app, trusted_proxies)
    cookies.install(app, sessions.COOKIE, key=session_key, same_site="Strict")
    app.before_request(arriving.refuse_nul)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    _speak_both_languages(app)
    app.context_processor(lambda: frame.around() | {"alone": office.rules.approvals == 0})
    csrf, programs = CSRFProtect(app), api.blueprint(office, door, clock=clock)
    csrf.exempt(programs)
    limiter = Limiter(get_remote_address, app=app, storage_uri="memory://", default_limits=[])
    app.register_blueprint(sign_in.blueprint(door, limiter=limiter, provider=provider))
    app.register_blueprint(pages.blueprint(office, door, clock=clock))
    app.register_blueprint(programs)
    app.register_blueprint(style.blueprint())
    app.after_request(headers.harden)
    app.add_url_rule("/health", view_func=lambda: jsonify(status="UP"))
    _answer_errors(app)
    return app


def _speak_both_languages(app: Flask) -> None:
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {name: getattr(words, name) for name in words.FILTERS}
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(words.gettext, words.ngettext, newstyle=True)  # type: ignore[attr-defined]

    @app.get("/language/<code>")
    def speak(code: str) -> AnyResponse:
        """Keep the language in a cookie, and go back to the page it was chosen on."""
        if code not in words.LANGUAGES:
            abort(404)
        answer = redirect(_page_before())
        answer.set_cookie(
            words.COOKIE, code, max_age=31_536_000, httponly=True, samesite="Strict", secure=arriving.came_by_tls()
        )
        return answer


def _page_before() -> str:
    """The page of ours that the browser came from, by path alone: nothing leads from here to another site."""
    try:
        came = urlsplit(request.referrer or "")
    except ValueError:
        return url_for("pages.overview")
    if came.netloc != request.host or not came.path.startswith("/") or came.path.startswith("//"):
        return url_for("pages.overview")
    return f"{came.path}?{came.query}" if came.query else came.path


def _answer_errors(app: Flask) -> None:
    """The one place where an error becomes an HTTP answer. No traceback leaves the process."""

    @app.errorhandler(BackendError)
    def ours(error: BackendError) -> tuple[AnyResponse | str, int]:
        status, title, is_for_them = next(
            (row[1:] for row in _ERRORS if isinstance(error, row[0])), (500, later("Something went wrong"), False)
        )
        if not is_for_them:
            _log.error("request failed", extra={"reason": type(error).__name__})
        return _problem(status, title, f"{words.capital(str(error)).removesuffix('.')}." if is_for_them else _LATER)

    @app.errorhandler(CSRFError)
    def forged(error: CSRFError) -> tuple[AnyResponse | str, int]:  # noqa: ARG001
        meanwhile = later("You were signed out meanwhile. Reload the page and try again.")
        return _problem(400, later("This page is too old"), meanwhile)

    @app.errorhandler(HTTPException)
    def theirs(error: HTTPException) -> tuple[AnyResponse | str, int]:
        status = error.code or 500
        return _problem(status, *_HTTP_WORDS.get(status, (error.name, later("This page cannot do that."))))

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> tuple[AnyResponse | str, int]:
        _log.error("request failed unforeseen", extra={"reason": type(error).__name__})
        told = later("It was written to the log. Try again, or ask who runs this.")
        return _problem(500, later("Something went wrong"), told)


def _problem(status: int, title: str, message: str) -> tuple[AnyResponse | str, int]:
    """Programs are answered in English, so that they can rely on it."""
    if request.path.startswith("/api/"):
        answer = jsonify(error={"title": title, "message": message})
        if status == 401:
            answer.headers["WWW-Authenticate"] = "Bearer"
        return answer, status
    told = {"title": words.gettext(title), "message": words.gettext(message)}
    return render_template("problem.html", **told), status
