"""Who may sign in, on SQLite and on PostgreSQL."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import argon2
import pytest
from sqlalchemy import select, text

from backend.accounts import ADMIN_ROLES, Account, Accounts, Role
from backend.errors import AuditError, ForbiddenError, LedgerError
from backend.ledger.database import open_engine, reading, upgrade
from backend.ledger.tables import AccountRow, TokenRow

NOW = datetime(2030, 1, 2, tzinfo=UTC)
PASSWORD = "correct horse battery"
VOUCHER_KEY = b"v" * 32
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # the real costs are for attackers


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def accounts(database_url: str) -> Iterator[Accounts]:
    engine = open_engine(database_url)
    upgrade(engine)
    yield Accounts(engine, hasher=QUICK, voucher_key=VOUCHER_KEY)
    engine.dispose()


@pytest.fixture
def jane(accounts: Accounts) -> Account:
    account, _ = accounts.create("Jane@Example.org ", roles=["manager"], now=NOW)
    return accounts.set_password(account.account_id, PASSWORD)


def test_a_new_account_signs_in_once_with_what_it_was_shown(accounts: Accounts) -> None:
    account, password = accounts.create("jane@example.org", roles=["manager", "auditor"], now=NOW)
    assert account.must_change
    assert account.roles == {Role.MANAGER, Role.AUDITOR}
    assert len(password) >= 20
    assert accounts.verify("JANE@example.org", password, now=NOW) == account
    own = accounts.set_password(account.account_id, PASSWORD)
    assert not own.must_change
    assert accounts.verify("jane@example.org", PASSWORD, now=NOW) == own == accounts.account(account.account_id)
    with pytest.raises(ForbiddenError):
        accounts.verify("jane@example.org", password, now=NOW)


def test_what_ends_all_sessions_is_counted(accounts: Accounts, jane: Account) -> None:
    def version() -> int:
        return accounts.account(jane.account_id).session_version

    before = version()
    accounts.verify(jane.email, PASSWORD, now=NOW)
    accounts.set_roles(jane.account_id, [*jane.roles, "auditor"])
    with pytest.raises(ForbiddenError):
        accounts.set_password(jane.account_id, "short")
    assert version() == before
    accounts.set_password(jane.account_id, "another good password")
    assert version() == before + 1
    accounts.reset_password(jane.account_id)
    accounts.switch(jane.account_id, on=False)
    accounts.switch(jane.account_id, on=True)
    assert version() == before + 4


def test_the_first_account_is_made_once(accounts: Accounts) -> None:
    for ensure, roles in ((accounts.ensure_manager, {"manager"}), (accounts.ensure_officer, ADMIN_ROLES)):
        first = ensure(now=NOW)
        assert first is not None
        account = accounts.verify(*first, now=NOW)
        assert (account.must_change, account.roles) == (True, roles)
        assert ensure(now=NOW) is None
    assert len(accounts.accounts()) == 2


def test_the_first_officer_is_announced_before_there_is_one(accounts: Accounts) -> None:
    def refuse(*_: str) -> None:
        assert accounts.accounts() == []
        raise AuditError("the audit log cannot be written")

    with pytest.raises(AuditError):
        accounts.ensure_officer(now=NOW, announce=refuse)
    assert accounts.accounts() == []
    heard: list[str] = []
    accounts.ensure_officer(now=NOW, announce=heard.append)
    accounts.ensure_officer(now=NOW, announce=heard.append)
    assert heard == [account.account_id for account in accounts.accounts()]


def test_no_second_first_account_appears_when_the_first_is_off_or_has_lost_its_role(accounts: Accounts) -> None:
    accounts.ensure_officer(now=NOW)
    (officer,) = accounts.accounts()
    accounts.switch(officer.account_id, on=False)
    assert accounts.ensure_officer(now=NOW) is None
    accounts.set_roles(officer.account_id, ["auditor"])
    assert accounts.ensure_officer(now=NOW) is None
    assert len(accounts.accounts()) == 1


def test_nothing_that_was_shown_is_kept(accounts: Accounts, jane: Account) -> None:
    _, password = accounts.create("joe@example.org", roles=["manager"], now=NOW)
    _, token = accounts.tokens.issue(jane.account_id, scopes=["intake"], expires_at=None, now=NOW)
    with reading(accounts._engine) as connection:
        kept = str(connection.execute(select(AccountRow.__table__)).all())
        kept += str(connection.execute(select(TokenRow.__table__)).all())
    assert "$argon2id$" in kept
    for secret in (password, token, PASSWORD):
        assert secret not in kept


def test_every_refusal_reads_the_same(accounts: Accounts, jane: Account) -> None:
    def refusal(email: str, password: str) -> str:
        with pytest.raises(ForbiddenError) as refused:
            accounts.verify(email, password, now=NOW)
        return str(refused.value)

    unknown = refusal("nobody@example.org", PASSWORD)
    assert refusal(jane.email, "wrong") == unknown
    accounts.switch(jane.account_id, on=False)
    assert refusal(jane.email, PASSWORD) == unknown
    assert "jane" not in unknown


def test_five_failures_lock_for_five_minutes(accounts: Accounts, jane: Account) -> None:
    for attempt in range(5):
        with pytest.raises(ForbiddenError):
            accounts.verify(jane.email, f"wrong {attempt}", now=NOW)
    with pytest.raises(ForbiddenError):
        accounts.verify(jane.email, PASSWORD, now=later(299))
    assert accounts.verify(jane.email, PASSWORD, now=later(300)).account_id == jane.account_id


def test_a_success_between_failures_starts_afresh(accounts: Accounts, jane: Account) -> None:
    for _ in range(3):
        for _ in range(4):
            with pytest.raises(ForbiddenError):
                accounts.verify(jane.email, "wrong", now=NOW)
        accounts.verify(jane.email, PASSWORD, now=NOW)


def test_an_unknown_address_costs_as_much_work_as_a_known_one(accounts: Accounts, jane: Account) -> None:
    thorough = Accounts(accounts._engine)
    thorough.set_password(jane.account_id, "another one entirely")

    def seconds(email: str) -> float:
        took = []
        for _ in range(3):
            began = time.perf_counter()
            with pytest.raises(ForbiddenError):
                thorough.verify(email, "wrong", now=NOW)
            took.append(time.perf_counter() - began)
        return statistics.median(took)

    known, unknown = seconds(jane.email), seconds("nobody@example.org")
    assert unknown > known / 4, "without hashing it would be a hundred times faster"


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
def test_a_weak_password_is_refused(accounts: Accounts, jane: Account, password: str) -> None:
    with pytest.raises(ForbiddenError):
        accounts.set_password(jane.account_id, password)
    assert accounts.verify(jane.email, PASSWORD, now=NOW)


def test_the_old_password_is_no_new_one(accounts: Accounts, jane: Account) -> None:
    with pytest.raises(ForbiddenError, match="old"):
        accounts.set_password(jane.account_id, PASSWORD)


def test_a_forgotten_password_is_reset(accounts: Accounts, jane: Account) -> None:
    password = accounts.reset_password(jane.account_id)
    assert accounts.verify(jane.email, password, now=NOW).must_change
    with pytest.raises(ForbiddenError):
        accounts.verify(jane.email, PASSWORD, now=NOW)
    with pytest.raises(ForbiddenError):
        accounts.reset_password("0" * 32)


def test_accounts_that_cannot_be_are_refused(accounts: Accounts, jane: Account) -> None:
    with pytest.raises(LedgerError, match="already"):
        accounts.create(" JANE@example.org", roles=["manager"], now=NOW)
    with pytest.raises(LedgerError, match="role"):
        accounts.create("joe@example.org", roles=["king"], now=NOW)
    with pytest.raises(LedgerError, match="e-mail"):
        accounts.create("joe", roles=["manager"], now=NOW)
    assert accounts.accounts() == [jane]


def test_roles_are_required(jane: Account) -> None:
    jane.require(Role.MANAGER)
    with pytest.raises(ForbiddenError, match="approver"):
        jane.require(Role.APPROVER)


def test_roles_are_replaced_at_once_and_only_by_roles(accounts: Accounts, jane: Account) -> None:
    assert accounts.set_roles(jane.account_id, ["auditor", "approver"]).roles == {Role.AUDITOR, Role.APPROVER}
    with pytest.raises(LedgerError, match="role"):
        accounts.set_roles(jane.account_id, ["auditor", "king"])
    with pytest.raises(ForbiddenError):
        accounts.set_roles("0" * 32, ["auditor"])
    assert accounts.account(jane.account_id).roles == {Role.AUDITOR, Role.APPROVER}


@pytest.mark.parametrize("end", ["off", "on", "reset", "role", "vouch"])
def test_what_ends_an_account_s_access_ends_its_sessions_and_all_its_tokens(
    accounts: Accounts, jane: Account, end: str
) -> None:
    other, _ = accounts.create("joe@example.org", roles=["manager"], now=NOW)
    for scopes in (["intake"], ["admin:audit", "admin:keys"]):
        accounts.tokens.issue(jane.account_id, scopes=scopes, expires_at=None, now=NOW)
    kept, _ = accounts.tokens.issue(other.account_id, scopes=["intake"], expires_at=None, now=NOW)
    match end:
        case "off" | "on":
            accounts.switch(jane.account_id, on=end == "on")
        case "reset":
            accounts.reset_password(jane.account_id)
        case "role":
            accounts.set_roles(jane.account_id, ["auditor"])
        case "vouch":
            accounts.vouch(jane.account_id, ["manager"])
    (now,) = [one for one in accounts.accounts() if one.account_id == jane.account_id]
    assert now.session_version == jane.session_version + 1
    assert accounts.tokens.of(jane.account_id) == []
    assert accounts.tokens.of(other.account_id) == [kept]
    assert accounts.account(other.account_id) == other


def test_a_role_more_ends_nothing(accounts: Accounts, jane: Account) -> None:
    token, _ = accounts.tokens.issue(jane.account_id, scopes=["intake"], expires_at=None, now=NOW)
    after = accounts.set_roles(jane.account_id, ["manager", "auditor"])
    assert after.session_version == jane.session_version
    assert accounts.tokens.of(jane.account_id) == [token]


def test_access_ends_with_what_ended_it_or_neither_does(accounts: Accounts, jane: Account) -> None:
    token, _ = accounts.tokens.issue(jane.account_id, scopes=["intake"], expires_at=None, now=NOW)
    with accounts._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE accounts RENAME COLUMN must_change TO mustchange")
    for fails in (
        lambda: accounts.reset_password(jane.account_id),
        lambda: accounts.vouch(jane.account_id, ["auditor"]),
    ):
        with pytest.raises(LedgerError):
            fails()
    assert accounts.tokens.of(jane.account_id) == [token]


def test_an_account_is_found_by_its_address_on_or_off(accounts: Accounts, jane: Account) -> None:
    accounts.switch(jane.account_id, on=False)
    found = accounts.find(" JANE@example.org ")
    assert found is not None
    assert (found.account_id, found.on) == (jane.account_id, False)
    assert accounts.find("joe@example.org") is None
    assert accounts.find("\x00") is None


def test_who_may_do_something_is_looked_up_anew(accounts: Accounts, jane: Account) -> None:
    role = next(iter(jane.roles))
    others = frozenset(Role) - jane.roles
    assert accounts.may(jane.account_id, role)
    assert not any(accounts.may(jane.account_id, other) for other in others)
    assert not accounts.may("f" * 32, role)
    assert not Accounts(accounts._engine).may(jane.account_id, role)  # nobody vouches for it there
    accounts.switch(jane.account_id, on=False)
    assert not accounts.may(jane.account_id, role)


def test_a_hostile_password_is_only_wrong(accounts: Accounts, jane: Account) -> None:
    for password in ("x" * 10_000_000, "\x00", "'; DROP TABLE accounts; --", "\ud800"):
        with pytest.raises(ForbiddenError):
            accounts.verify(jane.email, password, now=later(600))
    for email in ("\x00", "\ud800@x", "jane@example.org\x00x", ""):
        with pytest.raises(ForbiddenError):
            accounts.verify(email, PASSWORD, now=NOW)
    with pytest.raises(ForbiddenError):
        accounts.tokens.verify("\ud800\x00", now=NOW)
    with reading(accounts._engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM accounts")) == 1


def test_hashes_are_renewed_at_todays_costs(accounts: Accounts, jane: Account) -> None:
    def cost() -> str:
        with reading(accounts._engine) as connection:
            return str(connection.scalar(select(AccountRow.password_hash))).split("$")[3]

    assert cost() == "m=8,t=1,p=1"
    Accounts(accounts._engine).verify(jane.email, PASSWORD, now=NOW)
    assert cost() == "m=8,t=1,p=1", "the intake leaves alone what the admin vouches for"
    Accounts(accounts._engine, voucher_key=VOUCHER_KEY).verify(jane.email, PASSWORD, now=NOW)
    assert cost() == "m=65536,t=3,p=4"
    assert accounts.account(jane.account_id).vouched
