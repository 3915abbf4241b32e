"""The tokens of programs: for duties that both they and their owner have, and for 90 days at most."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from backend.accounts import Accounts
from backend.admin.actors import ROLE_OF, Actor, Scope
from backend.errors import ForbiddenError
from backend.tokens import Token

LAST_AT_MOST = timedelta(days=90)


def actor(accounts: Accounts, secret: str, *, now: datetime) -> Actor:
    """Whose token this is, with the roles that both they and its scopes have; perhaps none any more.

    Raises `ForbiddenError`, in the same words whatever was wrong, also for a token of another door.
    """
    token = accounts.tokens.verify(secret, now=now)
    mine = _scopes(token)
    account = accounts.account(token.account_id)
    if not (mine and token.vouched and account.vouched and token.expires_at):
        raise ForbiddenError("this token is not valid here")
    if token.expires_at - token.created_at > LAST_AT_MOST:
        raise ForbiddenError("this token is not valid here")
    return Actor(account.account_id, account.roles & {ROLE_OF[scope] for scope in mine}, account.email)


def issue(
    accounts: Accounts,
    actor: Actor,
    *,
    scopes: Collection[Scope],
    days: int,
    now: datetime,
    record: Callable[[str, str], None],
) -> str:
    """A token for programs in the name of `actor`, for 1 to 90 days, shown this once.

    Raises `ForbiddenError` for no scope at all, one whose role they do not have, or another number of days.
    """
    if not scopes or not 1 <= days <= LAST_AT_MOST.days:
        raise ForbiddenError(f"a token is for at least one duty, and 1 to {LAST_AT_MOST.days} days")
    for scope in scopes:
        actor.require(ROLE_OF[scope])
    record("token.issued", actor.account_id)
    expires_at = now + timedelta(days=days)
    return accounts.tokens.issue(actor.account_id, scopes=scopes, expires_at=expires_at, now=now)[1]


def tokens(accounts: Accounts, account_id: str, *, now: datetime) -> list[Token]:
    """An account's tokens that still work here, oldest first; not those for the intake."""
    kept = accounts.tokens.of(account_id)
    return [token for token in kept if _scopes(token) and token.expires_at and token.expires_at > now]


def _scopes(token: Token) -> frozenset[Scope]:
    """The scopes of ours that a token has; none for the intake's."""
    return frozenset(scope for scope in Scope if scope.value in token.scopes)
