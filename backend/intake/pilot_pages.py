"""The pilot reports of a project: asked for, followed, read, deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from flask import Blueprint, Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.errors import IntakeError
from backend.intake.desk import Desk
from backend.intake.pilots import LANGUAGES

Answer = str | AnyResponse
REPORT_HEADERS: Final = {
    # A page on its own: it runs nothing, loads nothing, sends nothing and is of no origin.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def shown(desk: Desk, project_id: str) -> dict[str, Any]:
    """What the templates show of a project's pilots."""
    pilots = desk.ledger.pilots(project_id)
    return {"pilots": pilots, "pilot_offer": desk.pilots.offer(project_id), "report_languages": LANGUAGES}


def add(pages: Blueprint, desk: Desk, *, show: Callable[..., str], clock: Callable[[], datetime]) -> None:
    """Add them to the pages. show: renders one of a project's templates."""

    @pages.post("/projects/<project_id>/pilots")
    def ask_pilot(project_id: str) -> Answer:
        photos = request.form.get("photos", "").strip()
        if not (photos.isascii() and photos.isdigit()):
            raise IntakeError("how many photos is a whole number")
        pilot = desk.pilots.ask(project_id, photos=int(photos), now=clock())
        flash(f"Asked for a pilot report on {len(pilot.photos)} photos.", "good")
        return _back(project_id)

    @pages.get("/projects/<project_id>/pilots")
    def pilots(project_id: str) -> Answer:
        """The pilots alone, for the page's script."""
        return show("pilots.html", desk, project_id, **shown(desk, project_id))

    @pages.get("/projects/<project_id>/pilots/<pilot_id>/report")
    def pilot_report(project_id: str, pilot_id: str) -> Answer:
        page = desk.pilots.report(project_id, pilot_id, language=request.args.get("language", "en"))
        return Response(page, mimetype="text/html", headers=REPORT_HEADERS)

    @pages.post("/projects/<project_id>/pilots/<pilot_id>/discard")
    def discard_pilot(project_id: str, pilot_id: str) -> Answer:
        desk.pilots.discard(project_id, pilot_id, now=clock())
        flash("The report is deleted.", "good")
        return _back(project_id)


def _back(project_id: str) -> AnyResponse:
    return redirect(url_for("pages.project", project_id=project_id, _anchor="pilot"))
