"""What a sweep does outside of custody: the ledger and the storage forget a subject, a command gets the log's head."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from backend.custody.heads import AuditHeads
from backend.custody.records import SubjectRef
from backend.custody.signing import SigningKey
from backend.errors import AuditError, ConfigError
from backend.ledger.ledger import Ledger
from backend.settings import Settings
from backend.storage import BlobStore

_COMMAND_S = 30


def audit_heads(settings: Settings) -> AuditHeads:
    """The signed heads of the audit log, where the settings say; the signing key is made when there is none.

    Raises `MasterKeyError`, and `ConfigError` for a command that cannot be one.
    """
    key = SigningKey.ensure(settings.signing_key())
    return AuditHeads(settings.audit_heads(), key, deliver=_deliver(settings.admin.heads_command))


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What a sweep makes of a subject outside of custody."""

    ledger: Ledger
    blobs: BlobStore

    def forget(self, ref: SubjectRef, *, now: datetime) -> None:
        """Empty the ledger of a subject, and the storage of what of theirs still waited for a worker.

        Whatever was discarded before and not deleted goes with it, as after a crash. Raises `LedgerError` and
        `StorageError`.
        """
        self.ledger.forget_subject(ref.project_id, ref.subject_id, now=now)
        while names := self.ledger.discarded_blobs():
            for name in names:
                self.blobs.delete(name)
            self.ledger.forget_blobs(names)


def _deliver(command: str | None) -> Callable[[bytes], None]:
    if command is None:
        return lambda _line: None
    try:
        arguments = shlex.split(command)
    except ValueError:
        arguments = []
    if not arguments:
        raise ConfigError("G2FACE_ADMIN__HEADS_COMMAND is not a command with its arguments")
    return partial(_run, arguments)


def _run(arguments: list[str], line: bytes) -> None:
    """No shell, and nothing of what the command says: it may speak of addresses and keys."""
    quiet = subprocess.DEVNULL
    try:
        subprocess.run(arguments, input=line, stdout=quiet, stderr=quiet, timeout=_COMMAND_S, check=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        raise AuditError(f"the command for the audit log's head ended with status {error.returncode}") from None
    except subprocess.TimeoutExpired:
        raise AuditError(f"the command for the audit log's head took longer than {_COMMAND_S} s") from None
    except OSError as error:
        raise AuditError(f"the command for the audit log's head cannot be started: {error.strerror}") from None
