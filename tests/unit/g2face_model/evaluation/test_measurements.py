from __future__ import annotations

from made_measurements import MadeMeasurements

from g2face_model.evaluation.measurements import stacked
from g2face_model.evaluation.trials import NONE


def test_faces_are_joined_with_what_they_were() -> None:
    made = MadeMeasurements()
    file = made.person("a", [1, 0], [1, 0], age="30")
    before = made.face(file, embedding=[1, 0])
    after = made.face(file, "g2face", embedding=[0, 1])
    made.face(file, "g2face", index=1)  # nobody was seen there before
    (pair,) = made.view.pairs("g2face")
    assert (pair.before, pair.after) == (before, after)
    assert made.view.attributes(file) == {"age": "30"}
    embedding = made.view.embedding(file, "judge", method="g2face")
    assert embedding is not None
    assert embedding.tolist() == [0, 1]


def test_a_condition_is_a_view_of_its_own() -> None:
    made = MadeMeasurements()
    file = made.stranger("a.jpg")
    made.face(file)
    dark = made.face(file, condition="dark", size_px=9.0)
    made.face(file, "g2face", condition="dark")
    assert made.view.conditions == ("as-is", "dark")
    assert made.view.faces("g2face") == []
    view = made.view.under("dark")
    assert view.faces(NONE) == [dark]
    assert view.pairs("g2face")[0].before is dark


def test_some_photographs_are_a_view_of_their_own_over_the_whole_gallery() -> None:
    made = MadeMeasurements()
    for name in "abc":
        made.person(name, [1, 0], [1, 0])
    view = made.view.among(["b-1.jpg", "nowhere.jpg"])
    assert [own.file for own in view.probes] == [own.file for own in view.paired] == ["b-1.jpg"]
    assert len(view.collection.gallery) == 3
    assert [face.trial.photograph for face in view.faces(NONE)] == ["b-1.jpg"]


def test_failed_trials_are_no_outcomes() -> None:
    made = MadeMeasurements()
    file = made.stranger("a.jpg")
    made.photo(file, "g2face", error="damaged")
    assert made.view.photos("g2face") == made.view.faces("g2face") == []
    assert [own.error for own in made.view.failed()] == ["damaged"]


def test_stacking_nothing_is_allowed() -> None:
    assert stacked([]).shape == (0, 1)
