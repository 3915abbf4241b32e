from __future__ import annotations

import json
from pathlib import Path

from g2face_model.evaluation import provenance
from g2face_model.evaluation.methods import Setup
from g2face_model.evaluation.store import Store
from g2face_model.recognition import RECOGNISERS
from g2face_model.weights import WeightStore


def test_a_run_tells_model_weights_settings_and_machine_and_no_path(tmp_path: Path, store: WeightStore) -> None:
    setup = Setup(weights_dir=store.directory)
    told = provenance.provenance(setup)
    assert set(told["weights"]) == set(store.names)
    assert all(len(digest) == 64 for digest in (told["engine"], *told["weights"].values()))
    assert told["settings"]["recognisers"] == RECOGNISERS
    assert told["machine"]["cores"] >= 1
    Store(tmp_path, told)
    text = (tmp_path / "measurements.jsonl").read_text()
    assert json.loads(text)["model_version"] == told["model_version"]
    assert str(store.directory) not in text
    Store(tmp_path, provenance.provenance(setup))  # the same engine goes on


def test_judges_come_with_their_calibrated_thresholds(store: WeightStore) -> None:
    judges = provenance.judges(Setup(weights_dir=store.directory))
    assert list(judges) == list(RECOGNISERS)
    assert all(own.threshold_far_1 < own.threshold < 1 for own in judges.values())
