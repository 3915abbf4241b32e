"""One photo's whole life: handed in, anonymized, disputed, given back bit for bit, and then withdrawn for ever.

Everything is a process of its own, as it is run; only the engine is a stand-in that needs no time."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from telltale_photos import Traces, pixels, portrait
from whole_site import Site
from workshop import Workshop

from backend.custody.records import SubjectRef
from backend.ledger.records import Photo
from g2face_model import images
from worker.demo.photos import Original
from worker.demo.processes import Children, answers, free_port, run

PEOPLE = {
    "requester": "admin:request",
    "approver": "admin:approve",
    "auditor": "admin:audit",
    "key_officer": "admin:keys",
}
MANAGE = ["-m", "backend.admin"]
WHOSE, SUBJECT = "Rita Requested", "patient-7f3a9c51"


@dataclass(frozen=True)
class Endpoint:
    """The admin as a process of its own, and a program for each duty."""

    url: str
    tokens: dict[str, str]
    environment: dict[str, str]

    def __call__(self, who: str, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        return requests.request(method, f"{self.url}/api/v1{path}", headers=headers, timeout=60, **options)


@dataclass(frozen=True)
class Given:
    """A photo that was handed in and published, and its original."""

    original: Original
    project_id: str
    labelstudio_id: int
    photo: Photo


@pytest.fixture(scope="module")
def admin(site: Site) -> Iterator[Endpoint]:
    port = free_port(0)
    changes = {"G2FACE_ADMIN__PORT": str(port), "G2FACE_ADMIN__GRACE_DAYS": "0"}
    environment, tokens, python = site.environment | changes, {}, sys.executable
    for role, scope in PEOPLE.items():
        email = f"{role}@example.org"
        run("account", [python, *MANAGE, "accounts", "add", email, role], environment)
        command = [python, *MANAGE, "accounts", "tokens", email, "--issue", scope]
        tokens[role] = run("token", command, environment).strip()
    with Children(site.logs) as children:
        children.start("admin", [python, *MANAGE, "serve"], environment)
        url = f"http://127.0.0.1:{port}"
        children.wait_for(partial(answers, f"{url}/health"), within_s=120, what="the admin")
        yield Endpoint(url, tokens, environment)


@pytest.fixture(scope="module")
def given(site: Site) -> Given:
    made = site.intake.create_project("Disputed", {"suggest_expressions": True})
    original = portrait(3, whose=WHOSE)
    listed = Original("subjects.csv", f"file,subject_id,consent\n{original.name},{SUBJECT},C-2026-0815\n".encode())
    (result,) = site.intake.hand_in(made["project_id"], [original, listed])
    progress = site.finish(made["project_id"], photos=1)
    assert (progress["published"], progress["failed"]) == (1, 0)
    ledger = site.ledger()
    photo = ledger.photo(result["photo_id"])
    ledger.close()
    return Given(original, made["project_id"], made["labelstudio_id"], photo)


def ask(admin: Endpoint, photo: dict[str, Any]) -> requests.Response:
    faces = [face["index"] for face in photo["faces"]]
    wanted = {"photo_id": photo["photo_id"], "faces": faces, "reason": "The label is disputed.", "reference": "LS-1"}
    return admin("requester", "POST", "/requests", json=wanted)


def test_the_life_of_a_photo(site: Site, admin: Endpoint, given: Given) -> None:
    png = get_back(site, admin, given)
    waits = approved(admin, given)
    needles = what_is_kept(site, given.photo)
    assert all(found_in(site.folder, needle) for needle in needles)  # or the search below would prove nothing
    withdraw(admin, given)
    for _ in range(2):
        refused(admin("requester", "POST", f"/requests/{waits}/retrieve"))  # though it was approved in time
        refused(ask(admin, found(admin, given)))
    nothing_is_left(site, given, needles, png)


def refused(answer: requests.Response) -> None:
    """It is gone: said in words, with no picture."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (410, "application/json")
    message = answer.json()["error"]["message"]
    assert re.fullmatch(r"The original of face 0 of photo \w{32} was destroyed\.", message)


