import math
import threading

import numpy as np
import pytest

from g2face_model.alignment import square_matrix, transform, warp
from g2face_model.errors import WeightsError
from g2face_model.landmarks import FanBackend, MeshBackend, MeshLandmarker, sixty_eight
from g2face_model.types import Box, FaceMesh

data = pytest.importorskip("skimage.data", reason="needs scikit-image (extra: demo)")

FACE = Box(175, 65, 270, 190, 1.0)  # of the astronaut


@pytest.fixture(scope="module")
def landmarker(store):
    return MeshLandmarker(store)


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()


@pytest.fixture(scope="module")
def mesh(landmarker, astronaut):
    return landmarker.mesh(astronaut, FACE)


def _eye_distance(mesh):
    return float(np.linalg.norm(mesh.points[468, :2] - mesh.points[473, :2]))


def _error(found, expected):
    """Mean distance of two sets of points (N, 2) in eye distances of 43 px."""
    return float(np.linalg.norm(found - expected, axis=1).mean() / 43)


def test_mesh_lies_on_the_face(mesh):
    assert mesh.points.shape == (478, 3)
    assert mesh.points.dtype == np.float32
    assert mesh.score > 0.99
    assert _eye_distance(mesh) == pytest.approx(43, abs=2)
    assert mesh.points[152, 1] == pytest.approx(177, abs=4)  # chin


def test_irises_lie_in_their_own_eyes(mesh):
    for iris, corners in ((468, (33, 133)), (473, (362, 263))):
        left, right = mesh.points[list(corners), 0]
        rim = mesh.points[iris + 1 : iris + 5, :2]
        assert left < mesh.points[iris, 0] < right
        assert np.allclose(rim.mean(axis=0), mesh.points[iris, :2], atol=1.0)
        assert 2 < np.ptp(rim[:, 0]) < 0.8 * (right - left)
    nasal = mesh.points[[469, 474], 0]
    assert mesh.points[468, 0] < nasal[0] < nasal[1] < mesh.points[473, 0]


@pytest.mark.parametrize("degrees", range(15, 360, 30))
def test_mesh_turns_with_the_face(landmarker, astronaut, mesh, degrees):
    turn = square_matrix((222, 128), 400, math.radians(degrees), size=400)
    turned = warp(astronaut, turn, (400, 400))
    left, top = transform([[222, 128]], turn)[0] - 62
    found = landmarker.mesh(turned, Box(left, top, left + 124, top + 124, 1.0))
    assert found.score > 0.99
    assert _error(found.points[:, :2], transform(mesh.points[:, :2], turn)) < 0.04


@pytest.mark.parametrize("scale", [0.35, 0.6, 3.0])
def test_mesh_scales_with_the_face(landmarker, astronaut, mesh, scale):
    zoom = square_matrix((222, 128), 300, 0.0, size=round(300 * scale))
    zoomed = warp(astronaut, zoom, (round(300 * scale),) * 2)
    corners = transform([[FACE.left, FACE.top], [FACE.right, FACE.bottom]], zoom).ravel()
    found = landmarker.mesh(zoomed, Box(*corners, score=1.0))
    assert found.score > 0.99
    assert _error(found.points[:, :2] / scale, transform(mesh.points[:, :2], zoom) / scale) < 0.06


def _grey(image):
    return np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("change", [_grey, lambda image: image // 8, lambda image: 255 - (255 - image) // 4])
def test_grey_dark_and_pale_faces_keep_their_mesh(landmarker, astronaut, mesh, change):
    found = landmarker.mesh(change(astronaut), FACE)
    assert found.score > 0.9
    assert _error(found.points[:468, :2], mesh.points[:468, :2]) < 0.06


def test_score_tells_a_face_from_a_rocket(landmarker, astronaut):
    assert landmarker.mesh(astronaut, Box(400, 40, 500, 160, 1.0)).score < 0.5


def test_refine_corrects_a_displaced_mesh(landmarker, astronaut, mesh):
    displaced = FaceMesh(mesh.points + np.float32([6, -5, 0]), mesh.score)
    assert _error(landmarker.refine(astronaut, displaced).points[:, :2], mesh.points[:, :2]) < 0.03


def test_threads_get_the_answers_of_their_own_faces(landmarker, astronaut, mesh):
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    other = Box(511 - FACE.right, FACE.top, 511 - FACE.left, FACE.bottom, 1.0)
    alone = {0: mesh.points, 1: landmarker.mesh(mirrored, other).points}
    wrong = []

    def work(which):
        for _ in range(10):
            found = landmarker.mesh((astronaut, mirrored)[which], (FACE, other)[which])
            wrong.append(not np.array_equal(found.points, alone[which]))

    threads = [threading.Thread(target=work, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 20
    assert not any(wrong)


def test_sixty_eight_points_come_in_ibug_order(mesh):
    points = sixty_eight(mesh).points
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    assert (np.diff(points[0:17, 0])[2:14] > 0).all()  # jaw, left to right
    assert points[8, 1] == points[:, 1].max()  # chin
    assert (np.diff(points[17:27, 0]) > 0).all()  # brows
    assert (np.diff(points[27:31, 1]) > 0).all()  # bridge of the nose, downwards
    assert (np.diff(points[31:36, 0]) > 0).all()
    for start in (36, 42):  # eyes: corner, upper lid, corner, lower lid
        assert points[start, 0] < points[start + 1 : start + 3, 0].min()
        assert points[start + 3, 0] > points[start + 1 : start + 3, 0].max()
        assert points[start + 1 : start + 3, 1].max() < points[start + 4 : start + 6, 1].min()
    assert points[48, 0] < points[60, 0] < points[64, 0] < points[54, 0]  # lip corners
    assert points[51, 1] < points[62, 1] < points[66, 1] < points[57, 1]  # lips, top to bottom
    assert points[36:42, 0].max() < points[27, 0] < points[42:48, 0].min()


def test_mesh_backend_gives_the_mesh_points(astronaut, mesh):
    assert np.array_equal(MeshBackend().landmarks(astronaut, FACE, mesh).points, sixty_eight(mesh).points)


@pytest.fixture
def offline_hub(monkeypatch, tmp_path):
    """An empty torch.hub folder, and a proxy that refuses connections."""
    pytest.importorskip("face_alignment", reason="needs face-alignment (extra: fan)")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_fan_without_weights_says_so_without_paths(offline_hub):
    with pytest.raises(WeightsError, match="2DFAN4-11f355bf06") as caught:
        FanBackend()
    assert str(offline_hub) not in str(caught.value)


def test_fan_with_a_broken_file_says_so(offline_hub):
    (offline_hub / "2DFAN4-11f355bf06.pth.tar").write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match="neither loaded nor downloaded"):
        FanBackend()


def test_fan_runs_with_placed_weights(offline_hub, astronaut, mesh):
    import torch
    from face_alignment.models import FAN

    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), offline_hub / "2DFAN4-11f355bf06.pth.tar")
    points = FanBackend().landmarks(astronaut, FACE, mesh).points
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    assert np.isfinite(points).all()
    # Untrained, it may point anywhere, but only within the crop it was shown: 2.2 times the mesh around its middle.
    middle = mesh.points[:468, :2].mean(axis=0)
    assert np.abs(points - middle).max() < 2.2 * np.ptp(mesh.points[:468, :2], axis=0).max()
