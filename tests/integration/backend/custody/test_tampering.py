"""Records, files and keys that are not what they were: refused, each for its reason, and no pixel leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from recovery_site import ADA, BO, NOW, SUBJECT, Site, face, picture
from sqlalchemy import text, update

from backend.custody import database
from backend.custody.records import RequestState, SealedRecord
from backend.custody.tables import REMAINDER_INDEX, sealed_records
from backend.custody.vault import Vault
from backend.errors import BackendError, CustodyError, RequestStateError, SealBrokenError, StorageError
from g2face_model import images, recovery


@pytest.fixture
def logged_site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    """A site on SQLite and on PostgreSQL."""
    site = Site.at(tmp_path / "site", database_url)
    yield site
    site.close()


@pytest.fixture
def site(logged_site: Site) -> Site:
    """One without the log's help: everything is noticed by the seals and the payloads alone."""
    logged_site.digests_logged = False
    return logged_site


@pytest.fixture
def small_site(tmp_path: Path) -> Iterator[Site]:
    """The same of files alone, which is faster."""
    site = Site.at(tmp_path / "site")
    site.digests_logged = False
    yield site
    site.close()


def refused(site: Site, request_id: str, told: type[BackendError], reason: str) -> None:
    """Retrieving is refused, and the log says why."""
    with pytest.raises(told):
        site.retrieve(request_id)
    assert site.reasons(request_id)[-1] == reason


def state(site: Site, request_id: str) -> RequestState:
    return site.recovery.get(request_id, now=NOW).state


def tamper(site: Site, photo_id: str, face_index: int, **values: object) -> None:
    """Write into the database of records what was never there."""
    columns = sealed_records.c
    here = (columns.photo_id == photo_id, columns.face_index == face_index)
    with database.writing(site.vault_engine) as connection:
        assert connection.execute(update(sealed_records).where(*here).values(values)).rowcount == 1


def record_of(site: Site, photo_id: str, face_index: int) -> SealedRecord:
    records = Vault(site.vault_engine).records_of_photo(photo_id)
    return next(record for record in records if record.face_index == face_index)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_the_log_does_not_know_is_not_opened(logged_site: Site) -> None:
    """Whoever has the database and a subject's public key can make a record that opens. It would show a face that never
    was: the log says what the worker sealed, and the request is not used up."""
    site = logged_site
    photo_id, made_up = site.add_photo(format="jpeg"), picture(seed=99)
    request_id = site.approved(photo_id, 0).request_id
    good = record_of(site, photo_id, 0)
    (payload, *_) = recovery.protect(made_up, images.decode(site.give(photo_id)), (face(0), face(1)), lossy=True)
    forged = site.seal(photo_id, SUBJECT, payload, site.give(photo_id))
    tamper(site, photo_id, 0, sealed=forged.sealed, payload_sha256=forged.payload_sha256)
    refused(site, request_id, SealBrokenError, "not_logged")
    tamper(site, photo_id, 0, sealed=good.sealed, payload_sha256=good.payload_sha256)
    assert site.retrieve(request_id).photos


def test_nor_is_it_in_a_copy_for_its_subject_or_around_the_faces(logged_site: Site) -> None:
    site = logged_site
    photo_id = site.add_photo(format="jpeg")
    access, whole = site.ask_for_access().request_id, site.approved(photo_id, 0, 1).request_id
    site.recovery.approve(access, approver=BO, now=NOW)
    remainder = next(one for one in Vault(site.vault_engine).records_of_photo(photo_id) if one.face_index is None)
    tamper(site, photo_id, REMAINDER_INDEX, sealed=remainder.sealed[:-1])
    refused(site, whole, SealBrokenError, "not_logged")
    tamper(site, photo_id, 0, sealed=record_of(site, photo_id, 1).sealed)
    refused(site, access, SealBrokenError, "not_logged")


def test_a_record_of_another_face_is_refused(site: Site) -> None:
    photo_id = site.add_photo()
    request_id = site.approved(photo_id, 0).request_id
    tamper(site, photo_id, 0, sealed=record_of(site, photo_id, 1).sealed)
    refused(site, request_id, SealBrokenError, "seal_broken")
    refused(site, request_id, RequestStateError, "is_retrieved")  # it was opened, as far as one can tell


def test_a_record_of_the_same_face_in_another_photo_is_refused(site: Site) -> None:
    photo_id, other_id = site.add_photo(), site.add_photo()
    request_id = site.approved(photo_id, 0).request_id
    other = record_of(site, other_id, 0)
    tamper(site, photo_id, 0, sealed=other.sealed, payload_sha256=other.payload_sha256)
    refused(site, request_id, SealBrokenError, "seal_broken")


