"""The console in a real browser: an officer's first minutes, a dispute from the pasted address to the note in a real
Label Studio, a withdrawal; in English and Japanese, with the keyboard, without JavaScript.

Screenshots are kept in the folder that SCREENSHOTS_DIR names, otherwise in the test's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import admin_office
import numpy as np
import pyotp
import pytest
import requests
from admin_office import APPROVES, ASKS, KEEPS, READS, Restricted
from intake_counter import PASSWORD
from label_studio_server import LabelStudioServer
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from playwright.sync_api import Error as PlaywrightError
from recovery_site import picture

from backend.labelstudio import labels
from backend.labelstudio.client import LabelStudio
from backend.ledger.records import Photo
from g2face_model import images
from g2face_model.build import build_anonymizer
from g2face_model.config import ModelConfig
from g2face_model.group_photo import group_photo
from g2face_model.weights import WeightStore

ORIGINAL = picture(300, 400)
CONFIG = labels.expression_config()
_NAMELESS = "all => all.filter(one => !(one.labels?.length || one.ariaLabel || one.innerText)).map(one => one.id)"
REASON = "The annotator says fearful, the reviewer says surprised."


class Console:
    """The admin in a browser; `complaints` are what the browser had to say against the pages."""

    def __init__(self, restricted: Restricted, url: str, browser: Browser, shots: Path) -> None:
        self.restricted, self.url, self._browser, self._shots = restricted, url, browser, shots
        self.complaints: list[str] = []

    def context(
        self, *, language: str = "en", width: int = 1180, scheme: str = "light", scripts: bool = True
    ) -> BrowserContext:
        context = self._browser.new_context(
            viewport={"width": width, "height": 860},
            color_scheme=scheme,  # type: ignore[arg-type]
            base_url=self.url,
            locale=language,
            java_script_enabled=scripts,
        )
        context.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        return context

    def sign_in(self, email: str, **options: object) -> Page:
        """Somebody's browser, signed in by keyboard alone."""
        self.restricted.account(email)
        page = self.context(**options).new_page()  # type: ignore[arg-type]
        page.goto("/")
        expect(page.locator("[name=email]")).to_be_focused()
        page.keyboard.type(email)
        page.keyboard.press("Tab")
        expect(page.locator("[name=password]")).to_be_focused()
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/sign-in/code")
        expect(page.locator("[name=code]")).to_be_focused()
        page.keyboard.type(self.restricted.code(email))
        page.keyboard.press("Enter")
        page.wait_for_url(f"{self.url}/")
        return page

    def shoot(self, page: Page, name: str, *, until: Locator | None = None) -> None:
        """The whole page, or from its top to the end of something in it."""
        path = self._shots / f"admin-{name}.png"
        end = None if until is None else until.bounding_box()
        if end is None:
            page.screenshot(path=path, full_page=True)
            return
        width = page.evaluate("document.documentElement.clientWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": end["y"] + end["height"] + 24}
        page.screenshot(path=path, full_page=True, clip=clip)  # type: ignore[arg-type]


@pytest.fixture
def restricted(tmp_path: Path, label_studio: LabelStudioServer) -> Iterator[Restricted]:
    where = {"labelstudio_url": label_studio.url, "token": label_studio.token}
    with admin_office.opened(tmp_path / "data", clock=lambda: datetime.now(UTC), grace_days=0, **where) as opened:
        yield opened


@pytest.fixture
def console(restricted: Restricted, browser: Browser, shots: Path) -> Iterator[Console]:
    with admin_office.served(restricted) as url:
        opened = Console(restricted, url, browser, shots)
        yield opened
        assert opened.complaints == []


@pytest.fixture
def photo(restricted: Restricted, label_studio: LabelStudioServer) -> Photo:
    """A photo of two people, labelled by an annotator in a real Label Studio."""
    client = LabelStudio(label_studio.url, label_studio.token)
    title = f"Waiting room {uuid.uuid4().hex[:8]}"
    labelstudio_id = int(client.create_project(title, CONFIG)["id"])
    task = {
        "data": {"image": "https://images.example/x", "privacy_key": "k"},
        "meta": {"privacy": {"model_version": "1"}},
    }
    (task_id,) = client.import_tasks(labelstudio_id, [task])
    photo = restricted.photo(
        restricted.project(title, labelstudio_id=labelstudio_id), ORIGINAL, task_id=task_id, subject_id="P-017"
    )
    assert label_studio.api("POST", f"/api/tasks/{task_id}/annotations/", json={"result": _answers(photo, "fear")}).ok
    return photo


