"""The suite of forged logs: whatever was done to an exported log up to the last signed head is found, all of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sealed_photos import NOW

from backend.custody import audit, audit_check
from backend.custody.audit import START, Head
from backend.custody.audit_check import Finding, Harm
from backend.custody.heads import SignedHead
from backend.custody.records import AuditEvent, NewEvent
from backend.errors import AuditError

Log = list[AuditEvent]


def chained(events: Sequence[NewEvent], start: Head = START) -> Log:
    """A chain made without a database."""
    chain, head = [], start
    for event in events:
        at = NOW + timedelta(seconds=head.seq)
        chain.append(
            sealed(AuditEvent(head.seq + 1, at, event.actor, event.action, event.target, event.detail, head.hash, ""))
        )
        head = Head(chain[-1].seq, chain[-1].hash)
    return chain


def sealed(event: AuditEvent) -> AuditEvent:
    return replace(event, hash=audit.event_hash(event))


def rechained(events: Log) -> Log:
    """The forger has the program, too: numbers and hashes are made anew from the first event on."""
    return chained([NewEvent(event.actor, event.action, event.target, event.detail) for event in events])


def heads_of(log: Log, *numbers: int) -> list[SignedHead]:
    return [SignedHead(Head(n, log[n - 1].hash) if n else START, NOW + timedelta(days=n)) for n in numbers]


def found(log: Log, heads: Sequence[SignedHead]) -> set[Harm]:
    """What the check finds, in the events as in the lines of a file."""
    in_events = audit_check.check(log, heads).findings
    in_lines = audit_check.check_lines([audit.line(event) for event in log], heads).findings
    assert in_events == in_lines
    return {finding.harm for finding in in_events}


COUNT = 8
LOG = chained(
    [NewEvent("0" * 32, "request.approved" if n % 2 else "photo.sealed", f"{n:032x}", {"n": n}) for n in range(COUNT)]
)
HEADS = heads_of(LOG, 0, 3, 5, COUNT)
EVERY = range(COUNT)


def test_a_log_as_it_was_is_whole() -> None:
    checked = audit_check.check(LOG, HEADS)
    assert (checked.end, checked.heads, checked.findings) == (Head(COUNT, LOG[-1].hash), 4, [])
    assert audit_check.check(LOG).findings == []
    assert audit_check.check(LOG, HEADS[::-1]).findings == [], "in whichever order they come"
    assert audit_check.check([]).findings == audit_check.check([], heads_of(LOG, 0)).findings == []


def test_a_log_may_have_grown_since() -> None:
    for length in range(COUNT + 1):
        assert found(LOG, heads_of(LOG, *range(length + 1))) == set()


# Edited


EDITS: dict[str, object] = {
    "at": NOW - timedelta(days=400),
    "actor": "1" * 32,
    "action": "request.refused",
    "target": "f" * 32,
    "detail": {"n": 99},
}


@pytest.mark.parametrize("position", EVERY)
@pytest.mark.parametrize("field", EDITS)
def test_an_edited_event_is_found(field: str, position: int) -> None:
    log = [*LOG]
    log[position] = replace(LOG[position], **{field: EDITS[field]})  # type: ignore[arg-type]
    assert found(log, HEADS) == {Harm.EDITED}
    assert audit_check.check(log).findings == [Finding(Harm.EDITED, position + 1)], "without any head, too"


@pytest.mark.parametrize("position", EVERY)
@pytest.mark.parametrize("field", EDITS)
def test_one_that_was_hashed_anew_is_found_in_the_next_or_by_the_head(field: str, position: int) -> None:
    log = [*LOG]
    log[position] = sealed(replace(LOG[position], **{field: EDITS[field]}))  # type: ignore[arg-type]
    assert found(log, HEADS) >= ({Harm.FORKED} if position == COUNT - 1 else {Harm.INSERTED})


@pytest.mark.parametrize("position", EVERY)
@pytest.mark.parametrize("field", EDITS)
def test_one_whose_whole_chain_was_made_anew_is_found_by_the_head(field: str, position: int) -> None:
    log = [*LOG]
    log[position] = replace(LOG[position], **{field: EDITS[field]})  # type: ignore[arg-type]
    forged = rechained(log) if field != "at" else chained_with_times(log)
    assert audit_check.check(forged).findings == [], "nothing in the log itself tells of it"
    assert found(forged, HEADS) == {Harm.FORKED}


@pytest.mark.parametrize("position", EVERY)
@pytest.mark.parametrize("field", ["seq", "previous_hash", "hash"])
def test_changed_links_are_found(field: str, position: int) -> None:
    log = [*LOG]
    value = 99 if field == "seq" else "0" * 63 + "1"
    log[position] = replace(LOG[position], **{field: value})  # type: ignore[arg-type]
    assert found(log, HEADS)
    if field != "hash":
        log[position] = sealed(log[position])
        assert found(log, HEADS)


# Removed, inserted, reordered


@pytest.mark.parametrize("gone", [gone for n in (1, 2, 3) for gone in combinations(EVERY, n)])
def test_removed_events_are_found(gone: tuple[int, ...]) -> None:
    left = [event for event in LOG if event.seq - 1 not in gone]
    assert found(left, HEADS) & {Harm.REMOVED, Harm.TRUNCATED}
    assert found(rechained(left), HEADS) & {Harm.FORKED, Harm.TRUNCATED}


@pytest.mark.parametrize("position", range(COUNT + 1))
def test_an_inserted_event_is_found(position: int) -> None:
    before = Head(position, LOG[position - 1].hash) if position else START
    (alien,) = chained([NewEvent("1" * 32, "request.approved", "f" * 32)], before)
    with_it = [*LOG[:position], alien, *LOG[position:]]
    if position == COUNT:
        assert found(with_it, HEADS) == set(), "behind the last head, a log may grow"
        return
    assert found(with_it, HEADS)
    assert audit_check.check(with_it).findings
    assert found(rechained(with_it), HEADS) == {Harm.FORKED}


@pytest.mark.parametrize("position", EVERY)
def test_a_doubled_event_is_found(position: int) -> None:
    log = [*LOG[: position + 1], *LOG[position:]]
    assert Harm.INSERTED in found(log, HEADS)
    assert found(rechained(log), HEADS) >= {Harm.FORKED} if position < COUNT - 1 else True


@pytest.mark.parametrize(("one", "other"), list(combinations(EVERY, 2)))
def test_swapped_events_are_found(one: int, other: int) -> None:
    log = [*LOG]
    log[one], log[other] = log[other], log[one]
    assert found(log, HEADS) & {Harm.REORDERED, Harm.REMOVED}
    renumbered = [replace(event, seq=number) for number, event in enumerate(log, start=1)]
    assert found(renumbered, HEADS)
    assert found([sealed(event) for event in renumbered], HEADS)
    assert found(rechained(log), HEADS) == {Harm.FORKED}


def test_a_log_the_other_way_round_is_found() -> None:
    assert found(LOG[::-1], HEADS) >= {Harm.REMOVED, Harm.REORDERED}


# Truncated, forked


@pytest.mark.parametrize("length", EVERY)
def test_a_log_whose_tail_is_gone_is_found(length: int) -> None:
    assert audit_check.check(LOG[:length]).findings == [], "nothing in the log itself tells of it"
    assert found(LOG[:length], HEADS) == {Harm.TRUNCATED}


@pytest.mark.parametrize("start", range(1, COUNT))
def test_a_log_whose_beginning_is_gone_is_found(start: int) -> None:
    assert Harm.REMOVED in found(LOG[start:], HEADS)
    assert Harm.REMOVED in {finding.harm for finding in audit_check.check(LOG[start:]).findings}


@pytest.mark.parametrize("length", EVERY)
@pytest.mark.parametrize("grown", [1, COUNT, 2 * COUNT])
def test_a_log_that_was_cut_and_went_on_is_found(length: int, grown: int) -> None:
    """As a restored backup does. Up to the last head, somebody knows better."""
    start = Head(length, LOG[length - 1].hash) if length else START
    forked = LOG[:length] + chained([NewEvent("2" * 32, "x", f"y{n}") for n in range(grown)], start)
    assert audit_check.check(forked).findings == []
    assert found(forked, HEADS) & {Harm.FORKED, Harm.TRUNCATED}


@pytest.mark.parametrize("fork_at", range(1, COUNT))
def test_heads_of_two_logs_are_found_whichever_of_them_is_shown(fork_at: int) -> None:
    start = Head(fork_at, LOG[fork_at - 1].hash)
    other = LOG[:fork_at] + chained([NewEvent("2" * 32, "x", f"y{n}") for n in range(COUNT - fork_at)], start)
    both = [*HEADS, *heads_of(other, COUNT)]
    assert found(LOG, both) == found(other, both) & {Harm.FORKED} == {Harm.FORKED}
    assert found(LOG[:fork_at], both) == {Harm.FORKED, Harm.TRUNCATED}


def test_an_empty_log_is_found() -> None:
    assert found([], HEADS) == {Harm.TRUNCATED}


# Lines


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line[:-2] + "\n",
        lambda line: line.rstrip("\n"),
        lambda _: "\n",
        lambda _: "null\n",
        lambda _: "[" * 100_000 + "\n",
        lambda line: line.replace('"seq"', '"sequence"'),
        lambda line: line.replace(",", ", "),  # the same to a program, and not what was written
        lambda line: line.replace("+00:00", "Z"),
        lambda line: line.replace("{", '{"actor":"x",', 1),  # which of the two is meant?
        lambda line: line.replace('"seq":4', '"seq":4.0'),
        lambda line: line.replace('"seq":4', '"seq":"4"'),
        lambda line: line.replace('"detail":{"n":3}', '"detail":{"n":3,"n":3}'),
        lambda line: line.replace('"detail":{"n":3}', '"detail":[]'),
        lambda line: line.replace("photo", "\\u0070hoto").replace("request", "\\u0072equest"),
    ],
)
def test_a_line_that_was_not_written_like_this_is_found(change: Callable[[str], str]) -> None:
    lines = [audit.line(event) for event in LOG]
    assert change(lines[3]) != lines[3]
    lines[3] = change(lines[3])
    harms = {finding.harm for finding in audit_check.check_lines(lines, HEADS).findings}
    assert Harm.UNREADABLE in harms
    with pytest.raises(AuditError, match="not an event"):
        audit.read_line(lines[3])


def test_lines_come_back_as_events() -> None:
    assert [audit.read_line(audit.line(event)) for event in LOG] == LOG
    assert json.loads(audit.line(LOG[2]))["detail"] == {"n": 2}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_changed_character_of_a_log_is_found(data: st.DataObject) -> None:
    whole = "".join(audit.line(event) for event in LOG)
    at = data.draw(st.integers(0, len(whole) - 1))
    put = data.draw(st.text(st.characters(codec="ascii"), max_size=3))
    cut = data.draw(st.integers(0, 3))
    changed = whole[:at] + put + whole[at + cut :]
    assume(changed != whole)
    log = changed.splitlines(keepends=True)
    if changed.startswith(whole):  # behind the last head
        assert audit_check.check_lines(log, HEADS).findings or len(log) > COUNT
        return
    assert audit_check.check_lines(log, HEADS).findings


# Any forgery at all

names = st.from_regex(r"[a-z0-9][a-z0-9.]{0,8}", fullmatch=True)
new_events = st.builds(NewEvent, names, names, names, st.dictionaries(names, st.integers() | names, max_size=2))


@st.composite
def forgeries(draw: st.DrawFn) -> tuple[Log, Log]:
    """A log, and what somebody made of it by any number of changes, who may have made the chain anew afterwards."""
    log = chained(draw(st.lists(new_events, min_size=1, max_size=8)))
    forged = [*log]
    for _ in range(draw(st.integers(1, 3))):
        forged = draw(st.sampled_from([_edit, _remove, _insert, _swap, _cut]))(draw, forged)
    again = draw(st.sampled_from(["as it is", "each hash", "whole chain"]))
    if again == "each hash":
        forged = [sealed(event) for event in forged]
    elif again == "whole chain":
        forged = chained_with_times(forged)
    return log, forged


def _edit(draw: st.DrawFn, log: Log) -> Log:
    if not log:
        return log
    at, change = draw(st.integers(0, len(log) - 1)), draw(new_events)
    event = replace(log[at], actor=change.actor, action=change.action, target=change.target, detail=change.detail)
    return [*log[:at], event, *log[at + 1 :]]


def _remove(draw: st.DrawFn, log: Log) -> Log:
    at = draw(st.integers(0, max(0, len(log) - 1)))
    return [*log[:at], *log[at + 1 :]]


def _insert(draw: st.DrawFn, log: Log) -> Log:
    at = draw(st.integers(0, len(log)))
    before = Head(log[at - 1].seq, log[at - 1].hash) if at else START
    return [*log[:at], *chained([draw(new_events)], before), *log[at:]]


def _swap(draw: st.DrawFn, log: Log) -> Log:
    return list(draw(st.permutations(log)))


def _cut(draw: st.DrawFn, log: Log) -> Log:
    return log[: draw(st.integers(0, len(log)))]


def chained_with_times(log: Log) -> Log:
    forged, head = [], START
    for event in log:
        forged.append(sealed(replace(event, seq=head.seq + 1, previous_hash=head.hash)))
        head = Head(forged[-1].seq, forged[-1].hash)
    return forged


@settings(max_examples=800, deadline=None)
@given(forgeries())
def test_every_forgery_is_found(forgery: tuple[Log, Log]) -> None:
    log, forged = forgery
    heads = heads_of(log, len(log))
    assert found(log, heads) == set()
    if forged[: len(log)] == log:  # nothing was changed, or it only grew behind the last head
        return
    assert found(forged, heads)
