"""The pages of a project manager: every one a form that works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, g, jsonify, make_response, redirect, render_template, request, url_for
from flask_limiter import Limiter
from werkzeug.wrappers import Response as AnyResponse

from backend.accounts import Account
from backend.errors import ConfigError, ForbiddenError, IntakeError, LabelStudioError
from backend.intake import bodies, pilot_pages, policies, words
from backend.intake.auth import Door, UnknownCallerError
from backend.intake.collecting import Collecting
from backend.intake.desk import Desk
from backend.labelstudio.leaks import Leaks

SIGN_IN_RATE = "30 per minute"
_OPEN_TO_ALL = frozenset({"pages.sign_in", "pages.sign_in_now"})
_BEFORE_A_PASSWORD = frozenset({"pages.password", "pages.sign_out"})

Answer = str | AnyResponse | tuple[str, int]


def blueprint(
    desk: Desk, door: Door, *, collecting: Collecting, limiter: Limiter, clock: Callable[[], datetime]
) -> Blueprint:
    """All pages."""
    pages = Blueprint("pages", __name__)
    pages.before_request(lambda: _admit(door))
    pages.context_processor(lambda: {"account": g.get("account")})
    _add_account_pages(pages, door, limiter)
    _add_project_pages(pages, desk, clock)
    _add_photo_pages(pages, desk, collecting, clock)
    _add_collection_pages(pages, desk, collecting)
    _add_label_studio_pages(pages, desk)
    pilot_pages.add(pages, desk, show=_project_page, clock=clock)
    return pages


def wants_json() -> bool:
    """Whether a program, or the script of a page, is asking."""
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return request.path.startswith("/api/") or best == "application/json"


def _admit(door: Door) -> AnyResponse | None:
    """Let only managers in, who have chosen a password of their own; show everyone else the way."""
    if request.endpoint in _OPEN_TO_ALL:
        return None
    try:
        g.account = door.person()
    except UnknownCallerError:
        if wants_json() or request.method != "GET":
            raise
        return redirect(url_for("pages.sign_in"))
    if g.account.must_change and request.endpoint not in _BEFORE_A_PASSWORD:
        return redirect(url_for("pages.password"))
    return None


def _me() -> Account:
    account: Account = g.account
    return account


def _add_account_pages(pages: Blueprint, door: Door, limiter: Limiter) -> None:
    @pages.get("/sign-in")
    def sign_in() -> Answer:
        return render_template("sign_in.html")

    @pages.post("/sign-in")
    @limiter.limit(SIGN_IN_RATE)
    def sign_in_now() -> Answer:
        email = request.form.get("email", "")
        try:
            account = door.sign_in(email, request.form.get("password", ""))
        except ForbiddenError as error:
            flash(words.sentence(str(error)), "bad")
            return render_template("sign_in.html", email=email), 403
        return redirect(url_for("pages.password" if account.must_change else "pages.projects"))

    @pages.post("/sign-out")
    def sign_out() -> Answer:
        door.leave()
        return redirect(url_for("pages.sign_in"))

    @pages.route("/password", methods=["GET", "POST"])
    def password() -> Answer:
        if request.method == "GET":
            return render_template("password.html")
        try:
            door.change_password(_me(), current=request.form.get("current", ""), new=_twice(request.form))
        except ForbiddenError as error:
            flash(words.sentence(str(error)), "bad")
            return render_template("password.html"), 403
        flash("Your password is changed.", "good")
        return redirect(url_for("pages.projects"))

    @pages.route("/tokens", methods=["GET", "POST"])
    def tokens() -> Answer:
        days = request.form.get("days", "30")
        token = None
        if request.method == "POST":
            if days not in ("1", "30", "90", "365"):
                raise IntakeError("a token is valid for 1, 30, 90 or 365 days")
            token = door.issue_token(_me(), days=int(days))
        return render_template("tokens.html", section="tokens", token=token)

    @pages.post("/tokens/revoke")
    def revoke_tokens() -> Answer:
        count = door.revoke_tokens(_me())
        flash(f"{words.number(count)} of your tokens no longer work.", "good")
        return redirect(url_for("pages.tokens"))


def _add_project_pages(pages: Blueprint, desk: Desk, clock: Callable[[], datetime]) -> None:
    @pages.get("/")
    def projects() -> Answer:
        return render_template("projects.html", section="projects", rows=desk.projects(now=clock()))

    @pages.route("/projects/new", methods=["GET", "POST"])
    def connect() -> Answer:
        trouble = None
        if request.method == "POST":
            try:
                return _to_project(_connected(desk, clock()))
            except (ConfigError, IntakeError, LabelStudioError) as error:
                trouble = words.sentence(str(error))
        return _connect_page(desk, trouble)

    @pages.post("/projects/<project_id>/switch")
    def switch(project_id: str) -> Answer:
        on, adopts = (_yes_no(request.form.get(name)) for name in ("on", "adopts"))
        project = desk.switch(project_id, on=on, adopts=adopts)
        if adopts is None:
            flash(f"Anonymization is {'on' if project.on else 'off'}.", "good")
            return _to_project(project)
        flash("Tasks that hold originals are taken over." if adopts else "No more tasks are taken over.", "good")
        return redirect(url_for("pages.label_studio", project_id=project_id))

    @pages.route("/projects/<project_id>/policy", methods=["GET", "POST"])
    def policy(project_id: str) -> Answer:
        if request.method == "POST":
            before = desk.ledger.project(project_id).policy
            revised = desk.revise(project_id, changes=policies.of_form(request.form), now=clock())
            kept = revised.revision == before.revision
            flash("Nothing was changed." if kept else f"Policy revision {revised.revision} holds from now on.", "good")
            return redirect(url_for("pages.policy", project_id=project_id))
        return _project_page("policy.html", desk, project_id, tab="policy")


def _add_photo_pages(pages: Blueprint, desk: Desk, collecting: Collecting, clock: Callable[[], datetime]) -> None:
    @pages.get("/projects/<project_id>")
    def project(project_id: str) -> Answer:
        return _project_page(
            "project.html",
            desk,
            project_id,
            tab="photos",
            progress=desk.ledger.progress(project_id, now=clock()),
            failures=desk.ledger.failures(project_id),
            collection=collecting.of(project_id),
            s3_prefixes=desk.s3_prefixes,
            **pilot_pages.shown(desk, project_id),
        )

    @pages.get("/projects/<project_id>/progress")
    def progress(project_id: str) -> Answer:
        """The progress alone, for the page's script."""
        present = desk.ledger.progress(project_id, now=clock())
        answer = make_response(_project_page("progress.html", desk, project_id, progress=present))
        collection = collecting.of(project_id)
        coming = 1 if collection and collection.under_way else 0
        answer.headers["X-Under-Way"] = str(words.under_way(present) + coming)
        answer.headers["X-Failed"] = str(present.failed)
        return answer

    @pages.get("/projects/<project_id>/failures")
    def failures(project_id: str) -> Answer:
        """The failed photos alone, for the page's script."""
        return _project_page("failures.html", desk, project_id, failures=desk.ledger.failures(project_id))

    @pages.post("/projects/<project_id>/photos")
    def hand_in(project_id: str) -> Answer:
        files, total = bodies.handed_in(request), bodies.total(request)
        results = desk.hand_in(project_id, files=files, now=clock(), total=total)
        if wants_json():
            return jsonify(results=[asdict(result) for result in results])
        return _project_page("handed_in.html", desk, project_id, tab="photos", results=results)

    @pages.post("/projects/<project_id>/photos/<photo_id>/retry")
    def retry(project_id: str, photo_id: str) -> Answer:
        desk.retry(project_id, photo_id=photo_id, now=clock())
        flash(f"Photo {photo_id[:8]} is tried again.", "good")
        return redirect(url_for("pages.project", project_id=project_id))

    @pages.post("/projects/<project_id>/retry")
    def retry_all(project_id: str) -> Answer:
        count = desk.retry_all(project_id, now=clock())
        flash(f"{words.number(count)} photos are tried again.", "good")
        return redirect(url_for("pages.project", project_id=project_id))

    @pages.post("/projects/<project_id>/cancel")
    def cancel(project_id: str) -> Answer:
        count = desk.cancel(project_id, now=clock())
        flash(f"{words.number(count)} photos are cancelled and their sealed originals deleted.", "good")
        return redirect(url_for("pages.project", project_id=project_id))


