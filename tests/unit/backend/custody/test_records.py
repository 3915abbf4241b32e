"""Custody's values refuse what would be stored wrongly, and show no secret."""

from __future__ import annotations

import dataclasses

import pytest
from sealed_photos import PROJECT, SUBJECT, record, subject_key

from backend.custody import seal
from backend.custody.records import SubjectRef
from backend.errors import CustodyError


@pytest.mark.parametrize("project_id", ["", "a" * 31, "a" * 33, "A" * 32, "g" * 32, "a" * 32 + "\n"])
def test_a_project_id_is_32_hexadecimal_digits(project_id: str) -> None:
    with pytest.raises(CustodyError, match="project id"):
        SubjectRef(project_id, "somebody")


@pytest.mark.parametrize("subject_id", ["", "x" * 201, "two\nlines", "nul\x00", "\ud800", "escape\x1b[0m"])
def test_a_subject_id_that_cannot_be_stored_everywhere_is_refused(subject_id: str) -> None:
    with pytest.raises(CustodyError, match="subject id") as caught:
        SubjectRef(PROJECT, subject_id)
    assert subject_id == "" or subject_id not in str(caught.value)


@pytest.mark.parametrize("subject_id", ["x", "x" * 200, "Ada Example", "Zoë 佐藤", "../../etc", "'; DROP TABLE"])
def test_other_names_are_taken_as_they_are(subject_id: str) -> None:
    assert SubjectRef(PROJECT, subject_id).subject_id == subject_id


def test_names_keys_and_sealed_bytes_are_not_shown() -> None:
    key, _ = subject_key(seal.generate_key_pair())
    shown = repr(dataclasses.replace(key, identity_seed=b"the seed itself")) + repr(record(key)) + repr(SUBJECT)
    assert "Ada" not in shown
    assert "the seed" not in shown
    assert "G2FS" not in shown
    assert "public_key" not in shown


@pytest.mark.parametrize(
    "changed",
    [
        {"record_id": "1" * 31},
        {"photo_id": "photo"},
        {"photo_id": "B" * 32},
        {"payload_sha256": ""},
        {"anonymized_sha256": "a" * 63},
        {"face_index": -1},
    ],
)
def test_a_record_with_ids_that_are_none_is_refused(changed: dict[str, object]) -> None:
    good = record(subject_key(seal.generate_key_pair())[0])
    with pytest.raises(CustodyError):
        dataclasses.replace(good, **changed)  # type: ignore[arg-type]


PHOTO = "0f" * 16


@pytest.mark.parametrize("face", ["0", "12", "remainder"])
def test_an_unclaimed_face_is_covered_by_everybody_on_its_photo(face: str) -> None:
    ref, everybody = SubjectRef("a" * 32, f"{PHOTO}-{face}"), SubjectRef("a" * 32, f"{PHOTO}-*")
    assert ref.covering == (ref, everybody)
    assert everybody.covering == (everybody,)


@pytest.mark.parametrize("subject_id", ["Ada Example", PHOTO, f"{PHOTO}-left"])
def test_a_person_is_covered_by_nobody_else(subject_id: str) -> None:
    ref = SubjectRef("a" * 32, subject_id)
    assert ref.covering == (ref,)
