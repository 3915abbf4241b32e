"""Changing the master key: whatever dies when, everything opens, nothing is lost, and the old key goes at last."""

from __future__ import annotations

import dataclasses
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from threading import Event

import mortal_rotation
import pytest
import transit_server
from mortal_rotation import Orders
from sealed_photos import NOW, PHOTO, PROJECT, record
from sqlalchemy import Engine, text

from backend.custody import audit, database, key_files, master, seal, unseal
from backend.custody.audit import AuditLog
from backend.custody.keyring import Keyring
from backend.custody.providers import shares
from backend.custody.providers.provider import KeyProvider
from backend.custody.providers.shares import SharesProvider
from backend.custody.providers.vault import VaultProvider
from backend.custody.records import SealedRecord, SubjectRef
from backend.custody.rotation import FINISHED, STARTED, Rotation, RotationReport
from backend.custody.unseal import MasterKey
from backend.custody.vault import Vault
from backend.errors import AuditError, CustodyUnavailableError, KeyShreddedError, MasterKeyError, SealBrokenError


class House:
    """A master key, subjects with a record each, and both databases."""

    def __init__(self, folder: Path, keys: Engine, vault: Engine) -> None:
        self.folder, self.keys, self.vault = folder, keys, vault
        self.files = mortal_rotation.files(folder)
        master.create_master_key(self.files.private, self.files.public)
        self.keyring = Keyring(keys, partial(master.read_public, self.files.public))
        self.log, self.records = AuditLog(vault), list[SealedRecord]()
        self._index = count()

    def add(self, *names: str) -> None:
        """Subjects, as a worker adds them."""
        for name in names:
            key = self.keyring.ensure(SubjectRef(PROJECT, name), now=NOW)
            made = record(key, name.encode(), photo_id=PHOTO, face_index=next(self._index))
            Vault(self.vault).store([made], [], now=NOW)
            self.records.append(made)

    def rotate(self, *, anew: bool = False, checkpoint: Callable[[str], None] = lambda _: None) -> RotationReport:
        made = Rotation(self.files, self.keyring, log=self.log, actor="test", clock=lambda: NOW, checkpoint=checkpoint)
        return made.run(anew=anew)

    def key(self) -> MasterKey:
        """As an admin's process reads it that starts now."""
        return MasterKey(self.files.private, self.files.provider, retired_dir=self.files.retired)

    def assert_all_open(self, key: MasterKey | None = None) -> None:
        key = key or self.key()
        for one in self.records:
            held = self.keyring.get(one.subject)
            assert held is not None
            assert key.unseal(one, held) == one.subject.subject_id.encode()

    def retired(self) -> list[str]:
        return sorted(path.name for path in self.files.retired.glob("*")) if self.files.retired.exists() else []

    def events(self, action: str) -> list[str]:
        return [event.target for event in self.log.events() if event.action == action]


