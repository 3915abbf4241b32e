"""A pilot with the engine and the judges as they are, on somebody who never existed."""

from __future__ import annotations

from pathlib import Path

import pilot_site

from backend.ledger.records import PilotState
from g2face_model.build import build_anonymizer
from g2face_model.config import ModelConfig
from g2face_model.detection import FaceDetector
from g2face_model.evaluation.methods import Setup
from g2face_model.evaluation.pilot import Examination
from g2face_model.group_photo import group_photo
from g2face_model.types import Image
from g2face_model.weights import WeightStore


def somebody(store: WeightStore) -> Image:
    """The largest face of the generated group, with a little around it."""
    group = group_photo(store)
    box = FaceDetector(store).detect(group)[0]
    x, y, reach = (box.left + box.right) / 2, (box.top + box.bottom) / 2, 0.9 * max(box.width, box.height)
    rows = slice(max(0, round(y - reach)), round(y + reach))
    return group[rows, max(0, round(x - reach)) : round(x + reach)].copy()


def test_the_report_is_of_what_the_engine_made_and_the_admin_gave_back(tmp_path: Path, store: WeightStore) -> None:
    setup = Setup(weights_dir=store.directory, threads=2)
    engine = build_anonymizer(ModelConfig(weights_dir=store.directory, threads=2, device="cpu"))
    original = somebody(store)
    with pilot_site.running(tmp_path / "data", photos=0) as site:
        photo = site.restricted.photo(site.project, original, task_id=1, anonymizer=engine)
        assert len(photo.faces) >= 1
        pilot = site.step(site.ask())
        site.approve()
        done = site.step(pilot, examiner=lambda: Examination(setup))
        assert (done.state, done.measured, done.reason) == (PilotState.DONE, 1, None)
        pages = {language: site.restricted.office.blobs.get(name).decode() for language, name in done.reports.items()}
    assert "1 of 1 photographs" in pages["en"]
    assert "came back bit for bit, from the saved files, in 100.0 %" in pages["en"]
    assert "1 枚のうち 1 枚" in pages["ja"]
    assert photo.work_seconds is not None
