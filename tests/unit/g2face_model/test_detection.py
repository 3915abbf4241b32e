import numpy as np
import pytest
from PIL import Image

from g2face_model.alignment import square_matrix, warp
from g2face_model.detection import FaceDetector
from g2face_model.landmarks import MeshLandmarker

data = pytest.importorskip("skimage.data", reason="needs scikit-image (extra: demo)")

EYES = np.array([[203.1, 100.6], [246.1, 103.0]])  # of the astronaut
MOUTH = np.array([222.0, 142.0])


@pytest.fixture(scope="module")
def detector(store):
    return FaceDetector(store, threads=1)


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()


def _holds(box, points):
    low, high = np.asarray(points).min(axis=0), np.asarray(points).max(axis=0)
    return box.left < low[0] and box.top < low[1] and box.right > high[0] and box.bottom > high[1]


def test_one_portrait_gives_one_box_around_the_face(detector, astronaut):
    (box,) = detector.detect(astronaut)
    assert _holds(box, [*EYES, MOUTH])
    assert 80 < box.width < 120
    assert 100 < box.height < 150
    assert 0.8 < box.score <= 1


def test_grace_hopper_is_found(detector):
    cbook = pytest.importorskip("matplotlib.cbook", reason="needs matplotlib (extra: demo)")
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        image = np.asarray(Image.open(file).convert("RGB"))
    (box,) = detector.detect(image)
    assert 150 < box.width < 300
    assert box.score > 0.8


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_photograph_on_its_side_gives_a_box_around_the_same_face(detector, astronaut, quarters):
    image = astronaut[:460]  # not square, so that swapped sides would show
    points = np.array([*EYES, MOUTH])
    for turned in range(quarters):
        width = image.shape[1 - turned % 2]
        points = np.column_stack([points[:, 1], width - 1 - points[:, 0]])
    (box,) = detector.detect(np.ascontiguousarray(np.rot90(image, quarters)))
    assert _holds(box, points)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_boxes_of_a_turned_look_are_turned_back(detector, astronaut, quarters):
    image = astronaut[:460]
    lying = np.ascontiguousarray(np.rot90(image, -quarters))
    (upright,), (left, top, right, bottom, score) = detector.detect(image), detector._look_turned(lying, quarters)[0]
    corners = np.array([[upright.left, upright.top], [upright.right, upright.bottom]]) + 0.5
    for turned in range(quarters):  # clockwise, as the picture was
        height = image.shape[turned % 2]
        corners = np.column_stack([height - corners[:, 1], corners[:, 0]])
    assert np.allclose([left, top, right, bottom], [*corners.min(axis=0), *corners.max(axis=0)])
    assert score == upright.score


@pytest.mark.parametrize("side", [90, 110, 140])
def test_a_face_that_fills_the_picture_is_found(detector, astronaut, side):
    close_up = warp(astronaut, square_matrix((222, 128), side, 0.0, size=700), (700, 700))
    boxes = detector.detect(close_up)
    assert boxes
    assert boxes[0].width > 350


def _crowd(astronaut, height_px):
    """3000 x 4000 px of dull texture with twelve astronauts whose faces are `height_px` high; and where they are."""
    noise = np.random.default_rng(0).normal(110, 25, (30, 40, 3))
    image = warp(noise.astype(np.float32), square_matrix((19.5, 14.5), 40, 0.0, size=4000), (3000, 4000))
    image = np.clip(image, 0, 255).astype(np.uint8)
    size = round(220 * height_px / 112)
    small = warp(astronaut, square_matrix((222, 128), 220, 0.0, size=size), (size, size))
    corners = [(300 + 950 * column + 37 * row, 200 + 1030 * row) for row in range(3) for column in range(4)]
    for left, top in corners:
        image[top : top + size, left : left + size] = small
    return image, np.array(corners) + size / 2


def test_faces_of_24_px_are_found_in_twelve_megapixels(detector, astronaut):
    image, middles = _crowd(astronaut, 24)
    boxes = detector.detect(image)
    found = [sum(_holds(box, [middle]) for box in boxes) for middle in middles]
    assert found == [1] * 12
    assert len(boxes) == 12


def test_boxes_come_largest_first_and_each_face_once(detector, astronaut):
    image = np.full((900, 1400, 3), 90, np.uint8)
    for left, size in ((50, 700), (800, 300), (1150, 120)):
        image[100 : 100 + size, left : left + size] = warp(
            astronaut, square_matrix((222, 128), 220, 0.0, size=size), (size, size)
        )
    widths = [box.width for box in detector.detect(image)]
    assert len(widths) == 3
    assert widths == sorted(widths, reverse=True)


def test_grey_and_dark_photographs(detector, astronaut):
    grey = np.repeat(astronaut.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    for image in (grey, astronaut // 8):
        assert [_holds(box, EYES) for box in detector.detect(image)] == [True]


def _plain():
    return np.zeros((480, 640, 3), np.uint8)


def _noise():
    return np.random.default_rng(3).integers(0, 256, (300, 400, 3), dtype=np.uint8)


@pytest.mark.parametrize("make", [_plain, _noise, data.coffee, data.chelsea])
def test_no_face_is_an_empty_tuple(detector, make):
    assert detector.detect(make()) == ()


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (33, 31)])
def test_tiny_and_thin_pictures_do_no_harm(detector, shape):
    assert detector.detect(np.full((*shape, 3), 128, np.uint8)) == ()


def test_every_development_portrait_has_its_face(detector, store, faces_dir):
    landmarker = MeshLandmarker(store)
    missed = []
    files = sorted((faces_dir / "pairs").glob("*.jpg"))[::10] + sorted((faces_dir / "headshots_small").glob("*"))[:40]
    for file in files:
        image = np.asarray(Image.open(file).convert("RGB"))
        boxes = detector.detect(image)
        if not boxes or landmarker.mesh(image, boxes[0]).score < 0.5:
            missed.append(file.name)
    assert missed == []
