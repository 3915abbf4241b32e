from __future__ import annotations

import pytest

from g2face_model.evaluation.findings import RankedFace
from g2face_model.evaluation.report.pictures import SHOWN, chosen


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 18, 100])
def test_no_face_is_shown_twice(count: int) -> None:
    faces = tuple(RankedFace(f"{number}.jpg", 0, "m", {}) for number in range(count))
    groups = chosen(faces)
    shown = [face.file for own in groups.values() for face in own]
    assert len(shown) == len(set(shown)) <= 3 * SHOWN
    if count:
        assert groups["worst"][0].file == "0.jpg"
    if count >= 3:
        assert groups["best"][0].file == f"{count - 1}.jpg"
        assert groups["middle"]
