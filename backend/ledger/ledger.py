"""What was asked and what is done: the truth that Redis is not. The only place that knows the photo's states by SQL.

Every method is one transaction. All raise `LedgerUnavailableError` when the database is away and `LedgerError` for a
project or photo that does not exist. A step of a worker that no longer has the photo raises `ClaimLostError`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, get_args

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from backend.errors import ClaimLostError, LedgerError
from backend.ledger.database import open_engine, reading, upgrade, writing
from backend.ledger.records import (
    FaceNote,
    Origin,
    OutputFormat,
    Photo,
    PhotoState,
    Policy,
    Progress,
    Project,
    Pseudonym,
    Recovery,
    Strictness,
)
from backend.ledger.tables import DiscardedBlobRow, PhotoRow, PolicyRow, ProjectRow

_OVERDUE_AFTER = timedelta(seconds=30)  # longer than a healthy queue takes to hand a photo on
_RATE_WINDOW = timedelta(minutes=10)
_CHANGEABLE: Final = {field.name for field in fields(Policy)} - {"project_id", "revision", "created_at"}
_CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "recovery": get_args(Recovery),
    "pseudonym": get_args(Pseudonym),
    "strictness": get_args(Strictness),
    "output_format": get_args(OutputFormat),
}


def _new_id() -> str:
    return secrets.token_hex(16)


class Ledger:
    """The ledger on one database. Threads and processes may share the database; each method stands alone."""

    def __init__(self, engine: Engine, *, new_id: Callable[[], str] = _new_id) -> None:
        """`engine` is one of `database.open_engine`, its tables up to date."""
        self.engine = engine
        self._new_id = new_id

    @classmethod
    def open(cls, url: str) -> Ledger:
        """The ledger at `url`, migrated to the newest tables."""
        engine = open_engine(url)
        upgrade(engine)
        return cls(engine)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    # Projects and policies

    def add_project(
        self,
        title: str,
        labelstudio_id: int,
        *,
        now: datetime,
        on: bool = True,
        adopts: bool = False,
        recovery: Recovery = "exact",
        pseudonym: Pseudonym = "consistent",
        strictness: Strictness = "standard",
        retention_days: int | None = None,
        suggest_expressions: bool = False,
        output_format: OutputFormat = "png",
    ) -> Project:
        """Connect a Label Studio project. Raises `LedgerError` if it is connected already."""
        policy = Policy(
            project_id=self._new_id(),
            revision=1,
            recovery=recovery,
            pseudonym=pseudonym,
            strictness=strictness,
            retention_days=retention_days,
            suggest_expressions=suggest_expressions,
            output_format=output_format,
            created_at=now,
        )
        _check(policy)
        project = Project(policy.project_id, title, labelstudio_id, on, adopts, now, policy)
        try:
            with writing(self.engine) as connection:
                row = {name: value for name, value in asdict(project).items() if name != "policy"}
                connection.execute(insert(ProjectRow).values(**row, revision=policy.revision))
                connection.execute(insert(PolicyRow).values(**asdict(policy)))
        except IntegrityError:
            raise LedgerError(f"Label Studio project {labelstudio_id} is connected already") from None
        return project

    def project(self, project_id: str) -> Project:
        """The project with its current policy."""
        with reading(self.engine) as connection:
            return _project(connection, project_id)

    def projects(self) -> list[Project]:
        """All projects, oldest first."""
        with reading(self.engine) as connection:
            oldest_first = select(ProjectRow.__table__).order_by(ProjectRow.created_at, ProjectRow.project_id)
            return [_to_project(connection, row) for row in connection.execute(oldest_first).all()]

    def project_of_labelstudio(self, labelstudio_id: int) -> Project | None:
        """The project that a Label Studio project is connected to, if it is."""
        with reading(self.engine) as connection:
            mine = select(ProjectRow.__table__).where(ProjectRow.labelstudio_id == labelstudio_id)
            row = connection.execute(mine).one_or_none()
            return None if row is None else _to_project(connection, row)

    def policy(self, project_id: str, revision: int) -> Policy:
        """One revision of a project's policy, current or not."""
        with reading(self.engine) as connection:
            return _policy(connection, project_id, revision)

    def revise_policy(self, project_id: str, *, now: datetime, **changes: Any) -> Policy:
        """The next revision, with `changes` to the fields of `Policy`; no change, no revision.

        Photos handed in before keep the revision they were handed in under; failed ones take the new one when retried.
        """
        if unknown := changes.keys() - _CHANGEABLE:
            raise LedgerError(f"a policy has no {', '.join(sorted(unknown))}")
        with writing(self.engine) as connection:
            current = _project(connection, project_id).policy
            if replace(current, **changes) == current:
                return current
            policy = replace(current, **changes, revision=current.revision + 1, created_at=now)
            _check(policy)
            moved = connection.execute(
                update(ProjectRow)
                .where(ProjectRow.project_id == project_id, ProjectRow.revision == current.revision)
                .values(revision=policy.revision)
            )
            if moved.rowcount != 1:
                raise LedgerError("someone else revised this policy at the same time")
            connection.execute(insert(PolicyRow).values(**asdict(policy)))
        return policy

    def switch(self, project_id: str, *, on: bool, adopts: bool | None = None) -> Project:
        """Turn anonymization, and with `adopts` the taking over of Label Studio's own tasks, on or off.

        While it is off, photos stay where they are.
        """
        values = {"on": on} if adopts is None else {"on": on, "adopts": adopts}
        with writing(self.engine) as connection:
            connection.execute(update(ProjectRow).where(ProjectRow.project_id == project_id).values(**values))
            return _project(connection, project_id)

    def note_refusal(self, project_id: str, reason: str | None, *, now: datetime) -> None:
        """Label Studio will take nothing for this project, and why; None once it does again."""
        values = {"refusal": reason, "refused_at": None if reason is None else now}
        with writing(self.engine) as connection:
            connection.execute(update(ProjectRow).where(ProjectRow.project_id == project_id).values(**values))

    def begin_publishing(self, project_id: str, *, now: datetime, lease_s: float) -> str | None:
        """Become the project's only publisher for `lease_s`: the lease's token, None while another one is at it."""
        token = secrets.token_hex(16)
        with writing(self.engine) as connection:
            taken = connection.execute(
                update(ProjectRow)
                .where(
                    ProjectRow.project_id == project_id,
                    or_(ProjectRow.publishing_until.is_(None), ProjectRow.publishing_until <= now),
                )
                .values(publishing_until=now + timedelta(seconds=lease_s), publishing_token=token)
            )
            return token if taken.rowcount == 1 else None

    def keep_publishing(self, project_id: str, token: str, *, now: datetime, lease_s: float) -> None:
        """Hold the lease for another `lease_s` from now. Raises `ClaimLostError` once another publisher has it."""
        if not self._lease(project_id, token, publishing_until=now + timedelta(seconds=lease_s)):
            raise ClaimLostError(f"project {project_id} is published by another worker by now")

    def end_publishing(self, project_id: str, token: str) -> None:
        """Let the next publisher in, unless it is there already."""
        self._lease(project_id, token, publishing_until=None, publishing_token=None)

    def _lease(self, project_id: str, token: str, **values: Any) -> bool:
        mine = and_(ProjectRow.project_id == project_id, ProjectRow.publishing_token == token)
        with writing(self.engine) as connection:
            return connection.execute(update(ProjectRow).where(mine).values(**values)).rowcount == 1

    # Photos coming in

    def add_photo(
        self,
        project_id: str,
        *,
        origin: Origin,
        source_sha256: str,
        now: datetime,
        source_blob: str | None = None,
        labelstudio_task_id: int | None = None,
        source_address: str | None = None,
        subject_id: str | None = None,
        consent: str | None = None,
    ) -> tuple[Photo, bool]:
        """Hand in a photo: (the photo, whether there is work to do that was not there before).

        The same bytes of the same subject, or the same task of Label Studio, are the photo that is there already; then
        `source_blob` belongs to nobody and is the caller's to delete. A cancelled photo comes back to life instead.
        """
        if not (subject_id or "").isprintable() or not (consent or "").isprintable():
            raise LedgerError("the subject's id and the consent are single lines of text")
        request = _request(origin, source_sha256, subject_id, labelstudio_task_id)
        handed_in: dict[str, Any] = {
            "source_sha256": source_sha256,
            "source_blob": source_blob,
            "source_address": source_address,
            "consent": consent,
            "state": PhotoState.WAITING,
            "reason": None,
            "attempts": 0,
            "updated_at": now,
        }
        identity = {"project_id": project_id, "request": request, "origin": origin, "subject_id": subject_id}
        try:
            with writing(self.engine) as connection:
                handed_in["policy_revision"] = _project(connection, project_id).policy.revision
                there = _same(connection, project_id, request, labelstudio_task_id)
                if there is None:
                    photo_id = self._new_id()
                    row = handed_in | identity | {"labelstudio_task_id": labelstudio_task_id, "created_at": now}
                    connection.execute(insert(PhotoRow).values(**row, photo_id=photo_id, faces=[]))
                    return _photo(connection, photo_id), True
                revived = _move(connection, there.photo_id, {PhotoState.CANCELLED}, **handed_in)
                return _photo(connection, there.photo_id), revived
        except IntegrityError:  # another process handed it in at the same moment
            with reading(self.engine) as connection:
                there = _same(connection, project_id, request, labelstudio_task_id)
            if there is None:
                raise LedgerError("a photo was handed in twice at once and is gone") from None
            return there, False

    # Photos looked up

    def photo(self, photo_id: str) -> Photo:
        """The photo of this id."""
        with reading(self.engine) as connection:
            return _photo(connection, photo_id)

    def photos(
        self, project_id: str, *, state: PhotoState | None = None, after: str | None = None, limit: int = 100
    ) -> list[Photo]:
        """A page of a project's photos, oldest first: those behind the photo `after`, at most `limit`."""
        conditions: list[ColumnElement[bool]] = [PhotoRow.project_id == project_id]
        if state is not None:
            conditions.append(PhotoRow.state == state)
        if after is not None:
            conditions.append(PhotoRow.seq > select(PhotoRow.seq).where(PhotoRow.photo_id == after).scalar_subquery())
        return self._photos(*conditions, limit=limit)

    def failures(self, project_id: str, *, limit: int = 1000) -> list[Photo]:
        """The photos that a person has to look at, with reasons, oldest first."""
        return self.photos(project_id, state=PhotoState.FAILED, limit=limit)

    def photo_of_image(self, image_key: str) -> Photo | None:
        """The photo that Label Studio knows by `image_key`."""
        found = self._photos(PhotoRow.image_key == image_key, limit=1)
        return found[0] if found else None

    def photos_of_images(self, image_keys: Collection[str]) -> dict[str, Photo]:
        """By image key, those that are there."""
        found = self._photos(PhotoRow.image_key.in_(image_keys), limit=len(image_keys))
        return {photo.image_key: photo for photo in found if photo.image_key is not None}

    def photos_of_tasks(self, labelstudio_project_id: int, task_ids: Collection[int]) -> dict[int, Photo]:
        """By the id of the Label Studio task, those that are there."""
        found = self._photos(
            PhotoRow.labelstudio_task_id.in_(task_ids),
            PhotoRow.project_id.in_(
                select(ProjectRow.project_id).where(ProjectRow.labelstudio_id == labelstudio_project_id)
            ),
            limit=None,
        )
        return {photo.labelstudio_task_id: photo for photo in found if photo.labelstudio_task_id is not None}

    def ready_photos(self, project_id: str, limit: int = 50) -> list[Photo]:
        """Photos that are locked and stored and that Label Studio does not have yet, oldest first."""
        return self.photos(project_id, state=PhotoState.READY, limit=limit)

    def overdue(self, *, now: datetime, limit: int = 1000) -> list[Photo]:
        """Photos of projects that are on which should have moved on by now, oldest first.

        Waiting or ready for 30 s and more, or in the hands of a worker whose lease has lapsed.
        """
        stale = now - _OVERDUE_AFTER
        return self._photos(
            PhotoRow.project_id.in_(select(ProjectRow.project_id).where(ProjectRow.on)),
            or_(
                and_(PhotoRow.state.in_((PhotoState.WAITING, PhotoState.READY)), PhotoRow.updated_at <= stale),
                and_(PhotoRow.state == PhotoState.WORKING, PhotoRow.claimed_until <= now),
            ),
            limit=limit,
        )

    def _photos(self, *conditions: ColumnElement[bool], limit: int | None) -> list[Photo]:
        with reading(self.engine) as connection:
            rows = connection.execute(_PHOTOS.where(*conditions).order_by(PhotoRow.seq).limit(limit))
            return [_to_photo(row) for row in rows]

    # A worker's steps

    def claim(self, photo_id: str, *, revision: int, now: datetime, lease_s: float) -> Photo | None:
        """Take up a photo for `lease_s`; None when it is not to be had: somebody has it, it is done or cancelled, its
        revision is another one or its project is off."""
        free = or_(
            PhotoRow.state == PhotoState.WAITING,
            and_(PhotoRow.state == PhotoState.WORKING, PhotoRow.claimed_until <= now),
        )
        with writing(self.engine) as connection:
            taken = connection.execute(
                update(PhotoRow)
                .where(
                    PhotoRow.photo_id == photo_id,
                    PhotoRow.policy_revision == revision,
                    free,
                    PhotoRow.project_id.in_(select(ProjectRow.project_id).where(ProjectRow.on)),
                )
                .values(
                    state=PhotoState.WORKING,
                    attempts=PhotoRow.attempts + 1,
                    claimed_until=now + timedelta(seconds=lease_s),
                    updated_at=now,
                )
            )
            return _photo(connection, photo_id) if taken.rowcount == 1 else None

    def extend(self, photo_id: str, *, now: datetime, lease_s: float, attempt: int | None = None) -> None:
        """Keep a claim for another `lease_s` from now. `attempt` is the claim's `Photo.attempts`: with it, a claim that
        another worker has taken over since is noticed."""
        self._step(photo_id, attempt, claimed_until=now + timedelta(seconds=lease_s), updated_at=now)

    def ready(
        self,
        photo_id: str,
        *,
        image_key: str,
        image_sha256: str,
        image_format: OutputFormat,
        width_px: int,
        height_px: int,
        faces: Sequence[FaceNote],
        model_version: str,
        now: datetime,
        source_sha256: str | None = None,
        attempt: int | None = None,
    ) -> None:
        """Everything is locked and the image stored under its sha256. `source_sha256` corrects an adopted photo's."""
        values: dict[str, Any] = {} if source_sha256 is None else {"source_sha256": source_sha256}
        self._step(
            photo_id,
            attempt,
            state=PhotoState.READY,
            image_key=image_key,
            image_sha256=image_sha256,
            image_format=image_format,
            width_px=width_px,
            height_px=height_px,
            faces=[face.to_json() for face in faces],
            model_version=model_version,
            reason=None,
            claimed_until=None,
            ready_at=now,
            updated_at=now,
            **values,
        )

    def postpone(self, photo_id: str, *, reason: str, now: datetime, attempt: int | None = None) -> None:
        """Put a claimed photo back, to be tried again."""
        self._step(photo_id, attempt, state=PhotoState.WAITING, reason=reason, claimed_until=None, updated_at=now)

    def fail(self, photo_id: str, *, reason: str, now: datetime, attempt: int | None = None) -> None:
        """Give a claimed photo up until a person looks at it. Its sealed original stays, for another try."""
        self._step(photo_id, attempt, state=PhotoState.FAILED, reason=reason, claimed_until=None, updated_at=now)

    def _step(self, photo_id: str, attempt: int | None, **values: Any) -> None:
        with writing(self.engine) as connection:
            if not _move(connection, photo_id, {PhotoState.WORKING}, attempt=attempt, **values):
                _photo(connection, photo_id)
                raise ClaimLostError(f"photo {photo_id} is no longer in this worker's hands")

    def published(self, task_ids: Mapping[str, int], *, now: datetime) -> list[str]:
        """Label Studio has these photos: by photo id, the task. Returns the sealed originals that may now be deleted.

        Their names leave the photos and are kept in `discarded_blobs` until `forget_blobs`. Photos that are published
        already stay as they are.
        """
        with writing(self.engine) as connection:
            names = _discard_sources(connection, task_ids.keys(), {PhotoState.READY}, now=now)
            for photo_id, task_id in task_ids.items():
                _move(
                    connection,
                    photo_id,
                    {PhotoState.READY},
                    state=PhotoState.PUBLISHED,
                    labelstudio_task_id=task_id,
                    source_address=None,
                    reason=None,
                    updated_at=now,
                )
            return names

    def refuse_publishing(self, photo_ids: Collection[str], *, reason: str, now: datetime) -> None:
        """Label Studio will not have these ready photos; a person has to look at them."""
        with writing(self.engine) as connection:
            for photo_id in photo_ids:
                _move(connection, photo_id, {PhotoState.READY}, state=PhotoState.FAILED, reason=reason, updated_at=now)

    # What a person decides

    def retry(self, photo_id: str, *, now: datetime) -> Photo:
        """Try a failed photo again, under the project's current policy. Raises `LedgerError` if it has not failed."""
        with writing(self.engine) as connection:
            photo = _photo(connection, photo_id)
            moved = _move(
                connection,
                photo_id,
                {PhotoState.FAILED},
                state=PhotoState.WAITING,
                policy_revision=_project(connection, photo.project_id).policy.revision,
                attempts=0,
                reason=None,
                updated_at=now,
            )
            if not moved:
                raise LedgerError(f"photo {photo_id} has not failed")
            return _photo(connection, photo_id)

    def cancel(self, project_id: str, *, now: datetime) -> int:
        """Cancel what no worker has taken up yet and what has failed; how many photos that were.

        Their sealed originals are discarded.
        """
        states = {PhotoState.WAITING, PhotoState.FAILED}
        with writing(self.engine) as connection:
            _project(connection, project_id)
            condition = and_(PhotoRow.project_id == project_id, PhotoRow.state.in_(states))
            photo_ids = list(connection.scalars(select(PhotoRow.photo_id).where(condition).with_for_update()))
            _discard_sources(connection, photo_ids, states, now=now)
            values = {"state": PhotoState.CANCELLED, "source_address": None, "updated_at": now}
            return connection.execute(update(PhotoRow).where(condition).values(**values)).rowcount

    def forget_source(self, photo_id: str, *, now: datetime) -> str | None:
        """Discard a photo's sealed original and its former address; the blob's name, for the caller to delete."""
        with writing(self.engine) as connection:
            photo = _photo(connection, photo_id)
            names = _discard_sources(connection, [photo_id], set(PhotoState), now=now)
            connection.execute(update(PhotoRow).where(PhotoRow.photo_id == photo_id).values(source_address=None))
            return names[0] if names else photo.source_blob

    def discarded_blobs(self, *, limit: int = 1000) -> list[str]:
        """Names of sealed originals that nothing needs any more and that may still lie in storage."""
        with reading(self.engine) as connection:
            oldest = select(DiscardedBlobRow.name).order_by(DiscardedBlobRow.discarded_at).limit(limit)
            return list(connection.scalars(oldest))

    def forget_blobs(self, names: Collection[str]) -> None:
        """These are deleted from storage."""
        with writing(self.engine) as connection:
            connection.execute(delete(DiscardedBlobRow).where(DiscardedBlobRow.name.in_(names)))

    # How it goes

    def progress(self, project_id: str, *, now: datetime) -> Progress:
        """Counts per state; the rate is that of the last ten minutes and unknown before two photos are done."""
        with reading(self.engine) as connection:
            _project(connection, project_id)
            mine = PhotoRow.project_id == project_id
            counted = connection.execute(select(PhotoRow.state, func.count()).where(mine).group_by(PhotoRow.state))
            counts = {PhotoState(state): number for state, number in counted}
            recent = and_(mine, PhotoRow.ready_at > now - _RATE_WINDOW)
            done, first_at = connection.execute(select(func.count(), func.min(PhotoRow.ready_at)).where(recent)).one()
        seconds = 0.0 if first_at is None else (now - first_at).total_seconds()
        rate = (done - 1) * 60.0 / seconds if done >= 2 and seconds > 0 else None
        left = counts.get(PhotoState.WAITING, 0) + counts.get(PhotoState.WORKING, 0)
        return Progress(
            **{state.value: counts.get(state, 0) for state in PhotoState},
            rate_per_minute=rate,
            seconds_left=0.0 if left == 0 else (None if rate is None else left * 60.0 / rate),
        )


