"""The audit chain: every change, gap and swap shows, and so does a missing tail to whoever kept a head."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sealed_photos import NOW
from sqlalchemy import Engine, text

from backend.custody import audit, database
from backend.custody.audit import GENESIS_HASH, START, AuditLog, Head
from backend.custody.records import AuditEvent, NewEvent
from backend.errors import AuditError, CustodyError

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,20}", fullmatch=True)
details = st.dictionaries(
    ids, st.one_of(ids, st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))
)
new_events = st.builds(NewEvent, ids, ids, ids, details)


def chained(events: Sequence[NewEvent], start: Head = START) -> list[AuditEvent]:
    """A chain made without a database."""
    chain, head = [], start
    for number, event in enumerate(events):
        at = NOW + timedelta(seconds=number)
        bare = AuditEvent(head.seq + 1, at, event.actor, event.action, event.target, event.detail, head.hash, "")
        chain.append(dataclasses.replace(bare, hash=audit.event_hash(bare)))
        head = Head(chain[-1].seq, chain[-1].hash)
    return chain


def numbered(count: int) -> list[NewEvent]:
    return [NewEvent("worker", "photo.sealed", f"photo-{number}", {"faces": number}) for number in range(count)]


CHAIN = chained(numbered(6))
HEAD = Head(6, CHAIN[-1].hash)


def test_an_intact_chain_is_verified_to_its_head() -> None:
    assert audit.verify(CHAIN) == HEAD
    assert audit.verify(CHAIN, head=HEAD) == HEAD
    assert audit.verify([]) == START == Head(0, GENESIS_HASH)
    assert audit.verify(CHAIN[3:], start=Head(3, CHAIN[2].hash)) == HEAD


def test_a_chain_may_have_grown_since_its_head_was_kept() -> None:
    for event in CHAIN:
        assert audit.verify(CHAIN, head=Head(event.seq, event.hash)) == HEAD
    assert audit.verify(CHAIN, head=START) == HEAD


def test_a_missing_tail_shows_to_whoever_kept_a_head() -> None:
    for length in range(6):
        assert audit.verify(CHAIN[:length]).seq == length  # the chain alone cannot tell
        with pytest.raises(AuditError, match=f"ends at event {length} and does not lead"):
            audit.verify(CHAIN[:length], head=HEAD)


def test_a_chain_written_anew_shows_to_whoever_kept_a_head() -> None:
    forged = chained([*numbered(5), NewEvent("worker", "photo.sealed", "photo-other")])
    assert audit.verify(forged).seq == 6
    with pytest.raises(AuditError, match="does not lead"):
        audit.verify(forged, head=HEAD)


CHANGES: dict[str, object] = {
    "seq": 99,
    "at": NOW + timedelta(microseconds=1),
    "actor": "somebody",
    "action": "photo.opened",
    "target": "photo-99",
    "detail": {"faces": 99},
    "previous_hash": "1" * 64,
    "hash": "1" * 64,
}


@pytest.mark.parametrize("position", range(6))
@pytest.mark.parametrize("field", CHANGES)
def test_every_changed_field_of_every_event_shows(field: str, position: int) -> None:
    changed = list(CHAIN)
    changed[position] = dataclasses.replace(CHAIN[position], **{field: CHANGES[field]})  # type: ignore[arg-type]
    with pytest.raises(AuditError, match=f"event {position + 1} "):
        audit.verify(changed)


@pytest.mark.parametrize("position", range(6))
def test_a_changed_event_that_was_hashed_anew_shows_in_the_next(position: int) -> None:
    changed = list(CHAIN)
    forged = dataclasses.replace(CHAIN[position], actor="somebody")
    changed[position] = dataclasses.replace(forged, hash=audit.event_hash(forged))
    with pytest.raises(AuditError, match=f"event {position + 2} " if position < 5 else "does not lead"):
        audit.verify(changed, head=HEAD)


@settings(max_examples=100, deadline=None)
@given(st.lists(new_events, min_size=2, max_size=6), st.data())
def test_dropped_doubled_and_swapped_events_show(events: list[NewEvent], data: st.DataObject) -> None:
    chain = chained(events)
    at = data.draw(st.integers(0, len(chain) - 2))
    dropped = chain[:at] + chain[at + 1 :]
    doubled = chain[: at + 1] + chain[at:]
    swapped = [*chain[:at], chain[at + 1], chain[at], *chain[at + 2 :]]
    assert audit.verify(chain).seq == len(chain)
    for wrong in (dropped, doubled, swapped):
        with pytest.raises(AuditError):
            audit.verify(wrong)


def test_the_hash_is_that_of_the_documented_json() -> None:
    """Written out, so that a verifier in another language knows what to do."""
    event = CHAIN[1]
    line = (
        '{"action":"photo.sealed","actor":"worker","at":"2026-03-01T12:30:16.123456+00:00","detail":"{\\"faces\\":1}",'
        f'"previous_hash":"{CHAIN[0].hash}","seq":2,"target":"photo-1"}}'
    )
    documented = json.dumps(json.loads(line) | {"detail": {"faces": 1}}, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(documented.encode()).hexdigest() == event.hash


def test_the_same_moment_in_another_zone_has_the_same_hash() -> None:
    moved = dataclasses.replace(CHAIN[0], at=CHAIN[0].at.astimezone(timezone(timedelta(hours=9))))
    assert audit.event_hash(moved) == CHAIN[0].hash


@settings(max_examples=200, deadline=None)
@given(new_events, new_events)
def test_different_events_have_different_hashes(one: NewEvent, other: NewEvent) -> None:
    same = _shown(one) == _shown(other)
    assert (chained([one])[0].hash == chained([other])[0].hash) == same


def test_appended_events_are_chained_and_come_back_as_they_went_in(vault_engine: Engine) -> None:
    log = AuditLog(vault_engine)
    assert log.head() == START
    assert tuple(log.events()) == ()
    detail = {"faces": 2, "seconds": 1.25, "covered": False, "digest": "0" * 64}
    first = log.append([NewEvent("worker", "photo.sealed", "photo-1", detail)], now=NOW)
    rest = log.append(numbered(2), now=NOW.astimezone(timezone(timedelta(hours=2))))
    assert tuple(log.events()) == first + rest
    assert dict(first[0].detail) == detail
    assert (first[0].seq, first[0].previous_hash, first[0].at) == (1, GENESIS_HASH, NOW)
    assert {event.at.tzinfo for event in log.events()} == {UTC}
    assert audit.verify(log.events()) == log.head() == Head(3, rest[-1].hash)
    assert tuple(log.events(after=2)) == rest[1:]


def test_a_long_log_is_read_in_batches(vault_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_BATCH", 3)
    log = AuditLog(vault_engine)
    log.append(numbered(7), now=NOW)
    assert [event.seq for event in log.events()] == list(range(1, 8))
    assert audit.verify(log.events(), head=log.head()).seq == 7


def test_appending_nothing_writes_nothing(vault_engine: Engine) -> None:
    assert AuditLog(vault_engine).append([], now=NOW) == ()
    assert AuditLog(vault_engine).head() == START


@pytest.mark.parametrize(
    "event",
    [
        NewEvent("", "a", "t"),
        NewEvent("Ada Example", "a", "t"),
        NewEvent("w", "a", "/home/ada/photo.jpg"),
        NewEvent("w", "a", "http://host/x?token=1"),
        NewEvent("w", "a b", "t"),
        NewEvent("w", "a", "t" * 129),
        NewEvent("w", "a", "t", {"name": "Ada Example"}),
        NewEvent("w", "a", "t", {"a name": 1}),
        NewEvent("w", "a", "t", {"n": float("nan")}),
        NewEvent("w", "a", "t", {"n": float("inf")}),
        NewEvent("w", "a", "t", {"n": b"bytes"}),  # type: ignore[dict-item]
        NewEvent("w", "a", "t", {"n": None}),  # type: ignore[dict-item]
        NewEvent("w", "a", "t", {"n": [1]}),  # type: ignore[dict-item]
    ],
)
def test_an_event_holds_ids_and_numbers_only(vault_engine: Engine, event: NewEvent) -> None:
    with pytest.raises(CustodyError, match="ids and numbers") as caught:
        AuditLog(vault_engine).append([*numbered(1), event], now=NOW)
    assert "Ada" not in str(caught.value)
    assert AuditLog(vault_engine).head() == START


def test_a_moment_needs_a_zone(vault_engine: Engine) -> None:
    with pytest.raises(CustodyError, match="time zone"):
        AuditLog(vault_engine).append(numbered(1), now=datetime(2026, 3, 1))


def test_several_writers_make_one_chain(database_url: str, vault_engine: Engine) -> None:
    engines = [database.open_vault(database_url) for _ in range(4)]

    def write(engine: Engine) -> None:
        for event in numbered(5):
            AuditLog(engine).append([event], now=NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, engines))
    for engine in engines:
        engine.dispose()
    assert audit.verify(AuditLog(vault_engine).events()).seq == 20


def test_nothing_is_built_on_a_changed_event(vault_engine: Engine) -> None:
    log = AuditLog(vault_engine)
    log.append(numbered(2), now=NOW)
    tamper(vault_engine, "UPDATE audit_events SET actor = 'nobody' WHERE seq = 2")
    with pytest.raises(AuditError, match="event 2 of the audit log was changed"):
        log.append(numbered(1), now=NOW)
    with pytest.raises(AuditError, match="event 2 of the audit log was changed"):
        audit.verify(log.events())


def test_a_tail_cut_off_in_the_database_shows(vault_engine: Engine) -> None:
    log = AuditLog(vault_engine)
    log.append(numbered(4), now=NOW)
    kept = log.head()
    tamper(vault_engine, "DELETE FROM audit_events WHERE seq > 2")
    assert audit.verify(log.events()).seq == 2
    with pytest.raises(AuditError, match="ends at event 2"):
        audit.verify(log.events(), head=kept)
    log.append(numbered(2), now=NOW + timedelta(days=1))
    with pytest.raises(AuditError, match="ends at event 4"):
        audit.verify(log.events(), head=kept)


def test_a_log_that_cannot_be_written_says_so_within_three_seconds(vault_engine: Engine) -> None:
    with database.writing(vault_engine) as connection:
        audit.hold(connection)
        started = time.monotonic()
        with pytest.raises(AuditError) as caught:
            AuditLog(vault_engine).append(numbered(1), now=NOW)
        assert time.monotonic() - started < 3
    assert caught.value.retryable
    assert AuditLog(vault_engine).head() == START


def test_a_logged_event_is_known_whoever_caused_it(vault_engine: Engine) -> None:
    log, event = AuditLog(vault_engine), NewEvent("worker", "photo.sealed", "photo-1", {"b": 1, "a": 2})
    log.append([event], now=NOW)
    with database.reading(vault_engine) as connection:
        assert audit.is_logged(connection, dataclasses.replace(event, actor="other", detail={"a": 2, "b": 1}))
        for changed in ({"action": "photo.opened"}, {"target": "photo-2"}, {"detail": {"a": 2}}):
            assert not audit.is_logged(connection, dataclasses.replace(event, **changed))  # type: ignore[arg-type]


def test_it_is_known_whether_the_chain_leads_through_a_head(vault_engine: Engine) -> None:
    log = AuditLog(vault_engine)
    events = log.append(numbered(4), now=NOW)
    for head in (START, *(Head(event.seq, event.hash) for event in events)):
        assert log.holds(head)
    for other in (Head(2, events[2].hash), Head(5, events[3].hash), Head(0, events[0].hash), Head(2, "0" * 64)):
        assert not log.holds(other)
    tamper(vault_engine, "UPDATE audit_events SET target = 'photo-9' WHERE seq = 2")
    with vault_engine.begin() as connection:
        connection.execute(text("DELETE FROM audit_events WHERE seq > 3"))
    assert log.holds(Head(3, events[2].hash))
    assert not log.holds(Head(2, events[1].hash)), "its hash is there, and is not its hash"
    assert not log.holds(Head(4, events[3].hash))


def test_the_first_event_of_an_action_is_found(vault_engine: Engine) -> None:
    log = AuditLog(vault_engine)
    assert log.find("photo.sealed", "photo-1") is None
    first, *_ = log.append([NewEvent("a", "x", "t"), NewEvent("b", "x", "t"), NewEvent("a", "y", "t")], now=NOW)
    assert log.find("x", "t") == first
    assert log.find("x", "u") is log.find("z", "t") is None


def test_an_exported_log_is_what_lies_there(vault_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_BATCH", 2)
    log = AuditLog(vault_engine)
    events = log.append(numbered(5), now=NOW)
    assert [audit.read_line(line) for line in log.lines()] == list(events)


@pytest.mark.parametrize(
    "change",
    [
        "detail = '{\"faces\": 1}'",  # the same to a program, and not what was written
        "detail = 'none'",
        "detail = '[]'",
        'detail = \'{"faces":1,"faces":1}\'',
        "at = replace(at, '+00:00', 'Z')",
        "at = '2026-03-01T12:30:15.123456'",
        "at = 'yesterday'",
    ],
)
def test_a_row_that_was_never_written_like_this_was_changed(vault_engine: Engine, change: str) -> None:
    log = AuditLog(vault_engine)
    log.append(numbered(3), now=NOW)
    tamper(vault_engine, f"UPDATE audit_events SET {change} WHERE seq = 2")  # noqa: S608
    with pytest.raises(AuditError, match="event 2 of the audit log was changed"):
        audit.verify(log.events())
    first, second, third = log.lines()
    assert audit.read_line(first).seq == 1
    assert audit.read_line(third).seq == 3
    with pytest.raises(AuditError):
        audit.read_line(second)


def tamper(engine: Engine, statement: str) -> None:
    """What somebody with full power over the database can do."""
    drop = {
        "sqlite": ("DROP TRIGGER audit_events_no_update", "DROP TRIGGER audit_events_no_delete"),
        "postgresql": ("DROP TRIGGER audit_events_append_only ON audit_events",),
    }
    with engine.begin() as connection:
        for line in (*drop[engine.dialect.name], statement):
            connection.exec_driver_sql(line)


def _shown(event: NewEvent) -> str:
    return repr((event.actor, event.action, event.target, sorted(event.detail.items())))
