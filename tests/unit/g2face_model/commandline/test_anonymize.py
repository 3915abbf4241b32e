"""The anonymize command around the engine: batches, bad pictures, names, keys, full disks."""

from __future__ import annotations

import argparse
import json
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pictures import BAD, GOOD, photo
from pixelation import Pixelation

from g2face_model import images, payload_file, recovery
from g2face_model.commandline import anonymize
from g2face_model.commandline.anonymize import Batch
from g2face_model.commandline.explanations import Explanations
from g2face_model.commandline.photos import find
from g2face_model.errors import RecoveryError, VerificationError
from g2face_model.payload_file import Key
from g2face_model.types import AnonymizedImage, Image

KEY = Key(bytes(range(32)))
Lines = dict[str, dict[str, object]]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(images.encode(photo(), "png"))


def lines_of(capsys: pytest.CaptureFixture[str]) -> Lines:
    """What was printed on stdout, by picture; every line has to be strict JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    parsed = [json.loads(line, parse_constant=refuse) for line in capsys.readouterr().out.splitlines()]
    return {line["name"]: line for line in parsed}


def run(inbox: Path, out: Path, batch: Batch | None = None, *, sheet: bool = False) -> int:
    return (batch or Batch(Pixelation(), KEY, out)).run(find([inbox], excluded=out), sheet=sheet)


def test_a_folder_is_anonymized_and_comes_back(inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(inbox, "a.png", "sub/b.png")
    assert run(inbox, out) == 0
    lines = lines_of(capsys)
    assert list(lines) == ["a.png", "sub/b.png"]
    line = lines["sub/b.png"]
    assert (line["status"], line["output"], line["payload"]) == ("anonymized", "sub/b.png.png", "sub/b.png.png.g2face")
    assert (line["width"], line["height"], line["model_version"]) == (32, 24, "pixelation")
    assert isinstance(line["seconds"], float)
    published = images.decode((out / "sub/b.png.png").read_bytes())
    assert not np.array_equal(published, photo())
    payloads = KEY.unseal((out / "sub/b.png.png.g2face").read_bytes(), published)
    assert np.array_equal(recovery.restore(published, payloads), photo())
    assert stat.S_IMODE((out / "sub/b.png.png.g2face").stat().st_mode) == 0o600


def test_every_face_is_described(inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(inbox, "a.png")
    run(inbox, out)
    faces = lines_of(capsys)["a.png"]["faces"]
    assert faces[1] == {  # type: ignore[index]
        "index": 1,
        "outcome": "anonymized",
        "rectangle": [14, 5, 9, 12],
        "similarities": {"colour": None, "shape": 0.25},
        "landmark_nme": 0.0125,
        "expression_agreement": 0.9,
        "attempts": 2,
        "reasons": [],
    }


@pytest.mark.parametrize("format", images.FORMATS)
def test_every_format_comes_back_from_its_file(inbox: Path, out: Path, format: images.Format) -> None:
    put(inbox, "a.png")
    assert run(inbox, out, Batch(Pixelation(), KEY, out, format=format)) == 0
    (picture,) = (path for path in out.iterdir() if path.suffix != payload_file.SUFFIX)
    published = images.decode(picture.read_bytes())
    sealed = picture.with_name(picture.name + payload_file.SUFFIX).read_bytes()
    assert np.array_equal(recovery.restore(published, KEY.unseal(sealed, published)), photo())


def test_without_a_key_nothing_leads_back(inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(inbox, "a.png")
    assert run(inbox, out, Batch(Pixelation(), None, out)) == 0
    first = (out / "a.png.png").read_bytes()
    assert run(inbox, out, Batch(Pixelation(), None, out)) == 0
    assert (out / "a.png.png").read_bytes() != first
    assert os.listdir(out) == ["a.png.png"]
    assert lines_of(capsys)["a.png"]["payload"] is None


def test_the_same_key_gives_the_same_faces_and_another_key_others(inbox: Path, out: Path) -> None:
    put(inbox, "a.png")
    results = []
    for key in (KEY, KEY, Key(bytes(32))):
        run(inbox, out, Batch(Pixelation(), key, out))
        results.append((out / "a.png.png").read_bytes())
    assert results[0] == results[1] != results[2]


def test_stale_payloads_are_not_left_beside_a_new_picture(
    inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(inbox, "a.png")
    run(inbox, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run(inbox, out, Batch(Pixelation(), None, out)) == 1
    assert "earlier run" in str(lines_of(capsys)["a.png"]["error"])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_bad_pictures_cost_one_line_each_and_stop_nobody(
    inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, (make, _) in BAD.items():
        (inbox / name).write_bytes(make())
    for name, make_good in GOOD.items():
        (inbox / name).write_bytes(make_good())
    assert run(inbox, out) == 1
    printed = capsys.readouterr()
    lines: Lines = {line["name"]: line for line in map(json.loads, printed.out.splitlines())}
    assert set(lines) == set(BAD) | set(GOOD)
    for name, (_, reason) in BAD.items():
        assert lines[name]["status"] == "failed"
        assert reason in str(lines[name]["error"])
        assert sum(line.strip("\r ").startswith(f"{name}: ") for line in printed.err.splitlines()) == 1
    for name in GOOD:
        assert lines[name]["status"] in ("anonymized", "no face")
        assert (out / f"{name}.png").exists()
    assert not [path for path in out.iterdir() if path.name.startswith(tuple(BAD))]
    assert "Traceback" not in printed.err
    assert str(inbox) not in printed.out + printed.err


def test_pictures_that_share_a_stem_stay_apart(inbox: Path, out: Path) -> None:
    names = ["a.gif", "a.jpeg", "a.jpg", "a.JPG", "a.png", "a.jpg.png"]
    for name in names:
        (inbox / name).write_bytes(images.encode(photo(), "png"))
    assert run(inbox, out) == 0
    assert {path.name for path in out.glob("*.png")} == {f"{name}.png" for name in names}


def test_two_folders_with_the_same_names(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "x/a.png", "y/a.png")
    assert Batch(Pixelation(), KEY, out).run(find([tmp_path / "x", tmp_path / "y"], excluded=out), sheet=False) == 1
    printed = [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["anonymized", "failed"]


@pytest.mark.parametrize("link", [False, True])
def test_an_input_is_never_overwritten(inbox: Path, capsys: pytest.CaptureFixture[str], link: bool) -> None:
    put(inbox, "a", "b.png")
    (inbox / "a.png").hardlink_to(inbox / "b.png") if link else put(inbox, "a.png")
    before = {path.name: path.read_bytes() for path in inbox.iterdir()}
    found = find([inbox / "a", inbox / "b.png"] + [inbox / "a.png"] * (not link), excluded=inbox)
    assert Batch(Pixelation(), KEY, inbox).run(found, sheet=False) == 1
    assert "overwrite" in str(lines_of(capsys)["a"]["error"])
    assert {name: (inbox / name).read_bytes() for name in before} == before


def test_a_result_folder_inside_the_input_is_not_read(inbox: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(inbox, "a.png")
    out = inbox / "out"
    for _ in range(2):
        assert run(inbox, out, Batch(Pixelation(), KEY, out)) == 0
        assert list(lines_of(capsys)) == ["a.png"]


def test_no_face_is_said_and_kept(inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(inbox, "a.png")
    assert run(inbox, out, Batch(Pixelation(rectangles=()), KEY, out)) == 0
    printed = capsys.readouterr()
    line = json.loads(printed.out)
    assert (line["status"], line["faces"], line["payload"]) == ("no face", [], None)
    assert np.array_equal(images.decode((out / "a.png.png").read_bytes()), photo())
    assert "without a face" in printed.err


@pytest.mark.parametrize(("refuse", "status", "code"), [(False, "covered", 0), (True, "refused", 1)])
def test_covered_faces_pass_or_are_refused(
    inbox: Path, out: Path, capsys: pytest.CaptureFixture[str], refuse: bool, status: str, code: int
) -> None:
    put(inbox, "a.png")
    assert run(inbox, out, Batch(Pixelation(outcome="covered"), KEY, out, refuse=refuse)) == code
    assert lines_of(capsys)["a.png"]["status"] == status
    assert bool(os.listdir(out)) is not refuse


class Raising:
    """An engine that fails on pictures of one size."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        if image.shape[0] == 24:
            raise self.error
        return Pixelation().anonymize(image, seeds)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (VerificationError("face 1 is too alike"), "refused", "face 1 is too alike"),
        (ZeroDivisionError("secret detail"), "failed", "unexpected ZeroDivisionError"),
        (MemoryError(), "failed", "unexpected MemoryError"),
    ],
)
def test_an_engine_that_fails_costs_one_picture(
    inbox: Path, out: Path, capsys: pytest.CaptureFixture[str], error: Exception, status: str, said: str
) -> None:
    put(inbox, "a.png")
    (inbox / "b.png").write_bytes(images.encode(photo(30, 30), "png"))
    assert run(inbox, out, Batch(Raising(error), KEY, out)) == 1
    lines = lines_of(capsys)
    assert (lines["a.png"]["status"], lines["a.png"]["error"]) == (status, said)
    assert lines["b.png"]["status"] == "anonymized"


