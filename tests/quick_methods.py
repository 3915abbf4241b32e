"""Methods of an evaluation that take no time, in the places of the real ones: for tests of what is around them."""

from __future__ import annotations

import dataclasses

import pytest
from covering import Covering

from g2face_model.anonymizer import Seeds
from g2face_model.evaluation import methods
from g2face_model.evaluation.methods import Entry, Setup, Treated, Treatment
from g2face_model.recognition import RECOGNISERS
from g2face_model.types import Image
from g2face_model.weights import WeightStore


class QuickEngine:
    """Covers the faces that the real detector finds; they can be recovered."""

    def __init__(self, setup: Setup, recognisers: tuple[str, ...] = RECOGNISERS) -> None:
        self.recognisers = recognisers
        self._engine = Covering(WeightStore(setup.weights_dir))

    def anonymize(self, image: Image, seeds: Seeds) -> Treatment:
        result = self._engine.anonymize(image, seeds)
        faces = [Treated(face.box, face.rectangle, face.verdict.outcome, face.verdict.reasons) for face in result.faces]
        return Treatment(result.image, tuple(faces), result.faces, {"detect": 0.001})


class Blind:
    """Finds no face at all."""

    def __init__(self, setup: Setup) -> None:
        pass

    def anonymize(self, image: Image, seeds: Seeds) -> Treatment:  # noqa: ARG002
        return Treatment(image.copy(), ())


@pytest.fixture
def quick_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "g2face" is quick; "blind" is there, too."""
    entries = {
        **methods.METHODS,
        "g2face": dataclasses.replace(methods.METHODS["g2face"], make=QuickEngine),
        "blind": Entry(Blind),
    }
    monkeypatch.setattr(methods, "METHODS", entries)
    monkeypatch.setattr(methods, "G2Face", QuickEngine)
