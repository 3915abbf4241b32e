"""The audit log: an append-only chain in which every event holds the hash of the one before.

An event is hashed as JSON with sorted keys, no spaces and ASCII only. Changing, dropping or swapping events breaks the
chain; cutting off its tail does not, and is seen by whoever kept a `Head` from before.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, false, or_, select

from backend.custody import database
from backend.custody.records import AuditEvent, Detail, NewEvent
from backend.custody.tables import audit_events
from backend.errors import AuditBrokenError, AuditError, CustodyError

GENESIS_HASH = "0" * 64
"""What the first event holds instead of the hash of the one before."""

_LOCK = 0x6732_6175_6469  # any number that is always the same
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain goes: the last event's number and hash. (0, GENESIS_HASH) is the empty chain."""

    seq: int
    hash: str


START = Head(0, GENESIS_HASH)


class AuditLog:
    """The audit log in the vault's database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(self, events: Sequence[NewEvent], *, now: datetime) -> tuple[AuditEvent, ...]:
        """Write events, all or none; they are on the disk when this returns. Raises `AuditError` when they are not."""
        with database.writing(self._engine, failure=AuditError) as connection:
            hold(connection)
            return append(connection, events, now=now)

    def events(self, *, after: int = 0) -> Iterator[AuditEvent]:
        """All events numbered above `after`, in order. Raises `AuditError` when they cannot be read."""
        while batch := self._batch(after):
            yield from batch
            after = batch[-1].seq

    def latest(
        self,
        *,
        action: str | None = None,
        target: str | None = None,
        actor: str | None = None,
        before: int | None = None,
        limit: int,
    ) -> tuple[AuditEvent, ...]:
        """Events, newest first, below the number `before`; those alone that have this action, target and actor.

        Raises `AuditError` when they cannot be read.
        """
        columns = audit_events.c
        wanted = ((columns.action, action), (columns.target, target), (columns.actor, actor))
        where = [column == value for column, value in wanted if value is not None]
        if before is not None:
            where.append(columns.seq < before)
        query = select(audit_events).where(*where).order_by(columns.seq.desc()).limit(limit)
        with database.reading(self._engine, failure=AuditError) as connection:
            return tuple(_event(row) for row in connection.execute(query))

    def lines(self) -> Iterator[str]:
        """All events as lines of an exported log; one that was changed beyond reading is a line that is no event.

        Raises `AuditError` when they cannot be read.
        """
        after = 0
        while rows := self._rows(after):
            yield from (_line(row) for row in rows)
            after = rows[-1].seq

    def head(self) -> Head:
        """How far the chain goes now. Raises `AuditError` when it cannot be read."""
        with database.reading(self._engine, failure=AuditError) as connection:
            last = _last(connection)
        return Head(last.seq, last.hash) if last else START

    def holds(self, head: Head) -> bool:
        """Whether the chain leads through `head`: false once its tail was cut off behind it, as by restoring an old
        backup, or was written anew. Raises `AuditError` when it cannot be read."""
        with database.reading(self._engine, failure=AuditError) as connection:
            return holds(connection, head)

    def find(self, action: str, target: str) -> AuditEvent | None:
        """The first event of this action and target. Raises `AuditError` when the log cannot be read."""
        with database.reading(self._engine, failure=AuditError) as connection:
            return find(connection, action, target)

    def _batch(self, after: int) -> tuple[AuditEvent, ...]:
        return tuple(_event(row) for row in self._rows(after))

    def _rows(self, after: int) -> Sequence[Row[Any]]:
        query = select(audit_events).where(audit_events.c.seq > after).order_by(audit_events.c.seq).limit(_BATCH)
        with database.reading(self._engine, failure=AuditError) as connection:
            return connection.execute(query).all()


def hold(connection: Connection) -> None:
    """Take the chain's end for this transaction; others wait until it is over. Call it before `append`."""
    database.lock(connection, _LOCK)


def append(connection: Connection, events: Sequence[NewEvent], *, now: datetime) -> tuple[AuditEvent, ...]:
    """Chain events to the end of the log within the caller's transaction, which must `hold` the log.

    Raises `CustodyError` for an event that holds anything but ids and numbers, `AuditError` when the log's last event
    is not what was written: nothing is built on a broken chain.
    """
    if now.tzinfo is None:
        raise CustodyError("an audit event's moment needs a time zone")
    last = _last(connection)
    if last is not None and event_hash(last) != last.hash:
        raise AuditBrokenError(f"event {last.seq} of the audit log was changed")
    head, appended = Head(last.seq, last.hash) if last else START, []
    for event in events:
        chained = _chained(event, head, now=now)
        connection.execute(audit_events.insert().values(_row(chained)))
        appended.append(chained)
        head = Head(chained.seq, chained.hash)
    return tuple(appended)


def is_logged(connection: Connection, event: NewEvent) -> bool:
    """Whether the log holds an event of this action, target and detail, whoever caused it."""
    columns, detail = audit_events.c, _canonical(_checked(event).detail)
    query = select(columns.seq).where(
        columns.target == event.target, columns.action == event.action, columns.detail == detail
    )
    return connection.execute(query.limit(1)).first() is not None


def find(connection: Connection, action: str, target: str) -> AuditEvent | None:
    """The first event of this action and target, whoever caused it, within the caller's transaction."""
    row = connection.execute(_of(action, target).limit(1)).first()
    return _event(row) if row else None


