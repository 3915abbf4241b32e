"""The console: who is let in, and what waits for them. Every page is a form that works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flask import Blueprint, g, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from backend.admin import audit_pages, request_pages, withdrawal_pages
from backend.admin.auth import Door, HalfwayError, UnknownCallerError
from backend.admin.frame import Answer, me, page
from backend.admin.office import Office


def blueprint(office: Office, door: Door, *, clock: Callable[[], datetime]) -> Blueprint:
    """All pages but those of signing in."""
    pages = Blueprint("pages", __name__)
    pages.before_request(lambda: _admit(door))

    @pages.get("/")
    def overview() -> Answer:
        waiting = office.overview(me(), now=clock())
        names = office.names({one.requested_by for one in (*waiting.to_approve, *waiting.mine)})
        return page("overview.html", office, overview=waiting, names=names)

    request_pages.add(pages, office, clock=clock)
    withdrawal_pages.add(pages, office, clock=clock)
    audit_pages.add(pages, office, clock=clock)
    return pages


def _admit(door: Door) -> AnyResponse | None:
    """Let only people in who have shown both factors and have a password of their own; show others the way."""
    try:
        g.actor = door.person()
    except UnknownCallerError as error:
        if request.method != "GET":
            raise
        return redirect(url_for("sign_in.code" if isinstance(error, HalfwayError) else "sign_in.password"))
    return redirect(url_for("sign_in.change_password")) if g.actor.must_change else None
