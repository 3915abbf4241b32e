from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import get_args

import pytest

from backend.intake import words
from backend.labelstudio.leaks import Kind
from backend.ledger.records import Progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (3, "half a minute"),
        (60, "a minute"),
        (230, "4 minutes"),
        (5399, "90 minutes"),
        (7200, "2 hours"),
        (200_000, "2 days"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("counts", "seconds_left", "text"),
    [
        ((3, 1, 0), 230.0, "about 4 minutes left"),
        ((3, 1, 0), None, "under way"),
        ((3, 0, 0), None, "waiting for a worker"),
        ((0, 0, 2), 0.0, "about to be published"),
    ],
)
def test_what_is_left_is_only_said_when_it_is_known(
    counts: tuple[int, int, int], seconds_left: float | None, text: str
) -> None:
    waiting, working, ready = counts
    progress = Progress(waiting, working, ready, 0, 0, 0, rate_per_minute=None, seconds_left=seconds_left)

    assert words.left(progress) == text
    assert words.under_way(progress) == sum(counts)


def test_moments_are_in_utc() -> None:
    at = datetime(2026, 3, 2, 1, 5, tzinfo=timezone(timedelta(hours=2)))

    assert words.moment(at) == "1 Mar 2026, 23:05 UTC"
    assert words.moment(at.astimezone(UTC)) == words.moment(at)


def test_numbers_and_sentences() -> None:
    assert words.number(1_234_567) == "1,234,567"
    assert words.sentence("the picture is damaged") == "The picture is damaged."
    assert words.sentence("It lacks boxes.") == "It lacks boxes."


def test_every_kind_of_leak_has_a_name() -> None:
    assert len({words.leak(kind) for kind in get_args(Kind)}) == len(get_args(Kind))
