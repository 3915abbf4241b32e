"""Tokens of programs, on SQLite and on PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import argon2
import pytest

from backend.accounts import Account, Accounts
from backend.errors import ForbiddenError
from backend.ledger.database import open_engine, upgrade, writing
from backend.tokens import Tokens

NOW = datetime(2030, 1, 2, tzinfo=UTC)
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def accounts(database_url: str) -> Iterator[Accounts]:
    engine = open_engine(database_url)
    upgrade(engine)
    yield Accounts(engine, hasher=QUICK, voucher_key=b"v" * 32)
    engine.dispose()


@pytest.fixture
def tokens(accounts: Accounts) -> Tokens:
    return accounts.tokens


@pytest.fixture
def jane(accounts: Accounts) -> Account:
    return accounts.create("jane@example.org", roles=["manager"], now=NOW)[0]


@pytest.fixture
def joe(accounts: Accounts) -> Account:
    return accounts.create("joe@example.org", roles=["auditor"], now=NOW)[0]


def test_a_token_is_its_accounts_until_it_expires(tokens: Tokens, jane: Account) -> None:
    token, secret = tokens.issue(jane.account_id, scopes=["b", "a"], expires_at=later(60), now=NOW)
    assert len(secret) >= 32
    assert (token.account_id, token.scopes, token.expires_at) == (jane.account_id, {"a", "b"}, later(60))
    assert tokens.verify(secret, now=later(59)) == token
    for wrong, now in [(secret, later(60)), (secret[:-1], NOW), ("", NOW), (token.token_id, NOW), ("x" * 9999, NOW)]:
        with pytest.raises(ForbiddenError, match="not valid here"):
            tokens.verify(wrong, now=now)


def test_a_token_without_end_does_not_expire(tokens: Tokens, jane: Account) -> None:
    token, secret = tokens.issue(jane.account_id, scopes=["a"], expires_at=None, now=NOW)
    assert tokens.verify(secret, now=later(10**9)) == token


def test_a_token_is_revoked_by_its_owner_alone(tokens: Tokens, jane: Account, joe: Account) -> None:
    first, secret = tokens.issue(jane.account_id, scopes=["a"], expires_at=None, now=NOW)
    second, kept = tokens.issue(jane.account_id, scopes=["a"], expires_at=None, now=later(1))
    with pytest.raises(ForbiddenError):
        tokens.revoke(joe.account_id, first.token_id)
    tokens.revoke(jane.account_id, first.token_id)
    with pytest.raises(ForbiddenError):
        tokens.verify(secret, now=NOW)
    with pytest.raises(ForbiddenError):
        tokens.revoke(jane.account_id, first.token_id)
    assert tokens.of(jane.account_id) == [second] == [tokens.verify(kept, now=NOW)]


def test_tokens_are_revoked_together_by_scope(tokens: Tokens, jane: Account, joe: Account) -> None:
    def issue(account: Account, *scopes: str) -> str:
        return tokens.issue(account.account_id, scopes=scopes, expires_at=None, now=NOW)[0].token_id

    kept = {issue(jane, "intake"), issue(joe, "a")}
    for scopes in (["a"], ["a", "b"], ["b"]):
        issue(jane, *scopes)
    assert tokens.revoke_all(jane.account_id, scopes=["a", "b"]) == 3
    assert {token.token_id for owner in (jane, joe) for token in tokens.of(owner.account_id)} == kept


def test_all_tokens_of_one_account_end_with_a_transaction(
    accounts: Accounts, tokens: Tokens, jane: Account, joe: Account
) -> None:
    for owner in (jane, jane, joe):
        tokens.issue(owner.account_id, scopes=["a"], expires_at=None, now=NOW)
    with accounts._engine.connect() as connection:
        assert tokens.end_all(connection, jane.account_id) == 2
        connection.rollback()
    assert len(tokens.of(jane.account_id)) == 2
    with writing(accounts._engine) as connection:
        tokens.end_all(connection, jane.account_id)
    assert (tokens.of(jane.account_id), len(tokens.of(joe.account_id))) == ([], 1)


def test_what_has_expired_is_dropped_when_a_new_one_is_made(tokens: Tokens, jane: Account, joe: Account) -> None:
    tokens.issue(jane.account_id, scopes=["a"], expires_at=later(1), now=NOW)
    others, _ = tokens.issue(joe.account_id, scopes=["a"], expires_at=later(1), now=NOW)
    endless, _ = tokens.issue(jane.account_id, scopes=["a"], expires_at=None, now=NOW)
    new, _ = tokens.issue(jane.account_id, scopes=["a"], expires_at=later(9), now=later(1))
    assert tokens.of(jane.account_id) == [endless, new]
    assert tokens.of(joe.account_id) == [others]


def test_two_tokens_are_never_alike(tokens: Tokens, jane: Account) -> None:
    sent = {tokens.issue(jane.account_id, scopes=["a"], expires_at=None, now=NOW)[1] for _ in range(20)}
    assert len(sent) == 20
    assert secrets.token_urlsafe(32) not in sent
