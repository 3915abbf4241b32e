"""From the settings to a running intake."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from datetime import UTC, datetime

import waitress
from flask import Flask

from backend.accounts import Accounts
from backend.doorway import serving
from backend.intake.app import create_app
from backend.intake.collecting import Collecting
from backend.intake.desk import Desk, key_reader
from backend.jobs import Jobs
from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.redis_server import EmbeddedRedis
from backend.settings import Settings
from backend.storage import BlobStore


def open_desk(settings: Settings, stack: ExitStack) -> tuple[Desk, Accounts]:
    """Everything behind the counter; `stack` closes it."""
    ledger = Ledger.open(settings.database())
    stack.callback(ledger.close)
    redis_url = settings.redis() or stack.enter_context(EmbeddedRedis(settings.data_dir)).url
    desk = Desk(
        ledger=ledger,
        blobs=BlobStore(settings.storage()),
        jobs=Jobs(redis_url),
        inbox_public_key=key_reader(settings.inbox_public_key()),
        labelstudio=_label_studio(settings),
        image_host=settings.plugin.public_url.split("://", 1)[1].split("/", 1)[0],
        backend_host=settings.backend_host(),
        s3_prefixes=settings.intake.s3_prefixes,
    )
    return desk, Accounts(ledger.engine)


def build_app(settings: Settings, desk: Desk, accounts: Accounts, *, collecting: Collecting) -> Flask:
    """The web application for `desk`."""
    return create_app(
        desk,
        accounts,
        collecting=collecting,
        session_key=settings.session_key(),
        max_upload_bytes=settings.intake.max_upload_bytes,
        trusted_proxies=settings.intake.trusted_proxies,
    )


def serve(settings: Settings) -> None:
    """Serve until the process is told to stop. The first account is made, and its password shown, on the way."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a container's first process would ignore it otherwise
    with ExitStack() as stack:
        desk, accounts = open_desk(settings, stack)
        first = accounts.ensure_manager(now=datetime.now(UTC))
        if first is not None:
            email, password = first
            # To the terminal, not to the log: it is shown once and has to be changed at the first sign-in.
            sys.stdout.write(f"First account: {email}\nOne-time password: {password}\n")
            sys.stdout.flush()
        collecting = stack.enter_context(Collecting(desk, lambda: datetime.now(UTC)))
        waitress.serve(
            build_app(settings, desk, accounts, collecting=collecting),
            host=settings.intake.host,
            port=settings.intake.port,
            **serving.options(max_body_bytes=settings.intake.max_upload_bytes),
        )


def _label_studio(settings: Settings) -> LabelStudio | None:
    key = settings.labelstudio.api_key
    if key is None:
        return None
    return LabelStudio(settings.labelstudio.url, key.get_secret_value(), verify_tls=settings.labelstudio.verify_tls)
