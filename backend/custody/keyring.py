"""Subjects' keys and seeds. Whoever loses one loses that subject's originals and nobody else's."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, Engine, select

from backend.custody import database, seal
from backend.custody.records import SEED_BYTES, SubjectKey, SubjectRef
from backend.custody.tables import subject_keys
from backend.errors import CustodyError, KeyShreddedError


class Keyring:
    """The database of subject keys (see `database.open_keys`); `master_public_key` has 1216 bytes.

    It makes and gives out what locks. Private keys leave it sealed to the master key, as they lie there.
    `random_bytes` makes identity seeds.
    """

    def __init__(
        self, engine: Engine, master_public_key: bytes, *, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._engine = engine
        self._master_public_key = master_public_key
        self._random_bytes = random_bytes

    def ensure(self, ref: SubjectRef, *, now: datetime) -> SubjectKey:
        """The subject's key, made when there is none; the same for everybody who asks at once.

        Raises `KeyShreddedError`, `CustodyUnavailableError`, and `CustodyError` when the master public key is none.
        """
        if (there := self.get(ref)) is not None:
            return there
        fresh = self._fresh(ref, now=now)
        with database.writing(self._engine) as connection:
            if database.insert_new(connection, subject_keys, _values(fresh)):
                return fresh
            winner = _select(connection, ref)
        if winner is None:
            raise CustodyError("a subject's key is neither there nor can it be made")
        return winner

    def get(self, ref: SubjectRef) -> SubjectKey | None:
        """The subject's key, None when none was made. Raises `KeyShreddedError`, `CustodyUnavailableError`."""
        with database.reading(self._engine) as connection:
            return _select(connection, ref)

    def _fresh(self, ref: SubjectRef, *, now: datetime) -> SubjectKey:
        pair = seal.generate_key_pair()
        sealed = seal.seal(self._master_public_key, pair.private_key, context=seal.subject_key_context(ref))
        return SubjectKey(ref, pair.public_key, sealed, self._random_bytes(SEED_BYTES), now)


def _select(connection: Connection, ref: SubjectRef) -> SubjectKey | None:
    columns = subject_keys.c
    query = select(subject_keys).where(columns.project_id == ref.project_id, columns.subject_id == ref.subject_id)
    row = connection.execute(query).first()
    if row is None:
        return None
    if row.shredded_at is not None:
        raise KeyShreddedError("the subject's key was destroyed")
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
