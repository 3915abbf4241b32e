from __future__ import annotations

import cv2
import numpy as np
import pytest
from sample_portraits import portrait

from g2face_model.alignment import transform
from g2face_model.detection import FaceDetector
from g2face_model.evaluation.conditions import CONDITIONS, Degraded, Subject, moved
from g2face_model.landmarks import MeshLandmarker
from g2face_model.types import Box, Image
from g2face_model.weights import WeightStore


@pytest.fixture(scope="module")
def image() -> Image:
    return portrait(1)


@pytest.fixture(scope="module")
def subject(image: Image, store: WeightStore) -> Subject:
    box = FaceDetector(store, threads=1).detect(image)[0]
    return Subject(box, MeshLandmarker(store).mesh(image, box))


def _under(condition: str, image: Image, *faces: Subject, seed: int = 0) -> Degraded:
    return CONDITIONS[condition](image, faces, np.random.default_rng(seed))


def _psnr(a: Image, b: Image) -> float:
    return float(cv2.PSNR(a, b))


def test_as_it_is_nothing_changes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    found = _under("as-is", image)
    np.testing.assert_array_equal(found.image, image)
    np.testing.assert_array_equal(found.matrix, np.eye(2, 3))


def test_boxes_move_and_grow_with_the_picture_but_stay_upright() -> None:
    box = Box(10, 20, 30, 50, 0.5)
    half_and_turned = np.array([[0.0, -0.5, 100.0], [0.5, 0.0, 0.0]])
    found = moved(box, half_and_turned)
    assert (found.left, found.top, found.right, found.bottom) == pytest.approx((77.5, 2.5, 87.5, 17.5))
    assert found.score == 0.5


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_is_the_same_each_time_and_leaves_the_photograph_alone(
    condition: str, image: Image, subject: Subject
) -> None:
    untouched = image.copy()
    first, second = (_under(condition, image, subject) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(image, untouched)
    assert first.image.dtype == np.uint8
    assert (first.image.shape == image.shape) == (not condition.startswith(("face-", "rotated-")))
    if condition != "as-is":
        assert not np.array_equal(first.image, image)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_photograph_without_faces_is_no_obstacle(condition: str) -> None:
    assert _under(condition, np.full((40, 50, 3), 90, np.uint8)).image.shape[2] == 3


@pytest.mark.parametrize("size_px", [96, 64, 48, 32])
def test_faces_become_as_small_as_was_asked(size_px: int, image: Image, subject: Subject, store: WeightStore) -> None:
    found = _under(f"face-{size_px}", image, subject)
    box = moved(subject.box, found.matrix)
    assert min(box.width, box.height) == pytest.approx(size_px, rel=0.02)
    mesh = MeshLandmarker(store).mesh(found.image, box)
    expected = transform(subject.mesh.points[:, :2], found.matrix)
    distances = np.linalg.norm(mesh.points[:, :2] - expected, axis=1)
    assert distances.mean() < 0.04 * size_px


def test_a_small_face_is_not_enlarged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    small = Subject(Box(5, 5, 25, 30, 1.0), None)  # type: ignore[arg-type]
    np.testing.assert_array_equal(_under("face-32", image, small).image, image)


def test_dark_is_an_eighth_of_the_light() -> None:
    found = _under("dark", np.full((4, 4, 3), 200, np.uint8)).image
    assert (found[0, 0, 0] / 200) ** 2.2 == pytest.approx(1 / 8, rel=0.03)


def test_noise_has_its_strength_and_depends_on_the_seed() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    found = _under("noisy", grey).image
    assert found.astype(float).std() == pytest.approx(20, rel=0.03)
    assert not np.array_equal(found, _under("noisy", grey, seed=1).image)


def test_blur_is_as_wide_as_the_face_says() -> None:
    image = np.zeros((101, 101, 3), np.uint8)
    image[:, 50:] = 255
    found = _under("blurred", image, Subject(Box(0, 0, 80, 100, 1.0), None)).image  # type: ignore[arg-type]
    spread = np.diff(found[50, :, 0].astype(float)) / 255
    places = np.arange(100)
    centre = (spread * places).sum()
    assert np.sqrt((spread * (places - centre) ** 2).sum()) == pytest.approx(80 / 40, rel=0.05)


def test_lower_quality_loses_more(image: Image) -> None:
    kept = [_psnr(image, _under(f"jpeg-{quality}", image).image) for quality in (90, 75, 50)]
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] > 25


def test_grey_has_no_colour(image: Image) -> None:
    assert np.ptp(_under("grey", image).image.astype(int), axis=2).max() == 0


@pytest.mark.parametrize(
    ("condition", "covered", "bare"),
    [("mask", (13, 152, 4), (151, 159, 386)), ("sunglasses", (159, 386), (13, 152, 151)), ("glasses", (), (13, 4))],
)
def test_what_is_worn_covers_its_part_of_the_face_alone(
    condition: str, covered: tuple[int, ...], bare: tuple[int, ...], image: Image, subject: Subject
) -> None:
    changed = (_under(condition, image, subject).image != image).any(axis=2)
    places = np.rint(subject.mesh.points[:, :2]).astype(int)
    assert all(changed[places[vertex, 1], places[vertex, 0]] for vertex in covered)
    assert not any(changed[places[vertex, 1], places[vertex, 0]] for vertex in bare)
    box = subject.box
    outside = changed.copy()
    margin = round(0.2 * box.width)
    rows = slice(max(round(box.top) - margin, 0), round(box.bottom) + margin)
    outside[rows, max(round(box.left) - margin, 0) : round(box.right) + margin] = False
    assert not outside.any()


@pytest.mark.parametrize("degrees", [15, 30, 45])
def test_faces_turn_clockwise_and_nothing_is_cut_off(degrees: int, image: Image, subject: Subject) -> None:
    found = _under(f"rotated-{degrees}", image, subject)
    eyes = transform(subject.mesh.points[[33, 263], :2], np.eye(2, 3))
    turned = transform(eyes, found.matrix)
    angles = [np.degrees(np.arctan2(*(pair[1] - pair[0])[::-1])) for pair in (eyes, turned)]
    assert angles[1] - angles[0] == pytest.approx(degrees, abs=0.01)
    height, width = image.shape[:2]
    corners = transform([(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)], found.matrix)
    assert corners.min() >= 0
    assert (corners <= np.array(found.image.shape[1::-1]) - 1).all()
    centre = transform([((width - 1) / 2, (height - 1) / 2)], found.matrix)[0]
    x, y = np.rint(centre).astype(int)
    assert np.abs(found.image[y, x].astype(int) - image[height // 2, width // 2]).max() < 40
