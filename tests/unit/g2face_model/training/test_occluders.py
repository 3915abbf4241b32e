from __future__ import annotations

import numpy as np
import pytest

from g2face_model.training.layers import Scene, compose
from g2face_model.training.occluders import CHANCES, DRAWN, borrow_hair


def _labels(scene: Scene) -> np.ndarray:
    return np.dstack([scene.face, np.zeros_like(scene.face), 1 - scene.face])


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_what_is_relabelled_is_what_looks_different(draw, scene: Scene) -> None:  # type: ignore[no-untyped-def]
    hidden = 0
    for seed in range(8):
        before = _labels(scene)
        picture, labels = compose(scene.picture, before, draw(scene, np.random.default_rng(seed)))
        assert np.isfinite(labels).all()
        np.testing.assert_allclose(labels.sum(-1), 1, atol=1e-5)
        lost = (before[..., 0] > 0.5) & (labels[..., 0] < 0.5)
        hidden += int(lost.sum())
        if lost.sum() > 50:
            changed = np.abs(picture.astype(int) - scene.picture).sum(-1)
            assert np.median(changed[lost]) > 5
    assert hidden > 0


def test_borrowed_hair_hides_face(scene: Scene) -> None:
    other = Scene(scene.picture[:, ::-1], scene.mesh, scene.face, np.ones_like(scene.hair), scene.texture, scene.worn)
    _, labels = compose(scene.picture, _labels(scene), borrow_hair(scene, other, np.random.default_rng(0)))
    assert labels[..., 0].sum() < 0.2 * scene.face.sum()


def test_chances_are_chances() -> None:
    assert len(CHANCES) == len(DRAWN)
    assert sum(CHANCES) == pytest.approx(1)