def test_a_record_that_was_bound_anew_to_another_subject_is_refused(site: Site) -> None:
    photo_id = site.add_photo()
    site.add_photo(subject="Bo Example")
    request_id = site.approved(photo_id, 0).request_id
    tamper(site, photo_id, 0, subject_id="Bo Example")
    refused(site, request_id, SealBrokenError, "seal_broken")


def test_a_record_that_was_moved_to_another_project_is_not_found(site: Site) -> None:
    photo_id = site.add_photo()
    request_id = site.approved(photo_id, 0).request_id
    tamper(site, photo_id, 0, project_id="c" * 32)
    refused(site, request_id, RequestStateError, "no_record")


def test_an_older_record_of_the_same_face_is_refused(site: Site) -> None:
    """A photo that was anonymized anew: what was sealed for the first image does not pass for the second's."""
    photo_id = site.add_photo()
    request_id = site.approved(photo_id, 0).request_id
    before = record_of(site, photo_id, 0)
    anew = images.encode(255 - images.decode(site.published[photo_id]), "png")
    site.published[photo_id] = anew
    refused(site, request_id, CustodyError, "other_image")
    assert state(site, request_id) is RequestState.APPROVED
    tamper(site, photo_id, 0, anonymized_sha256=sha256(anew))
    refused(site, request_id, SealBrokenError, "payload_broken")
    assert before.anonymized_sha256 != sha256(anew)


@pytest.mark.parametrize("cut", [0, 1, 20, 1000, -1])
def test_a_truncated_record_is_refused(site: Site, cut: int) -> None:
    photo_id = site.add_photo()
    request_id = site.approved(photo_id, 0).request_id
    tamper(site, photo_id, 0, sealed=record_of(site, photo_id, 0).sealed[:cut])
    refused(site, request_id, SealBrokenError, "seal_broken")


def test_no_changed_bit_of_a_record_gives_pixels(small_site: Site) -> None:
    site = small_site
    photo_id = site.add_photo(faces=1)
    good, random = record_of(site, photo_id, 0).sealed, np.random.default_rng(1)
    for bit in random.choice(8 * len(good), 40, replace=False):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        tamper(site, photo_id, 0, sealed=bytes(changed))
        refused(site, site.approved(photo_id, 0).request_id, SealBrokenError, "seal_broken")
    tamper(site, photo_id, 0, sealed=good)
    assert site.retrieve(site.approved(photo_id, 0).request_id).photos


def test_no_wrong_master_key_gives_pixels(small_site: Site) -> None:
    """A key with one wrong bit, for bits all over the key; with the file's own check removed, as an attacker would."""
    site = small_site
    photo_id = site.add_photo(faces=1)
    path = site.folder / "master.key"
    good, random = site.master_bytes(), np.random.default_rng(2)
    matters = [*range(256), *range(512 + 3, 768 - 2)]  # the rest are no part of what opens, and the file's check's
    for bit in random.choice(matters, 40, replace=False):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        site.write_master(bytes(changed))
        refused(site, site.approved(photo_id, 0).request_id, CustodyError, "seal_broken")
    assert path.exists()
    site.write_master(good)
    assert site.retrieve(site.approved(photo_id, 0).request_id).photos


def test_the_wrong_file_is_refused_before_anything_is_used_up(site: Site) -> None:
    photo_id, other_id = site.add_photo(), site.add_photo()
    request_id = site.approved(photo_id, 0).request_id
    right = site.published[photo_id]
    for wrong in (site.published[other_id], right + b"\0", b""):
        site.published[photo_id] = wrong
        refused(site, request_id, CustodyError, "other_image")
    del site.published[photo_id]
    refused(site, request_id, RequestStateError, "no_image")
    site.published[photo_id] = right
    assert site.retrieve(request_id).photos


def test_a_storage_that_is_away_uses_nothing_up(site: Site) -> None:
    request_id = site.approved(site.add_photo(), 0).request_id

    def away(_photo_id: str) -> bytes:
        raise StorageError("the storage cannot be reached")

    with pytest.raises(StorageError):
        site.recovery.retrieve(request_id, by=ADA, published=away, now=NOW)
    assert site.retrieve(request_id).photos


def test_a_record_without_a_key_is_refused(small_site: Site) -> None:
    """A backup of the vault without the keys."""
    site = small_site
    request_id = site.approved(site.add_photo(), 0).request_id
    with database.writing(site.keys_engine) as connection:
        connection.execute(text("DELETE FROM subject_keys"))
    refused(site, request_id, SealBrokenError, "no_key")
