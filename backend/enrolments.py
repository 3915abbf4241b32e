"""What the database knows of second factors: how often one was set up, and which codes were used. Never a secret."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, or_, update

from backend.errors import ForbiddenError
from backend.ledger.database import writing
from backend.ledger.tables import AccountRow
from backend.vouchers import Vouchers

_WRONG = "wrong code, or one that was used already, or too many wrong ones: then wait"
_FAILURES_ALLOWED = 5
_LOCKED_FOR = timedelta(minutes=5)
_LOCKED_FOR_AT_MOST = timedelta(days=1)


class Enrolments:
    """The second factors of the accounts. Codes are told apart by their time step, which only grows."""

    def __init__(self, engine: Engine, *, vouchers: Vouchers) -> None:
        self._engine, self._vouchers = engine, vouchers

    def begin(self, account_id: str) -> int:
        """The number of a new enrolment; one that was begun before and not completed can no longer be. Raises
        `ForbiddenError` when the account has a second factor."""
        bare, more = AccountRow.enrolled.is_(False), AccountRow.enrolment + 1
        with writing(self._engine) as connection:
            row = self._vouchers.change(connection, account_id, bare, enrolment=more)
        if row is None:
            raise ForbiddenError("this account has a second factor already")
        return int(row.enrolment)

    def complete(self, account_id: str, number: int, *, step: int) -> None:
        """The enrolment of this number holds, shown by a code of time step `step`, which counts as used.

        Raises `ForbiddenError` when another one was begun or completed meanwhile.
        """
        begun = AccountRow.enrolment == number, AccountRow.enrolled.is_(False)
        values: dict[str, Any] = {"enrolled": True, "last_step": step, "wrong_codes": 0}
        with writing(self._engine) as connection:
            if self._vouchers.change(connection, account_id, *begun, **values) is None:
                raise ForbiddenError("the second factor was set up elsewhere meanwhile: sign in again")

    def accept(self, account_id: str, step: int | None, *, now: datetime) -> None:
        """Use up the code of time step `step`; None: what was typed is no code. Raises `ForbiddenError`, in the same
        words whatever was wrong.

        Every fifth wrong code in a row locks the account, each time for twice as long: whoever gets this far knows the
        password, and a right password does not make wrong codes forgotten.
        """
        account, unlocked = AccountRow.account_id == account_id, _unlocked(now)
        with writing(self._engine) as connection:
            if step is not None:
                unused = or_(AccountRow.last_step.is_(None), AccountRow.last_step < step)
                good = update(AccountRow).where(account, AccountRow.enrolled, unlocked, unused)
                if connection.execute(good.values(last_step=step, wrong_codes=0)).rowcount:
                    return
            counted = update(AccountRow).where(account, unlocked).values(wrong_codes=AccountRow.wrong_codes + 1)
            wrong = connection.scalar(counted.returning(AccountRow.wrong_codes)) or 0
            if wrong and wrong % _FAILURES_ALLOWED == 0:
                locked = update(AccountRow).where(account).values(locked_until=now + _lock(wrong))
                connection.execute(locked)
        raise ForbiddenError(_WRONG)

    def reset(self, account_id: str) -> None:
        """Forget a lost second factor: the next sign-in sets up a new one. All sessions end."""
        values: dict[str, Any] = {
            "enrolment": AccountRow.enrolment + 1,
            "enrolled": False,
            "last_step": None,
            "wrong_codes": 0,
            "session_version": AccountRow.session_version + 1,
        }
        with writing(self._engine) as connection:
            self._vouchers.change(connection, account_id, **values)


def _unlocked(now: datetime) -> ColumnElement[bool]:
    return or_(AccountRow.locked_until.is_(None), AccountRow.locked_until <= now)


def _lock(wrong_codes: int) -> timedelta:
    doublings = min(wrong_codes // _FAILURES_ALLOWED - 1, 16)
    return min(_LOCKED_FOR * (1 << doublings), _LOCKED_FOR_AT_MOST)
