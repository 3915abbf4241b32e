"""Twenty photos from the intake to an annotator's screen, and nothing of an original on the way: everything is real but
the engine for seventeen of them, which paints noise."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import requests
from label_studio_server import PASSWORD
from PIL import Image as Pillow
from playwright.sync_api import Browser, Page, expect
from telltale_photos import Traces, pixels, portrait
from whole_site import Site, addresses_in, all_that_label_studio_tells, fetched
from workshop import Workshop

from backend.ledger.records import Photo, PhotoState
from g2face_model import images
from g2face_model.weights import WeightStore
from worker.demo import photos as sample_photos
from worker.demo.photos import Original

ANNOTATOR = "annotator@vendor.example"
QUICK, REAL = 17, 3
REGIONS = 69  # a box and 68 points


@dataclass(frozen=True, slots=True)
class Study:
    """A project whose photos have been published. by_photo: the original of each photo id, the real engine's first."""

    site: Site
    project_id: str
    labelstudio_id: int
    by_photo: dict[str, Original]
    annotator: str
    """The annotator's token."""

    @property
    def photos(self) -> list[Photo]:
        ledger = self.site.ledger()
        found = [ledger.photo(photo_id) for photo_id in self.by_photo]
        ledger.close()
        return found


@pytest.fixture(scope="module")
def study(site: Site, store: WeightStore) -> Study:
    assert store is not None
    project = site.intake.create_project("Waiting room", {"suggest_expressions": True})
    project_id, by_photo = project["project_id"], {}
    batches = [(REAL, 448, True), (QUICK, 160, False)]
    for count, side_px, real in batches:
        start = len(by_photo)
        originals = [portrait(number, side_px=side_px) for number in range(start, start + count)]
        listed = sample_photos.manifest([one.name for one in originals])
        for original, result in zip(originals, site.intake.hand_in(project_id, [*originals, listed]), strict=True):
            assert result["photo_id"] is not None, result
            by_photo[result["photo_id"]] = original
        progress = site.finish(project_id, photos=len(by_photo), real=real)
        assert (progress["published"], progress["failed"]) == (len(by_photo), 0)
    token = site.label_studio.add_annotator(ANNOTATOR)
    return Study(site, project_id, project["labelstudio_id"], by_photo, token)


def test_every_photo_is_a_task_with_its_prediction(study: Study) -> None:
    tasks = {int(task["id"]): task for task in study.site.client.tasks(study.labelstudio_id)}
    assert len(tasks) == QUICK + REAL
    for photo in study.photos:
        assert photo.state is PhotoState.PUBLISHED
        assert photo.source_blob is None  # the sealed original that waited is gone
        task = tasks[photo.labelstudio_task_id or 0]
        (prediction,) = task["predictions"]
        kinds = [region["type"] for region in prediction["result"]]
        assert kinds.count("rectanglelabels") == len(photo.faces) > 0
        shown = sum(face.outcome == "anonymized" for face in photo.faces)
        assert kinds.count("keypointlabels") == 68 * shown
        answer = fetched(task["data"]["image"], origin=study.site.label_studio.url)
        assert answer.status_code == 200
        seen, original = images.decode(answer.content), pixels(study.by_photo[photo.photo_id])
        assert seen.shape == original.shape
        left, top, right, bottom = (round(edge) for edge in photo.faces[0].box)
        window = slice(max(top, 0), bottom), slice(max(left, 0), right)
        assert (seen[window] != original[window]).any(axis=-1).mean() > 0.5
    assert study.site.client.project(study.labelstudio_id)["model_version"] == "g2face-1"


