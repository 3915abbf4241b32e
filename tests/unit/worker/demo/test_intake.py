from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pictures
import pytest
from intake_counter import Counter, open_counter, served
from PIL import Image as Pillow

from backend.intake.auth import Door
from worker.demo import intake, photos
from worker.demo.intake import Intake
from worker.demo.photos import Original
from worker.demo.processes import DemoError


def picture(number: int) -> Original:
    return Original(f"{number}.png", pictures.saved(Pillow.new("RGB", (20, 20), (number, 0, 0)), "PNG"))


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    opened = open_counter(tmp_path / "data")
    yield opened
    opened.desk.ledger.close()


@pytest.fixture
def client(counter: Counter) -> Iterator[Intake]:
    token = Door(counter.accounts, counter.clock).issue_token(counter.account(), days=1)
    with served(counter) as url:
        yield Intake(url, token)


def test_photos_in_several_parts_keep_their_subjects(
    counter: Counter, client: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_PART_BYTES", 200)
    project_id = counter.project().project_id
    originals = [picture(number) for number in range(5)]
    broken = Original("broken.png", b"no picture")
    results = client.hand_in(project_id, [*originals, broken, photos.manifest([one.name for one in originals])])
    assert {one["name"] for one in results if one["photo_id"]} == {one.name for one in originals}
    assert [one["name"] for one in results if one["reason"]] == ["broken.png"]
    kept = counter.desk.ledger.photos(project_id)
    assert sorted(str(photo.subject_id) for photo in kept) == [f"S-{number:03}" for number in range(1, 6)]
    assert client.progress(project_id)["waiting"] == 5


def test_all_photos_are_listed_page_by_page(counter: Counter, client: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.intake.api.PAGE_OF_PHOTOS", 2)
    project_id = counter.project().project_id
    results = client.hand_in(project_id, [picture(number) for number in range(5)])
    assert {one["photo_id"] for one in client.photos(project_id)} == {one["photo_id"] for one in results}


def test_a_refusal_is_told_in_the_intake_s_words(counter: Counter, client: Intake) -> None:
    with pytest.raises(DemoError, match="the intake refused: "):
        client.progress("0" * 32)
    with pytest.raises(DemoError, match="the intake refused: "):
        Intake(client._base.removesuffix("/api/v1"), "wrong").progress(counter.project().project_id)


def test_an_intake_that_is_away() -> None:
    with pytest.raises(DemoError, match="does not answer"):
        Intake("http://127.0.0.1:9", "token").progress("0" * 32)
