from __future__ import annotations

from worker.benchmark import PICTURE_STEPS, STEPS, measure, table


def test_every_photo_is_timed_at_every_step() -> None:
    photos = measure(3, side_px=64, faces=2)
    assert len(photos) == 3
    for photo in photos:
        assert photo.keys() == {*STEPS, *PICTURE_STEPS, "anonymized"}
        assert all(0 < milliseconds < 10_000 for milliseconds in photo.values())


def test_the_table_adds_up_what_is_not_the_engine() -> None:
    photo = dict.fromkeys(STEPS, 2.0) | dict.fromkeys(PICTURE_STEPS, 5.0) | {"anonymized": 1000.0}
    lines = table([photo] * 3)
    assert "16.0 ms  (aim: 30 ms)" in lines[-2]
    assert "15.0 ms" in lines[-1]
