"""The admin's people on the command line: what each command does, says and writes down."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.accounts import Account, Accounts, Role
from backend.admin.__main__ import main
from backend.admin.commandline.accounts import OPERATOR
from backend.custody import database
from backend.custody.audit import AuditLog
from backend.errors import ForbiddenError
from backend.ledger.ledger import Ledger
from backend.settings import Settings

JANE = "jane@example.org"
NOW = datetime.now(UTC)

Run = Callable[..., str]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("G2FACE_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def run(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Run:  # noqa: ARG001 - the command reads where it is
    def run(*words: str, status: int = 0) -> str:
        assert main(["accounts", *words]) == status
        told = capsys.readouterr()
        return told.err if status else told.out

    return run


@pytest.fixture
def accounts(data_dir: Path, run: Run) -> Iterator[Accounts]:
    run("list")  # makes the database
    ledger = Ledger.open(f"sqlite:///{data_dir / 'ledger.sqlite3'}")
    settings = Settings.load()
    yield Accounts(ledger.engine, voucher_key=settings.voucher_key(), latest_vouchers=settings.latest_vouchers())
    ledger.close()


@pytest.fixture
def written(data_dir: Path) -> Callable[[], list[tuple[str, str, str]]]:
    def written() -> list[tuple[str, str, str]]:
        vault = database.open_vault(f"sqlite:///{data_dir / 'vault.sqlite3'}")
        try:
            return [(event.actor, event.action, event.target) for event in AuditLog(vault).events()]
        finally:
            vault.dispose()

    return written


def one_time(told: str) -> str:
    found = re.fullmatch(r"one-time password: (\S{20,})\n", told)
    assert found is not None
    return found[1]


def jane(accounts: Accounts) -> Account:
    account = accounts.find(JANE)
    assert account is not None
    return account


def test_an_account_is_made_and_listed(run: Run, accounts: Accounts, written: Callable[[], object]) -> None:
    password = one_time(run("add", JANE, "auditor", "approver"))
    account = accounts.verify(JANE, password, now=NOW)
    assert (account.roles, account.must_change) == ({Role.AUDITOR, Role.APPROVER}, True)
    assert written() == [(OPERATOR, "account.added", account.account_id)]
    listed = run("list")
    assert listed == f"{account.account_id}  on   {JANE}  approver, auditor  no second factor yet\n"
    assert "already" in run("add", JANE.upper(), "auditor", status=2)
    assert len(accounts.accounts()) == 1


@pytest.mark.parametrize(
    ("words", "action", "ends", "changed"),
    [
        (("roles", JANE, "approver"), "account.roles_changed", True, lambda _, after: after.roles == {"approver"}),
        (
            ("roles", JANE, "auditor", "approver"),
            "account.roles_changed",
            False,
            lambda _, after: len(after.roles) == 2,
        ),
        (("off", JANE), "account.switched_off", True, lambda before, after: before.on and not after.on),
        (("on", JANE), "account.switched_on", True, lambda before, after: after.on and not before.on),
        (
            ("reset-second-factor", JANE),
            "account.second_factor_reset",
            False,
            lambda before, after: before.enrolled and not after.enrolled,
        ),
        (
            ("forget-provider", JANE),
            "account.provider_forgotten",
            False,
            lambda before, after: before.openid and not after.openid,
        ),
        (("reset-password", JANE), "account.password_reset", True, lambda _, after: after.must_change),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_is_changed_is_announced(
    run: Run,
    accounts: Accounts,
    written: Callable[[], list[tuple[str, str, str]]],
    words: tuple[str, ...],
    action: str,
    ends: bool,
    changed: Callable[[Account, Account], bool],
) -> None:
    run("add", JANE, "auditor")
    account_id = jane(accounts).account_id
    accounts.set_password(account_id, "four unrelated plain words")
    accounts.enrolments.complete(account_id, accounts.enrolments.begin(account_id), step=1)
    accounts.introductions.account("https://id.example.org", "jane-7", verified_email=JANE)
    if words[0] == "on":
        accounts.switch(account_id, on=False)
    _, token = accounts.tokens.issue(account_id, scopes=["intake"], expires_at=None, now=NOW)
    before = jane(accounts)
    run(*words)
    assert changed(before, jane(accounts))
    actions = [action, "account.access_ended"] if ends else [action]
    assert written()[1:] == [(OPERATOR, one, account_id) for one in actions]
    assert (jane(accounts).session_version > before.session_version) == (
        ends or "reset" in action or "provider" in action
    )
    assert (accounts.tokens.of(account_id) == []) == ends
    if not ends:
        assert accounts.tokens.verify(token, now=NOW)


def test_an_account_of_the_intake_starts_anew_when_it_gets_a_role_here(run: Run, accounts: Accounts) -> None:
    _, old = Accounts(accounts._engine).create(JANE, roles=["manager"], now=NOW)
    assert "not made here" in run("list")
    told = run("roles", JANE, "manager", "auditor")
    new = one_time(told.splitlines(keepends=True)[0])
    assert accounts.verify(JANE, new, now=NOW).roles == {Role.MANAGER, Role.AUDITOR}
    with pytest.raises(ForbiddenError):
        accounts.verify(JANE, old, now=NOW)
    assert "no second factor yet" in run("list")
    assert run("roles", JANE, "auditor") == "auditor\n", "from now on roles change without further ado"


def test_a_new_one_time_password_replaces_the_old_one(run: Run, accounts: Accounts) -> None:
    old, new = one_time(run("add", JANE, "auditor")), one_time(run("reset-password", JANE))
    accounts.verify(JANE, new, now=NOW)
    with pytest.raises(ForbiddenError):
        accounts.verify(JANE, old, now=NOW)


def test_tokens_are_made_listed_and_revoked(run: Run, accounts: Accounts) -> None:
    run("add", JANE, "auditor", "approver", "manager")
    made = [run("tokens", JANE, "--issue", *scopes).strip() for scopes in (["admin:audit"], ["admin:approve"])]
    _, at_the_intake = accounts.tokens.issue(jane(accounts).account_id, scopes=["intake"], expires_at=None, now=NOW)
    token = accounts.tokens.verify(made[0], now=NOW)
    assert token.expires_at is not None
    assert timedelta(days=29) < token.expires_at - NOW < timedelta(days=31)
    listed = run("tokens", JANE)
    assert [line.split()[1] for line in listed.splitlines()] == ["admin:audit", "admin:approve"]
    assert made[0] not in listed
    run("tokens", JANE, "--revoke", token.token_id)
    assert "no such token" in run("tokens", JANE, "--revoke", token.token_id, status=2)
    assert run("tokens", JANE, "--revoke", "all") == "1 no longer work\n"
    for secret in made:
        with pytest.raises(ForbiddenError):
            accounts.tokens.verify(secret, now=NOW)
    assert accounts.tokens.verify(at_the_intake, now=NOW)


def test_a_token_takes_the_role_and_ends_in_ninety_days(run: Run) -> None:
    run("add", JANE, "auditor")
    assert "key_officer" in run("tokens", JANE, "--issue", "admin:keys", status=2)
    assert "90 days" in run("tokens", JANE, "--issue", "admin:audit", "--days", "91", status=2)
    assert run("tokens", JANE) == ""


def test_nobody_is_found_nobody_is_changed(run: Run, written: Callable[[], list[object]]) -> None:
    for words in (["off"], ["roles"], ["reset-password"], ["reset-second-factor"], ["forget-provider"], ["tokens"]):
        more = ["auditor"] if words == ["roles"] else []
        assert run(*words, "nobody@example.org", *more, status=2) == "there is no account of this e-mail address\n"
    assert written() == []


def test_what_cannot_be_announced_does_not_happen(run: Run, accounts: Accounts, data_dir: Path) -> None:
    password = one_time(run("add", JANE, "auditor"))
    before = jane(accounts)
    for path in data_dir.glob("vault.sqlite3*"):
        path.unlink()
    (data_dir / "vault.sqlite3").mkdir()
    for words in (["off", JANE], ["add", "joe@example.org", "approver"], ["reset-second-factor", JANE]):
        run(*words, status=2)
    assert accounts.accounts() == [before]
    assert accounts.verify(JANE, password, now=NOW) == before


def test_no_log_says_a_name(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        run("add", JANE, "auditor")
        run("off", JANE)
    assert "jane" not in caplog.text


@pytest.mark.parametrize(
    "words", [["add", JANE], ["add", JANE, "king"], ["tokens", JANE, "--issue", "intake"], ["roles", JANE], []]
)
def test_bad_usage_is_told(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["accounts", *words])
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
