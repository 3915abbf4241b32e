"""The benchmark times every step of every face and adds up."""

from __future__ import annotations

import pytest

from backend.admin.__main__ import main
from backend.admin.benchmark import Times, measure, table


def test_every_face_is_locked_and_given_back() -> None:
    times = measure(2, side_px=64)
    assert len(times) == 2
    for one in times:
        assert all(0 < milliseconds < 10_000 for milliseconds in (one.lock, one.sync, one.retrieve))


def test_the_table_takes_the_disk_out() -> None:
    lines = table([Times(lock=6.0, sync=2.0, retrieve=100.0), Times(lock=8.0, sync=2.0, retrieve=50.0)] * 2)
    assert "5.0 ms  (aim: 5 ms)" in lines[2]
    assert "75.0 ms  (aim: 300 ms)" in lines[3]


def test_it_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--faces", "1", "--side", "48"]) == 0
    assert "retrieve one face" in capsys.readouterr().out
