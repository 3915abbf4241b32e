"""Who may sign in, and what they may do: the people of the intake and of the admin, in the ledger's database.

The names of people never reach a log; an account's id does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import argon2
from sqlalchemy import Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from backend.enrolments import Enrolments
from backend.errors import ForbiddenError, LedgerError
from backend.ledger.database import reading, writing
from backend.ledger.tables import AccountRow
from backend.passwords import Passwords, check_strength
from backend.tokens import Tokens
from backend.vouchers import Vouchers

_FAILURES_ALLOWED = 5
_LOCKED_FOR = timedelta(minutes=5)
_WRONG = "wrong e-mail address or password, or too many wrong ones: then wait five minutes"
_FIRST_MANAGER = "admin@localhost"
_FIRST_OFFICER = "officer@localhost"


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


def new_account_id() -> str:
    """32 hexadecimal digits that are nobody's yet."""
    return secrets.token_hex(16)


class Role(StrEnum):
    """What a person may do. One person may have several roles, but never approve their own request."""

    MANAGER = "manager"
    REQUESTER = "requester"
    APPROVER = "approver"
    AUDITOR = "auditor"
    KEY_OFFICER = "key_officer"


ADMIN_ROLES = frozenset(Role) - {Role.MANAGER}
"""The roles of the restricted endpoint; the manager's is the intake's."""


@dataclass(frozen=True, slots=True)
class Account:
    """A person who may sign in. must_change: their password was made here and shown once, so it has to be replaced.
    session_version: sessions that began under another one have ended: the password was changed since, or the account
    was off. enrolment: how many second factors were begun; enrolled: the last one holds. openid: they have signed in
    through an OpenID provider, which knows them. vouched: the admin has made it what it is; no role counts there
    otherwise."""

    account_id: str
    email: str
    roles: frozenset[Role]
    must_change: bool
    on: bool
    session_version: int
    enrolment: int
    enrolled: bool
    openid: bool
    vouched: bool
    created_at: datetime

    def require(self, role: Role) -> None:
        """Raises `ForbiddenError` unless the account has `role`."""
        if role not in self.roles:
            raise ForbiddenError(f"this needs the role {role.value}")