_PHOTOS = select(PhotoRow.__table__)


def _check(policy: Policy) -> None:
    for name, choices in _CHOICES.items():
        if getattr(policy, name) not in choices:
            raise LedgerError(f"{name} must be one of {', '.join(choices)}")
    if policy.retention_days is not None and policy.retention_days < 1:
        raise LedgerError("retention_days must be 1 or more, or nothing at all")


def _request(origin: Origin, source_sha256: str, subject_id: str | None, labelstudio_task_id: int | None) -> str:
    """What makes two hand-ins one photo."""
    if origin == "adoption":
        if labelstudio_task_id is None:
            raise LedgerError("an adopted photo comes with its Label Studio task")
        return f"task:{labelstudio_task_id}"
    subject = "" if subject_id is None else hashlib.sha256(subject_id.encode()).hexdigest()
    return f"intake:{source_sha256}:{subject}"


def _same(connection: Connection, project_id: str, request: str, labelstudio_task_id: int | None) -> Photo | None:
    same = PhotoRow.request == request
    if labelstudio_task_id is not None:
        same = or_(same, PhotoRow.labelstudio_task_id == labelstudio_task_id)
    row = connection.execute(_PHOTOS.where(PhotoRow.project_id == project_id, same).order_by(PhotoRow.seq)).first()
    return None if row is None else _to_photo(row)


