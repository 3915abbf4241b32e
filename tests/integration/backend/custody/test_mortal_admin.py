"""An admin that is killed at any point of a step: the step was taken or it was not, and the log says the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import mortal_admin
import numpy as np
import pytest
from mortal_admin import Orders
from recovery_site import ADA, BO, NOW, Site

from backend.custody.records import RequestState
from backend.errors import RequestStateError
from g2face_model import images


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    """A site on SQLite and on PostgreSQL."""
    site = Site.at(tmp_path / "site", database_url)
    yield site
    site.close()


def killed_everywhere(site: Site, duty: str, *, approved: bool) -> Iterator[str]:
    """One request after another, the same step of which is killed at one point after another, up to none."""
    photo_id = site.add_photo()
    for die_at in count():
        request = site.approved(photo_id, 0, 1) if approved else site.ask(photo_id, 0, 1)
        orders = Orders(site.folder, site.vault_url, duty, request.request_id, site.published, die_at)
        ended = mortal_admin.carried_out(orders)
        yield request.request_id
        if ended:
            return


def passed(site: Site) -> set[str]:
    """The points at which somebody was killed."""
    return set((site.folder / "points").read_text().splitlines())


def test_killed_while_retrieving(site: Site) -> None:
    """Either it can be retrieved still and nothing says otherwise, or it is used up for ever and the log says by whom;
    and nothing was opened before the log said so."""
    left = []
    for request_id in killed_everywhere(site, "retrieve", approved=True):
        actions = [action for _, action in site.log(request_id)][2:]
        left.append(actions)
        if not actions:
            (photo,) = site.retrieve(request_id).photos
            assert np.array_equal(images.decode(photo.png), site.originals[photo.photo_id])
            continue
        assert site.recovery.get(request_id, now=NOW).state is RequestState.RETRIEVED
        with pytest.raises(RequestStateError):
            site.retrieve(request_id)
    assert [] in left
    assert ["request.retrieving"] in left
    assert left[-2:] == [["request.retrieving", "request.retrieved"]] * 2  # before the answer, and never
    assert {"UPDATE recovery_requests SET", "INSERT INTO audit_events", "COMMIT", "unseal", "answer"} <= passed(site)


@pytest.mark.parametrize(
    ("duty", "approved", "by", "before", "after", "action"),
    [
        ("approve", False, BO, RequestState.OPEN, RequestState.APPROVED, "request.approved"),
        ("refuse", True, BO, RequestState.APPROVED, RequestState.REFUSED, "request.refused"),
        ("cancel", True, ADA, RequestState.APPROVED, RequestState.CANCELLED, "request.cancelled"),
        ("expire", False, "recovery", RequestState.OPEN, RequestState.EXPIRED, "request.expired"),
    ],
)
def test_killed_while_deciding(
    site: Site, duty: str, approved: bool, by: str, before: RequestState, after: RequestState, action: str
) -> None:
    seen = []
    for request_id in killed_everywhere(site, duty, approved=approved):
        request, logged = site.recovery.get(request_id, now=NOW), site.log(request_id)
        seen.append(request.state)
        assert request.state in (before, after)
        assert (logged[-1] == (by, action)) == (request.state is after)
        assert bool(request.approved_by) == (approved or request.state is RequestState.APPROVED)
    assert set(seen) == {before, after}
    assert {"UPDATE recovery_requests SET", "INSERT INTO audit_events", "COMMIT", "answer"} <= passed(site)
