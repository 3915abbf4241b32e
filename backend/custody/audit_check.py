"""The offline check of an exported audit log against signed heads: what was done to it, and where.

Without a head, a log whose tail was cut off or that was written anew from some event on looks whole; with the signed
heads, everything up to the last of them is held to what it was. The check goes on behind the first thing it finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from backend.custody import audit
from backend.custody.audit import START, Head
from backend.custody.heads import SignedHead
from backend.custody.records import AuditEvent
from backend.errors import AuditError


class Harm(StrEnum):
    """What can be found. The first four tell of single events, and may be told apart wrongly; the log is forged in any
    case."""

    EDITED = "edited"  # an event is not what was hashed
    REMOVED = "removed"  # numbers are missing
    INSERTED = "inserted"  # a number comes twice, or an event does not follow from the one before
    REORDERED = "reordered"  # an event stands behind a later one
    TRUNCATED = "truncated"  # the log ends before a signed head
    FORKED = "forked"  # a signed head knows another event of this number: there are, or were, two logs
    UNREADABLE = "unreadable"  # a line is no event at all


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a log. `seq` is the number of the event, or of the line that holds none."""

    harm: Harm
    seq: int

    def __str__(self) -> str:
        return _SENTENCES[self.harm].format(seq=self.seq)


@dataclass(slots=True)
class Checked:
    """end: how far the log goes. heads: how many signed heads it was held to. findings: empty for a log as it was."""

    end: Head = START
    heads: int = 0
    findings: list[Finding] = field(default_factory=list)


_SENTENCES: Mapping[Harm, str] = {
    Harm.EDITED: "event {seq} was edited",
    Harm.REMOVED: "event {seq} was removed",
    Harm.INSERTED: "event {seq} was inserted, or the one before it was replaced",
    Harm.REORDERED: "event {seq} is out of order",
    Harm.TRUNCATED: "the log was cut off before event {seq}, which a signed head knows",
    Harm.FORKED: "a signed head knows another event {seq}: there are two logs",
    Harm.UNREADABLE: "line {seq} of the log is no event",
}


def check(events: Iterable[AuditEvent], heads: Sequence[SignedHead] = ()) -> Checked:
    """Hold a log to itself and to `heads`, in any order. No log is refused: what is wrong with it is in the
    findings."""
    checked, known, expected = Checked(heads=len(heads)), _by_number(heads), START
    for event in events:
        checked.findings += _misplaced(event, expected)
        if audit.event_hash(event) != event.hash:
            checked.findings.append(Finding(Harm.EDITED, event.seq))
        if known.get(event.seq, {event.hash}) != {event.hash}:
            checked.findings.append(Finding(Harm.FORKED, event.seq))
        expected = Head(event.seq, event.hash) if event.seq >= expected.seq else expected
    checked.end = expected
    checked.findings += _beyond(known, expected)
    return checked


def check_lines(lines: Iterable[str], heads: Sequence[SignedHead] = ()) -> Checked:
    """The same for the lines of an exported log."""
    unreadable: list[Finding] = []

    def events() -> Iterable[AuditEvent]:
        for number, line in enumerate(lines, start=1):
            try:
                yield audit.read_line(line)
            except AuditError:
                unreadable.append(Finding(Harm.UNREADABLE, number))

    checked = check(events(), heads)
    checked.findings = unreadable + checked.findings
    return checked


def _misplaced(event: AuditEvent, expected: Head) -> list[Finding]:
    if event.seq == expected.seq + 1:
        follows = event.previous_hash == expected.hash
        return [] if follows else [Finding(Harm.INSERTED, event.seq)]
    if event.seq > expected.seq + 1:
        return [Finding(Harm.REMOVED, expected.seq + 1)]
    return [Finding(Harm.INSERTED if event.seq == expected.seq else Harm.REORDERED, event.seq)]


def _by_number(heads: Sequence[SignedHead]) -> dict[int, set[str]]:
    known: dict[int, set[str]] = {}
    for signed in heads:
        known.setdefault(signed.head.seq, set()).add(signed.head.hash)
    return known


def _beyond(known: Mapping[int, set[str]], end: Head) -> list[Finding]:
    """What the heads say that the log does not reach."""
    behind = sorted(seq for seq in known if seq > end.seq)
    forked = [Finding(Harm.FORKED, seq) for seq in behind if len(known[seq]) > 1]
    return [Finding(Harm.TRUNCATED, seq) for seq in behind[:1]] + forked
