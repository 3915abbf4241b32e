from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ready_photos import face, photo

from backend.errors import LedgerError, PredictionError
from backend.labelstudio import labels
from backend.labelstudio.predictions import PRIVACY_KEY, prediction, task_item, validate

FIT = labels.fit(labels.expression_config())
PLAIN = labels.fit(labels.plain_config())


def _by_type(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for region in found["result"]:
        kinds.setdefault(region["type"], []).append(region)
    return kinds


def test_a_face_has_a_box_its_68_points_and_a_suggestion() -> None:
    found = prediction(photo(), FIT, suggest_expressions=True)
    kinds = _by_type(found)
    assert {kind: len(regions) for kind, regions in kinds.items()} == {
        "rectanglelabels": 1,
        "keypointlabels": 68,
        "choices": 1,
    }
    (box,), (choice,) = kinds["rectanglelabels"], kinds["choices"]
    assert box["id"] == choice["id"] == "face0"
    assert choice["value"]["choices"] == ["happy"]
    assert choice["score"] == 0.8
    assert all(point["parentID"] == "face0" for point in kinds["keypointlabels"])
    assert [point["meta"]["text"] for point in kinds["keypointlabels"]] == [[name] for name in labels.POINT_NAMES]
    labelled = [point["value"]["keypointlabels"][0] for point in kinds["keypointlabels"]]
    assert labelled == list(labels.POINT_GROUPS)
    assert found["model_version"] == "g2face-1"
    assert found["score"] == 1.0


def test_px_are_counted_from_the_middle_of_the_first_pixel() -> None:
    points = ((-0.5, -0.5), (399.5, 299.5), *[(799.5, 599.5)] * 66)
    found = prediction(photo(face(landmarks=points)), FIT, suggest_expressions=False)
    values = [region["value"] for region in found["result"] if region["type"] == "keypointlabels"]
    assert [(value["x"], value["y"]) for value in values[:3]] == [(0.0, 0.0), (50.0, 50.0), (100.0, 100.0)]


def test_what_lies_outside_is_put_on_the_edge() -> None:
    points = ((-300.0, 10.0), (5000.0, 900.0), *[(10.0, 10.0)] * 66)
    found = prediction(photo(face(box=(-50, -50, 900, 300), landmarks=points)), FIT, suggest_expressions=True)
    box = found["result"][0]["value"]
    assert (box["x"], box["y"], box["width"]) == (0.0, 0.0, 100.0)
    values = [region["value"] for region in found["result"] if region["type"] == "keypointlabels"]
    assert values[0]["x"] == 0.0
    assert (values[1]["x"], values[1]["y"]) == (100.0, 100.0)


def test_the_verdict_is_told_but_no_similarity_to_the_original() -> None:
    found = prediction(photo(), FIT, suggest_expressions=False)
    (told,) = found["result"][0]["meta"]["text"]
    assert "face 0: anonymized" in told
    assert "1.2%" in told
    assert "0.97" in told
    assert "arc" not in str(found)


def test_suggestions_are_made_only_where_wanted_and_asked_for() -> None:
    assert "choices" not in _by_type(prediction(photo(), FIT, suggest_expressions=False))
    assert "choices" not in _by_type(prediction(photo(), PLAIN, suggest_expressions=True))
    unknown = photo(face(expression=None), face(1, expression="bored"))
    assert "choices" not in _by_type(prediction(unknown, FIT, suggest_expressions=True))


def test_a_covered_face_has_its_box_alone() -> None:
    two = photo(face(), face(1, outcome="covered", reasons=("looks like the original",)))
    found = prediction(two, FIT, suggest_expressions=True)
    assert found["score"] == 0.5
    assert [region["id"] for region in found["result"] if region["id"].startswith("face1")] == ["face1"]
    assert found["result"][-1]["meta"]["text"][0].startswith("face 1: covered")


def test_a_crowd_has_only_what_tells_expressions() -> None:
    few, many = (photo(*[face(index) for index in range(count)]) for count in (5, 6))
    assert len(_by_type(prediction(few, FIT, suggest_expressions=False))["keypointlabels"]) == 5 * 68
    crowd = _by_type(prediction(many, FIT, suggest_expressions=False))["keypointlabels"]
    assert {point["value"]["keypointlabels"][0] for point in crowd} == {
        "right_brow",
        "left_brow",
        "right_eye",
        "left_eye",
        "outer_lip",
    }
    assert len(crowd) == 6 * (5 + 5 + 6 + 6 + 12)


def test_a_photo_without_faces_has_an_empty_prediction() -> None:
    nobody = prediction(photo(faces=()), FIT, suggest_expressions=True)
    assert nobody == {"model_version": "g2face-1", "score": 1.0, "result": []}


def test_another_version_can_stand_in() -> None:
    assert prediction(photo(), FIT, suggest_expressions=False, model_version="g2face-2")["model_version"] == "g2face-2"


def test_a_photo_that_is_not_ready_has_none() -> None:
    with pytest.raises(LedgerError):
        prediction(photo(width_px=None), FIT, suggest_expressions=False)


def test_the_task_holds_the_address_and_who_it_is() -> None:
    item = task_item(photo(), FIT, address="http://images.example/images/K", suggest_expressions=False)
    assert item["data"] == {"image": "http://images.example/images/K", PRIVACY_KEY: "b" * 32}
    assert item["meta"] == {"privacy": {"model_version": "g2face-1"}}
    assert item["predictions"] == [prediction(photo(), FIT, suggest_expressions=False)]


def test_landmarks_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(PredictionError, match="face0p00"):
        prediction(photo(face(landmarks=((math.nan, 1.0), *[(1.0, 1.0)] * 67))), FIT, suggest_expressions=False)


def test_a_box_beside_the_image_is_refused() -> None:
    with pytest.raises(PredictionError, match="face0 does not lie"):
        prediction(photo(face(box=(900, 10, 950, 20))), FIT, suggest_expressions=False)


_SPOILT: dict[str, tuple[tuple[str | int, ...], Any]] = {
    "no version": (("model_version",), ""),
    "score": (("score",), 3),
    "score is nan": (("score",), math.nan),
    "result": (("result",), {}),
    "id": (("result", 0, "id"), 5),
    "value": (("result", 0, "value"), None),
    "control": (("result", 0, "from_name"), "kp"),
    "unknown control": (("result", 0, "from_name"), "nobody"),
    "image": (("result", 0, "to_name"), "nobody"),
    "type": (("result", 0, "type"), "ellipselabels"),
    "label": (("result", 0, "value", "rectanglelabels"), ["hand"]),
    "no label": (("result", 1, "value", "keypointlabels"), []),
    "size": (("result", 0, "original_width"), 0),
    "left of": (("result", 0, "value", "x"), -0.01),
    "far right": (("result", 0, "value", "x"), 99.0),
    "no width": (("result", 0, "value", "width"), 0),
    "point": (("result", 1, "value", "x"), 100.2),
    "same id": (("result", 1, "id"), "face0"),
    "orphan": (("result", 1, "parentID"), "face9"),
    "orphan choice": (("result", -1, "id"), "face9"),
}


@pytest.mark.parametrize("spoilt", _SPOILT)
def test_what_label_studio_would_swallow_is_refused(spoilt: str) -> None:
    found = copy.deepcopy(prediction(photo(), FIT, suggest_expressions=True))
    validate(found, FIT)
    path, value = _SPOILT[spoilt]
    part: Any = found
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    with pytest.raises(PredictionError):
        validate(found, FIT)


_PX = st.floats(-2000, 4000, allow_nan=False)


@given(st.tuples(_PX, _PX), st.integers(1, 5000), st.integers(1, 5000), st.floats(0, 1))
def test_any_face_that_touches_the_image_makes_a_valid_prediction(
    corner: tuple[float, float], width_px: int, height_px: int, score: float
) -> None:
    left, top = min(corner[0], width_px / 2 - 0.5), min(corner[1], height_px / 2 - 0.5)
    right, bottom = width_px * 0.75 - 0.5, height_px * 0.75 - 0.5
    seen = face(box=(left, top, right, bottom), landmarks=(corner,) * 68, expression_score=score)
    found = prediction(photo(seen, width_px=width_px, height_px=height_px), FIT, suggest_expressions=True)
    assert len(found["result"]) == 70
