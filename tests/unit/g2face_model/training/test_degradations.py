from __future__ import annotations

import numpy as np

from g2face_model.alignment import transform
from g2face_model.training.degradations import cast_shadow, misalign, recolour, spoil, tone_skin
from g2face_model.training.layers import Scene


def test_skin_is_toned_and_the_rest_left(scene: Scene) -> None:
    lights = []
    for seed in range(30):
        toned = tone_skin(scene, np.random.default_rng(seed))
        lights.append(float(toned[scene.face > 0.5].mean()))
    assert min(lights) < 60 < 100 < max(lights)


def test_pictures_stay_pictures_and_greys_occur(scene: Scene) -> None:
    grey = 0
    for seed in range(60):
        chance = np.random.default_rng(seed)
        picture = spoil(recolour(cast_shadow(scene.picture, chance, scene=scene), chance), chance)
        assert picture.shape == scene.picture.shape
        assert picture.dtype == np.uint8
        assert picture.std() > 1
        plain = recolour(scene.picture, chance).astype(int)
        grey += int(np.ptp(plain, axis=-1).max() <= 2)
    assert 3 < grey < 30


def test_misalignment_is_slight_and_about_the_middle() -> None:
    moves = [transform([[95.5, 95.5]], misalign(np.random.default_rng(k), 192))[0] - 95.5 for k in range(200)]
    assert 2 < np.std(moves) < 9
    assert abs(np.mean(moves)) < 1.5
