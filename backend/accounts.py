"""Who may sign in, and with what. Passwords are kept as argon2id hashes, tokens as SHA-256; neither can be read back.

Accounts lie in the ledger's database. The names of people never reach a log; an account's id does.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import argon2
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from backend.errors import ForbiddenError, LedgerError
from backend.ledger.database import reading, writing
from backend.ledger.tables import AccountRow, TokenRow

MIN_PASSWORD_LENGTH = 12
_MAX_PASSWORD_LENGTH = 1024  # hashing is work; nobody may order any amount of it
_FAILURES_ALLOWED = 5
_LOCKED_FOR = timedelta(minutes=5)
_WRONG = "wrong e-mail address or password, or too many wrong ones: then wait five minutes"
_FIRST_EMAIL = "admin@localhost"


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


class Role(StrEnum):
    """What a person may do. One person may have several roles, but never approve their own request."""

    MANAGER = "manager"
    REQUESTER = "requester"
    APPROVER = "approver"
    AUDITOR = "auditor"
    KEY_OFFICER = "key_officer"


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in. must_change: their password was made here and shown once, so it has to be replaced.
    session_version: sessions that began under another one have ended: the password was changed since, or the account
    was off."""

    account_id: str
    email: str
    roles: frozenset[Role]
    must_change: bool
    on: bool
    session_version: int
    created_at: datetime

    def require(self, role: Role) -> None:
        """Raises `ForbiddenError` unless the account has `role`."""
        if role not in self.roles:
            raise ForbiddenError(f"this needs the role {role.value}")


