"""How numbers and times read on the pages."""

from __future__ import annotations

from datetime import UTC, datetime

from backend.labelstudio.leaks import Kind
from backend.ledger.records import Pilot, PilotState, Progress

FILTERS = ("leak", "left", "moment", "number", "pilot_state", "pilot_story", "sentence", "under_way")
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

_PILOTS: dict[PilotState, str] = {
    PilotState.ASKED: "Asking",
    PilotState.WAITING: "Waiting for approval",
    PilotState.MEASURING: "Measuring",
    PilotState.DONE: "Done",
    PilotState.REFUSED: "Refused",
    PilotState.EXPIRED: "Expired",
    PilotState.FAILED: "Failed",
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


def pilot_state(pilot: Pilot) -> str:
    """Where a pilot is, in a word or two."""
    return _PILOTS[pilot.state]


def pilot_story(pilot: Pilot) -> str:
    """What happens to a pilot, or happened, and what somebody has to do about it."""
    count = len(pilot.photos)
    if pilot.state is PilotState.ASKED:
        return "The originals are about to be asked for."
    if pilot.state is PilotState.WAITING:
        until = f" until {moment(pilot.expires_at)}" if pilot.expires_at else ""
        return (
            f"{number(pilot.approved)} of {number(count)} originals are approved. Somebody who approves recovery says "
            f"yes or no in the admin's console{until}, to all requests of “pilot {pilot.pilot_id}” together: an "
            "approval is good for some minutes only."
        )
    if pilot.state is PilotState.MEASURING:
        return f"{number(pilot.measured)} of {number(pilot.approved)} photos are measured."
    if pilot.state is PilotState.DONE:
        return f"{number(pilot.measured)} of {number(count)} photos were measured."
    return sentence(pilot.reason or "no reason was written down")


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
