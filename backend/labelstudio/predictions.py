"""Photo -> Label Studio regions. Pure.

Label Studio stores whatever it is sent, also what it cannot show, so that a prediction is validated here before it
leaves. Coordinates of regions are percent of the image, 0 to 100 from its left and top edges.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from backend.errors import LedgerError, PredictionError
from backend.labelstudio.labels import POINT_GROUPS, POINT_NAMES, Fit
from backend.ledger.records import FaceNote, Photo, Point

PRIVACY_KEY = "privacy_key"  # in a task's data: whose photo it is, so that publishing twice finds the task
REPLACED = "anonymized"  # the outcome of a face that passed every gate
MAX_FULL_FACES = 5  # with more, 68 points each make Label Studio's editor sluggish
_EXPRESSIVE_GROUPS = frozenset({"right_brow", "left_brow", "right_eye", "left_eye", "outer_lip"})
_EXPRESSIVE = frozenset(index for index, group in enumerate(POINT_GROUPS) if group in _EXPRESSIVE_GROUPS)
_ALL = frozenset(range(len(POINT_GROUPS)))
_RADIUS = 0.012  # of a point, as a share of the face's width
_MIN_RADIUS, _MAX_RADIUS = 0.1, 0.6  # percent of the image's width
_DECIMALS = 4
_SLACK = 10.0**-_DECIMALS * 2  # x and width are rounded apart


def task_item(photo: Photo, fit: Fit, *, address: str, suggest_expressions: bool) -> dict[str, Any]:
    """One item of an import: the task (address of the anonymized image, privacy key) with its prediction.

    Raises LedgerError when the photo is not ready, PredictionError when its faces make no valid prediction.
    """
    return {
        "data": {fit.data_key: address, PRIVACY_KEY: photo.photo_id},
        "meta": {"privacy": {"model_version": photo.model_version}},
        "predictions": [prediction(photo, fit, suggest_expressions=suggest_expressions)],
    }


def prediction(
    photo: Photo, fit: Fit, *, suggest_expressions: bool, model_version: str | None = None
) -> dict[str, Any]:
    """A prediction for the anonymized image of a photo that is ready: per face a box, its landmarks and, if wanted, an
    expression. A covered face gets its box only: nothing else can be seen there. The score is the share of faces that
    were replaced and not just covered. `model_version` stands in for the photo's own.

    Raises LedgerError when the photo has no image yet, PredictionError when the outcome is not valid.
    """
    version = model_version or photo.model_version
    if not photo.width_px or not photo.height_px or not version:
        raise LedgerError(f"photo {photo.photo_id} has no anonymized image yet")
    canvas = _Canvas(photo.width_px, photo.height_px, fit)
    points = _ALL if len(photo.faces) <= MAX_FULL_FACES else _EXPRESSIVE
    regions: list[dict[str, Any]] = []
    for face in photo.faces:
        regions += _face(canvas, face, points if face.outcome == REPLACED else frozenset())
        if suggest_expressions and face.outcome == REPLACED:
            regions += _suggestion(canvas, face)
    replaced = sum(face.outcome == REPLACED for face in photo.faces)
    found = {
        "model_version": version,
        "score": round(replaced / len(photo.faces), _DECIMALS) if photo.faces else 1.0,
        "result": regions,
    }
    validate(found, fit)
    return found


def validate(prediction: Mapping[str, Any], fit: Fit) -> None:
    """Raise PredictionError unless Label Studio can show this prediction in a project with this configuration."""
    if not isinstance(prediction.get("model_version"), str) or not prediction["model_version"]:
        raise PredictionError("a prediction needs a model version")
    if not _within(prediction.get("score"), 0.0, 1.0):
        raise PredictionError("a prediction's score lies between 0 and 1")
    regions = prediction.get("result")
    if not isinstance(regions, list):
        raise PredictionError("a prediction's result is a list of regions")
    for region in regions:
        _validate_region(region, fit)
    _validate_ids(regions, fit)


class _Canvas:
    """Turns px of the image, (0, 0) at the centre of the top left pixel, into clamped percent; fills in what every
    region carries."""

    def __init__(self, width_px: int, height_px: int, fit: Fit) -> None:
        self.fit = fit
        self._size = (width_px, height_px)

    def percent(self, point: Point) -> tuple[float, float]:
        x, y = ((px + 0.5) / size * 100.0 for px, size in zip(point, self._size, strict=True))
        return _clamp(x), _clamp(y)

    def region(self, region_id: str, control: str, *, kind: str, value: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": region_id,
            "from_name": control,
            "to_name": self.fit.image,
            "type": kind,
            "original_width": self._size[0],
            "original_height": self._size[1],
            "image_rotation": 0,
            "value": value,
        }


def _face(canvas: _Canvas, face: FaceNote, points: frozenset[int]) -> list[dict[str, Any]]:
    fit, face_id = canvas.fit, f"face{face.index}"
    rectangle = _rectangle(canvas, face)
    box = canvas.region(
        face_id, fit.box, kind="rectanglelabels", value={**rectangle, "rectanglelabels": [fit.face_label]}
    )
    box["meta"] = {"text": [_verdict(face)]}
    radius = round(min(max(rectangle["width"] * _RADIUS, _MIN_RADIUS), _MAX_RADIUS), _DECIMALS)
    regions = [box]
    for index, point in enumerate(face.landmarks):
        if index not in points:
            continue
        x, y = canvas.percent(point)
        value = {"x": x, "y": y, "width": radius, "keypointlabels": [fit.point_labels[index]]}
        name = POINT_NAMES[index]
        keypoint = canvas.region(f"{face_id}{name}", fit.landmarks, kind="keypointlabels", value=value)
        regions.append({**keypoint, "parentID": face_id, "meta": {"text": [name]}})
    return regions


def _suggestion(canvas: _Canvas, face: FaceNote) -> list[dict[str, Any]]:
    fit = canvas.fit
    label = fit.expression_label(face.expression) if face.expression else None
    if fit.expression is None or label is None:
        return []
    value = {**_rectangle(canvas, face), "choices": [label]}
    region = canvas.region(f"face{face.index}", fit.expression, kind="choices", value=value)
    if face.expression_score is not None:
        region["score"] = round(_clamp(face.expression_score, highest=1.0), _DECIMALS)
    return [region]


def _rectangle(canvas: _Canvas, face: FaceNote) -> dict[str, float]:
    left, top = canvas.percent(face.box[:2])
    right, bottom = canvas.percent(face.box[2:])
    return {
        "x": left,
        "y": top,
        "width": round(right - left, _DECIMALS),
        "height": round(bottom - top, _DECIMALS),
        "rotation": 0,
    }


def _verdict(face: FaceNote) -> str:
    """For the region's note, which has one line. Similarities to the original stay with us."""
    told = [f"face {face.index}: {face.outcome}"]
    if face.landmark_nme is not None:
        told.append(f"landmarks moved by {face.landmark_nme:.1%} of the distance between the eyes")
    if face.expression_agreement is not None:
        told.append(f"expression agreement {face.expression_agreement:.2f}")
    return "; ".join(told)


