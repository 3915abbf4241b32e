"""A pilot's photos before real judges: generated people, whose faces are pixelated for want of time for new ones."""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np
import pytest

from g2face_model import images
from g2face_model.errors import RecoveryError
from g2face_model.evaluation.methods import Setup, mosaic, whole
from g2face_model.evaluation.pilot import Examination, Specimen, SpecimenFace
from g2face_model.group_photo import group_photo
from g2face_model.types import Image
from g2face_model.weights import WeightStore

ORIGINALS_IN_PAGE = re.compile(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)")


@pytest.fixture(scope="module")
def group(store: WeightStore) -> Image:
    return group_photo(store)


def specimen(examination: Examination, original: Image, name: str, *, person: str = "", **changes: Any) -> Specimen:
    """As a worker hands it in; the last of its faces was overlooked."""
    boxes = examination._judges.observer.boxes(original)[:-1]
    published = original.copy()
    for box in boxes:
        left, top, width, height = whole(box, original)
        published[top : top + height, left : left + width] = mosaic(published[top : top + height, left : left + width])
    faces = tuple(
        SpecimenFace(box, "covered" if number else "anonymized", ("landmarks",) if number else ())
        for number, box in enumerate(boxes)
    )
    known: dict[str, Any] = {
        "bit_exact": True,
        "format": "png",
        "work_seconds": 12.5,
        "retrieve_seconds": 0.25,
        "sealed_bytes": 54_321,
    }
    return Specimen(name, person, original, published, faces, **{**known, **changes})


@pytest.fixture(scope="module")
def pages(group: Image, store: WeightStore) -> dict[str, str]:
    examination = Examination(Setup(weights_dir=store.directory))
    examination.look(specimen(examination, group, "0123abcd", person="the secret name"))
    brighter = np.clip(group.astype(np.int16) + 12, 0, 255).astype(np.uint8)
    examination.look(specimen(examination, brighter, "4567cdef", person="the secret name", work_seconds=None))
    return examination.pages(asked=3)


def test_the_report_answers_what_a_manager_asks(pages: dict[str, str]) -> None:
    english, japanese = pages["en"], pages["ja"]
    assert "Can nobody be recognised?" in english
    assert "誰も識別されないか" in japanese
    assert "2 of 3 photographs" in english
    assert "1 photographs of the sample are not in these figures" in english
    assert "2 photographs, 16 faces" in english
    assert "2 of 16 faces were overlooked" in english
    assert "came back bit for bit" in english
    assert "54,321" in english
    assert "12.50" in english


def test_what_cannot_be_measured_is_said_to_be_left_out(pages: dict[str, str]) -> None:
    assert "Left out, because only pairs of an original and its published picture were at hand" in pages["en"]
    assert "測定していません" in pages["ja"]
    assert "metrics.jsonl" not in pages["en"]


def test_no_original_and_no_name_is_in_it(pages: dict[str, str], group: Image, store: WeightStore) -> None:
    examination = Examination(Setup(weights_dir=store.directory))
    box = examination._judges.observer.boxes(group)[0]
    mesh = examination._judges.observer.mesh(group, box)
    original = examination._judges.arrays(group, mesh, examination._judges.landmarks(group, box, roll_degrees=0.0))
    shown = [images.decode(base64.b64decode(found)) for found in ORIGINALS_IN_PAGE.findall(pages["en"])]
    assert shown
    for crop in shown:
        assert np.abs(crop.astype(int) - original["crop"]).mean() > 5
    assert not any("the secret name" in page for page in pages.values())


def test_the_page_needs_nothing_from_elsewhere(pages: dict[str, str]) -> None:
    for page in pages.values():
        assert "<script" not in page
        assert set(re.findall(r'(?:src|href)="([a-z]+):', page)) <= {"data"}


def test_pictures_that_do_not_belong_together_are_refused(group: Image, store: WeightStore) -> None:
    examination = Examination(Setup(weights_dir=store.directory))
    wrong = specimen(examination, group, "0123abcd")
    with pytest.raises(RecoveryError, match="another size"):
        examination.look(
            Specimen(**{**{name: getattr(wrong, name) for name in Specimen.__slots__}, "published": group[:9]})
        )


def test_a_forensic_mark_is_a_warning(group: Image, store: WeightStore) -> None:
    examination = Examination(Setup(weights_dir=store.directory))
    examination.look(specimen(examination, group[:200, :200].copy(), "0123abcd", bit_exact=False))
    assert "forensic mark" in examination.pages(asked=1)["en"]
