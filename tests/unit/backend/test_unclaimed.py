"""What stands for a face that nobody claimed is one thing everywhere, and nothing that a person is called."""

from __future__ import annotations

import pytest

from backend import unclaimed

PHOTO = "0f" * 16


@pytest.mark.parametrize("face_index", [0, 17, None])
def test_a_face_is_known_by_its_photo(face_index: int | None) -> None:
    """As it lies in every vault, and is part of what everything there is sealed for: this must never change."""
    named = unclaimed.subject_id(PHOTO, face_index)
    assert named == f"{PHOTO}-{'remainder' if face_index is None else face_index}"
    assert unclaimed.photo_of(named) == unclaimed.photo_of(unclaimed.everybody(PHOTO)) == PHOTO


@pytest.mark.parametrize(
    "somebody", ["", "Ada", PHOTO, f"{PHOTO}-", f"{PHOTO}-left", f"x{PHOTO}-0", f"{PHOTO[1:]}-0", f"{PHOTO}-0 ", "*"]
)
def test_a_person_is_nobodys_face(somebody: str) -> None:
    assert unclaimed.photo_of(somebody) is None
