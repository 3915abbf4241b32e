"""What programs send: read strictly, with one sentence for whatever is wrong."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from flask import Request

from backend.errors import OfficeError

_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,128}")
_MAX_TEXT = 4000
_CONTROL = ("Cc", "Cs")  # control characters, and halves of characters
Kind = TypeVar("Kind", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Body:
    """The JSON object of a request. Its methods raise `OfficeError` for a field that is missing or of another kind."""

    fields: Mapping[str, Any]

    @classmethod
    def of(cls, request: Request, *known: str) -> Body:
        """Raises `OfficeError` when it is no object or has other than the `known` fields."""
        try:
            body = request.get_json()
        except RecursionError:  # lists within lists within lists
            body = None
        if not isinstance(body, dict):
            raise OfficeError("a JSON object is expected")
        if unknown := sorted(body.keys() - set(known)):
            raise OfficeError(f"this takes {', '.join(known)} and not {unknown[0]!r:.40}")
        return cls(body)

    def text(self, name: str) -> str:
        """A text with something in it."""
        text = self.optional_text(name)
        if text is None or not text.strip():
            raise OfficeError(f"{name} is missing")
        return text

    def optional_text(self, name: str) -> str | None:
        """A text, or None when it is not there."""
        value = self.fields.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > _MAX_TEXT or not _storable(value):
            raise OfficeError(f"{name} is a text of at most {_MAX_TEXT} characters")
        return value

    def numbers(self, name: str) -> list[int]:
        """A list of whole numbers."""
        values = self.fields.get(name)
        if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 2**16 for value in values):
            raise OfficeError(f"{name} is a list of numbers of faces")
        return values

    def choice(self, name: str, kinds: type[Kind]) -> Kind:
        """One of `kinds`."""
        found = choice(kinds, self.text(name))
        if found is None:
            raise OfficeError(f"{name} is missing")
        return found


def identifier(text: str) -> str:
    """A project's, photo's, request's or withdrawal's id. Raises `OfficeError` for anything else."""
    if not _ID.fullmatch(text):
        raise OfficeError("an id has 32 hexadecimal digits")
    return text


def choice(kinds: type[Kind], text: str | None) -> Kind | None:
    """One of `kinds`; None when nothing is said. Raises `OfficeError` for anything else."""
    try:
        return None if text is None else kinds(text)
    except ValueError:
        raise OfficeError(f"this is one of {', '.join(kinds)}") from None


def moment(text: str | None) -> datetime | None:
    """A moment as in RFC 3339; None when nothing is said. Raises `OfficeError` for anything else."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (OverflowError, ValueError):
        raise OfficeError("a moment is written as 2026-01-31T12:00:00+00:00") from None
    raise OfficeError("a moment needs a time zone")


def number(text: str | None) -> int | None:
    """A whole number; None when nothing is said. Raises `OfficeError` for anything else."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise OfficeError("before is the number of an event")
    return int(text)


def name(text: str | None) -> str | None:
    """An action, or an account's or target's id, to look for; None when nothing is said. Raises `OfficeError`."""
    if text is not None and not _NAME.fullmatch(text):
        raise OfficeError("actions and ids have up to 128 letters, digits and marks")
    return text


def _storable(text: str) -> bool:
    """Whether a database can hold it, and a person read it."""
    return all(sign in "\r\n\t" or unicodedata.category(sign) not in _CONTROL for sign in text)
