"""Port 9090: what Label Studio calls, and where its users' browsers fetch anonymized images.

Label Studio waits for every answer, and shows nobody an error: /health has to come within a second, /setup within
three, and a problem with one task must not become a problem of the request. Nothing that a caller sends is logged.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, request
from werkzeug.exceptions import BadRequest, Gone, HTTPException, NotFound, ServiceUnavailable, Unauthorized

from backend import logs
from backend.errors import BackendError, BlobMissingError, LedgerError, StorageError
from backend.ledger.ledger import Ledger
from backend.ledger.records import OutputFormat, Photo, PhotoState
from backend.metrics import CONTENT_TYPE, Metrics
from backend.plugin.links import Links, Standing
from backend.plugin.placeholder import pending_png
from backend.plugin.predictor import Predictor
from backend.storage import BlobStore

_MAX_BODY_BYTES = 64 * 1024 * 1024  # Label Studio asks about all selected tasks at once
_MEDIA_TYPES: dict[OutputFormat, str] = {"png": "image/png", "webp": "image/webp", "jpeg": "image/jpeg"}
_SHOWN = frozenset({PhotoState.READY, PhotoState.PUBLISHED})
_PENDING = frozenset({PhotoState.WAITING, PhotoState.WORKING})
# A browser may keep an image for the time somebody works on it, no longer: it can be withdrawn.
_CACHED = "private, max-age=3600"
_STATUSES: dict[type[BackendError], type[HTTPException]] = {
    BlobMissingError: NotFound,
    StorageError: ServiceUnavailable,
    LedgerError: ServiceUnavailable,
}

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Guard:
    """How Label Studio shows that it is the one we know.

    path_secret: a first part of every path that only it knows; the one way that covers webhooks too. user, password:
    basic authentication, which Label Studio leaves out of webhooks. Without either, the network has to be the guard.
    """

    path_secret: str | None = None
    user: str | None = None
    password: str | None = None

    def admits(self, path_secret: str | None) -> bool:
        """Whether the secret in the path is the right one."""
        return _same(path_secret or "", self.path_secret or "")

    def knows(self, user: str | None, password: str | None) -> bool:
        """Whether the credentials are right, or none are asked for."""
        if self.user is None and self.password is None:
            return True
        right_user, right_password = _same(user or "", self.user or ""), _same(password or "", self.password or "")
        return right_user and right_password


@dataclass(frozen=True, slots=True)
class Images:
    """What the image route needs."""

    ledger: Ledger
    blobs: BlobStore
    links: Links
    allowed_origins: Collection[str]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def create_app(predictor: Predictor, images: Images, *, guard: Guard, metrics: Metrics) -> Flask:
    """The plugin's web application."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY_BYTES
    backend = _backend_routes(predictor, guard, metrics)
    app.register_blueprint(backend, url_prefix="/<path_secret>" if guard.path_secret else None)
    app.register_blueprint(_image_routes(images))
    app.add_url_rule("/health", "alive", lambda: jsonify(status="UP"))
    app.register_error_handler(BackendError, _refuse_backend)
    app.register_error_handler(HTTPException, _refuse)
    app.register_error_handler(Exception, _fail)
    return app


def _backend_routes(predictor: Predictor, guard: Guard, metrics: Metrics) -> Blueprint:
    routes = Blueprint("backend", __name__)

    @routes.url_value_preprocessor
    def admit(endpoint: str | None, values: dict[str, Any] | None) -> None:  # noqa: ARG001
        if not guard.admits((values or {}).pop("path_secret", None)):
            raise NotFound

    routes.before_request(guard_requests(guard))

    @routes.get("/health")
    def health() -> Response:
        return jsonify(status="UP")

    @routes.post("/setup")
    def setup() -> Response:
        # The body holds a token of the project's creator. We have our own, so it is not even read.
        return jsonify(model_version=predictor.model_version)

    @routes.route("/versions", methods=["GET", "POST"])
    def versions() -> Response:
        return jsonify(versions=[predictor.model_version])

    @routes.post("/predict")
    def predict() -> Response:
        body = _body()
        tasks, label_config = body.get("tasks"), body.get("label_config")
        if not isinstance(tasks, list) or not isinstance(label_config, str):
            raise BadRequest("tasks and label_config are needed")
        with metrics.predict():
            results = predictor.predict(tasks, label_config)
        return jsonify(results=results, model_version=predictor.model_version)

    @routes.post("/webhook")
    def webhook() -> Response:
        take_hint(predictor, _body())
        return jsonify(status="ok")

    @routes.get("/metrics")
    def exposition() -> Response:
        return Response(metrics.exposition(), content_type=CONTENT_TYPE)

    return routes


