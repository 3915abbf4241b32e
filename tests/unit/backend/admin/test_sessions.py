"""Sessions in memory: how long they last, and that their end is one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from intake_counter import START

from backend.admin.sessions import HALF_LASTS, IDLE, LASTS, OpenSessions, Session

WHOLE = Session("a" * 32, 3, START, START, whole=True)


def at(**duration: float) -> datetime:
    return START + timedelta(**duration)


def test_names_are_long_and_different() -> None:
    sessions = OpenSessions()
    names = {sessions.begin(WHOLE) for _ in range(50)}
    assert len(names) == 50
    assert min(len(name) for name in names) >= 43


def test_an_idle_session_ends_and_a_busy_one_goes_on() -> None:
    sessions = OpenSessions()
    idle, busy = sessions.begin(WHOLE), sessions.begin(WHOLE)
    now = START
    while now <= START + LASTS:
        assert sessions.find(busy, now=now) is not None
        now += IDLE
    assert sessions.find(idle, now=START + IDLE + timedelta(seconds=1)) is None
    assert sessions.find(busy, now=START + LASTS + timedelta(seconds=1)) is None
    assert sessions.find(busy, now=START) is None, "it is forgotten, not asleep"


def test_half_a_session_lasts_for_minutes_however_busy() -> None:
    sessions = OpenSessions()
    name = sessions.begin(replace(WHOLE, whole=False))
    for seconds in range(0, int(HALF_LASTS.total_seconds()), 30):
        assert sessions.find(name, now=at(seconds=seconds)) is not None
    assert sessions.find(name, now=START + HALF_LASTS + timedelta(seconds=1)) is None


def test_what_has_ended_is_not_found() -> None:
    sessions = OpenSessions()
    first, second = sessions.begin(WHOLE), sessions.begin(WHOLE)
    sessions.end(first)
    sessions.end(first)
    sessions.end("never begun")
    assert sessions.find(first, now=START) is None
    assert sessions.find("never begun", now=START) is None
    assert sessions.find(second, now=START) == WHOLE


def test_nothing_that_is_over_piles_up() -> None:
    sessions = OpenSessions()
    for day in range(5):
        begun = START + timedelta(days=day)
        for _ in range(10):
            sessions.begin(replace(WHOLE, begun_at=begun, seen_at=begun))
    assert len(sessions._sessions) == 10
