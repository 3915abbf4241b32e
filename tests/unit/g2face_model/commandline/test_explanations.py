from __future__ import annotations

import numpy as np

from g2face_model import images
from g2face_model.commandline.explanations import Explanations


def test_masks_become_pictures_named_after_face_and_attempt_once() -> None:
    explanations = Explanations()
    masks = np.tile(np.arange(256, dtype=np.uint8), (256, 5))
    explanations(0, 1, masks)
    explanations(0, 2, 255 - masks)
    files = dict(explanations.take("a.jpg.png"))
    assert list(files) == ["a.jpg.png.face-0.attempt-1.masks.png", "a.jpg.png.face-0.attempt-2.masks.png"]
    assert np.array_equal(images.decode(files["a.jpg.png.face-0.attempt-1.masks.png"])[..., 1], masks)
    assert dict(explanations.take("b.jpg.png")) == {}


def test_what_a_photograph_left_that_was_given_up_is_not_the_next_ones() -> None:
    explanations = Explanations()
    explanations(0, 1, np.zeros((256, 1280), np.uint8))
    explanations.forget()
    assert dict(explanations.take("b.jpg.png")) == {}
