"""The pages for looking only: the audit log and the keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flask import Blueprint, Response, flash, redirect, request, url_for

from backend.admin import words
from backend.admin.frame import Answer, me, page
from backend.admin.office import PAGE, Office
from backend.errors import AuditError


def add(pages: Blueprint, office: Office, *, clock: Callable[[], datetime]) -> None:
    """Add them to the console's pages."""

    @pages.get("/audit")
    def audit() -> Answer:
        action, target, by = (request.args.get(name, "").strip() or None for name in ("action", "target", "by"))
        said = request.args.get("before", "")
        before = int(said) if said.isascii() and said.isdigit() and len(said) < 16 else None
        rows = office.events(me(), action=action, target=target, by=by, before=before)
        names = office.names({one.actor for one in rows})
        older = rows[-1].seq if len(rows) == PAGE else None
        wanted = {"action": action, "target": target, "by": by}
        return page("audit.html", office, section="audit", rows=rows, names=names, older=older, **wanted)

    @pages.post("/audit/verify")
    def verify_audit() -> Answer:
        try:
            head = office.verify(me(), now=clock())
        except AuditError as error:
            flash(words.sentence(str(error)), "bad")
        else:
            told = words.gettext("The log is whole: %(events)s events, nothing changed, removed or added.")
            flash(told % {"events": words.number(head.seq)}, "good")
        return redirect(url_for("pages.audit"))

    @pages.post("/audit/export")
    def export_audit() -> Answer:
        lines = office.export(me(), now=clock())
        disposition = f'attachment; filename="audit-{clock():%Y%m%d-%H%M%S}.jsonl"'
        return Response(lines, mimetype="application/x-ndjson", headers={"Content-Disposition": disposition})

    @pages.get("/keys")
    def keys() -> Answer:
        return page("keys.html", office, section="keys", keys=office.keys(me()))