def _add_collection_pages(pages: Blueprint, desk: Desk, collecting: Collecting) -> None:
    @pages.post("/projects/<project_id>/collection")
    def collect(project_id: str) -> Answer:
        collecting.start(project_id, address=request.form.get("address", ""))
        return redirect(url_for("pages.project", project_id=project_id, _anchor="collection"))

    @pages.get("/projects/<project_id>/collection")
    def collection(project_id: str) -> Answer:
        """How far the collection is, alone, for the page's script."""
        return _project_page("collection.html", desk, project_id, collection=collecting.of(project_id))

    @pages.post("/projects/<project_id>/collection/stop")
    def stop_collecting(project_id: str) -> Answer:
        collecting.stop(project_id)
        return redirect(url_for("pages.project", project_id=project_id, _anchor="collection"))


def _add_label_studio_pages(pages: Blueprint, desk: Desk) -> None:
    @pages.get("/projects/<project_id>/label-studio")
    def label_studio(project_id: str) -> Answer:
        return _label_studio_page(desk, project_id)

    @pages.post("/projects/<project_id>/leak-check")
    def leak_check(project_id: str) -> Answer:
        try:
            return _label_studio_page(desk, project_id, leaks=desk.leak_check(project_id))
        except (ConfigError, LabelStudioError) as error:
            return _label_studio_page(desk, project_id, trouble=words.sentence(str(error)))


