"""What programs are told: everything that the description names, and nothing of whom or where."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import admin_office
import pytest
import yaml
from admin_office import APPROVES, ASKS, KEEPS, TASK, Restricted
from jsonschema_rs import Draft202012Validator
from recovery_site import picture

from backend.admin import told
from backend.ledger.records import Photo

DESCRIBED = yaml.safe_load((Path(told.__file__).parent / "openapi.yaml").read_text("utf-8"))


def check(name: str, value: Any) -> None:
    """As openapi.yaml has it, once it went through JSON."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DESCRIBED["components"]}
    Draft202012Validator(schema, validate_formats=True).validate(json.loads(json.dumps(value)))


@pytest.fixture
def restricted(tmp_path: Path) -> Iterator[Restricted]:
    with admin_office.opened(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def photo(restricted: Restricted) -> Photo:
    return restricted.photo(restricted.project(), picture(60, 80), subject_id="Ada Example")


def test_a_photo_is_told_without_whose_it_is_and_where_it_lies(restricted: Restricted, photo: Photo) -> None:
    said = told.photo(photo)
    check("Photo", said)
    assert (said["photo_id"], said["labelstudio_task_id"], len(said["faces"])) == (photo.photo_id, TASK, 2)
    for kept in (photo.subject_id, photo.source_sha256, photo.image_sha256, photo.image_key):
        assert kept
        assert str(kept) not in json.dumps(said)
    project = told.project(restricted.office.ledger.project(photo.project_id))
    check("Project", project)
    assert project["title"] == "Waiting room"


def test_a_request_in_every_state(restricted: Restricted, photo: Photo) -> None:
    office, now = restricted.office, restricted.clock()
    asks, approves = restricted.actor(ASKS), restricted.actor(APPROVES)
    asked = office.request(asks, photo_id=photo.photo_id, face_indices=[1, 0], reason="why", reference=None, now=now)
    first = told.request(asked)
    check("Request", first)
    assert (first["state"], first["faces"], first["approved_by"], first["decided_at"]) == ("open", [0, 1], [], None)
    assert (first["requested_by"], first["reason"], first["kind"]) == (asks.account_id, "why", "recovery")
    approved = told.request(office.approve(approves, asked.request_id, now=now))
    check("Request", approved)
    assert (approved["state"], approved["approved_by"]) == ("approved", [approves.account_id])
    office.retrieve(asks, asked.request_id, now=now)
    retrieved = told.request(office.get(asks, asked.request_id, now=now))
    check("Request", retrieved)
    assert (retrieved["state"], retrieved["retrieved_at"]) == ("retrieved", now.isoformat())
    access = office.request_access(
        asks, project_id=photo.project_id, subject_id="Ada Example", reason="why", reference="7", now=now
    )
    check("Request", told.request(access))
    assert told.request(access)["subject_id"] == "Ada Example"


def test_a_withdrawal_and_events(restricted: Restricted, photo: Photo) -> None:
    office, keeps = restricted.office, restricted.actor(KEEPS)
    made = office.withdraw(keeps, photo.project_id, "Ada Example", now=restricted.clock())
    check("Withdrawal", told.withdrawal(made))
    check("Withdrawal", told.withdrawal(dataclasses.replace(made, subject_id=None, ended_at=made.due_at)))
    for one in office.audit.events():
        check("Event", told.event(one))
        assert "Ada Example" not in json.dumps(told.event(one))
