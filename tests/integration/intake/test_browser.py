"""A project manager's first day in a real browser: from the one-time password to the last photo published.

Screenshots are kept in the folder that SCREENSHOTS_DIR names, otherwise in the test's own.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pictures
import pytest
from intake_counter import MANAGER, PASSWORD, Counter, open_counter, served
from label_studio_server import LabelStudioServer
from PIL import Image as Pillow
from playwright.sync_api import Browser, BrowserContext, Page, expect
from s3_server import Bucket

from backend.labelstudio.client import LabelStudio
from backend.ledger.records import Photo, PhotoState
from backend.storage import BlobStore

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


class Visit:
    """An intake, a browser, and a folder for pictures of what is seen."""

    def __init__(self, counter: Counter, url: str, browser: Browser, shots: Path) -> None:
        self.counter, self.url, self._browser, self._shots = counter, url, browser, shots
        self.complaints: list[str] = []

    def context(self, *, width: int = 1180, scheme: str = "light", **options: object) -> BrowserContext:
        size = {"width": width, "height": 860}
        context = self._browser.new_context(viewport=size, color_scheme=scheme, base_url=self.url, **options)  # type: ignore[arg-type]
        context.on("console", lambda line: self.complaints.append(line.text) if line.type == "error" else None)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        return context

    def shoot(self, page: Page, name: str) -> None:
        page.screenshot(path=self._shots / f"intake-{name}.png", full_page=True)


class HeldStore(BlobStore):
    """A store that puts nothing away until it is let go."""

    def __init__(self, store: BlobStore) -> None:
        self._store, self.let_go = store, threading.Event()

    def put(self, data: bytes, *, name: str | None = None) -> str:
        assert self.let_go.wait(60)
        return self._store.put(data, name=name)


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("SCREENSHOTS_DIR") or tmp_path / "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visit(
    tmp_path: Path, shots: Path, browser: Browser, label_studio: LabelStudioServer, redis_url: str
) -> Iterator[Visit]:
    client = LabelStudio(label_studio.url, label_studio.token)
    counter = open_counter(tmp_path / "data", redis_url=redis_url, labelstudio=client, clock=lambda: datetime.now(UTC))
    with served(counter) as url:
        yield Visit(counter, url, browser, shots)
    counter.desk.ledger.close()


def photo(number: int) -> bytes:
    return pictures.saved(Pillow.new("RGB", (40, 30), (number * 5 % 256, 90, 77)), "JPEG")


def pile(folder: Path, count: int) -> Path:
    """A folder of photos with a list of who is who, and one file that is no photo."""
    (folder / "monday").mkdir(parents=True)
    for number in range(count):
        (folder / "monday" / f"{number:04}.jpg").write_bytes(photo(number))
    rows = [f"monday/{number:04}.jpg,P-{number % 7:03},C-{number:04}" for number in range(count)]
    (folder / "subjects.csv").write_text("\n".join(["file,subject_id,consent", *rows]))
    (folder / "notes.jpg").write_bytes(b"not a photo at all")
    (folder / ".DS_Store").write_bytes(b"litter")
    return folder


def drop(page: Page, *paths: Path) -> None:
    """Drag files and folders from the desktop over the page and let go, as the system would."""
    box = page.locator("#drop").bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 40, "data": data}
    session.send("Input.dispatchDragEvent", {"type": "dragEnter", **place})
    session.send("Input.dispatchDragEvent", {"type": "dragOver", **place})
    expect(page.locator("#drop")).to_have_class("drop over")
    session.send("Input.dispatchDragEvent", {"type": "drop", **place})
    session.detach()


def sign_in(page: Page, password: str = PASSWORD) -> None:
    page.goto("/")
    page.get_by_label("E-mail").fill(MANAGER)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def work_on(counter: Counter, photos: list[Photo], *, publish: bool = True) -> None:
    """What a worker does to the ledger."""
    ledger, now = counter.desk.ledger, counter.clock()
    for number, one in enumerate(photos):
        assert ledger.claim(one.photo_id, revision=one.policy_revision, now=now, lease_s=60)
        ledger.ready(
            one.photo_id,
            image_key=one.photo_id * 2,
            image_sha256="0" * 64,
            image_format="png",
            width_px=40,
            height_px=30,
            faces=[],
            model_version="g2face-1",
            now=now - timedelta(seconds=len(photos) - number),
        )
        if publish:
            ledger.published({one.photo_id: number + 1}, now=now)


def test_a_project_manager_s_first_day(visit: Visit, tmp_path: Path) -> None:
    counter = visit.counter
    _, one_time = counter.accounts.create(MANAGER, roles=["manager"], now=counter.clock())
    context = visit.context()
    page = context.new_page()

    # The one-time password leads to a password of her own, and nowhere else.
    sign_in(page, one_time)
    expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
    visit.shoot(page, "password")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same once more").fill(PASSWORD)
    page.get_by_role("button", name="Keep this password").click()
    expect(page.get_by_text("No project yet")).to_be_visible()

    # She makes a project; a title is only asked for when one is to be made.
    page.get_by_role("link", name="Connect a project").click()
    expect(page.get_by_label("Title")).to_be_visible()
    page.get_by_label("Title").fill("Waiting room expressions")
    visit.shoot(page, "connect")
    page.get_by_role("button", name="Connect the project").click()
    expect(page.get_by_role("heading", name="Waiting room expressions", level=1)).to_be_visible()
    (project,) = counter.desk.ledger.projects()

    # She sets the policy.
    page.get_by_role("link", name="Policy").click()
    page.get_by_text("Hold the photo back").click()
    page.get_by_label("What is sealed expires after").fill("365")
    page.get_by_role("button", name="Keep as revision 2").click()
    expect(page.get_by_text("Policy revision 2 holds from now on.")).to_be_visible()
    visit.shoot(page, "policy")
    policy = counter.desk.ledger.project(project.project_id).policy
    assert (policy.strictness, policy.retention_days, policy.recovery) == ("strict", 365, "exact")

    # She drops a folder: photos arrive sealed with who is in them, the file that is none is named.
    page.get_by_role("link", name="Photos").click()
    drop(page, pile(tmp_path / "ward", 48))
    expect(page.locator("#handing-title")).to_have_text("48 accepted, 1 not. They are on their way.")
    expect(page.locator("#outcomes li")).to_have_count(1)
    expect(page.locator("#outcomes")).to_contain_text("ward/notes.jpg")
    expect(page.locator("#outcomes")).to_contain_text("Not a picture of a kind we read")
    expect(page.locator("#progress")).to_contain_text("of 48 photos published")
    photos = counter.desk.ledger.photos(project.project_id)
    assert {one.subject_id for one in photos} == {f"P-{number:03}" for number in range(7)}
    assert sum(counter.desk.jobs.depth().values()) == 48
    assert counter.original(photos[0]) in {photo(number) for number in range(48)}

    # A worker sets about it, and the page tells without being reloaded.
    work_on(counter, photos[:30])
    work_on(counter, photos[30:33], publish=False)
    now = counter.clock()
    for one, reason in ((photos[33], "a face could not be replaced well enough"), (photos[34], "it is too dark")):
        counter.desk.ledger.claim(one.photo_id, revision=2, now=now, lease_s=60)
        counter.desk.ledger.fail(one.photo_id, reason=reason, now=now)
    counter.desk.ledger.claim(photos[35].photo_id, revision=2, now=now, lease_s=60)
    expect(page.locator("#progress .tally b")).to_have_text("30", timeout=20_000)
    expect(page.locator("#progress .eta")).to_contain_text("left")
    failures = page.locator("#failures")
    expect(failures).to_contain_text("A face could not be replaced well enough.")
    expect(failures).to_contain_text("ward/monday/00")  # known to this page alone
    visit.shoot(page, "project")

    # She tries one again and cancels the rest.
    failures.get_by_role("button", name=f"Try photo {photos[33].photo_id[:8]} again").click()
    expect(page.get_by_text(f"Photo {photos[33].photo_id[:8]} is tried again.")).to_be_visible()
    assert counter.desk.ledger.photo(photos[33].photo_id).state is PhotoState.WAITING
    page.get_by_text("Cancel what waits or has failed").click()
    page.get_by_role("button", name="Cancel 14 photos").click()
    expect(page.get_by_text("14 photos are cancelled")).to_be_visible()

    # Nothing leaks, and Label Studio agrees.
    page.get_by_role("link", name="Label Studio").click()
    page.get_by_role("button", name="Run the check").click()
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    visit.shoot(page, "label-studio")
    page.get_by_role("link", name="g2face intake").click()
    expect(page.get_by_text("30 of 34 photos published")).to_be_visible()
    visit.shoot(page, "projects")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    visit.shoot(page, "sign-in")
    assert visit.complaints == []
    context.close()


def test_pages_fit_a_phone_and_the_night(visit: Visit) -> None:
    counter = visit.counter
    counter.account()
    project = counter.project("Waiting room expressions", strictness="strict")
    for number in range(40):
        counter.desk.ledger.add_photo(
            project.project_id, origin="intake", source_sha256=f"{number:064}", now=counter.clock()
        )
    photos = counter.desk.ledger.photos(project.project_id)
    work_on(counter, photos[:24])
    counter.desk.ledger.claim(photos[30].photo_id, revision=1, now=counter.clock(), lease_s=60)
    counter.desk.ledger.fail(photos[30].photo_id, reason="the picture is damaged or cut short", now=counter.clock())
    for name, width, scheme in (("phone", 390, "light"), ("dark", 1180, "dark")):
        context = visit.context(width=width, scheme=scheme)
        page = context.new_page()
        sign_in(page)
        page.wait_for_url(f"{visit.url}/")
        for path in ("/", "/projects/new", "/tokens", f"/projects/{project.project_id}"):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        visit.shoot(page, f"project-{name}")
        context.close()
    assert visit.complaints == []


def test_the_keyboard_reaches_everything_and_shows_where_it_is(visit: Visit) -> None:
    counter = visit.counter
    counter.account()
    project = counter.project()
    context = visit.context()
    page = context.new_page()
    sign_in(page)
    page.wait_for_url(f"{visit.url}/")
    page.goto(f"/projects/{project.project_id}")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    reached = []
    while True:
        page.keyboard.press("Tab")
        tag, text, outline = page.evaluate(
            "[document.activeElement].map(at => [at.tagName, at.innerText, getComputedStyle(at).outlineStyle])[0]"
        )
        if tag == "BODY":  # once around
            break
        assert outline == "solid", text
        reached.append(text.strip())
    for wanted in ("Projects", "Sign out", "Turn off", "Policy", "Choose files", "Choose a folder"):
        assert wanted in reached
    context.close()


def test_photos_can_be_handed_in_without_a_script(visit: Visit, tmp_path: Path) -> None:
    counter = visit.counter
    counter.account()
    project = counter.project()
    (tmp_path / "a.jpg").write_bytes(photo(1))
    context = visit.context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page)
    page.wait_for_url(f"{visit.url}/")
    page.goto(f"/projects/{project.project_id}")

    page.locator("#files").set_input_files(tmp_path / "a.jpg")
    page.get_by_role("button", name="Hand in").click()

    expect(page.get_by_role("heading", name="1 of 1 photos accepted")).to_be_visible()
    context.close()


def test_photos_are_collected_from_s3_while_the_page_tells_how_far_it_is(
    tmp_path: Path, shots: Path, browser: Browser, bucket: Bucket
) -> None:
    bucket.put({f"ward/monday/{number:04}.jpg": photo(number) for number in range(45)})
    bucket.put({"ward/notes.jpg": b"not a photo at all", "ward/who.csv": b"file,subject_id\nmonday/0000.jpg,P-1\n"})
    counter = open_counter(tmp_path / "data", clock=lambda: datetime.now(UTC))
    store = HeldStore(counter.desk.blobs)
    counter = counter.with_desk(s3_prefixes=(f"s3://{bucket.name}/ward",), blobs=store)
    counter.account()
    project = counter.project("Waiting room expressions")
    with served(counter) as url:
        visit = Visit(counter, url, browser, shots)
        context = visit.context()
        page = context.new_page()
        sign_in(page)
        page.wait_for_url(f"{url}/")
        page.goto(f"/projects/{project.project_id}")
        page.get_by_text("Collect photos from S3").click()
        page.get_by_label("Folder", exact=True).fill(f"s3://{bucket.name}/ward/")
        page.get_by_role("button", name="Collect", exact=True).click()

        collection = page.locator("#collection")
        expect(collection).to_contain_text("0 of 46 photos", timeout=20_000)
        stop = page.get_by_role("button", name="Stop collecting")
        stop.focus()
        visit.shoot(page, "collecting")
        store.let_go.set()

        expect(page.locator("#collection-head")).to_contain_text("45 accepted, 1 not", timeout=30_000)
        expect(stop).to_be_hidden()
        expect(page.locator("#collection-told")).to_contain_text("notes.jpg")
        expect(page.locator("#progress")).to_contain_text("of 45 photos published", timeout=20_000)
        subjects = {one.subject_id for one in counter.desk.ledger.photos(project.project_id)}
        assert subjects == {"P-1", None}
        visit.shoot(page, "collected")
        assert visit.complaints == []
        context.close()
    counter.desk.ledger.close()


def test_collecting_works_without_a_script_and_on_a_phone(
    tmp_path: Path, shots: Path, browser: Browser, bucket: Bucket
) -> None:
    bucket.put({"ward/a.jpg": photo(1)})
    counter = open_counter(tmp_path / "data", clock=lambda: datetime.now(UTC))
    counter = counter.with_desk(s3_prefixes=(f"s3://{bucket.name}/ward",))
    counter.account()
    project = counter.project()
    with served(counter) as url:
        visit = Visit(counter, url, browser, shots)
        context = visit.context(width=390, java_script_enabled=False)
        page = context.new_page()
        sign_in(page)
        page.wait_for_url(f"{url}/")
        page.goto(f"/projects/{project.project_id}")
        page.get_by_text("Collect photos from S3").click()
        page.get_by_label("Folder", exact=True).fill(f"s3://{bucket.name}/ward")
        page.get_by_role("button", name="Collect", exact=True).click()
        for _ in range(60):
            if page.get_by_text("All 1 accepted").is_visible():
                break
            page.wait_for_timeout(200)
            page.reload()
        expect(page.get_by_text("All 1 accepted")).to_be_visible()
        visit.shoot(page, "collected-phone")
        context.close()
    counter.desk.ledger.close()
