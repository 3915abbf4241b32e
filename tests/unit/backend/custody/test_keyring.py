"""Subject keys: one per subject for everybody, private halves under the master key, nothing once shredded."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest
from sealed_photos import NOW, PROJECT, SUBJECT, record
from sqlalchemy import Engine, select

from backend.custody import database, master, seal
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
    made = keyring.ensure(SUBJECT, now=NOW)
    other = keyring.ensure(SubjectRef(PROJECT, "y"), now=NOW)
    assert keyring.shred(SUBJECT, now=NOW)
    assert not keyring.shred(SUBJECT, now=NOW + timedelta(days=1))
    for ask in (keyring.get, lambda ref: keyring.ensure(ref, now=NOW)):
        with pytest.raises(KeyShreddedError) as caught:
            ask(SUBJECT)
        assert SUBJECT.subject_id not in str(caught.value)
    assert keyring.get(other.ref) == other
    with database.reading(keys_engine) as connection:
        row = connection.execute(select(subject_keys).where(subject_keys.c.subject_id == SUBJECT.subject_id)).one()
    assert (row.public_key, row.sealed_private_key, row.identity_seed) == (made.public_key, None, None)
    assert row.shredded_at == NOW


def test_a_subject_that_is_shredded_before_it_has_a_key_never_gets_one(keyring: Keyring) -> None:
    assert not keyring.shred(SUBJECT, now=NOW)
    with pytest.raises(KeyShreddedError):
        keyring.ensure(SUBJECT, now=NOW)


def test_nor_do_those_whom_a_shredded_subject_covers(keyring: Keyring) -> None:
    photo_id = "0f" * 16
    one, other, everybody = (SubjectRef(PROJECT, f"{photo_id}-{who}") for who in ("1", "remainder", "*"))
    claimed, elsewhere = SubjectRef(PROJECT, "Ada"), SubjectRef("c" * 32, one.subject_id)
    kept = {keyring.ensure(ref, now=NOW) for ref in (one, claimed, elsewhere)}
    assert not keyring.shred(everybody, now=NOW)
    for ref in (one, other, everybody):
        with pytest.raises(KeyShreddedError):
            keyring.ensure(ref, now=NOW)
    assert {keyring.get(claimed), keyring.get(elsewhere)} < kept
    there = keyring.left(one)
    assert there in kept
    assert keyring.shred(one, now=NOW), "the key that was there is destroyed on its own"
    assert keyring.left(one) is keyring.left(other) is None


def test_whoever_is_shredded_while_their_key_is_made_gets_none(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring.shred(SUBJECT, now=NOW)
    monkeypatch.setattr(keyring, "get", lambda _: None)  # as it was a moment ago
    with pytest.raises(KeyShreddedError):
        keyring.ensure(SUBJECT, now=NOW)


def test_no_byte_of_a_shredded_key_stays_in_a_file(tmp_path: Path, master_key: MasterKey) -> None:
    keyring = Keyring(database.open_keys(f"sqlite:///{tmp_path}/keys.sqlite3"), lambda: master_key.public_key)
    keys = [keyring.ensure(SubjectRef(PROJECT, f"person {number}"), now=NOW) for number in range(20)]

    def found(secret: bytes) -> bool:
        return any(secret in path.read_bytes() for path in tmp_path.glob("keys.sqlite3*"))

    assert found(keys[0].identity_seed)
    for key in keys[::2]:
        assert keyring.shred(key.ref, now=NOW)
    for number, key in enumerate(keys):
        for secret in (key.identity_seed, key.sealed_private_key[-200:]):
            assert found(secret) == bool(number % 2)
    keyring.close()


def test_keys_are_listed_by_the_master_key_they_are_sealed_to(keys_engine: Engine, keyring: Keyring) -> None:
    """In an order of its own, whatever a database thinks of letters, and in parts."""
    refs = [SubjectRef(project, name) for project in (PROJECT, "0" * 32) for name in ("b", "B", "a", "é", "10", "9")]
    ours = {keyring.ensure(ref, now=NOW) for ref in refs}
    other = seal.generate_key_pair()
    theirs = Keyring(keys_engine, lambda: other.public_key).ensure(SUBJECT, now=NOW)
    keyring.shred(SubjectRef(PROJECT, "gone"), now=NOW)
    mine = seal.key_id(keyring.master_public_key())
    assert set(keyring.subjects(sealed_to=mine)) == ours
    assert keyring.subjects(sealed_to=seal.key_id(other.public_key)) == (theirs,)
    assert keyring.subjects(sealed_to=bytes(8)) == ()
    listed: list[SubjectKey] = []
    while part := keyring.subjects(sealed_to=mine, after=listed[-1].ref if listed else None, limit=5):
        listed.extend(part)
    assert len(listed) == len(set(listed)) == len(ours)
    assert keyring.census() == {mine: len(ours), seal.key_id(other.public_key): 1, None: 1}


def test_a_key_is_sealed_anew_unless_it_changed_meanwhile(keyring: Keyring) -> None:
    made = keyring.ensure(SUBJECT, now=NOW)
    assert not keyring.reseal(SUBJECT, old=b"other", new=b"new")
    assert not keyring.reseal(SubjectRef(PROJECT, "y"), old=made.sealed_private_key, new=b"new")
    assert keyring.get(SUBJECT) == made
    assert keyring.reseal(SUBJECT, old=made.sealed_private_key, new=b"new")
    assert keyring.get(SUBJECT) == dataclasses.replace(made, sealed_private_key=b"new")
    keyring.shred(SUBJECT, now=NOW)
    assert not keyring.reseal(SUBJECT, old=b"new", new=made.sealed_private_key)


def test_no_key_is_made_under_a_retired_master_key(keys_engine: Engine, keyring: Keyring) -> None:
    """As by a worker whose public file was not exchanged."""
    made, old = keyring.ensure(SUBJECT, now=NOW), keyring.master_public_key()
    for _ in range(2):
        keyring.retire(old, now=NOW)
    late = SubjectRef(PROJECT, "late")
    with pytest.raises(CustodyUnavailableError, match="not here yet") as caught:
        keyring.ensure(late, now=NOW)
    assert caught.value.retryable
    assert keyring.ensure(SUBJECT, now=NOW) == made
    other = seal.generate_key_pair()
    assert Keyring(keys_engine, lambda: other.public_key).ensure(late, now=NOW)


def test_the_master_key_is_asked_for_every_new_key(keys_engine: Engine) -> None:
    keys = [seal.generate_key_pair().public_key for _ in range(2)]
    given = iter(keys)
    keyring = Keyring(keys_engine, lambda: next(given))
    for name in ("x", "x", "y"):
        keyring.ensure(SubjectRef(PROJECT, name), now=NOW)
    assert keyring.census() == {seal.key_id(key): 1 for key in keys}


def test_keys_that_are_made_while_a_master_key_is_retired_are_seen_by_whoever_retired_it(
    database_url: str, keyring: Keyring
) -> None:
    """Either a key is there when `retire` returns, or it is refused."""
    old = keyring.master_public_key()
    engines = [database.open_keys(database_url) for _ in range(4)]
    made: list[SubjectRef] = []

    def ensure(engine: Engine) -> None:
        workers = Keyring(engine, lambda: old)
        for number in count():
            try:
                made.append(workers.ensure(SubjectRef(PROJECT, f"{id(engine)} {number}"), now=NOW).ref)
            except CustodyUnavailableError as error:
                if "not here yet" in str(error):
                    return

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(ensure, engine) for engine in engines]
        while len(made) < 8:
            time.sleep(0.005)
        while True:
            try:
                keyring.retire(old, now=NOW)
                break
            except CustodyUnavailableError:  # the others are too busy
                continue
        there = {key.ref for key in keyring.subjects(sealed_to=seal.key_id(old), limit=10_000)}
        for worker in workers:
            worker.result()
    for engine in engines:
        engine.dispose()
    assert there == set(made)


def test_without_a_master_key_no_subject_key_is_made(keys_engine: Engine) -> None:
    keyring = Keyring(keys_engine, lambda: bytes(10))
    with pytest.raises(CustodyError, match="public key"):
        keyring.ensure(SUBJECT, now=NOW)
    assert keyring.get(SUBJECT) is None


def test_a_keyring_that_is_locked_can_be_tried_again(keys_engine: Engine, keyring: Keyring) -> None:
    with database.writing(keys_engine) as connection:
        fresh = keyring._fresh(SUBJECT, keyring.master_public_key(), now=NOW)
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
