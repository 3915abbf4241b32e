"""One-time codes: derived, checked near now, drawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from defusedxml import ElementTree

from backend.admin.second_factor import SecondFactor, drawing

NOW = datetime(2026, 3, 2, 9, 30, 7, tzinfo=UTC)
JANE, JOE = "a" * 32, "b" * 32


@pytest.fixture
def factor() -> SecondFactor:
    return SecondFactor(b"k" * 32)


def shown(factor: SecondFactor, account_id: str, enrolment: int, at: datetime = NOW) -> str:
    return pyotp.TOTP(factor.secret(account_id, enrolment)).at(at)


def test_a_secret_is_always_the_same_and_nobody_elses(factor: SecondFactor) -> None:
    secrets = {factor.secret(account, enrolment) for account in (JANE, JOE) for enrolment in range(20)}
    secrets.add(SecondFactor(b"l" * 32).secret(JANE, 1))
    assert len(secrets) == 41
    assert factor.secret(JANE, 1) == SecondFactor(b"k" * 32).secret(JANE, 1)
    assert all(len(secret) == 32 for secret in secrets)  # 160 bits


def test_a_code_counts_half_a_minute_early_and_late_and_no_longer(factor: SecondFactor) -> None:
    code, step = shown(factor, JANE, 1), int(NOW.timestamp()) // 30
    for seconds, expected in [(-40, None), (-30, step), (0, step), (30, step), (60, None)]:
        now = NOW + timedelta(seconds=seconds)
        assert factor.step(JANE, 1, code=code, now=now) == expected, seconds


def test_a_code_is_of_one_account_and_one_enrolment(factor: SecondFactor) -> None:
    code = shown(factor, JANE, 1)
    assert factor.step(JANE, 2, code=code, now=NOW) is None
    assert factor.step(JOE, 1, code=code, now=NOW) is None


def test_spaces_are_forgiven_and_nothing_else(factor: SecondFactor) -> None:
    code = shown(factor, JANE, 1)
    assert factor.step(JANE, 1, code=f" {code[:3]} {code[3:]}\n", now=NOW) is not None
    arabic = code.translate({ord(str(digit)): 0x660 + digit for digit in range(10)})
    for wrong in ("", code[:5], code + "0", f"{code[:5]}x", arabic, code * 10**6, "\x00", "\ud800", f"-{code[1:]}"):
        assert factor.step(JANE, 1, code=wrong, now=NOW) is None


def test_the_address_is_what_apps_read(factor: SecondFactor) -> None:
    told = pyotp.parse_uri(factor.address(JANE, 1, email="jane@example.org"))
    assert isinstance(told, pyotp.TOTP)
    assert (told.secret, told.name, told.issuer) == (factor.secret(JANE, 1), "jane@example.org", "g2face admin")
    assert (told.digits, told.interval) == (6, 30)


def test_the_drawing_has_no_style_that_a_policy_would_forbid(factor: SecondFactor) -> None:
    svg = drawing(factor.address(JANE, 1, email="jane@example.org"))
    for element in ElementTree.fromstring(svg).iter():
        assert element.tag in {"svg", "path"}
        assert not {"style", "onload"} & element.attrib.keys()
