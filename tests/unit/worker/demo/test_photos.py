from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from g2face_model import images
from worker.demo import photos
from worker.demo.processes import DemoError


def test_the_portraits_are_pictures() -> None:
    pytest.importorskip("skimage", reason="needs the extra called demo")
    shapes = [images.decode(one.data).shape for one in photos.portraits()]
    assert shapes == [(512, 512, 3), (600, 512, 3)]


def test_portraits_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(photos.PORTRAITS, "nobody.png", ("not_there", "nobody.png"))
    with pytest.raises(DemoError, match="install the extra called demo"):
        photos.portraits()


def test_the_list_names_a_subject_and_a_consent_for_every_photo() -> None:
    rows = list(csv.DictReader(io.StringIO(photos.manifest(["a.png", "b, c.png"]).data.decode())))
    assert [row["file"] for row in rows] == ["a.png", "b, c.png"]
    assert len({row["subject_id"] for row in rows}) == len({row["consent"] for row in rows}) == 2


def test_a_folder_s_pictures_come_with_their_place_in_it(tmp_path: Path) -> None:
    (tmp_path / "monday").mkdir()
    for name in ("monday/b.JPG", "a.png", "list.csv", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    found = photos.of_folder(tmp_path)
    assert [one.name for one in found] == ["a.png", "list.csv", "monday/b.JPG"]
    assert found[2].data == b"monday/b.JPG"


@pytest.mark.parametrize("name", ["", "missing"])
def test_a_folder_without_pictures(tmp_path: Path, name: str) -> None:
    with pytest.raises(DemoError):
        photos.of_folder(tmp_path / name)
