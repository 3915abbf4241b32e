"""From the settings to a running admin."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial

import waitress
from flask import Flask

from backend.accounts import Accounts
from backend.admin import keys
from backend.admin.app import create_app
from backend.admin.auth import Door
from backend.admin.office import Office
from backend.admin.second_factor import SecondFactor
from backend.custody import database, pseudonyms
from backend.custody.audit import AuditLog
from backend.custody.heads import AuditHeads
from backend.custody.recovery import Recovery, Rules
from backend.custody.records import NewEvent
from backend.custody.retention import Retention
from backend.custody.signing import SigningKey
from backend.labelstudio.client import LabelStudio
from backend.ledger.ledger import Ledger
from backend.metrics import Metrics
from backend.settings import Settings
from backend.storage import BlobStore

THREADS = 8
_MAX_BODY_BYTES = 64 * 1024
