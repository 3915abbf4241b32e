from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_people import made_up_people

from g2face_model.landmarks import MeshLandmarker
from g2face_model.networks.generator import SLOTS, Generator
from g2face_model.training.draws import plain
from g2face_model.training.people import (
    COARSE,
    STORED_PX,
    People,
    make_people,
    make_shard,
    read_people,
    stack_styles,
    to_pixels,
    write_shard,
)
from g2face_model.types import FaceMesh
from g2face_model.verification import landmark_nme
from g2face_model.weights import WeightStore

COUNT = 2


@pytest.fixture(scope="module")
def own(store: WeightStore) -> Generator:
    """Rendering people leaves a generator in half precision, so it is not shared."""
    generator = Generator()
    generator.load_state_dict(store.tensors("generator"))
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def landmarker(store: WeightStore) -> MeshLandmarker:
    return MeshLandmarker(store)


@pytest.fixture(scope="module")
def folder(own: Generator, landmarker: MeshLandmarker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shard 1 of two shards, made by the second of two processes."""
    folder = tmp_path_factory.mktemp("people") / "new"
    make_people(own, landmarker, plain(own), folder, count=2 * COUNT, part=1, parts=2, size=COUNT)
    return folder


def _same(a: People, b: People) -> bool:
    arrays = ("coarse", "fine", "meshes", "scores")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays) and a.pictures == b.pictures


def test_a_shard_depends_on_its_number_alone(own: Generator, landmarker: MeshLandmarker, folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == ["0001.npz"]
    [people] = read_people(folder)
    assert _same(people, make_shard(own, landmarker, plain(own), 1, size=COUNT))


def test_people_are_faces_with_their_meshes(folder: Path, landmarker: MeshLandmarker) -> None:
    [people] = read_people(folder)
    assert len(people) == COUNT
    assert people.scores.min() > 0.9
    assert np.abs(people.coarse - people.fine).max() > 0.1
    for index in range(COUNT):
        picture, points = people.picture(index), people.mesh_points(index)
        assert picture.shape == (STORED_PX, STORED_PX, 3)
        assert points.min(0)[:2].min() > 0
        assert points.max(0)[:2].max() < STORED_PX
        found = landmarker.refine(picture, FaceMesh(points, 1.0))
        assert landmark_nme(FaceMesh(points, 1.0), found) < 0.03


def test_shards_that_are_there_are_not_made_again(own: Generator, landmarker: MeshLandmarker, tmp_path: Path) -> None:
    write_shard(tmp_path / "0000.npz", made_up_people(3))
    make_people(own, landmarker, plain(own), tmp_path, count=COUNT, size=COUNT)
    [people] = read_people(tmp_path)
    assert len(people) == 3


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    made = [made_up_people(n, seed=n) for n in (3, 1, 2)]
    for shard, people in enumerate(made):
        write_shard(tmp_path / f"{shard:04d}.npz", people)
    (tmp_path / "0007.tmp").write_bytes(b"half a shard")
    (tmp_path / "0000.description.npz").write_bytes(b"of another kind")
    read = list(read_people(tmp_path))
    assert len(read) == 3
    assert all(_same(a, b) for a, b in zip(read, made, strict=True))
    [second] = read_people(tmp_path, only=tmp_path / "0001.npz")
    assert _same(second, made[1])
    assert not list(tmp_path.glob("000[0-2]*.tmp"))


def test_meshes_follow_the_picture_when_it_shrinks() -> None:
    """The centre of the top left pixel is (0, 0) before and after: -0.5 stays -0.5."""
    people = made_up_people(1)
    people.meshes[0, 0], people.meshes[0, 1] = [-0.5, -0.5, 8], [511.5, 255.5, 0]
    kept = people.meshes.copy()
    points = people.mesh_points(0)
    assert points[0] == pytest.approx([-0.5, -0.5, 6])
    assert points[1] == pytest.approx([383.5, 191.5, 0])
    assert np.array_equal(people.meshes, kept)


def test_styles_take_structure_from_one_w_and_colours_from_another() -> None:
    coarse, fine = torch.randn(2, 3, 512, generator=torch.Generator().manual_seed(0))
    styles = stack_styles(coarse, fine)
    assert styles.shape == (3, SLOTS, 512)
    assert torch.equal(styles[:, :COARSE], coarse[:, None].expand(-1, COARSE, -1))
    assert torch.equal(styles[:, COARSE:], fine[:, None].expand(-1, SLOTS - COARSE, -1))


def test_pixels_are_rounded_and_cut_off() -> None:
    values = torch.tensor([-3.0, -1.0, 0.0, 0.999, 5.0]).expand(3, 1, 5)
    assert to_pixels(values)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
