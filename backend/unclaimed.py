"""Faces that nobody claimed: the subjects that stand for them, and that no upload can name.

A photo comes with one subject at most, whose face is its largest. Every other face, and the remainder of a lossy file,
goes by its photo's id and its number.
"""

from __future__ import annotations

import re

_UNCLAIMED = re.compile(r"([0-9a-f]{32})-(?:\d+|remainder|\*)")


def subject_id(photo_id: str, face_index: int | None) -> str:
    """Stands for one face of a photo; None: the remainder."""
    return f"{photo_id}-{'remainder' if face_index is None else face_index}"


def everybody(photo_id: str) -> str:
    """Stands for all of a photo's unclaimed faces, also those that are not found yet."""
    return f"{photo_id}-*"


def photo_of(subject_id: str) -> str | None:
    """The id of the photo whose unclaimed faces a subject stands for, None when it is a person's."""
    match = _UNCLAIMED.fullmatch(subject_id)
    return match and match[1]
