"""What the ledger knows, as frozen values. No SQL here and no pixels: importing this loads the standard library only.

Times are UTC-aware. Coordinates are in px of the published image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

Recovery = Literal["exact", "none"]
Pseudonym = Literal["consistent", "unlinkable"]
Strictness = Literal["standard", "strict"]
OutputFormat = Literal["png", "webp", "jpeg"]
Origin = Literal["intake", "adoption"]

Point = tuple[float, float]


def _number(value: float | None) -> float | None:
    """A plain float; None for what was not measured, which JSON has no NaN for."""
    return None if value is None or math.isnan(value) else float(value)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a project's photos are anonymized. A revision never changes; revising makes the next one.

    recovery: "exact" keeps what is needed to restore the original bit for bit, "none" keeps nothing.
    pseudonym: "consistent" gives one person the same new face in all their photos, "unlinkable" a new one each time.
    strictness: "strict" refuses a photo that the anonymizer could only cover, "standard" lets it pass.
    retention_days: sealed records expire so many days after they were made; None keeps them until withdrawn.
    """

    project_id: str
    revision: int
    recovery: Recovery
    pseudonym: Pseudonym
    strictness: Strictness
    retention_days: int | None
    suggest_expressions: bool
    output_format: OutputFormat
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Project:
    """A Label Studio project that anonymization is, or was, turned on for, with its current policy.

    on: photos are worked on. adopts: tasks that Label Studio already holds are taken over. refusal: what Label Studio
    said when it last would not take anything for the project, until it does again.
    """

    project_id: str
    title: str
    labelstudio_id: int
    on: bool
    adopts: bool
    created_at: datetime
    policy: Policy
    refusal: str | None = None
    refused_at: datetime | None = None


class PhotoState(StrEnum):
    """Where a photo is on its way."""

    WAITING = "waiting"
    WORKING = "working"
    READY = "ready"  # locked and stored, not yet published
    PUBLISHED = "published"
    FAILED = "failed"  # a person has to look at it
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class FaceNote:
    """What is kept of one face after its pixels are gone.

    box: left, top, right, bottom in px. landmarks: 68 (x, y) in px. outcome and reasons: the anonymizer's verdict, in
    its words. similarities: per recogniser, to the original. expression: the suggested label with its score in [0, 1].
    """

    index: int
    box: tuple[float, float, float, float]
    landmarks: tuple[Point, ...]
    outcome: str
    reasons: tuple[str, ...] = ()
    similarities: Mapping[str, float] = field(default_factory=dict)
    landmark_nme: float | None = None
    expression_agreement: float | None = None
    expression: str | None = None
    expression_score: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A value that `json.dumps` takes and `from_json` reads back."""
        return {
            "index": self.index,
            "box": [float(edge) for edge in self.box],
            "landmarks": [[float(x), float(y)] for x, y in self.landmarks],
            "outcome": self.outcome,
            "reasons": list(self.reasons),
            "similarities": {name: float(value) for name, value in self.similarities.items()},
            "landmark_nme": _number(self.landmark_nme),
            "expression_agreement": _number(self.expression_agreement),
            "expression": self.expression,
            "expression_score": _number(self.expression_score),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FaceNote:
        """The note that `to_json` wrote. Raises `KeyError`, `TypeError` or `ValueError` on anything else."""
        left, top, right, bottom = (float(edge) for edge in data["box"])
        return cls(
            index=int(data["index"]),
            box=(left, top, right, bottom),
            landmarks=tuple((float(x), float(y)) for x, y in data["landmarks"]),
            outcome=str(data["outcome"]),
            reasons=tuple(str(reason) for reason in data["reasons"]),
            similarities={str(name): float(value) for name, value in data["similarities"].items()},
            landmark_nme=_number(data["landmark_nme"]),
            expression_agreement=_number(data["expression_agreement"]),
            expression=None if data["expression"] is None else str(data["expression"]),
            expression_score=_number(data["expression_score"]),
        )


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo and everything the ledger knows about it.

    source_sha256: of the original; for an adopted photo, unknown until its bytes were fetched, a stand-in derived from
    the task. source_blob: the sealed original's name in storage, until published. source_address: an adopted task's
    former image, until published. image_key: unguessable and public; it names the image to Label Studio.
    attempts: how often a worker took it up. claimed_until: when the present worker's claim lapses. work_seconds: from
    the last claim until everything was locked and stored; None before, and for photos from before it was noted.
    """

    photo_id: str
    project_id: str
    state: PhotoState
    origin: Origin
    source_sha256: str
    source_blob: str | None
    labelstudio_task_id: int | None
    source_address: str | None
    subject_id: str | None
    consent: str | None
    policy_revision: int
    image_key: str | None
    image_sha256: str | None
    image_format: OutputFormat | None
    width_px: int | None
    height_px: int | None
    faces: tuple[FaceNote, ...]
    model_version: str | None
    reason: str | None
    attempts: int
    claimed_until: datetime | None
    created_at: datetime
    updated_at: datetime
    work_seconds: float | None = None


class PilotState(StrEnum):
    """Where a pilot is on its way. The first three can still change."""

    ASKED = "asked"  # nobody has been asked for an original yet
    WAITING = "waiting"  # for the approvals of the admin's people
    MEASURING = "measuring"
    DONE = "done"
    REFUSED = "refused"
    EXPIRED = "expired"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PilotPhoto:
    """A photo of a pilot's sample. request_id: the admin's, once its original was asked for."""

    photo_id: str
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Pilot:
    """A measurement on a sample of a project's published photos, whose originals other people have to approve.

    reason: why it has ended so, or what it waits for. approved, measured: of its photos. reports: by language ("en",
    "ja"), the blob. attempts: how often a worker took it up. expires_at: when the approvals have to be there.
    """

    pilot_id: str
    project_id: str
    state: PilotState
    photos: tuple[PilotPhoto, ...]
    reason: str | None
    approved: int
    measured: int
    reports: Mapping[str, str]
    attempts: int
    claimed_until: datetime | None
    next_at: datetime
    asked_at: datetime
    requested_at: datetime | None
    expires_at: datetime | None
    measuring_at: datetime | None
    ended_at: datetime | None

    @property
    def under_way(self) -> bool:
        """Whether it will still change."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of a project's photos are where, how fast it goes and how long it may still take."""

    waiting: int
    working: int
    ready: int
    published: int
    failed: int
    cancelled: int
    rate_per_minute: float | None
    seconds_left: float | None

    @property
    def total(self) -> int:
        """All photos that are not cancelled."""
        return self.waiting + self.working + self.ready + self.published + self.failed
