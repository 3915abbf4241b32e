"""What each stolen part gives: a thief with all but the master key, or with it but without the keys, sees no face.

The thief knows our code: every attempt below opens when it is given the one thing that is missing, so that a test fails
when that is not missing any more."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import admin_office
import numpy as np
import pytest
from admin_office import Restricted
from PIL import Image as Pillow
from recovery_site import picture

from backend.custody import database, master
from backend.custody.inbox_opening import InboxKey, create_inbox_key
from backend.custody.keyring import Keyring
from backend.custody.records import SubjectRef
from backend.custody.unseal import MasterKey
from backend.custody.vault import Vault
from backend.errors import BackendError, CustodyError, MasterKeyError, SealBrokenError
from backend.ledger.records import Photo
from g2face_model import images, recovery
from g2face_model.errors import UnreadableImageError
from g2face_model.recovery import RecoveryPayload

ORIGINAL, WAITING = picture(90, 120), picture(90, 120, seed=7)
SUBJECT = "patient-7f3a9c51"


@pytest.fixture
def restricted(tmp_path: Path) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def photo(restricted: Restricted) -> Photo:
    """Published; another photo of the same project still waits for its worker."""
    project = restricted.project()
    restricted.workshop.hand_in(project, images.encode(WAITING, "png"))
    return restricted.photo(project, ORIGINAL, subject_id=SUBJECT)


def steal(restricted: Restricted, to: Path, *names: str) -> Path:
    """A copy of these parts of the data folder, as they lie on the disk."""
    to.mkdir()
    for name in names:
        for path in restricted.folder.glob(f"{name}*"):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, to / path.name)
    assert any(to.iterdir())
    return to


def opened(loot: Path, master_key: Path, photo: Photo) -> list[bytes]:
    """All payloads of a photo that can be opened with what was stolen. Raises what stands in the way."""
    vault = database.open_vault(f"sqlite:///{loot / 'vault.sqlite3'}")
    keys = database.open_keys(f"sqlite:///{loot / 'keys.sqlite3'}")
    try:
        thief, keyring = MasterKey(master_key), Keyring(keys, lambda: b"")
        payloads = []
        for record in Vault(vault).records_of_photo(photo.photo_id):
            key = keyring.get(SubjectRef(record.subject.project_id, record.subject.subject_id))
            if key is None:
                raise SealBrokenError("no key")
            payloads.append(thief.unseal(record, key))
        return payloads
    finally:
        vault.dispose()
        keys.dispose()


def rows_of(*originals: np.ndarray) -> list[bytes]:
    """Runs of plain pixels of originals."""
    return [one[row, 40:60].tobytes() for one in originals for row in range(20, 70)]


def files_with(folder: Path, needles: list[bytes]) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if any(needle in path.read_bytes() for needle in needles)]


def test_stolen_images_hold_nothing_but_their_pixels(restricted: Restricted, photo: Photo) -> None:
    """No chunk, no byte behind the end, nothing to subtract: the file is what its pixels are encoded to, and what was
    painted over depends on the seed alone."""
    assert photo.image_sha256 is not None
    file = restricted.workshop.blobs.get(photo.image_sha256)
    assert file == images.encode(images.decode(file), "png")
    with Pillow.open(restricted.folder / "blobs" / photo_path(restricted, photo)) as opened_file:
        assert opened_file.info.keys() <= {"dpi", "srgb", "gamma"}
    published = images.decode(file)
    assert (recovery.restore(published, []) == published).all()
    other = restricted.photo(
        restricted.office.ledger.project(photo.project_id), 255 - ORIGINAL, task_id=9, subject_id=SUBJECT
    )
    assert other.image_sha256 is not None
    again = images.decode(restricted.workshop.blobs.get(other.image_sha256))
    box = photo.faces[0].box
    row, left, right = round(box[1] + box[3]) // 2, round(box[0]) + 10, round(box[2]) - 10
    np.testing.assert_array_equal(published[row, left:right], again[row, left:right])


def photo_path(restricted: Restricted, photo: Photo) -> Path:
    blobs = restricted.folder / "blobs"
    (path,) = [path for path in blobs.rglob("*") if path.name == photo.image_sha256]
    return path.relative_to(blobs)


def test_stolen_databases_open_nothing(restricted: Restricted, photo: Photo, tmp_path: Path) -> None:
    """All three of them, with everything else that is not the master key."""
    loot = steal(restricted, tmp_path / "loot", "ledger.sqlite3", "vault.sqlite3", "keys.sqlite3")
    assert files_with(loot, rows_of(ORIGINAL, WAITING)) == []
    payloads = opened(loot, restricted.settings.master_private_key(), photo)
    published = restricted.workshop.published(photo)
    restored = recovery.restore(published, [RecoveryPayload.from_bytes(one) for one in payloads])
    np.testing.assert_array_equal(restored, ORIGINAL)  # with the one thing that is missing
    master.create_master_key(tmp_path / "own" / "master.key", tmp_path / "own" / "master.pub")
    with pytest.raises(SealBrokenError):
        opened(loot, tmp_path / "own" / "master.key", photo)
    for not_it in (restricted.settings.master_public_key(), restricted.folder / "worker" / "inbox.key"):
        with pytest.raises(MasterKeyError):
            opened(loot, not_it, photo)


def test_a_backup_of_the_records_is_useless_without_the_keys(
    restricted: Restricted, photo: Photo, tmp_path: Path
) -> None:
    """Even for whoever has the master key."""
    loot = steal(restricted, tmp_path / "loot", "vault.sqlite3")
    with pytest.raises(SealBrokenError, match="no key"):
        opened(loot, restricted.settings.master_private_key(), photo)
    steal(restricted, tmp_path / "later", "keys.sqlite3")
    for path in (tmp_path / "later").iterdir():
        shutil.copy(path, loot)
    assert opened(loot, restricted.settings.master_private_key(), photo)


def test_the_keys_are_useless_once_they_were_shredded(restricted: Restricted, photo: Photo, tmp_path: Path) -> None:
    """A copy of the records from before, with master key and keys of today."""
    before = steal(restricted, tmp_path / "loot", "vault.sqlite3")
    for face in range(len(photo.faces)):
        name = SUBJECT if face == 0 else f"{photo.photo_id}-{face}"
        restricted.workshop.keyring.shred(SubjectRef(photo.project_id, name), now=restricted.clock())
    restricted.workshop.keyring.forget_deleted()
    for path in restricted.folder.glob("keys.sqlite3*"):
        shutil.copy(path, before)
    with pytest.raises(CustodyError):
        opened(before, restricted.settings.master_private_key(), photo)


def test_a_stolen_blob_store_shows_anonymized_images_alone(
    restricted: Restricted, photo: Photo, tmp_path: Path
) -> None:
    """And originals that wait, sealed to the worker's inbox key."""
    loot = steal(restricted, tmp_path / "loot", "blobs")
    assert files_with(loot, rows_of(ORIGINAL, WAITING)) == []
    sealed, shown = [], []
    for path in (loot / "blobs").rglob("*"):
        if path.is_file():
            try:
                shown.append(images.decode(path.read_bytes()))
            except UnreadableImageError:
                sealed.append(path)
    (published,) = shown
    np.testing.assert_array_equal(published, restricted.workshop.published(photo))
    ((source, name),) = waiting_originals(restricted)
    (waiting,) = [path.read_bytes() for path in sealed if path.name == name]
    theirs = InboxKey(restricted.folder / "worker" / "inbox.key")
    data = theirs.open(waiting, project_id=photo.project_id, source_sha256=source)
    np.testing.assert_array_equal(images.decode(data), WAITING)  # with the one thing that is missing
    create_inbox_key(tmp_path / "own" / "inbox.key", tmp_path / "own" / "inbox.pub")
    with pytest.raises(SealBrokenError):
        InboxKey(tmp_path / "own" / "inbox.key").open(waiting, project_id=photo.project_id, source_sha256=source)


