"""Trials on a real portrait, by methods that are quick or blind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import quick_methods as quick
from quick_methods import quick_methods as quick_methods
from sample_portraits import portrait

from g2face_model import images
from g2face_model.evaluation import measuring
from g2face_model.evaluation.conditions import CONDITIONS, Degraded
from g2face_model.evaluation.measurements import MISSED, Measured
from g2face_model.evaluation.measuring import Laboratory
from g2face_model.evaluation.methods import Setup, Treatment
from g2face_model.evaluation.trials import NONE, Trial
from g2face_model.weights import WeightStore

pytestmark = pytest.mark.usefixtures("quick_methods")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "face.png").write_bytes(images.encode(portrait(), "png"))
    (folder / "nobody.png").write_bytes(images.encode(np.full((80, 90, 3), 120, np.uint8), "png"))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return folder


@pytest.fixture(scope="module")
def laboratory(folder: Path, store: WeightStore) -> Laboratory:
    return Laboratory(folder, Setup(weights_dir=store.directory))


def _measure(laboratory: Laboratory, photograph: str, *methods: str, condition: str = "as-is") -> list[Measured]:
    return list(laboratory.measure([Trial(photograph, method, condition) for method in methods]))


def test_a_covered_face_is_measured_where_it_was(laboratory: Laboratory) -> None:
    before, after = _measure(laboratory, "face.png", NONE, "g2face")
    assert before.photo.faces == after.photo.faces == after.photo.found == 1
    assert before.faces[0].outcome == NONE
    assert before.faces[0].detected
    assert before.faces[0].landmark_spread < 0.03
    assert before.photo.recovered == ()
    assert (after.faces[0].outcome, after.faces[0].reasons) == ("covered", ("test",))
    assert after.faces[0].box == before.faces[0].box
    assert after.photo.seconds > 0
    assert after.photo.stages == {"detect": 0.001}
    assert [own.bit_exact for own in after.photo.recovered] == [True, True]
    similarities = [float(before.arrays[0, name] @ after.arrays[0, name]) for name in _embeddings(before)]
    assert max(similarities) < 0.95
    assert after.arrays[0, "crop"].std() > 0


def _embeddings(measured: Measured) -> list[str]:
    return [name for _, name in measured.arrays if name.startswith("embedding.")]


def test_a_face_that_a_method_misses_is_measured_in_the_clear(laboratory: Laboratory) -> None:
    before, after = _measure(laboratory, "face.png", NONE, "blind")
    assert (after.photo.faces, after.photo.found) == (1, 0)
    assert after.faces[0].outcome == MISSED
    assert after.faces[0].seam is None
    for name in _embeddings(before):
        assert before.arrays[0, name] @ after.arrays[0, name] == pytest.approx(1.0, abs=1e-3)


def test_a_photograph_without_faces_has_none(laboratory: Laboratory) -> None:
    (measured,) = _measure(laboratory, "nobody.png", "g2face")
    assert (measured.photo.faces, measured.photo.error, measured.photo.recovered) == (0, "", ())
    assert measured.faces == ()


def test_what_cannot_be_read_is_said_for_every_trial(laboratory: Laboratory) -> None:
    broken = _measure(laboratory, "broken.jpg", NONE, "g2face")
    assert len(broken) == 2
    assert all("picture" in own.photo.error for own in broken)
    (gone,) = _measure(laboratory, "gone.jpg", NONE)
    assert gone.photo.error == "No such file or directory"


def test_a_pipe_is_not_waited_for(laboratory: Laboratory, folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (measured,) = _measure(laboratory, "pipe.jpg", NONE)
    assert measured.photo.error == "not a file"


def test_a_method_that_cannot_be_had_costs_only_its_own_trials(laboratory: Laboratory) -> None:
    found = _measure(laboratory, "face.png", "oracle", NONE)
    assert ["there is no method" in own.photo.error for own in found] == [True, False]


def test_a_condition_moves_the_faces_with_the_picture(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(image: images.Image, *_: object) -> Degraded:
        return Degraded(np.roll(image, (7, 11), axis=(0, 1)), np.array([[1.0, 0.0, 11.0], [0.0, 1.0, 7.0]]))

    monkeypatch.setattr(measuring, "CONDITIONS", {**CONDITIONS, "shifted": shifted})
    (before,) = _measure(laboratory, "face.png", NONE)
    (after,) = _measure(laboratory, "face.png", NONE, condition="shifted")
    assert np.subtract(after.faces[0].box, before.faces[0].box) == pytest.approx([11, 7, 11, 7])
    moved = after.arrays[0, "landmarks"] - before.arrays[0, "landmarks"]
    assert moved.mean(axis=0) == pytest.approx([11, 7], abs=0.3)


def test_a_method_that_breaks_on_a_photograph_costs_only_that_trial(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Treatment:
        raise ZeroDivisionError("of /a/path")

    monkeypatch.setattr(quick.Blind, "anonymize", broken)
    found = _measure(laboratory, "face.png", "blind", NONE)
    assert [own.photo.error for own in found] == ["unexpected ZeroDivisionError", ""]
