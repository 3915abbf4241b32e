from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from made_measurements import EYES, HAPPY, MadeMeasurements

from g2face_model.evaluation.report.hifd import export


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_envelopes_hold_the_same_faces_before_and_after(tmp_path: Path) -> None:
    made = MadeMeasurements()
    file = made.person("anna", [1.0, 0.0], [1.0, 0.1])
    made.face(file, "g2face", embedding=[0.0, 1.0], landmarks=EYES + np.float32(5))
    made.face(file, "blur", embedding=[1.0, 1.0], expressions={"gate": HAPPY, "emotion": HAPPY})
    folder = tmp_path / "hifd"
    assert export(made.view, folder) == 4 * 3
    methods, estimators = _read(folder / "methods.yaml"), _read(folder / "estimators.yaml")
    assert [own["name"] for own in methods["methods"]] == ["g2face", "blur"]
    for task, own in estimators["tasks"].items():
        for estimator in own["estimators"]:
            envelopes = [_read(folder / place / estimator["deid_json"]) for place in ("original", "g2face", "blur")]
            assert [one["source"] for one in envelopes] == ["original", "deid", "deid"]
            assert {one["task"] for one in envelopes} == {task}
            assert all(one["predictions"].keys() == {f"{file}#0"} for one in envelopes)
    before, after = (
        _read(folder / place / "landmark.face-api.json")["predictions"][f"{file}#0"] for place in ("original", "g2face")
    )
    assert before["left_eye_center"] == [100.0, 100.0]
    assert after["right_eye_center"] == [205.0, 105.0]
    assert _read(folder / "blur" / "macro_exp.gate.json")["predictions"][f"{file}#0"]["probs"] == list(HAPPY)
    assert folder.stat().st_mode & 0o077 == 0
