from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_measurements import MadeMeasurements, recovered

from g2face_model.errors import ModelError
from g2face_model.evaluation.collection import Collection
from g2face_model.evaluation.measurements import Measured, Measurements, PhotoMeasurement, RunFacts
from g2face_model.evaluation.photographs import Photograph
from g2face_model.evaluation.store import LINES, PRIVATE, Store
from g2face_model.evaluation.trials import NONE, Trial

_PROVENANCE: dict[str, Any] = {"model_version": "1", "settings": {"a": (1, 2)}, "machine": {"cores": 2}}


def _measured(file: str, *, faces: int = 2, error: str = "") -> Measured:
    made = MadeMeasurements()
    kept = [made.face(file, index=index, gaze=(0.25, -0.5), seam=None) for index in range(faces)]
    trial = Trial(file, NONE)
    arrays = {(index, "landmarks"): np.full((68, 2), index, np.float32) for index in range(faces)}
    photo = PhotoMeasurement(trial, faces=faces, peak_megabytes=math.nan, recovered=(recovered(),), error=error)
    return Measured(photo, tuple(kept), arrays)


def _view(store: Store, *files: str) -> Measurements:
    collection = Collection(tuple(Photograph(file) for file in files), ())
    return store.measurements(collection, methods={}, judges={}, facts=RunFacts())


def test_what_was_added_is_there_again_in_another_process(tmp_path: Path) -> None:
    first = Store(tmp_path / "report", _PROVENANCE)
    measured = _measured("\udcffodd\n.jpg")
    first.add(measured)
    again = Store(tmp_path / "report", {**_PROVENANCE, "machine": {"cores": 64}})
    assert again.holds(measured.photo.trial)
    view = _view(again, "\udcffodd\n.jpg")
    assert view.faces(NONE) == list(measured.faces)
    assert view.photos(NONE)[0].peak_megabytes is None
    assert view.photos(NONE)[0].recovered == (recovered(),)
    landmarks = view.array(view.faces(NONE)[1], "landmarks")
    assert landmarks is not None
    np.testing.assert_array_equal(landmarks, measured.arrays[1, "landmarks"])
    assert view.array(view.faces(NONE)[1], "unknown") is None


def test_templates_are_their_owners_alone(tmp_path: Path) -> None:
    store = Store(tmp_path, _PROVENANCE)
    store.add(_measured("a.jpg"))
    folder = tmp_path / PRIVATE
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600]
    for line in (tmp_path / LINES).read_text().splitlines():
        assert "embedding" not in json.loads(line)


@pytest.mark.parametrize("lost", [1, 30, 700])
def test_a_trial_that_was_cut_short_is_made_again(tmp_path: Path, lost: int) -> None:
    store = Store(tmp_path, _PROVENANCE)
    store.add(_measured("a.jpg"))
    whole = (tmp_path / LINES).read_bytes()
    store.add(_measured("b.jpg"))
    data = (tmp_path / LINES).read_bytes()
    (tmp_path / LINES).write_bytes(data[:-lost])
    again = Store(tmp_path, _PROVENANCE)
    assert again.holds(Trial("a.jpg", NONE))
    assert not again.holds(Trial("b.jpg", NONE))
    assert (tmp_path / LINES).read_bytes() == whole
    again.add(_measured("b.jpg"))
    assert (tmp_path / LINES).read_bytes() == data


def test_a_trial_that_failed_is_tried_again_and_its_last_word_counts(tmp_path: Path) -> None:
    store = Store(tmp_path, _PROVENANCE)
    store.add(_measured("a.jpg", faces=0, error="damaged"))
    assert not store.holds(Trial("a.jpg", NONE))
    assert [own.error for own in _view(store, "a.jpg").failed()] == ["damaged"]
    assert _view(store, "a.jpg").photos(NONE) == []
    store.add(_measured("a.jpg"))
    again = Store(tmp_path, _PROVENANCE)
    assert again.holds(Trial("a.jpg", NONE))
    assert _view(again, "a.jpg").failed() == []


def test_another_engines_measurements_are_not_mixed_in(tmp_path: Path) -> None:
    Store(tmp_path, _PROVENANCE)
    with pytest.raises(ModelError, match="other model version; choose another folder"):
        Store(tmp_path, {**_PROVENANCE, "model_version": "2"})
    with pytest.raises(ModelError, match="other settings"):
        Store(tmp_path, {**_PROVENANCE, "settings": {"a": (1, 3)}})


@pytest.mark.parametrize("content", [b"", b"{}\n", b"not JSON\n", b"\xff\xfe"])
def test_a_foreign_file_is_not_written_to(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LINES).write_bytes(content)
    with pytest.raises(ModelError, match="not of this program's making"):
        Store(tmp_path, _PROVENANCE)
    assert (tmp_path / LINES).read_bytes() == content
