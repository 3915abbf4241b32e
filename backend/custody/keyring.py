"""Subjects' keys and seeds. Whoever loses one loses that subject's originals and nobody else's."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, select, tuple_

from backend.custody import database, seal
from backend.custody.records import SEED_BYTES, SubjectKey, SubjectRef
from backend.custody.tables import retired_master_keys, subject_keys
from backend.errors import CustodyUnavailableError, KeyShreddedError

_LOCK = 0x6732_6D61_7374  # any number that is always the same
_BATCH = 200


class Keyring:
    """The database of subject keys (see `database.open_keys`).

    It makes and gives out what locks. Private keys leave it sealed to the master key, as they lie there.
    `master_public_key` gives 1216 bytes, and is asked for every new key: after a rotation they are others.
    `random_bytes` makes identity seeds.
    """

    def __init__(
        self,
        engine: Engine,
        master_public_key: Callable[[], bytes],
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._engine = engine
        self.master_public_key = master_public_key
        self._random_bytes = random_bytes

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def ensure(self, ref: SubjectRef, *, now: datetime) -> SubjectKey:
        """The subject's key, made when there is none; the same for everybody who asks at once.

        Raises `KeyShreddedError`, `CustodyUnavailableError` (also when all that is known here is a master key that has
        been retired), `CustodyError` when the master public key is none, and what reading it raises.
        """
        if (there := self.get(ref)) is not None:
            return there
        master_public_key = self.master_public_key()
        fresh = self._fresh(ref, master_public_key, now=now)
        with database.writing(self._engine) as connection:
            database.lock(connection, _LOCK)  # master keys are retired and subjects shredded before or after this
            _refuse_retired(connection, master_public_key)
            if (winner := _select(connection, ref)) is not None:
                return winner
            connection.execute(subject_keys.insert().values(_values(fresh)))
        return fresh

    def get(self, ref: SubjectRef) -> SubjectKey | None:
        """The subject's key, None when none was made. Raises `KeyShreddedError`, `CustodyUnavailableError`."""
        with database.reading(self._engine) as connection:
            return _select(connection, ref)

    def left(self, ref: SubjectRef) -> SubjectKey | None:
        """What is left to be destroyed of a subject's key, None when nothing is: also of one whom somebody else's
        withdrawal covers. Raises `CustodyUnavailableError`."""
        with database.reading(self._engine) as connection:
            row = connection.execute(select(subject_keys).where(_is(ref))).first()
        return None if row is None or row.shredded_at is not None else _key(row)

    def shred(self, ref: SubjectRef, *, now: datetime) -> bool:
        """Destroy the subject's private key and seed for ever; whether they were there until now.

        A subject without a key gets an entry that says so, and never a key; nor do those whom it covers (see
        `SubjectRef.covering`). Raises `CustodyUnavailableError`.
        """
        gone = {"sealed_private_key": None, "identity_seed": None, "shredded_at": now}
        whole = subject_keys.update().where(_is(ref), subject_keys.c.shredded_at.is_(None))
        with database.writing(self._engine) as connection:
            database.lock(connection, _LOCK)
            tombstone = _values(SubjectKey(ref, b"", b"", b"", now)) | gone
            database.insert_new(connection, subject_keys, tombstone)
            shredded = connection.execute(whole.values(gone)).rowcount == 1
        self.forget_deleted()
        return shredded

    def subjects(
        self, *, sealed_to: bytes, after: SubjectRef | None = None, limit: int = _BATCH
    ) -> tuple[SubjectKey, ...]:
        """The keys, at most `limit`, whose private halves are sealed to the master key of that id (`seal.key_id`, 8
        bytes): in a fixed order, from the one behind `after`. Raises `CustodyUnavailableError`."""
        columns = subject_keys.c
        query = select(subject_keys).where(_sealed_to() == sealed_to)
        if after is not None:
            query = query.where(tuple_(columns.project_id, columns.subject_id) > (after.project_id, after.subject_id))
        with database.reading(self._engine) as connection:
            rows = connection.execute(query.order_by(columns.project_id, columns.subject_id).limit(limit))
            return tuple(_key(row) for row in rows)

    def reseal(self, ref: SubjectRef, *, old: bytes, new: bytes) -> bool:
        """Put `new` where the subject's sealed private key is `old`; whether it was.

        Raises `CustodyUnavailableError`.
        """
        where = subject_keys.update().where(_is(ref), subject_keys.c.sealed_private_key == old)
        with database.writing(self._engine) as connection:
            return connection.execute(where.values(sealed_private_key=new)).rowcount == 1

    def census(self) -> Mapping[bytes | None, int]:
        """How many subjects have a private key that is sealed to the master key of which id; None: shredded ones.

        Raises `CustodyUnavailableError`.
        """
        query = select(_sealed_to().label("key_id"), func.count()).group_by("key_id")
        with database.reading(self._engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def retire(self, master_public_key: bytes, *, now: datetime) -> None:
        """Make no subject key under this master key any more, whichever process tries. Raises
        `CustodyUnavailableError`."""
        values = {"key_id": seal.key_id(master_public_key).hex(), "retired_at": now}
        with database.writing(self._engine) as connection:
            database.lock(connection, _LOCK)
            database.insert_new(connection, retired_master_keys, values)

    def shredded(self) -> Iterator[SubjectRef]:
        """Everybody whose key was destroyed, in a fixed order. Raises `CustodyUnavailableError`."""
        after: SubjectRef | None = None
        while batch := self._shredded(after):
            yield from batch
            after = batch[-1]

    def forget_deleted(self) -> bool:
        """Let no destroyed key stay beside the database (see `database.forget_deleted`)."""
        return database.forget_deleted(self._engine)

    def _shredded(self, after: SubjectRef | None) -> tuple[SubjectRef, ...]:
        columns = subject_keys.c
        query = select(columns.project_id, columns.subject_id).where(columns.shredded_at.is_not(None))
        if after is not None:
            query = query.where(tuple_(columns.project_id, columns.subject_id) > (after.project_id, after.subject_id))
        with database.reading(self._engine) as connection:
            rows = connection.execute(query.order_by(columns.project_id, columns.subject_id).limit(_BATCH))
            return tuple(SubjectRef(row.project_id, row.subject_id) for row in rows)

    def _fresh(self, ref: SubjectRef, master_public_key: bytes, *, now: datetime) -> SubjectKey:
        pair = seal.generate_key_pair()
        sealed = seal.seal(master_public_key, pair.private_key, context=seal.subject_key_context(ref))
        return SubjectKey(ref, pair.public_key, sealed, self._random_bytes(SEED_BYTES), now)


def _refuse_retired(connection: Connection, master_public_key: bytes) -> None:
    columns = retired_master_keys.c
    query = select(columns.key_id).where(columns.key_id == seal.key_id(master_public_key).hex())
    if connection.execute(query).first() is not None:
        raise CustodyUnavailableError("the master key was changed, and the new public file is not here yet")


def _is(ref: SubjectRef) -> ColumnElement[bool]:
    columns = subject_keys.c
    return (columns.project_id == ref.project_id) & (columns.subject_id == ref.subject_id)


def _sealed_to() -> ColumnElement[bytes]:
    """The id of the key that opens a sealed private key, as it lies open in its header."""
    sealed = subject_keys.c.sealed_private_key
    return func.substr(sealed, seal.ID_AT + 1, seal.KEY_ID_BYTES, type_=sealed.type)


def _select(connection: Connection, ref: SubjectRef) -> SubjectKey | None:
    columns, covering = subject_keys.c, [one.subject_id for one in ref.covering]
    found = select(subject_keys).where(columns.project_id == ref.project_id, columns.subject_id.in_(covering))
    rows = connection.execute(found).all()
    if any(row.shredded_at is not None for row in rows):
        raise KeyShreddedError("the subject's key was destroyed")
    return next((_key(row) for row in rows if row.subject_id == ref.subject_id), None)


def _key(row: Row[tuple[object, ...]]) -> SubjectKey:
    ref = SubjectRef(row.project_id, row.subject_id)
    return SubjectKey(ref, row.public_key, row.sealed_private_key, row.identity_seed, row.created_at)


def _values(key: SubjectKey) -> dict[str, object]:
    return {
        "project_id": key.ref.project_id,
        "subject_id": key.ref.subject_id,
        "public_key": key.public_key,
        "sealed_private_key": key.sealed_private_key,
        "identity_seed": key.identity_seed,
        "created_at": key.created_at,
    }
