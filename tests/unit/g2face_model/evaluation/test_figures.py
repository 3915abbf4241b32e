import math

import pytest

from g2face_model.evaluation.figures import FaceFigures, PhotoFigures, seeds_of, summarise
from g2face_model.evaluation.identification import Share
from g2face_model.evaluation.photographs import Photograph


def _face(outcome: str = "anonymized", **changes: object) -> FaceFigures:
    fields: dict[str, object] = {
        "file": "a.jpg",
        "index": 0,
        "groups": (),
        "size_px": 100.0,
        "outcome": outcome,
        "reasons": (),
        "attempts": 1,
        "similarities": {},
    }
    if outcome == "anonymized":
        fields |= {"landmark_nme": 0.02, "expression_agreement": 0.9, "same_expression": True, "found_again": True}
    return FaceFigures(**{**fields, **changes})  # type: ignore[arg-type]


def _covered(*reasons: str, **changes: object) -> FaceFigures:
    return _face("covered", reasons=reasons, **changes)


_PHOTOGRAPHS = (
    PhotoFigures(
        "a.jpg",
        3.0,
        (
            _face(landmark_nme=0.01, same_expression=False, expression_agreement=0.5, groups=("eth=white",)),
            _covered("recognised by dlib", "landmarks moved", attempts=4, size_px=30.0),
        ),
    ),
    PhotoFigures("b.jpg", 2.0, (_face(landmark_nme=0.03, found_again=False), _covered("too small", attempts=0))),
    PhotoFigures("c.jpg", 1.0, ()),
)


def test_released_faces_alone_tell_what_is_kept() -> None:
    summary = summarise(_PHOTOGRAPHS)
    assert (summary.photographs, summary.faces, summary.released) == (3, 4, Share(2, 4))
    assert summary.nme_mean == pytest.approx(0.02)
    assert summary.nme_p95 == pytest.approx(0.029)
    assert summary.same_expression == Share(1, 2)
    assert summary.expression_agreement == pytest.approx(0.7)
    assert summary.found_again == Share(1, 2)


def test_every_reason_of_a_covered_face_counts() -> None:
    assert summarise(_PHOTOGRAPHS).reasons == {"recognised by dlib": 1, "landmarks moved": 1, "too small": 1}


def test_a_face_that_was_not_attempted_took_no_attempt() -> None:
    assert summarise(_PHOTOGRAPHS).attempts == pytest.approx((1 + 4 + 1) / 3)


def test_looking_for_faces_where_there_are_none_costs_time_too() -> None:
    assert summarise(_PHOTOGRAPHS).seconds_per_face == pytest.approx(6 / 4)


def test_a_size_or_a_group_leaves_the_others_out() -> None:
    large = summarise(_PHOTOGRAPHS, min_px=40)
    assert (large.photographs, large.faces) == (2, 3)
    white = summarise(_PHOTOGRAPHS, group="eth=white")
    assert (white.photographs, white.faces, white.nme_mean) == (1, 1, 0.01)
    assert white.seconds_per_face == pytest.approx(3 / 2)  # per face of that photograph, also those of others


def test_nothing_gives_no_figures() -> None:
    summary = summarise([])
    assert summary.released == Share(0, 0)
    assert all(math.isnan(value) for value in (summary.nme_mean, summary.nme_p95, summary.seconds_per_face))


def test_every_face_of_every_photograph_has_its_own_seed_in_every_run() -> None:
    seeds = [seeds_of(Photograph(file))(index) for file in ("a.jpg", "b.jpg") for index in (0, 1)]
    assert len(set(seeds)) == 4
    assert {len(seed) for seed in seeds} == {32}
    assert seeds_of(Photograph("a.jpg"))(1) == seeds[1]
