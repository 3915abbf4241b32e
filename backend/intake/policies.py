"""From what a person or a program asks for to the fields of a `Policy`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from backend.errors import IntakeError
from backend.ledger.records import OutputFormat, Pseudonym, Recovery, Strictness

CHOICES: dict[str, tuple[str, ...]] = {
    "recovery": get_args(Recovery),
    "pseudonym": get_args(Pseudonym),
    "strictness": get_args(Strictness),
    "output_format": get_args(OutputFormat),
}
MAX_RETENTION_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Wishes:
    """A policy before it has a project: every field a person chooses, with what we propose."""

    recovery: Recovery = "exact"
    pseudonym: Pseudonym = "consistent"
    strictness: Strictness = "standard"
    output_format: OutputFormat = "png"
    suggest_expressions: bool = False
    retention_days: int | None = None


def of_form(form: Mapping[str, str]) -> dict[str, Any]:
    """All fields of a policy from a submitted form, where an empty box means no. Raises `IntakeError`."""
    days = form.get("retention_days", "").strip()
    if days and not (days.isascii() and days.isdigit()):
        raise IntakeError("the days until what is sealed expires are a whole number")
    fields: dict[str, Any] = {name: form.get(name, "") for name in CHOICES}
    fields["suggest_expressions"] = form.get("suggest_expressions") == "yes"
    fields["retention_days"] = int(days) if days else None
    return of_mapping(fields)


def of_mapping(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The given fields of a policy, checked. Raises `IntakeError` on one that is unknown or has no such value."""
    for name, value in fields.items():
        if name in CHOICES:
            if value not in CHOICES[name]:
                raise IntakeError(f"{name} is one of: {', '.join(CHOICES[name])}")
        elif name == "suggest_expressions":
            if not isinstance(value, bool):
                raise IntakeError("suggest_expressions is true or false")
        elif name == "retention_days":
            _check_days(value)
        else:
            raise IntakeError(f"a policy has these fields only: {', '.join((*CHOICES, *_OTHERS))}")
    return dict(fields)


_OTHERS = ("suggest_expressions", "retention_days")


def _check_days(value: object) -> None:
    is_days = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_RETENTION_DAYS
    if value is not None and not is_days:
        raise IntakeError(f"what is sealed expires after 1 to {MAX_RETENTION_DAYS} days, or has no expiry date")
