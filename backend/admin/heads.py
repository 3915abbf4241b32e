"""From the settings to the signed heads of the audit log, and to the command that takes them elsewhere."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from functools import partial

from backend.custody.heads import AuditHeads
from backend.custody.signing import SigningKey
from backend.errors import AuditError, ConfigError
from backend.settings import Settings

_COMMAND_S = 30


def audit_heads(settings: Settings) -> AuditHeads:
    """The signed heads of the audit log, where the settings say; the signing key is made when there is none.

    Raises `MasterKeyError`, and `ConfigError` for a command that cannot be one.
    """
    key = SigningKey.ensure(settings.signing_key())
    return AuditHeads(settings.audit_heads(), key, carry=_carry(settings.admin.heads_command))


def _carry(command: str | None) -> Callable[[bytes], None]:
    if command is None:
        return lambda _lines: None
    try:
        arguments = shlex.split(command)
    except ValueError:
        arguments = []
    if not arguments:
        raise ConfigError("G2FACE_ADMIN__HEADS_COMMAND is not a command with its arguments")
    return partial(_run, arguments)


def _run(arguments: list[str], lines: bytes) -> None:
    """No shell, and nothing of what the command says: it may speak of addresses and keys."""
    quiet = subprocess.DEVNULL
    try:
        subprocess.run(arguments, input=lines, stdout=quiet, stderr=quiet, timeout=_COMMAND_S, check=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        raise AuditError(f"the command for the audit log's head ended with status {error.returncode}") from None
    except subprocess.TimeoutExpired:
        raise AuditError(f"the command for the audit log's head took longer than {_COMMAND_S} s") from None
    except OSError as error:
        raise AuditError(f"the command for the audit log's head cannot be started: {error.strerror}") from None
