"""What the admin vouches for in a database that others write to as well: its people and their tokens.

The intake and the plugin share the accounts' database, so that whoever takes one of them over could write themselves
any account. A row counts at the admin only with a voucher: a keyed hash of all that decides who may do what, whose key
the admin's processes alone have.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from backend.ledger.tables import AccountRow, TokenRow

_ACCOUNT = (
    "account_id",
    "email",
    "password_hash",
    "roles",
    "on",
    "enrolment",
    "enrolled",
    "openid_issuer",
    "openid_subject",
)
_TOKEN = ("token_id", "account_id", "token_sha256", "scope", "expires_at", "created_at")


class Vouchers:
    """Makes and checks vouchers. Without a key, as at the intake, none is made and none is right."""

    def __init__(self, key: bytes | None) -> None:
        self._key = key

    def hold(self, row: Row[Any]) -> bool:
        """Whether the voucher of an account's or a token's whole row is right."""
        made = self._made(row)
        return made is not None and row.voucher is not None and hmac.compare_digest(made, row.voucher)

    def change(
        self,
        connection: Connection,
        account_id: str,
        *conditions: ColumnElement[bool],
        anew: bool = False,
        **values: Any,
    ) -> Row[Any] | None:
        """Change an account where the conditions are met: its row afterwards, or None where they are not.

        It is vouched for afterwards if it was before; anew: in any case, for whoever vouches knows all that it is.
        """
        account = AccountRow.account_id == account_id
        found = select(AccountRow.__table__).where(account)
        before = connection.execute(found.with_for_update()).one_or_none()
        changed = update(AccountRow).where(account, *conditions).values(**values)
        if before is None or connection.execute(changed).rowcount == 0:
            return None
        after = connection.execute(found).one()
        if anew or self.hold(before):
            connection.execute(update(AccountRow).where(account).values(voucher=self._made(after)))
            after = connection.execute(found).one()
        return after

    def give(self, connection: Connection, token_id: str) -> None:
        """Vouch for a token that was written in this transaction."""
        token = TokenRow.token_id == token_id
        row = connection.execute(select(TokenRow.__table__).where(token)).one()
        connection.execute(update(TokenRow).where(token).values(voucher=self._made(row)))

    def _made(self, row: Row[Any]) -> str | None:
        if self._key is None:
            return None
        names = _ACCOUNT if hasattr(row, "email") else _TOKEN
        fields = [names, [_plain(getattr(row, name)) for name in names]]
        return hmac.digest(self._key, json.dumps(fields).encode(), hashlib.sha256).hex()


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
