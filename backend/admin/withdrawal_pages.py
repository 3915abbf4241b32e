"""The pages of consent taken back: withdraw, take it back, sweep, receipts."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from flask import Blueprint, Response, flash, redirect, request, url_for

from backend.accounts import Role
from backend.admin import words
from backend.admin.frame import Answer, me, page
from backend.admin.office import PAGE, Office
from backend.custody.retention import SweepReport
from backend.errors import BackendError, CustodyError, LedgerError


def add(pages: Blueprint, office: Office, *, clock: Callable[[], datetime]) -> None:
    """Add them to the console's pages."""
    _add_withdrawing(pages, office, clock)

    @pages.get("/withdrawals")
    def withdrawals() -> Answer:
        rows = office.withdrawals(me(), before=request.args.get("before") or None)
        older = rows[-1].withdrawal_id if len(rows) == PAGE else None
        return page("withdrawals.html", office, section="withdrawals", rows=rows, older=older)

    @pages.post("/withdrawals/<withdrawal_id>/cancel")
    def cancel_withdrawal(withdrawal_id: str) -> Answer:
        office.cancel_withdrawal(me(), withdrawal_id, now=clock())
        flash(words.gettext("The withdrawal is taken back."), "good")
        return redirect(url_for("pages.withdrawals"))

    @pages.get("/withdrawals/<withdrawal_id>/receipt")
    def receipt(withdrawal_id: str) -> Answer:
        signed = json.dumps(office.receipt(me(), withdrawal_id), indent=2, sort_keys=True)
        name = f'attachment; filename="receipt-{withdrawal_id[:8]}.json"'
        return Response(signed, mimetype="application/json", headers={"Content-Disposition": name})

    @pages.post("/sweep")
    def sweep() -> Answer:
        report = office.sweep(me(), now=clock())
        flash(_told(report), "good" if report.complete else "bad")
        return redirect(url_for("pages.withdrawals"))


def _add_withdrawing(pages: Blueprint, office: Office, clock: Callable[[], datetime]) -> None:
    @pages.route("/withdrawals/new", methods=["GET", "POST"])
    def new_withdrawal() -> Answer:
        """First whose, then whether that is right: an id that is written wrongly would withdraw nobody's consent."""
        me().require(Role.KEY_OFFICER)
        if request.method == "GET":
            return page("new_withdrawal.html", office, section="withdrawals")
        project_id, subject_id = request.form.get("project_id", ""), request.form.get("subject_id", "").strip()
        asked = {"section": "withdrawals", "chosen_project": project_id, "subject_id": subject_id}
        try:
            if request.form.get("sure") != "yes":
                photos = office.photos_of(me(), project_id, subject_id)
                return page("new_withdrawal.html", office, asked=True, photos=photos, **asked)
            made = office.withdraw(me(), project_id, subject_id, now=clock())
        except BackendError as error:
            if type(error) not in (CustodyError, LedgerError):  # these two are about what was typed
                raise
            flash(words.sentence(str(error)), "bad")
            return page("new_withdrawal.html", office, **asked), 400
        flash(words.gettext("Withdrawn. Nothing of this person is opened from now on."), "good")
        return redirect(url_for("pages.withdrawals", _anchor=made.withdrawal_id))

    @pages.post("/withdrawals/project")
    def withdraw_project() -> Answer:
        """Everybody at once, by whoever has typed the project's title."""
        me().require(Role.KEY_OFFICER)
        project_id = request.form.get("project_id", "")
        titles = {project.project_id: project.title for project in office.projects(me())}
        if titles.get(project_id) != request.form.get("title", "").strip():
            flash(words.gettext("This is not the project's title, so nobody was withdrawn."), "bad")
            return page("new_withdrawal.html", office, section="withdrawals", chosen_project=project_id), 400
        made = office.withdraw_project(me(), project_id, now=clock())
        told = words.ngettext("%(count)s person is withdrawn.", "%(count)s people are withdrawn.", len(made))
        flash(told % {"count": words.number(len(made))}, "good")
        return redirect(url_for("pages.withdrawals"))


def _told(report: SweepReport) -> str:
    counts = words.gettext("Swept: %(shredded)s shredded, %(expired)s records expired.") % {
        "shredded": words.number(report.shredded + report.shredded_again),
        "expired": words.number(report.expired),
    }
    problems = []
    if report.failed:
        problems.append(words.gettext("%(failed)s could not be shredded; sweep again.") % {"failed": report.failed})
    if not report.clean:
        problems.append(words.gettext("Deleted bytes may still lie in a database's log; sweep again."))
    if report.problem is not None:
        problems.append(words.sentence(report.problem))
    return " ".join([counts, *problems])
