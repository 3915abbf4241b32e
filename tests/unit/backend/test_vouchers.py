"""Whoever can write to the accounts' database, as a taken intake can, writes nobody into the admin."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import argon2
import pytest
from sqlalchemy import Engine, insert, select, update

from backend.accounts import Account, Accounts
from backend.errors import ConfigError, ForbiddenError
from backend.ledger.database import open_engine, reading, upgrade, writing
from backend.ledger.tables import AccountRow, TokenRow
from backend.vouchers import Latest

NOW = datetime(2030, 1, 2, tzinfo=UTC)
KEY = b"v" * 32
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def admin(engine: Engine) -> Accounts:
    return Accounts(engine, hasher=QUICK, voucher_key=KEY)


@pytest.fixture
def intake(engine: Engine) -> Accounts:
    return Accounts(engine, hasher=QUICK)


@pytest.fixture
def jane(admin: Accounts) -> Account:
    account, _ = admin.create("jane@example.org", roles=["auditor"], now=NOW)
    admin.enrolments.complete(account.account_id, admin.enrolments.begin(account.account_id), step=1)
    return admin.account(account.account_id)


def tamper(engine: Engine, account: Account, **values: object) -> None:
    with writing(engine) as connection:
        connection.execute(update(AccountRow).where(AccountRow.account_id == account.account_id).values(**values))


def row_of(engine: Engine, account: Account) -> dict[str, Any]:
    with reading(engine) as connection:
        found = select(AccountRow.__table__).where(AccountRow.account_id == account.account_id)
        return dict(connection.execute(found).one()._mapping)


@pytest.mark.parametrize(
    "values",
    [
        {"roles": ["approver", "auditor"]},
        {"password_hash": QUICK.hash("guess")},
        {"email": "thief@example.org"},
        {"enrolled": False},
        {"enrolment": 0},
        {"openid_issuer": "https://id.example.org", "openid_subject": "thief"},
        {"on": False},
        {"voucher": None},
        {"voucher": ""},
        {"voucher": "0" * 64},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_row_that_somebody_else_has_changed_does_not_count(
    engine: Engine, admin: Accounts, jane: Account, values: dict[str, object]
) -> None:
    assert jane.vouched
    tamper(engine, jane, **values)
    (found,) = admin.accounts()
    assert not found.vouched


@pytest.mark.parametrize(
    "harmless",
    [{"failures": 3}, {"session_version": 9}, {"last_step": 7}, {"locked_until": NOW}, {"must_change": True}],
)
def test_what_lets_nobody_in_is_not_vouched_for(
    engine: Engine, admin: Accounts, jane: Account, harmless: dict[str, object]
) -> None:
    tamper(engine, jane, **harmless)
    assert admin.account(jane.account_id).vouched


@pytest.mark.parametrize(
    "change",
    [
        lambda admin, one: admin.set_password(one, secrets.token_urlsafe(20)),
        lambda admin, one: admin.reset_password(one),
        lambda admin, one: admin.set_roles(one, ["approver"]),
        lambda admin, one: admin.enrolments.reset(one),
        lambda admin, one: admin.introductions.forget(one),
        lambda admin, one: admin.switch(one, on=True),
    ],
)
def test_the_admins_own_changes_keep_the_voucher_and_never_give_one(
    engine: Engine, admin: Accounts, jane: Account, change: Callable[[Accounts, str], object]
) -> None:
    change(admin, jane.account_id)
    assert admin.account(jane.account_id).vouched
    tamper(engine, jane, email="thief@example.org")
    change(admin, jane.account_id)
    assert not admin.account(jane.account_id).vouched


def test_an_account_that_the_intake_made_does_not_count(admin: Accounts, intake: Accounts) -> None:
    made, password = intake.create("pm@example.org", roles=["manager", "key_officer"], now=NOW)
    assert not made.vouched
    assert not admin.verify(made.email, password, now=NOW).vouched
    assert not admin.account(made.account_id).vouched


def test_a_row_with_anothers_voucher_does_not_count(engine: Engine, admin: Accounts, jane: Account) -> None:
    copy = row_of(engine, jane) | {"account_id": "f" * 32, "email": "thief@example.org"}
    with writing(engine) as connection:
        connection.execute(insert(AccountRow).values(**copy))
    assert not admin.account("f" * 32).vouched


def test_a_provider_is_not_introduced_to_a_row_that_was_changed(engine: Engine, admin: Accounts, jane: Account) -> None:
    tamper(engine, jane, email="thief@example.org")
    with pytest.raises(ForbiddenError, match="no account"):
        admin.introductions.account("https://id.example.org", "thief", verified_email="thief@example.org")
    assert row_of(engine, jane)["openid_subject"] is None


def test_without_the_key_nothing_counts(engine: Engine, intake: Accounts, jane: Account) -> None:
    assert not intake.account(jane.account_id).vouched
    assert not Accounts(engine, hasher=QUICK, voucher_key=b"w" * 32).account(jane.account_id).vouched


def test_vouching_anew_leaves_nothing_of_what_was_written(engine: Engine, admin: Accounts, intake: Accounts) -> None:
    thief, theirs = intake.create("pm@example.org", roles=["manager"], now=NOW)
    number = intake.enrolments.begin(thief.account_id)
    intake.enrolments.complete(thief.account_id, number, step=1)
    tamper(engine, thief, openid_issuer="https://id.example.org", openid_subject="thief")
    _, token = intake.tokens.issue(thief.account_id, scopes=["admin:audit"], expires_at=None, now=NOW)
    password = admin.vouch(thief.account_id, ["manager", "auditor"])
    account = admin.account(thief.account_id)
    assert (account.vouched, account.enrolled, account.openid, account.must_change) == (True, False, False, True)
    assert account.enrolment > number
    assert account.roles == {"manager", "auditor"}
    assert admin.verify(account.email, password, now=NOW)
    with pytest.raises(ForbiddenError):
        admin.verify(account.email, theirs, now=NOW)
    with pytest.raises(ForbiddenError):
        admin.tokens.verify(token, now=NOW)


@pytest.mark.parametrize(
    "values",
    [
        {"scope": "admin:keys"},
        {"expires_at": NOW + timedelta(days=90)},
        {"created_at": NOW + timedelta(days=1)},
        {"token_sha256": "0" * 64},
        {"voucher": None},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_token_that_somebody_else_has_changed_does_not_count(
    engine: Engine, admin: Accounts, jane: Account, values: dict[str, object]
) -> None:
    token, _ = admin.tokens.issue(jane.account_id, scopes=["admin:audit"], expires_at=NOW + timedelta(days=1), now=NOW)
    assert token.vouched
    with writing(engine) as connection:
        connection.execute(update(TokenRow).where(TokenRow.token_id == token.token_id).values(**values))
    (found,) = admin.tokens.of(jane.account_id)
    assert not found.vouched


def test_a_token_that_the_intake_made_does_not_count(admin: Accounts, intake: Accounts, jane: Account) -> None:
    _, secret = intake.tokens.issue(
        jane.account_id, scopes=["admin:audit"], expires_at=NOW + timedelta(days=1), now=NOW
    )
    assert not admin.tokens.verify(secret, now=NOW).vouched


# Rows that were right before


@pytest.fixture
def latest(tmp_path: Path) -> Path:
    return tmp_path / "admin" / "vouchers.txt"


@pytest.fixture
def remembering(engine: Engine, latest: Path) -> Accounts:
    return Accounts(engine, hasher=QUICK, voucher_key=KEY, latest_vouchers=latest)


@pytest.mark.parametrize(
    "change",
    [
        lambda admin, one: admin.set_roles(one, []),
        lambda admin, one: admin.switch(one, on=False),
        lambda admin, one: admin.reset_password(one),
        lambda admin, one: admin.enrolments.reset(one),
        lambda admin, one: admin.vouch(one, ["auditor"]),
    ],
    ids=["roles", "switch", "password", "second factor", "vouch"],
)
def test_an_account_as_it_was_before_does_not_count(
    engine: Engine, remembering: Accounts, latest: Path, change: Callable[[Accounts, str], object]
) -> None:
    """Although its voucher is the admin's own. Another process of the admin's knows, too."""
    made, _ = remembering.create("jane@example.org", roles=["auditor"], now=NOW)
    remembering.enrolments.complete(made.account_id, remembering.enrolments.begin(made.account_id), step=1)
    before = row_of(engine, made)
    change(remembering, made.account_id)
    (changed,) = remembering.accounts()
    assert changed.vouched
    tamper(engine, made, **before)
    for admin in (remembering, Accounts(engine, hasher=QUICK, voucher_key=KEY, latest_vouchers=latest)):
        (found,) = admin.accounts()
        assert not found.vouched
    remembering.vouch(made.account_id, ["auditor"])
    assert remembering.account(made.account_id).vouched


def test_an_account_as_it_was_before_there_was_a_memory_counts_until_it_is_changed(
    engine: Engine, jane: Account, remembering: Accounts
) -> None:
    before = row_of(engine, jane)
    assert remembering.account(jane.account_id).vouched
    remembering.set_roles(jane.account_id, ["approver"])
    tamper(engine, jane, **before)
    assert not remembering.account(jane.account_id).vouched


@pytest.mark.parametrize(
    "end",
    [
        lambda admin, token: admin.tokens.revoke(token.account_id, token.token_id),
        lambda admin, token: admin.tokens.revoke_all(token.account_id, scopes=["admin:audit"]),
        lambda admin, token: admin.switch(token.account_id, on=True),
    ],
    ids=["revoke", "revoke all", "switch"],
)
def test_a_token_that_was_ended_does_not_come_back(
    engine: Engine, remembering: Accounts, end: Callable[[Accounts, Any], object]
) -> None:
    made, _ = remembering.create("jane@example.org", roles=["auditor"], now=NOW)
    token, secret = remembering.tokens.issue(made.account_id, scopes=["admin:audit"], expires_at=None, now=NOW)
    with reading(engine) as connection:
        before = dict(connection.execute(select(TokenRow.__table__)).one()._mapping)
    assert remembering.tokens.verify(secret, now=NOW).vouched
    end(remembering, token)
    with writing(engine) as connection:
        connection.execute(insert(TokenRow).values(**before))
    assert not remembering.tokens.verify(secret, now=NOW).vouched


A, B, FIRST, SECOND = "a" * 32, "b" * 32, "1" * 64, "2" * 64


def test_the_latest_is_known_to_every_process(latest: Path) -> None:
    one, other = Latest(latest), Latest(latest)
    assert one.is_it(A, FIRST), "the first that is seen"
    assert not other.is_it(A, SECOND)
    other.keep(A, SECOND)
    assert (one.is_it(A, FIRST), one.is_it(A, SECOND), one.is_it(B, FIRST)) == (False, True, True)
    size = latest.stat().st_size
    one.keep(A, SECOND)
    assert latest.stat().st_size == size
    assert latest.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [2, 40, 65, 66, 98])
def test_a_line_that_was_cut_short_is_none(latest: Path, cut: int) -> None:
    Latest(latest).keep(A, FIRST)
    whole = latest.read_bytes()
    latest.write_bytes(whole + f"\n{A} {SECOND}\n".encode()[:-cut])
    assert Latest(latest).is_it(A, FIRST)
    Latest(latest).keep(B, SECOND)
    assert Latest(latest).is_it(A, FIRST)
    assert Latest(latest).is_it(B, SECOND)


def test_many_at_once_forget_nothing(latest: Path) -> None:
    shared = Latest(latest)

    def keep(number: int) -> None:
        (shared if number % 2 else Latest(latest)).keep(f"{number:032x}", FIRST)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(keep, range(60)))
    for known in (shared, Latest(latest)):
        assert not any(known.is_it(f"{number:032x}", SECOND) for number in range(60))


def test_without_its_memory_nothing_is_vouched_for(remembering: Accounts, latest: Path, tmp_path: Path) -> None:
    made, _ = remembering.create("jane@example.org", roles=["auditor"], now=NOW)
    latest.rename(tmp_path / "elsewhere")
    latest.mkdir()
    for call in (remembering.accounts, lambda: remembering.set_roles(made.account_id, [])):
        with pytest.raises(ConfigError) as caught:
            call()
        assert str(tmp_path) not in str(caught.value)
