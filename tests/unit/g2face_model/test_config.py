from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import get_args

import pytest

from g2face_model.config import MODEL_VERSION, VERSIONS, GateConfig, ModelConfig
from g2face_model.recognition import RECOGNISERS
from g2face_model.types import Engine


def test_every_recogniser_takes_part_unless_told_otherwise() -> None:
    assert ModelConfig().recognisers == RECOGNISERS
    assert len(RECOGNISERS) >= 3


def test_a_face_that_fails_is_never_shown_by_default() -> None:
    assert ModelConfig().on_failure in ("cover", "refuse")
    assert GateConfig().similarity_margin >= 0
    assert GateConfig().max_landmark_nme <= 0.05


def test_what_was_chosen_cannot_change_while_it_is_used() -> None:
    with pytest.raises(FrozenInstanceError):
        ModelConfig().attempts = 100  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        GateConfig().similarity_margin = -9.0  # type: ignore[misc]


def test_every_engine_signs_what_it_makes_with_a_version_of_its_own() -> None:
    assert set(VERSIONS) == set(get_args(Engine))
    assert len(set(VERSIONS.values())) == len(VERSIONS)
    assert VERSIONS[ModelConfig().engine] == MODEL_VERSION
