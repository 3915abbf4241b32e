"""The admin in a temporary folder, wired as it is served, with photos that a worker has locked and people to let in."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import argon2
import pyotp
import waitress
from flask import Flask
from flask.testing import FlaskClient
from intake_counter import NOBODY, PASSWORD, Clock
from stand_in import StandIn
from waitress import wasyncore
from workshop import Databases, Workshop

from backend.accounts import Account, Accounts
from backend.admin import wsgi
from backend.admin.actors import Actor, Scope
from backend.admin.office import Office
from backend.admin.second_factor import SecondFactor
from backend.custody import audit, database
from backend.ledger.records import Photo, Project
from backend.settings import Settings
from g2face_model import images
from g2face_model.types import Image
from worker import task
from worker.runtime import Anonymizer

ASKS, APPROVES, READS, KEEPS = (
    "requester@example.org",
    "approver@example.org",
    "auditor@example.org",
    "keys@example.org",
)
ROLES = {ASKS: ["requester"], APPROVES: ["approver"], READS: ["auditor"], KEEPS: ["key_officer"]}
TASK = 345


@dataclass
class Restricted:
    """An office and what a test needs around it. `clock` passes only when told to."""

    office: Office
    settings: Settings
    clock: Callable[[], datetime]
    workshop: Workshop
    app: Flask
    accounts: dict[str, Account] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.workshop.folder

    def project(self, title: str = "Waiting room", *, labelstudio_id: int = 7, **policy: Any) -> Project:
        return self.office.ledger.add_project(title, labelstudio_id, now=self.clock(), **policy)

    def photo(
        self,
        project: Project,
        image: Image,
        *,
        task_id: int = TASK,
        subject_id: str | None = None,
        anonymizer: Anonymizer | None = None,
    ) -> Photo:
        """A photo that was handed in, locked by a worker and published as this task of Label Studio's."""
        photo = self.workshop.hand_in(project, images.encode(image, "png"), subject_id=subject_id)
        runtime, ledger, now = (
            self.workshop.runtime(anonymizer or StandIn(), now=self.clock),
            self.office.ledger,
            self.clock(),
        )
        claimed = ledger.claim(photo.photo_id, revision=photo.policy_revision, now=now, lease_s=60)
        assert claimed is not None
        task.anonymize(runtime, claimed)
        ledger.published({photo.photo_id: task_id}, now=now)
        return ledger.photo(photo.photo_id)

    def account(self, email: str, roles: list[str] | None = None) -> Account:
        """Somebody who has chosen PASSWORD and set their phone up."""
        if email not in self.accounts:
            people = self.office.accounts
            made, _ = people.create(email, roles=ROLES[email] if roles is None else roles, now=self.clock())
            people.set_password(made.account_id, PASSWORD)
            number = people.enrolments.begin(made.account_id)
            people.enrolments.complete(made.account_id, number, step=0)
            self.accounts[email] = people.account(made.account_id)
        return self.accounts[email]

    def actor(self, email: str, roles: list[str] | None = None) -> Actor:
        """Somebody whom the door let in."""
        account = self.account(email, roles)
        return Actor(account.account_id, account.roles, account.email)

    def code(self, email: str) -> str:
        """What their phone shows now."""
        account = self.account(email)
        secret = SecondFactor(self.settings.second_factor_key()).secret(account.account_id, account.enrolment)
        return pyotp.TOTP(secret).at(self.clock())

    def signed_in(self, email: str, *, roles: list[str] | None = None, language: str = "en") -> FlaskClient:
        """A browser, as far as Flask goes, whose owner is signed in; forms need no CSRF token here."""
        self.account(email, roles)
        self.app.config["WTF_CSRF_ENABLED"] = False
        client = self.app.test_client()
        client.environ_base["HTTP_ACCEPT_LANGUAGE"] = language
        client.post("/sign-in", data={"email": email, "password": PASSWORD})
        answer = client.post("/sign-in/code", data={"code": self.code(email)})
        assert answer.status_code == 302, answer.text
        return client

    def with_office(self, **changes: object) -> Restricted:
        """The same endpoint with something else in its office."""
        office = dataclasses.replace(self.office, **changes)  # type: ignore[arg-type]
        return dataclasses.replace(self, office=office, app=_app(self.settings, office, self.clock))

    def log(self, target: str | None = None) -> list[tuple[str, str]]:
        """Who did what, of one target or all."""
        return [(one.actor, one.action) for one in self.office.audit.events() if target in (None, one.target)]


def programs_token(restricted: Restricted, account_id: str, scopes: Collection[Scope]) -> str:
    """A token for a program in somebody's name, for 30 days."""
    tokens, now = restricted.office.accounts.tokens, restricted.clock()
    return tokens.issue(account_id, scopes=scopes, expires_at=now + timedelta(days=30), now=now)[1]


@contextmanager
def log_held(restricted: Restricted) -> Iterator[None]:
    """Somebody else writes to the audit log and does not end."""
    vault = database.open_vault(restricted.settings.vault())
    try:
        with database.writing(vault) as connection:
            audit.hold(connection)
            yield
    finally:
        vault.dispose()


@contextmanager
def opened(
    folder: Path,
    *,
    clock: Callable[[], datetime] | None = None,
    labelstudio_url: str = "",
    token: str = "",
    databases: Databases | None = None,
    **admin: Any,
) -> Iterator[Restricted]:
    """The admin whose data lies in `folder`; `admin` are settings of it, `databases` others than files."""
    databases = databases or Databases.files(folder)
    workshop = Workshop(folder, redis_url=NOBODY, databases=databases)
    known: dict[str, Any] = {"data_dir": folder, "admin": admin, **databases.settings()}
    if labelstudio_url:
        known["labelstudio"] = {"url": labelstudio_url, "api_key": token}
    settings, clock = Settings(**known), clock or Clock()
    with ExitStack() as stack:
        stack.callback(workshop.close)
        office = wsgi.open_office(settings, stack)
        # What makes guessing dear makes testing slow; the real costs are tested with the accounts.
        cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        latest = settings.latest_vouchers()
        accounts = Accounts(
            office.ledger.engine, hasher=cheap, voucher_key=settings.voucher_key(), latest_vouchers=latest
        )
        office = dataclasses.replace(office, accounts=accounts)
        yield Restricted(office, settings, clock, workshop, _app(settings, office, clock))


@contextmanager
def served(restricted: Restricted) -> Iterator[str]:
    """The admin as it is served, on a free port; its address."""
    server = waitress.create_server(restricted.app, listen="127.0.0.1:0", **wsgi.SERVER_OPTIONS)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))  # in the loop, so that it ends at once
        thread.join(timeout=10)


def _app(settings: Settings, office: Office, clock: Callable[[], datetime]) -> Flask:
    return wsgi.build_app(settings, office, clock=clock)
