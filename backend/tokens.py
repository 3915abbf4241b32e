"""Tokens of programs that act for an account: kept as SHA-256, within scopes, until they expire or are revoked."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, delete, insert, select

from backend.errors import ForbiddenError
from backend.ledger.database import reading, writing
from backend.ledger.tables import TokenRow
from backend.vouchers import Vouchers

_MAX_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token; the token itself is not kept. vouched: the admin made it."""

    token_id: str
    account_id: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    vouched: bool


class Tokens:
    """All accounts' tokens, in the ledger's database."""

    def __init__(self, engine: Engine, *, new_secret: Callable[[], str], vouchers: Vouchers) -> None:
        self._engine, self._new_secret, self._vouchers = engine, new_secret, vouchers

    def issue(
        self, account_id: str, *, scopes: Collection[str], expires_at: datetime | None, now: datetime
    ) -> tuple[Token, str]:
        """A new token of this account, and what to send, which is shown this once. Those that expired are dropped."""
        secret = self._new_secret()
        token_id = secrets.token_hex(16)
        row = {
            "token_id": token_id,
            "account_id": account_id,
            "token_sha256": _sha256(secret),
            "scope": " ".join(sorted(scopes)),
            "expires_at": expires_at,
            "created_at": now,
        }
        expired = delete(TokenRow).where(TokenRow.account_id == account_id, TokenRow.expires_at <= now)
        with writing(self._engine) as connection:
            connection.execute(expired)
            connection.execute(insert(TokenRow).values(**row))
            self._vouchers.give(connection, token_id)
            kept = connection.execute(select(TokenRow.__table__).where(TokenRow.token_id == token_id)).one()
        return self._token(kept), secret

    def verify(self, secret: str, *, now: datetime) -> Token:
        """The token that was sent. Raises `ForbiddenError`, in the same words whatever was wrong."""
        query = select(TokenRow.__table__).where(TokenRow.token_sha256 == _sha256(secret))
        with reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None or (row.expires_at is not None and row.expires_at <= now):
            raise ForbiddenError("this token is not valid here")
        return self._token(row)

    def of(self, account_id: str) -> list[Token]:
        """An account's tokens, oldest first."""
        query = select(TokenRow.__table__).where(TokenRow.account_id == account_id)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(TokenRow.created_at, TokenRow.token_id))
            return [self._token(row) for row in rows]

    def revoke(self, account_id: str, token_id: str) -> None:
        """End one of an account's tokens. Raises `ForbiddenError` if it has none of this id."""
        mine = delete(TokenRow).where(TokenRow.account_id == account_id, TokenRow.token_id == token_id)
        with writing(self._engine) as connection:
            if connection.execute(mine).rowcount == 0:
                raise ForbiddenError("there is no such token")
            self._vouchers.end(token_id)

    def revoke_all(self, account_id: str, *, scopes: Collection[str]) -> int:
        """End an account's tokens of one of `scopes`; how many those were."""
        wanted = frozenset(scopes)
        ids = [token.token_id for token in self.of(account_id) if token.scopes & wanted]
        with writing(self._engine) as connection:
            return self._end(connection, TokenRow.token_id.in_(ids))

    def end_all(self, connection: Connection, account_id: str) -> int:
        """End every token of an account with this transaction, whatever it is for; how many those were."""
        return self._end(connection, TokenRow.account_id == account_id)

    def _end(self, connection: Connection, theirs: ColumnElement[bool]) -> int:
        ended = connection.scalars(delete(TokenRow).where(theirs).returning(TokenRow.token_id)).all()
        for token_id in ended:
            self._vouchers.end(token_id)
        return len(ended)

    def _token(self, row: Row[Any]) -> Token:
        scopes, vouched = frozenset(row.scope.split()), self._vouchers.hold(row)
        return Token(row.token_id, row.account_id, scopes, row.created_at, row.expires_at, vouched)


def _sha256(secret: str) -> str:
    # Tokens are 32 random bytes: nothing to guess, so a fast hash is enough.
    return hashlib.sha256(secret[:_MAX_CHARACTERS].encode("utf-8", "surrogatepass")).hexdigest()
