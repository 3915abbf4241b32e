"""The pages of requests: ask, approve, retrieve once, say how the dispute ended."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, flash, redirect, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse

from backend.accounts import Role
from backend.admin import downloads, together, words
from backend.admin.disputes import Decision
from backend.admin.frame import Answer, me, page
from backend.admin.office import PAGE, Office
from backend.admin.words import later
from backend.custody.records import RecoveryRequest, RequestKind, RequestState
from backend.custody.recovery import Retrieved
from backend.doorway import headers
from backend.errors import ConfigError, LabelStudioError, OfficeError
from backend.labelstudio.annotations import Label
from backend.ledger.records import Photo

_DECISIONS = (
    (Decision.STANDS, later("The label stands"), later("The annotator saw it right.")),
    (Decision.CHANGES, later("The label has to change"), later("The original shows something else.")),
    (Decision.UNDECIDED, later("It stays open"), later("The original does not settle it.")),
)


def add(pages: Blueprint, office: Office, *, clock: Callable[[], datetime]) -> None:
    """Add them to the console's pages."""
    _add_lists(pages, office, clock)
    _add_asking(pages, office, clock)
    _add_steps(pages, office, clock)
    _add_retrieval(pages, office, clock)


def _add_lists(pages: Blueprint, office: Office, clock: Callable[[], datetime]) -> None:
    @pages.get("/requests")
    def requests() -> Answer:
        state, project_id = _state(request.args), request.args.get("project") or None
        before = _moment(request.args.get("before"))
        rows = office.requests(me(), state=state, project_id=project_id, before=before, now=clock())
        return page(
            "requests.html",
            office,
            section="requests",
            rows=rows,
            names=office.names({one.requested_by for one in rows}),
            states=list(RequestState),
            chosen_state=state,
            chosen_project=project_id,
            older=rows[-1].created_at.isoformat() if len(rows) == PAGE else None,
        )

    @pages.get("/requests/<request_id>")
    def one_request(request_id: str) -> Answer:
        asked = office.get(me(), request_id, now=clock())
        return _request_page(office, asked, together=len(together.others(office, me(), asked, now=clock())))

    @pages.get("/photos/<photo_id>/image")
    def image(photo_id: str) -> Answer:
        """The anonymized image: what annotators see, too."""
        data, kind = office.image(me(), photo_id)
        return Response(data, mimetype=f"image/{kind}")


def _add_asking(pages: Blueprint, office: Office, clock: Callable[[], datetime]) -> None:
    @pages.get("/requests/new")
    def new_request() -> Answer:
        me().require(Role.REQUESTER)
        task = request.args.get("task", "")
        if not task:
            return page("new_request.html", office, section="requests")
        try:
            return _asking_page(office, office.find(me(), task), task=task)
        except OfficeError as error:
            trouble = words.sentence(str(error))
        return page("new_request.html", office, section="requests", task=task, trouble=trouble), 404

    @pages.post("/requests/new")
    def ask() -> Answer:
        form, faces = request.form, list[int]()
        photo_id, reason, reference = form.get("photo_id", ""), form.get("reason", ""), form.get("reference")
        try:
            faces = _indices(form)
            made = office.request(
                me(), photo_id=photo_id, face_indices=faces, reason=reason, reference=reference, now=clock()
            )
        except OfficeError as error:
            flash(words.sentence(str(error)), "bad")
            photo = office.photo(me(), photo_id)
            return _asking_page(office, photo, chosen=faces, reason=reason, reference=reference), 400
        return _asked(made)

    @pages.route("/requests/access", methods=["GET", "POST"])
    def new_access() -> Answer:
        me().require(Role.REQUESTER)
        if request.method == "GET":
            return page("new_access.html", office, section="requests")
        values = {name: request.form.get(name, "") for name in ("subject_id", "reason", "reference")}
        project_id = request.form.get("project_id", "")
        try:
            return _asked(office.request_access(me(), project_id=project_id, now=clock(), **values))
        except OfficeError as error:
            flash(words.sentence(str(error)), "bad")
            return page("new_access.html", office, section="requests", chosen_project=project_id, **values), 400


def _add_steps(pages: Blueprint, office: Office, clock: Callable[[], datetime]) -> None:
    @pages.post("/requests/<request_id>/approve")
    def approve(request_id: str) -> Answer:
        approved = office.approve(me(), request_id, now=clock())
        enough = approved.state is RequestState.APPROVED
        told = later("Approved.") if enough else later("Approved; one more person has to approve.")
        flash(words.gettext(told), "good")
        return _to(approved)

    @pages.post("/requests/<request_id>/approve-together")
    def approve_together(request_id: str) -> Answer:
        count = together.approve(office, me(), request_id, now=clock())
        told = words.ngettext("%(count)s request is approved.", "%(count)s requests are approved.", count)
        flash(told % {"count": count}, "good")
        return _to(office.get(me(), request_id, now=clock()))

    @pages.post("/requests/<request_id>/refuse")
    def refuse(request_id: str) -> Answer:
        refused = office.refuse(me(), request_id, now=clock())
        flash(words.gettext("Refused. The original stays sealed."), "good")
        return _to(refused)

    @pages.post("/requests/<request_id>/cancel")
    def cancel(request_id: str) -> Answer:
        cancelled = office.cancel(me(), request_id, now=clock())
        flash(words.gettext("Taken back. The original stays sealed."), "good")
        return _to(cancelled)

    @pages.post("/requests/<request_id>/decision")
    def decide(request_id: str) -> Answer:
        said = request.form.get("decision", "")
        if said not in list(Decision):
            raise OfficeError("choose how the dispute ended")
        office.decide(me(), request_id, Decision(said), now=clock())
        flash(words.gettext("Noted in Label Studio."), "good")
        return _to(office.get(me(), request_id, now=clock()))