def find_all(connection: Connection, action: str, target: str) -> tuple[AuditEvent, ...]:
    """All events of this action and target, in order, within the caller's transaction."""
    return tuple(_event(row) for row in connection.execute(_of(action, target)))


def targets(connection: Connection, action: str, *, naming: Collection[str] | None = None) -> list[str]:
    """The targets of all events of this action, in order; of those alone whose detail has one of the texts `naming`."""
    columns = audit_events.c
    query = select(columns.target).where(columns.action == action).order_by(columns.seq)
    if naming is not None:
        query = query.where(or_(false(), *(columns.detail.contains(f'"{one}"', autoescape=True) for one in naming)))
    return list(connection.scalars(query))


def holds(connection: Connection, head: Head) -> bool:
    """Whether the chain leads through `head`, within the caller's transaction."""
    if head == START:
        return True
    row = connection.execute(select(audit_events).where(audit_events.c.seq == head.seq)).first()
    return row is not None and row.hash == head.hash and event_hash(_event(row)) == head.hash


def verify(events: Iterable[AuditEvent], *, start: Head = START, head: Head | None = None) -> Head:
    """Check that events continue the chain from `start` without a gap, and reach at least as far as `head`.

    Needs no database. Returns the chain's end. Raises `AuditError` that names the first event that is wrong.
    """
    end, seen = start, head is None or head == start
    for event in events:
        if event.seq != end.seq + 1 or event.previous_hash != end.hash:
            raise AuditBrokenError(f"event {end.seq + 1} of the audit log is missing or out of place")
        if event_hash(event) != event.hash:
            raise AuditBrokenError(f"event {event.seq} of the audit log was changed")
        end = Head(event.seq, event.hash)
        seen = seen or end == head
    if not seen:
        raise AuditBrokenError(f"the audit log ends at event {end.seq} and does not lead to the head that was kept")
    return end


def event_hash(event: AuditEvent) -> str:
    """The SHA-256, in hexadecimal, that an event with these fields has."""
    fields = _row(event) | {"detail": dict(event.detail)}
    del fields["hash"]
    return hashlib.sha256(_canonical(fields).encode("ascii")).hexdigest()


def line(event: AuditEvent) -> str:
    """The event as one line of an exported log, its end included: JSON as it is hashed, and the hash."""
    return _canonical(_row(event) | {"detail": dict(event.detail)}) + "\n"


def read_line(text: str) -> AuditEvent:
    """The event that `line` wrote, to the letter. Raises `AuditError` for anything else: what two readers could take
    for two different events is none."""
    try:
        fields = json.loads(text)
        event = AuditEvent(**fields | {"at": datetime.fromisoformat(fields["at"])})
        texts = (event.actor, event.action, event.target, event.previous_hash, event.hash)
        typed = type(event.seq) is int and all(isinstance(one, str) for one in texts)
        if typed and event.at.tzinfo is not None and line(event) == text:
            return event
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        pass
    raise AuditError("not an event of an exported audit log")


def _chained(event: NewEvent, head: Head, *, now: datetime) -> AuditEvent:
    checked = _checked(event)
    fields = (head.seq + 1, now.astimezone(UTC), checked.actor, checked.action, checked.target, dict(checked.detail))
    return AuditEvent(*fields, head.hash, event_hash(AuditEvent(*fields, head.hash, "")))


def _checked(event: NewEvent) -> NewEvent:
    names = (event.actor, event.action, event.target, *event.detail)
    values = event.detail.values()
    texts = (*names, *(value for value in values if isinstance(value, str)))
    numbers = [value for value in values if not isinstance(value, str)]
    if not all(_ID.fullmatch(text) for text in texts) or not all(_is_number(number) for number in numbers):
        raise CustodyError("an audit event holds ids and numbers only")
    return event


def _is_number(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _canonical(fields: Detail | dict[str, Any]) -> str:
    return json.dumps(dict(fields), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _row(event: AuditEvent) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": event.actor,
        "action": event.action,
        "target": event.target,
        "detail": _canonical(event.detail),
        "previous_hash": event.previous_hash,
        "hash": event.hash,
    }


def _event(row: Row[Any]) -> AuditEvent:
    """Raises `AuditError` for a row that was never written like this: it would be hashed as something else."""
    try:
        at, detail = datetime.fromisoformat(row.at), json.loads(row.detail)
        event = AuditEvent(row.seq, at, row.actor, row.action, row.target, detail, row.previous_hash, row.hash)
        if at.tzinfo is not None and _row(event) == row._asdict():
            return event
    except (TypeError, ValueError, RecursionError):
        pass
    raise AuditBrokenError(f"event {row.seq} of the audit log was changed")


def _line(row: Row[Any]) -> str:
    try:
        return line(_event(row))
    except AuditError:
        return json.dumps(row._asdict(), default=str) + "\n"


def _of(action: str, target: str) -> Select[Any]:
    columns = audit_events.c
    return select(audit_events).where(columns.target == target, columns.action == action).order_by(columns.seq)


def _last(connection: Connection) -> AuditEvent | None:
    row = connection.execute(select(audit_events).order_by(audit_events.c.seq.desc()).limit(1)).first()
    return _event(row) if row else None
