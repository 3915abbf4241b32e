"""What people labelled in a task -> labels of the photo's faces. Pure.

Annotators may move and redraw boxes, so that a label belongs to the face that its region covers best.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from backend.ledger.records import FaceNote, Photo

_KINDS = ("choices", "number", "rating", "taxonomy", "textarea", "datetime")  # shapes are no labels
_OURS = re.compile(r"face(\d+)")  # how our predictions call a face's region
_COVERS = 0.3  # intersection over union


@dataclass(frozen=True, slots=True)
class Label:
    """One answer of one annotator. face_index: None for the whole photo. control: the question's name in the labelling
    configuration. annotator_id: their number in Label Studio. at: when, as Label Studio writes it."""

    face_index: int | None
    control: str
    value: str
    annotation_id: int
    annotator_id: int | None
    at: str | None


def labels(annotations: Iterable[Mapping[str, Any]], photo: Photo) -> tuple[Label, ...]:
    """Every answer in a task's annotations, those of skipped ones left out."""
    return tuple(
        label
        for annotation in annotations
        if not annotation.get("was_cancelled")
        for label in _of_annotation(annotation, photo)
    )


def _of_annotation(annotation: Mapping[str, Any], photo: Photo) -> Iterator[Label]:
    by = annotation.get("completed_by")
    annotator_id = by.get("id") if isinstance(by, Mapping) else by
    for region in annotation.get("result") or ():
        kind, value = region.get("type"), region.get("value")
        if kind not in _KINDS or not isinstance(value, Mapping) or kind not in value:
            continue
        yield Label(
            face_index=_face(region, photo),
            control=str(region.get("from_name", "")),
            value=_text(value[kind]),
            annotation_id=int(annotation["id"]),
            annotator_id=annotator_id if isinstance(annotator_id, int) else None,
            at=annotation.get("created_at"),
        )


def _text(value: object) -> str:
    """One line for a person: the choices of a list, the levels of a taxonomy."""
    if isinstance(value, list):
        parts = [" / ".join(map(str, part)) if isinstance(part, list) else str(part) for part in value]
        return ", ".join(parts)
    return str(value)


def _face(region: Mapping[str, Any], photo: Photo) -> int | None:
    indices = {face.index for face in photo.faces}
    ours = _OURS.fullmatch(str(region.get("id", "")))
    if ours and int(ours[1]) in indices:
        return int(ours[1])
    drawn = _rectangle(region["value"], photo)
    if drawn is None:
        return None
    share, index = max(((_overlap(drawn, face), face.index) for face in photo.faces), default=(0.0, -1))
    return index if share >= _COVERS else None


def _rectangle(value: Mapping[str, Any], photo: Photo) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom in px."""
    sides = [value.get(key) for key in ("x", "y", "width", "height")]
    if not photo.width_px or not photo.height_px or not all(isinstance(side, int | float) for side in sides):
        return None
    x, y, width, height = (float(side) / 100.0 for side in sides)  # type: ignore[arg-type]
    return x * photo.width_px, y * photo.height_px, (x + width) * photo.width_px, (y + height) * photo.height_px


def _overlap(drawn: tuple[float, float, float, float], face: FaceNote) -> float:
    left, top = max(drawn[0], face.box[0]), max(drawn[1], face.box[1])
    right, bottom = min(drawn[2], face.box[2]), min(drawn[3], face.box[3])
    both = max(right - left, 0.0) * max(bottom - top, 0.0)
    either = _area(drawn) + _area(face.box) - both
    return both / either if either > 0 else 0.0


def _area(box: tuple[float, float, float, float]) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