def waiting_originals(restricted: Restricted) -> list[tuple[str, str]]:
    """Digest and blob of the originals that wait."""
    ledger = sqlite3.connect(restricted.folder / "ledger.sqlite3")
    found = ledger.execute("SELECT source_sha256, source_blob FROM photos WHERE state = 'waiting'").fetchall()
    ledger.close()
    return found


def test_what_a_worker_holds_opens_what_passes_through_it_and_nothing_that_is_locked(
    restricted: Restricted, photo: Photo
) -> None:
    """Its inbox key is another kind of key, in its file and in its use."""
    inbox = restricted.folder / "worker" / "inbox.key"
    with pytest.raises(MasterKeyError):
        MasterKey(inbox)
    taken = InboxKey(inbox)
    for record in restricted.workshop.vault.records_of_photo(photo.photo_id):
        key = restricted.workshop.keyring.get(record.subject)
        assert key is not None
        for sealed in (record.sealed, key.sealed_private_key):
            with pytest.raises(BackendError):
                taken.open(sealed, project_id=photo.project_id, source_sha256=photo.source_sha256)


def test_a_storage_that_gives_another_file_gives_no_pixel(restricted: Restricted, photo: Photo) -> None:
    office, clock = restricted.office, restricted.clock
    asks, approves = restricted.actor(admin_office.ASKS), restricted.actor(admin_office.APPROVES)
    asked = office.request(asks, photo_id=photo.photo_id, face_indices=[0], reason="why", reference=None, now=clock())
    office.approve(approves, asked.request_id, now=clock())
    path = restricted.folder / "blobs" / photo_path(restricted, photo)
    path.chmod(0o600)
    path.write_bytes(images.encode(WAITING, "png"))
    with pytest.raises(BackendError):
        office.retrieve(asks, asked.request_id, now=clock())
