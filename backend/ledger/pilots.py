"""Pilots: a sample is drawn, a worker takes it from step to step, and a report stays until it is discarded.

Every step of a worker is compare-and-set on its claim; `ClaimLostError` says that another one has the pilot by now.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from backend.errors import ClaimLostError, LedgerError
from backend.ledger import rows
from backend.ledger.book import Book
from backend.ledger.database import reading, writing
from backend.ledger.records import PhotoState, Pilot, PilotPhoto, PilotState
from backend.ledger.tables import DiscardedBlobRow, PhotoRow, PilotPhotoRow, PilotRow, PolicyRow

MOST_PHOTOS: Final = 50
_PILOTS = select(PilotRow.__table__)
_IS_UNDER_WAY = PilotRow.under_way.is_not(None)
_Candidate = tuple[str, str | None]  # photo and subject
UNDER_WAY: Final = "a pilot is under way for this project; wait until it has ended"
WRONG_SIZE: Final = f"a pilot is of 1 to {MOST_PHOTOS} photos"


class Pilots(Book):
    """What managers ask for, and what became of it."""

    def recoverable(self, project_id: str) -> int:
        """How many published photos keep what leads back to their original."""
        with reading(self.engine) as connection:
            rows.project(connection, project_id)
            return connection.scalar(select(func.count()).select_from(_published(project_id).subquery())) or 0

    def ask_pilot(self, project_id: str, *, size: int, now: datetime) -> Pilot:
        """Draw up to `size` photos, 1 to MOST_PHOTOS. Raises `LedgerError` when there are none to draw or one of the
        project's pilots is under way."""
        if not 1 <= size <= MOST_PHOTOS:
            raise LedgerError(WRONG_SIZE)
        try:
            with writing(self.engine) as connection:
                rows.project(connection, project_id)
                sample = drawn(_candidates(connection, project_id), size)
                if not sample:
                    raise LedgerError("no published photo of this project keeps what leads back to its original")
                pilot = _new(self._new_id(), project_id, sample, now=now)
                _insert(connection, pilot)
                return pilot
        except IntegrityError:
            raise LedgerError(UNDER_WAY) from None

    def pilot(self, pilot_id: str) -> Pilot:
        """The pilot of this id. Raises `LedgerError` if there is none."""
        with reading(self.engine) as connection:
            return _pilot(connection, pilot_id)

    def pilots(self, project_id: str, *, limit: int = 20) -> list[Pilot]:
        """A project's pilots, newest first."""
        newest_first = PilotRow.asked_at.desc(), PilotRow.pilot_id
        with reading(self.engine) as connection:
            mine = _PILOTS.where(PilotRow.project_id == project_id).order_by(*newest_first).limit(limit)
            return [_to_pilot(connection, row) for row in connection.execute(mine).all()]

    def due_pilots(self, *, now: datetime) -> list[str]:
        """Pilots that a worker should look at and none does, those that waited longest first."""
        with reading(self.engine) as connection:
            due = select(PilotRow.pilot_id).where(_free(now), PilotRow.next_at <= now).order_by(PilotRow.next_at)
            return list(connection.scalars(due))

    def claim_pilot(self, pilot_id: str, *, now: datetime, lease_s: float) -> Pilot | None:
        """Take up a pilot for `lease_s`; None when somebody has it or it has ended."""
        claimed = {"attempts": PilotRow.attempts + 1, "claimed_until": now + timedelta(seconds=lease_s)}
        with writing(self.engine) as connection:
            mine = and_(PilotRow.pilot_id == pilot_id, _free(now))
            taken = connection.execute(update(PilotRow).where(mine).values(**claimed))
            return _pilot(connection, pilot_id) if taken.rowcount == 1 else None

    def extend_pilot(self, pilot: Pilot, *, measured: int = 0, now: datetime, lease_s: float) -> None:
        """Keep a claim for another `lease_s`, and tell how many photos are measured."""
        self._pilot_step(pilot, measured=measured, claimed_until=now + timedelta(seconds=lease_s))

    def note_request(self, pilot: Pilot, photo_id: str, request_id: str) -> None:
        """The original of a photo of the pilot was asked for."""
        same = PilotPhotoRow.pilot_id == pilot.pilot_id, PilotPhotoRow.photo_id == photo_id
        with writing(self.engine) as connection:
            connection.execute(update(PilotPhotoRow).where(*same).values(request_id=request_id))

    def await_approvals(
        self, pilot: Pilot, *, approved: int, expires_at: datetime | None, next_at: datetime, now: datetime
    ) -> None:
        """All originals are asked for; how many are approved by now. The claim ends."""
        self._pilot_step(
            pilot,
            state=PilotState.WAITING,
            requested_at=pilot.requested_at or now,
            approved=approved,
            expires_at=expires_at,
            reason=None,
            next_at=next_at,
            claimed_until=None,
        )

    def postpone_pilot(self, pilot: Pilot, *, reason: str, next_at: datetime) -> None:
        """Something is away: as it was, to be looked at again. The claim ends."""
        self._pilot_step(pilot, state=pilot.state, reason=reason, next_at=next_at, claimed_until=None)

    def begin_measuring(self, pilot: Pilot, *, approved: int, now: datetime) -> None:
        """From here on approvals are used up; whoever takes the pilot up after this finds it MEASURING."""
        self._pilot_step(pilot, state=PilotState.MEASURING, approved=approved, reason=None, measuring_at=now)

    def end_pilot(
        self,
        pilot: Pilot,
        state: PilotState,
        *,
        now: datetime,
        reason: str | None = None,
        reports: Mapping[str, str] | None = None,
        discarded: Collection[str] = (),
    ) -> None:
        """How it has ended; `reports` are blobs by language, `discarded` those that may be there and are not needed."""
        ended = {"under_way": None, "claimed_until": None, "ended_at": now, "reports": dict(reports or {})}
        with writing(self.engine) as connection:
            _step(connection, pilot, state=state, reason=reason, **ended)
            _remember(connection, discarded, now=now)

    def discard_pilot(self, pilot_id: str, *, now: datetime) -> list[str]:
        """Forget an ended pilot; the names of its reports, which are to be deleted and are remembered until then.
        Raises `LedgerError` while it is under way."""
        with writing(self.engine) as connection:
            if _pilot(connection, pilot_id).under_way:
                raise LedgerError(UNDER_WAY)
            return discard(connection, PilotRow.pilot_id == pilot_id, now=now)

    def _pilot_step(self, pilot: Pilot, **values: Any) -> None:
        with writing(self.engine) as connection:
            _step(connection, pilot, **values)