class Careless:
    """An engine that changes a pixel outside the faces it admits to."""

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        result = Pixelation().anonymize(image, seeds)
        result.image[0, 0] ^= 255
        return result


def test_what_could_not_be_restored_is_not_shown(inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(inbox, "a.png")
    assert run(inbox, out, Batch(Careless(), KEY, out)) == 1
    assert "outside the faces" in str(lines_of(capsys)["a.png"]["error"])
    assert os.listdir(out) == []


def test_the_sheet_is_written_for_its_owner_only(inbox: Path, out: Path) -> None:
    put(inbox, "a.png")
    assert run(inbox, out, sheet=True) == 0
    assert stat.S_IMODE((out / anonymize.SHEET_NAME).stat().st_mode) == 0o600
    assert images.decode((out / anonymize.SHEET_NAME).read_bytes()).shape[1] > 2 * 160


@pytest.fixture
def small_disk(out: Path) -> Iterator[Path]:
    """A disk of 32 kB."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(out)], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield out
    subprocess.run(["umount", str(out)], check=True)


def test_a_full_disk_fails_in_words_and_leaves_nothing_half_written(
    inbox: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    (inbox / "a.png").write_bytes(images.encode(noise, "png"))
    put(inbox, "b.png")
    assert run(inbox, small_disk, sheet=True) == 1
    printed = capsys.readouterr()
    first, second = map(json.loads, printed.out.splitlines())
    assert (first["status"], first["error"]) == ("failed", "No space left on device")
    assert second["status"] == "anonymized"
    assert f"{anonymize.SHEET_NAME}: No space left on device" in printed.err
    assert sorted(os.listdir(small_disk)) == ["b.png.png", "b.png.png.g2face"]


def test_unreadable_folders_and_files_are_said(inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(inbox, "a.png", "b.png", "sub/c.png")
    (inbox / "sub").chmod(0)
    (inbox / "b.png").chmod(0)
    if os.access(inbox / "sub", os.R_OK):
        pytest.skip("root can read every folder")
    try:
        assert run(inbox, out) == 1
    finally:
        (inbox / "sub").chmod(0o700)
    lines = lines_of(capsys)
    assert lines["sub"]["error"] == "the folder cannot be read: Permission denied"
    assert lines["b.png"]["error"] == "Permission denied"
    assert lines["a.png"]["status"] == "anonymized"


def test_devices_and_dead_links_are_no_pictures(inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(inbox / "pipe.png")
    (inbox / "dead.png").symlink_to(inbox / "nowhere")
    (inbox / "loop.png").symlink_to(inbox / "loop.png")
    assert run(inbox, out) == 1
    lines = lines_of(capsys)
    assert lines["pipe.png"]["error"] == "not a file"
    assert lines["dead.png"]["error"] == "No such file or directory"
    assert "symbolic links" in str(lines["loop.png"]["error"])


def test_a_name_that_leaves_no_room_for_the_suffix(inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "n" * 251 + ".png"
    put(inbox, name, "ok.png")
    assert run(inbox, out) == 1
    assert lines_of(capsys)[name]["error"] == "File name too long"
    assert sorted(os.listdir(out)) == ["ok.png.png", "ok.png.png.g2face"]


def test_a_name_that_is_no_unicode(inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    put(inbox, name)
    assert run(inbox, out, sheet=True) == 0
    assert list(lines_of(capsys)) == [name]


def arguments(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    anonymize.add_parser(parser.add_subparsers())
    return parser.parse_args(["anonymize", *map(str, words)])


def test_bad_usage_is_status_2_and_one_line(inbox: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(inbox, "a.png")
    (inbox / "notes.txt").write_text("x")
    empty = inbox / "empty"
    empty.mkdir()
    for words, said in (
        ((inbox / "none.jpg", "--out", out), "no such file or folder: none.jpg"),
        ((empty, "--out", out), "no picture in that folder"),
        ((inbox, "--out", inbox), "not the one that is read"),
        ((inbox, "--out", inbox / "a.png"), "has to be a folder"),
        ((inbox, "--out", inbox / "a.png" / "b"), "cannot be made: Not a directory"),
        ((inbox, "--out", out, "--explain"), "--explain needs --engine g2face"),
    ):
        assert anonymize.run(arguments(*words)) == 2
        assert [line for line in capsys.readouterr().err.splitlines() if said in line]


class _Explained(Pixelation):
    """Tells a mask for every photograph, and fails at one of them after that."""

    def __init__(self, explanations: Explanations) -> None:
        self._explanations, self._count = explanations, 0

    def anonymize(self, image: Image, seeds: Callable[[int], bytes]) -> AnonymizedImage:
        self._count += 1
        self._explanations(0, self._count, np.full((256, 1280), self._count, np.uint8))
        if self._count == 1:
            raise RecoveryError("the first one fails")
        return super().anonymize(image, seeds)


def test_masks_lie_beside_their_own_picture_for_its_owner_only(inbox: Path, out: Path) -> None:
    put(inbox, "a.png", "b.png")
    explanations = Explanations()
    assert run(inbox, out, Batch(_Explained(explanations), None, out, explanations=explanations)) == 1
    masks = out / "b.png.png.face-0.attempt-2.masks.png"
    assert [path for path in out.iterdir() if "masks" in path.name] == [masks]
    assert stat.S_IMODE(masks.stat().st_mode) == 0o600
    assert images.decode(masks.read_bytes()).max() == 2


def test_a_missing_key_file_is_not_made_unless_asked_for(inbox: Path, out: Path) -> None:
    put(inbox, "a.png")
    with pytest.raises(RecoveryError, match="--new-key makes one"):
        anonymize.run(arguments(inbox, "--out", out, "--key-file", inbox / "key"))
    assert not (inbox / "key").exists()
    assert os.listdir(out) == []
