"""Who is asking: a person who has shown two factors, or a program with a token of its duty.

The intake and the admin share one store of accounts, but no door: a manager has no business here, and a role here makes
nobody a manager.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial

from flask import Request, session

from backend import logs
from backend.accounts import ADMIN_ROLES, Account, Accounts
from backend.admin import programs
from backend.admin.actors import ROLE_OF as ROLE_OF
from backend.admin.actors import Actor as Actor
from backend.admin.actors import Scope as Scope
from backend.admin.second_factor import SecondFactor
from backend.admin.sessions import OpenSessions, Session
from backend.errors import ForbiddenError
from backend.metrics import Metrics
from backend.tokens import Token

NOBODY = "nobody"
"""The account of a refusal when there is none."""

Record = Callable[[str, str], None]
"""Writes to the audit log: (action, account id). When it raises, what was about to happen does not."""

_log = logs.get(__name__)


class UnknownCallerError(ForbiddenError):
    """Nobody is signed in, or the token is none of ours."""


class HalfwayError(UnknownCallerError):
    """The password was right; the second factor is still to be shown."""


class Door:
    """Lets people and programs in, and says so in the audit log before it does."""

    def __init__(
        self,
        accounts: Accounts,
        second_factor: SecondFactor,
        *,
        clock: Callable[[], datetime],
        record: Record,
        metrics: Metrics,
        open_sessions: OpenSessions | None = None,
    ) -> None:
        self.accounts, self._second_factor = accounts, second_factor
        self._clock, self._record, self._metrics = clock, record, metrics
        self._open = open_sessions or OpenSessions()

    def now(self) -> datetime:
        """The time by which sessions and tokens last."""
        return self._clock()

    # A person: password, then code.

    def sign_in(self, email: str, password: str) -> None:
        """The first half: from now on the second factor is asked for.

        Raises `ForbiddenError` on a wrong password, or for someone without a role here.
        """
        try:
            account = self.accounts.verify(email, password, now=self._clock())
            _require_some(account)
        except ForbiddenError:
            known = self.accounts.find(email)
            self._refuse(known.account_id if known else NOBODY, "password")
            raise
        enrolment = None if account.enrolled else self.accounts.enrolments.begin(account.account_id)
        self._begin(account, whole=False, enrolment=enrolment)

    def halfway(self) -> Account:
        """Whose second factor is being waited for. Raises `UnknownCallerError` when nobody's is."""
        found, account = self._found()
        if found.whole:
            raise UnknownCallerError("sign in first")
        return account

    def new_second_factor(self) -> tuple[str, str] | None:
        """For whoever is halfway and has none: (the secret in base 32, the address for a QR code). None: they have one.

        Raises `UnknownCallerError` when nobody is halfway.
        """
        account, number = self.halfway(), self._found()[0].enrolment
        if number is None:
            return None
        factor, account_id = self._second_factor, account.account_id
        return factor.secret(account_id, number), factor.address(account_id, number, email=account.email)

    def enter_code(self, code: str) -> Account:
        """The second half: a code of the phone that is known, or of the one that is being set up.

        Raises `ForbiddenError` when it is wrong, was used already, or the account is locked.
        """
        account, number = self.halfway(), self._found()[0].enrolment
        now, account_id = self._clock(), account.account_id
        of = account.enrolment if number is None else number
        step = self._second_factor.step(account_id, of, code=code, now=now)
        try:
            if number is None:
                self.accounts.enrolments.accept(account_id, step, now=now)
            elif step is None:
                raise ForbiddenError("this is not the code: look at the phone's clock and try the next one")
            else:
                self._record("second_factor.enrolled", account_id)
                self.accounts.enrolments.complete(account_id, number, step=step)
        except ForbiddenError:
            self._refuse(account_id, "code")
            raise
        self._let_in(account, "sign_in.accepted")
        return account

    # A person whom an OpenID provider has asked for both.

    def sign_in_by_provider(self, issuer: str, subject: str, *, verified_email: str | None) -> Account:
        """Begin a session for whom a provider has signed in. Raises `ForbiddenError` if they have no account or no role
        here."""
        account_id = NOBODY
        try:
            announce = partial(self._record, "account.provider_known")
            known = self.accounts.introductions
            account = known.account(issuer, subject, verified_email=verified_email, announce=announce)
            account_id = account.account_id
            _require_some(account)
        except ForbiddenError:
            self._refuse(account_id, "provider")
            raise
        self._let_in(account, "sign_in.accepted_by_provider", by_provider=True)
        return account

    # Whoever is in.

    def person(self) -> Actor:
        """Who is signed in.

        Raises `HalfwayError` while the second factor is waited for, `UnknownCallerError` for nobody, also when the
        password was changed or the account switched off since, `ForbiddenError` without any role here.
        """
        found, account = self._found()
        if not found.whole:
            raise HalfwayError("show the second factor first")
        _require_some(account)
        must_change = account.must_change and not found.by_provider
        return Actor(account.account_id, account.roles & ADMIN_ROLES, account.email, must_change)

    def leave(self) -> None:
        """End the session, wherever its cookie was copied to."""
        name, account_id = session.get("name", ""), None
        found = self._open.find(name, now=self._clock())
        if found is not None and found.whole:
            account_id = found.account_id
        self._open.end(name)
        session.clear()
        if account_id is not None:
            self._record("sign_in.ended", account_id)

    def change_password(self, actor: Actor, *, current: str, new: str) -> None:
        """Replace a password, and go on in a new session while all others end. The present password is asked for unless
        it is a one-time password that was just used.

        Raises `ForbiddenError` when the present one is wrong or the new one is weak.
        """
        found, account = self._found()
        if not actor.must_change:
            try:
                self.accounts.verify(account.email, current, now=self._clock())
            except ForbiddenError:
                self._refuse(account.account_id, "password")
                raise
        self.accounts.check_password(account.account_id, new)
        self._record("password.changed", account.account_id)
        account = self.accounts.set_password(account.account_id, new)
        self._begin(account, whole=True, by_provider=found.by_provider)

    # Programs.

    def program(self, request: Request, *scopes: Scope) -> Actor:
        """Whose bearer token this is, with the roles that both they and its scopes have. scopes: one of them is needed.

        Raises `UnknownCallerError` when it is no token for here, `ForbiddenError` when it is for other duties, or its
        owner has no longer the role.
        """
        kind, _, secret = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not secret:
            raise UnknownCallerError("send a token: Authorization: Bearer TOKEN")
        try:
            actor = programs.actor(self.accounts, secret.strip(), now=self._clock())
        except ForbiddenError:
            self._metrics.sign_in("refused_token")
            _log.warning("sign-in refused", extra={"reason": "token"})
            raise UnknownCallerError("this token is not valid here") from None
        if not actor.roles & {ROLE_OF[scope] for scope in scopes or Scope}:
            self._refuse(actor.account_id, "scope")
            raise ForbiddenError("this token, or whoever it belongs to, has another duty")
        return actor

    def issue_token(self, actor: Actor, *, scopes: Collection[Scope], days: int) -> str:
        """A token for programs in the name of `actor`, as `programs.issue` makes it."""
        return programs.issue(self.accounts, actor, scopes=scopes, days=days, now=self._clock(), record=self._record)

    def tokens(self, actor: Actor) -> list[Token]:
        """Their tokens for programs that still work here, oldest first."""
        return programs.tokens(self.accounts, actor.account_id, now=self._clock())

    def revoke_token(self, actor: Actor, token_id: str) -> None:
        """End one of their tokens. Raises `ForbiddenError` if they have none of this id."""
        if token_id not in {token.token_id for token in self.tokens(actor)}:
            raise ForbiddenError("there is no such token")
        self._record("token.revoked", actor.account_id)
        self.accounts.tokens.revoke(actor.account_id, token_id)

    def _found(self) -> tuple[Session, Account]:
        try:
            found = self._open.find(session.get("name", ""), now=self._clock())
            if found is not None:
                account = self.accounts.account(found.account_id)
                if account.session_version == found.version:
                    return found, account
        except ForbiddenError:
            pass
        self._open.end(session.get("name", ""))
        session.clear()
        raise UnknownCallerError("sign in first")

    def _let_in(self, account: Account, action: str, *, by_provider: bool = False) -> None:
        self._record(action, account.account_id)
        self._begin(account, whole=True, by_provider=by_provider)
        self._metrics.sign_in("accepted")
        _log.info("signed in", extra={"account_id": account.account_id})

    def _begin(self, account: Account, *, whole: bool, enrolment: int | None = None, by_provider: bool = False) -> None:
        """A fresh session under a fresh name, nothing of an older one kept."""
        now = self._clock()
        self._open.end(session.get("name", ""))
        session.clear()
        begun = Session(account.account_id, account.session_version, now, now, whole, enrolment, by_provider)
        session["name"] = self._open.begin(begun)

    def _refuse(self, account_id: str, reason: str) -> None:
        self._metrics.sign_in(f"refused_{reason}")
        _log.warning("sign-in refused", extra={"reason": reason})
        self._record(f"sign_in.refused.{reason}", account_id)


def _require_some(account: Account) -> None:
    """Raises `ForbiddenError` for whoever has no role here that was given here."""
    if not account.roles & ADMIN_ROLES:
        raise ForbiddenError("this account has no role here")
    if not account.vouched:
        raise ForbiddenError("this account was made or changed outside the admin: its roles have to be given here")
