from __future__ import annotations

from backend.plugin.placeholder import pending_png
from g2face_model import images


def test_it_is_a_picture_with_something_written_on_it() -> None:
    picture = images.decode(pending_png())
    assert picture.shape == (480, 640, 3)
    assert 0.001 < (picture < 128).mean() < 0.1
    assert pending_png() == pending_png()
