"""Passwords as argon2id hashes, which cannot be read back. The only door to argon2."""

from __future__ import annotations

import secrets

import argon2

from backend.errors import ForbiddenError

MIN_LENGTH = 12
_MAX_LENGTH = 1024  # hashing is work; nobody may order any amount of it


class Passwords:
    """Makes and checks hashes."""

    def __init__(self, hasher: argon2.PasswordHasher | None = None) -> None:
        """`hasher`: argon2id at the costs of RFC 9106 for little memory, unless given."""
        self._hasher = hasher or argon2.PasswordHasher()
        self._of_nobody = self._hasher.hash(secrets.token_urlsafe(32))

    def hash(self, password: str) -> str:
        """What is kept of a password."""
        return self._hasher.hash(_bytes(password))

    def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether this is the password. For None, as of an unknown address, it is not, after as much work."""
        try:
            right = self._hasher.verify(password_hash or self._of_nobody, _bytes(password))
        except argon2.exceptions.VerifyMismatchError:
            return False
        return right and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made at other costs than today's."""
        return self._hasher.check_needs_rehash(password_hash)


def check_strength(password: str) -> None:
    """Raises `ForbiddenError` on a password that is too short or endless."""
    if not MIN_LENGTH <= len(password) <= _MAX_LENGTH:
        raise ForbiddenError(f"a password has at least {MIN_LENGTH} characters")


def _bytes(text: str) -> bytes:
    """For hashing: never more than a hash should be asked to work on, and never an error, whatever was typed."""
    return text[: _MAX_LENGTH + 1].encode("utf-8", "surrogatepass")
