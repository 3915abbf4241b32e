"""From the settings to the keys that the admin's processes work with."""

from __future__ import annotations

from functools import partial

from backend.custody import database, master
from backend.custody.keyring import Keyring
from backend.custody.providers.file import FileProvider
from backend.custody.providers.provider import KeyProvider
from backend.custody.unseal import MasterKey
from backend.errors import ConfigError
from backend.settings import Settings


def master_key(settings: Settings) -> MasterKey:
    """The master key, with the older ones that an unfinished rotation still needs. Raises `MasterKeyError`, and
    `ConfigError` when a setting that its provider needs is missing."""
    return MasterKey(settings.master_private_key(), provider(settings), retired_dir=settings.retired_master_keys())


def keyring(settings: Settings) -> Keyring:
    """The subjects' keys, in a database that is made or brought up to date. Raises as `database.open_keys` does."""
    return Keyring(database.open_keys(settings.keys()), partial(master.read_public, settings.master_public_key()))


def provider(settings: Settings) -> KeyProvider:
    """Who keeps the master private key, as the settings say. Raises `ConfigError` when one that it needs is missing."""
    if settings.custody.key_provider != "file":
        raise ConfigError("G2FACE_CUSTODY__KEY_PROVIDER: only file can be used yet")
    return FileProvider()
