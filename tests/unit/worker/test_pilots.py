"""A pilot's way through a real admin: asked for, approved by somebody else, retrieved once, measured, dropped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pilot_site
import pytest
from admin_office import APPROVES, ASKS
from looking import Looker
from pilot_site import PilotSite, lapse
from sqlalchemy import text

from backend.custody.records import RequestState
from backend.errors import BlobMissingError, OriginalsAwayError
from backend.jobs import PilotTask
from backend.ledger.records import PilotState
from g2face_model.errors import WeightsError
from worker import jobs
from worker.originals import Originals
from worker.runtime import Limits

NOBODY = "http://127.0.0.1:1"


class DiedError(BaseException):
    """The worker's end at this line, as far as the process goes."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[PilotSite]:
    with pilot_site.running(tmp_path / "data", subjects={0: "Jane Doe", 1: "Jane Doe"}) as running:
        yield running


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_pilot_from_asking_to_the_report(site: PilotSite) -> None:
    pilot = site.step(site.ask())
    assert (pilot.state, pilot.approved, pilot.under_way) == (PilotState.WAITING, 0, True)
    asked = site.requests()
    assert [request.state for request in asked] == [RequestState.OPEN] * 3
    assert {request.request_id for request in asked} == {photo.request_id for photo in pilot.photos}
    assert {request.reference for request in asked} == {f"pilot {pilot.pilot_id}"}
    assert "nobody is shown it" in asked[0].reason
    site.approve()
    done = site.step(pilot)
    assert (done.state, done.approved, done.measured, done.reason) == (PilotState.DONE, 3, 3, None)
    pages = {language: site.restricted.office.blobs.get(name).decode() for language, name in done.reports.items()}
    assert pages["en"].startswith("<h1>en: 3 of 3</h1>")
    assert pages["ja"].startswith("<h1>ja: 3 of 3</h1>")
    assert pages["en"].count("2 faces, exact") == 3
    assert [request.state for request in site.requests()] == [RequestState.RETRIEVED] * 3


def test_every_original_is_in_the_audit_log_with_whom_it_was_asked_and_approved_by(site: PilotSite) -> None:
    pilot = site.step(site.ask())
    site.approve()
    site.step(pilot)
    requester, approver = (site.restricted.account(who).account_id for who in (ASKS, APPROVES))
    for photo in pilot.photos:
        events = site.restricted.log(photo.request_id)
        assert (requester, "request.opened") in events
        assert (approver, "request.approved") in events
        assert events.count((requester, "request.retrieved")) == 1


def test_people_are_numbers_and_neither_they_nor_a_token_get_anywhere(site: PilotSite, tmp_path: Path) -> None:
    pilot = site.step(site.ask())
    site.approve()
    site.step(pilot)
    assert sorted(site.looker.people) == ["", "1", "1"]
    blobs = everything(tmp_path / "data" / "blobs")
    assert b"Jane" not in blobs
    assert site.token.encode() not in everything(tmp_path)


def test_measuring_begins_when_all_is_decided(site: PilotSite) -> None:
    pilot = site.step(site.ask())
    site.approve(2)
    waiting = site.step(pilot)
    assert (waiting.state, waiting.approved) == (PilotState.WAITING, 2)
    site.refuse()
    done = site.step(pilot)
    assert (done.state, done.approved, done.measured) == (PilotState.DONE, 2, 2)


def test_who_refuses_ends_it(site: PilotSite) -> None:
    pilot = site.step(site.ask())
    site.refuse()
    refused = site.step(pilot)
    assert (refused.state, refused.reports) == (PilotState.REFUSED, {})
    assert refused.reason == "who approves recovery refused it"
    assert site.looker.seen == []
    assert site.ask().state is PilotState.ASKED


def test_what_nobody_decides_expires(site: PilotSite) -> None:
    pilot = site.step(site.ask())
    site.later(hours=73)
    assert site.step(pilot).state is PilotState.EXPIRED


def test_approvals_that_run_out_before_all_is_decided_are_told(site: PilotSite) -> None:
    pilot = site.step(site.ask())
    site.approve(1)
    site.step(pilot)
    site.later(hours=73)
    expired = site.step(pilot)
    assert expired.state is PilotState.EXPIRED
    assert "approve all together" in (expired.reason or "")


def test_requests_that_were_taken_back_end_it(site: PilotSite) -> None:
    pilot = site.step(site.ask())
    site.originals().cancel([photo.request_id for photo in pilot.photos if photo.request_id])
    assert "taken back" in (site.step(pilot).reason or "")


def test_where_no_second_person_is_needed_it_goes_through_at_once(tmp_path: Path) -> None:
    with pilot_site.running(tmp_path, photos=1, approvals=0) as site:
        assert site.step(site.ask()).state is PilotState.DONE


def test_a_forensic_mark_is_told(tmp_path: Path) -> None:
    with pilot_site.running(tmp_path, photos=1, approvals=0, forensic_mark=True) as site:
        site.step(site.ask())
        assert site.looker.seen[0].endswith("marked")


def test_without_a_token_nothing_is_asked_and_the_operator_is_named(site: PilotSite) -> None:
    failed = site.step(site.ask(), originals=None)
    assert failed.state is PilotState.FAILED
    assert "G2FACE_WORKER__ADMIN_TOKEN" in (failed.reason or "")
    assert site.requests() == []


def test_a_wrong_token_is_told_and_not_repeated(site: PilotSite) -> None:
    failed = site.step(site.ask(), originals=Originals(site.url, "g2f_wrong", pause_s=0.0))
    assert failed.state is PilotState.FAILED
    assert "does not know the workers' token" in (failed.reason or "")
    assert "g2f_wrong" not in (failed.reason or "")


