"""A person's hundreds of photos are given out one at a time, once, and no further than all is right."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from recovery_site import ADA, BO, NOW, Site, face, within

from backend.custody.audit import AuditLog
from backend.custody.locked import Aim
from backend.custody.opened import OneByOne
from backend.custody.records import RequestKind
from backend.custody.recovery import Retrieved
from backend.custody.restoration import RetrievedPhoto
from backend.errors import CustodyError, RequestStateError
from g2face_model import images

AIMS = [Aim(digit * 32, (0,), frozenset()) for digit in "abc"]


def photo(aim: Aim) -> RetrievedPhoto:
    return RetrievedPhoto(aim.photo_id, b"pixels", (), complete=False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site.at(tmp_path / "site")
    yield site
    site.close()


def access(site: Site) -> Retrieved:
    asked = site.ask_for_access()
    site.recovery.approve(asked.request_id, approver=BO, now=NOW)
    return site.retrieve(asked.request_id)


def test_each_is_opened_when_its_turn_has_come_and_none_twice() -> None:
    opened = list[str]()
    photos = OneByOne(AIMS, lambda aim: opened.append(aim.photo_id) or photo(aim))  # type: ignore[func-returns-value]
    assert (len(photos), opened) == (3, [])
    one_by_one = iter(photos)
    for number, aim in enumerate(AIMS, 1):
        assert next(one_by_one).photo_id == aim.photo_id
        assert len(opened) == number
    assert list(photos) == []
    assert (len(photos), len(opened)) == (3, 3)


def test_after_one_that_does_not_open_nothing_is_given_out() -> None:
    def open_one(aim: Aim) -> RetrievedPhoto:
        if aim is AIMS[1]:
            raise CustodyError("it does not open")
        return photo(aim)

    photos, given = OneByOne(AIMS, open_one), list[str]()
    with pytest.raises(CustodyError):
        given.extend(one.photo_id for one in photos)
    assert list(photos) == []


def test_a_copy_s_photos_are_opened_and_logged_before_the_first_is_given_out(site: Site) -> None:
    theirs = sorted(site.add_photo() for _ in range(3))
    asked, given = list[str](), site.give
    site.give = lambda photo_id: asked.append(photo_id) or given(photo_id)  # type: ignore[method-assign,func-returns-value]
    retrieved = access(site)
    assert asked == [*theirs, *theirs]  # looked at, then opened to see that all is right
    actions = [action for _, action in site.log(retrieved.request_id)]
    assert actions[-4:] == ["request.retrieving"] * 3 + ["request.retrieved"]
    shown = list(retrieved.photos)
    assert asked == [*theirs] * 3
    assert [one.photo_id for one in shown] == theirs
    mine = face(0)
    for one in shown:
        restored, original = images.decode(one.png), site.originals[one.photo_id]
        assert np.array_equal(restored[within(mine)][mine.mask], original[within(mine)][mine.mask])
    assert [action for _, action in site.log(retrieved.request_id)] == actions
    assert (retrieved.kind, list(retrieved.photos)) == (RequestKind.ACCESS, [])


def test_one_photo_that_does_not_open_gives_nothing_out(site: Site) -> None:
    first, second = sorted([site.add_photo(), site.add_photo()])
    asked = site.ask_for_access()
    site.recovery.approve(asked.request_id, approver=BO, now=NOW)
    given, looks = site.give, list[str]()

    def away(photo_id: str) -> bytes:
        looks.append(photo_id)
        return b"another file" if len(looks) == 4 else given(photo_id)  # once all have been looked at

    with pytest.raises(CustodyError, match="is not the one"):
        site.recovery.retrieve(asked.request_id, by=ADA, published=away, now=NOW)
    assert looks == [first, second] * 2
    assert [action for _, action in site.log(asked.request_id)][-1] == "request.retrieve_refused"
    with pytest.raises(RequestStateError):
        site.retrieve(asked.request_id)


def test_what_is_lost_while_photos_are_given_out_is_refused_and_logged(site: Site) -> None:
    first, second = sorted([site.add_photo(), site.add_photo()])
    retrieved = access(site)
    del site.published[second]
    one_by_one = iter(retrieved.photos)
    assert next(one_by_one).photo_id == first
    with pytest.raises(RequestStateError, match="not there any more"):
        next(one_by_one)
    assert site.reasons(retrieved.request_id) == ["not_published"]


def test_what_was_left_out_is_said_by_reason(site: Site) -> None:
    kept, gone = site.add_photo(), site.add_photo()
    asked = site.ask_for_access()
    site.recovery.approve(asked.request_id, approver=BO, now=NOW)
    del site.published[gone]
    retrieved = site.retrieve(asked.request_id)
    assert [(one.photo_id, one.reason) for one in retrieved.left_out] == [(gone, "not_published")]
    detail = list(AuditLog(site.vault_engine).events())[-1].detail
    assert detail == {"photos": 1, "faces": 1, "left_out": 1, "left_out_not_published": 1, "marked": False}
    assert [one.photo_id for one in retrieved.photos] == [kept]


def test_the_memory_it_takes_does_not_grow_with_the_photos(site: Site) -> None:
    def peak_of(photos: int) -> int:
        for _ in range(photos):
            site.add_photo()
        asked = site.ask_for_access()
        site.recovery.approve(asked.request_id, approver=BO, now=NOW)
        recovery = site.recovery
        tracemalloc.start()
        try:
            count = sum(1 for _ in recovery.retrieve(asked.request_id, by=ADA, published=site.give, now=NOW).photos)
            assert count == len(site.published)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = peak_of(3)
    assert peak_of(37) < few + 37 * 20_000  # ids and audit events; a photo alone is 60,000 bytes and more