@pytest.fixture
def vault_url(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Iterator[str]:
    """A vault of the same kind in another database."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path / 'vault.sqlite3'}"
        return
    with request.getfixturevalue("postgres").database() as url:
        yield url


@pytest.fixture
def house(tmp_path: Path, keys_engine: Engine, vault_url: str) -> Iterator[House]:
    vault_engine = database.open_vault(vault_url)
    made = House(tmp_path / "house", keys_engine, vault_engine)
    made.add("Ada", "Bo", "Cy")
    yield made
    vault_engine.dispose()


def key_id(key: MasterKey) -> str:
    return seal.key_id(key.public_key).hex()


def test_every_key_is_sealed_anew_and_no_record_is_touched(house: House, tmp_path: Path) -> None:
    house.keyring.shred(SubjectRef(PROJECT, "gone"), now=NOW)
    shutil.copy(house.files.private, tmp_path / "copy.key")
    old, seeds = MasterKey(tmp_path / "copy.key"), seeds_of(house)
    report = house.rotate()
    new = house.key()
    assert report == RotationReport(
        (key_id(old),), key_id(new), resumed=False, resealed=3, shredded=1, left=0, foreign=0
    )
    assert key_id(new) != key_id(old)
    assert Vault(house.vault).records_of_photo(PHOTO) == tuple(house.records)
    assert seeds_of(house) == seeds
    assert master.read_public(house.files.public) == new.public_key
    assert house.retired() == []
    old_bytes = (tmp_path / "copy.key").read_bytes().split()[-1]
    assert not any(old_bytes in path.read_bytes() for path in house.folder.rglob("*") if path.is_file())
    house.assert_all_open(MasterKey(house.files.private))
    with pytest.raises(SealBrokenError, match="another key"):
        house.assert_all_open(old)


def test_the_log_says_what_was_done(house: House) -> None:
    old = key_id(house.key())
    house.rotate()
    new = key_id(house.key())
    events = [(event.action, event.target, event.detail) for event in house.log.events()]
    counts = {"resumed": False, "resealed": 3, "shredded": 0, "left": 0, "foreign": 0}
    assert events == [(STARTED, new, {"old_key": old}), (FINISHED, new, counts)]


def test_processes_that_run_on_need_no_restart(house: House) -> None:
    """The admin's reads its files anew, the worker's its public file."""
    admins, workers = house.key(), Keyring(house.keys, partial(master.read_public, house.files.public))
    stale_public_key = master.read_public(house.files.public)
    house.rotate()
    house.assert_all_open(admins)
    workers.ensure(SubjectRef(PROJECT, "new"), now=NOW)
    house.add("newer")
    house.assert_all_open(admins)
    with pytest.raises(CustodyUnavailableError, match="not here yet"):
        Keyring(house.keys, lambda: stale_public_key).ensure(SubjectRef(PROJECT, "newest"), now=NOW)


def test_it_can_be_done_again_and_again_and_without_subjects(house: House) -> None:
    ids = {key_id(house.key())}
    for _ in range(3):
        ids.add(house.rotate().new_key_id)
        house.assert_all_open()
    assert len(ids) == 4
    for ref in (one.subject for one in house.records):
        house.keyring.shred(ref, now=NOW)
    assert house.rotate().shredded == 3


def test_without_its_log_nothing_is_changed(house: House) -> None:
    before = {path: path.read_bytes() for path in house.folder.rglob("*") if path.is_file()}
    with database.writing(house.vault) as connection:
        audit.hold(connection)
        with pytest.raises(AuditError):
            house.rotate()
    assert {path: path.read_bytes() for path in house.folder.rglob("*") if path.is_file()} == before
    house.assert_all_open(MasterKey(house.files.private))


def test_without_its_log_the_old_key_stays(house: House) -> None:
    """The vault is lost between the beginning and the end."""
    locked = database.writing(house.vault)

    def lock(step: str) -> None:
        if step == "old key retired":
            audit.hold(locked.__enter__())

    with pytest.raises(AuditError):
        house.rotate(checkpoint=lock)
    locked.__exit__(None, None, None)
    assert len(house.retired()) == 1
    house.assert_all_open()
    assert house.rotate().resumed
    assert house.retired() == []


def test_a_folder_that_cannot_be_written_changes_nothing(house: House) -> None:
    before = house.files.private.read_bytes()
    house.files.retired.write_bytes(b"in the way")
    with pytest.raises(MasterKeyError, match="cannot be changed"):
        house.rotate()
    assert house.files.private.read_bytes() == before
    house.files.retired.unlink()
    house.rotate()
    house.assert_all_open()


def test_two_at_once_are_refused(house: House) -> None:
    def again(step: str) -> None:
        if step == "private file replaced":
            with pytest.raises(MasterKeyError, match="somebody else"):
                house.rotate()
            with pytest.raises(MasterKeyError, match="somebody else"):
                unseal.rewrap(house.files.private, old=key_files.PLAIN, new=key_files.PLAIN)

    assert house.rotate(checkpoint=again).resealed == 3


def test_a_damaged_key_is_left_with_the_key_that_it_is_sealed_to(house: House) -> None:
    damaged, old = house.keyring.get(house.records[1].subject), key_id(house.key())
    assert damaged is not None
    spoilt = damaged.sealed_private_key[:-1] + bytes([damaged.sealed_private_key[-1] ^ 1])
    house.keyring.reseal(damaged.ref, old=damaged.sealed_private_key, new=spoilt)
    report = house.rotate()
    assert (report.resealed, report.left) == (2, 1)
    assert house.retired() == [f"{old}.key"]
    assert house.rotate() == dataclasses.replace(report, resumed=True, resealed=0)
    anew = house.rotate(anew=True)
    assert (anew.resealed, anew.left, anew.new_key_id) == (2, 1, key_id(house.key()))
    assert anew.new_key_id != report.new_key_id
    assert house.retired() == [f"{old}.key"]
    house.keyring.reseal(damaged.ref, old=spoilt, new=damaged.sealed_private_key)  # a backup was found
    mended = house.rotate()
    assert (mended.resumed, mended.resealed, mended.left) == (True, 1, 0)
    assert house.retired() == []
    house.assert_all_open(MasterKey(house.files.private))


def test_a_key_of_yet_another_master_key_is_counted_and_left_alone(house: House) -> None:
    """As from a backup of the keys that is older than the last rotation."""
    stranger = Keyring(house.keys, lambda: seal.generate_key_pair().public_key)
    made = stranger.ensure(SubjectRef(PROJECT, "stranger"), now=NOW)
    report = house.rotate()
    assert (report.resealed, report.left, report.foreign) == (3, 0, 1)
    assert house.keyring.get(made.ref) == made
    assert house.retired() == []


def test_whoever_is_shredded_meanwhile_stays_so(house: House) -> None:
    subject = house.records.pop().subject

    def shred(step: str) -> None:
        if step == "resealed":
            house.keyring.shred(subject, now=NOW)

    report = house.rotate(checkpoint=shred)
    assert report.shredded == 1
    with pytest.raises(KeyShreddedError):
        house.keyring.get(subject)
    house.assert_all_open()


def test_keys_that_are_made_meanwhile_are_not_lost(house: House, database_url: str) -> None:
    engines = [database.open_keys(database_url) for _ in range(2)]
    done = Event()

    def work(engine: Engine) -> list[SubjectRef]:
        keyring, made = Keyring(engine, partial(master.read_public, house.files.public)), []
        while not done.is_set():
            ref = SubjectRef(PROJECT, f"{id(engine)} {len(made)}")
            try:
                made.append(keyring.ensure(ref, now=NOW).ref)
            except CustodyUnavailableError:  # somebody else writes, or the key was changed just now
                continue
        return made

    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(work, engine) for engine in engines]
        try:
            for _ in range(3):
                patiently(house.rotate)
        finally:
            done.set()
        made = [ref for worker in workers for ref in worker.result()]
    for engine in engines:
        engine.dispose()
    assert made
    alone = MasterKey(house.files.private)
    for ref in made:
        key = house.keyring.get(ref)
        assert key is not None
        assert alone.subject_key(key).public_key == key.public_key


def patiently(rotate: Callable[[], RotationReport]) -> RotationReport:
    """Again until the others let it through, as an admin would."""
    while True:
        try:
            return rotate()
        except (AuditError, CustodyUnavailableError):
            continue


@pytest.fixture(params=["shares", "vault"])
def provider(request: pytest.FixtureRequest) -> Iterator[KeyProvider]:
    if request.param == "shares":
        words = iter(shares.split(threshold=2, shares=2))
        yield SharesProvider(lambda *_: next(words))
        return
    with transit_server.running() as server:
        yield VaultProvider(server.url, transit_server.TOKEN, key=transit_server.KEY)


def test_whoever_keeps_the_key_keeps_the_new_one(house: House, provider: KeyProvider) -> None:
    """Shares are asked for once."""
    unseal.rewrap(house.files.private, old=key_files.PLAIN, new=provider)
    house.files = dataclasses.replace(house.files, provider=provider)
    admins, kept = house.key(), []
    house.rotate(checkpoint=lambda _: kept.extend(path.read_bytes() for path in house.files.retired.glob("*.key")))
    house.assert_all_open(admins)
    for content in (*kept, house.files.private.read_bytes()):
        assert key_files.wrapped_by(content, key_files.Purpose.MASTER) == provider.name
    with pytest.raises(MasterKeyError, match=f"kept by '{provider.name}'"):
        MasterKey(house.files.private)


def test_a_keeper_that_is_away_changes_nothing(house: House) -> None:
    with transit_server.running() as server:
        keeper = VaultProvider(server.url, transit_server.TOKEN, key=transit_server.KEY)
        unseal.rewrap(house.files.private, old=key_files.PLAIN, new=keeper)
        house.files, before = dataclasses.replace(house.files, provider=keeper), house.files.private.read_bytes()
        server.status = 503
        with pytest.raises(MasterKeyError, match="VaultDown"):
            house.rotate()
        server.status = 200
        house.assert_all_open()
    assert house.files.private.read_bytes() == before
    assert house.events(STARTED) == []


def test_anybody_can_see_how_far_it_is(house: House) -> None:
    old, seen = seal.key_id(house.key().public_key), list[dict[bytes | None, int]]()

    def look(step: str) -> None:
        if step == "resealed":
            seen.append(dict(house.keyring.census()))

    house.rotate(checkpoint=look)
    new = seal.key_id(house.keyring.master_public_key())
    assert seen == [{old: 2, new: 1}, {old: 1, new: 2}, {new: 3}]


def test_an_old_backup_of_the_keys_opens_with_a_copy_of_the_old_key_alone(house: House, tmp_path: Path) -> None:
    shutil.copy(house.files.private, tmp_path / "copy.key")
    before = {one.subject: house.keyring.get(one.subject) for one in house.records}
    house.rotate()
    for one in house.records:
        key = before[one.subject]
        assert key is not None
        with pytest.raises(SealBrokenError, match="another key"):
            house.key().unseal(one, key)
        assert MasterKey(tmp_path / "copy.key").unseal(one, key)


def test_killed_at_any_write_it_goes_on_where_it_was(tmp_path: Path, database_url: str, vault_url: str) -> None:
    """Killed before its first write, its second, and so on, until it is done before it is to die. Each time the next
    one takes it from there: what it leaves is what the one after it finds."""
    keys, vault = database.open_keys(database_url), database.open_vault(vault_url)
    house = House(tmp_path / "house", keys, vault)
    house.add("Ada", "Bo")
    house.keyring.shred(SubjectRef(PROJECT, "gone"), now=NOW)
    die_at = 0
    while (status := mortal_rotation.exit_status(Orders(house.folder, database_url, vault_url, die_at))) != 0:
        assert status == -signal.SIGKILL, (house.folder / "log").read_text()
        house.assert_all_open()
        house.add(f"met {die_at} writes in")
        house.assert_all_open()
        report = house.rotate()
        assert (report.shredded, report.left, report.foreign) == (1 + die_at, 0, 0)
        assert_settled(house)
        house.keyring.shred(house.records.pop().subject, now=NOW)  # or rotations would grow longer and longer
        die_at += 1
    assert_settled(house)
    assert die_at > 30
    keys.dispose()
    vault.dispose()


def assert_settled(house: House) -> None:
    """One key, nothing else that is private, and a log that says so."""
    alone = MasterKey(house.files.private)
    house.assert_all_open(alone)
    assert master.read_public(house.files.public) == alone.public_key
    assert house.retired() == []
    assert [path.name for path in house.files.private.parent.iterdir()] == ["master.key"]
    assert audit.verify(house.log.events())
    started, finished = house.events(STARTED), house.events(FINISHED)
    assert finished[-1] == started[-1] == key_id(alone)
    assert set(finished) <= set(started)
    stored = Vault(house.vault).records_of_photo(PHOTO)
    assert set(house.records) <= set(stored)


def seeds_of(house: House) -> list[tuple[object, ...]]:
    columns = "subject_id, public_key, identity_seed, created_at, shredded_at"
    with database.reading(house.keys) as connection:
        query = text(f"SELECT {columns} FROM subject_keys ORDER BY subject_id")  # noqa: S608
        return [tuple(row) for row in connection.execute(query)]
