"""Two people's programs before an admin as it is served; the photo is a worker's, with the stand-in's faces."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from admin_office import APPROVES, ASKS, Restricted, opened, served
from numpy.typing import NDArray

from backend.admin import programs
from backend.admin.actors import Scope
from backend.ledger.records import Photo
from g2face_model import images
from worker.demo.admin import Admin, recovers
from worker.demo.processes import DemoError

IMAGE: NDArray[np.uint8] = np.random.default_rng(1).integers(0, 256, (200, 300, 3), np.uint8)


@pytest.fixture
def restricted(tmp_path: Path) -> Iterator[Restricted]:
    with opened(tmp_path / "data", clock=lambda: datetime.now(UTC)) as office:
        yield office


@pytest.fixture
def photo(restricted: Restricted) -> Photo:
    return restricted.photo(restricted.project(), IMAGE)


@pytest.fixture
def url(restricted: Restricted) -> Iterator[str]:
    with served(restricted) as address:
        yield address


def program(restricted: Restricted, url: str, email: str, scope: Scope) -> Admin:
    people, now = restricted.office.accounts, restricted.clock()
    actor = restricted.actor(email)
    return Admin(url, programs.issue(people, actor, scopes=[scope], days=1, now=now, record=lambda *_: None))


def test_two_people_get_the_original_back_bit_for_bit(restricted: Restricted, photo: Photo, url: str) -> None:
    requester = program(restricted, url, ASKS, Scope.REQUEST)
    approver = program(restricted, url, APPROVES, Scope.APPROVE)
    task = f"http://localhost:8080/projects/7/data?task={photo.labelstudio_task_id}"
    assert recovers(requester, approver, task=task, original=images.encode(IMAGE, "webp"))
    another = IMAGE.copy()
    another[0, 0, 0] ^= 1
    assert not recovers(requester, approver, task=task, original=images.encode(another, "png"))
    actions = [action for _, action in restricted.log()]
    assert actions.count("request.approved") == 2


def test_nothing_without_the_second_person(restricted: Restricted, photo: Photo, url: str) -> None:
    requester = program(restricted, url, ASKS, Scope.REQUEST)
    request_id = requester.ask(photo.photo_id, [0], reason="alone")
    with pytest.raises(DemoError, match="the admin refused: "):
        requester.approve(request_id)
    with pytest.raises(DemoError, match="the admin refused: "):
        requester.retrieve(request_id)


def test_an_admin_that_is_away() -> None:
    with pytest.raises(DemoError, match="the admin does not answer"):
        Admin("http://127.0.0.1:9", "token").find("1")