def _add_retrieval(pages: Blueprint, office: Office, clock: Callable[[], datetime]) -> None:
    @pages.post("/requests/<request_id>/retrieve")
    def retrieve(request_id: str) -> Answer:
        retrieved = office.retrieve(me(), request_id, now=clock())
        if request.form.get("as") == "file" or retrieved.kind is RequestKind.ACCESS:
            return downloads.attachment(retrieved)
        asked = office.get(me(), request_id, now=clock())
        shown = _request_page(
            office, asked, template="retrieved.html", pictures=_pictures(retrieved), bit_exact=retrieved.bit_exact
        )
        # The pictures are in the page itself, so that no address leads to them.
        return Response(shown, mimetype="text/html", headers=headers.WITH_PICTURES)

    @pages.get("/requests/<request_id>/retrieve")
    def retrieved_before(request_id: str) -> Answer:
        """Where somebody lands who reloads, or changes the language, after having seen the original."""
        return redirect(url_for("pages.one_request", request_id=request_id))


def _request_page(office: Office, asked: RecoveryRequest, *, template: str = "request.html", **values: Any) -> str:
    """A request with its photo and what Label Studio says about it; without, when Label Studio is away."""
    actor = me()
    own, roles = asked.requested_by == actor.account_id, actor.roles
    photo = None if asked.photo_id is None else office.photo(actor, asked.photo_id)
    labels, decided, trouble = _label_studio_says(office, asked, photo)
    return page(
        template,
        office,
        section="requests",
        asked=asked,
        photo=photo,
        own=own,
        knows_subject=own or bool(roles & {Role.APPROVER, Role.KEY_OFFICER}),
        given=office.given(actor, asked) if asked.state is RequestState.RETRIEVED else {},
        may_decide=asked.state is RequestState.OPEN
        and actor.account_id not in asked.approved_by
        and Role.APPROVER in roles
        and not own,
        names=office.names({asked.requested_by, *asked.approved_by}),
        labels=labels,
        trouble=trouble,
        decided=decided,
        decisions=[(value, words.gettext(title), words.gettext(text)) for value, title, text in _DECISIONS],
        **values,
    )


def _asking_page(
    office: Office,
    photo: Photo,
    *,
    task: str = "",
    chosen: Collection[int] = (),
    reason: str = "",
    reference: str | None = None,
) -> str:
    labels, trouble = _labels(office, photo)
    return page(
        "new_request.html",
        office,
        section="requests",
        photo=photo,
        task=task or photo.labelstudio_task_id,
        chosen=chosen,
        reason=reason,
        reference=reference,
        labels_of=lambda index: ", ".join(one.value for one in labels if one.face_index == index),
        trouble=trouble,
        sealed_never=office.keeps_nothing(me(), photo),
    )


def _labels(office: Office, photo: Photo) -> tuple[tuple[Label, ...], str | None]:
    """What annotators answered; nothing and the reason when Label Studio cannot be asked."""
    try:
        return office.labels(me(), photo.photo_id), None
    except (ConfigError, LabelStudioError) as error:
        return (), words.sentence(str(error))


def _label_studio_says(
    office: Office, asked: RecoveryRequest, photo: Photo | None
) -> tuple[tuple[Label, ...], Decision | None, str | None]:
    if photo is None:
        return (), None, None
    labels, trouble = _labels(office, photo)
    if trouble is not None or asked.state is not RequestState.RETRIEVED:
        return labels, None, trouble
    try:
        return labels, office.decision(me(), asked), None
    except LabelStudioError as error:
        return labels, None, words.sentence(str(error))


def _pictures(retrieved: Retrieved) -> list[dict[str, Any]]:
    """The photos as the template shows them, every picture a data address."""
    return [
        {
            "photo_id": photo.photo_id,
            "whole": _data(photo.png),
            "faces": [
                {"index": crop.face_index, "anonymized": _data(crop.anonymized), "original": _data(crop.original)}
                for crop in photo.crops
            ],
        }
        for photo in retrieved.photos
    ]


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _asked(made: RecoveryRequest) -> AnyResponse:
    waits = made.state is RequestState.OPEN
    told = later("Asked. Somebody else has to approve it.") if waits else later("Asked, and approved by nobody else.")
    flash(words.gettext(told), "good")
    return _to(made)


def _to(asked: RecoveryRequest) -> AnyResponse:
    return redirect(url_for("pages.one_request", request_id=asked.request_id))


def _indices(form: MultiDict[str, str]) -> list[int]:
    values = form.getlist("face")
    if not all(value.isascii() and value.isdigit() and len(value) < 6 for value in values):
        raise OfficeError("choose at least one of the photo's faces")
    return [int(value) for value in values]


def _state(args: MultiDict[str, str]) -> RequestState | None:
    said = args.get("state")
    return RequestState(said) if said in list(RequestState) else None


def _moment(said: str | None) -> datetime | None:
    """The moment in an address; None for what is none, as if it was not there."""
    try:
        moment = datetime.fromisoformat(said or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