def test_an_admin_that_is_away_is_waited_for(site: PilotSite) -> None:
    away = Originals(NOBODY, site.token, pause_s=0.0)
    pilot = site.step(site.ask(), originals=away)
    assert (pilot.state, pilot.reason) == (PilotState.ASKED, "the admin does not answer")
    pilot = site.step(pilot)
    assert (pilot.state, pilot.reason) == (PilotState.WAITING, None)
    site.approve()
    pilot = site.step(pilot, originals=away)
    assert (pilot.state, pilot.reason) == (PilotState.WAITING, "the admin does not answer")
    assert site.step(pilot).state is PilotState.DONE


def test_it_is_not_waited_for_for_ever(site: PilotSite) -> None:
    pilot = site.ask()
    site.later(days=4)
    ended = site.step(pilot, originals=Originals(NOBODY, site.token, pause_s=0.0))
    assert (ended.state, ended.reason) == (PilotState.FAILED, "the admin does not answer")


def test_what_the_worker_lacks_is_found_before_an_approval_is_used_up(site: PilotSite) -> None:
    def unbuilt() -> Looker:
        raise WeightsError("the weights of a judge are missing")

    pilot = site.step(site.ask())
    site.approve()
    failed = site.step(pilot, examiner=unbuilt)
    assert (failed.state, failed.reason) == (PilotState.FAILED, "the weights of a judge are missing")
    assert {request.state for request in site.requests()} == {RequestState.CANCELLED}


def test_a_published_picture_that_is_gone_is_found_before_too(site: PilotSite) -> None:
    pilot = site.step(site.ask())
    photo = site.restricted.office.ledger.photo(pilot.photos[1].photo_id)
    assert photo.image_sha256
    site.restricted.office.blobs.delete(photo.image_sha256)
    site.approve()
    failed = site.step(pilot)
    assert failed.state is PilotState.FAILED
    assert {request.state for request in site.requests()} == {RequestState.CANCELLED}
    with pytest.raises(BlobMissingError):
        site.restricted.office.blobs.get(photo.image_sha256)


def test_photos_that_come_too_late_are_left_out(site: PilotSite) -> None:
    class Slow(Looker):
        def look(self, specimen: object) -> None:
            super().look(specimen)  # type: ignore[arg-type]
            site.later(minutes=10)

    slow = Slow()
    pilot = site.step(site.ask())
    site.approve()
    limits = Limits(lease_s=10_000)
    done = site.step(pilot, examiner=lambda: slow, limits=limits)
    assert (done.state, done.approved, done.measured) == (PilotState.DONE, 3, 2)
    assert len(slow.seen) == 2


def test_an_admin_that_goes_away_in_the_middle_costs_the_rest_only(site: PilotSite) -> None:
    class Leaving(Originals):
        given = 0

        def retrieve(self, request_id: str):  # type: ignore[no-untyped-def]
            if self.given:
                raise OriginalsAwayError("the admin does not answer")
            self.given += 1
            return super().retrieve(request_id)

    pilot = site.step(site.ask())
    site.approve()
    done = site.step(pilot, originals=Leaving(site.url, site.token, pause_s=0.0))
    assert (done.state, done.measured) == (PilotState.DONE, 1)


def test_whoever_withdraws_meanwhile_ends_it_and_leaves_nothing(site: PilotSite) -> None:
    pilot = site.step(site.ask())
    site.approve()
    ledger = site.restricted.office.ledger

    def withdrawn(step: str) -> None:
        if step == "retrieved":
            ledger.forget_subject(site.project.project_id, "Jane Doe", now=site.restricted.clock())

    jobs.bind(site.runtime(checkpoint=withdrawn))
    jobs.pilot(PilotTask(pilot.pilot_id).to_json())
    assert ledger.pilots(site.project.project_id) == []


def test_an_interrupted_one_says_so_and_leaves_no_approval_behind(site: PilotSite) -> None:
    def die(step: str) -> None:
        if step == "retrieved":
            raise DiedError

    pilot = site.step(site.ask())
    site.approve()
    with pytest.raises(DiedError):
        site.step(pilot, checkpoint=die)
    assert site.step(pilot).state is PilotState.MEASURING  # the claim still holds
    lapse(site)
    failed = site.step(pilot)
    assert failed.state is PilotState.FAILED
    assert "ask again" in (failed.reason or "")
    states = [request.state for request in site.requests()]
    assert sorted(states) == [RequestState.CANCELLED, RequestState.CANCELLED, RequestState.RETRIEVED]
    assert site.looker.seen == []


def test_what_was_asked_for_before_a_crash_is_not_asked_for_twice(site: PilotSite) -> None:
    def die(step: str) -> None:
        if step == "asked" and len(site.requests()) == 2:
            raise DiedError

    pilot = site.ask()
    with pytest.raises(DiedError):
        site.step(pilot, checkpoint=die)
    lapse(site)
    waiting = site.step(pilot)
    assert waiting.state is PilotState.WAITING
    assert len(site.requests()) == 3
    assert {photo.request_id for photo in waiting.photos} == {request.request_id for request in site.requests()}


def test_two_workers_at_once_ask_once(site: PilotSite) -> None:
    pilot = site.ask()
    threads = [threading.Thread(target=lambda: site.step(pilot)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(site.requests()) == 3


def test_whose_originals_are_not_kept_any_more_there_is_no_pilot_of(tmp_path: Path) -> None:
    with pilot_site.running(tmp_path, photos=1) as site:
        pilot = site.ask()
        with site.restricted.workshop.vault._engine.begin() as connection:
            connection.execute(text("DELETE FROM sealed_records"))
        failed = site.step(pilot)
        assert failed.state is PilotState.FAILED
        assert "kept any more" in (failed.reason or "")