def _label_studio_page(desk: Desk, project_id: str, *, leaks: Leaks | None = None, trouble: str | None = None) -> str:
    return _project_page(
        "label_studio.html",
        desk,
        project_id,
        tab="label-studio",
        leaks=leaks,
        trouble=trouble,
        image_host=desk.image_host,
    )


def _project_page(template: str, desk: Desk, project_id: str, **values: Any) -> str:
    return render_template(template, section="projects", project=desk.ledger.project(project_id), **values)


def _connect_page(desk: Desk, trouble: str | None) -> Answer:
    """The form, filled in as it was sent; with what went wrong, or why Label Studio shows no projects."""
    try:
        choices = desk.candidates()
    except (ConfigError, LabelStudioError) as error:
        choices, trouble = [], trouble or words.sentence(str(error))
    form = request.form
    fields = {name: form[name] for name in policies.CHOICES if name in form}
    wishes = policies.Wishes(**fields, suggest_expressions="suggest_expressions" in form)  # type: ignore[arg-type]
    page = render_template(
        "connect.html",
        section="projects",
        trouble=trouble,
        choices=choices,
        chosen=form.get("labelstudio_id", "new"),
        title=form.get("title"),
        config=form.get("config"),
        policy=wishes,
    )
    return page, 400 if request.method == "POST" else 200


def _connected(desk: Desk, now: datetime) -> Any:
    """The project that the submitted form asks for."""
    policy, wanted = policies.of_form(request.form), request.form.get("labelstudio_id", "")
    if wanted == "new":
        title, config = request.form.get("title", ""), request.form.get("config", "expression")
        return desk.create(title, config=config, policy=policy, now=now)
    if not (wanted.isascii() and wanted.isdigit()):
        raise IntakeError("pick a project of Label Studio, or create one")
    return desk.connect(int(wanted), policy=policy, now=now)


def _to_project(project: Any) -> AnyResponse:
    return redirect(url_for("pages.project", project_id=project.project_id))


def _yes_no(value: str | None) -> bool | None:
    return None if value is None else value == "yes"


def _twice(form: Any) -> str:
    """A new password that was typed the same both times. Raises `ForbiddenError`."""
    new: str = form.get("new", "")
    if new != form.get("again", ""):
        raise ForbiddenError("the two new passwords differ")
    return new
