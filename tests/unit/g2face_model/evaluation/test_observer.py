from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from g2face_model import images
from g2face_model.evaluation.observer import Observer, found_again, overlap
from g2face_model.recognition import similarity
from g2face_model.types import Box
from g2face_model.weights import WeightStore

_edges = st.floats(-100, 100)
_boxes = st.builds(
    lambda left, top, width, height: Box(left, top, left + width, top + height, 1.0),
    _edges,
    _edges,
    st.floats(1, 100),
    st.floats(1, 100),
)


def test_half_a_box_overlaps_by_half() -> None:
    assert overlap(Box(0, 0, 10, 10, 1), Box(0, 0, 10, 5, 1)) == 0.5
    assert overlap(Box(0, 0, 10, 10, 1), Box(5, 0, 15, 10, 1)) == pytest.approx(1 / 3)
    assert overlap(Box(0, 0, 10, 10, 1), Box(20, 20, 30, 30, 1)) == 0.0


@given(_boxes, _boxes)
def test_overlap_is_mutual_and_whole_with_itself(a: Box, b: Box) -> None:
    assert 0 <= overlap(a, b) <= 1 + 1e-9
    assert overlap(a, b) == pytest.approx(overlap(b, a))
    assert overlap(a, a) == pytest.approx(1)


def test_a_face_is_found_again_where_it_was() -> None:
    box, near, far = Box(0, 0, 10, 10, 1), Box(1, 1, 11, 11, 1), Box(30, 0, 40, 10, 1)
    assert found_again(box, [far, near]) == near
    assert found_again(box, [far]) is None
    assert found_again(box, []) is None


def test_it_knows_a_person_from_another(store: WeightStore, faces_dir: Path) -> None:
    observer = Observer(store, ["mobileface"])

    def embed(name: str):  # type: ignore[no-untyped-def]
        image = images.decode((faces_dir / "pairs" / name).read_bytes())
        return observer.embeddings(image, observer.mesh(image, observer.boxes(image)[0]))["mobileface"]

    first, again, other = embed("0001.jpg"), embed("0051.jpg"), embed("0003.jpg")
    assert similarity(first, again) > observer.recognisers[0].threshold > similarity(first, other)