def _move(
    connection: Connection, photo_id: str, states: set[PhotoState], *, attempt: int | None = None, **values: Any
) -> bool:
    """Change a photo only if it is in one of `states`, and in claim number `attempt`; whether it was."""
    conditions: list[ColumnElement[bool]] = [PhotoRow.photo_id == photo_id, PhotoRow.state.in_(states)]
    if attempt is not None:
        conditions.append(PhotoRow.attempts == attempt)
    return connection.execute(update(PhotoRow).where(*conditions).values(**values)).rowcount == 1


def _discard_sources(
    connection: Connection, photo_ids: Collection[str], states: set[PhotoState], *, now: datetime
) -> list[str]:
    """Move the names of sealed originals from these photos to the discarded ones; those names."""
    condition = and_(PhotoRow.photo_id.in_(photo_ids), PhotoRow.state.in_(states), PhotoRow.source_blob.is_not(None))
    names = [name for name in connection.scalars(select(PhotoRow.source_blob).where(condition)) if name is not None]
    if names:
        rows = [{"name": name, "discarded_at": now} for name in names]
        connection.execute(insert(DiscardedBlobRow), rows)
        connection.execute(update(PhotoRow).where(condition).values(source_blob=None))
    return names


def _project(connection: Connection, project_id: str) -> Project:
    rows = connection.execute(select(ProjectRow.__table__).where(ProjectRow.project_id == project_id))
    if (row := rows.one_or_none()) is None:
        raise LedgerError(f"there is no project {project_id}")
    return _to_project(connection, row)


