"""The console: who is let in, and what waits for them. Every page is a form that works without JavaScript."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flask import Blueprint

from backend.admin import audit_pages, request_pages, sign_in, withdrawal_pages
from backend.admin.auth import Door
from backend.admin.frame import Answer, me, page
from backend.admin.office import Office


def blueprint(office: Office, door: Door, *, clock: Callable[[], datetime]) -> Blueprint:
    """All pages but those of signing in."""
    pages = Blueprint("pages", __name__)
    pages.before_request(lambda: sign_in.admit(door))

    @pages.get("/")
    def overview() -> Answer:
        waiting = office.overview(me(), now=clock())
        names = office.names({one.requested_by for one in (*waiting.to_approve, *waiting.mine)})
        return page("overview.html", office, overview=waiting, names=names)

    request_pages.add(pages, office, clock=clock)
    withdrawal_pages.add(pages, office, clock=clock)
    audit_pages.add(pages, office, clock=clock)
    return pages
