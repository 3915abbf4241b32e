from __future__ import annotations

import numpy as np
import pytest
from pictures import photo

from g2face_model.evaluation import recovering
from g2face_model.evaluation.methods import Treatment
from g2face_model.types import AnonymizedFace, Box, Image, Landmarks, Verdict


def _treated(original: Image) -> Treatment:
    """A face in the middle, painted over."""
    image = original.copy()
    mask = np.ones((10, 12), np.bool_)
    image[5:15, 8:20][mask] = 255 - image[5:15, 8:20][mask]
    face = AnonymizedFace(
        0,
        Box(8, 5, 20, 15, 1.0),
        Landmarks(np.zeros((68, 2), np.float32)),
        np.full(7, 1 / 7, np.float32),
        (8, 5, 12, 10),
        mask,
        Verdict("anonymized"),
    )
    return Treatment(image, (), (face,))


def test_every_bit_comes_back_from_the_files_and_for_nobody_else() -> None:
    original = photo(height=40, width=50)
    found = recovering.recover(original, _treated(original), recovering.key_of("first"))
    assert [own.format for own in found] == ["png", "jpeg"]
    for own in found:
        assert own.bit_exact
        assert own.wrong_key_refused
        assert own.wrong_image_refused
        assert own.tampering_refused
        assert min(own.payload_bytes, own.file_bytes) > 0
        assert min(own.protect_seconds, own.restore_seconds) > 0


def test_a_way_back_that_leads_elsewhere_is_not_bit_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    original = photo(height=40, width=50)
    restore = recovering.recovery.restore

    def broken(*arguments: object) -> Image:
        image = restore(*arguments)  # type: ignore[arg-type]
        image[0, 0] ^= 1
        return image

    monkeypatch.setattr(recovering.recovery, "restore", broken)
    found = recovering.recover(original, _treated(original), recovering.key_of("first"))
    assert not any(own.bit_exact for own in found)


def test_a_lock_that_opens_to_any_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    original = photo(height=40, width=50)
    key = recovering.key_of("first")
    monkeypatch.setattr(recovering, "key_of", lambda _: key)
    found = recovering.recover(original, _treated(original), key)
    assert not any(own.wrong_key_refused for own in found)
    assert all(own.bit_exact for own in found)


def test_seeds_are_those_of_the_key_the_photograph_and_the_face() -> None:
    image = photo()
    first = recovering.seeds(image, "first")
    assert first(0) == recovering.seeds(image, "first")(0)
    others = {first(1), recovering.seeds(image, "second")(0), recovering.seeds(image[::-1], "first")(0)}
    assert first(0) not in others
    assert len(others) == 3
