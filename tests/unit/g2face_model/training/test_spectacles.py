from __future__ import annotations

import numpy as np

from g2face_model.training.layers import Scene, compose
from g2face_model.training.spectacles import draw_glasses


def test_glasses_sit_on_the_eyes_and_are_labelled(scene: Scene) -> None:
    labels = np.dstack([scene.face, np.zeros_like(scene.face), 1 - scene.face])
    shares = []
    for seed in range(20):
        _, worn = compose(scene.picture, labels, draw_glasses(scene, np.random.default_rng(seed)))
        found = worn[..., 1] > 0.5
        shares.append(found.mean())
        assert found.any()
        y, x = np.nonzero(found)
        eyes = scene.mesh[[33, 263], :2]
        reach = float(np.linalg.norm(eyes[1] - eyes[0]))
        assert np.hypot(*(np.array([x.mean(), y.mean()]) - eyes.mean(0))) < 0.5 * reach
        assert np.ptp(y) < 1.2 * reach
    assert min(shares) < 0.01 < 0.03 < max(shares)  # bare frames, and sunglasses


def test_clear_lenses_leave_the_eyes_to_the_face(scene: Scene) -> None:
    labels = np.dstack([scene.face, np.zeros_like(scene.face), 1 - scene.face])
    x, y = np.round(scene.mesh[468, :2]).astype(int)
    clear = 0
    for seed in range(20):
        _, worn = compose(scene.picture, labels, draw_glasses(scene, np.random.default_rng(seed)))
        clear += worn[y, x, 0] > 0.5
    assert 6 <= clear < 20
