"""What is kept of a face survives the way through JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from backend.ledger.records import FaceNote, Progress

NOTE = FaceNote(
    index=3,
    box=(1.5, 2.0, 30.25, 40.0),
    landmarks=tuple((float(i), i / 2) for i in range(68)),
    outcome="swapped",
    reasons=("one", "two"),
    similarities={"dlib": 0.25, "sface": -0.5},
    landmark_nme=0.03,
    expression_agreement=0.9,
    expression="happiness",
    expression_score=0.8,
)


def test_a_note_comes_back_equal() -> None:
    assert FaceNote.from_json(json.loads(json.dumps(NOTE.to_json()))) == NOTE
    bare = FaceNote(index=0, box=(0, 0, 1, 1), landmarks=(), outcome="covered")
    assert FaceNote.from_json(json.loads(json.dumps(bare.to_json()))) == bare


def test_numpy_numbers_and_nan_are_made_plain() -> None:
    one = np.float32(0.5)
    note = FaceNote(
        index=0,
        box=(one, one, one, one),
        landmarks=((one, one),),
        outcome="covered",
        similarities={"dlib": one},
        landmark_nme=float("nan"),
    )
    told = json.dumps(note.to_json(), allow_nan=False)
    assert FaceNote.from_json(json.loads(told)).landmark_nme is None
    assert FaceNote.from_json(json.loads(told)).box == (0.5, 0.5, 0.5, 0.5)


@pytest.mark.parametrize("broken", [{}, NOTE.to_json() | {"box": [1, 2, 3]}, NOTE.to_json() | {"landmarks": [[1]]}])
def test_anything_else_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        FaceNote.from_json(broken)


def test_progress_counts_what_is_not_cancelled() -> None:
    progress = Progress(1, 2, 3, 4, 5, 6, rate_per_minute=None, seconds_left=None)
    assert progress.total == 15


def test_records_are_light() -> None:
    code = "import sys, backend.ledger.records; print({'sqlalchemy', 'numpy', 'torch'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