def _validate_region(region: Mapping[str, Any], fit: Fit) -> None:
    region_id, value, kind = region.get("id"), region.get("value"), region.get("type")
    if not isinstance(region_id, str) or not isinstance(value, Mapping):
        raise PredictionError("a region needs an id and a value")
    control, labels = _allowed(fit).get(str(kind), (None, frozenset()))
    if control is None or region.get("from_name") != control or region.get("to_name") != fit.image:
        raise PredictionError(f"region {region_id} is for a control that the project does not have")
    chosen = value.get(str(kind))
    if not isinstance(chosen, list) or not chosen or not labels.issuperset(chosen):
        raise PredictionError(f"region {region_id} has a label that the project does not have")
    if not all(isinstance(region.get(key), int) and region[key] > 0 for key in ("original_width", "original_height")):
        raise PredictionError(f"region {region_id} does not say how large its image is")
    if not _on_image(value, needs_height=kind != "keypointlabels"):
        raise PredictionError(f"region {region_id} does not lie on its image")


def _validate_ids(regions: Iterable[Mapping[str, Any]], fit: Fit) -> None:
    shapes = [region for region in regions if region["from_name"] != fit.expression]
    ids = {region["id"] for region in shapes}
    if len(ids) != len(shapes):
        raise PredictionError("two regions have the same id")
    for region in regions:
        if region["id"] not in ids or region.get("parentID", region["id"]) not in ids:
            raise PredictionError(f"region {region['id']} belongs to a face that is not there")


def _allowed(fit: Fit) -> dict[str, tuple[str | None, frozenset[str]]]:
    return {
        "rectanglelabels": (fit.box, frozenset({fit.face_label})),
        "keypointlabels": (fit.landmarks, frozenset(fit.point_labels)),
        "choices": (fit.expression, frozenset(label for _, label in fit.expression_labels)),
    }


def _on_image(value: Mapping[str, Any], *, needs_height: bool) -> bool:
    x, y, width, height = (value.get(key) for key in ("x", "y", "width", "height"))
    if not (_within(x, 0.0, 100.0) and _within(y, 0.0, 100.0) and _within(width, 0.0, 100.0) and width):
        return False
    if not needs_height:
        return True
    return bool(_within(height, 0.0, 100.0) and height and x + width <= 100.0 + _SLACK and y + height <= 100.0 + _SLACK)


def _within(number: Any, lowest: float, highest: float) -> bool:
    return isinstance(number, int | float) and math.isfinite(number) and lowest <= number <= highest


def _clamp(number: float, *, highest: float = 100.0) -> float:
    # NaN would pass through min and max as whatever stands first: it stays NaN, for validate to refuse.
    return number if math.isnan(number) else round(min(max(number, 0.0), highest), _DECIMALS)
