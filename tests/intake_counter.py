"""An intake in a temporary folder: real ledger, accounts, store and keys, for tests to hand photos to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import argon2
import waitress
from flask import Flask
from flask.testing import FlaskClient
from waitress import wasyncore

from backend.accounts import Account, Accounts
from backend.custody.inbox_opening import InboxKey, create_inbox_key
from backend.doorway import serving
from backend.intake.app import create_app
from backend.intake.collecting import Collecting
from backend.intake.desk import Desk, key_reader
from backend.jobs import Jobs
from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo, Project
from backend.storage import BlobStore

NOBODY = "redis://127.0.0.1:1/0"
"""Where no Redis listens."""
PASSWORD = "four unrelated plain words"
MAX_UPLOAD_BYTES = 32 * 2**20
IMAGE_HOST = "images.example.org"
MANAGER = "pm@example.org"
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


class Clock:
    """A time that passes only when told to."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **duration: float) -> None:
        self.at += timedelta(**duration)


@dataclass(frozen=True, slots=True)
class Counter:
    """An intake and what a test needs to look behind it."""

    desk: Desk
    accounts: Accounts
    clock: Callable[[], datetime]
    folder: Path
    app: Flask

    def project(self, title: str = "Waiting room", *, labelstudio_id: int = 7, **fields: object) -> Project:
        """A project in the ledger, without asking Label Studio."""
        return self.desk.ledger.add_project(title, labelstudio_id, now=self.clock(), **fields)  # type: ignore[arg-type]

    def account(self, email: str = MANAGER, *, roles: tuple[str, ...] = ("manager",)) -> Account:
        """An account that has chosen its password already: PASSWORD."""
        account, _ = self.accounts.create(email, roles=roles, now=self.clock())
        return self.accounts.set_password(account.account_id, PASSWORD)

    def token(self, account: Account, scope: str = "intake") -> str:
        """A token of this account, without end."""
        return self.accounts.tokens.issue(account.account_id, scopes=[scope], expires_at=None, now=self.clock())[1]

    def original(self, photo: Photo) -> bytes:
        """What the worker would open."""
        assert photo.source_blob is not None
        key = InboxKey(self.folder / "worker" / "inbox.key")
        sealed = self.desk.blobs.get(photo.source_blob)
        return key.open(sealed, project_id=photo.project_id, source_sha256=photo.source_sha256)

    def all_bytes(self) -> bytes:
        """Everything that lies on the disk."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file())

    def signed_in(self) -> FlaskClient:
        """A browser, as far as Flask goes, whose owner is signed in; forms need no CSRF token here."""
        self.app.config["WTF_CSRF_ENABLED"] = False
        client = self.app.test_client()
        answer = client.post("/sign-in", data={"email": MANAGER, "password": PASSWORD})
        assert answer.status_code == 302, answer.text
        return client

    def with_desk(self, **changes: object) -> Counter:
        """The same intake with something else behind the counter."""
        desk = replace(self.desk, **changes)  # type: ignore[arg-type]
        return replace(self, desk=desk, app=_app(desk, self.accounts, self.clock))


def open_counter(
    folder: Path,
    *,
    redis_url: str = NOBODY,
    labelstudio: LabelStudio | None = None,
    clock: Callable[[], datetime] | None = None,
    image_host: str = IMAGE_HOST,
) -> Counter:
    """An intake whose data lies in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.sqlite3'}")
    create_inbox_key(folder / "worker" / "inbox.key", folder / "inbox.pub")
    desk = Desk(
        ledger=ledger,
        blobs=BlobStore((folder / "blobs").as_uri()),
        jobs=Jobs(redis_url),
        inbox_public_key=key_reader(folder / "inbox.pub"),
        labelstudio=labelstudio,
        image_host=image_host,
    )
    clock = clock or Clock()
    # What makes guessing dear makes testing slow; the real costs are tested with the accounts.
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    accounts = Accounts(ledger.engine, hasher=cheap)
    return Counter(desk, accounts, clock, folder, _app(desk, accounts, clock))


@contextmanager
def served(counter: Counter) -> Iterator[str]:
    """The intake as it is served, on a free port; its address."""
    options = serving.options(max_body_bytes=MAX_UPLOAD_BYTES)
    server = waitress.create_server(counter.app, listen="127.0.0.1:0", **options)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))  # in the loop, so that it ends at once
        thread.join(timeout=10)


def _app(desk: Desk, accounts: Accounts, clock: Callable[[], datetime]) -> Flask:
    return create_app(
        desk,
        accounts,
        collecting=Collecting(desk, clock),
        session_key=b"k" * 32,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        clock=clock,
    )
