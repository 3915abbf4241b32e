"""Who somebody with an account is, as a value and as a row: what they may do, and whether the admin vouches for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from backend.errors import ForbiddenError, LedgerError
from backend.ledger.tables import AccountRow
from backend.vouchers import Vouchers


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
    session_version: sessions that began under another one have ended: the password was changed since, a role taken
    away, or the account was off. enrolment: how many second factors were begun; enrolled: the last one holds. openid:
    they have signed in through an OpenID provider, which knows them. vouched: the admin has made it what it is; no role
    counts there otherwise."""

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

    @classmethod
    def of(cls, row: Row[Any] | None, vouchers: Vouchers) -> Account:
        """The account of a whole row. Raises `ForbiddenError` when there is no row."""
        if row is None:
            raise ForbiddenError("there is no such account")
        return cls(
            account_id=row.account_id,
            email=row.email,
            roles=roles(row.roles),
            must_change=row.must_change,
            on=row.on,
            session_version=row.session_version,
            enrolment=row.enrolment,
            enrolled=row.enrolled,
            openid=row.openid_subject is not None,
            vouched=vouchers.hold(row),
            created_at=row.created_at,
        )

    def require(self, role: Role) -> None:
        """Raises `ForbiddenError` unless the account has `role`."""
        if role not in self.roles:
            raise ForbiddenError(f"this needs the role {role.value}")


def roles(names: Collection[str]) -> frozenset[Role]:
    """The roles of these names. Raises `LedgerError` for a name that is none."""
    try:
        return frozenset(Role(name) for name in names)
    except ValueError:
        raise LedgerError(f"a role is one of {', '.join(Role)}") from None


def address(email: str) -> str:
    """One spelling per address; what no database can hold is left out, and then nobody's."""
    return "".join(sign for sign in email.strip().lower()[:320] if sign.isprintable())


def of_email(email: str) -> Select[Any]:
    """Looks for the row of this e-mail address."""
    return select(AccountRow.__table__).where(AccountRow.email == address(email))


def row(connection: Connection, account_id: str, *, hold: bool = False) -> Row[Any]:
    """The row of this id; hold: nobody else changes it until the transaction ends. Raises `ForbiddenError` when there
    is none."""
    query = select(AccountRow.__table__).where(AccountRow.account_id == account_id)
    found = connection.execute(query.with_for_update() if hold else query).one_or_none()
    if found is None:
        raise ForbiddenError("there is no such account")
    return found
