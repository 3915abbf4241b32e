"""An admin in a temporary folder: real ledger, vault, keys, accounts and audit log, and people with phones."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import argon2
import pyotp
import waitress
from flask import Flask
from flask.testing import FlaskClient
from intake_counter import Clock
from waitress import wasyncore
from werkzeug.test import TestResponse

from backend.accounts import Account, Accounts
from backend.admin import wsgi
from backend.admin.office import Office
from backend.admin.second_factor import SecondFactor
from backend.custody import master
from backend.settings import AdminSettings, Settings

PASSWORD = "four unrelated plain words"
OFFICER = "officer@example.org"


@dataclass(frozen=True, slots=True)
class Console:
    """An admin, and what a test needs to look behind it."""

    settings: Settings
    office: Office
    clock: Clock
    app: Flask

    @property
    def accounts(self) -> Accounts:
        return self.office.accounts

    def account(self, email: str = OFFICER, *roles: str) -> Account:
        """An account that has chosen its password already: PASSWORD."""
        account, _ = self.accounts.create(email, roles=roles or ("key_officer",), now=self.clock())
        return self.accounts.set_password(account.account_id, PASSWORD)

    def with_phone(self, email: str = OFFICER, *roles: str) -> Account:
        """An account whose second factor is set up, and a while ago."""
        account = self.account(email, *roles)
        enrolments = self.accounts.enrolments
        enrolments.complete(account.account_id, enrolments.begin(account.account_id), step=0)
        return self.accounts.account(account.account_id)

    def code(self, account: Account, *, steps: int = 0) -> str:
        """What the account's phone shows now, or so many half minutes later."""
        factor = SecondFactor(self.settings.second_factor_key())
        enrolment = self.accounts.account(account.account_id).enrolment
        return pyotp.TOTP(factor.secret(account.account_id, enrolment)).at(self.clock(), counter_offset=steps)

    def browser(self) -> FlaskClient:
        """Somebody's browser, as far as Flask goes; forms need no CSRF token here."""
        self.app.config["WTF_CSRF_ENABLED"] = False
        return self.app.test_client()

    def signed_in(self, account: Account) -> FlaskClient:
        """A browser whose owner has shown both factors."""
        client = self.browser()
        assert type_password(client, account.email).location == "/sign-in/code"
        answer = client.post("/sign-in/code", data={"code": self.code(account)})
        assert answer.status_code == 302, answer.text
        self.clock.forward(seconds=60)  # so that the next code is another one
        return client

    def events(self) -> list[tuple[str, str]]:
        """The audit log: (action, target) of each event."""
        return [(event.action, event.target) for event in self.office.audit.events()]


def type_password(client: FlaskClient, email: str, password: str = PASSWORD) -> TestResponse:
    """What a browser gets after the first page."""
    return client.post("/sign-in", data={"email": email, "password": password})


def secret_on(page: str) -> str:
    """The secret that a page shows for a phone."""
    found = re.search(r'id="secret">([A-Z2-7 ]+)<', page)
    assert found is not None, page
    return found[1].replace(" ", "")


@contextmanager
def served(console: Console, listener: socket.socket) -> Iterator[str]:
    """The admin as it is served, at the address that `listener` is bound to."""
    server = waitress.create_server(console.app, sockets=[listener], **wsgi.SERVER_OPTIONS)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield address(listener)
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))  # in the loop, so that it ends at once
        thread.join(timeout=10)


def listening() -> socket.socket:
    """A free port of this machine, bound before anything is served there: the admin has to know its own address."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


def address(listener: socket.socket) -> str:
    """Where browsers go."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def opened(folder: Path, *, clock: Clock | None = None, **admin: Any) -> Iterator[Console]:
    """An admin whose data lies in `folder`; `admin` are its settings."""
    settings = Settings(data_dir=folder, admin=AdminSettings(**admin))
    if not settings.master_private_key().exists():
        master.create_master_key(settings.master_private_key(), settings.master_public_key())
    clock = clock or Clock()
    with ExitStack() as stack:
        office = wsgi.open_office(settings, stack)
        # What makes guessing dear makes testing slow; the real costs are tested with the accounts.
        cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        latest, key = settings.latest_vouchers(), settings.voucher_key()
        accounts = Accounts(office.ledger.engine, hasher=cheap, voucher_key=key, latest_vouchers=latest)
        office = replace(office, accounts=accounts)
        yield Console(settings, office, clock, wsgi.build_app(settings, office, clock=clock))
