"""Who the people of an OpenID provider are here: known by a verified address once, then by the provider's name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, Row, select
from sqlalchemy.exc import IntegrityError

from backend import people
from backend.errors import ForbiddenError
from backend.ledger.database import reading, writing
from backend.ledger.tables import AccountRow
from backend.people import Account
from backend.vouchers import Vouchers


class Introductions:
    """What providers call the accounts, in the ledger's database."""

    def __init__(self, engine: Engine, *, vouchers: Vouchers) -> None:
        self._engine, self._vouchers = engine, vouchers

    def account(
        self,
        issuer: str,
        subject: str,
        *,
        verified_email: str | None,
        announce: Callable[[str], object] = lambda _: None,
    ) -> Account:
        """The account of whom a provider calls `subject`. The first time they are known by the address that the
        provider has verified, and from then on by the provider's name for them alone. announce: told the account's id
        before the two are joined.

        Raises `ForbiddenError`, in the same words whatever was wrong.
        """
        row = self._row(issuer, subject)
        if row is None and verified_email is not None:
            self._introduce(issuer, subject, verified_email, announce=announce)
            row = self._row(issuer, subject)
        if row is None or not row.on:
            raise ForbiddenError("there is no account here for whom the provider has signed in")
        return Account.of(row, self._vouchers)

    def forget(self, account_id: str) -> None:
        """Part an account from its provider's name for it; all sessions end."""
        ended = AccountRow.session_version + 1
        parted: dict[str, Any] = {"openid_issuer": None, "openid_subject": None, "session_version": ended}
        with writing(self._engine) as connection:
            Account.of(self._vouchers.change(connection, account_id, **parted), self._vouchers)

    def _row(self, issuer: str, subject: str) -> Row[Any] | None:
        them = AccountRow.openid_issuer == issuer, AccountRow.openid_subject == subject
        with reading(self._engine) as connection:
            return connection.execute(select(AccountRow.__table__).where(*them)).one_or_none()

    def _introduce(self, issuer: str, subject: str, email: str, *, announce: Callable[[str], object]) -> None:
        with reading(self._engine) as connection:
            there = connection.execute(people.of_email(email)).one_or_none()
        if there is None or there.openid_subject is not None or not self._may_be_joined(there):
            return
        announce(there.account_id)
        unknown = AccountRow.openid_subject.is_(None)
        values: dict[str, Any] = {"openid_issuer": issuer, "openid_subject": subject}
        with suppress(IntegrityError), writing(self._engine) as connection:  # another sign-in was faster
            row = connection.execute(people.of_email(email)).one_or_none()
            if row is not None and self._may_be_joined(row):
                self._vouchers.change(connection, row.account_id, unknown, **values)

    def _may_be_joined(self, row: Row[Any]) -> bool:
        return bool(row.on) and self._vouchers.hold(row)