def drawn(candidates: Sequence[_Candidate], size: int) -> list[str]:
    """Up to `size` photos, evenly drawn: half of them, another one of each one's subject where there is one, and more
    until there are enough. Each photo once, those of one subject together."""
    others: dict[str, list[str]] = {}
    for photo_id, subject in candidates:
        if subject is not None:
            others.setdefault(subject, []).append(photo_id)
    chosen: dict[str, None] = {}
    for half in (_spread(candidates, (size + 1) // 2), _spread(candidates, size), candidates):
        for photo_id, subject in half:
            if photo_id in chosen:
                continue
            chosen[photo_id] = None
            same = others.get(subject or "", [])
            if not any(other in chosen for other in same if other != photo_id):
                chosen.update(dict.fromkeys([other for other in same if other != photo_id][:1]))
            if len(chosen) >= size:
                return list(chosen)[:size]
    return list(chosen)


def discard(connection: Connection, condition: ColumnElement[bool], *, now: datetime) -> list[str]:
    """Forget pilots; the names of their reports, which are remembered until they are deleted."""
    found = connection.execute(select(PilotRow.pilot_id, PilotRow.reports).where(condition)).all()
    ids, names = [row.pilot_id for row in found], sorted({name for row in found for name in row.reports.values()})
    _remember(connection, names, now=now)
    connection.execute(delete(PilotPhotoRow).where(PilotPhotoRow.pilot_id.in_(ids)))
    connection.execute(delete(PilotRow).where(PilotRow.pilot_id.in_(ids)))
    return names


def discard_with(connection: Connection, photo_ids: Collection[str], *, now: datetime) -> list[str]:
    """Forget the pilots that any of these photos is in, a worker's claim on them included."""
    with_them = select(PilotPhotoRow.pilot_id).where(PilotPhotoRow.photo_id.in_(photo_ids))
    return discard(connection, PilotRow.pilot_id.in_(with_them), now=now)


def _step(connection: Connection, pilot: Pilot, **values: Any) -> None:
    same = PilotRow.pilot_id == pilot.pilot_id, PilotRow.attempts == pilot.attempts, _IS_UNDER_WAY
    if connection.execute(update(PilotRow).where(*same).values(**values)).rowcount != 1:
        raise ClaimLostError(f"pilot {pilot.pilot_id} is no longer in this worker's hands")


def _remember(connection: Connection, names: Collection[str], *, now: datetime) -> None:
    """That these blobs are to be deleted."""
    if names:
        connection.execute(insert(DiscardedBlobRow), [{"name": name, "discarded_at": now} for name in names])


def _spread(items: Sequence[_Candidate], count: int) -> list[_Candidate]:
    """At most `count`, evenly spaced."""
    if count >= len(items):
        return list(items)
    return [items[place * len(items) // count] for place in range(count)]


def _published(project_id: str) -> Select[str, str | None]:
    """Published photos whose revision of the policy keeps a way back."""
    same = and_(PolicyRow.project_id == PhotoRow.project_id, PolicyRow.revision == PhotoRow.policy_revision)
    wanted = PhotoRow.project_id == project_id, PhotoRow.state == PhotoState.PUBLISHED, PolicyRow.recovery == "exact"
    return select(PhotoRow.photo_id, PhotoRow.subject_id).join(PolicyRow, same).where(*wanted)


def _candidates(connection: Connection, project_id: str) -> list[_Candidate]:
    """All of them, oldest first."""
    found = connection.execute(_published(project_id).order_by(PhotoRow.seq))
    return [(row.photo_id, row.subject_id) for row in found]


def _free(now: datetime) -> ColumnElement[bool]:
    """Under way, and in nobody's hands."""
    return and_(_IS_UNDER_WAY, or_(PilotRow.claimed_until.is_(None), PilotRow.claimed_until <= now))


def _new(pilot_id: str, project_id: str, sample: Sequence[str], *, now: datetime) -> Pilot:
    photos = tuple(PilotPhoto(photo_id, None) for photo_id in sample)
    nothing: dict[str, Any] = dict.fromkeys(
        ("reason", "claimed_until", "requested_at", "expires_at", "measuring_at", "ended_at")
    )
    return Pilot(
        pilot_id,
        project_id,
        PilotState.ASKED,
        photos,
        approved=0,
        measured=0,
        reports={},
        attempts=0,
        next_at=now,
        asked_at=now,
        **nothing,
    )


def _insert(connection: Connection, pilot: Pilot) -> None:
    row = {name: getattr(pilot, name) for name in Pilot.__slots__ if name not in ("photos", "reports")}
    connection.execute(insert(PilotRow).values(**row, reports=dict(pilot.reports), under_way=pilot.project_id))
    photos = [
        {"pilot_id": pilot.pilot_id, "place": place, "photo_id": photo.photo_id, "request_id": None}
        for place, photo in enumerate(pilot.photos)
    ]
    connection.execute(insert(PilotPhotoRow), photos)


def _pilot(connection: Connection, pilot_id: str) -> Pilot:
    row = connection.execute(_PILOTS.where(PilotRow.pilot_id == pilot_id)).one_or_none()
    if row is None:
        raise LedgerError(f"there is no pilot {pilot_id}")
    return _to_pilot(connection, row)


def _to_pilot(connection: Connection, row: Row[Any]) -> Pilot:
    query = select(PilotPhotoRow.photo_id, PilotPhotoRow.request_id).where(PilotPhotoRow.pilot_id == row.pilot_id)
    photos = tuple(PilotPhoto(*found) for found in connection.execute(query.order_by(PilotPhotoRow.place)))
    known = {name: value for name, value in row._mapping.items() if name != "under_way"}
    known["state"] = PilotState(row.state)
    return Pilot(**known, photos=photos)
