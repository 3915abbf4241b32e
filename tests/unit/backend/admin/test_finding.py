"""What people paste leads to the photo that they mean, and to no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ready_photos
from hypothesis import given
from hypothesis import strategies as st
from ready_photos import NOW

from backend.admin.finding import find_photo
from backend.errors import LedgerUnavailableError, OfficeError
from backend.ledger.ledger import Ledger
from backend.ledger.records import Photo


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('finding') / 'ledger.sqlite3'}")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def photo(ledger: Ledger) -> Photo:
    """Task 345 of Label Studio's project 7; a photo of project 8 that no worker has taken up yet."""
    project = ledger.add_project("Waiting room", 7, now=NOW)
    made = ready_photos.ready(ledger, project, ready_photos.face())
    ledger.published({made.photo_id: 345}, now=NOW)
    ready_photos.waiting(ledger, ledger.add_project("Bus stop", 8, now=NOW), number=9)
    return ledger.photo(made.photo_id)


@pytest.mark.parametrize(
    "pasted",
    [
        "345",
        " 345\n",
        "http://localhost:8080/projects/7/data?tab=3&task=345",
        "https://labels.example.org/ls/projects/7/data/?task=345#top",
        "https://labels.example.org/tasks/345",
        "https://labels.example.org/api/tasks/345/",
        "/projects/7/data?task=345",
    ],
)
def test_an_address_or_a_number_is_found(ledger: Ledger, photo: Photo, pasted: str) -> None:
    assert find_photo(ledger, pasted) == photo


def test_a_photo_is_found_by_its_id(ledger: Ledger, photo: Photo) -> None:
    assert find_photo(ledger, photo.photo_id) == photo


@pytest.mark.parametrize(
    "pasted", ["346", "http://localhost/projects/8/data?task=345", "f" * 32, "http://localhost/tasks/999999999999999"]
)
@pytest.mark.usefixtures("photo")
def test_another_s_task_is_nobody_s_photo(ledger: Ledger, pasted: str) -> None:
    with pytest.raises(OfficeError, match="no photo"):
        find_photo(ledger, pasted)


def test_a_photo_that_is_not_anonymized_yet_is_not_found(ledger: Ledger, photo: Photo) -> None:
    (other,) = [one for one in ledger.projects() if one.project_id != photo.project_id]
    (waiting,) = ledger.photos(other.project_id)
    with pytest.raises(OfficeError, match="no photo"):
        find_photo(ledger, waiting.photo_id)


@pytest.mark.usefixtures("photo")
@given(st.text(max_size=60) | st.from_regex(r"https?://[a-z]{1,5}/[a-z0-9/?&=\[\]%]{0,40}"))
def test_nonsense_is_refused_in_words(ledger: Ledger, pasted: str) -> None:
    try:
        found = find_photo(ledger, pasted)
    except OfficeError:
        return
    assert found.labelstudio_task_id == 345


def test_a_ledger_that_is_away_is_no_missing_photo() -> None:
    class Away:
        def photo(self, photo_id: str) -> Photo:
            raise LedgerUnavailableError(photo_id)

    with pytest.raises(LedgerUnavailableError):
        find_photo(Away(), "a" * 32)  # type: ignore[arg-type]
