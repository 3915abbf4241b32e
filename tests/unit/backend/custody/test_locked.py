"""What is found of a request in the vault, and what makes it be refused before anything is opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from recovery_site import NOW, PROJECT, SUBJECT, Site

from backend.custody.lifecycle import RefusedError
from backend.custody.locked import Finder, LeftOut, Reason
from backend.custody.records import RecoveryRequest, SubjectRef
from backend.custody.vault import Vault
from backend.errors import KeyShreddedError
from g2face_model import images

REF = SubjectRef(PROJECT, SUBJECT)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site.at(tmp_path / "site")
    yield site
    site.close()


def finder(site: Site) -> Finder:
    return Finder(Vault(site.vault_engine), site.keyring)


def faces(site: Site, request: RecoveryRequest) -> list[int | None]:
    locked = finder(site).faces(request, site.give, now=NOW)
    assert all(key.ref == record.subject for record, key in locked.records)
    return [record.face_index for record, _ in locked.records]


def test_the_asked_faces_are_found_with_their_own_keys(site: Site) -> None:
    request = site.ask(site.add_photo(faces=3), 2, 0)
    assert faces(site, request) == [0, 2]
    assert not finder(site).faces(request, site.give, now=NOW).complete


@pytest.mark.parametrize(("format", "expected"), [("png", [0, 1]), ("webp", [0, 1]), ("jpeg", [0, 1, None])])
def test_with_all_faces_comes_what_the_format_took_away(
    site: Site, format: images.Format, expected: list[int | None]
) -> None:
    request = site.ask(site.add_photo(format=format), 0, 1)
    assert faces(site, request) == expected
    assert finder(site).faces(request, site.give, now=NOW).complete


def test_without_it_the_faces_come_alone_and_are_not_all(site: Site) -> None:
    request = site.ask(site.add_photo(format="jpeg"), 0, 1)
    site.keyring.shred(SubjectRef(PROJECT, f"{request.photo_id}-remainder"), now=NOW)
    assert faces(site, request) == [0, 1]
    assert not finder(site).faces(request, site.give, now=NOW).complete


def test_whose_faces_they_are(site: Site) -> None:
    request = site.ask(site.add_photo(), 0, 1)
    stranger = SubjectRef(PROJECT, f"{request.photo_id}-1")
    assert finder(site).subjects(request) == {REF, stranger}
    assert finder(site).subjects(site.ask_for_access()) == {REF}


def test_a_subject_that_was_forgotten_is_nobody(site: Site) -> None:
    site.add_photo()
    forgotten = dataclasses.replace(site.ask_for_access(), subject_id=None)
    with pytest.raises(RefusedError, match="shredded") as caught:
        finder(site).subjects(forgotten)
    assert isinstance(caught.value.told, KeyShreddedError)


def test_a_subject_whose_face_is_not_the_first_has_a_copy_too(site: Site) -> None:
    photo_id = site.add_photo()
    stranger = SubjectRef(PROJECT, f"{photo_id}-1")
    found = finder(site).own_face(stranger, site.give, now=NOW)
    (aim,) = found.aims
    assert (aim.face_indices, aim.subjects, found.left_out) == ((1,), {stranger}, ())
    assert found.load(aim).aim == aim
    remainder = SubjectRef(PROJECT, f"{site.add_photo(format='jpeg')}-remainder")
    with pytest.raises(RefusedError):
        finder(site).own_face(remainder, site.give, now=NOW)


def test_one_wrong_file_among_a_subjects_photos_is_no_reason_to_look_away(site: Site) -> None:
    site.add_photo()
    site.published[site.add_photo()] = b"another file"
    with pytest.raises(RefusedError, match="other_image"):
        finder(site).own_face(REF, site.give, now=NOW)


def test_a_photo_anonymized_anew_has_its_newest_records_found(site: Site) -> None:
    photo_id = site.add_photo()
    old = site.published[photo_id]
    site.seal_anew(photo_id)
    assert site.published[photo_id] != old
    request = site.ask(photo_id, 0, 1)
    locked = finder(site).faces(request, site.give, now=NOW)
    assert len({record.anonymized_sha256 for record, _ in locked.records}) == 1
    assert site.retrieve(site.approved(photo_id, 0, 1).request_id).photos[0].complete


def test_what_is_past_its_time_is_left_out_of_a_copy_alone(site: Site) -> None:
    photo_id = site.add_photo(lasts=timedelta(hours=1))
    site.add_photo()
    later = NOW + timedelta(hours=1)
    found = finder(site).own_face(REF, site.give, now=later)
    assert (len(found.aims), found.left_out) == (1, (LeftOut(photo_id, Reason.EXPIRED),))
    with pytest.raises(RefusedError, match="record_expired"):
        finder(site).faces(site.ask(photo_id, 0), site.give, now=later)


def test_what_has_gone_since_it_was_found_is_not_loaded(site: Site) -> None:
    first, second = sorted([site.add_photo(), site.add_photo()])
    found = finder(site).own_face(REF, site.give, now=NOW)
    del site.published[first]
    site.keyring.shred(REF, now=NOW)
    for aim, code in zip(found.aims, ("not_published", "shredded"), strict=True):
        with pytest.raises(RefusedError, match=code):
            found.load(aim)
    assert [aim.photo_id for aim in found.aims] == [first, second]