class Accounts:
    """The accounts and their API tokens, in the ledger's database."""

    def __init__(
        self,
        engine: Engine,
        *,
        new_secret: Callable[[], str] = _new_secret,
        hasher: argon2.PasswordHasher | None = None,
    ) -> None:
        """`new_secret` makes one-time passwords and tokens. `hasher`: argon2id at the costs of RFC 9106 for little
        memory, unless given; hashes made at other costs are renewed when their owner signs in."""
        self._engine = engine
        self._new_secret = new_secret
        self._hasher = hasher or argon2.PasswordHasher()
        self._hash_of_nobody = self._hasher.hash(secrets.token_urlsafe(32))

    def create(self, email: str, *, roles: Collection[str], now: datetime) -> tuple[Account, str]:
        """A new account and its one-time password, which is not kept. Raises `LedgerError` if the address is taken."""
        if "@" not in email:
            raise LedgerError("an account goes by an e-mail address")
        password = self._new_secret()
        row = {
            "account_id": secrets.token_hex(16),
            "email": _email(email),
            "password_hash": self._hasher.hash(_bytes(password)),
            "must_change": True,
            "roles": sorted(_roles(roles)),
            "on": True,
            "session_version": 0,
            "failures": 0,
            "created_at": now,
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(AccountRow).values(**row))
                return _account(_row(connection, str(row["account_id"]))), password
        except IntegrityError:
            raise LedgerError("there is an account of this e-mail address already") from None

    def ensure_first(self, roles: Collection[str], *, now: datetime) -> tuple[str, str] | None:
        """When there is no account at all, make one: (its e-mail address, its one-time password). Otherwise None."""
        with reading(self._engine) as connection:
            if connection.scalar(select(func.count()).select_from(AccountRow)):
                return None
        try:
            account, password = self.create(_FIRST_EMAIL, roles=roles, now=now)
        except LedgerError:  # another process was faster
            return None
        return account.email, password

    def account(self, account_id: str) -> Account:
        """The account of this id. Raises `ForbiddenError` if there is none or it is off."""
        with reading(self._engine) as connection:
            account = _account(_row(connection, account_id))
        if not account.on:
            raise ForbiddenError("this account is off")
        return account

    def accounts(self) -> list[Account]:
        """All accounts, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(AccountRow.__table__).order_by(AccountRow.created_at, AccountRow.email))
            return [_account(row) for row in rows]

    def switch(self, account_id: str, *, on: bool) -> None:
        """Let an account in, or no longer; its tokens with it. Sessions from before do not come back."""
        values: dict[str, Any] = {"on": on} if on else {"on": on, "session_version": AccountRow.session_version + 1}
        with writing(self._engine) as connection:
            _row(connection, account_id)
            connection.execute(update(AccountRow).where(AccountRow.account_id == account_id).values(**values))

    def verify(self, email: str, password: str, *, now: datetime) -> Account:
        """The account, if the password is its own. Raises `ForbiddenError`, in the same words whatever was wrong.

        After five failures in a row nothing is let in for five minutes. An unknown address costs as much work as a
        known one, so that neither the answer nor its time says who has an account.
        """
        with reading(self._engine) as connection:
            of_email = select(AccountRow.__table__).where(AccountRow.email == _email(email))
            row = connection.execute(of_email).one_or_none()
        right = self._matches(self._hash_of_nobody if row is None else row.password_hash, password)
        if row is None:
            raise ForbiddenError(_WRONG)
        if row.locked_until is not None and row.locked_until > now:
            raise ForbiddenError(_WRONG)
        if not right or not row.on:
            self._count_failure(row.account_id, now=now)
            raise ForbiddenError(_WRONG)
        with writing(self._engine) as connection:
            reset: dict[str, Any] = {"failures": 0, "locked_until": None}
            if self._hasher.check_needs_rehash(row.password_hash):
                reset["password_hash"] = self._hasher.hash(_bytes(password))
            connection.execute(update(AccountRow).where(AccountRow.account_id == row.account_id).values(**reset))
        return _account(row)

    def set_password(self, account_id: str, password: str) -> Account:
        """Replace the password by one of the person's own choosing; all sessions end. Raises `ForbiddenError` on a weak
        one."""
        if not MIN_PASSWORD_LENGTH <= len(password) <= _MAX_PASSWORD_LENGTH:
            raise ForbiddenError(f"a password has at least {MIN_PASSWORD_LENGTH} characters")
        with reading(self._engine) as connection:
            current = _row(connection, account_id)
        if self._matches(current.password_hash, password):
            raise ForbiddenError("the new password is the old one")
        return self._replace_password(account_id, password, must_change=False)

    def reset_password(self, account_id: str) -> str:
        """A new one-time password for someone who forgot theirs, which is not kept; all sessions end."""
        password = self._new_secret()
        self._replace_password(account_id, password, must_change=True)
        return password

    def issue_token(self, account: Account, *, scope: str, expires_at: datetime | None, now: datetime) -> str:
        """A token for programs that act for `account`, shown this once."""
        token = self._new_secret()
        row = {
            "token_id": secrets.token_hex(16),
            "account_id": account.account_id,
            "token_sha256": _token_sha256(token),
            "scope": scope,
            "expires_at": expires_at,
            "created_at": now,
        }
        with writing(self._engine) as connection:
            connection.execute(insert(TokenRow).values(**row))
        return token

    def verify_token(self, token: str, *, scope: str, now: datetime) -> Account:
        """The account that `token` acts for within `scope`. Raises `ForbiddenError`, in the same words whatever was
        wrong."""
        query = (
            select(TokenRow.expires_at, AccountRow.__table__)
            .join_from(TokenRow, AccountRow)
            .where(TokenRow.token_sha256 == _token_sha256(token), TokenRow.scope == scope, AccountRow.on)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None or (row.expires_at is not None and row.expires_at <= now):
            raise ForbiddenError("this token is not valid here")
        return _account(row)

    def revoke_tokens(self, account_id: str) -> int:
        """End all of an account's tokens; how many those were."""
        with writing(self._engine) as connection:
            return connection.execute(delete(TokenRow).where(TokenRow.account_id == account_id)).rowcount

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _bytes(password))
        except argon2.exceptions.VerifyMismatchError:
            return False

    def _count_failure(self, account_id: str, *, now: datetime) -> None:
        """One more failure; the fifth locks the account and begins to count afresh."""
        mine = AccountRow.account_id == account_id
        with writing(self._engine) as connection:
            counted = update(AccountRow).where(mine).values(failures=AccountRow.failures + 1)
            failures = connection.scalar(counted.returning(AccountRow.failures)) or 0
            if failures >= _FAILURES_ALLOWED:
                locked = {"failures": 0, "locked_until": now + _LOCKED_FOR}
                connection.execute(update(AccountRow).where(mine).values(**locked))

    def _replace_password(self, account_id: str, password: str, *, must_change: bool) -> Account:
        values = {
            "password_hash": self._hasher.hash(_bytes(password)),
            "must_change": must_change,
            "session_version": AccountRow.session_version + 1,
        }
        with writing(self._engine) as connection:
            connection.execute(update(AccountRow).where(AccountRow.account_id == account_id).values(**values))
            return _account(_row(connection, account_id))


def _bytes(text: str) -> bytes:
    """For hashing: never more than a hash should be asked to work on, and never an error, whatever was typed."""
    return text[: _MAX_PASSWORD_LENGTH + 1].encode("utf-8", "surrogatepass")


def _email(email: str) -> str:
    """One spelling per address; what no database can hold is left out, and then nobody's."""
    return "".join(sign for sign in email.strip().lower()[:320] if sign.isprintable())


def _roles(names: Collection[str]) -> set[Role]:
    try:
        return {Role(name) for name in names}
    except ValueError:
        raise LedgerError(f"a role is one of {', '.join(Role)}") from None


def _token_sha256(token: str) -> str:
    # Tokens are 32 random bytes: nothing to guess, so a fast hash is enough.
    return hashlib.sha256(_bytes(token)).hexdigest()


def _row(connection: Connection, account_id: str) -> Row[Any]:
    row = connection.execute(select(AccountRow.__table__).where(AccountRow.account_id == account_id)).one_or_none()
    if row is None:
        raise ForbiddenError("there is no such account")
    return row


def _account(row: Row[Any]) -> Account:
    return Account(
        account_id=row.account_id,
        email=row.email,
        roles=frozenset(_roles(row.roles)),
        must_change=row.must_change,
        on=row.on,
        session_version=row.session_version,
        created_at=row.created_at,
    )
