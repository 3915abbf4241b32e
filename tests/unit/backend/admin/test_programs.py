"""Tokens of programs: who gets one, for what, and until when."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import argon2
import pytest

from backend.accounts import Account, Accounts, Role
from backend.admin import programs
from backend.admin.actors import Actor, Scope
from backend.errors import AuditError, ForbiddenError
from backend.ledger.database import open_engine, upgrade

NOW = datetime(2030, 1, 2, tzinfo=UTC)
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    engine = open_engine(f"sqlite:///{tmp_path / 'test.sqlite3'}")
    upgrade(engine)
    yield Accounts(engine, hasher=QUICK, voucher_key=b"v" * 32)
    engine.dispose()


@pytest.fixture
def jane(accounts: Accounts) -> Account:
    return accounts.create("jane@example.org", roles=["requester", "auditor", "manager"], now=NOW)[0]


def issue(accounts: Accounts, account: Account, scopes: Collection[Scope], days: int = 1, heard: object = None) -> str:
    announce = (lambda *_: None) if heard is None else heard
    mine = Actor(account.account_id, account.roles)
    return programs.issue(accounts, mine, scopes=scopes, days=days, now=NOW, record=announce)  # type: ignore[arg-type]


def test_a_token_is_its_owner_within_its_scopes(accounts: Accounts, jane: Account) -> None:
    secret = issue(accounts, jane, [Scope.REQUEST])
    mine = programs.actor(accounts, secret, now=NOW)
    assert mine == Actor(jane.account_id, frozenset({Role.REQUESTER}), jane.email)


def test_a_token_whose_owner_has_lost_a_role_is_of_no_use(accounts: Accounts, jane: Account) -> None:
    lost, kept = issue(accounts, jane, [Scope.REQUEST]), issue(accounts, jane, [Scope.AUDIT])
    accounts.set_roles(jane.account_id, [*jane.roles, "approver"])
    assert programs.actor(accounts, lost, now=NOW).roles == {Role.REQUESTER}
    accounts.set_roles(jane.account_id, ["auditor", "approver"])
    for secret in (lost, kept):
        with pytest.raises(ForbiddenError, match="not valid here"):
            programs.actor(accounts, secret, now=NOW)


def test_a_token_for_a_duty_that_its_owner_never_had_is_of_no_use(accounts: Accounts, jane: Account) -> None:
    day = NOW + timedelta(days=1)
    _, secret = accounts.tokens.issue(jane.account_id, scopes=[Scope.APPROVE], expires_at=day, now=NOW)
    assert programs.actor(accounts, secret, now=NOW).roles == frozenset()


@pytest.mark.parametrize(
    ("scopes", "days"),
    [
        ([], 1),
        ([Scope.APPROVE], 1),
        ([Scope.REQUEST, Scope.KEYS], 1),
        ([Scope.REQUEST], 0),
        ([Scope.REQUEST], -1),
        ([Scope.REQUEST], 91),
        ([Scope.REQUEST], 10**9),
    ],
)
def test_nobody_gets_a_token_for_what_they_may_not_do_or_for_long(
    accounts: Accounts, jane: Account, scopes: list[Scope], days: int
) -> None:
    with pytest.raises(ForbiddenError):
        issue(accounts, jane, scopes, days)
    assert accounts.tokens.of(jane.account_id) == []


def test_ninety_days_are_as_long_as_it_goes(accounts: Accounts, jane: Account) -> None:
    secret = issue(accounts, jane, [Scope.AUDIT], 90)
    programs.actor(accounts, secret, now=NOW + timedelta(days=90, seconds=-1))
    with pytest.raises(ForbiddenError):
        programs.actor(accounts, secret, now=NOW + timedelta(days=90))


def test_a_token_that_cannot_be_announced_is_not_made(accounts: Accounts, jane: Account) -> None:
    def refuse(*_: str) -> None:
        raise AuditError("the audit log cannot be written")

    with pytest.raises(AuditError):
        issue(accounts, jane, [Scope.AUDIT], heard=refuse)
    assert accounts.tokens.of(jane.account_id) == []


def test_a_token_that_was_written_into_the_database_is_nobody(accounts: Accounts, jane: Account) -> None:
    forger = Accounts(accounts._engine, hasher=QUICK)
    until = NOW + timedelta(days=1)
    _, secret = forger.tokens.issue(jane.account_id, scopes=["admin:audit"], expires_at=until, now=NOW)
    with pytest.raises(ForbiddenError, match="not valid here"):
        programs.actor(accounts, secret, now=NOW)


def test_a_token_of_an_account_that_was_changed_elsewhere_is_nobody(accounts: Accounts, jane: Account) -> None:
    secret = issue(accounts, jane, [Scope.AUDIT])
    Accounts(accounts._engine, hasher=QUICK).set_roles(jane.account_id, ["auditor", "approver"])
    with pytest.raises(ForbiddenError, match="not valid here"):
        programs.actor(accounts, secret, now=NOW)


def test_what_is_listed_works_here(accounts: Accounts, jane: Account) -> None:
    issue(accounts, jane, [Scope.AUDIT], 1)
    issue(accounts, jane, [Scope.REQUEST], 2)
    accounts.tokens.issue(jane.account_id, scopes=["intake"], expires_at=None, now=NOW)
    assert len(programs.tokens(accounts, jane.account_id, now=NOW)) == 2
    (left,) = programs.tokens(accounts, jane.account_id, now=NOW + timedelta(days=1))
    assert left.scopes == {"admin:request"}
