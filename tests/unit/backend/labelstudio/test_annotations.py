"""Labels find the face that they are about, also when an annotator drew the box anew."""

from __future__ import annotations

from typing import Any

import pytest
import ready_photos
from hypothesis import given
from hypothesis import strategies as st

from backend.labelstudio.annotations import labels

PHOTO = ready_photos.photo(ready_photos.face(0), ready_photos.face(1))  # 800 x 600 px, boxes of 80 px at 100 and 190
ON_FIRST = {"x": 12.5, "y": 16.7, "width": 10.0, "height": 13.3}
ON_SECOND = {"x": 24.0, "y": 17.0, "width": 10.0, "height": 13.0}


def annotation(*regions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": 88, "completed_by": 3, "created_at": "2026-03-01T12:00:00Z", "result": list(regions), **fields}


def choice(value: str, *, region_id: str = "x1", place: dict[str, float] | None = None) -> dict[str, Any]:
    return {
        "id": region_id,
        "type": "choices",
        "from_name": "expression",
        "value": {"choices": [value], **(place or {})},
    }


def test_a_label_of_our_own_region_is_that_face_s() -> None:
    (label,) = labels([annotation(choice("fearful", region_id="face1", place=ON_FIRST))], PHOTO)
    assert (label.face_index, label.control, label.value) == (1, "expression", "fearful")
    assert (label.annotation_id, label.annotator_id, label.at) == (88, 3, "2026-03-01T12:00:00Z")


@pytest.mark.parametrize(("place", "face_index"), [(ON_FIRST, 0), (ON_SECOND, 1), ({"x": 70.0}, None)])
def test_a_redrawn_box_belongs_to_the_face_that_it_covers(place: dict[str, float], face_index: int | None) -> None:
    (label,) = labels([annotation(choice("happy", place=place))], PHOTO)
    assert label.face_index == face_index


def test_a_box_beside_all_faces_is_no_face_s() -> None:
    (label,) = labels([annotation(choice("happy", place={"x": 80.0, "y": 80.0, "width": 9.0, "height": 9.0}))], PHOTO)
    assert label.face_index is None


def test_what_is_said_about_the_whole_photo_is_no_face_s() -> None:
    (label,) = labels([annotation(choice("expression_lost"))], PHOTO)
    assert label.face_index is None


def test_numbers_ratings_and_levels_read_as_text() -> None:
    regions = [
        {"id": "face0", "type": "number", "from_name": "valence", "value": {"number": -0.4}},
        {"id": "face0", "type": "rating", "from_name": "confidence", "value": {"rating": 4}},
        {"id": "face0", "type": "taxonomy", "from_name": "kind", "value": {"taxonomy": [["adult", "old"], ["child"]]}},
        {"id": "face0", "type": "rectanglelabels", "from_name": "box", "value": {"rectanglelabels": ["face"]}},
    ]
    assert [label.value for label in labels([annotation(*regions)], PHOTO)] == ["-0.4", "4", "adult / old, child"]


def test_skipped_annotations_say_nothing() -> None:
    assert labels([annotation(choice("happy"), was_cancelled=True)], PHOTO) == ()


def test_an_annotator_may_come_as_an_object() -> None:
    (label,) = labels([annotation(choice("happy"), completed_by={"id": 9, "email": "someone@example.org"})], PHOTO)
    assert label.annotator_id == 9
    assert "someone" not in repr(label)


@given(st.dictionaries(st.sampled_from(["id", "type", "from_name", "value"]), st.none() | st.integers() | st.text()))
def test_anything_else_in_a_result_is_passed_over(region: dict[str, Any]) -> None:
    assert labels([annotation(region)], PHOTO) == ()
