"""Who is asking: a person with a session, or a program with a bearer token. Both need the role of a manager."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from flask import Request, session

from backend.accounts import ADMIN_ROLES, Account, Accounts, Role
from backend.errors import ForbiddenError

TOKEN_SCOPE = "intake"  # noqa: S105
SESSION_LASTS = timedelta(hours=12)


class UnknownCallerError(ForbiddenError):
    """Nobody is signed in, or the token is none of ours."""


class Door:
    """Lets people and programs in."""

    def __init__(self, accounts: Accounts, clock: Callable[[], datetime]) -> None:
        self.accounts, self._clock = accounts, clock

    def sign_in(self, email: str, password: str) -> Account:
        """Begin a session. Raises `ForbiddenError` on a wrong password or for someone who is no manager."""
        account = self.accounts.verify(email, password, now=self._clock())
        account.require(Role.MANAGER)
        self.begin(account)
        return account

    def begin(self, account: Account) -> None:
        """A fresh session for `account`, nothing of an older one kept."""
        session.clear()
        session["account_id"] = account.account_id
        session["version"] = account.session_version
        session["signed_in_at"] = self._clock().timestamp()

    def leave(self) -> None:
        """End the session."""
        session.clear()

    def change_password(self, account: Account, *, current: str, new: str) -> None:
        """Replace a password, and go on in a new session while all others end. The present password is asked for unless
        it is a one-time password that was just used.

        Raises `ForbiddenError` when the present one is wrong or the new one is weak.
        """
        if account.roles & ADMIN_ROLES:
            raise ForbiddenError("change the password at the admin, where this account has roles too")
        if not account.must_change:
            self.accounts.verify(account.email, current, now=self._clock())
        self.begin(self.accounts.set_password(account.account_id, new))

    def person(self) -> Account:
        """Who is signed in. Raises `UnknownCallerError`, also when the password was changed or the account switched off
        since; `ForbiddenError` if they are no manager any more."""
        account_id, since = session.get("account_id"), session.get("signed_in_at", 0.0)
        if account_id is None or self._clock() - datetime.fromtimestamp(since, UTC) > SESSION_LASTS:
            session.clear()
            raise UnknownCallerError("sign in first")
        try:
            account = self.accounts.account(account_id)
        except ForbiddenError:
            session.clear()
            raise UnknownCallerError("sign in first") from None
        if session.get("version") != account.session_version:
            session.clear()
            raise UnknownCallerError("sign in first")
        account.require(Role.MANAGER)
        return account

    def program(self, request: Request) -> Account:
        """Whose bearer token this is. Raises `UnknownCallerError`, or `ForbiddenError` if they are no manager."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise UnknownCallerError("send a token: Authorization: Bearer TOKEN")
        try:
            found = self.accounts.tokens.verify(token.strip(), now=self._clock())
            account = self.accounts.account(found.account_id)
        except ForbiddenError:
            raise UnknownCallerError("this token is not valid here") from None
        if TOKEN_SCOPE not in found.scopes:
            raise UnknownCallerError("this token is not valid here")
        account.require(Role.MANAGER)
        return account

    def issue_token(self, account: Account, *, days: int) -> str:
        """A token for programs in the name of `account`, valid for so many days and shown this once."""
        now = self._clock()
        expires_at = now + timedelta(days=days)
        return self.accounts.tokens.issue(account.account_id, scopes=[TOKEN_SCOPE], expires_at=expires_at, now=now)[1]

    def revoke_tokens(self, account: Account) -> int:
        """End all of these tokens of `account`; how many those were."""
        return self.accounts.tokens.revoke_all(account.account_id, scopes=[TOKEN_SCOPE])
