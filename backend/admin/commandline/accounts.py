"""The admin's people on the command line: who may sign in, as what, and what to do when a phone is lost."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from backend.accounts import ADMIN_ROLES, Account, Accounts, Role, new_account_id
from backend.admin import programs
from backend.admin.actors import Actor, Scope
from backend.custody import database
from backend.custody.audit import AuditLog
from backend.custody.records import NewEvent
from backend.errors import LedgerError
from backend.ledger.ledger import Ledger
from backend.settings import Settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

OPERATOR = "operator"
"""Who acts in the audit log: whoever may run commands where the admin's data lies. They have no account."""


@dataclass(frozen=True, slots=True)
class Registry:
    """The accounts, and the audit log in which every change is announced before it happens."""

    accounts: Accounts
    log: AuditLog
    clock: Callable[[], datetime]

    def find(self, email: str) -> Account:
        """The account of this address. Raises `LedgerError` when there is none."""
        account = self.accounts.find(email)
        if account is None:
            raise LedgerError("there is no account of this e-mail address")
        return account

    def record(self, action: str, account_id: str) -> None:
        """Announce. Raises `AuditError`, and then nothing is to happen."""
        self.log.append([NewEvent(OPERATOR, action, account_id)], now=self.clock())

    def record_ending(self, action: str, account_id: str) -> None:
        """Announce what ends all sessions and tokens of an account as well. Raises as `record` does."""
        detail = {"tokens": len(self.accounts.tokens.of(account_id))}
        ends = NewEvent(OPERATOR, "account.access_ended", account_id, detail)
        self.log.append([NewEvent(OPERATOR, action, account_id), ends], now=self.clock())


def add_commands(commands: Commands) -> None:
    """Add this group's parsers."""
    top = commands.add_parser("accounts", help="who may sign in, as what; lost phones, passwords and tokens")
    actions = top.add_subparsers(dest="action", required=True)

    def action(name: str, run: Callable[[Registry, argparse.Namespace], None]) -> argparse.ArgumentParser:
        parser = actions.add_parser(name, help=run.__doc__, description=run.__doc__)
        parser.set_defaults(run=lambda options, settings: _run(run, options, settings))
        if run is not show:
            parser.add_argument("email")
        return parser

    action("list", show)
    for name, run in (("add", add), ("roles", set_roles)):
        action(name, run).add_argument("roles", nargs="+", choices=sorted(Role), metavar="ROLE", help=", ".join(Role))
    action("off", off)
    action("on", on)
    action("reset-password", reset_password)
    action("reset-second-factor", reset_second_factor)
    action("forget-provider", forget_provider)
    _add_tokens(action("tokens", tokens))


