"""From the settings to a running admin."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import waitress
from flask import Flask, Response

from backend.accounts import Accounts, Role
from backend.admin import keys
from backend.admin.app import MAX_BODY_BYTES, create_app
from backend.admin.auth import Door
from backend.admin.heads import audit_heads
from backend.admin.office import Office
from backend.admin.openid import Provider
from backend.admin.second_factor import SecondFactor
from backend.admin.sign_in import BACK
from backend.custody import database, pseudonyms
from backend.custody.audit import AuditLog
from backend.custody.records import NewEvent
from backend.custody.recovery import Recovery, Rules
from backend.custody.retention import Retention
from backend.custody.signing import SigningKey
from backend.doorway import serving
from backend.errors import ConfigError
from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.metrics import CONTENT_TYPE, Metrics
from backend.settings import Settings
from backend.storage import BlobStore

SERVER_OPTIONS = serving.options(max_body_bytes=MAX_BODY_BYTES)
"""How waitress serves the admin."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def open_office(settings: Settings, stack: ExitStack) -> Office:
    """Everything behind the console, the API and the command line; `stack` closes it.

    Raises `MasterKeyError` when there is no master key, which is made by `init-keys`.
    """
    ledger = Ledger.open(settings.database())
    stack.callback(ledger.close)
    vault = database.open_vault(settings.vault())
    stack.callback(vault.dispose)
    keyring, master = keys.keyring(settings), keys.master_key(settings)
    stack.callback(keyring.close)
    signing_key = SigningKey.ensure(settings.signing_key())
    heads = audit_heads(settings)
    pseudonym = partial(pseudonyms.pseudonym, settings.pseudonym_key())
    grace = timedelta(days=settings.admin.grace_days)
    rules, latest = _rules(settings), settings.latest_vouchers()
    accounts = Accounts(ledger.engine, voucher_key=settings.voucher_key(), latest_vouchers=latest)
    may_approve = partial(accounts.may, role=Role.APPROVER)
    return Office(
        ledger=ledger,
        blobs=BlobStore(settings.storage()),
        accounts=accounts,
        audit=AuditLog(vault),
        recovery=Recovery(
            vault,
            keyring,
            master,
            rules=rules,
            pseudonym=pseudonym,
            heads=heads,
            voucher_key=settings.voucher_key(),
            may_approve=may_approve,
        ),
        retention=Retention(vault, keyring, grace=grace, pseudonym=pseudonym, signing_key=signing_key, heads=heads),
        heads=heads,
        keyring=keyring,
        master=master,
        rules=rules,
        labelstudio=_label_studio(settings),
    )


def build_app(settings: Settings, office: Office, *, clock: Callable[[], datetime] = _utc_now) -> Flask:
    """The web application for `office`."""

    def record(action: str, account_id: str) -> None:
        office.audit.append([NewEvent(account_id, action, account_id)], now=clock())

    metrics, factor = Metrics(), SecondFactor(settings.second_factor_key())
    door = Door(office.accounts, factor, clock=clock, record=record, metrics=metrics)
    key, provider = settings.admin_session_key(), _provider(settings)
    hops = settings.admin.trusted_proxies
    app = create_app(office, door, session_key=key, provider=provider, trusted_proxies=hops, clock=clock)
    app.add_url_rule("/metrics", "metrics", lambda: Response(metrics.exposition(), content_type=CONTENT_TYPE))
    return app


def serve(settings: Settings) -> None:
    """Serve until the process is told to stop. The first key officer is made, and the one-time password shown, on the
    way."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a container's first process would ignore it otherwise
    with ExitStack() as stack:
        office = open_office(settings, stack)
        app = build_app(settings, office)
        first = office.accounts.ensure_officer(now=_utc_now(), announce=partial(_announce, office))
        if first is not None:
            email, password = first
            # To the terminal, not to the log: it is shown once and has to be changed at the first sign-in.
            sys.stdout.write(f"First account: {email}\nOne-time password: {password}\n")
            sys.stdout.flush()
        waitress.serve(app, host=settings.admin.host, port=settings.admin.port, **SERVER_OPTIONS)


def _announce(office: Office, account_id: str) -> None:
    office.audit.append([NewEvent("admin", "account.added", account_id)], now=_utc_now())


def _rules(settings: Settings) -> Rules:
    return Rules(
        approvals=settings.admin.approvals,
        request_lasts=timedelta(hours=settings.admin.request_hours),
        retrieval_lasts=timedelta(minutes=settings.admin.retrieval_minutes),
        forensic_mark=settings.admin.forensic_mark,
    )


def _provider(settings: Settings) -> Provider | None:
    admin = settings.admin
    if admin.oidc_issuer is None and admin.oidc_client_id is None:
        return None
    if admin.oidc_issuer is None or admin.oidc_client_id is None:
        raise ConfigError("an OpenID provider takes both G2FACE_ADMIN__OIDC_ISSUER and G2FACE_ADMIN__OIDC_CLIENT_ID")
    secret = None if admin.oidc_client_secret is None else admin.oidc_client_secret.get_secret_value()
    back_url = admin.public_url + BACK
    return Provider(admin.oidc_issuer, admin.oidc_client_id, secret, back_url=back_url)


def _label_studio(settings: Settings) -> LabelStudio | None:
    key = settings.labelstudio.api_key
    if key is None:
        return None
    return LabelStudio(settings.labelstudio.url, key.get_secret_value(), verify_tls=settings.labelstudio.verify_tls)