class Accounts:
    """The accounts; with them, their `tokens` and the `enrolments` of their second factors."""

    def __init__(
        self,
        engine: Engine,
        *,
        voucher_key: bytes | None = None,
        new_secret: Callable[[], str] = _new_secret,
        hasher: argon2.PasswordHasher | None = None,
    ) -> None:
        """voucher_key: the admin's, see `Vouchers`. `new_secret` makes one-time passwords and tokens. `hasher`: see
        `Passwords`; hashes made at other costs are renewed when their owner signs in."""
        self._engine = engine
        self._new_secret = new_secret
        self._passwords = Passwords(hasher)
        self._vouchers = Vouchers(voucher_key)
        self.tokens = Tokens(engine, new_secret=new_secret, vouchers=self._vouchers)
        self.enrolments = Enrolments(engine, vouchers=self._vouchers)

    def create(
        self, email: str, *, roles: Collection[str], now: datetime, account_id: str | None = None
    ) -> tuple[Account, str]:
        """A new account and its one-time password, which is not kept. account_id: 32 hexadecimal digits, made here
        unless somebody has written down already which it will be. Raises `LedgerError` if the address is taken."""
        if "@" not in email:
            raise LedgerError("an account goes by an e-mail address")
        password, account_id = self._new_secret(), account_id or new_account_id()
        row = {
            "account_id": account_id,
            "email": _email(email),
            "password_hash": self._passwords.hash(password),
            "must_change": True,
            "roles": sorted(_roles(roles)),
            "on": True,
            "session_version": 0,
            "failures": 0,
            "enrolment": 0,
            "enrolled": False,
            "wrong_codes": 0,
            "created_at": now,
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(AccountRow).values(**row))
                made = self._vouchers.change(connection, account_id, anew=True, on=True)
                return self._account(made), password
        except IntegrityError:
            raise LedgerError("there is an account of this e-mail address already") from None

    def ensure_manager(self, *, now: datetime) -> tuple[str, str] | None:
        """When there is no manager at all, make one: (its e-mail address, its one-time password). Otherwise None."""
        return self._ensure(Role.MANAGER, _FIRST_MANAGER, [Role.MANAGER], now=now)

    def ensure_officer(
        self, *, now: datetime, announce: Callable[[str], object] = lambda _: None
    ) -> tuple[str, str] | None:
        """When there is no key officer at all, make one, with all roles of the admin: (its e-mail address, its one-time
        password). Otherwise None. announce: told the account's id before there is one."""
        return self._ensure(Role.KEY_OFFICER, _FIRST_OFFICER, ADMIN_ROLES, now=now, announce=announce)

    def account(self, account_id: str) -> Account:
        """The account of this id. Raises `ForbiddenError` if there is none or it is off."""
        with reading(self._engine) as connection:
            account = self._account(_row(connection, account_id))
        if not account.on:
            raise ForbiddenError("this account is off")
        return account

    def find(self, email: str) -> Account | None:
        """The account of this e-mail address, on or off."""
        with reading(self._engine) as connection:
            row = connection.execute(_of_email(email)).one_or_none()
        return None if row is None else self._account(row)

    def may(self, account_id: str, role: Role) -> bool:
        """Whether there is such an account, on, vouched for and with this role."""
        try:
            account = self.account(account_id)
        except ForbiddenError:
            return False
        return account.vouched and role in account.roles

    def accounts(self) -> list[Account]:
        """All accounts, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(AccountRow.__table__).order_by(AccountRow.created_at, AccountRow.email))
            return [self._account(row) for row in rows]

    def switch(self, account_id: str, *, on: bool) -> None:
        """Let an account in, or no longer; its tokens with it. Sessions from before do not come back."""
        ending: dict[str, Any] = {} if on else {"session_version": AccountRow.session_version + 1}
        self._change(account_id, on=on, **ending)

    def vouch(self, account_id: str, roles: Collection[str]) -> str:
        """Let an account count at the admin that was made or changed elsewhere, with these roles and nothing of what it
        had: a new one-time password, no second factor, no provider, no tokens. Returns that password."""
        password = self._new_secret()
        self.tokens.revoke_all(account_id)
        self._change(
            account_id,
            anew=True,
            roles=sorted(_roles(roles)),
            password_hash=self._passwords.hash(password),
            must_change=True,
            enrolment=AccountRow.enrolment + 1,
            enrolled=False,
            last_step=None,
            wrong_codes=0,
            openid_issuer=None,
            openid_subject=None,
            session_version=AccountRow.session_version + 1,
        )
        return password

    def set_roles(self, account_id: str, roles: Collection[str]) -> Account:
        """Give an account these roles instead of its own, at once. Raises `LedgerError` for a role there is not."""
        return self._change(account_id, roles=sorted(_roles(roles)))

    def verify(self, email: str, password: str, *, now: datetime) -> Account:
        """The account, if the password is its own. Raises `ForbiddenError`, in the same words whatever was wrong.

        After five failures in a row nothing is let in for five minutes. An unknown address costs as much work as a
        known one, so that neither the answer nor its time says who has an account.
        """
        with reading(self._engine) as connection:
            row = connection.execute(_of_email(email)).one_or_none()
        right = self._passwords.matches(None if row is None else row.password_hash, password)
        if row is None or (row.locked_until is not None and row.locked_until > now):
            raise ForbiddenError(_WRONG)
        if not right or not row.on:
            self._count_failure(row.account_id, now=now)
            raise ForbiddenError(_WRONG)
        fresh: dict[str, Any] = {"failures": 0, "locked_until": None}
        if self._passwords.is_outdated(row.password_hash) and (row.voucher is None or self._vouchers.hold(row)):
            fresh["password_hash"] = self._passwords.hash(password)
        return self._change(row.account_id, **fresh)

    def set_password(self, account_id: str, password: str) -> Account:
        """Replace the password by one of the person's own choosing; all sessions end. Raises as `check_password`."""
        self.check_password(account_id, password)
        return self._replace_password(account_id, password, must_change=False)

    def check_password(self, account_id: str, password: str) -> None:
        """Raises `ForbiddenError` unless this may be the account's next password: neither weak nor the present one."""
        check_strength(password)
        with reading(self._engine) as connection:
            current = _row(connection, account_id)
        if self._passwords.matches(current.password_hash, password):
            raise ForbiddenError("the new password is the old one")

    def reset_password(self, account_id: str) -> str:
        """A new one-time password for someone who forgot theirs, which is not kept; all sessions end."""
        password = self._new_secret()
        self._replace_password(account_id, password, must_change=True)
        return password

    def of_openid(
        self,
        issuer: str,
        subject: str,
        *,
        verified_email: str | None,
        announce: Callable[[str], object] = lambda _: None,
    ) -> Account:
        """The account of whom an OpenID provider calls `subject`. The first time they are known by the address that the
        provider has verified, and from then on by the provider's name for them alone. announce: told the account's id
        before the two are joined.

        Raises `ForbiddenError`, in the same words whatever was wrong.
        """
        row = self._of_openid(issuer, subject)
        if row is None and verified_email is not None:
            self._introduce(issuer, subject, verified_email, announce=announce)
            row = self._of_openid(issuer, subject)
        if row is None or not row.on:
            raise ForbiddenError("there is no account here for whom the provider has signed in")
        return self._account(row)

    def forget_openid(self, account_id: str) -> None:
        """Part an account from its OpenID provider's name for it; all sessions end."""
        ended = AccountRow.session_version + 1
        self._change(account_id, openid_issuer=None, openid_subject=None, session_version=ended)

    def _of_openid(self, issuer: str, subject: str) -> Row[Any] | None:
        them = AccountRow.openid_issuer == issuer, AccountRow.openid_subject == subject
        with reading(self._engine) as connection:
            return connection.execute(select(AccountRow.__table__).where(*them)).one_or_none()

    def _introduce(self, issuer: str, subject: str, email: str, *, announce: Callable[[str], object]) -> None:
        there = self.find(email)
        if there is None or there.openid or not (there.on and there.vouched):
            return
        announce(there.account_id)
        unknown = AccountRow.openid_subject.is_(None)
        values: dict[str, Any] = {"openid_issuer": issuer, "openid_subject": subject}
        with suppress(IntegrityError), writing(self._engine) as connection:  # another sign-in was faster
            row = connection.execute(_of_email(email)).one_or_none()
            if row is not None and row.on and self._vouchers.hold(row):
                self._vouchers.change(connection, row.account_id, unknown, **values)

    def _ensure(
        self,
        role: Role,
        email: str,
        roles: Collection[str],
        *,
        now: datetime,
        announce: Callable[[str], object] = lambda _: None,
    ) -> tuple[str, str] | None:
        if self.find(email) or any(role in account.roles for account in self.accounts()):
            return None
        account_id = new_account_id()
        announce(account_id)
        try:
            account, password = self.create(email, roles=roles, now=now, account_id=account_id)
        except LedgerError:  # another process was faster
            return None
        return account.email, password

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
        return self._change(
            account_id,
            password_hash=self._passwords.hash(password),
            must_change=must_change,
            session_version=AccountRow.session_version + 1,
        )

    def _change(self, account_id: str, **values: Any) -> Account:
        with writing(self._engine) as connection:
            return self._account(self._vouchers.change(connection, account_id, **values))

    def _account(self, row: Row[Any] | None) -> Account:
        if row is None:
            raise ForbiddenError("there is no such account")
        return Account(
            account_id=row.account_id,
            email=row.email,
            roles=frozenset(_roles(row.roles)),
            must_change=row.must_change,
            on=row.on,
            session_version=row.session_version,
            enrolment=row.enrolment,
            enrolled=row.enrolled,
            openid=row.openid_subject is not None,
            vouched=self._vouchers.hold(row),
            created_at=row.created_at,
        )


def _of_email(email: str) -> Any:
    return select(AccountRow.__table__).where(AccountRow.email == _email(email))


def _email(email: str) -> str:
    """One spelling per address; what no database can hold is left out, and then nobody's."""
    return "".join(sign for sign in email.strip().lower()[:320] if sign.isprintable())


def _roles(names: Collection[str]) -> set[Role]:
    try:
        return {Role(name) for name in names}
    except ValueError:
        raise LedgerError(f"a role is one of {', '.join(Role)}") from None


def _row(connection: Connection, account_id: str) -> Row[Any]:
    row = connection.execute(select(AccountRow.__table__).where(AccountRow.account_id == account_id)).one_or_none()
    if row is None:
        raise ForbiddenError("there is no such account")
    return row