def _add_tokens(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--issue", nargs="+", choices=sorted(Scope), metavar="SCOPE", help=", ".join(Scope))
    parser.add_argument("--days", type=int, default=30, help=f"how long it works, at most {programs.LAST_AT_MOST.days}")
    parser.add_argument("--revoke", metavar="TOKEN_ID", help="as it is listed, or all")


def show(registry: Registry, _options: argparse.Namespace) -> None:
    """One line per account."""
    for account in registry.accounts.accounts():
        state = ("on " if account.on else "off") if account.vouched else "not made here"
        factor = "provider" if account.openid else "second factor" if account.enrolled else "no second factor yet"
        _tell(f"{account.account_id}  {state}  {account.email}  {', '.join(sorted(account.roles))}  {factor}")


def add(registry: Registry, options: argparse.Namespace) -> None:
    """Make an account with these roles; its one-time password is shown once."""
    account_id = new_account_id()
    if registry.accounts.find(options.email) is not None:
        raise LedgerError("there is an account of this e-mail address already")
    registry.record("account.added", account_id)
    _, password = registry.accounts.create(
        options.email, roles=options.roles, now=registry.clock(), account_id=account_id
    )
    _tell(f"one-time password: {password}")


def set_roles(registry: Registry, options: argparse.Namespace) -> None:
    """Give an account these roles instead of those it has; when one is taken away, its sessions and tokens end. One
    that was not made here starts anew: its new one-time password is shown once."""
    account = registry.find(options.email)
    loses = not account.vouched or account.roles - set(options.roles)
    record = registry.record_ending if loses else registry.record
    record("account.roles_changed", account.account_id)
    if account.vouched:
        registry.accounts.set_roles(account.account_id, options.roles)
    else:
        _tell(f"one-time password: {registry.accounts.vouch(account.account_id, options.roles)}")
    _tell(", ".join(sorted(set(options.roles))))


def off(registry: Registry, options: argparse.Namespace) -> None:
    """Let an account in no longer; its sessions and tokens end with it."""
    account_id = registry.find(options.email).account_id
    registry.record_ending("account.switched_off", account_id)
    registry.accounts.switch(account_id, on=False)


def on(registry: Registry, options: argparse.Namespace) -> None:
    """Let an account in again; with its next sign-in, and with new tokens."""
    account_id = registry.find(options.email).account_id
    registry.record_ending("account.switched_on", account_id)
    registry.accounts.switch(account_id, on=True)


def reset_password(registry: Registry, options: argparse.Namespace) -> None:
    """Give an account a new one-time password, shown once; its sessions and tokens end."""
    account_id = registry.find(options.email).account_id
    registry.record_ending("account.password_reset", account_id)
    _tell(f"one-time password: {registry.accounts.reset_password(account_id)}")


def reset_second_factor(registry: Registry, options: argparse.Namespace) -> None:
    """Forget a lost phone: the next sign-in sets up another; the account's sessions end."""
    account_id = registry.find(options.email).account_id
    registry.record("account.second_factor_reset", account_id)
    registry.accounts.enrolments.reset(account_id)


def forget_provider(registry: Registry, options: argparse.Namespace) -> None:
    """Forget who an account is at the OpenID provider; its address introduces it anew."""
    account_id = registry.find(options.email).account_id
    registry.record("account.provider_forgotten", account_id)
    registry.accounts.introductions.forget(account_id)


def tokens(registry: Registry, options: argparse.Namespace) -> None:
    """List an account's tokens for programs; make one, shown once; or end one or all."""
    account, now = registry.find(options.email), registry.clock()
    if options.issue:
        actor = Actor(account.account_id, account.roles & ADMIN_ROLES)
        scopes = [Scope(name) for name in options.issue]
        _tell(
            programs.issue(registry.accounts, actor, scopes=scopes, days=options.days, now=now, record=registry.record)
        )
        return
    if options.revoke == "all":
        registry.record("token.revoked", account.account_id)
        _tell(f"{registry.accounts.tokens.revoke_all(account.account_id, scopes=list(Scope))} no longer work")
        return
    if options.revoke:
        registry.record("token.revoked", account.account_id)
        registry.accounts.tokens.revoke(account.account_id, options.revoke)
        return
    for token in programs.tokens(registry.accounts, account.account_id, now=now):
        _tell(f"{token.token_id}  {' '.join(sorted(token.scopes))}  until {token.expires_at:%Y-%m-%d %H:%M} UTC")


def _run(run: Callable[[Registry, argparse.Namespace], None], options: argparse.Namespace, settings: Settings) -> int:
    with _opened(settings) as registry:
        run(registry, options)
    return 0


@contextmanager
def _opened(settings: Settings) -> Iterator[Registry]:
    ledger, vault = Ledger.open(settings.database()), database.open_vault(settings.vault())
    try:
        latest = settings.latest_vouchers()
        accounts = Accounts(ledger.engine, voucher_key=settings.voucher_key(), latest_vouchers=latest)
        yield Registry(accounts, AuditLog(vault), lambda: datetime.now(UTC))
    finally:
        ledger.close()
        vault.dispose()


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