def _to_project(connection: Connection, row: Row[Any]) -> Project:
    return Project(
        project_id=row.project_id,
        title=row.title,
        labelstudio_id=row.labelstudio_id,
        on=row.on,
        adopts=row.adopts,
        created_at=row.created_at,
        policy=_policy(connection, row.project_id, row.revision),
        refusal=row.refusal,
        refused_at=row.refused_at,
    )


def _policy(connection: Connection, project_id: str, revision: int) -> Policy:
    of_revision = and_(PolicyRow.project_id == project_id, PolicyRow.revision == revision)
    row = connection.execute(select(PolicyRow.__table__).where(of_revision)).one_or_none()
    if row is None:
        raise LedgerError(f"project {project_id} has no policy revision {revision}")
    return Policy(**row._mapping)


def _photo(connection: Connection, photo_id: str) -> Photo:
    row = connection.execute(_PHOTOS.where(PhotoRow.photo_id == photo_id)).one_or_none()
    if row is None:
        raise LedgerError(f"there is no photo {photo_id}")
    return _to_photo(row)


def _to_photo(row: Row[Any]) -> Photo:
    known = {field.name: getattr(row, field.name) for field in fields(Photo)}
    known["state"] = PhotoState(row.state)
    known["faces"] = tuple(FaceNote.from_json(face) for face in row.faces)
    return Photo(**known)