def _answers(photo: Photo, expression: str, *, face: int = 1) -> list[dict[str, object]]:
    """What Label Studio's editor sends for one face, its box drawn a little aside."""
    assert photo.width_px is not None
    assert photo.height_px is not None
    left, top, right, bottom = photo.faces[face].box
    place = {
        "x": left / photo.width_px * 100 + 2,
        "y": top / photo.height_px * 100,
        "width": (right - left) / photo.width_px * 100 - 2,
        "height": (bottom - top) / photo.height_px * 100,
        "rotation": 0,
    }
    common = {"id": "Xy12", "to_name": "img", "original_width": photo.width_px, "original_height": photo.height_px}
    return [
        {**common, "from_name": "box", "type": "rectanglelabels", "value": {**place, "rectanglelabels": ["face"]}},
        {**common, "from_name": "expression", "type": "choices", "value": {**place, "choices": [expression]}},
    ]


def test_a_dispute_from_the_address_to_the_note(
    console: Console, photo: Photo, label_studio: LabelStudioServer
) -> None:
    requester, approver = console.sign_in(ASKS), console.sign_in(APPROVES, language="ja")
    task = f"/api/tasks/{photo.labelstudio_task_id}/"
    before = label_studio.api("GET", task).json()

    # She pastes the address that her browser shows, and ticks the face that is disputed.
    console.shoot(requester, "overview")
    requester.get_by_role("link", name="New request").click()
    project = console.restricted.office.ledger.project(photo.project_id)
    requester.get_by_label("Label Studio task").fill(
        f"{label_studio.url}/projects/{project.labelstudio_id}/data?tab=1&task={photo.labelstudio_task_id}"
    )
    requester.keyboard.press("Enter")
    second = requester.get_by_role("checkbox", name="Face 2")
    expect(second).to_have_accessible_name(re.compile("fear"))
    second.focus()
    requester.keyboard.press("Space")
    requester.get_by_label("Why?").fill(REASON)
    requester.get_by_label("Reference of the dispute").fill("LABEL-2041")
    console.shoot(requester, "new-request")
    requester.get_by_role("button", name="Ask for the original").click()
    expect(requester.get_by_text("Somebody else has to approve it.")).to_be_visible()
    address = requester.url
    console.shoot(requester, "request-open")

    # Somebody else reads the reason, in Japanese, and approves.
    approver.reload()
    approver.get_by_role("link", name=re.compile("^[0-9a-f]{8}$")).click()
    expect(approver.get_by_text(REASON)).to_be_visible()
    console.shoot(approver, "request-to-approve-ja")
    approver.get_by_role("button", name="承認する").click()
    expect(approver.get_by_text("承認しました。")).to_be_visible()

    # She sees the original beside the anonymized face, once.
    requester.reload()
    requester.get_by_role("button", name="Show it beside the anonymized face").click()
    expect(requester.get_by_role("heading", name="Original", level=1)).to_be_visible()
    expect(requester.get_by_text(re.compile("^fear annotation"))).to_be_visible()
    console.shoot(requester, "retrieved")
    with requester.expect_download() as saving:
        requester.get_by_role("button", name="Save as PNG").click()
    saved = saving.value.path().read_bytes()
    pixels = images.decode(saved)
    assert np.array_equal(pixels[:, 200:], ORIGINAL[:, 200:])
    assert not np.array_equal(pixels[:, :200], ORIGINAL[:, :200])

    # She says how the dispute ended; Label Studio is told, and told nothing else.
    requester.get_by_role("radio", name="The label has to change").check()
    requester.get_by_role("button", name="Note it in Label Studio").click()
    expect(requester.get_by_text("Noted in Label Studio.")).to_be_visible()
    assert requester.url == address
    assert requester.locator("img[src^='data:']").count() == 0
    console.shoot(requester, "request-decided")
    after = label_studio.api("GET", task).json()
    (note,) = after["meta"]["disputes"].values()
    assert (note["decision"], note["faces"]) == ("label_changes", [2])
    assert after["meta"]["privacy"] == {"model_version": "1"}
    assert after["data"] == before["data"]
    assert len(after["annotations"]) == 1
    known = json.dumps(after)
    for secret in (REASON, "LABEL-2041", "P-017", ASKS, base64.b64encode(saved).decode()[:60]):
        assert secret not in known

    # The way back leads to no second look.
    with pytest.raises(PlaywrightError, match="ERR_CACHE_MISS"):
        requester.go_back()


