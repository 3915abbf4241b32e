"""Hashes of passwords."""

from __future__ import annotations

import argon2
import pytest

from backend.errors import ForbiddenError
from backend.passwords import MIN_LENGTH, Passwords, check_strength

QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(QUICK)


def test_a_hash_is_of_one_password_and_salted(passwords: Passwords) -> None:
    first, second = passwords.hash("correct horse"), passwords.hash("correct horse")
    assert first.startswith("$argon2id$")
    assert first != second
    assert passwords.matches(first, "correct horse")
    for wrong in ("correct hors", "correct horse ", "Correct horse", "", "\ud800", "x" * 10**7):
        assert not passwords.matches(first, wrong)


def test_nobodys_password_is_never_right(passwords: Passwords) -> None:
    assert not passwords.matches(None, "correct horse")


def test_a_hash_at_other_costs_is_outdated(passwords: Passwords) -> None:
    kept = passwords.hash("correct horse")
    assert (passwords.is_outdated(kept), Passwords().is_outdated(kept)) == (False, True)
    assert Passwords().matches(kept, "correct horse")


@pytest.mark.parametrize("password", ["", "x" * (MIN_LENGTH - 1), "x" * 1025])
def test_weak_and_endless_ones_are_refused(password: str) -> None:
    with pytest.raises(ForbiddenError, match="at least 12 characters"):
        check_strength(password)
    check_strength("x" * MIN_LENGTH)
