"""What is around every page: who is signed in, where they can go, and in which language."""

from __future__ import annotations

from typing import Any

from flask import g, render_template
from werkzeug.wrappers import Response as AnyResponse

from backend.accounts import Role
from backend.admin import words
from backend.admin.auth import Actor
from backend.admin.office import Office
from backend.admin.words import later

Answer = str | AnyResponse | tuple[str, int]
_PLACES = (
    ("requests", "pages.requests", later("Requests"), (Role.REQUESTER, Role.APPROVER, Role.AUDITOR)),
    ("withdrawals", "pages.withdrawals", later("Withdrawals"), (Role.KEY_OFFICER, Role.AUDITOR)),
    ("audit", "pages.audit", later("Audit log"), (Role.AUDITOR,)),
    ("keys", "pages.keys", later("Keys"), (Role.KEY_OFFICER, Role.AUDITOR)),
)


def me() -> Actor:
    """Who is signed in; there is somebody on every page but those of signing in."""
    actor: Actor = g.actor
    return actor


def page(template: str, office: Office, *, section: str = "", **values: Any) -> str:
    """A page, with the projects' titles that most of them need."""
    titles = {project.project_id: project.title for project in office.projects(me())}
    return render_template(template, section=section, titles=titles, **values)


def around() -> dict[str, Any]:
    """What every template may use."""
    actor: Actor | None = g.get("actor")
    places = [
        (name, endpoint, words.gettext(label))
        for name, endpoint, label, roles in _PLACES
        if actor is not None and actor.roles.intersection(roles)
    ]
    return {"actor": actor, "language": words.language(), "languages": words.LANGUAGES, "places": places}
