from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from drawn_face import drawn_mesh
from sample_portraits import portrait

from g2face_model.evaluation.judges import CROP_PX, Judges, gaze
from g2face_model.evaluation.methods import Setup
from g2face_model.recognition import RECOGNISERS
from g2face_model.weights import WeightStore


def test_gaze_follows_the_irises_whatever_the_size_and_turn_of_the_face() -> None:
    mesh = drawn_mesh(256)
    straight = gaze(mesh)
    width = float(np.linalg.norm(mesh.points[133, :2] - mesh.points[33, :2]))
    looking = mesh.points.copy()
    looking[468:, :2] += [0.2 * width, -0.1 * width]
    aside = gaze(dataclasses.replace(mesh, points=looking))
    assert aside[0] - straight[0] == pytest.approx(0.2, abs=0.02)
    assert aside[1] - straight[1] == pytest.approx(-0.1, abs=0.02)
    turned = looking.copy()
    turned[:, 0], turned[:, 1] = 3 * looking[:, 1], -3 * looking[:, 0]  # a quarter, and three times as large
    assert gaze(dataclasses.replace(mesh, points=turned)) == pytest.approx(aside, abs=1e-4)


def test_everything_is_measured_of_a_real_face(store: WeightStore) -> None:
    judges = Judges(Setup(weights_dir=store.directory))
    image = portrait()
    box = judges.observer.boxes(image)[0]
    mesh, seen = judges.observer.mesh(image, box), judges.landmarks(image, box, roll_degrees=0.0)
    fields = judges.look(image, mesh, seen)
    assert {name: len(values) for name, values in fields["expressions"].items()} == {"gate": 7, "emotion": 7}
    assert np.abs(fields["pose"]).max() < 30
    assert fields["landmark_spread"] == seen.spread
    assert 20 < fields["skin"][0] < 90
    arrays = judges.arrays(image, mesh, seen)
    assert arrays["crop"].shape == (CROP_PX, CROP_PX, 3)
    assert arrays["landmarks"].shape == (68, 2)
    for name in RECOGNISERS:
        assert np.linalg.norm(arrays[f"embedding.{name}"]) == pytest.approx(1.0, abs=1e-4)
