from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from g2face_model.config import GateConfig, ModelConfig
from g2face_model.recognition import RECOGNISERS


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