def test_the_original_is_shown_beside_the_face_that_annotators_see(
    console: Console, label_studio: LabelStudioServer, store: WeightStore
) -> None:
    """With the engine itself, on a person who does not exist."""
    person = np.ascontiguousarray(group_photo(store)[420:960, 930:1460])
    client = LabelStudio(label_studio.url, label_studio.token)
    labelstudio_id = int(client.create_project("Waiting room", CONFIG)["id"])
    (task_id,) = client.import_tasks(labelstudio_id, [{"data": {"image": "https://images.example/x"}}])
    restricted = console.restricted
    photo = restricted.photo(
        restricted.project(labelstudio_id=labelstudio_id),
        person,
        task_id=task_id,
        subject_id="P-017",
        anonymizer=build_anonymizer(ModelConfig(weights_dir=store.directory)),
    )
    assert [face.outcome for face in photo.faces] == ["anonymized"]
    answers = _answers(photo, "surprise", face=0)
    assert label_studio.api("POST", f"/api/tasks/{task_id}/annotations/", json={"result": answers}).ok

    requester, approver = console.sign_in(ASKS), console.sign_in(APPROVES)
    requester.goto(f"/requests/new?task={task_id}")
    requester.get_by_label("Why?").fill("One annotator says surprised, the other says happy.")
    requester.get_by_label("Reference of the dispute").fill("LABEL-2041")
    requester.get_by_label("Reference of the dispute").blur()
    console.shoot(requester, "readme-request")
    requester.get_by_role("button", name="Ask for the original").click()
    approver.goto(requester.url)
    approver.get_by_role("button", name="Approve").click()
    requester.reload()
    requester.get_by_role("button", name="Show it beside the anonymized face").click()
    expect(requester.get_by_role("heading", name="Original", level=1)).to_be_visible()
    console.shoot(requester, "readme-retrieved", until=requester.locator(".card").first)
    anonymized, original = (
        images.decode(
            base64.b64decode((requester.locator(".pair img").nth(at).get_attribute("src") or "").partition(",")[2])
        )
        for at in (0, 1)
    )
    assert anonymized.shape == original.shape
    assert not np.array_equal(anonymized, original)
    with requester.expect_download() as saving:
        requester.get_by_role("button", name="Save as PNG").click()
    assert np.array_equal(images.decode(saving.value.path().read_bytes()), person)


def test_a_withdrawal_and_what_the_log_says_of_it(console: Console, photo: Photo) -> None:
    officer = console.sign_in(KEEPS)
    officer.get_by_role("link", name="Withdrawals", exact=True).click()
    console.shoot(officer, "withdrawals-none")
    officer.get_by_role("link", name="Withdraw a consent").click()
    officer.get_by_label("Subject id").fill("P-017")
    officer.keyboard.press("Enter")
    expect(officer.get_by_text("1 photo", exact=True)).to_be_visible()
    console.shoot(officer, "withdraw")
    officer.get_by_role("button", name="Withdraw their consent").click()
    officer.get_by_role("button", name="Sweep now").click()
    expect(officer.get_by_text("Swept: 1 shredded, 0 records expired.")).to_be_visible()
    expect(officer.get_by_text("P-017")).to_have_count(0)
    console.shoot(officer, "withdrawals")
    with officer.expect_download() as saving:
        officer.get_by_role("link", name="Receipt").click()
    assert json.loads(saving.value.path().read_text())["document"]["project_id"] == photo.project_id
    officer.get_by_role("link", name="Keys", exact=True).click()
    console.shoot(officer, "keys")

    auditor = console.sign_in(READS, language="ja")
    auditor.get_by_role("link", name="監査ログ", exact=True).click()
    auditor.get_by_role("button", name="いま検証").click()
    expect(auditor.get_by_text("ログは完全です。")).to_be_visible()
    expect(auditor.get_by_text("subject.shredded")).to_be_visible()
    console.shoot(auditor, "audit-ja")