def guard_requests(guard: Guard) -> Callable[[], None]:
    """A function for `before_request` that raises Unauthorized when the credentials are wrong."""

    def check() -> None:
        credentials = request.authorization
        user, password = (credentials.username, credentials.password) if credentials else (None, None)
        # With a secret in its path, a webhook needs no credentials: Label Studio would not send them.
        if not guard.knows(user, password) and not (guard.path_secret and request.path.endswith("/webhook")):
            raise Unauthorized

    return check


def take_hint(predictor: Predictor, body: dict[str, Any]) -> None:
    """Understand a webhook's body: only that tasks were created matters to us. Anything else is left alone."""
    project, tasks = body.get("project"), body.get("tasks")
    if body.get("action") != "TASKS_CREATED" or not isinstance(project, dict) or not isinstance(tasks, list):
        return
    labelstudio_id, label_config = project.get("id"), project.get("label_config")
    if isinstance(labelstudio_id, int) and isinstance(label_config, str):
        predictor.notice(labelstudio_id, tasks, label_config)


def _image_routes(images: Images) -> Blueprint:
    routes = Blueprint("images", __name__)
    pending = pending_png()

    @routes.get("/images/<image_key>")
    def image(image_key: str) -> Response:
        standing = images.links.check(
            image_key, expiry=request.args.get("e", ""), signature=request.args.get("s", ""), now=images.now()
        )
        if standing is Standing.LAPSED:
            raise Gone
        photo = images.ledger.photo_of_image(image_key) if standing is Standing.GOOD else None
        if photo is not None and photo.state in _SHOWN and photo.image_sha256 and photo.image_format:
            return _image(images.blobs, photo, photo.image_sha256, media_type=_MEDIA_TYPES[photo.image_format])
        if photo is not None and photo.state in _PENDING:
            return Response(pending, content_type="image/png", headers={"Cache-Control": "no-store"})
        raise NotFound

    @routes.after_request
    def open_to_label_studio(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin is not None and origin in images.allowed_origins:
            response.headers["Access-Control-Allow-Origin"] = origin
        return response

    return routes


def _image(blobs: BlobStore, photo: Photo, image_sha256: str, *, media_type: str) -> Response:
    response = Response(content_type=media_type, headers={"Cache-Control": _CACHED})
    response.set_etag(image_sha256)
    if not request.if_none_match.contains(image_sha256):
        response.set_data(blobs.get(image_sha256))
        _log.debug("image served", extra={"photo_id": photo.photo_id})
    response.make_conditional(request, accept_ranges=True, complete_length=len(response.get_data()))
    return response


def _body() -> dict[str, Any]:
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        raise BadRequest("a JSON object is needed")
    return body


def _refuse_backend(error: BackendError) -> Response:
    refusal = next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), ServiceUnavailable)
    _log.warning("request refused", extra={"reason": type(error).__name__})
    return _refuse(refusal())


def _refuse(error: HTTPException) -> Response:
    code = error.code or 500
    response = jsonify(error=error.name)
    response.status_code = code
    if code == Unauthorized.code:
        response.headers["WWW-Authenticate"] = 'Basic realm="ML backend"'
    return response


def _fail(error: Exception) -> Response:
    # The edge of the process: whatever it was, its text may quote what a caller sent.
    _log.error("request failed", extra={"reason": type(error).__name__})
    response = jsonify(error="Internal Server Error")
    response.status_code = 500
    return response


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
