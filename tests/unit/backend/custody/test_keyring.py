"""Subject keys: one per subject for everybody, private halves under the master key, nothing once shredded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sealed_photos import NOW, PROJECT, SUBJECT, record
from sqlalchemy import Engine, update

from backend.custody import database, master
from backend.custody.keyring import Keyring
from backend.custody.records import SubjectKey, SubjectRef
from backend.custody.tables import subject_keys
from backend.custody.unseal import MasterKey
from backend.errors import CustodyError, CustodyUnavailableError, KeyShreddedError


@pytest.fixture
def master_key(tmp_path: Path) -> MasterKey:
    master.create_master_key(tmp_path / "master.key", tmp_path / "master.pub")
    return MasterKey(tmp_path / "master.key")


@pytest.fixture
def keyring(keys_engine: Engine, master_key: MasterKey) -> Keyring:
    return Keyring(keys_engine, lambda: master_key.public_key)


def test_a_subject_has_no_key_until_it_is_needed(keyring: Keyring) -> None:
    assert keyring.get(SUBJECT) is None
    made = keyring.ensure(SUBJECT, now=NOW)
    assert keyring.get(SUBJECT) == made
    assert (made.ref, made.created_at, made.shredded_at) == (SUBJECT, NOW, None)
    assert len(made.identity_seed) == 32


def test_a_subject_keeps_its_key(keyring: Keyring) -> None:
    made = keyring.ensure(SUBJECT, now=NOW)
    assert keyring.ensure(SUBJECT, now=NOW + timedelta(days=1)) == made


def test_subjects_and_projects_have_keys_and_seeds_of_their_own(keyring: Keyring) -> None:
    refs = [
        SubjectRef(project, subject) for project in (PROJECT, "c" * 32) for subject in ("x", "X", "x ", "é", "e\u0301")
    ]
    keys = [keyring.ensure(ref, now=NOW) for ref in refs]
    assert [key.ref for key in keys] == refs
    assert len({key.public_key for key in keys}) == len({key.identity_seed for key in keys}) == len(refs)


def test_the_private_half_opens_with_the_master_key_alone(keyring: Keyring, master_key: MasterKey) -> None:
    made = keyring.ensure(SUBJECT, now=NOW)
    assert master_key.subject_key(made).public_key == made.public_key
    assert master_key.unseal(record(made, b"pixels"), made) == b"pixels"


def test_the_seed_comes_from_the_given_randomness(keys_engine: Engine, master_key: MasterKey) -> None:
    numbers = iter(range(9))

    def random_bytes(count: int) -> bytes:
        return bytes([next(numbers)] * count)

    keyring = Keyring(keys_engine, lambda: master_key.public_key, random_bytes=random_bytes)
    assert keyring.ensure(SUBJECT, now=NOW).identity_seed == bytes(32)
    assert keyring.ensure(SubjectRef(PROJECT, "y"), now=NOW).identity_seed == bytes([1] * 32)


def test_everybody_who_asks_at_once_gets_the_same_key(database_url: str, master_key: MasterKey) -> None:
    engines = [database.open_keys(database_url) for _ in range(6)]

    def ensure(engine: Engine) -> SubjectKey:
        return Keyring(engine, lambda: master_key.public_key).ensure(SUBJECT, now=NOW)

    with ThreadPoolExecutor(6) as pool:
        keys = set(pool.map(ensure, engines))
    for engine in engines:
        engine.dispose()
    assert len(keys) == 1
    assert master_key.subject_key(keys.pop()).public_key


def test_whoever_loses_the_race_takes_the_winner_s_key(keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    made = keyring.ensure(SUBJECT, now=NOW)
    answers: Iterator[SubjectKey | None] = iter([None])
    monkeypatch.setattr(keyring, "get", lambda _: next(answers))
    assert keyring.ensure(SUBJECT, now=NOW) == made


def test_a_shredded_key_is_gone_and_not_made_again(keys_engine: Engine, keyring: Keyring) -> None:
    keyring.ensure(SUBJECT, now=NOW)
    other = keyring.ensure(SubjectRef(PROJECT, "y"), now=NOW)
    shredded = update(subject_keys).values(sealed_private_key=None, identity_seed=None, shredded_at=NOW)
    with database.writing(keys_engine) as connection:
        connection.execute(shredded.where(subject_keys.c.subject_id == SUBJECT.subject_id))
    for ask in (keyring.get, lambda ref: keyring.ensure(ref, now=NOW)):
        with pytest.raises(KeyShreddedError) as caught:
            ask(SUBJECT)
        assert SUBJECT.subject_id not in str(caught.value)
    assert keyring.get(other.ref) == other


def test_without_a_master_key_no_subject_key_is_made(keys_engine: Engine) -> None:
    keyring = Keyring(keys_engine, lambda: bytes(10))
    with pytest.raises(CustodyError, match="public key"):
        keyring.ensure(SUBJECT, now=NOW)
    assert keyring.get(SUBJECT) is None


def test_a_keyring_that_is_locked_can_be_tried_again(keys_engine: Engine, keyring: Keyring) -> None:
    with database.writing(keys_engine) as connection:
        fresh = keyring._fresh(SUBJECT, keyring._master_public_key(), now=NOW)
        connection.execute(subject_keys.insert().values(_row(fresh)))
        with pytest.raises(CustodyUnavailableError) as caught:
            keyring.ensure(SUBJECT, now=NOW)
    assert caught.value.retryable
    assert keyring.ensure(SUBJECT, now=NOW) == fresh


def _row(key: SubjectKey) -> dict[str, object]:
    return {
        "project_id": key.ref.project_id,
        "subject_id": key.ref.subject_id,
        "public_key": key.public_key,
        "sealed_private_key": key.sealed_private_key,
        "identity_seed": key.identity_seed,
        "created_at": key.created_at,
    }
