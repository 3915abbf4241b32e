"""The card of pilot reports on a project's page: what is asked, said and served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from intake_counter import Counter, open_counter
from pilot_steps import ended, published

from backend.ledger.records import PilotState, Project


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    opened = open_counter(tmp_path)
    opened.account()
    return opened


@pytest.fixture
def client(counter: Counter) -> FlaskClient:
    return counter.signed_in()


@pytest.fixture
def project(counter: Counter) -> Project:
    made = counter.project()
    published(counter, made, 4)
    return made


def test_a_pilot_is_asked_for_and_followed(counter: Counter, client: FlaskClient, project: Project) -> None:
    address = f"/projects/{project.project_id}"
    page = client.get(address).text
    assert "Pilot report</button>" in page
    assert re.search(r'name="photos" min="1" max="4" step="1" value="4"', page)
    page = client.post(f"{address}/pilots", data={"photos": "2"}, follow_redirects=True).text
    assert "Asked for a pilot report on 2 photos" in page
    assert "The originals are about to be asked for" in page
    assert "Pilot report</button>" not in page
    (pilot,) = counter.desk.ledger.pilots(project.project_id)
    claimed = counter.desk.ledger.claim_pilot(pilot.pilot_id, now=counter.clock(), lease_s=60)
    assert claimed is not None
    at = counter.clock()
    counter.desk.ledger.await_approvals(claimed, approved=1, expires_at=at, next_at=at, now=at)
    told = client.get(f"{address}/pilots").text
    assert "1 of 2 originals are approved" in told
    assert f"pilot {pilot.pilot_id}" in told


def test_what_is_away_is_told_in_words(counter: Counter, client: FlaskClient, project: Project) -> None:
    pilot = counter.desk.pilots.ask(project.project_id, photos=1, now=counter.clock())
    claimed = counter.desk.ledger.claim_pilot(pilot.pilot_id, now=counter.clock(), lease_s=60)
    assert claimed is not None
    counter.desk.ledger.postpone_pilot(claimed, reason="the admin does not answer", next_at=counter.clock())
    assert (
        "At the moment the admin does not answer. It is tried again"
        in client.get(f"/projects/{project.project_id}").text
    )


def test_under_a_policy_that_keeps_nothing_there_is_a_reason_and_no_button(
    counter: Counter, client: FlaskClient
) -> None:
    nothing = counter.project("Nothing", labelstudio_id=8, recovery="none")
    published(counter, nothing)
    page = client.get(f"/projects/{nothing.project_id}").text
    assert "The policy keeps nothing that leads back to an original" in page
    assert "Pilot report</button>" not in page
    refused = client.post(f"/projects/{nothing.project_id}/pilots", data={"photos": "1"})
    assert refused.status_code == 400
    assert counter.desk.ledger.pilots(nothing.project_id) == []


@pytest.mark.parametrize("photos", ["", "many", "-1", "²", "0", "51"])
def test_how_many_is_a_number(client: FlaskClient, project: Project, photos: str) -> None:
    assert client.post(f"/projects/{project.project_id}/pilots", data={"photos": photos}).status_code == 400


def test_a_report_runs_and_loads_nothing_and_is_kept_by_nobody(
    counter: Counter, client: FlaskClient, project: Project
) -> None:
    pilot = ended(counter, counter.desk.pilots.ask(project.project_id, photos=1, now=counter.clock()))
    address = f"/projects/{project.project_id}/pilots/{pilot.pilot_id}"
    page = client.get(f"/projects/{project.project_id}").text
    assert f'href="{address}/report?language=en"' in page
    assert f'href="{address}/report?language=ja"' in page
    report = client.get(f"{address}/report?language=ja")
    assert report.text == "<h1>報告</h1>"
    assert report.headers["Cache-Control"] == "no-store"
    policy = report.headers["Content-Security-Policy"]
    assert {"sandbox", "default-src 'none'", "img-src data:"} <= set(policy.split("; "))
    assert "script" not in policy
    assert client.get(f"{address}/report").text == "<h1>Pilot</h1>"
    client.post(f"{address}/discard")
    assert client.get(f"{address}/report").status_code == 404
    assert "Pilot report</button>" in client.get(f"/projects/{project.project_id}").text


def test_a_report_is_for_managers_alone(counter: Counter, project: Project) -> None:
    pilot = ended(counter, counter.desk.pilots.ask(project.project_id, photos=1, now=counter.clock()))
    stranger = counter.app.test_client()
    answer = stranger.get(f"/projects/{project.project_id}/pilots/{pilot.pilot_id}/report")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/sign-in")


@pytest.mark.parametrize("state", [PilotState.REFUSED, PilotState.EXPIRED, PilotState.FAILED])
def test_why_one_has_no_report_is_told(
    counter: Counter, client: FlaskClient, project: Project, state: PilotState
) -> None:
    ended(counter, counter.desk.pilots.ask(project.project_id, photos=1, now=counter.clock()), state)
    page = client.get(f"/projects/{project.project_id}").text
    assert "It was refused." in page
    assert state.value.capitalize() in page
    assert "Remove from this list" in page
