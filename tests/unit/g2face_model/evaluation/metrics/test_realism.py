"""Sets of faces whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest
from made_measurements import MadeMeasurements

from g2face_model.evaluation.findings import Figure, Findings
from g2face_model.evaluation.metrics import realism

_SIZE = 6


def _made(shift: float, *, faces: int = 120, fresh: bool = True) -> MadeMeasurements:
    """Faces around one direction; the new ones are others of the kind, or the same, moved aside."""
    made = MadeMeasurements()
    random = np.random.default_rng(1)
    for number in range(faces):
        file = made.stranger(f"{number}.jpg")
        vector = np.eye(_SIZE)[0] + 0.2 * random.standard_normal(_SIZE)
        other = np.eye(_SIZE)[0] + 0.2 * random.standard_normal(_SIZE) if fresh else vector
        made.face(file, embedding=vector)
        made.face(file, "blur", embedding=other + shift * np.eye(_SIZE)[1])
    return made


def _figure(findings: Findings, name: str, **by: str) -> Figure:
    (found,) = (own for own in findings.figures if own.name == name and by.items() <= dict(own.by).items())
    return found


def test_faces_of_the_same_kind_are_as_near_as_real_ones() -> None:
    findings = realism.compute(_made(0.0).view)
    assert _figure(findings, "frechet").value == pytest.approx(_figure(findings, "frechet_real").value, rel=0.3)
    found = _figure(findings, "mmd")
    assert found.low < 0 < found.high
    assert abs(_figure(findings, "mmd_real").value) < 0.02
    for own in findings.figures:
        if own.name.startswith("told_apart"):
            assert own.low < 0.5 < own.high or own.value < 0.6


def test_the_very_same_faces_cannot_be_told_apart() -> None:
    findings = realism.compute(_made(0.0, fresh=False).view)
    assert [own.value for own in findings.figures if own.name.startswith("told_apart")] == [0.5] * 3
    assert _figure(findings, "mmd").value == _figure(findings, "mmd_real").value


def test_faces_of_another_kind_are_far_and_told_apart() -> None:
    findings = realism.compute(_made(2.0).view)
    assert _figure(findings, "frechet").value > 5 * _figure(findings, "frechet_real").value
    found = _figure(findings, "mmd")
    assert found.low > 0.2
    best = _figure(findings, "told_apart_best")
    assert best.value > 0.99
    assert best.headline
    assert best.count == 240


def test_the_frechet_distance_of_normal_sets_is_the_one_of_the_formula() -> None:
    random = np.random.default_rng(0)
    a = random.standard_normal((4000, 3))
    b = random.standard_normal((4000, 3)) * [1, 2, 3] + [1, 0, 0]
    assert realism.frechet(a, b) == pytest.approx(1 + 0 + 1 + 4, rel=0.05)
    assert realism.frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_the_discrepancy_is_around_zero_for_equal_sets_and_not_for_others() -> None:
    random = np.random.default_rng(0)
    values = [realism.mmd(*random.standard_normal((2, 50, 4))) for _ in range(40)]
    assert np.mean(values) == pytest.approx(0, abs=3 * np.std(values) / 40**0.5)
    assert min(values) < 0
    assert realism.mmd(random.standard_normal((50, 4)), random.standard_normal((50, 4)) + 2) > 0.3


def test_the_spectrum_sees_what_is_too_smooth_and_too_dark() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    blocks = np.repeat(np.repeat(crop[::8, ::8], 8, axis=0), 8, axis=1)
    own, smooth, dark = (realism.spectrum(picture) for picture in (crop, blocks, crop // 2))
    assert own.shape == (88,)
    assert smooth[20] < own[20] - 1
    np.testing.assert_allclose(dark[24:], own[24:] / 2, atol=0.01)


def test_few_faces_are_warned_of_and_very_few_are_not_judged() -> None:
    assert {note.code for note in realism.compute(_made(0.0, faces=20).view).notes} >= {"few_faces"}
    findings = realism.compute(_made(0.0, faces=5).view)
    assert not findings.figures
    assert "too_few_faces" in {note.code for note in findings.notes}
