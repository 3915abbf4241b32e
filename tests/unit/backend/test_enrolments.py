"""Second factors in the database, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import argon2
import pytest

from backend.accounts import Accounts
from backend.enrolments import Enrolments
from backend.errors import ForbiddenError
from backend.ledger.database import open_engine, upgrade

NOW = datetime(2030, 1, 2, tzinfo=UTC)
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def later(**duration: float) -> datetime:
    return NOW + timedelta(**duration)


@pytest.fixture
def accounts(database_url: str) -> Iterator[Accounts]:
    engine = open_engine(database_url)
    upgrade(engine)
    yield Accounts(engine, hasher=QUICK, voucher_key=b"v" * 32)
    engine.dispose()


@pytest.fixture
def enrolments(accounts: Accounts) -> Enrolments:
    return accounts.enrolments


@pytest.fixture
def jane(accounts: Accounts) -> str:
    return accounts.create("jane@example.org", roles=["auditor"], now=NOW)[0].account_id


@pytest.fixture
def enrolled(enrolments: Enrolments, jane: str) -> str:
    enrolments.complete(jane, enrolments.begin(jane), step=100)
    return jane


def refuse(enrolments: Enrolments, account_id: str, step: int | None, now: datetime = NOW) -> None:
    with pytest.raises(ForbiddenError, match="wrong code"):
        enrolments.accept(account_id, step, now=now)


def test_an_enrolment_holds_once_it_is_completed(accounts: Accounts, enrolments: Enrolments, jane: str) -> None:
    assert not accounts.account(jane).enrolled
    number = enrolments.begin(jane)
    assert not accounts.account(jane).enrolled
    enrolments.complete(jane, number, step=100)
    account = accounts.account(jane)
    assert (account.enrolled, account.enrolment) == (True, number)
    with pytest.raises(ForbiddenError, match="already"):
        enrolments.begin(jane)
    with pytest.raises(ForbiddenError, match="meanwhile"):
        enrolments.complete(jane, number, step=101)


def test_of_two_that_were_begun_only_the_last_can_be_completed(enrolments: Enrolments, jane: str) -> None:
    seen_by_a_stranger = enrolments.begin(jane)
    own = enrolments.begin(jane)
    assert own != seen_by_a_stranger
    with pytest.raises(ForbiddenError, match="meanwhile"):
        enrolments.complete(jane, seen_by_a_stranger, step=100)
    enrolments.complete(jane, own, step=100)


def test_a_code_works_once_and_no_older_one_after_it(enrolments: Enrolments, enrolled: str) -> None:
    refuse(enrolments, enrolled, 100)  # it has shown the enrolment
    enrolments.accept(enrolled, 102, now=NOW)
    refuse(enrolments, enrolled, 102)
    refuse(enrolments, enrolled, 101)
    enrolments.accept(enrolled, 103, now=NOW)


def test_of_two_at_once_a_code_lets_one_in(enrolments: Enrolments, enrolled: str) -> None:
    outcomes: list[bool] = []
    together = threading.Barrier(4)

    def enter() -> None:
        together.wait()
        try:
            enrolments.accept(enrolled, 200, now=NOW)
        except ForbiddenError:
            outcomes.append(False)
        else:
            outcomes.append(True)

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False, False, False, True]


def test_without_an_enrolment_no_code_is_right(enrolments: Enrolments, jane: str) -> None:
    refuse(enrolments, jane, 100)
    enrolments.begin(jane)
    refuse(enrolments, jane, 100)


def test_every_fifth_wrong_code_locks_for_twice_as_long(enrolments: Enrolments, enrolled: str) -> None:
    now, step = NOW, 1000
    for minutes in (5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440):
        for _ in range(5):
            refuse(enrolments, enrolled, None, now)
        refuse(enrolments, enrolled, step, now + timedelta(minutes=minutes, seconds=-1))
        now += timedelta(minutes=minutes)
    enrolments.accept(enrolled, step, now=now)


def test_a_locked_account_is_locked_for_passwords_too(accounts: Accounts, enrolments: Enrolments) -> None:
    account, password = accounts.create("joe@example.org", roles=["auditor"], now=NOW)
    enrolments.complete(account.account_id, enrolments.begin(account.account_id), step=100)
    for _ in range(5):
        refuse(enrolments, account.account_id, None)
    with pytest.raises(ForbiddenError):
        accounts.verify(account.email, password, now=later(minutes=4, seconds=59))
    assert accounts.verify(account.email, password, now=later(minutes=5))


def test_a_right_password_makes_no_wrong_code_forgotten(accounts: Accounts, enrolments: Enrolments) -> None:
    account, password = accounts.create("joe@example.org", roles=["auditor"], now=NOW)
    enrolments.complete(account.account_id, enrolments.begin(account.account_id), step=100)
    for _ in range(5):
        accounts.verify(account.email, password, now=NOW)
        refuse(enrolments, account.account_id, None)
    refuse(enrolments, account.account_id, 101)


def test_a_right_code_starts_afresh(enrolments: Enrolments, enrolled: str) -> None:
    for step in range(200, 203):
        for _ in range(4):
            refuse(enrolments, enrolled, None)
        enrolments.accept(enrolled, step, now=NOW)


def test_after_a_reset_the_old_device_is_worth_nothing(accounts: Accounts, enrolments: Enrolments, jane: str) -> None:
    first = enrolments.begin(jane)
    enrolments.complete(jane, first, step=100)
    before = accounts.account(jane).session_version
    enrolments.reset(jane)
    account = accounts.account(jane)
    assert (account.enrolled, account.session_version) == (False, before + 1)
    refuse(enrolments, jane, 200)
    second = enrolments.begin(jane)
    assert second > first
    enrolments.complete(jane, second, step=90)
    enrolments.accept(jane, 91, now=NOW)
