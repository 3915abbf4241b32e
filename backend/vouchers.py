"""What the admin vouches for in a database that others write to as well: its people and their tokens.

The intake and the plugin share the accounts' database, so that whoever takes one of them over could write themselves
any account. A row counts at the admin only with a voucher: a keyed hash of all that decides who may do what, whose key
the admin's processes alone have. And only with the latest one: a row as it was before, and as it was right then, is put
back as easily as it is read.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from backend.errors import ConfigError
from backend.ledger.tables import AccountRow, TokenRow

_ACCOUNT = (
    "account_id",
    "email",
    "password_hash",
    "roles",
    "on",
    "enrolment",
    "enrolled",
    "openid_issuer",
    "openid_subject",
)
_TOKEN = ("token_id", "account_id", "token_sha256", "scope", "expires_at", "created_at")


_ENDED = "-"
_LINE = re.compile(rb"([0-9a-f]{32}) ([0-9a-f]{64}|-)\n")


class Latest:
    """By account and token, the voucher that was given last, in a file that only the admin's processes write to.

    It is written before the database has the row: whoever dies in between leaves a row that counts no more, and never
    an older one that does. All methods raise `ConfigError` when the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.RLock()
        self._read_bytes, self._known = 0, dict[str, str]()

    def is_it(self, row_id: str, voucher: str) -> bool:
        """Whether none was given since. The first one that is seen of a row counts as the latest."""
        with self._lock:
            self._read()
            if row_id not in self._known:
                self.keep(row_id, voucher)
            return self._known[row_id] == voucher

    def keep(self, row_id: str, voucher: str) -> None:
        """From now on it is this one."""
        with self._lock:
            self._read()
            if self._known.get(row_id) != voucher:
                self._add(f"{row_id} {voucher}\n".encode())
                self._read()

    def _add(self, line: bytes) -> None:
        """The line, on the disk. What somebody left who died within a line is none, and ends before this one."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(b"\n" + line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise ConfigError(f"the latest vouchers cannot be kept: {error.strerror}") from None

    def _read(self) -> None:
        """What was added, by whichever process."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_bytes)
                lines = [line for line in file if line.endswith(b"\n")]
        except FileNotFoundError:
            lines, self._read_bytes, self._known = [], 0, {}
        except OSError as error:
            raise ConfigError(f"the latest vouchers cannot be read: {error.strerror}") from None
        self._read_bytes += sum(map(len, lines))
        found = (match for line in lines if (match := _LINE.fullmatch(line)))
        self._known |= {match[1].decode(): match[2].decode() for match in found}


class Vouchers:
    """Makes and checks vouchers. Without a key, as at the intake, none is made and none is right. `latest`: where the
    latest ones are kept; None: every right one counts."""

    def __init__(self, key: bytes | None, latest: Latest | None = None) -> None:
        self._key, self._latest = key, latest

    def hold(self, row: Row[Any]) -> bool:
        """Whether the voucher of an account's or a token's whole row is right, and the latest of it."""
        made = self._made(row)
        if made is None or row.voucher is None or not hmac.compare_digest(made.encode(), row.voucher.encode()):
            return False
        return self._latest is None or self._latest.is_it(_id(row), made)

    def change(
        self,
        connection: Connection,
        account_id: str,
        *conditions: ColumnElement[bool],
        anew: bool = False,
        **values: Any,
    ) -> Row[Any] | None:
        """Change an account where the conditions are met: its row afterwards, or None where they are not.

        It is vouched for afterwards if it was before; anew: in any case, for whoever vouches knows all that it is.
        """
        account = AccountRow.account_id == account_id
        found = select(AccountRow.__table__).where(account)
        before = connection.execute(found.with_for_update()).one_or_none()
        changed = update(AccountRow).where(account, *conditions).values(**values)
        if before is None or connection.execute(changed).rowcount == 0:
            return None
        after = connection.execute(found).one()
        if anew or self.hold(before):
            connection.execute(update(AccountRow).where(account).values(voucher=self._given(after)))
            after = connection.execute(found).one()
        return after

    def give(self, connection: Connection, token_id: str) -> None:
        """Vouch for a token that was written in this transaction."""
        token = TokenRow.token_id == token_id
        row = connection.execute(select(TokenRow.__table__).where(token)).one()
        connection.execute(update(TokenRow).where(token).values(voucher=self._given(row)))

    def end(self, token_id: str) -> None:
        """No voucher of this token counts any more."""
        if self._key is not None and self._latest is not None:
            self._latest.keep(token_id, _ENDED)

    def _given(self, row: Row[Any]) -> str | None:
        made = self._made(row)
        if made is not None and self._latest is not None:
            self._latest.keep(_id(row), made)
        return made

    def _made(self, row: Row[Any]) -> str | None:
        if self._key is None:
            return None
        names = _ACCOUNT if _is_account(row) else _TOKEN
        fields = [names, [_plain(getattr(row, name)) for name in names]]
        return hmac.digest(self._key, json.dumps(fields).encode(), hashlib.sha256).hex()


def _is_account(row: Row[Any]) -> bool:
    return hasattr(row, "email")


def _id(row: Row[Any]) -> str:
    return str(row.account_id if _is_account(row) else row.token_id)


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
