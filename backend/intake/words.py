"""How numbers and times read on the pages."""

from __future__ import annotations

from datetime import UTC, datetime

from backend.labelstudio.leaks import Kind
from backend.ledger.records import Progress

FILTERS = ("leak", "left", "moment", "number", "sentence", "under_way")
"""What the templates call."""

_LEAKS: dict[Kind, str] = {
    "foreign_image": "Originals in tasks",
    "other_address": "Other addresses and file names in tasks",
    "uploaded_file": "Names of uploaded files",
    "source_name": "Names of files in storages",
    "upload": "Uploads in Label Studio",
    "storage": "Connected storages",
    "webhook": "Webhooks that send tasks elsewhere",
    "ml_backend": "ML backends that are not ours",
}


def number(value: int) -> str:
    """1234567 as 1,234,567."""
    return f"{value:,}"


def leak(kind: Kind) -> str:
    """What a kind of leak is called."""
    return _LEAKS[kind]


def moment(at: datetime) -> str:
    """A point in time, to the minute, in UTC."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def under_way(progress: Progress) -> int:
    """How many photos are neither published nor given up."""
    return progress.waiting + progress.working + progress.ready


def sentence(text: str) -> str:
    """An error's message as a sentence."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def left(progress: Progress) -> str:
    """What can be said about the time that is left."""
    if progress.waiting + progress.working == 0:
        return "about to be published"
    if progress.seconds_left is None:
        return "under way" if progress.working else "waiting for a worker"
    return f"about {duration(progress.seconds_left)} left"


def duration(seconds: float) -> str:
    """A length of time in the unit a person would use."""
    if seconds < 90:
        return "a minute" if seconds >= 45 else "half a minute"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    if seconds < 36 * 3600:
        return f"{round(seconds / 3600)} hours"
    return f"{round(seconds / 86400)} days"