def test_the_language_is_switched_on_the_page(console: Console) -> None:
    page = console.sign_in(ASKS)
    page.goto("/requests?state=open")
    page.get_by_role("link", name="日本語").click()
    expect(page.get_by_role("heading", name="申請", level=1)).to_be_visible()
    assert page.url.endswith("/requests?state=open")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", name="Requests", level=1)).to_be_visible()


def test_everything_works_without_javascript(console: Console, photo: Photo) -> None:
    requester = console.sign_in(ASKS, scripts=False)
    approver = console.sign_in(APPROVES, scripts=False)
    requester.goto(f"/requests/new?task={photo.labelstudio_task_id}")
    requester.get_by_role("checkbox", name="Face 1").check()
    requester.get_by_label("Why?").fill(REASON)
    requester.get_by_role("button", name="Ask for the original").click()
    approver.goto(requester.url)
    approver.get_by_role("button", name="Approve").click()
    requester.reload()
    with requester.expect_download() as saving:
        requester.get_by_role("button", name="Download it instead").click()
    pixels = images.decode(saving.value.path().read_bytes())
    assert np.array_equal(pixels[:, :200], ORIGINAL[:, :200])


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1180, "dark")])
def test_small_and_dark_screens(console: Console, photo: Photo, width: int, scheme: str) -> None:
    everyone = console.restricted.account("all@example.org", ["requester", "approver", "auditor", "key_officer"])
    page = console.sign_in(everyone.email, width=width, scheme=scheme, language="ja")
    asked = console.restricted.office.request(
        console.restricted.actor(ASKS),
        photo_id=photo.photo_id,
        face_indices=[0],
        reason=REASON,
        reference=None,
        now=datetime.now(UTC),
    )
    paths = ("", f"requests/{asked.request_id}", "requests", "requests/new", "withdrawals", "audit", "keys", "account")
    for path in paths:
        page.goto(f"/{path}")
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wider <= 0, path
        controls = page.locator("input:not([type=hidden]), select, textarea, button")
        assert controls.evaluate_all(_NAMELESS) == [], path
        console.shoot(page, "-".join([scheme, str(width), path.replace("/", "-")[:14] or "overview"]))


def test_an_officer_s_first_minutes(browser: Browser, tmp_path: Path, shots: Path) -> None:
    """From the printed one-time password to the console, in the process that is really served."""
    folder, port = tmp_path / "data", _free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "G2FACE_DATA_DIR": str(folder),
        "G2FACE_ADMIN__PORT": str(port),
        "G2FACE_ADMIN__APPROVALS": "0",
    }
    command = [sys.executable, "-m", "backend.admin"]
    subprocess.run([*command, "init-keys"], env=environment, check=True, capture_output=True)
    with subprocess.Popen([*command, "serve"], env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            email = server.stdout.readline().removeprefix("First account: ").strip()
            one_time = server.stdout.readline().removeprefix("One-time password: ").strip()
            _await(f"http://127.0.0.1:{port}/health")
            page = browser.new_context(
                base_url=f"http://127.0.0.1:{port}", viewport={"width": 1180, "height": 860}
            ).new_page()
            page.goto("/")
            page.get_by_label("E-mail").fill(email)
            page.get_by_label("Password").fill(one_time)
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="Set up your phone")).to_be_visible()
            page.screenshot(path=shots / "admin-phone.png", full_page=True)
            secret = page.locator("#secret").inner_text().replace(" ", "")
            page.get_by_role("textbox").fill(pyotp.TOTP(secret).now())
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
            page.get_by_label("New password").fill(PASSWORD)
            page.get_by_label("The same once more").fill(PASSWORD)
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name="Overview")).to_be_visible()
            expect(page.get_by_text("No second person.")).to_be_visible()
            page.screenshot(path=shots / "admin-alone.png", full_page=True)
        finally:
            server.terminate()
            told = server.stdout.read() if server.stdout else ""
            server.wait(timeout=20)
    assert one_time not in told
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert one_time.encode() not in everything
    assert hashlib.sha256(one_time.encode()).hexdigest().encode() not in everything


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            requests.get(url, timeout=2)
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the admin does not answer")
