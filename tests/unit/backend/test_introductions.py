"""Whom an OpenID provider has signed in, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from backend.accounts import Account, Accounts
from backend.errors import AuditError, ForbiddenError
from backend.ledger.database import open_engine, upgrade

NOW = datetime(2030, 1, 2, tzinfo=UTC)


@pytest.fixture
def accounts(database_url: str) -> Iterator[Accounts]:
    engine = open_engine(database_url)
    upgrade(engine)
    yield Accounts(engine, voucher_key=b"v" * 32)
    engine.dispose()


@pytest.fixture
def jane(accounts: Accounts) -> Account:
    return accounts.create("Jane@Example.org ", roles=["manager"], now=NOW)[0]


def test_a_provider_is_believed_an_address_once_and_its_own_name_ever_after(accounts: Accounts, jane: Account) -> None:
    issuer = "https://id.example.org"
    known = accounts.introductions.account(issuer, "jane-7", verified_email="JANE@example.org")
    assert (known.account_id, known.openid) == (jane.account_id, True)
    assert (
        accounts.introductions.account(issuer, "jane-7", verified_email="married@example.org").account_id
        == jane.account_id
    )
    for who, subject, email in [
        (issuer, "jane-8", "jane@example.org"),  # another person, to whom the address was given since
        ("https://other.example.org", "jane-7", "jane@example.org"),
        (issuer, "joe-1", "joe@example.org"),  # nobody has made an account
        (issuer, "joe-1", None),
    ]:
        with pytest.raises(ForbiddenError, match="no account"):
            accounts.introductions.account(who, subject, verified_email=email)
    accounts.switch(jane.account_id, on=False)
    with pytest.raises(ForbiddenError, match="no account"):
        accounts.introductions.account(issuer, "jane-7", verified_email="jane@example.org")


def test_a_provider_is_joined_to_nobody_without_a_word(accounts: Accounts, jane: Account) -> None:
    issuer, heard = "https://id.example.org", list[str]()

    def refuse(account_id: str) -> None:
        heard.append(account_id)
        raise AuditError("the audit log cannot be written")

    with pytest.raises(AuditError):
        accounts.introductions.account(issuer, "jane-7", verified_email=jane.email, announce=refuse)
    assert not accounts.account(jane.account_id).openid
    for _ in range(2):
        accounts.introductions.account(issuer, "jane-7", verified_email=jane.email, announce=heard.append)
    assert heard == [jane.account_id] * 2  # the second time they sign in, nothing changes


def test_a_provider_without_a_verified_address_introduces_nobody(accounts: Accounts, jane: Account) -> None:
    with pytest.raises(ForbiddenError, match="no account"):
        accounts.introductions.account("https://id.example.org", "jane-7", verified_email=None)
    assert not accounts.account(jane.account_id).openid


def test_a_person_with_an_account_that_is_off_is_not_given_another_one(accounts: Accounts, jane: Account) -> None:
    issuer = "https://id.example.org"
    accounts.introductions.account(issuer, "jane-7", verified_email=jane.email)
    accounts.switch(jane.account_id, on=False)
    other, _ = accounts.create("other@example.org", roles=["auditor"], now=NOW)
    with pytest.raises(ForbiddenError, match="no account"):
        accounts.introductions.account(issuer, "jane-7", verified_email=other.email)
    assert not accounts.account(other.account_id).openid


def test_a_forgotten_provider_can_introduce_the_person_anew(accounts: Accounts, jane: Account) -> None:
    before = accounts.introductions.account("https://id.example.org", "jane-7", verified_email=jane.email)
    accounts.introductions.forget(jane.account_id)
    assert accounts.account(jane.account_id).session_version == before.session_version + 1
    assert (
        accounts.introductions.account("https://new.example.org", "j7", verified_email=jane.email).account_id
        == jane.account_id
    )