def test_an_annotator_labels_an_expression_in_the_browser(study: Study, browser: Browser, shots: Path) -> None:
    photo = next(one for one in study.photos if one.faces[0].outcome == "anonymized")
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page, server = context.new_page(), study.site.label_studio
    page.goto(f"{server.url}/user/login")
    page.fill("[name=email]", ANNOTATOR)
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url(lambda url: "login" not in url)
    project, images_at = f"{server.url}/projects/{study.labelstudio_id}/data", f"{study.site.plugin_url}/images/"

    page.goto(project)
    expect(page.locator(f"img[src^='{images_at}']").first).to_be_visible(timeout=60_000)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=shots / "label-studio-tasks.png")

    with page.expect_response(lambda answer: answer.url.startswith(images_at), timeout=60_000) as shown:
        page.goto(f"{project}?task={photo.labelstudio_task_id}")
    assert images.decode(shown.value.body()).shape[:2] == (photo.height_px, photo.width_px)
    page.locator("canvas").first.wait_for(timeout=60_000)
    assert _regions(page) == REGIONS
    heading = page.get_by_text("Expression of the selected face")
    for _ in range(20):  # until the editor is done with its own rendering, a click may come to nothing
        page.get_by_role("treeitem").first.get_by_text("face", exact=True).click()
        page.wait_for_timeout(1000)
        if heading.is_visible():
            break
    expect(heading).to_be_visible()
    choice = page.get_by_role("checkbox", name="surprised").or_(page.get_by_label("surprised")).first
    choice.check()
    page.wait_for_timeout(500)  # the canvas is drawn after the page has settled
    page.screenshot(path=shots / "label-studio-annotating.png")
    with page.expect_response(lambda answer: "/annotations" in answer.url and answer.request.method == "POST"):
        page.get_by_role("button", name="Submit").click()
    context.close()

    (annotation,) = server.api("GET", f"/api/tasks/{photo.labelstudio_task_id}/annotations").json()
    chosen = [region["value"]["choices"] for region in annotation["result"] if region["type"] == "choices"]
    assert chosen == [["surprised"]]
    assert len(annotation["result"]) == REGIONS + 1
    who = server.api("GET", "/api/current-user/whoami", token=study.annotator).json()
    assert annotation["completed_by"] == who["id"]


def _regions(page: Page) -> int:
    """How many regions the editor holds, once it has them."""
    count = "() => window.Htx?.annotationStore?.selected?.regions?.length ?? 0"
    page.wait_for_function(f"({count})() > 0", timeout=60_000)
    found: int = page.evaluate(count)
    return found


def test_an_annotator_finds_nothing_of_an_original_in_label_studio(study: Study) -> None:
    server, traces = study.site.label_studio, Traces(study.by_photo.values())
    told = all_that_label_studio_tells(server, study.annotator, study.labelstudio_id)
    assert traces.in_bytes(told) == []
    for photo in study.photos:
        for secret in (photo.source_sha256, photo.subject_id, photo.consent):
            assert secret is not None
            assert secret.encode() not in told
    pictures = 0
    for address in addresses_in(told):
        answer = fetched(address, origin=server.url)
        assert traces.in_bytes(answer.content) == []
        if not address.startswith(f"{study.site.plugin_url}/images/"):
            continue
        pictures += 1
        assert not traces.is_original(answer.content)
        assert traces.in_bytes(repr(answer.headers).encode()) == []
        with Pillow.open(io.BytesIO(answer.content)) as picture:
            assert not picture.getexif()
            assert not picture.info.keys() - {"dpi", "srgb", "gamma"}
    assert pictures == QUICK + REAL


def test_no_address_of_ours_serves_an_original(study: Study) -> None:
    site = study.site
    signed = site.client.task(study.labelstudio_id, study.photos[0].labelstudio_task_id or 0)
    assert signed is not None
    address = str(signed["data"]["image"])
    query = address.partition("?")[2]
    for photo in study.photos:
        for name in (
            photo.photo_id,
            photo.source_sha256,
            photo.image_sha256,
            photo.image_key,
            f"../{photo.image_sha256}",
        ):
            for tail in ("", f"?{query}"):
                guessed = f"{site.plugin_url}/images/{name}{tail}"
                assert guessed == address or requests.get(guessed, timeout=10).status_code == 404
    for path in ("/api/v1/projects", f"/api/v1/projects/{study.project_id}/photos"):
        for scheme in ("Bearer", "Token"):
            headers = {"Authorization": f"{scheme} {study.annotator}"}
            assert requests.get(site.intake_url + path, headers=headers, timeout=10).status_code == 401


def test_nothing_in_the_clear_lies_on_a_disk_or_in_a_log(study: Study) -> None:
    traces = Traces(study.by_photo.values())
    places = [study.site.folder, study.site.logs, study.site.label_studio.data_dir]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert len(files) > QUICK + REAL
    for path in files:
        assert traces.in_bytes(path.read_bytes()) == [], path
    for log in study.site.logs.iterdir():
        told = log.read_text(errors="replace")
        assert "Traceback" not in told
        for photo in study.photos:
            assert str(photo.subject_id) not in told
            assert str(photo.image_key) not in told


def test_who_holds_the_master_key_gets_every_original_back_bit_for_bit(study: Study) -> None:
    workshop = Workshop(study.site.folder, redis_url="redis://127.0.0.1:9/0")
    for photo in study.photos:
        np.testing.assert_array_equal(workshop.restored(photo), pixels(study.by_photo[photo.photo_id]))
    assert {event.target for event in workshop.events()} >= set(study.by_photo)
    workshop.close()


def test_the_leak_check_finds_nothing(study: Study) -> None:
    assert study.site.intake.leak_check(study.project_id) == {"tasks_checked": QUICK + REAL, "findings": []}
