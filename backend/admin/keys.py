"""From the settings to the keys that the admin's processes work with."""

from __future__ import annotations

import sys
from functools import partial
from getpass import getpass
from pathlib import Path

from backend.custody import database, key_files, master
from backend.custody.keyring import Keyring
from backend.custody.providers import shares
from backend.custody.providers.aws import AwsProvider
from backend.custody.providers.file import FileProvider
from backend.custody.providers.provider import KeyProvider
from backend.custody.providers.shares import Ask, SharesProvider
from backend.custody.providers.vault import VaultProvider
from backend.custody.unseal import MasterKey
from backend.errors import ConfigError, MasterKeyError
from backend.settings import Settings


def master_key(settings: Settings) -> MasterKey:
    """The master key, with the older ones that an unfinished rotation still needs; shares of it may be asked for at the
    terminal. Raises `MasterKeyError`, and `ConfigError` when a setting that its provider needs is missing."""
    return MasterKey(settings.master_private_key(), provider(settings), retired_dir=settings.retired_master_keys())


def keyring(settings: Settings) -> Keyring:
    """The subjects' keys, in a database that is made or brought up to date. Raises as `database.open_keys` does."""
    return Keyring(database.open_keys(settings.keys()), partial(master.read_public, settings.master_public_key()))


def provider(settings: Settings, name: str | None = None) -> KeyProvider:
    """The provider of that name, or the one that keeps the master key now. Raises `ConfigError` when it needs a setting
    that is missing."""
    there = settings.custody
    match name or there.key_provider:
        case "shares":
            return SharesProvider(share_files(there.share_files) if there.share_files else ask_at_terminal)
        case "vault":
            token = None if there.transit_token is None else there.transit_token.get_secret_value()
            return VaultProvider(
                _needed(there.transit_url, "TRANSIT_URL"), _needed(token, "TRANSIT_TOKEN"), key=there.transit_key
            )
        case "aws":
            return AwsProvider(_needed(there.kms_key_id, "KMS_KEY_ID"), url=there.kms_url)
        case _:
            return FileProvider()


def share_files(paths: tuple[Path, ...]) -> Ask:
    """Gives the shares in these files, one after the other. Raises `MasterKeyError` when there is none left, or others
    can read one."""
    left = iter(paths)

    def ask(given: int, needed: int | None) -> str:
        path = next(left, None)
        if path is None:
            raise MasterKeyError(f"{given} shares of the master key are there, {needed or 'at least 2'} are needed")
        return key_files.read_owned(path, "a share of the master key").decode("ascii", "replace")

    return ask


def ask_at_terminal(given: int, needed: int | None) -> str:
    """A share that somebody types, unseen; again until it is one. Raises `ConfigError` when there is no terminal."""
    if not sys.stdin.isatty():
        raise ConfigError("the master key is split: name its shares in G2FACE_CUSTODY__SHARE_FILES, or use a terminal")
    while True:
        try:
            share = getpass(f"Share {given + 1}{f' of {needed}' if needed else ''} of the master key: ")
            shares.check(share)
        except EOFError:
            raise MasterKeyError("no more shares were given") from None
        except MasterKeyError as error:
            sys.stderr.write(f"{error}\n")
        else:
            return share


def _needed(value: str | None, name: str) -> str:
    if value is None:
        raise ConfigError(f"G2FACE_CUSTODY__{name} is not set: the master key's provider needs it")
    return value
