"""Who may sign in, and what they may do: the people of the intake and of the admin, in the ledger's database.

The names of people never reach a log; an account's id does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import argon2
from sqlalchemy import Connection, Engine, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from backend import logs, people
from backend.enrolments import Enrolments
from backend.errors import ForbiddenError, LedgerError
from backend.introductions import Introductions
from backend.ledger.database import reading, writing
from backend.ledger.tables import AccountRow
from backend.passwords import Passwords, check_strength
from backend.people import ADMIN_ROLES as ADMIN_ROLES
from backend.people import Account as Account
from backend.people import Role as Role
from backend.tokens import Tokens
from backend.vouchers import Latest, Vouchers

_FAILURES_ALLOWED = 5
_LOCKED_FOR = timedelta(minutes=5)
_WRONG = "wrong e-mail address or password, or too many wrong ones: then wait five minutes"
_FIRST_MANAGER = "admin@localhost"
_FIRST_OFFICER = "officer@localhost"

_log = logs.get(__name__)


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


def new_account_id() -> str:
    """32 hexadecimal digits that are nobody's yet."""
    return secrets.token_hex(16)


class Accounts:
    """The accounts; with them, their `tokens`, the `enrolments` of their second factors and the `introductions` of
    OpenID providers."""

    def __init__(
        self,
        engine: Engine,
        *,
        voucher_key: bytes | None = None,
        latest_vouchers: Path | None = None,
        new_secret: Callable[[], str] = _new_secret,
        hasher: argon2.PasswordHasher | None = None,
    ) -> None:
        """voucher_key, latest_vouchers: the admin's key and file, see `vouchers`. `new_secret` makes one-time passwords
        and tokens. `hasher`: see `Passwords`; hashes made at other costs are renewed when their owner signs in."""
        self._engine = engine
        self._new_secret = new_secret
        self._passwords = Passwords(hasher)
        self._vouchers = Vouchers(voucher_key, None if latest_vouchers is None else Latest(latest_vouchers))
        self.tokens = Tokens(engine, new_secret=new_secret, vouchers=self._vouchers)
        self.enrolments = Enrolments(engine, vouchers=self._vouchers)
        self.introductions = Introductions(engine, vouchers=self._vouchers)

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
            "email": people.address(email),
            "password_hash": self._passwords.hash(password),
            "must_change": True,
            "roles": sorted(people.roles(roles)),
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
            account = self._account(people.row(connection, account_id))
        if not account.on:
            raise ForbiddenError("this account is off")
        return account

    def find(self, email: str) -> Account | None:
        """The account of this e-mail address, on or off."""
        with reading(self._engine) as connection:
            row = connection.execute(people.of_email(email)).one_or_none()
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
        """Let an account in, or no longer. Either way all its sessions and tokens end: none from before comes back."""
        with self._ending(account_id) as connection:
            self._changed(connection, account_id, on=on)

    def vouch(self, account_id: str, roles: Collection[str]) -> str:
        """Let an account count at the admin that was made or changed elsewhere, with these roles and nothing of what it
        had: a new one-time password, no second factor, no provider, no session, no tokens. Returns that password."""
        password = self._new_secret()
        with self._ending(account_id) as connection:
            self._changed(
                connection,
                account_id,
                anew=True,
                roles=sorted(people.roles(roles)),
                password_hash=self._passwords.hash(password),
                must_change=True,
                enrolment=AccountRow.enrolment + 1,
                enrolled=False,
                last_step=None,
                wrong_codes=0,
                openid_issuer=None,
                openid_subject=None,
            )
        return password

    def set_roles(self, account_id: str, roles: Collection[str]) -> Account:
        """Give an account these roles instead of its own, at once; taking one away ends all its sessions and tokens.
        Raises `LedgerError` for a role there is not."""
        wanted = people.roles(roles)
        with writing(self._engine) as connection:
            if people.roles(people.row(connection, account_id, hold=True).roles) - wanted:
                self._end(connection, account_id)
            return self._changed(connection, account_id, roles=sorted(wanted))

    def verify(self, email: str, password: str, *, now: datetime) -> Account:
        """The account, if the password is its own. Raises `ForbiddenError`, in the same words whatever was wrong.

        After five failures in a row nothing is let in for five minutes. An unknown address costs as much work as a
        known one, so that neither the answer nor its time says who has an account.
        """
        with reading(self._engine) as connection:
            row = connection.execute(people.of_email(email)).one_or_none()
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
        return self._change(
            account_id,
            password_hash=self._passwords.hash(password),
            must_change=False,
            session_version=AccountRow.session_version + 1,
        )

    def check_password(self, account_id: str, password: str) -> None:
        """Raises `ForbiddenError` unless this may be the account's next password: neither weak nor the present one."""
        check_strength(password)
        with reading(self._engine) as connection:
            current = people.row(connection, account_id)
        if self._passwords.matches(current.password_hash, password):
            raise ForbiddenError("the new password is the old one")

    def reset_password(self, account_id: str) -> str:
        """A new one-time password for someone who forgot theirs, which is not kept; all sessions and tokens end."""
        password = self._new_secret()
        with self._ending(account_id) as connection:
            self._changed(connection, account_id, password_hash=self._passwords.hash(password), must_change=True)
        return password

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

    @contextmanager
    def _ending(self, account_id: str) -> Iterator[Connection]:
        """A transaction in which all sessions and tokens of an account end, too."""
        with writing(self._engine) as connection:
            self._end(connection, account_id)
            yield connection

    def _end(self, connection: Connection, account_id: str) -> None:
        ended = self.tokens.end_all(connection, account_id)
        self._changed(connection, account_id, session_version=AccountRow.session_version + 1)
        _log.info("sessions and tokens ended", extra={"account_id": account_id, "count": ended})

    def _change(self, account_id: str, **values: Any) -> Account:
        with writing(self._engine) as connection:
            return self._changed(connection, account_id, **values)

    def _changed(self, connection: Connection, account_id: str, **values: Any) -> Account:
        return self._account(self._vouchers.change(connection, account_id, **values))

    def _account(self, row: Row[Any] | None) -> Account:
        return Account.of(row, self._vouchers)
