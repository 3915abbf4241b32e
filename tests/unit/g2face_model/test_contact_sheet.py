"""The contact sheet shows every face before and after, where it says so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pixelation import Pixelation

from g2face_model import contact_sheet
from g2face_model.contact_sheet import CROP_PX, ContactSheet
from g2face_model.types import AnonymizedImage, Image

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def pair(rectangle: tuple[int, int, int, int] = (40, 30, 60, 60)) -> tuple[Image, AnonymizedImage]:
    """A red photograph whose one face became blue."""
    original = np.full((120, 160, 3), RED, np.uint8)
    result = Pixelation((rectangle,)).anonymize(original, lambda _: bytes(32))
    left, top, width, height = rectangle
    result.image[top : top + height, left : left + width] = BLUE
    return original, result


def test_before_stands_left_of_after() -> None:
    sheet = ContactSheet()
    sheet.add("a.jpg", *pair())
    drawn = sheet.draw()
    row = drawn[27 + 10 + CROP_PX // 2]
    assert tuple(row[10 + CROP_PX // 2]) == RED
    assert tuple(row[10 + CROP_PX + 2 + CROP_PX // 2]) == BLUE
    assert np.count_nonzero((drawn == BLUE).all(axis=2)) == pytest.approx((CROP_PX / 1.2) ** 2, rel=0.05)


def test_faces_at_the_edge_are_shown_on_white() -> None:
    sheet = ContactSheet()
    sheet.add("a.jpg", *pair((0, 0, 60, 60)))
    assert tuple(sheet.draw()[37 + 4, 10 + 4]) == WHITE


@pytest.mark.parametrize("count", [1, 2, 5, 12, 40])
def test_every_face_has_its_place(count: int) -> None:
    sheet = ContactSheet()
    for number in range(count):
        sheet.add(f"{number}.jpg", *pair())
    drawn = sheet.draw()
    blue = np.count_nonzero((drawn == BLUE).all(axis=2))
    assert blue == pytest.approx(count * (CROP_PX / 1.2) ** 2, rel=0.05)
    assert drawn.shape[1] < 2400


def test_a_sheet_has_a_limit_and_says_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_sheet, "MAX_FACES", 2)
    sheet, full = ContactSheet(), ContactSheet()
    for number in range(5):
        sheet.add(f"{number}.jpg", *pair())
    for number in range(2):
        full.add(f"{number}.jpg", *pair())
    assert sheet.omitted == 3
    assert sheet.draw().shape == full.draw().shape
    assert not np.array_equal(sheet.draw(), full.draw())


def test_names_of_any_kind_and_length_stay_in_their_column() -> None:
    short, long = ContactSheet(), ContactSheet()
    for sheet, name in ((short, "a"), (long, "ünï\udce9" + "w" * 300)):
        original, result = pair()
        verdict = dataclasses.replace(result.faces[0].verdict, similarities={f"recogniser-{i}": 0.5 for i in range(20)})
        crowded = dataclasses.replace(result, faces=(dataclasses.replace(result.faces[0], verdict=verdict),))
        sheet.add(name, original, crowded)
    assert short.draw().shape == long.draw().shape
    assert (long.draw()[:, -20:] == 250).all()


def test_a_sheet_without_faces_says_so() -> None:
    drawn = ContactSheet().draw()
    assert drawn.min() < 150