def get_back(site: Site, admin: Endpoint, given: Given) -> bytes:
    """A dispute from the task's address to the note in Label Studio; the picture that was seen."""
    request_id = approved(admin, given)
    answer = admin("requester", "POST", f"/requests/{request_id}/retrieve")
    assert (answer.status_code, answer.headers["X-Bit-Exact"]) == (200, "true")
    np.testing.assert_array_equal(images.decode(answer.content), pixels(given.original))
    assert admin("requester", "POST", f"/requests/{request_id}/retrieve").status_code == 409
    decision = {"decision": "label_changes"}
    assert admin("requester", "POST", f"/requests/{request_id}/decision", json=decision).status_code == 200
    task = site.client.task(given.labelstudio_id, given.photo.labelstudio_task_id or 0)
    assert task is not None
    assert task["meta"]["disputes"][request_id]["decision"] == "label_changes"
    return answer.content


def approved(admin: Endpoint, given: Given) -> str:
    """A request that somebody else has approved."""
    request_id: str = ask(admin, found(admin, given)).json()["request_id"]
    assert admin("requester", "POST", f"/requests/{request_id}/retrieve").status_code == 409
    assert admin("approver", "POST", f"/requests/{request_id}/approve").json()["state"] == "approved"
    return request_id


def found(admin: Endpoint, given: Given) -> dict[str, Any]:
    """The photo behind the address that somebody pastes."""
    address = (
        f"https://label-studio.example/projects/{given.labelstudio_id}/data?task={given.photo.labelstudio_task_id}"
    )
    photo: dict[str, Any] = admin("requester", "GET", "/photos", params={"task": address}).json()
    assert photo["photo_id"] == given.photo.photo_id
    return photo


def withdraw(admin: Endpoint, given: Given) -> None:
    """Take consent back and carry it out, with a receipt, in a log that is whole."""
    who = {"project_id": given.project_id, "subject_id": SUBJECT}
    (made,) = admin("key_officer", "POST", "/withdrawals", json=who).json()["withdrawals"]
    report = admin("key_officer", "POST", "/sweep").json()
    assert (report["shredded"], report["failed"], report["problem"]) == (1, 0, None)
    receipt = admin("auditor", "GET", f"/withdrawals/{made['withdrawal_id']}/receipt")
    assert receipt.status_code == 200
    assert SUBJECT not in receipt.text
    assert admin("auditor", "POST", "/audit/verify").status_code == 200
    # By itself, as cron does, when no other process of the test holds a database.
    run("sweep", [sys.executable, *MANAGE, "sweep"], admin.environment)


def what_is_kept(site: Site, photo: Photo) -> list[bytes]:
    """Bytes of the face's sealed pixels, of its key and of its seed, as they lie in the databases."""
    workshop = Workshop(site.folder, redis_url="redis://127.0.0.1:9/0")
    (record,) = [one for one in workshop.records(photo) if one.face_index == 0]
    key = workshop.keyring.get(SubjectRef(photo.project_id, SUBJECT))
    workshop.close()
    assert key is not None
    middle = len(record.sealed) // 2
    return [record.sealed[:48], record.sealed[middle : middle + 48], key.sealed_private_key[-48:], key.identity_seed]


def nothing_is_left(site: Site, given: Given, needles: list[bytes], png: bytes) -> None:
    """Not as it was sealed, nor as coded or plain pixels; whose it was, in one place."""
    original, traces = pixels(given.original), Traces([given.original])
    height, width = original.shape[:2]
    rows = [original[row, width // 3 : width // 2].tobytes() for row in range(height // 3, height // 2)]
    coded = [images.encode(original, kind)[2000:2048] for kind in ("png", "webp")] + [png[len(png) // 2 :][:48]]
    for needle in (*needles, *rows, *coded):
        assert found_in(site.folder, needle) == []
    # The tombstone, so that no late photo makes a new key for them.
    assert found_in(site.folder, SUBJECT.encode()) == ["keys.sqlite3"]
    for path in site.folder.rglob("*"):
        assert not path.is_file() or traces.in_bytes(path.read_bytes()) == [], path


def found_in(folder: Path, needle: bytes) -> list[str]:
    """Files with these bytes in them."""
    return [path.name for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]
