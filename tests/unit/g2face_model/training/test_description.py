from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from made_up_people import describe_made_up, made_up_people

from g2face_model.recognition import RECOGNISERS, load_recognisers
from g2face_model.training.description import Description, describe_people, read_descriptions
from g2face_model.training.people import People, write_shard
from g2face_model.types import FaceMesh
from g2face_model.weights import WeightStore


@pytest.fixture(scope="module")
def folder(store: WeightStore, people: People, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four generated people, described."""
    folder = tmp_path_factory.mktemp("described")
    write_shard(folder / "0000.npz", people)
    describe_people(store, folder)
    return folder


def test_people_are_described_one_by_one(folder: Path, people: People) -> None:
    [(read, vectors, described)] = read_descriptions(folder)
    assert np.array_equal(read.coarse, people.coarse)
    assert set(vectors) == set(RECOGNISERS)
    assert all(len(rows) == len(people) for rows in vectors.values())
    for field in fields(Description):
        column = getattr(described, field.name)
        assert len(column) == len(people)
        assert column.dtype == np.float32
        assert np.isfinite(column).all()
    assert (described.ages > 1).all()
    assert (described.ages < 99).all()
    assert described.expressions.sum(1) == pytest.approx(np.ones(len(people)), abs=1e-3)
    assert described.tones.shape == (len(people), 13, 3)
    assert (described.visible > 0.3).all()  # the outline of a face holds face
    assert (described.visible <= 1).all()


def test_embeddings_are_those_of_the_pictures(folder: Path, people: People, store: WeightStore) -> None:
    """In batches for training as one by one for the gate."""
    [(_, vectors, _)] = read_descriptions(folder)
    for recogniser in load_recognisers(store):
        for index in range(len(people)):
            alone = recogniser.embed(people.picture(index), FaceMesh(people.mesh_points(index), 1.0))
            assert vectors[recogniser.name][index] @ alone > 0.999


def test_what_is_described_is_not_described_again(store: WeightStore, tmp_path: Path) -> None:
    people, path = made_up_people(2), tmp_path / "0000.npz"
    write_shard(path, people)
    describe_made_up(people, path, ages=np.float32([17, 18]))
    describe_people(store, tmp_path)
    [(_, _, described)] = read_descriptions(tmp_path)
    assert described.ages.tolist() == [17, 18]


def test_shards_without_a_description_are_passed_over(tmp_path: Path) -> None:
    for shard in range(3):
        write_shard(tmp_path / f"{shard:04d}.npz", made_up_people(2, seed=shard))
    describe_made_up(made_up_people(2, seed=1), tmp_path / "0001.npz")
    describe_made_up(made_up_people(2, seed=2), tmp_path / "0002.npz")
    (tmp_path / "0002.embeddings.npz").unlink()
    [(people, _, _)] = read_descriptions(tmp_path)
    assert np.array_equal(people.coarse, made_up_people(2, seed=1).coarse)
